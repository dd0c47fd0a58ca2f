// Pools: their tables, where their blocks come from, what overlaps, exclusions that exclude nothing.
import { formatPrefix, overlaps, type Prefix } from "../net/prefix.ts";
import type { Check } from "./check.ts";
import type { Exclusion } from "./scalars.ts";
import type { ParsedPool } from "./schema.ts";
import type { Path } from "./source.ts";

/** A block, or a range that blocks are claimed out of. */
export interface PlacedBlock {
  readonly prefix: Prefix;
  readonly pool: string;
  readonly path: Path;
}

export function checkPools(check: Check): PlacedBlock[] {
  const blocks: PlacedBlock[] = [];
  for (const [pool, value] of check.parsed.pools) {
    check.tableName(["pools", pool], value.table);
    for (const [index, name] of value.announceIn.entries())
      check.reference(["pools", pool, "announceIn", index], name, "table", check.names.tables);
    checkSource(check, pool, value);
    for (const key of ["blocks", "ranges"] as const)
      for (const [index, prefix] of (value[key] ?? []).entries())
        blocks.push({ prefix, pool, path: ["pools", pool, key, index] });
    for (const key of ["exclude", "reserve"] as const)
      for (const [index, exclusion] of value[key].entries())
        checkExclusion(check, value, ["pools", pool, key, index], exclusion);
    checkReserve(check, pool, value);
  }
  checkOverlaps(check, blocks);
  return blocks;
}

const placeOf = ({ blocks, ranges }: ParsedPool) => [...(blocks ?? []), ...(ranges ?? [])];

/** Keys that say something with one source only. */
const ofEtcd = ["ranges", "blockSize", "maxBlocks", "affinity", "lend", "releaseAfter"] as const;

function checkSource(check: Check, name: string, pool: ParsedPool): void {
  const at = (...path: Path) => ["pools", name, ...path];
  if (pool.source === "static") {
    if (pool.blocks === undefined)
      check.problem(
        at("blocks"),
        "is missing",
        pool.ranges ? "did you mean source: etcd?" : "write blocks: [10.244.1.0/26], or source: etcd and ranges",
      );
    for (const key of ofEtcd)
      if (check.isWritten(at(key)))
        check.problem(at(key), "is for source: etcd", "remove it, or add source: etcd", "key");
    return;
  }
  if (pool.blocks !== undefined)
    check.problem(
      at("blocks"),
      "is for source: static: with etcd, blocks are claimed",
      "write the prefix that all nodes share under ranges, and remove blocks",
      "key",
    );
  if (pool.exceptions.ranges.length > 0)
    check.problem(
      at("exceptions", "ranges"),
      "is for source: static: with etcd, every address of ranges can be asked for",
      "remove it",
      "key",
    );
  if (pool.affinity === "strict" && check.isWritten(at("lend")))
    check.problem(at("lend"), "is for affinity: borrow", "remove it, or add affinity: borrow", "key");
  if (pool.ranges === undefined) check.problem(at("ranges"), "is missing", "write ranges: [10.244.0.0/16]");
  for (const [index, range] of (pool.ranges ?? []).entries()) {
    const key = range.family === 4 ? "ipv4" : "ipv6";
    const size = pool.blockSize[key];
    if (size < range.length)
      check.problem(
        check.isWritten(at("blockSize", key)) ? at("blockSize", key) : at("ranges", index),
        `a /${size} does not fit into ${formatPrefix(range)}`,
        `write ${key}: ${Math.min(range.bytes.length * 8, range.length + 6)}, or a larger range`,
      );
  }
}

/** Both lists sorted, so that long ones are no matter. */
function checkReserve(check: Check, name: string, { exclude, reserve }: ParsedPool): void {
  const byFrom = (a: Exclusion, b: Exclusion) => a.from.length - b.from.length || Buffer.compare(a.from, b.from);
  const excluded = [...exclude].sort(byFrom);
  let next = 0;
  /** Of those that begin no later: the one that ends last. */
  let widest: Exclusion | null = null;
  const asWritten = reserve.map((exclusion, index) => ({ ...exclusion, index }));
  for (const { text, from, to, index } of asWritten.sort(byFrom)) {
    for (; next < excluded.length && byFrom(excluded[next], { text, from, to }) <= 0; next++) {
      const one: Exclusion = excluded[next];
      if (widest?.to.length !== one.to.length || Buffer.compare(one.to, widest.to) > 0) widest = one;
    }
    if (!widest || widest.to.length !== to.length || Buffer.compare(widest.to, to) < 0) continue;
    check.problem(
      ["pools", name, "reserve", index],
      `${text} is excluded as well: nobody gets it`,
      "take it out of exclude, or out of reserve",
    );
  }
}

function checkExclusion(check: Check, pool: ParsedPool, path: Path, exclusion: Exclusion): void {
  const inside = placeOf(pool).some((block) => {
    if (block.bytes.length !== exclusion.from.length) return false;
    const last = lastAddress(block);
    return Buffer.compare(exclusion.from, block.bytes) >= 0 && Buffer.compare(exclusion.to, last) <= 0;
  });
  if (inside) return;
  const what = pool.source === "etcd" ? "range" : "block";
  const hint = `the pool's ${what}s: ${placeOf(pool).map(formatPrefix).join(", ")}`;
  check.problem(path, `${exclusion.text} is not inside of any ${what} of this pool`, hint);
}

function lastAddress({ bytes, length }: Prefix): Uint8Array {
  return bytes.map((byte, index) => byte | (0xff >> Math.min(8, Math.max(0, length - index * 8))));
}

/** Sorted by address, a block can only overlap with one that is still open, so this is not quadratic. */
function checkOverlaps(check: Check, blocks: readonly PlacedBlock[]): void {
  const sorted = blocks
    .map((block, order) => ({ ...block, order }))
    .sort(
      (a, b) =>
        a.prefix.family - b.prefix.family ||
        Buffer.compare(a.prefix.bytes, b.prefix.bytes) ||
        a.prefix.length - b.prefix.length,
    );
  const open: typeof sorted = [];
  for (const block of sorted) {
    while (open.length > 0 && !overlaps(open[open.length - 1].prefix, block.prefix)) open.pop();
    const other = open[open.length - 1];
    if (other) {
      const [earlier, later] = other.order < block.order ? [other, block] : [block, other];
      const text = formatPrefix(later.prefix);
      const place = `pool ${earlier.pool}, line ${check.line(earlier.path)}`;
      const same = formatPrefix(earlier.prefix) === text;
      check.problem(
        later.path,
        same ? `${text} is there twice (${place})` : `${text} overlaps with ${formatPrefix(earlier.prefix)} (${place})`,
        "every address belongs to one block of one pool",
      );
    }
    open.push(block);
  }
}
