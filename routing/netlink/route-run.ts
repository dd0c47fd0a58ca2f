// Requests in a row that do the same to different IPv4 routes, as a bulk load has them: counted in one tight loop, a
// few word comparisons for each. The layout is that of encodeRouteById: the destination is the first attribute.
import { LITTLE } from "./attribute.ts";
import { AF_INET, RouteAttribute } from "./constants.ts";

/** In words: family and length, what follows them, the destination's attribute and its address. */
const FAMILY = 4;
const TABLE = 5;
const FLAGS = 6;
const HEADER = 7;
const ADDRESS = 8;
const FAMILY_MASK = LITTLE ? 0xff : 0xff000000;
/** Everything but the prefix length. */
const SAME_MASK = LITTLE ? 0xffff00ff : 0xff00ffff;
const LENGTH_SHIFT = LITTLE ? 8 : 16;
const FAMILY_WORD = LITTLE ? AF_INET : AF_INET << 24;
const DESTINATION = LITTLE ? 8 | (RouteAttribute.destination << 16) : (8 << 16) | RouteAttribute.destination;

/** A word in network order as a number. */
export const hostOrder: (word: number) => number = LITTLE
  ? (word) => ((word << 24) | ((word & 0xff00) << 8) | ((word >>> 8) & 0xff00) | (word >>> 24)) >>> 0
  : (word) => word;

export class RouteRun {
  count = 0;
  /** Word where the first message after the run begins. */
  end = 0;
  /** Lowest and highest prefix, and the shortest length among all. */
  low = 0;
  lowLength = 0;
  high = 0;
  highLength = 0;
  shortest = 0;

  /** Messages from word `start` on, at most `limit`, that are like the one at `template`. */
  scan(words: Uint32Array, template: number, start: number, limit: number): void {
    this.count = 0;
    this.end = start;
    if (
      (words[template + FAMILY] & FAMILY_MASK) >>> 0 !== FAMILY_WORD >>> 0 ||
      words[template + HEADER] !== DESTINATION
    )
      return;
    const size = words[template];
    const step = (size + 3) >> 2;
    // Address and length in one number, to be compared at once.
    let low = Number.POSITIVE_INFINITY;
    let high = -1;
    let shortest = 32;
    let at = start;
    let count = 0;
    scan: for (; count < limit && at + step <= words.length; at += step, count++) {
      if (words[at] !== size || words[at + 1] !== words[template + 1]) break;
      if ((words[at + FAMILY] ^ words[template + FAMILY]) & SAME_MASK) break;
      if (words[at + TABLE] !== words[template + TABLE] || words[at + FLAGS] !== words[template + FLAGS]) break;
      if (words[at + HEADER] !== DESTINATION) break;
      for (let i = ADDRESS + 1; i < step; i++) if (words[at + i] !== words[template + i]) break scan;
      const length = (words[at + FAMILY] >>> LENGTH_SHIFT) & 0xff;
      const key = hostOrder(words[at + ADDRESS]) * 64 + length;
      if (key < low) low = key;
      if (key > high) high = key;
      if (length < shortest) shortest = length;
    }
    this.count = count;
    this.end = at;
    if (count === 0) return;
    this.low = Math.floor(low / 64);
    this.lowLength = low % 64;
    this.high = Math.floor(high / 64);
    this.highLength = high % 64;
    this.shortest = shortest;
  }
}
