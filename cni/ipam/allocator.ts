// Who may have which address. Pure bookkeeping in memory; the store makes it last.
//
// One address per family of the pool's blocks, all or none. A pool's blocks are tried in their order. An address that
// was asked for by name is given or refused, never replaced. Each allocation has a sequence number, and gives back only
// what it has itself.
import type { Prefix } from "../../net/prefix.ts";
import { uptime } from "../../net/uptime.ts";
import type { PoolOptions, RetiringBlock } from "../types.ts";
import type { Owner } from "./block.ts";
import { Contenders } from "./contenders.ts";
import { type Exceptions, noExceptions } from "./exceptions.ts";
import { Places } from "./places.ts";
import { choosePools } from "./pool-choice.ts";
import type { Pool } from "./pools.ts";
import { identityOf, keepOf, type PodRecord, type ReleasedAddress } from "./records.ts";
import * as refusals from "./refusals.ts";
import { inThisBoot, type Released } from "./release-queue.ts";
import {
  type Choice,
  choose,
  isLater,
  isShortage,
  keeperFirst,
  oldestKept,
  poolWith,
  type Shortage,
  type Wish,
} from "./selection.ts";
import type { Reservation } from "./sticky.ts";
import {
  type AddressUse,
  addressUses,
  type BlockUse,
  blockUses,
  exhausted,
  type KeptUse,
  keptFor,
  type PoolUse,
  poolUse,
} from "./usage.ts";

export type { BlockUse, PoolUse } from "./usage.ts";

export interface AllocationRequest {
  /** In order of preference, as choosePools() has them. */
  readonly pools: readonly string[];
  /** Asked for by name; at most one per family. */
  readonly addresses?: readonly Uint8Array[];
  /** identityOf() who asks. */
  readonly identity?: string | null;
  /** As in ReleasedAddress. */
  readonly keep?: Owner["keep"];
}

export interface Allocation {
  readonly pool: string;
  /** One canonical address per family, IPv4 first. */
  readonly addresses: readonly string[];
  readonly sequence: number;
  /** What is known of those that had been given back: the journal's, should the allocation be undone. */
  readonly restored: readonly ReleasedAddress[];
  /** What undo() brings back. */
  readonly before: readonly Released[];
}

/** A pod's addresses are kept no longer, because somebody needs one and there is no other. */
export interface Eviction {
  readonly pool: string;
  readonly identity: string;
  readonly addresses: readonly string[];
}

export interface AllocatorOptions {
  /** Milliseconds since boot. */
  readonly now?: () => number;
  /** Milliseconds since 1970. */
  readonly wall?: () => number;
  /** A retiring block has given its last address back. */
  readonly onRetired?: () => void;
  readonly onEvicted?: (eviction: Eviction) => void;
  readonly exceptions?: Exceptions;
}

export class Allocator {
  readonly #now: () => number;
  readonly #wall: () => number;
  readonly #onEvicted: (eviction: Eviction) => void;
  readonly #listeners: ((pool: string) => void)[] = [];
  #exceptions: Exceptions;
  readonly #places: Places;
  readonly #contenders = new Contenders();
  #sequence = 0;

  constructor(pools: readonly PoolOptions[], options: AllocatorOptions = {}) {
    this.#now = options.now ?? uptime;
    this.#wall = options.wall ?? Date.now;
    this.#onEvicted = options.onEvicted ?? (() => {});
    this.#exceptions = options.exceptions ?? noExceptions;
    this.#places = new Places(pools, this.#now, {
      onRetired: options.onRetired ?? (() => {}),
      onLeft: (address) => this.#exceptions.released(address),
    });
  }

  /** Who decides on addresses outside of the blocks, from now on. */
  set exceptions(exceptions: Exceptions) {
    this.#exceptions = exceptions;
  }

  /** `listener` is called with a pool's name after every change of what is free in it, and when it had nothing for a pod. */
  onChange(listener: (pool: string) => void): void {
    this.#listeners.push(listener);
  }

  /** Other pools, from now on; addresses in use stay with their owners. Nothing is held back any more. */
  setPools(pools: readonly PoolOptions[]): void {
    this.#places.setPools(pools);
    for (const { name } of pools) this.#changed(name);
  }

  /** At start, before adopt(): blocks of a former run that are in no pool now. */
  keep(prefixes: readonly string[]): void {
    this.#places.keep(prefixes);
  }

  /** Blocks in no pool that still have an owner of an address. */
  retiring(): RetiringBlock[] {
    return this.#places.retiring
      .filter(({ block }) => block.used > 0)
      .map(({ block, pool }) => ({ prefix: block.text, pool, addresses: [...block.owners.keys()] }));
  }

  /** Blocks that would be retiring with these pools. */
  uncovered(pools: readonly PoolOptions[]): RetiringBlock[] {
    return this.#places.uncovered(pools);
  }

  /** No new addresses out of a block, for this reason; null: again. */
  hold(text: string, reason: string | null): void {
    this.#places.hold(text, reason);
  }

  /** Names of the pools for a pod, in order of preference. `names`: asked for, often none. Throws code 7. */
  choosePools(names: readonly string[], namespace: string | null = null): string[] {
    return choosePools(
      [...this.#places.pools.values()].map(({ options }) => options),
      names,
      namespace,
    );
  }

  /**
   * Throws a CniError and leaves everything as it was: 101 or 102 when an address asked for by name is not to be had, 100
   * when the pools have no other, 11 when they will have one soon.
   */
  allocate(request: AllocationRequest): Allocation {
    const now = this.#now();
    const { addresses = [], identity = null } = request;
    const wish: Wish = {
      addresses,
      identity,
      admits: (address) => identity !== null && this.#exceptions.admits(address, identity),
    };
    const named = request.pools.map((name) => this.#pool(name));
    for (const pool of named) this.#places.expire(pool, now);
    const pools = addresses.length > 0 ? [poolWith(named, wish)] : keeperFirst(named, identity);
    const shortages: Shortage[] = [];
    for (const pool of pools) {
      const result = choose(pool, wish, now);
      if (!isShortage(result)) return this.#take(pool, result, request, []);
      shortages.push(result);
      this.#changed(pool.name);
    }
    for (const pool of pools) {
      if (pool.options.whenCooling !== "reuse") continue;
      const result = choose(pool, wish, now, true);
      if (!isShortage(result)) return this.#take(pool, result, request, []);
    }
    const [soonest] = shortages.filter(isLater).sort((a, b) => (a.wait ?? Infinity) - (b.wait ?? Infinity));
    if (soonest) throw soonest.error;
    for (const pool of pools) {
      const allocation = this.#allocateKept(pool, wish, request, now);
      if (allocation) return allocation;
    }
    throw shortages[shortages.length - 1].error;
  }

  /** All addresses, or none, are again what they were before the allocation, which nobody has made use of. */
  undo({ addresses, sequence, before }: Allocation): void {
    const now = this.#now();
    const pools = new Set<string>();
    for (const address of addresses) {
      const block = this.#places.forget(address, sequence, now);
      if (!block) continue;
      pools.add(this.#places.poolOf.get(block)?.name ?? "");
      if (!before.some((entry) => entry.address === address)) block.rewind(address);
    }
    for (const entry of before) if (!this.#places.ownerOf(entry.address)) this.#places.enter(entry, now);
    this.#places.dropRetired();
    for (const name of pools) this.#changed(name);
  }

  /**
   * Takes addresses that another plugin has allocated, of any block or none. Throws 101 for one that has an owner here, and
   * leaves everything as it was.
   */
  take(addresses: readonly string[], pool: string, identity: string): Allocation {
    const taken = addresses.find((address) => this.#places.ownerOf(address));
    if (taken !== undefined) throw refusals.taken(taken);
    const owner: Owner = { sequence: this.nextSequence(), identity, pool, keep: null };
    for (const address of addresses) this.#places.take(address, owner);
    for (const name of this.#places.poolsOf(addresses)) this.#changed(name);
    return { pool, addresses, sequence: owner.sequence, restored: [], before: [] };
  }

  /**
   * Gives back what this allocation has. Addresses that are somebody else's by now, and those of nobody, stay as they
   * are.
   */
  release(addresses: readonly string[], sequence: number): void {
    const now = this.#now();
    const pools = new Set<string>();
    for (const address of addresses) {
      const owner = this.#places.ownerOf(address);
      this.#contenders.leave(address, sequence);
      if (!owner || owner.sequence !== sequence) continue;
      const heir = this.#contenders.next(address);
      if (heir) {
        this.#places.forget(address, sequence, now);
        this.#places.take(address, heir);
        continue;
      }
      const stored = { address, ...owner, at: now, time: this.#wall() };
      const block = this.#places.forget(address, sequence, now);
      this.#places.enter({ ...stored, at: now, since: now, stored }, now);
      if (block) pools.add(this.#places.poolOf.get(block)?.name ?? "");
    }
    this.#places.dropRetired();
    for (const name of pools) this.#changed(name);
  }

  /**
   * At start: addresses that are in use according to the store or the kernel. False when one already has an owner: it is then
   * this one's when that one gives it back.
   */
  adopt(record: Pick<PodRecord, "addresses" | "pool" | "sequence"> & Partial<PodRecord>): boolean {
    const { addresses, pool, network = "", containerId = "", ifname = "", pod = null, identity, keep } = record;
    const owner: Owner = {
      sequence: record.sequence ?? 0,
      identity: containerId === "" ? null : identityOf({ network, containerId, ifname, pod, identity }),
      pool,
      keep: keepOf({ pod, keep }),
    };
    this.continueFrom(owner.sequence);
    let alone = true;
    for (const address of addresses) {
      if (this.#places.ownerOf(address)) {
        this.#contenders.add(address, owner);
        alone = false;
        continue;
      }
      const block = this.#places.blockOf(address);
      if (!block?.take(address, owner)) this.#places.outside.take(address, owner);
      for (const retiring of this.#places.retiring) if (retiring.block === block) retiring.pool ||= pool;
    }
    return alone;
  }

  /** At start: no allocation gets this sequence, or a smaller one. */
  continueFrom(sequence: number): void {
    this.#sequence = Math.max(this.#sequence, sequence);
  }

  /** For an allocation that the kernel knows and the store does not. */
  nextSequence(): number {
    return ++this.#sequence;
  }

  /** At start: the addresses given back, oldest first. Returns those that nobody has, with times of this boot. */
  restoreReleased(released: Iterable<ReleasedAddress>): ReleasedAddress[] {
    const now = this.#now();
    const wall = this.#wall();
    const kept: ReleasedAddress[] = [];
    for (const found of released) {
      if (this.#places.ownerOf(found.address)) continue;
      const entry = inThisBoot(found, now, wall);
      this.#places.enter(entry, now);
      kept.push(entry.stored);
    }
    return kept;
  }

  /** The options of the pools, in the order of the configuration. */
  get pools(): PoolOptions[] {
    return [...this.#places.pools.values()].map(({ options }) => options);
  }

  /** Whether an address is in a block of any pool, or in one that is retiring. */
  covers(address: string): boolean {
    return this.#places.blockOf(address) !== undefined;
  }

  /** Whether one of these pools has a block with the address. */
  isIn(pools: readonly string[], address: string): boolean {
    const block = this.#places.placedBlockOf(address);
    return block !== undefined && pools.includes(this.#places.poolOf.get(block)!.name);
  }

  /** Prefixes of the blocks that addresses are of, each once; an address that is in none counts for nothing. */
  blocksOf(addresses: readonly string[]): string[] {
    const blocks = new Set(addresses.map((address) => this.#places.blockOf(address)));
    return [...blocks].flatMap((block) => (block ? [block.text] : []));
  }

  /** Addresses in use that are in no block: by exception, or from before the pools were changed. */
  outside(): ({ readonly address: string } & Owner)[] {
    return [...this.#places.outside.owners].map(([address, owner]) => ({ address, ...owner }));
  }

  blocks(): BlockUse[] {
    return blockUses(this.#places);
  }

  /** One entry per family that the pool has blocks of. An unknown pool has none. */
  use(name: string): PoolUse[] {
    return poolUse(this.#places, name);
  }

  /** Addresses within a prefix that are not free; one address by itself in any state, if a block has it. */
  addresses(within: Prefix): AddressUse[] {
    return addressUses(this.#places, within);
  }

  /** For whom addresses are kept, by pool, oldest first. */
  kept(): KeptUse[] {
    return keptFor(this.#places);
  }

  /** Null when a pod could be served, now or as soon as an address has cooled down; otherwise why not. */
  exhausted(names: readonly string[]): string | null {
    return exhausted(
      this.#places,
      names.map((name) => this.#pool(name)),
    );
  }

  #allocateKept(pool: Pool, wish: Wish, request: AllocationRequest, now: number): Allocation | null {
    const evicted: Reservation[] = [];
    for (;;) {
      const result = choose(pool, wish, now);
      if (!isShortage(result)) return this.#take(pool, result, request, evicted);
      const kept = result.family === null || isLater(result) ? null : oldestKept(pool, result.family, now);
      if (kept && kept.wait <= 0) {
        evicted.push(kept.reservation);
        this.#places.unkeep(pool, kept.reservation, now);
        continue;
      }
      for (const { entries } of evicted) for (const entry of entries) this.#places.enter(entry, now);
      if (kept) throw refusals.allCooling(pool, result.family!, kept.wait);
      return null;
    }
  }

  #take(
    pool: Pool,
    choices: readonly Choice[],
    { identity = null, keep = null }: AllocationRequest,
    evicted: readonly Reservation[],
  ): Allocation {
    const now = this.#now();
    const sequence = this.nextSequence();
    const owner: Owner = { sequence, identity, pool: pool.name, keep };
    const own = identity === null ? undefined : pool.reservations.get(identity);
    const before = new Map<string, Released>();
    for (const { block, address } of choices) {
      const entry = block ? block.releasedEntry(address) : this.#places.outside.released(address);
      if (entry) before.set(address, entry);
    }
    const restored = [...before.values()].map(({ stored }) => stored);
    for (const { entries } of own ? [...evicted, own] : evicted)
      for (const entry of entries) before.set(entry.address, entry);
    for (const { block, address } of choices)
      if (!block?.take(address, owner)) this.#places.outside.take(address, owner);
    if (own) this.#places.unkeep(pool, own, now);
    for (const reservation of evicted)
      this.#onEvicted({
        pool: pool.name,
        identity: reservation.identity,
        addresses: reservation.entries.map(({ address }) => address),
      });
    this.#changed(pool.name);
    const addresses = choices.map(({ address }) => address);
    return { pool: pool.name, addresses, sequence, restored, before: [...before.values()] };
  }

  #pool(name: string): Pool {
    return this.#places.pools.get(this.choosePools([name])[0])!;
  }

  #changed(pool: string): void {
    for (const listener of this.#listeners) listener(pool);
  }
}
