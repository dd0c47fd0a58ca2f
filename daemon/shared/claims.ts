// Blocks that this node claims out of pools which many nodes share. In: how full the blocks are, what the source of
// blocks (etcd) says. Out: blocks to be placed, claims, and blocks given back, in the order of make before break:
//
//   claimed and confirmed -> placed (kernel, then neighbours) -> pods
//   empty for long -> no pods -> withdrawn -> every neighbour has forgotten -> out of the kernel -> given back
//
// One claim at a time per pool and family, shared by all who wait for it. What cannot be had now is tried again later,
// and said.

import { type BlockSource, BlockSourceError, type OwnedBlock, type SourceChange } from "../../cni/blocks/types.ts";
import type { BlockUse } from "../../cni/ipam/allocator.ts";
import type { PoolConfig } from "../../config/types.ts";
import type { Family } from "../../net/address.ts";
import type { Clock, Timer } from "../../net/clock.ts";
import type { Log } from "../../net/log.ts";
import { prefix as prefixOf } from "../../net/prefix.ts";
import type { Placement } from "../blocks/placement.ts";
import { demand, type SharedBlock } from "./demand.ts";
import type { SharedEvent } from "./types.ts";

/** After a claim that failed: when etcd did not answer, and when there was nothing to be had. */
const RETRY_UNAVAILABLE_MS = 5_000;
const RETRY_EXHAUSTED_MS = 20_000;
/** How often it is looked whether addresses are kept no longer. */
const KEEPING_MS = 60_000;
/** An ADD that needs a block asks again at the earliest. */
const ASK_AGAIN_MS = 1_000;

export interface ClaimsDependencies {
  readonly source: BlockSource;
  readonly clock: Clock;
  readonly log: Log;
  /** Other blocks are to be placed. Resolves when the kernel has answered. */
  place(): Promise<void>;
  /** Of the allocator. */
  uses(): readonly BlockUse[];
  /** The kernel, or a neighbour, may have something of it. */
  isPlaced(prefix: string): boolean;
  onEvent(event: SharedEvent): void;
}

interface Failure {
  readonly error: BlockSourceError;
  readonly at: number;
}

export interface ClaimFailure {
  readonly pool: string;
  readonly family: Family;
  readonly code: string;
  readonly message: string;
}

export class Claims {
  readonly #deps: ClaimsDependencies;
  #pools: readonly PoolConfig[] = [];
  readonly #claiming = new Map<string, Promise<OwnedBlock>>();
  readonly #failures = new Map<string, Failure>();
  readonly #emptySince = new Map<string, number>();
  /** On their way back; `giving`: the kernel and the neighbours are done with it. */
  readonly #leaving = new Map<string, "withdrawing" | "giving">();
  /** Could not be given back, and need not be tried again before something changes. */
  readonly #kept = new Set<string>();
  #timer: Timer | null = null;
  #running = false;
  #keeping = false;

  constructor(deps: ClaimsDependencies) {
    this.#deps = deps;
  }

  configure(pools: readonly PoolConfig[]): void {
    this.#pools = pools.filter(({ source }) => source === "etcd");
    this.#kept.clear();
    this.#failures.clear();
  }

  /** Pods of a former run are known: from now on it is seen what is needed, and what is not. */
  run(): void {
    this.#running = true;
    this.look();
  }

  stop(): void {
    this.#running = false;
    this.#timer?.cancel();
  }

  /** To be placed: this node's, and not on their way back. */
  placed(): Placement["claimed"] {
    return this.#ours().map(({ prefix, pool, lend }) => ({ prefix, pool, exclude: lend === null ? [] : [lend] }));
  }

  failures(): ClaimFailure[] {
    return [...this.#failures].map(([key, { error }]) => {
      const [pool, family] = splitKey(key);
      return { pool, family, code: error.code, message: error.message };
    });
  }

  changed(change: SourceChange): void {
    switch (change.kind) {
      case "block-lost":
        this.#leaving.delete(change.block.prefix);
        this.#emptySince.delete(change.block.prefix);
        this.#deps.onEvent({
          kind: "lost",
          prefix: change.block.prefix,
          pool: change.block.pool,
          reason: change.reason,
        });
        return;
      case "state":
        if (change.state.kind !== "connected") return;
        this.#failures.clear();
        this.#kept.clear();
        this.look();
        return;
      case "block-gained":
      case "pools":
        this.look();
    }
  }

  /** To be called when pods or blocks have come or gone. */
  look(): void {
    if (!this.#running) return;
    this.#timer?.cancel();
    this.#timer = null;
    const { clock, source } = this.#deps;
    const now = clock.now();
    const uses = new Map(this.#deps.uses().map((use) => [use.prefix, use]));
    let wait = Number.POSITIVE_INFINITY;
    this.#keeping = false;
    for (const pool of this.#pools)
      for (const family of familiesOf(pool)) {
        // Another node may give the addresses of a block at once: they have to have cooled down here.
        const releaseAfter = Math.max(pool.releaseAfter, pool.cooldown ?? 0) * 1000;
        const limits = { maxBlocks: pool.maxBlocks, releaseAfter };
        const needs = demand(this.#shared(pool.name, family, uses, now), limits, now);
        if (needs.claim) wait = Math.min(wait, this.#claimLater(pool.name, family, now));
        if (needs.wait !== null) wait = Math.min(wait, needs.wait);
        const mayLeave = source.state.kind === "connected" && this.#leaving.size === 0;
        if (needs.release !== null && !this.#kept.has(needs.release)) {
          if (mayLeave) this.#leave(needs.release);
          else wait = Math.min(wait, RETRY_UNAVAILABLE_MS);
        }
      }
    this.#leaveOthers();
    if (this.#keeping) wait = Math.min(wait, KEEPING_MS);
    if (wait < Number.POSITIVE_INFINITY) this.#timer = clock.after(Math.max(1, wait), () => this.look());
  }

  /** The kernel and the neighbours have nothing of a block any more. */
  gone(prefix: string): void {
    if (this.#leaving.get(prefix) === "withdrawing") void this.#giveBack(prefix);
  }

  /** Resolves when there is one more block that pods can have addresses of. Rejects with BlockSourceError. */
  async more(pool: string, family: Family): Promise<void> {
    const failure = this.#failures.get(keyOf(pool, family));
    if (failure && this.#deps.clock.now() - failure.at < ASK_AGAIN_MS) throw failure.error;
    await this.#claim(pool, family);
    await this.#deps.place();
  }

  #ours(): OwnedBlock[] {
    const names = new Set(this.#pools.map(({ name }) => name));
    return this.#deps.source.blocks().filter(({ prefix, pool }) => names.has(pool) && !this.#leaving.has(prefix));
  }

  #shared(pool: string, family: Family, uses: ReadonlyMap<string, BlockUse>, now: number): SharedBlock[] {
    return this.#ours()
      .filter((block) => block.pool === pool && block.family === family)
      .map(({ prefix }) => {
        const use = uses.get(prefix);
        // Addresses kept for pods that may come again: nobody tells when their time is over.
        const busy = use !== undefined && use.used + use.sticky > 0;
        this.#keeping ||= use !== undefined && use.used === 0 && use.sticky > 0;
        if (busy) this.#emptySince.delete(prefix);
        else if (!this.#emptySince.has(prefix)) this.#emptySince.set(prefix, now);
        const { capacity, free } = use ?? { capacity: sizeOf(prefix), free: sizeOf(prefix) };
        return { prefix, capacity, free, emptySince: this.#emptySince.get(prefix) ?? null };
      });
  }

  /** Milliseconds until it is tried again; infinite: it is under way. */
  #claimLater(pool: string, family: Family, now: number): number {
    const failure = this.#failures.get(keyOf(pool, family));
    if (failure) {
      const pause = failure.error.code === "unavailable" ? RETRY_UNAVAILABLE_MS : RETRY_EXHAUSTED_MS;
      if (failure.at + pause > now) return failure.at + pause - now;
    }
    this.#claim(pool, family).catch(() => undefined);
    return Number.POSITIVE_INFINITY;
  }

  #claim(pool: string, family: Family): Promise<OwnedBlock> {
    const key = keyOf(pool, family);
    const underway = this.#claiming.get(key);
    if (underway) return underway;
    const claim = this.#claimOnce(pool, family).finally(() => this.#claiming.delete(key));
    this.#claiming.set(key, claim);
    // Only now, when nobody takes it for being under way.
    claim.then(
      () => this.look(),
      () => this.look(),
    );
    return claim;
  }

  async #claimOnce(pool: string, family: Family): Promise<OwnedBlock> {
    const { clock, log, source, onEvent } = this.#deps;
    const key = keyOf(pool, family);
    const began = clock.now();
    try {
      const block = await source.want(pool, family);
      this.#failures.delete(key);
      const milliseconds = Math.round(clock.now() - began);
      log.info({ block: block.prefix, pool, milliseconds }, "a block has been claimed");
      onEvent({ kind: "claimed", prefix: block.prefix, pool, milliseconds });
      await this.#deps.place();
      return block;
    } catch (thrown) {
      const error = asSourceError(thrown);
      const before = this.#failures.get(key)?.error.code;
      this.#failures.set(key, { error, at: clock.now() });
      if (before !== error.code)
        log.warn({ pool, family, code: error.code, reason: error.message }, "no block claimed");
      onEvent({ kind: "claimFailed", pool, family, code: error.code, reason: error.message });
      throw error;
    }
  }

  #leave(prefix: string): void {
    const pool = this.#deps.source.blocks().find((block) => block.prefix === prefix)?.pool ?? "";
    this.#deps.log.info({ block: prefix, pool }, "a block without pods goes back to the shared pool");
    this.#leaving.set(prefix, "withdrawing");
    // In this very turn it leaves the allocator.
    void this.#deps.place().then(() => {
      if (!this.#deps.isPlaced(prefix)) this.gone(prefix);
    });
  }

  /** Blocks of pools that are not configured here any more. */
  #leaveOthers(): void {
    if (this.#deps.source.state.kind !== "connected") return;
    const names = new Set(this.#pools.map(({ name }) => name));
    for (const { prefix, pool } of this.#deps.source.blocks()) {
      if (names.has(pool) || this.#leaving.has(prefix) || this.#kept.has(prefix)) continue;
      this.#leaving.set(prefix, "withdrawing");
      if (!this.#deps.isPlaced(prefix)) this.gone(prefix);
    }
  }

  async #giveBack(prefix: string): Promise<void> {
    const { source, log, onEvent } = this.#deps;
    const pool = source.blocks().find((block) => block.prefix === prefix)?.pool ?? "";
    this.#leaving.set(prefix, "giving");
    try {
      await source.giveBack(prefix);
      this.#emptySince.delete(prefix);
      log.info({ block: prefix, pool }, "a block is the shared pool's again");
      onEvent({ kind: "returned", prefix, pool });
    } catch (error) {
      const { code, message } = asSourceError(error);
      this.#kept.add(prefix);
      log.warn({ block: prefix, pool, code, reason: message }, "a block could not be given back and stays");
    }
    this.#leaving.delete(prefix);
    await this.#deps.place();
    this.look();
  }
}

export function familiesOf({ ranges }: Pick<PoolConfig, "ranges">): Family[] {
  return [...new Set(ranges.map((text): Family => (text.includes(":") ? 6 : 4)))].sort();
}

export function asSourceError(error: unknown): BlockSourceError {
  return error instanceof BlockSourceError ? error : new BlockSourceError("unavailable", (error as Error).message);
}

function sizeOf(text: string): number | null {
  const { bytes, length } = prefixOf(text);
  const bits = bytes.length * 8 - length;
  return bits > 53 ? null : 2 ** bits;
}

function keyOf(pool: string, family: Family): string {
  return `${family} ${pool}`;
}

function splitKey(key: string): [pool: string, family: Family] {
  return [key.slice(2), key.startsWith("4") ? 4 : 6];
}
