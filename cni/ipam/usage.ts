// How full blocks and pools are, and what waits in them for whom: what the status, the metrics and the command line show.
import { type Family, formatAddress, parseAddress } from "../../net/address.ts";
import { contains, hostPrefix, overlaps, type Prefix } from "../../net/prefix.ts";
import { type Block, type BlockCounts, sumOf } from "./block.ts";
import type { Placed, Places } from "./places.ts";
import type { Pool } from "./pools.ts";
import { oldestKept } from "./selection.ts";

export interface BlockUse extends BlockCounts {
  readonly prefix: string;
  readonly pool: string;
  /** On the allocator's clock: since when no address has had an owner; null: one has. */
  readonly emptySince: number | null;
}

/** The blocks of one family of a pool together. */
export interface PoolUse extends BlockCounts {
  readonly pool: string;
  readonly family: Family;
  readonly blocks: number;
}

/** One address, unless it is free. */
export interface AddressUse {
  readonly address: string;
  /** The block that it is in; null: none. */
  readonly block: string | null;
  readonly pool: string;
  readonly state: AddressState;
  /** Whose it is, or was; null: not known, or nobody's. */
  readonly identity: string | null;
  /** Of the allocation. */
  readonly sequence: number | null;
  /** Until others may have it; null: nobody can tell, or they may. */
  readonly seconds: number | null;
}

/** `sticky`: kept for a pod that may come again. The last three only of an address that was asked about by itself. */
export type AddressState = "used" | "cooling" | "sticky" | "free" | "reserved" | "excluded";

/** What a pool keeps for a pod. */
export interface KeptUse {
  readonly pool: string;
  readonly identity: string;
  readonly addresses: readonly string[];
  /** So long it will be kept. */
  readonly seconds: number;
}

export function blockUses(places: Places): BlockUse[] {
  const now = places.now();
  for (const pool of places.pools.values()) places.expire(pool, now);
  const uses = ({ block, pool }: Placed): BlockUse => ({
    prefix: block.text,
    pool,
    emptySince: block.emptySince,
    ...block.counts(now),
  });
  const placed = places.placed().map(uses);
  const listed = new Set(placed.map((use) => use.prefix));
  return [...placed, ...places.retiring.map(uses).filter((use) => use.used > 0 && !listed.has(use.prefix))];
}

/** One entry per family that the pool has blocks of. An unknown pool has none. */
export function poolUse(places: Places, name: string): PoolUse[] {
  const pool = places.pools.get(name);
  if (!pool) return [];
  const now = places.now();
  places.expire(pool, now);
  return [...pool.blocks].map(([family, blocks]) => ({
    pool: name,
    family,
    blocks: blocks.length,
    ...sumOf(blocks.map((block) => block.counts(now))),
  }));
}

/** Addresses within a prefix; one address by itself in any state, if a block has it. */
export function addressUses(places: Places, within: Prefix): AddressUse[] {
  const now = places.now();
  const inside = (address: string) => contains(within, hostPrefix(parseAddress(address)!));
  const found: AddressUse[] = [];
  for (const { block, pool } of places.all()) {
    if (!overlaps(block.prefix, within)) continue;
    const owner = places.poolOf.get(block);
    if (owner) places.expire(owner, now);
    const of = { block: block.text, pool };
    for (const [address, { identity, sequence }] of block.owners)
      if (inside(address)) found.push({ address, ...of, state: "used", identity, sequence, seconds: null });
    for (const entry of block.released()) {
      const { address, identity, sequence, since } = entry;
      if (!inside(address)) continue;
      const kept = block.isKept(address);
      const left = kept ? since + (owner?.options.sticky?.for ?? 0) * 1000 - now : block.coolingTime(address, now);
      if (left <= 0) continue;
      const seconds = Math.ceil(left / 1000);
      found.push({ address, ...of, state: kept ? "sticky" : "cooling", identity, sequence, seconds });
    }
    const alone = within.length === within.bytes.length * 8 && found.length === 0;
    if (alone && owner) found.push({ ...nobodys(block, within.bytes), ...of });
  }
  for (const [address, { identity, sequence, pool }] of places.outside.owners)
    if (inside(address)) found.push({ address, block: null, pool, state: "used", identity, sequence, seconds: null });
  return found;
}

function nobodys(block: Block, bytes: Uint8Array): Omit<AddressUse, "block" | "pool"> {
  const state = block.isExcluded(bytes) ? "excluded" : block.isReserved(bytes) ? "reserved" : "free";
  return { address: formatAddress(bytes), state, identity: null, sequence: null, seconds: null };
}

/** For whom addresses are kept, by pool, oldest first. `until`: milliseconds on the allocator's clock. */
export function keptFor(places: Places): KeptUse[] {
  const now = places.now();
  return [...places.pools.values()].flatMap((pool) => {
    places.expire(pool, now);
    const time = (pool.options.sticky?.for ?? 0) * 1000;
    return [...pool.reservations.all()].map(({ identity, entries, since }) => ({
      pool: pool.name,
      identity,
      addresses: entries.map(({ address }) => address),
      seconds: Math.max(0, Math.round((since + time - now) / 1000)),
    }));
  });
}

/** Null when a pod could be served, now or as soon as an address has cooled down; otherwise why not. */
export function exhausted(places: Places, pools: readonly Pool[]): string | null {
  const now = places.now();
  const reasons = pools.map((pool) => {
    const { name } = pool;
    if (pool.blocks.size === 0) return `pool "${name}" has no blocks`;
    for (const [family, blocks] of pool.blocks) {
      const open = blocks.filter(({ held }) => held === null);
      const any = open.some((block) => block.next(now) !== null || block.nextIn(now) !== null);
      if (!any && oldestKept(pool, family, now) === null) return `pool "${name}" has no free IPv${family} address`;
    }
    return null;
  });
  return reasons.includes(null) ? null : reasons.join("; ");
}
