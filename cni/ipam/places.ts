// Where addresses are: which block of which pool has one, who has it, or in which queue it waits. In: pools that come and go,
// owners that come and go. Out: the block that an address is in now.
//
// A block that leaves its pool gives no addresses any more and stays, as retiring, until the last one of those that no other
// block has is back. What was given back is remembered also while no block has it.
import { contains, hostPrefix, type Prefix, prefix } from "../../net/prefix.ts";
import type { PoolOptions, RetiringBlock } from "../types.ts";
import { Block, type Owner } from "./block.ts";
import { BlockIndex } from "./block-index.ts";
import { Outside } from "./outside.ts";
import { parsed } from "./parsed.ts";
import { buildPool, noRanges, type Pool } from "./pools.ts";
import type { Released } from "./release-queue.ts";
import { isKept, type Reservation } from "./sticky.ts";

export interface Placed {
  readonly block: Block;
  /** Which it was in; "" while that is not known. */
  pool: string;
}

export interface PlacesEvents {
  /** A retiring block has given its last address back. */
  readonly onRetired: () => void;
  /** An address that was in use and in no block has no owner any more, or a block has it now. */
  readonly onLeft: (address: string) => void;
}

export class Places {
  readonly now: () => number;
  readonly #onRetired: () => void;
  readonly #onLeft: (address: string) => void;
  pools: ReadonlyMap<string, Pool> = new Map();
  #index = new BlockIndex([]);
  readonly poolOf = new Map<Block, Pool>();
  retiring: readonly Placed[] = [];
  readonly outside = new Outside();

  /** `now`: milliseconds since boot. */
  constructor(pools: readonly PoolOptions[], now: () => number, { onRetired, onLeft }: PlacesEvents) {
    this.now = now;
    this.#onRetired = onRetired;
    this.#onLeft = onLeft;
    this.#place(pools);
  }

  /** Other pools, from now on; addresses in use stay with their owners. Nothing is held back any more. */
  setPools(pools: readonly PoolOptions[]): void {
    const before = this.all();
    const reservationsOf = new Map([...this.poolOf].map(([block, { reservations }]) => [block, reservations]));
    this.#place(pools);
    this.retiring = [];
    const now = this.now();
    for (const { block, pool } of before) {
      const goesOn = this.poolOf.get(block);
      if (!goesOn) this.#replant(block, pool, now);
      else if (goesOn.reservations !== reservationsOf.get(block))
        for (const entry of block.keptEntries()) this.enter(entry, now);
    }
    for (const [address, owner] of this.outside.owners) {
      if (!this.placedBlockOf(address)?.take(address, owner)) continue;
      this.outside.forget(address);
      this.#onLeft(address);
    }
    for (const entry of this.outside.takeReleased((address) => this.placedBlockOf(address) !== undefined))
      this.enter(entry, now);
  }

  /** At start, before adopt(): blocks of a former run that are in no pool now. */
  keep(prefixes: readonly string[]): void {
    for (const text of prefixes) this.#retire(prefix(text), "", new Map());
  }

  /** Blocks that would be retiring with these pools. */
  uncovered(pools: readonly PoolOptions[]): RetiringBlock[] {
    const next = pools.flatMap(({ blocks }) => blocks.map(prefix));
    const covered = (inner: Prefix) => next.some((outer) => contains(outer, inner));
    return this.all().flatMap(({ block, pool }) => {
      if (covered(block.prefix)) return [];
      const addresses = [...block.owners.keys()].filter((address) => !covered(hostPrefix(parsed(address)!)));
      return addresses.length === 0 ? [] : [{ prefix: block.text, pool, addresses }];
    });
  }

  /** No new addresses out of a block, for this reason; null: again. */
  hold(text: string, reason: string | null): void {
    for (const { block } of this.all()) if (block.text === text) block.held = reason;
  }

  /** Gives an address without an owner to one. */
  take(address: string, owner: Owner): void {
    if (!this.blockOf(address)?.take(address, owner)) this.outside.take(address, owner);
  }

  /** An address without an owner, into the queue that it belongs to. */
  enter(entry: Released, now: number): void {
    const block = this.placedBlockOf(entry.address);
    const pool = block && this.poolOf.get(block);
    if (!pool) {
      this.outside.release(entry);
      return;
    }
    const { sticky = null } = pool.options;
    const kept = isKept(entry, sticky, now) && !block.isExcluded(parsed(entry.address)!);
    block.release(entry, kept, now);
    if (!kept) return;
    const former = pool.reservations.keep(entry);
    if (former) this.unkeep(pool, former, now);
    this.expire(pool, now);
  }

  /** What of it nobody has taken is anybody's, and is not kept again whatever is undone later. */
  unkeep(pool: Pool, { identity, entries }: Reservation, now: number): void {
    if (pool.reservations.get(identity)?.entries === entries) pool.reservations.delete(identity);
    for (const entry of entries) {
      const block = this.placedBlockOf(entry.address);
      if (block?.releasedEntry(entry.address) !== entry || !block.isKept(entry.address)) continue;
      block.release({ ...entry, keep: null, stored: { ...entry.stored, keep: null } }, false, now);
    }
  }

  expire(pool: Pool, now: number): void {
    const { sticky } = pool.options;
    if (sticky) for (const reservation of pool.reservations.expire(now, sticky)) this.unkeep(pool, reservation, now);
  }

  /** Takes an owner's address away from it. Returns the block, if it was in one. */
  forget(address: string, sequence: number, now: number): Block | null {
    const block = this.blockOf(address);
    if (block?.ownerOf(address)?.sequence === sequence) {
      block.unuse(address, now);
      return block;
    }
    if (this.outside.ownerOf(address)?.sequence === sequence) {
      this.outside.forget(address);
      this.#onLeft(address);
    }
    return null;
  }

  dropRetired(): void {
    const left = this.retiring.filter(({ block }) => block.used > 0);
    if (left.length === this.retiring.length) return;
    this.retiring = left;
    this.#onRetired();
  }

  placed(): Placed[] {
    return [...this.poolOf].map(([block, { name }]) => ({ block, pool: name }));
  }

  all(): Placed[] {
    return [...this.placed(), ...this.retiring];
  }

  ownerOf(address: string): Owner | undefined {
    return this.blockOf(address)?.ownerOf(address) ?? this.outside.ownerOf(address);
  }

  placedBlockOf(address: string): Block | undefined {
    const bytes = parsed(address);
    return bytes ? this.#index.find(bytes) : undefined;
  }

  /** Retiring blocks may overlap; the one where the address is in use counts. */
  blockOf(address: string): Block | undefined {
    const placed = this.placedBlockOf(address);
    if (placed || this.retiring.length === 0) return placed;
    const bytes = parsed(address);
    const holding = this.retiring.filter(({ block }) => bytes && block.contains(bytes));
    return (holding.find(({ block }) => block.ownerOf(address)) ?? holding[0])?.block;
  }

  /** Names of the pools that have blocks with these addresses. */
  poolsOf(addresses: readonly string[]): Set<string> {
    const blocks = addresses.map((address) => this.placedBlockOf(address));
    return new Set(blocks.flatMap((block) => (block ? this.poolOf.get(block)!.name : [])));
  }

  #place(pools: readonly PoolOptions[]): void {
    const former = this.pools;
    const blockOf = (text: string) => this.#index.get(text);
    const now = this.now();
    this.pools = new Map(
      pools.map((options) => [options.name, buildPool(options, now, former.get(options.name), blockOf)]),
    );
    this.poolOf.clear();
    for (const pool of this.pools.values())
      for (const block of [...pool.blocks.values()].flat()) {
        block.held = null;
        this.poolOf.set(block, pool);
      }
    this.#index = new BlockIndex([...this.poolOf.keys()]);
  }

  /** A block that is gone, or another one now: what it knows goes to those in its place. */
  #replant(old: Block, pool: string, now: number): void {
    const left = new Map<string, Owner>();
    for (const [address, owner] of old.owners)
      if (!this.placedBlockOf(address)?.take(address, owner)) left.set(address, owner);
    for (const entry of old.released()) this.enter(entry, now);
    if (left.size > 0) this.#retire(old.prefix, pool, left);
  }

  #retire(of: Prefix, pool: string, owners: ReadonlyMap<string, Owner>): void {
    const block = new Block({ prefix: of, excluded: noRanges, withheld: noRanges, cooldown: 0 }, this.now());
    for (const [address, owner] of owners) block.take(address, owner);
    this.retiring = [...this.retiring, { block, pool }];
  }
}
