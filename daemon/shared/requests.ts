// What an ADD gets that its node's blocks do not have: an address that was asked for by name, those that the pod had on
// another node, a block that is claimed for it, a borrowed address. In: the allocator's question. Out: addresses, let
// in as exceptions; or a CniError that says why not.
import { type BlockSource, BlockSourceError } from "../../cni/blocks/types.ts";
import type { BlockUse } from "../../cni/ipam/allocator.ts";
import type { ExceptionRequest } from "../../cni/ipam/exceptions.ts";
import { parseRange } from "../../cni/ipam/range.ts";
import { CniError, CniErrorCode } from "../../cni/protocol/error.ts";
import type { Config, PoolConfig } from "../../config/types.ts";
import { type Family, parseAddress } from "../../net/address.ts";
import type { Clock } from "../../net/clock.ts";
import { contains, hostPrefix, prefix as prefixOf } from "../../net/prefix.ts";
import { asSourceError, type Claims, familiesOf } from "./claims.ts";
import type { ExceptionRoutes } from "./exceptions.ts";
import { type Identities, identityIn } from "./identities.ts";

/** An ADD waits so long for a block. */
const CLAIM_LIMIT_MS = 10_000;

export interface RequestsDependencies {
  readonly config: () => Config;
  /** Null: no pool is shared. */
  readonly shared: () => {
    readonly source: BlockSource;
    readonly claims: Claims;
    readonly identities: Identities;
  } | null;
  readonly exceptions: ExceptionRoutes;
  readonly uses: () => readonly BlockUse[];
  readonly clock: Clock;
  /** Resolves when the kernel has what is to be placed. */
  place(): Promise<void>;
}

export class Requests {
  readonly #deps: RequestsDependencies;

  constructor(deps: RequestsDependencies) {
    this.#deps = deps;
  }

  /** As Exceptions.claim(). */
  async claim(request: ExceptionRequest): Promise<readonly string[]> {
    if (request.addresses.length > 0) {
      for (const address of request.addresses) await this.#admitAsked(address, request);
      return request.addresses;
    }
    const moved = await this.#fetch(request);
    return moved.length > 0 ? moved : await this.#room(request);
  }

  /** An address that was asked for by name and is in none of our blocks. */
  async #admitAsked(address: string, { pools, identity }: ExceptionRequest): Promise<void> {
    const pool = pools.find((name) => this.isAskable(name, address));
    if (pool !== undefined) return this.#deps.exceptions.admit(address, pool, "asked", identity);
    for (const name of pools) {
      const held = await this.#identityOf(name, identity)?.fetch(identityIn(name, identity));
      if (held?.includes(address)) return this.#deps.exceptions.admit(address, name, "moved", identity);
    }
    const shared = pools.find((name) => this.#pool(name)?.ranges.some((range) => isIn(range, address)));
    throw new CniError(
      CniErrorCode.addressOutsidePool,
      shared === undefined
        ? `requested address ${address} is in no block of pool "${pools.join('", "')}", and in none of its exceptions`
        : `requested address ${address} is in no block that this node has of pool "${shared}"`,
    );
  }

  /** What the pod has had on another node. */
  async #fetch({ pools, identity, named }: ExceptionRequest): Promise<string[]> {
    if (!named) return [];
    for (const name of pools) {
      const addresses = (await this.#identityOf(name, identity)?.fetch(identityIn(name, identity))) ?? [];
      if (addresses.length === 0) continue;
      for (const address of addresses)
        if (!this.isOwn(address)) await this.#deps.exceptions.admit(address, name, "moved", identity);
      // Those of our own blocks are the pod's as soon as nobody holds them back here.
      await this.#deps.place();
      return [...addresses];
    }
    return [];
  }

  /** Waits for a block when every pool is full; borrows when there is none, and the pool may. */
  async #room({ pools, identity }: ExceptionRequest): Promise<string[]> {
    // A block that retires has room as well, and gives none of it.
    const own = new Set(
      this.#deps
        .shared()
        ?.claims.placed()
        .map(({ prefix }) => prefix),
    );
    const uses = this.#deps.uses().filter(({ prefix }) => own.has(prefix));
    const missing = (pool: PoolConfig) =>
      familiesOf(pool).filter((family) => !uses.some((use) => use.pool === pool.name && hasRoom(use, family)));
    const configs = pools.flatMap((name) => this.#pool(name) ?? []);
    if (configs.some((pool) => pool.source === "static" || missing(pool).length === 0)) return [];
    const [pool] = configs;
    if (!pool) return [];
    const borrowed: string[] = [];
    try {
      for (const family of missing(pool)) {
        const address = await this.#blockOrLoan(pool, family, identity);
        if (address !== null) borrowed.push(address);
      }
    } catch (error) {
      for (const address of borrowed) this.#deps.exceptions.released(address);
      throw error;
    }
    return borrowed;
  }

  /** Null: there is a block now. */
  async #blockOrLoan(pool: PoolConfig, family: Family, identity: string): Promise<string | null> {
    const shared = this.#deps.shared();
    if (!shared) return null;
    try {
      await this.#inTime(shared.claims.more(pool.name, family));
      return null;
    } catch (error) {
      const failure = asSourceError(error);
      if (pool.affinity !== "borrow" || !["exhausted", "limit"].includes(failure.code))
        throw refusal(pool, family, failure);
    }
    const idle = this.#deps.exceptions.idle(pool.name, family);
    if (!idle) this.#deps.exceptions.requireRoom(pool.name);
    try {
      const address = idle?.address ?? (await this.#inTime(shared.source.borrow(pool.name, family))).address;
      await this.#deps.exceptions.admit(address, pool.name, "borrowed", identity);
      return address;
    } catch (error) {
      throw error instanceof CniError ? error : refusal(pool, family, asSourceError(error));
    }
  }

  #inTime<T>(work: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const late = () => reject(new BlockSourceError("unavailable", `no answer within ${CLAIM_LIMIT_MS / 1000} s`));
      const timer = this.#deps.clock.after(CLAIM_LIMIT_MS, late);
      work.then(resolve, reject).finally(() => timer.cancel());
    });
  }

  #identityOf(pool: string, identity: string): Identities | null {
    return identity === "" ? null : (this.keeperOf(pool)?.identities ?? null);
  }

  /** Null: the pool keeps no addresses, or is not shared. */
  keeperOf(name: string): { readonly identities: Identities; readonly milliseconds: number } | null {
    const pool = this.#pool(name);
    const sticky = pool?.sticky ?? null;
    const shared = this.#deps.shared();
    if (!shared || pool?.source !== "etcd" || sticky === null) return null;
    return { identities: shared.identities, milliseconds: sticky.for * 1000 };
  }

  #pool(name: string): PoolConfig | undefined {
    return this.#deps.config().pools.find((pool) => pool.name === name);
  }

  /** With a static source: the operator has promised that nobody else has it. */
  isAskable(name: string, address: string): boolean {
    const pool = this.#pool(name);
    if (pool?.source !== "static" || this.isOwn(address)) return false;
    return pool.exceptions.ranges.some((range) => isIn(range, address)) && !isExcluded(pool, address);
  }

  /** In a block of this node's, of whatever pool. */
  isOwn(address: string): boolean {
    const claimed =
      this.#deps
        .shared()
        ?.source.blocks()
        .map(({ prefix }) => prefix) ?? [];
    return [...this.#deps.config().pools.flatMap(({ blocks }) => blocks), ...claimed].some((block) =>
      isIn(block, address),
    );
  }
}

function isIn(range: string, address: string): boolean {
  const bytes = parseAddress(address);
  const outer = prefixOf(range);
  return bytes !== null && bytes.length === outer.bytes.length && contains(outer, hostPrefix(bytes));
}

function isExcluded({ exclude }: PoolConfig, address: string): boolean {
  const bytes = parseAddress(address)!;
  return exclude.some((text) => {
    const range = parseRange(text);
    if (!range || range.first.length !== bytes.length) return false;
    return Buffer.compare(range.first, bytes) <= 0 && Buffer.compare(bytes, range.last) <= 0;
  });
}

function hasRoom({ prefix, free }: BlockUse, family: Family): boolean {
  return (family === 6) === prefix.includes(":") && (free === null || free > 0);
}

function refusal(pool: PoolConfig, family: Family, { code, message }: BlockSourceError): CniError {
  const nothing = `pool "${pool.name}" has no free IPv${family} address on this node`;
  const later = !["exhausted", "limit", "strict", "unknownPool"].includes(code);
  return new CniError(
    later ? CniErrorCode.tryAgainLater : CniErrorCode.poolExhausted,
    `${nothing}, and no further block: ${message}`,
  );
}
