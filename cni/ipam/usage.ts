// How full blocks and pools are, and what waits in them for whom: what the status, the metrics and the command line show.
import type { Family } from "../../net/address.ts";
import type { BlockCounts } from "./block.ts";
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
    ...sum(blocks.map((block) => block.counts(now))),
  }));
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

function sum(counts: readonly BlockCounts[]): BlockCounts {
  const add = (of: (counts: BlockCounts) => number | null) =>
    counts.reduce<number | null>((total, one) => {
      const value = of(one);
      return total === null || value === null ? null : total + value;
    }, 0);
  return {
    capacity: add(({ capacity }) => capacity),
    used: add(({ used }) => used)!,
    free: add(({ free }) => free),
    cooling: add(({ cooling }) => cooling)!,
    reserved: add(({ reserved }) => reserved),
    sticky: add(({ sticky }) => sticky)!,
  };
}
