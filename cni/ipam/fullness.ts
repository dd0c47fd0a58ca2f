// How full pools are, and who has to be told: in time, and not again and again. In: a change in a pool. Out: a change
// of its level, per family.
//
//   fine -- warnAt of the addresses in use --> filling -- none to be had, nor soon --> exhausted
//   and back when there is a little more room than it took to get there
import type { Family } from "../../net/address.ts";
import type { PoolOptions } from "../types.ts";
import type { PoolUse } from "./allocator.ts";

export type PoolLevel = "fine" | "filling" | "exhausted";

export interface PoolFullness extends PoolUse {
  readonly level: PoolLevel;
  /** Of the addresses that are not reserved, in percent, rounded down; null: the pool is too large to count. */
  readonly usedPercent: number | null;
}

/** Points below warnAt at which it is over. */
const HYSTERESIS = 5;
/** Share of the addresses that has to be there again after none was. */
const ROOM = 1 / 100;

/** The level after `before`. */
export function levelOf(use: PoolUse, warnAt: number | null, before: PoolLevel): PoolLevel {
  const percent = usedPercent(use);
  if (use.free === null || use.capacity === null || percent === null) return "fine";
  const left = use.free + use.cooling + use.sticky;
  if (left <= 0) return "exhausted";
  if (before === "exhausted" && left < Math.min(2, use.capacity) + use.capacity * ROOM) return "exhausted";
  if (warnAt === null) return "fine";
  const limit = before === "fine" ? warnAt : Math.max(1, warnAt - HYSTERESIS);
  return percent >= limit ? "filling" : "fine";
}

export function usedPercent({ capacity, reserved, used }: PoolUse): number | null {
  if (capacity === null || reserved === null) return null;
  const size = capacity - reserved;
  return size <= 0 ? 100 : Math.min(100, Math.floor((used * 100) / size));
}

export class Fullness {
  readonly #use: (pool: string) => readonly PoolUse[];
  readonly #onChange: (fullness: PoolFullness, before: PoolLevel) => void;
  readonly #levels = new Map<string, PoolLevel>();
  #pools: readonly PoolOptions[] = [];

  /** `onChange` is called when the level of a family of a pool is another one. */
  constructor(
    use: (pool: string) => readonly PoolUse[],
    onChange: (fullness: PoolFullness, before: PoolLevel) => void,
  ) {
    this.#use = use;
    this.#onChange = onChange;
  }

  /** Other pools; those that are gone are forgotten, and so are blocks that nobody counts any more. */
  setPools(pools: readonly PoolOptions[]): void {
    this.#pools = pools;
    const left = new Set<string>();
    for (const { name } of pools) {
      this.changed(name);
      for (const { family } of this.#use(name)) left.add(keyOf(name, family));
    }
    for (const key of this.#levels.keys()) if (!left.has(key)) this.#levels.delete(key);
  }

  changed(pool: string): void {
    const options = this.#pools.find(({ name }) => name === pool);
    if (!options) return;
    for (const use of this.#use(pool)) {
      const key = keyOf(pool, use.family);
      const before = this.#levels.get(key) ?? "fine";
      const level = levelOf(use, options.warnAt ?? null, before);
      if (level === before) continue;
      this.#levels.set(key, level);
      this.#onChange({ ...use, level, usedPercent: usedPercent(use) }, before);
    }
  }

  all(): PoolFullness[] {
    return this.#pools.flatMap(({ name }) =>
      this.#use(name).map((use) => ({
        ...use,
        level: this.#levels.get(keyOf(name, use.family)) ?? "fine",
        usedPercent: usedPercent(use),
      })),
    );
  }
}

/** In words, for the log and the status; null when there is nothing to say. */
export function describeFullness({ pool, family, level, used, capacity, reserved }: PoolFullness): string | null {
  if (level === "fine") return null;
  const of = `${used} of ${(capacity ?? 0) - (reserved ?? 0)} IPv${family} addresses in use`;
  return level === "exhausted"
    ? `pool ${pool} is exhausted: ${of}; remove pods or add a block`
    : `pool ${pool} is nearly exhausted: ${of}; add a block in time`;
}

function keyOf(pool: string, family: Family): string {
  return `${pool}/${family}`;
}
