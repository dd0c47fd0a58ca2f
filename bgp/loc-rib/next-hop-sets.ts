// Sets of next hops, interned: what a route forwards to, as the kernel's next-hop groups. Prefixes hold small slots, which
// are reused; consumers see ids, which never are, so that a late message about an old set cannot hit a new one.

import type { NextHops } from "./next-hops.ts";
import type { ResolvedMember } from "./types.ts";

interface NextHopSet {
  readonly id: number;
  readonly key: string;
  readonly nextHops: readonly number[];
  /** As many; null: all 1. */
  readonly weights: readonly number[] | null;
}

/** Where set ids come from: one source for all Loc-RIBs, so that an id means one set. */
export interface IdSource {
  next: number;
}

export class NextHopSets {
  readonly #nextHops: NextHops;
  readonly #ids: IdSource;
  readonly #sets: (NextHopSet | null)[] = [null];
  readonly #slotsById = new Map<number, number>();
  readonly #slotsByKey = new Map<string, number>();
  readonly #single = new Map<number, number>();
  readonly #free: number[] = [];
  readonly #garbage = new Set<number>();
  readonly #changed: ((id: number) => void)[] = [];
  readonly #released: ((id: number) => void)[] = [];
  /** By slot: prefixes that use it. */
  #references = new Uint32Array(64);
  #lastNextHop = 0;
  #lastSlot = 0;

  constructor(nextHops: NextHops, ids: IdSource) {
    this.#nextHops = nextHops;
    this.#ids = ids;
  }

  get garbage(): number {
    return this.#garbage.size;
  }

  /** The slot of the set with one next hop. */
  slotOfOne(nextHop: number): number {
    if (nextHop === this.#lastNextHop) return this.#lastSlot;
    const slot = this.#single.get(nextHop) ?? this.#create(String(nextHop), [nextHop]);
    this.#lastNextHop = nextHop;
    this.#lastSlot = slot;
    return slot;
  }

  /** The slot of a set; 0 for the empty one. The order of the members does not matter. */
  slotOf(nextHops: readonly number[], weights: readonly number[] | null = null): number {
    if (nextHops.length === 0) return 0;
    if (nextHops.length === 1) return this.slotOfOne(nextHops[0]);
    if (weights) return this.#slotOfWeighted(nextHops, weights);
    const sorted = [...nextHops].sort((a, b) => a - b);
    const key = sorted.join(" ");
    return this.#slotsByKey.get(key) ?? this.#create(key, sorted);
  }

  #slotOfWeighted(nextHops: readonly number[], weights: readonly number[]): number {
    const members = nextHops.map((nextHop, i) => [nextHop, weights[i]] as const).sort(([a], [b]) => a - b);
    const key = members.map(([nextHop, weight]) => `${nextHop}*${weight}`).join(" ");
    const known = this.#slotsByKey.get(key);
    if (known !== undefined) return known;
    return this.#create(
      key,
      members.map(([nextHop]) => nextHop),
      members.map(([, weight]) => weight),
    );
  }

  /** The id that consumers know the slot by; 0 for slot 0. */
  idOf(slot: number): number {
    return this.#sets[slot]?.id ?? 0;
  }

  /** Next hop ids of a slot. */
  nextHopsOf(slot: number): readonly number[] {
    return this.#sets[slot]?.nextHops ?? [];
  }

  /** The members of the set with this id, resolved as of now. */
  members(id: number): readonly ResolvedMember[] {
    const members = new Map<string, ResolvedMember>();
    const { nextHops, weights } = this.#sets[this.#slotsById.get(id) ?? 0] ?? { nextHops: [], weights: null };
    const others = nextHops.some((nextHop) => !this.#nextHops.avoided(nextHop) && this.#nextHops.usable(nextHop));
    for (const [i, nextHop] of nextHops.entries()) {
      if (others && this.#nextHops.avoided(nextHop)) continue;
      const resolved = this.#nextHops.resolved(nextHop);
      if (!resolved) continue;
      // Two sessions may lead to the same gateway, which is one link.
      const key = `${resolved.ifindex} ${resolved.gateway}`;
      const weight = Math.max(weights?.[i] ?? 1, members.get(key)?.weight ?? 1);
      members.set(key, { ...resolved, weight });
    }
    return [...members.values()];
  }

  retain(slot: number): void {
    if (slot !== 0) this.#references[slot]++;
  }

  release(slot: number): void {
    if (slot !== 0 && --this.#references[slot] === 0) this.#garbage.add(slot);
  }

  onChanged(listener: (id: number) => void): void {
    this.#changed.push(listener);
  }

  onReleased(listener: (id: number) => void): void {
    this.#released.push(listener);
  }

  /** Tells consumers of the sets that contain one of these next hops. */
  nextHopsChanged(nextHops: ReadonlySet<number>): void {
    for (const set of this.#sets) {
      if (!set?.nextHops.some((nextHop) => nextHops.has(nextHop))) continue;
      for (const listener of this.#changed) listener(set.id);
    }
  }

  /** Drops the sets that no prefix uses. */
  sweep(): void {
    for (const slot of this.#garbage) {
      const set = this.#sets[slot];
      if (!set || this.#references[slot] !== 0) continue;
      this.#sets[slot] = null;
      this.#slotsById.delete(set.id);
      if (set.nextHops.length === 1) this.#single.delete(set.nextHops[0]);
      else this.#slotsByKey.delete(set.key);
      this.#lastNextHop = 0;
      for (const nextHop of set.nextHops) this.#nextHops.release(this.#nextHops.addressIdOf(nextHop));
      this.#free.push(slot);
      for (const listener of this.#released) listener(set.id);
    }
    this.#garbage.clear();
  }

  #create(key: string, nextHops: readonly number[], weights: readonly number[] | null = null): number {
    const slot = this.#free.pop() ?? this.#sets.push(null) - 1;
    if (slot >= this.#references.length) {
      const references = new Uint32Array(this.#references.length * 2);
      references.set(this.#references);
      this.#references = references;
    }
    // A next hop, and its id, lives as long as its address has a reference.
    for (const nextHop of nextHops) this.#nextHops.retain(this.#nextHops.addressIdOf(nextHop));
    const id = this.#ids.next++;
    this.#sets[slot] = { id, key, nextHops, weights };
    this.#slotsById.set(id, slot);
    if (nextHops.length === 1) this.#single.set(nextHops[0], slot);
    else this.#slotsByKey.set(key, slot);
    this.#garbage.add(slot);
    return slot;
  }
}
