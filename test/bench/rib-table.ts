// Synthetic tables for the benchmarks, like a public one: about 12 prefixes per UPDATE and attribute set, paths of 2 to 6
// ASes, communities on 60 %, MED on 40 %. A table depends on its arguments alone; `variant` changes nothing but the
// AS path behind the first AS, and makes half of the paths one hop longer.
import { beginMessage, endMessage } from "../../bgp/wire/message.ts";
import { emptyAttributes } from "../../bgp/wire/path-attributes.ts";
import { MessageType } from "../../bgp/wire/registry.ts";
import { encodeAttributes, encodeEndOfRib } from "../../bgp/wire/update.ts";
import { Writer } from "../../bgp/wire/writer.ts";

export interface TableOptions {
  readonly count: number;
  readonly asn: number;
  readonly nextHop: Uint8Array;
  readonly variant?: number;
  /** Other prefixes for each seed. */
  readonly seed?: number;
}

/** UPDATEs for `count` distinct prefixes, and End-of-RIB. */
export function makeTable({ count, asn, nextHop, variant = 0, seed = 1 }: TableOptions): Uint8Array {
  const next = random(seed);
  const paths = random(1000 * seed + variant);
  const seen = new Set<number>();
  const writer = new Writer(16 * 1024 * 1024);
  for (let left = count; left > 0; ) {
    const size = Math.min(left, next(100) < 45 ? 1 : 1 + next(40));
    const hops = 1 + next(5);
    const longer = variant > 0 && paths(2) === 0 ? 1 : 0;
    const asns = [asn, ...Array.from({ length: hops + longer }, () => 1 + paths(400_000))];
    const communities = next(10) < 6 ? Array.from({ length: 1 + next(4) }, () => next(0xfffffff0)) : [];
    const med = next(10) < 4 ? next(1000) : null;
    const start = beginUpdate(writer, { asns, communities, med, nextHop });
    const home = next(0xe0000000);
    for (let i = 0; i < size; i++) {
      const length = next(10) < 6 ? 24 : 16 + next(8);
      const near = next(10) < 7 ? ((home & 0xfffc0000) | next(0x40000)) >>> 0 : next(0xe0000000);
      const address = (near & (-1 << (32 - length))) >>> 0;
      if (isMartian(address) || seen.has(address * 64 + length)) {
        i--;
        continue;
      }
      seen.add(address * 64 + length);
      writeIpv4(writer, address, length);
    }
    endMessage(writer, start);
    left -= size;
  }
  writer.bytes(encodeEndOfRib(4));
  return writer.slice();
}

/** Not used by anybody who is told of it. */
function isMartian(address: number): boolean {
  return address >>> 24 === 0 || address >>> 24 === 127 || address >>> 16 === 0xa9fe;
}

/** One UPDATE that announces one prefix of a table with a path of its own. */
export function makeChange(asn: number, nextHop: Uint8Array, change: number, prefix: Uint8Array): Uint8Array {
  const writer = new Writer();
  const attributes = { asns: [asn, 1000 + (change % 1000)], communities: [change], med: null, nextHop };
  const start = beginUpdate(writer, attributes);
  writer.bytes(prefix);
  endMessage(writer, start);
  return writer.slice();
}

/** The first prefix of each UPDATE, as NLRI. */
export function firstPrefixes(table: Uint8Array): Uint8Array[] {
  const prefixes: Uint8Array[] = [];
  for (let at = 0; at < table.length; at += (table[at + 16] << 8) | table[at + 17]) {
    const nlri = at + 23 + ((table[at + 21] << 8) | table[at + 22]);
    if (nlri < at + ((table[at + 16] << 8) | table[at + 17]))
      prefixes.push(table.slice(nlri, nlri + 1 + ((table[nlri] + 7) >>> 3)));
  }
  return prefixes;
}

interface Attributes {
  readonly asns: number[];
  readonly communities: number[];
  readonly med: number | null;
  readonly nextHop: Uint8Array;
}

/** Everything up to the NLRI; returns where the message starts. */
function beginUpdate(writer: Writer, { asns, communities, med, nextHop }: Attributes): number {
  const start = beginMessage(writer, MessageType.UPDATE);
  writer.u16(0);
  const lengthAt = writer.offset;
  writer.u16(0);
  const asPath = [{ type: 2 as const, asns }];
  encodeAttributes(writer, { ...emptyAttributes, asPath, communities, med, nextHop }, { as4: true }, true);
  writer.patchU16(lengthAt, writer.offset - lengthAt - 2);
  return start;
}

function writeIpv4(writer: Writer, address: number, length: number): void {
  writer.u8(length);
  for (let bits = 0; bits < length; bits += 8) writer.u8((address >>> (24 - bits)) & 255);
}

/** Numbers from a seed (mulberry32). */
function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}
