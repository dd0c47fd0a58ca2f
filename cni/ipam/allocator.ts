// Who may have which address. Pure bookkeeping in memory; the store makes it last.
//
// One address per family of the pool's blocks, all or none. A pool's blocks are tried in their order. An address that
// was asked for by name is given or refused, never replaced. Each allocation has a sequence number, and gives back only
// what it has itself. A block that leaves its pool gives no addresses any more and stays, as retiring, until the last one
// of those that no other block has is back.
import { type Family, parseAddress } from "../../net/address.ts";
import { contains, hostPrefix, type Prefix, prefix } from "../../net/prefix.ts";
import { uptime } from "../../net/uptime.ts";
import type { PoolOptions, RetiringBlock } from "../types.ts";
import { Block, type BlockCounts, type Owner } from "./block.ts";
import { BlockIndex } from "./block-index.ts";
import { type Exceptions, noExceptions } from "./exceptions.ts";
import { Outside } from "./outside.ts";
import { choosePools } from "./pool-choice.ts";
import { buildPool, noRanges, type Pool } from "./pools.ts";
import { identityOf, type PodRecord, type ReleasedAddress } from "./records.ts";
import * as refusals from "./refusals.ts";
import type { Released } from "./release-queue.ts";
import {
  type Choice,
  choose,
  isLater,
  isShortage,
  oldestKept,
  poolWith,
  type Shortage,
  type Wish,
} from "./selection.ts";
import { isKept, type Reservation } from "./sticky.ts";

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

interface Placed {
  readonly block: Block;
  /** Which it was in; "" while that is not known. */
  pool: string;
}

export class Allocator {
  readonly #now: () => number;
  readonly #wall: () => number;
  readonly #onRetired: () => void;
  readonly #onEvicted: (eviction: Eviction) => void;
  readonly #listeners: ((pool: string) => void)[] = [];
  #exceptions: Exceptions;
  #pools: ReadonlyMap<string, Pool> = new Map();
  #index = new BlockIndex([]);
  readonly #poolOf = new Map<Block, Pool>();
  #retiring: readonly Placed[] = [];
  readonly #outside = new Outside();
  /** Who else has an address that has an owner: a fault of a former run. */
  readonly #contenders = new Map<string, Owner[]>();
  #sequence = 0;

  constructor(pools: readonly PoolOptions[], options: AllocatorOptions = {}) {
    this.#now = options.now ?? uptime;
    this.#wall = options.wall ?? Date.now;
    this.#onRetired = options.onRetired ?? (() => {});
    this.#onEvicted = options.onEvicted ?? (() => {});
    this.#exceptions = options.exceptions ?? noExceptions;
    this.#place(pools);
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
    const before = this.#all();
    this.#place(pools);
    this.#retiring = [];
    const now = this.#now();
    for (const { block, pool } of before) {
      if (this.#poolOf.has(block)) for (const entry of block.keptEntries()) this.#enter(entry, now);
      else this.#replant(block, pool, now);
    }
    for (const [address, owner] of this.#outside.owners) {
      if (!this.#placedBlockOf(address)?.take(address, owner)) continue;
      this.#outside.forget(address);
      this.#exceptions.released(address);
    }
    for (const entry of this.#outside.takeReleased((address) => this.#placedBlockOf(address) !== undefined))
      this.#enter(entry, now);
    for (const name of this.#pools.keys()) this.#changed(name);
  }

  /** At start, before adopt(): blocks of a former run that are in no pool now. */
  keep(prefixes: readonly string[]): void {
    for (const text of prefixes) this.#retire(prefix(text), "", new Map());
  }

  /** Those that still have an owner of an address. */
  retiring(): RetiringBlock[] {
    return this.#retiring
      .filter(({ block }) => block.used > 0)
      .map(({ block, pool }) => ({ prefix: block.text, pool, addresses: [...block.owners.keys()] }));
  }

  /** Blocks that would be retiring with these pools. */
  uncovered(pools: readonly PoolOptions[]): RetiringBlock[] {
    const next = pools.flatMap(({ blocks }) => blocks.map(prefix));
    const covered = (inner: Prefix) => next.some((outer) => contains(outer, inner));
    return this.#all().flatMap(({ block, pool }) => {
      if (covered(block.prefix)) return [];
      const addresses = [...block.owners.keys()].filter((address) => !covered(hostPrefix(parseAddress(address)!)));
      return addresses.length === 0 ? [] : [{ prefix: block.text, pool, addresses }];
    });
  }

  /** No new addresses out of a block, for this reason; null: again. */
  hold(text: string, reason: string | null): void {
    for (const { block } of this.#all()) if (block.text === text) block.held = reason;
  }

  /** Names of the pools for a pod, in order of preference. `requested`: one, several, or nobody named any. Throws code 7. */
  choosePools(requested: string | readonly string[] | null, namespace: string | null = null): string[] {
    const names = requested === null ? [] : typeof requested === "string" ? [requested] : requested;
    return choosePools(
      [...this.#pools.values()].map(({ options }) => options),
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
    for (const pool of named) this.#expire(pool, now);
    const pools = addresses.length > 0 ? [poolWith(named, wish)] : keeperFirst(named, identity);
    const shortages: Shortage[] = [];
    for (const pool of pools) {
      const result = choose(pool, wish, now);
      if (!isShortage(result)) return this.#take(pool, result, request, []);
      shortages.push(result);
      this.#changed(pool.name);
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
      const block = this.#forget(address, sequence, now);
      if (!block) continue;
      pools.add(this.#poolOf.get(block)?.name ?? "");
      if (!before.some((entry) => entry.address === address)) block.rewind(address);
    }
    for (const entry of before) if (!this.#ownerOf(entry.address)) this.#enter(entry, now);
    this.#dropRetired();
    for (const name of pools) this.#changed(name);
  }

  /**
   * Takes addresses that another plugin has allocated, of any block or none. Throws 101 for one that has an owner here, and
   * leaves everything as it was.
   */
  take(addresses: readonly string[], pool: string, identity: string): Allocation {
    const taken = addresses.find((address) => this.#ownerOf(address));
    if (taken !== undefined) throw refusals.taken(taken);
    const owner: Owner = { sequence: this.nextSequence(), identity, pool, keep: null };
    for (const address of addresses)
      if (!this.#blockOf(address)?.take(address, owner)) this.#outside.take(address, owner);
    return { pool, addresses, sequence: owner.sequence, restored: [], before: [] };
  }

  /** Gives back what this allocation has. Addresses that are somebody else's by now, and those of nobody, stay as they are. */
  release(addresses: readonly string[], sequence: number): void {
    const now = this.#now();
    const pools = new Set<string>();
    for (const address of addresses) {
      const owner = this.#ownerOf(address);
      const contenders = this.#contenders.get(address)?.filter((other) => other.sequence !== sequence);
      if (contenders) this.#contenders.set(address, contenders);
      if (!owner || owner.sequence !== sequence) continue;
      const heir = contenders?.shift();
      if (heir) {
        this.#forget(address, sequence, now);
        if (!this.#blockOf(address)?.take(address, heir)) this.#outside.take(address, heir);
        continue;
      }
      this.#contenders.delete(address);
      const stored = { address, ...owner, at: now, time: this.#wall() };
      const block = this.#forget(address, sequence, now);
      this.#enter({ ...stored, at: now, since: now, stored }, now);
      if (block) pools.add(this.#poolOf.get(block)?.name ?? "");
    }
    this.#dropRetired();
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
      keep: keep ? "asked" : pod === null ? null : "name",
    };
    this.continueFrom(owner.sequence);
    let alone = true;
    for (const address of addresses) {
      if (this.#ownerOf(address)) {
        this.#contenders.set(address, [...(this.#contenders.get(address) ?? []), owner]);
        alone = false;
        continue;
      }
      const block = this.#blockOf(address);
      if (!block?.take(address, owner)) this.#outside.take(address, owner);
      for (const retiring of this.#retiring) if (retiring.block === block) retiring.pool ||= pool;
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

  /** Whether an address is in a block of any pool, or in one that is retiring. */
  covers(address: string): boolean {
    return this.#blockOf(address) !== undefined;
  }

  /** Whether one of these pools has a block with the address. */
  isIn(pools: readonly string[], address: string): boolean {
    const block = this.#placedBlockOf(address);
    return block !== undefined && pools.includes(this.#poolOf.get(block)!.name);
  }

  /** Prefixes of the blocks that addresses are of, each once; an address that is in none counts for nothing. */
  blocksOf(addresses: readonly string[]): string[] {
    const blocks = new Set(addresses.map((address) => this.#blockOf(address)));
    return [...blocks].flatMap((block) => (block ? [block.text] : []));
  }

  /** At start: the addresses given back, oldest first. Returns those that nobody has, with times of this boot. */
  restoreReleased(released: Iterable<ReleasedAddress>): ReleasedAddress[] {
    const now = this.#now();
    const wall = this.#wall();
    const kept: ReleasedAddress[] = [];
    for (const found of released) {
      if (this.#ownerOf(found.address)) continue;
      // Of another boot: it may have been given back just before it. And no clock runs backwards.
      const at = Math.min(found.at ?? now, now);
      const elapsed = found.at !== null || found.time === null ? now - at : Math.max(0, wall - found.time);
      const since = Math.min(found.since ?? now - elapsed, now);
      const stored = found.at === at ? found : { ...found, at, since };
      this.#enter({ ...stored, at, since, stored }, now);
      kept.push(stored);
    }
    return kept;
  }

  blocks(): BlockUse[] {
    const now = this.#now();
    for (const pool of this.#pools.values()) this.#expire(pool, now);
    const uses = ({ block, pool }: Placed): BlockUse => ({
      prefix: block.text,
      pool,
      emptySince: block.emptySince,
      ...block.counts(now),
    });
    const placed = this.#placed().map(uses);
    const listed = new Set(placed.map((use) => use.prefix));
    return [...placed, ...this.#retiring.map(uses).filter((use) => use.used > 0 && !listed.has(use.prefix))];
  }

  /** One entry per family that the pool has blocks of. An unknown pool has none. */
  use(name: string): PoolUse[] {
    const pool = this.#pools.get(name);
    if (!pool) return [];
    const now = this.#now();
    this.#expire(pool, now);
    return [...pool.blocks].map(([family, blocks]) => ({
      pool: name,
      family,
      blocks: blocks.length,
      ...sum(blocks.map((block) => block.counts(now))),
    }));
  }

  /** The options of the pools, in the order of the configuration. */
  get pools(): PoolOptions[] {
    return [...this.#pools.values()].map(({ options }) => options);
  }

  /** Addresses in use that are in no block: by exception, or from before the pools were changed. */
  outside(): ({ readonly address: string } & Owner)[] {
    return [...this.#outside.owners].map(([address, owner]) => ({ address, ...owner }));
  }

  /** For whom addresses are kept, by pool, oldest first. `until`: milliseconds on the allocator's clock. */
  kept(): {
    readonly pool: string;
    readonly identity: string;
    readonly addresses: string[];
    readonly seconds: number;
  }[] {
    const now = this.#now();
    return [...this.#pools.values()].flatMap((pool) => {
      this.#expire(pool, now);
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
  exhausted(names: readonly string[]): string | null {
    const now = this.#now();
    const reasons = names.map((name) => {
      const pool = this.#pool(name);
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

  #allocateKept(pool: Pool, wish: Wish, request: AllocationRequest, now: number): Allocation | null {
    const evicted: Reservation[] = [];
    for (;;) {
      const result = choose(pool, wish, now);
      if (!isShortage(result)) return this.#take(pool, result, request, evicted);
      const kept = result.family === null || isLater(result) ? null : oldestKept(pool, result.family, now);
      if (kept && kept.wait <= 0) {
        evicted.push(kept.reservation);
        this.#unkeep(pool, kept.reservation, now);
        continue;
      }
      for (const { entries } of evicted) for (const entry of entries) this.#enter(entry, now);
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
      const entry = block ? block.releasedEntry(address) : this.#outside.released(address);
      if (entry) before.set(address, entry);
    }
    const restored = [...before.values()].map(({ stored }) => stored);
    for (const { entries } of own ? [...evicted, own] : evicted)
      for (const entry of entries) before.set(entry.address, entry);
    for (const { block, address } of choices) if (!block?.take(address, owner)) this.#outside.take(address, owner);
    if (own) this.#unkeep(pool, own, now);
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

  /** An address without an owner, into the queue that it belongs to. */
  #enter(entry: Released, now: number): void {
    const block = this.#placedBlockOf(entry.address);
    const pool = block && this.#poolOf.get(block);
    if (!pool) {
      this.#outside.release(entry);
      return;
    }
    const { sticky = null } = pool.options;
    const kept = isKept(entry, sticky, now) && !block.isExcluded(parseAddress(entry.address)!);
    block.release(entry, kept, now);
    if (!kept) return;
    const former = pool.reservations.keep(entry);
    if (former) this.#unkeep(pool, former, now);
    this.#expire(pool, now);
  }

  #expire(pool: Pool, now: number): void {
    const { sticky } = pool.options;
    if (sticky) for (const reservation of pool.reservations.expire(now, sticky)) this.#unkeep(pool, reservation, now);
  }

  /** What of it nobody has taken is anybody's, and is not kept again whatever is undone later. */
  #unkeep(pool: Pool, { identity, entries }: Reservation, now: number): void {
    if (pool.reservations.get(identity)?.entries === entries) pool.reservations.delete(identity);
    for (const entry of entries) {
      const block = this.#placedBlockOf(entry.address);
      if (block?.releasedEntry(entry.address) !== entry || !block.isKept(entry.address)) continue;
      block.release({ ...entry, keep: null, stored: { ...entry.stored, keep: null } }, false, now);
    }
  }

  /** Takes an owner's address away from it. Returns the block, if it was in one. */
  #forget(address: string, sequence: number, now: number): Block | null {
    const block = this.#blockOf(address);
    if (block?.ownerOf(address)?.sequence === sequence) {
      block.unuse(address, now);
      return block;
    }
    if (this.#outside.ownerOf(address)?.sequence === sequence) {
      this.#outside.forget(address);
      this.#exceptions.released(address);
    }
    return null;
  }

  #place(pools: readonly PoolOptions[]): void {
    const former = this.#pools;
    const blockOf = (text: string) => this.#index.get(text);
    const now = this.#now();
    this.#pools = new Map(
      pools.map((options) => [options.name, buildPool(options, now, former.get(options.name), blockOf)]),
    );
    this.#poolOf.clear();
    for (const pool of this.#pools.values())
      for (const block of [...pool.blocks.values()].flat()) {
        block.held = null;
        this.#poolOf.set(block, pool);
      }
    this.#index = new BlockIndex([...this.#poolOf.keys()]);
  }

  /** A block that is gone, or another one now: what it knows goes to those in its place. */
  #replant(old: Block, pool: string, now: number): void {
    const left = new Map<string, Owner>();
    for (const [address, owner] of old.owners)
      if (!this.#placedBlockOf(address)?.take(address, owner)) left.set(address, owner);
    for (const entry of old.released()) this.#enter(entry, now);
    if (left.size > 0) this.#retire(old.prefix, pool, left);
  }

  #retire(of: Prefix, pool: string, owners: ReadonlyMap<string, Owner>): void {
    const block = new Block({ prefix: of, excluded: noRanges, withheld: noRanges, cooldown: 0 }, this.#now());
    for (const [address, owner] of owners) block.take(address, owner);
    this.#retiring = [...this.#retiring, { block, pool }];
  }

  #dropRetired(): void {
    const left = this.#retiring.filter(({ block }) => block.used > 0);
    if (left.length === this.#retiring.length) return;
    this.#retiring = left;
    this.#onRetired();
  }

  #placed(): Placed[] {
    return [...this.#poolOf].map(([block, { name }]) => ({ block, pool: name }));
  }

  #all(): Placed[] {
    return [...this.#placed(), ...this.#retiring];
  }

  #pool(name: string): Pool {
    return this.#pools.get(this.choosePools(name)[0])!;
  }

  #ownerOf(address: string): Owner | undefined {
    return this.#blockOf(address)?.ownerOf(address) ?? this.#outside.ownerOf(address);
  }

  #placedBlockOf(address: string): Block | undefined {
    const bytes = parseAddress(address);
    return bytes ? this.#index.find(bytes) : undefined;
  }

  /** Retiring blocks may overlap; the one where the address is in use counts. */
  #blockOf(address: string): Block | undefined {
    const placed = this.#placedBlockOf(address);
    if (placed || this.#retiring.length === 0) return placed;
    const bytes = parseAddress(address);
    const holding = this.#retiring.filter(({ block }) => bytes && block.contains(bytes));
    return (holding.find(({ block }) => block.ownerOf(address)) ?? holding[0])?.block;
  }

  #changed(pool: string): void {
    for (const listener of this.#listeners) listener(pool);
  }
}

/** A pool that keeps addresses for the identity comes first. */
function keeperFirst(pools: readonly Pool[], identity: string | null): readonly Pool[] {
  const keeps = (pool: Pool) => identity !== null && pool.reservations.get(identity) !== undefined;
  return pools.length > 1 && pools.some(keeps)
    ? [...pools.filter(keeps), ...pools.filter((pool) => !keeps(pool))]
    : pools;
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
