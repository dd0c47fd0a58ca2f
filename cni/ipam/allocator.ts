// Who may have which address. Pure bookkeeping in memory; the store makes it last.
//
// One address per family of the pool's blocks, all or none. A pool's blocks are tried in their order. An address that
// was asked for by name is given or refused, never replaced. A block that leaves its pool gives no addresses any more and
// stays, as retiring, until the last one of those that no other block has is back.
import { type Family, formatAddress, parseAddress } from "../../net/address.ts";
import { contains, formatPrefix, hostPrefix, type Prefix, prefix } from "../../net/prefix.ts";
import { CniError, CniErrorCode } from "../protocol/error.ts";
import type { PoolOptions, RetiringBlock } from "../types.ts";
import { Block } from "./block.ts";
import { buildPool, type Pool } from "./pools.ts";
import type { ReleasedAddress } from "./records.ts";

export interface BlockUse {
  readonly prefix: string;
  readonly pool: string;
  readonly capacity: number | null;
  readonly used: number;
}

interface Retiring {
  readonly block: Block;
  /** Which it was in; "" while that is not known. */
  pool: string;
}

export class Allocator {
  #pools: ReadonlyMap<string, Pool>;
  #retiring: readonly Retiring[] = [];
  /** In use, and in no block so far: pods from before the pools were changed while nobody ran. */
  readonly #outside = new Set<string>();
  readonly #onRetired: () => void;

  /** `onRetired` is called when a retiring block has given its last address back. */
  constructor(pools: readonly PoolOptions[], onRetired: () => void = () => {}) {
    this.#pools = poolMap(pools);
    this.#onRetired = onRetired;
  }

  /** Other pools, from now on; addresses in use stay with their owners. Nothing is held back any more. */
  setPools(pools: readonly PoolOptions[]): void {
    const before = this.#all();
    this.#pools = poolMap(pools);
    this.#retiring = [];
    for (const { block: old, pool } of before) {
      const left: string[] = [];
      for (const address of old.usedAddresses) if (!this.#blockOf(address)?.take(address)) left.push(address);
      for (const address of old.releasedAddresses) this.#blockOf(address)?.release(address);
      if (left.length > 0) this.#retire(old.prefix, pool, left);
    }
    for (const address of this.#outside) if (this.#blockOf(address)?.take(address)) this.#outside.delete(address);
  }

  /** At start, before adopt(): blocks of a former run that are in no pool now. */
  keep(prefixes: readonly string[]): void {
    for (const text of prefixes) this.#retire(prefix(text), "", []);
  }

  /** Those that still have an owner of an address. */
  retiring(): RetiringBlock[] {
    return this.#retiring
      .filter(({ block }) => block.used > 0)
      .map(({ block, pool }) => ({ prefix: formatPrefix(block.prefix), pool, addresses: [...block.usedAddresses] }));
  }

  /** Blocks that would be retiring with these pools. */
  uncovered(pools: readonly PoolOptions[]): RetiringBlock[] {
    const next = pools.flatMap(({ blocks }) => blocks.map(prefix));
    return this.#all().flatMap(({ block, pool }) => {
      const addresses = [...block.usedAddresses].filter((address) => {
        const host = hostPrefix(parseAddress(address)!);
        return !next.some((other) => other.family === host.family && contains(other, host));
      });
      return addresses.length === 0 ? [] : [{ prefix: formatPrefix(block.prefix), pool, addresses }];
    });
  }

  /** No new addresses out of a block, for this reason; null: again. */
  hold(text: string, reason: string | null): void {
    for (const { block } of this.#all()) if (formatPrefix(block.prefix) === text) block.held = reason;
  }

  #retire(of: Prefix, pool: string, used: readonly string[]): void {
    const block = new Block(of, []);
    for (const address of used) block.take(address);
    this.#retiring = [...this.#retiring, { block, pool }];
  }

  #placed(): Retiring[] {
    return [...this.#pools.values()].flatMap(({ name, blocks }) =>
      [...blocks.values()].flat().map((block) => ({ block, pool: name })),
    );
  }

  #all(): Retiring[] {
    return [...this.#placed(), ...this.#retiring];
  }

  /** The pool named by a network configuration: the name, or `default`, or the only one. Throws code 7. */
  poolName(requested: string | null): string {
    const name = requested ?? (this.#pools.size === 1 ? [...this.#pools.keys()][0] : "default");
    if (this.#pools.has(name)) return name;
    const known = [...this.#pools.keys()].join(", ") || "none";
    throw new CniError(CniErrorCode.invalidConfig, `pool "${name}" is unknown; configured pools: ${known}`);
  }

  /** One canonical address per family, IPv4 first. Throws 100, 101, 102 and leaves everything as it was. */
  allocate(poolName: string, requested: readonly Uint8Array[]): string[] {
    const pool = this.#pools.get(this.poolName(poolName))!;
    const chosen: { block: Block; address: string }[] = [];
    for (const address of requested) if (!pool.blocks.has(familyOf(address))) throw outside(pool, address);
    for (const family of [4, 6] as const) {
      const blocks = pool.blocks.get(family);
      if (!blocks) continue;
      const wanted = requested.find((address) => familyOf(address) === family);
      chosen.push(wanted ? this.#static(pool, blocks, wanted) : dynamic(pool, family, blocks));
    }
    if (chosen.length === 0) throw new CniError(CniErrorCode.poolExhausted, `pool "${pool.name}" has no blocks`);
    for (const { block, address } of chosen) block.take(address);
    return chosen.map(({ address }) => address);
  }

  /** Gives addresses back, to the end of the queue. Addresses outside every block are nobody's. */
  release(addresses: readonly string[]): void {
    for (const address of addresses) {
      this.#outside.delete(address);
      this.#blockOf(address)?.release(address);
    }
    const left = this.#retiring.filter(({ block }) => block.used > 0);
    if (left.length === this.#retiring.length) return;
    this.#retiring = left;
    this.#onRetired();
  }

  /** At start: an address that is in use according to the store or the kernel. False when it already has an owner. */
  adopt(addresses: readonly string[], pool = ""): boolean {
    const blocks = addresses.map((address) => this.#blockOf(address));
    if (addresses.some((address, i) => blocks[i]?.isUsed(address) ?? this.#outside.has(address))) return false;
    addresses.forEach((address, i) => {
      if (!blocks[i]?.take(address)) this.#outside.add(address);
    });
    for (const retiring of this.#retiring) if (blocks.includes(retiring.block)) retiring.pool ||= pool;
    return true;
  }

  /** Whether an address is in a block of any pool, or in one that is retiring. */
  covers(address: string): boolean {
    return this.#blockOf(address) !== undefined;
  }

  /** Prefixes of the blocks that addresses are of, each once; an address that is in none counts for nothing. */
  blocksOf(addresses: readonly string[]): string[] {
    const blocks = new Set(addresses.map((address) => this.#blockOf(address)));
    return [...blocks].flatMap((block) => (block ? [formatPrefix(block.prefix)] : []));
  }

  /** At start: the released addresses, oldest first. Returns those that belong to a block. */
  restoreReleased(released: Iterable<ReleasedAddress>): ReleasedAddress[] {
    const kept: ReleasedAddress[] = [];
    for (const entry of released) {
      const block = this.#blockOf(entry.address);
      if (!block || block.isUsed(entry.address)) continue;
      block.release(entry.address);
      kept.push(entry);
    }
    return kept;
  }

  blocks(): BlockUse[] {
    const uses = ({ block, pool }: Retiring): BlockUse => {
      return { prefix: formatPrefix(block.prefix), pool, capacity: block.capacity, used: block.used };
    };
    const placed = this.#placed().map(uses);
    const listed = new Set(placed.map((use) => use.prefix));
    return [...placed, ...this.#retiring.map(uses).filter((use) => use.used > 0 && !listed.has(use.prefix))];
  }

  /** Null when a pod could be served, otherwise why not. */
  exhausted(poolName: string): string | null {
    const pool = this.#pools.get(this.poolName(poolName))!;
    if (pool.blocks.size === 0) return `pool "${pool.name}" has no blocks`;
    for (const [family, blocks] of pool.blocks)
      if (blocks.every((block) => block.held !== null || block.next() === null))
        return `pool "${pool.name}" has no free IPv${family} address`;
    return null;
  }

  #static(pool: Pool, blocks: readonly Block[], wanted: Uint8Array): { block: Block; address: string } {
    const block = blocks.find((candidate) => candidate.contains(wanted));
    if (!block) throw outside(pool, wanted);
    const address = formatAddress(wanted);
    if (block.held !== null) throw heldBack(block);
    if (block.isExcluded(wanted))
      throw new CniError(
        CniErrorCode.addressOutsidePool,
        `requested address ${address} is excluded from pool "${pool.name}"`,
      );
    if (block.isUsed(address))
      throw new CniError(CniErrorCode.addressTaken, `requested address ${address} is in use by another pod`);
    return { block, address };
  }

  #blockOf(address: string): Block | undefined {
    const bytes = parseAddress(address);
    if (!bytes) return undefined;
    for (const pool of this.#pools.values())
      for (const block of pool.blocks.get(familyOf(bytes)) ?? []) if (block.contains(bytes)) return block;
    return this.#retiring.find(({ block }) => block.prefix.bytes.length === bytes.length && block.contains(bytes))
      ?.block;
  }
}

function poolMap(pools: readonly PoolOptions[]): ReadonlyMap<string, Pool> {
  return new Map(pools.map((options) => [options.name, buildPool(options)]));
}

function familyOf(address: Uint8Array): Family {
  return address.length === 4 ? 4 : 6;
}

function dynamic(pool: Pool, family: Family, blocks: readonly Block[]): { block: Block; address: string } {
  for (const block of blocks) {
    const address = block.held === null ? block.next() : null;
    if (address !== null) return { block, address };
  }
  const held = blocks.find((block) => block.held !== null && block.next() !== null);
  if (held) throw heldBack(held);
  const uses = blocks.map((block) => `${formatPrefix(block.prefix)} (${block.used} in use)`).join(", ");
  throw new CniError(
    CniErrorCode.poolExhausted,
    `pool "${pool.name}" has no free IPv${family} address: ${uses}; remove pods or add a block`,
  );
}

function heldBack(block: Block): CniError {
  return new CniError(
    CniErrorCode.tryAgainLater,
    `no address is given out of block ${formatPrefix(block.prefix)}: ${block.held}`,
  );
}

function outside(pool: Pool, address: Uint8Array): CniError {
  return new CniError(
    CniErrorCode.addressOutsidePool,
    `requested address ${formatAddress(address)} is in no block of pool "${pool.name}"`,
  );
}
