// Pools: their tables, blocks that overlap, exclusions that exclude nothing.
import { formatPrefix, overlaps, type Prefix } from "../net/prefix.ts";
import type { Check } from "./check.ts";
import type { Exclusion } from "./scalars.ts";
import type { ParsedPool } from "./schema.ts";
import type { Path } from "./source.ts";

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
    for (const [index, prefix] of value.blocks.entries())
      blocks.push({ prefix, pool, path: ["pools", pool, "blocks", index] });
    for (const [index, exclusion] of value.exclude.entries())
      checkExclusion(check, value, ["pools", pool, "exclude", index], exclusion);
  }
  checkOverlaps(check, blocks);
  return blocks;
}

function checkExclusion(check: Check, pool: ParsedPool, path: Path, exclusion: Exclusion): void {
  const inside = pool.blocks.some((block) => {
    if (block.bytes.length !== exclusion.from.length) return false;
    const last = lastAddress(block);
    return Buffer.compare(exclusion.from, block.bytes) >= 0 && Buffer.compare(exclusion.to, last) <= 0;
  });
  if (inside) return;
  const hint = `the pool's blocks: ${pool.blocks.map(formatPrefix).join(", ")}`;
  check.problem(path, `${exclusion.text} is not inside of any block of this pool`, hint);
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
