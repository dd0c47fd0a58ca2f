// Single addresses outside of this node's blocks that pods have here: let in one by one, each a host route in the
// fabric. In: who asks for which, and gives back. Out: what is to be placed, at most as much as the budget allows; an
// address counts until no neighbour believes in it any more.
//
//   let in -> rule and blackhole in the kernel -> the pod's own route -> neighbours
//   pod gone (borrowed: idle for a while) -> withdrawn -> forgotten -> out of the kernel -> free for other nodes
import type { BlockCounts } from "../../cni/ipam/block.ts";
import { CniError, CniErrorCode } from "../../cni/protocol/error.ts";
import type { PoolConfig } from "../../config/types.ts";
import type { Clock, Timer } from "../../net/clock.ts";
import type { Log } from "../../net/log.ts";
import { hostPrefixText } from "../../net/prefix.ts";
import type { Placement } from "../blocks/placement.ts";
import type { ExceptionKind, SharedEvent } from "./types.ts";

export interface Entry {
  readonly address: string;
  readonly pool: string;
  why: ExceptionKind;
  /** Who may have it; null: not known yet. */
  identity: string | null;
  inUse: boolean;
  /** Milliseconds of the clock. */
  idleSince: number;
  /** Withdrawn, and not forgotten by everybody. */
  leaving: boolean;
}

export interface ExceptionsDependencies {
  readonly clock: Clock;
  readonly log: Log;
  /** Other exceptions are to be placed. Resolves when the kernel has answered. */
  place(): Promise<void>;
  /** The kernel, or a neighbour, may have something of it. */
  isPlaced(prefix: string): boolean;
  /** Why the kernel does not have it; null: it has. */
  refusal(prefix: string): string | null;
  /** No neighbour believes in it any more, and the kernel has nothing of it. */
  left(entry: Entry): void;
  onEvent(event: SharedEvent): void;
}

export class ExceptionRoutes {
  readonly #deps: ExceptionsDependencies;
  readonly #entries = new Map<string, Entry>();
  #pools: ReadonlyMap<string, PoolConfig> = new Map();
  #timer: Timer | null = null;
  #stopped = false;

  constructor(deps: ExceptionsDependencies) {
    this.#deps = deps;
  }

  configure(pools: readonly PoolConfig[]): void {
    this.#pools = new Map(pools.map((pool) => [pool.name, pool]));
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  get entries(): readonly Entry[] {
    return [...this.#entries.values()];
  }

  placed(): Placement["exceptions"] {
    return this.entries
      .filter(({ leaving }) => !leaving)
      .map(({ address, pool, why }) => ({ prefix: hostPrefixText(address), pool, source: why }));
  }

  blocks(): (BlockCounts & { readonly prefix: string; readonly pool: string })[] {
    return this.entries.map(({ address, pool, inUse }) => {
      const used = inUse ? 1 : 0;
      const counts = { capacity: 1, used, free: 1 - used, cooling: 0, reserved: 0, sticky: 0 };
      return { prefix: hostPrefixText(address), pool, ...counts };
    });
  }

  /** Of the budget of a pool. */
  used(pool: string): number {
    return this.entries.filter((entry) => entry.pool === pool).length;
  }

  find(address: string): Entry | undefined {
    return this.#entries.get(address);
  }

  /** Throws a CniError, code 100, when the budget leaves no room for so many more. */
  requireRoom(pool: string, count = 1): void {
    const budget = this.#pools.get(pool)?.exceptions.budget ?? 0;
    if (this.used(pool) + count <= budget) return;
    throw new CniError(
      CniErrorCode.poolExhausted,
      budget === 0
        ? `pool "${pool}" lets no address in that is in none of this node's blocks (exceptions.budget is 0)`
        : `pool "${pool}" has no room for another address that is in none of this node's blocks: all ${budget} of its budget are in use (pools.${pool}.exceptions.budget)`,
    );
  }

  /** Known at start: from the disk, or because a pod has it. */
  found(address: string, pool: string, why: ExceptionKind): void {
    this.#enter({ address, pool, why, identity: null, inUse: true, idleSince: 0, leaving: false });
  }

  /** What pods have is known: what none has leaves. */
  podsKnown(identityOf: (address: string) => string | null): void {
    for (const entry of this.entries) {
      entry.identity ??= identityOf(entry.address);
      if (identityOf(entry.address) === null) this.released(entry.address);
    }
  }

  /** Throws a CniError: 100 without room in the budget, 101 when somebody has it, 11 when the kernel does not take it. */
  async admit(address: string, pool: string, why: ExceptionKind, identity: string): Promise<void> {
    const known = this.#entries.get(address);
    if (known?.inUse && known.identity !== identity)
      throw new CniError(CniErrorCode.addressTaken, `requested address ${address} is in use by another pod`);
    if (!known) {
      this.requireRoom(pool);
      this.#enter({ address, pool, why, identity, inUse: true, idleSince: 0, leaving: false });
      this.#deps.onEvent({ kind: "exception", prefix: hostPrefixText(address), pool, why });
    } else Object.assign(known, { identity, inUse: true, leaving: false });
    await this.#deps.place();
    const refusal = this.#deps.refusal(hostPrefixText(address));
    if (refusal === null) return;
    this.released(address);
    throw new CniError(CniErrorCode.tryAgainLater, `the kernel does not take a rule for ${address}: ${refusal}`);
  }

  /** One that nobody uses, borrowed before. */
  idle(pool: string, family: 4 | 6): Entry | undefined {
    return this.entries.find(
      (entry) =>
        !entry.inUse &&
        entry.why === "borrowed" &&
        entry.pool === pool &&
        (family === 6) === entry.address.includes(":"),
    );
  }

  released(address: string): void {
    const entry = this.#entries.get(address);
    if (!entry?.inUse) return;
    entry.inUse = false;
    entry.idleSince = this.#deps.clock.now();
    this.#look();
  }

  /** It is another node's by now, whatever is done with it here. */
  lost(address: string): void {
    const entry = this.#entries.get(address);
    if (!entry || entry.leaving) return;
    entry.leaving = true;
    this.#withdraw(entry);
  }

  /** The kernel and the neighbours have nothing of it any more. */
  gone(prefix: string): void {
    const entry = this.#entries.get(prefix.slice(0, prefix.indexOf("/")));
    if (!entry?.leaving || hostPrefixText(entry.address) !== prefix) return;
    this.#entries.delete(entry.address);
    this.#deps.log.info({ address: entry.address, pool: entry.pool, why: entry.why }, "an exception has left");
    this.#deps.onEvent({ kind: "exceptionLeft", prefix, pool: entry.pool, why: entry.why });
    this.#deps.left(entry);
  }

  #enter(entry: Entry): void {
    this.#entries.set(entry.address, entry);
    this.#deps.log.info(
      { address: entry.address, pool: entry.pool, why: entry.why },
      "an address outside of the blocks is let in",
    );
  }

  #look(): void {
    this.#timer?.cancel();
    this.#timer = null;
    if (this.#stopped) return;
    const now = this.#deps.clock.now();
    let wait = Number.POSITIVE_INFINITY;
    for (const entry of this.entries) {
      if (entry.inUse || entry.leaving) continue;
      const stays = entry.why === "borrowed" ? (this.#pools.get(entry.pool)?.releaseAfter ?? 0) * 1000 : 0;
      const left = entry.idleSince + stays - now;
      if (left > 0) wait = Math.min(wait, left);
      else {
        entry.leaving = true;
        this.#withdraw(entry);
      }
    }
    if (wait < Number.POSITIVE_INFINITY) this.#timer = this.#deps.clock.after(wait, () => this.#look());
  }

  #withdraw({ address }: Entry): void {
    const prefix = hostPrefixText(address);
    void this.#deps.place().then(() => {
      if (!this.#deps.isPlaced(prefix)) this.gone(prefix);
    });
  }
}
