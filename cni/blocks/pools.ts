// The pools of the cluster: their record in etcd, and what is wrong with one that somebody wants.
import { type Family, parseAddress } from "../../net/address.ts";
import { formatPrefix, overlaps, type Prefix, parsePrefix, prefix } from "../../net/prefix.ts";
import { parseRange } from "../ipam/range.ts";
import { familyOf } from "./keys.ts";
import type { ClusterPool } from "./types.ts";

const POOL_DEFAULTS = { exclude: [], rackSize: {}, racks: {}, lend: 0, maxBlocks: 20 } as const;
const DEFAULT_RACK_BLOCKS_LOG2 = 4;

/** Canonical, so that two definitions that mean the same are the same text. */
export function formatPool(pool: ClusterPool): string {
  const { name, cidrs, blockSize, exclude, rackSize, racks, lend, maxBlocks } = pool;
  const sizes = (of: { readonly 4?: number; readonly 6?: number }) => ({ 4: of[4], 6: of[6] });
  return JSON.stringify({
    name,
    cidrs: [...cidrs].sort(),
    blockSize: sizes(blockSize),
    exclude: [...exclude].sort(),
    rackSize: sizes(rackSize),
    racks: Object.fromEntries(
      Object.entries(racks)
        .map(([rack, ranges]) => [rack, [...ranges].sort()] as const)
        .sort(([a], [b]) => (a < b ? -1 : 1)),
    ),
    lend,
    maxBlocks,
  });
}

/** Null: not a pool, or one that checkPool() finds fault with. */
export function parsePool(text: string): ClusterPool | null {
  try {
    const pool = { ...POOL_DEFAULTS, ...JSON.parse(text) } as ClusterPool;
    return checkPool(pool) === null ? pool : null;
  } catch {
    return null;
  }
}

/** What is wrong with it, in words; null: nothing. Total: whatever somebody has put into etcd. */
export function checkPool(pool: ClusterPool): string | null {
  const { name, cidrs, blockSize, exclude, rackSize, racks, lend, maxBlocks } = pool;
  if (typeof name !== "string" || name === "") return "a pool needs a name";
  if (!isTextList(cidrs) || cidrs.length === 0) return `pool ${name}: no CIDRs`;
  const parsed: Prefix[] = [];
  for (const cidr of cidrs) {
    const of = parsePrefix(cidr);
    if (typeof of === "string" || formatPrefix(of) !== cidr) return `pool ${name}: "${cidr}" is no canonical prefix`;
    const other = parsed.find((before) => overlaps(before, of));
    if (other) return `pool ${name}: ${cidr} overlaps ${formatPrefix(other)}`;
    const size = blockSize?.[of.family];
    const bits = of.family === 4 ? 32 : 128;
    if (!Number.isInteger(size) || size! < of.length || size! > bits)
      return `pool ${name}: blockSize for IPv${of.family} has to be a prefix length from ${of.length} (${cidr}) to ${bits}`;
    const rack = rackSize?.[of.family];
    if (rack !== undefined && (!Number.isInteger(rack) || rack < 0 || rack > size!))
      return `pool ${name}: rackSize for IPv${of.family} has to be a prefix length up to the block size, ${size}`;
    parsed.push(of);
  }
  if (!isTextList(exclude)) return `pool ${name}: exclude is no list`;
  for (const text of exclude)
    if (!parseRange(text)) return `pool ${name}: exclude "${text}" is no address, range or prefix`;
  if (typeof racks !== "object" || racks === null) return `pool ${name}: racks is no mapping`;
  for (const [rack, ranges] of Object.entries(racks)) {
    if (!isTextList(ranges)) return `pool ${name}: the ranges of rack ${rack} are no list`;
    for (const text of ranges)
      if (typeof parsePrefix(text) === "string") return `pool ${name}: rack ${rack}: "${text}" is no prefix`;
  }
  if (!Number.isInteger(lend) || lend < 0) return `pool ${name}: lend has to be a number of addresses`;
  if (!Number.isInteger(maxBlocks) || maxBlocks < 1) return `pool ${name}: maxBlocks has to be at least 1`;
  return null;
}

function isTextList(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((entry) => typeof entry === "string");
}

/** A CIDR of one that a CIDR of another one overlaps, in words; null: there is none. */
export function clash(pool: ClusterPool, others: readonly ClusterPool[]): string | null {
  for (const other of others) {
    if (other.name === pool.name) continue;
    for (const mine of pool.cidrs)
      for (const theirs of other.cidrs)
        if (overlaps(prefix(mine), prefix(theirs)))
          return `${mine} of pool ${pool.name} overlaps ${theirs} of pool ${other.name}`;
  }
  return null;
}

/** Of a CIDR: the prefix length of the ranges that racks fill one after the other. */
export function rackRangeLength(pool: ClusterPool, cidr: Prefix): number {
  const blockSize = pool.blockSize[cidr.family]!;
  const wanted = pool.rackSize[cidr.family] ?? blockSize - DEFAULT_RACK_BLOCKS_LOG2;
  return Math.min(blockSize, Math.max(cidr.length, wanted));
}

export function cidrsOf(pool: ClusterPool, family: Family): string[] {
  return pool.cidrs.filter((cidr) => familyOf(cidr) === family);
}

/** Whether an address must never be given out. */
export function isExcluded(pool: ClusterPool, address: string): boolean {
  const bytes = parseAddress(address);
  return pool.exclude.some((text) => {
    const range = parseRange(text);
    if (!bytes || !range || range.first.length !== bytes.length) return false;
    return Buffer.compare(range.first, bytes) <= 0 && Buffer.compare(bytes, range.last) <= 0;
  });
}
