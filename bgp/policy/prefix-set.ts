// A list of prefix conditions as hash tables by length: a list of thousands costs no more than the number of different
// lengths in it.
import { maskBytes } from "../../net/prefix.ts";
import type { PrefixTable } from "../../net/prefix-table.ts";
import type { NamedSet, PrefixMatch, Range } from "./types.ts";

/** Ranges by masked address, for one family and one length of the listed prefixes. */
interface Level {
  readonly length: number;
  readonly ranges: Map<number | string, Range[]>;
}

export class PrefixSet {
  readonly #levels: { 4: Level[]; 6: Level[] } = { 4: [], 6: [] };

  constructor(matches: readonly PrefixMatch[]) {
    for (const { prefix, ge, le } of matches) {
      const levels = this.#levels[prefix.family];
      let level = levels.find((candidate) => candidate.length === prefix.length);
      if (!level) {
        level = { length: prefix.length, ranges: new Map() };
        levels.push(level);
      }
      const bytes = maskBytes(prefix.bytes, prefix.length);
      const view = new DataView(bytes.buffer, bytes.byteOffset);
      const key =
        prefix.family === 4
          ? view.getUint32(0)
          : ipv6Key(view.getUint32(0), view.getUint32(4), view.getUint32(8), view.getUint32(12));
      const ranges = level.ranges.get(key);
      if (ranges) ranges.push({ ge, le });
      else level.ranges.set(key, [{ ge, le }]);
    }
  }

  has(table: PrefixTable, id: number): boolean {
    const length = table.lengthOf(id);
    for (const level of this.#levels[table.family]) {
      if (level.length > length) continue;
      const ranges = level.ranges.get(
        table.family === 4 ? mask(table.word(id, 0), level.length) : maskIpv6(table, id, level.length),
      );
      if (ranges?.some(({ ge, le }) => length >= ge && length <= le)) return true;
    }
    return false;
  }
}

const compiled = new WeakMap<NamedSet<PrefixMatch>, PrefixSet>();

/** Named sets are compiled once for all statements and peers. */
export function prefixSetOf(set: NamedSet<PrefixMatch>): PrefixSet {
  let known = compiled.get(set);
  if (!known) {
    known = new PrefixSet(set.values);
    compiled.set(set, known);
  }
  return known;
}

/** The word with all but its first `bits` bits cleared; bits may be less than 0 or more than 32. */
function mask(word: number, bits: number): number {
  if (bits <= 0) return 0;
  return bits >= 32 ? word >>> 0 : (word & (-1 << (32 - bits))) >>> 0;
}

function maskIpv6(table: PrefixTable, id: number, length: number): string {
  return ipv6Key(
    mask(table.word(id, 0), length),
    mask(table.word(id, 1), length - 32),
    mask(table.word(id, 2), length - 64),
    mask(table.word(id, 3), length - 96),
  );
}

function ipv6Key(a: number, b: number, c: number, d: number): string {
  return `${a},${b},${c},${d}`;
}
