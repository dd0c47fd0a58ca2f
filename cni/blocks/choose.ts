// Which block a node claims next. Pure: a snapshot of who has what -> a prefix. A wrong choice costs an attempt and
// nothing else, because the claim is a transaction that compares.
//
// Racks: the CIDRs are cut into aligned ranges (16 blocks, or `rackSize`), and a range belongs to the rack that claims
// in it first, by a key that every claim in it writes. So a ToR can announce the range as one aggregate, and two racks
// share one only when there is no other free block left. Nodes of no rack keep out of racks' ranges as long as they
// can; each begins at a place of its own.
import type { Family } from "../../net/address.ts";
import { cidrsOf, rackRangeLength } from "./pools.ts";
import { type AddressInterval, firstFree, type Interval, interval, merge, Space } from "./space.ts";
import type { ClusterPool } from "./types.ts";

export interface TakenBlock {
  readonly prefix: string;
  /** Null: of a record that cannot be read. */
  readonly node: string | null;
  readonly rack: string | null;
}

export interface RackRange {
  readonly prefix: string;
  readonly rack: string | null;
  readonly modRevision: number;
}

export interface Snapshot {
  readonly pool: ClusterPool;
  readonly family: Family;
  /** Of every pool and size: all that overlaps a candidate is in its way. */
  readonly taken: readonly TakenBlock[];
  readonly ranges: readonly RackRange[];
}

export interface Claimer {
  readonly node: string;
  readonly rack: string | null;
  /** From 0; later ones begin somewhere else. */
  readonly attempt: number;
  /** From 0 to below 1. */
  readonly random: number;
}

export interface Choice {
  readonly prefix: string;
  /** The rack's range, and when its key was written last (0: never); null: the claim does not care. */
  readonly range: { readonly prefix: string; readonly seen: number } | null;
}

/** Null: there is no free block. */
export function chooseBlock(claimer: Claimer, snapshot: Snapshot): Choice | null {
  const { pool, family } = snapshot;
  const areas = cidrsOf(pool, family).map((cidr) => new Area(new Space(cidr, pool.blockSize[family]!), snapshot));
  if (claimer.rack === null) return chooseAlone(claimer, areas);
  const rack = claimer.rack;
  const meant = (name: (other: string) => boolean) =>
    Object.entries(pool.racks).flatMap(([other, ranges]) => (name(other) ? ranges.map(interval) : []));
  const own = meant((other) => other === rack);
  const others = meant((other) => other !== rack);
  for (const area of areas) {
    const choice = area.inRangeOf(rack);
    if (choice) return choice;
  }
  for (const range of own)
    for (const area of areas) {
      const within = area.space.touched(range);
      const choice = within && area.inNewRange(rack, within.first, within.last, []);
      if (choice) return choice;
    }
  for (const avoid of others.length > 0 ? [others, []] : [[]]) {
    const choice = walk(areas, startOf(rack, claimer, areas), (area, from, to) =>
      area.inNewRange(rack, from, to, avoid),
    );
    if (choice) return choice;
  }
  return walk(areas, startOf(rack, claimer, areas), (area, from, to) => area.anywhere(from, to, false));
}

function chooseAlone(claimer: Claimer, areas: readonly Area[]): Choice | null {
  if (claimer.attempt === 0)
    for (const area of areas) {
      const after = area.behindOwn(claimer.node);
      const choice = after !== null && area.anywhere(after, area.space.size - 1n, true);
      if (choice) return choice;
    }
  const start = startOf(claimer.node, claimer, areas);
  return (
    walk(areas, start, (area, from, to) => area.anywhere(from, to, true)) ??
    walk(areas, start, (area, from, to) => area.anywhere(from, to, false))
  );
}

/** Where a name begins to look, as a number among all blocks. */
function startOf(name: string, { attempt, random }: Claimer, areas: readonly Area[]): bigint {
  const all = areas.reduce((sum, area) => sum + area.space.size, 0n);
  if (all === 0n) return 0n;
  const point = attempt === 0 ? hash(name) : Math.floor(random * 2 ** 32);
  return (all * BigInt(point)) >> 32n;
}

/** From `start` to the end of the last area, and then from the beginning. */
function walk(
  areas: readonly Area[],
  start: bigint,
  look: (area: Area, from: bigint, to: bigint) => Choice | null,
): Choice | null {
  const parts: { readonly area: Area; readonly from: bigint; readonly to: bigint }[] = [];
  const before: typeof parts = [];
  let base = 0n;
  for (const area of areas) {
    const end = area.space.size - 1n;
    const at = start - base;
    if (at <= 0n) parts.push({ area, from: 0n, to: end });
    else if (at > end) before.push({ area, from: 0n, to: end });
    else {
      parts.push({ area, from: at, to: end });
      before.push({ area, from: 0n, to: end });
    }
    base += area.space.size;
  }
  for (const { area, from, to } of [...parts, ...before]) {
    const choice = look(area, from, to);
    if (choice) return choice;
  }
  return null;
}

/** FNV-1a, 32 bits. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (const byte of Buffer.from(text)) value = Math.imul(value ^ byte, 0x01000193) >>> 0;
  return value;
}

/** One CIDR with what is taken in it. */
class Area {
  readonly space: Space;
  /** Taken by blocks, or excluded as a whole. */
  readonly #taken: readonly Interval[];
  readonly #blocks: readonly { readonly at: Interval; readonly block: TakenBlock }[];
  /** By the number of their first block. */
  readonly #ranges = new Map<bigint, RackRange>();
  readonly #rangeLength: number;
  readonly #rangeSize: bigint;

  constructor(space: Space, { pool, taken, ranges }: Snapshot) {
    this.space = space;
    this.#blocks = taken.flatMap((block) => {
      const at = space.touched(interval(block.prefix));
      return at ? [{ at, block }] : [];
    });
    const excluded = pool.exclude.flatMap((text) => space.covered(interval(text)) ?? []);
    this.#taken = merge([...excluded, ...this.#blocks.map(({ at }) => at)]);
    this.#rangeLength = rackRangeLength(pool, space.cidr);
    this.#rangeSize = 1n << BigInt(space.blockSize - this.#rangeLength);
    for (const range of ranges) {
      const at = space.touched(interval(range.prefix));
      if (at && space.prefixAt(at.first, this.#rangeLength) === range.prefix) this.#ranges.set(at.first, range);
    }
  }

  /** A free block of a range that is the rack's already; the fullest range first. */
  inRangeOf(rack: string): Choice | null {
    const own = [...this.#ranges].filter(([, range]) => range.rack === rack);
    const filled = own.map(([first, range]) => ({ first, range, used: this.#within(first).length }));
    filled.sort((a, b) => b.used - a.used || (a.first < b.first ? -1 : 1));
    for (const { first, range } of filled) {
      const index = firstFree(this.#taken, first, this.#lastOf(first));
      if (index !== null) return this.#choice(index, { prefix: range.prefix, seen: range.modRevision });
    }
    return null;
  }

  /** The first free block of a range that is no other rack's, from a block on. */
  inNewRange(rack: string, from: bigint, to: bigint, avoid: readonly AddressInterval[]): Choice | null {
    const avoided = avoid.flatMap((range) => this.space.touched(range) ?? []);
    const taken = avoided.length > 0 ? merge([...this.#taken, ...avoided]) : this.#taken;
    let at: bigint | null = from;
    while (at !== null && at <= to) {
      const free: bigint | null = firstFree(taken, at, to);
      if (free === null) return null;
      const first = this.#firstOf(free);
      if (this.#isOpenTo(rack, first)) {
        const index = firstFree(taken, first, this.#lastOf(first))!;
        const seen = this.#ranges.get(first)?.modRevision ?? 0;
        return this.#choice(index, { prefix: this.space.prefixAt(first, this.#rangeLength), seen });
      }
      at = this.#lastOf(first) + 1n;
    }
    return null;
  }

  /** Any free block; `decent`: not in a rack's range. */
  anywhere(from: bigint, to: bigint, decent: boolean): Choice | null {
    const ranges = decent ? [...this.#ranges.keys()].filter((first) => this.#within(first).length > 0) : [];
    const taken = merge([...this.#taken, ...ranges.map((first) => ({ first, last: this.#lastOf(first) }))]);
    const index = firstFree(taken, from, to);
    return index === null ? null : this.#choice(index, null);
  }

  /** The number behind the node's last block here. */
  behindOwn(node: string): bigint | null {
    const own = this.#blocks.filter(({ block }) => block.node === node).map(({ at }) => at.last + 1n);
    return own.length === 0 ? null : own.reduce((a, b) => (a > b ? a : b));
  }

  #isOpenTo(rack: string, first: bigint): boolean {
    const owner = this.#ranges.get(first)?.rack;
    if (owner === rack) return true;
    const blocks = this.#within(first);
    // A range without blocks is up for whoever comes, whatever its key says.
    return blocks.every((block) => owner === undefined && block.rack === rack);
  }

  #within(first: bigint): TakenBlock[] {
    const last = this.#lastOf(first);
    return this.#blocks.filter(({ at }) => at.first <= last && at.last >= first).map(({ block }) => block);
  }

  #firstOf(index: bigint): bigint {
    return (index / this.#rangeSize) * this.#rangeSize;
  }

  #lastOf(first: bigint): bigint {
    return first + this.#rangeSize - 1n;
  }

  #choice(index: bigint, range: Choice["range"]): Choice {
    return { prefix: this.space.prefixAt(index), range };
  }
}
