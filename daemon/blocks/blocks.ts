// Blocks from the configuration, or from those claimed for this node, to the kernel to the neighbours, and back: drives
// the life of each (lifecycle.ts). In: the configuration, what is claimed (placement.ts), the kernel's answers, pods that
// come and go, drain and stop. Out: what the kernel is to keep, what the speaker announces and withdraws, in the order that
// the life of a block says.
// A single address that has been let in (an exception) is a block of one address, and has the same life.

import { isDeepStrictEqual } from "node:util";
import type { Speaker } from "../../bgp/speaker.ts";
import type { OriginatedAttributes } from "../../bgp/speaker-types.ts";
import type { BlockSourceName, RetiringBlock } from "../../cni/types.ts";
import type { Clock } from "../../net/clock.ts";
import type { Log } from "../../net/log.ts";
import { formatPrefix, type Prefix, prefix as prefixOf } from "../../net/prefix.ts";
import type { Fib, OwnedResult } from "../../routing/types.ts";
import { Forgetting } from "./forgetting.ts";
import { KernelRequests } from "./kernel-requests.ts";
import { absent, type BlockAction, type BlockEvent, type BlockState, inKernel, leftBehind, step } from "./lifecycle.ts";
import { type BlocksConfig, type BlocksPool, nothingPlaced, type Placement, placed } from "./placement.ts";
import { isWanted } from "./wanted.ts";

const TOLD_POLL_MS = 10;

/** The allocator's side. */
export interface BlockPods {
  /** New pods get addresses out of these pools; nothing is taken from those who have some. */
  setPools(pools: readonly BlocksPool[]): void;
  retiring(): readonly RetiringBlock[];
  /** No addresses out of this block, for this reason; null: none. */
  hold(prefix: string, reason: string | null): void;
}

export interface BlocksDependencies {
  readonly fib: Pick<Fib, "formerBlocks" | "setOwned" | "onBlock">;
  readonly speaker: Pick<Speaker, "announceLocal" | "withdrawLocal" | "untold" | "rememberers">;
  readonly pods: BlockPods;
  readonly clock: Clock;
  readonly log: Log;
  /** A block is in another phase. Of several tables that it is in, the one that the configuration names is told. */
  readonly onChange?: (block: BlockStatus) => void;
}

/** One block in one table. */
export interface BlockStatus {
  readonly prefix: string;
  readonly table: number;
  readonly pool: string;
  readonly configured: boolean;
  readonly retained: boolean;
  readonly source: BlockSourceName;
  readonly state: BlockState;
}

interface Unit extends BlockStatus {
  readonly parsed: Prefix;
  pool: string;
  configured: boolean;
  retained: boolean;
  /** In a pool that many nodes share, and not claimed for this one. */
  foreign: boolean;
  source: BlockSourceName;
  state: BlockState;
  attributes: OriginatedAttributes;
}

const noAttributes: OriginatedAttributes = { communities: [], extendedCommunities: [], largeCommunities: [] };

export class Blocks {
  readonly #deps: BlocksDependencies;
  #config: BlocksConfig;
  #placement: Placement = nothingPlaced;
  /** What a former run has left is known: nothing is asked of the kernel before. */
  #adopted = false;
  readonly #units = new Map<string, Unit>();
  readonly #forgetting: Forgetting<Unit>;
  /** What pods still have addresses of is known. */
  #podsKnown = false;
  #converged = false;
  #open = false;
  #stopped = false;
  #evaluating = false;
  /** Retiring ones that the log has told of. */
  readonly #reportedRetained = new Set<Unit>();
  readonly #requests: KernelRequests;
  /** Why the kernel took nothing of the last request; null: it did. */
  #refusal: Error | null = null;

  constructor(config: BlocksConfig, deps: BlocksDependencies) {
    this.#config = config;
    this.#deps = deps;
    const { clock, speaker, fib } = deps;
    this.#requests = new KernelRequests(
      clock,
      () => this.#request(),
      () => this.#retry(),
    );
    this.#forgetting = new Forgetting(
      {
        clock,
        untold: () => [...speaker.untold(), ...speaker.rememberers()],
        rememberers: () => speaker.rememberers(),
      },
      config.routing.withdrawTime,
    );
    fib.onBlock((change) => {
      const { table } = change.block;
      const text = change.kind === "lost" ? change.block.prefix : formatPrefix(change.block.prefix);
      const unit = this.#units.get(keyOf(text, table));
      if (!unit || this.#stopped || !inKernel(unit.state)) return;
      if (change.kind === "lost") this.#dispatch(unit, { kind: "refused", error: change.block.error });
      else this.#dispatch(unit, { kind: "acknowledged", proof: change.block });
    });
  }

  /**
   * Has the kernel take the blocks, and keep those of a former run until it is known who needs them. Nothing is announced.
   * A block that it refuses is tried again; rejects when it refuses more than blocks. `placement`: what is claimed by now.
   */
  async start(placement: Placement = nothingPlaced): Promise<void> {
    this.#placement = placement;
    const { pools } = placed(this.#config, this.#placement);
    for (const { prefix, table } of await this.#deps.fib.formerBlocks()) {
      // Who took its rule away took the table's number along: the pool's, or any that there is.
      const of = table ?? pools.find(({ blocks }) => blocks.includes(prefix))?.table;
      this.#unit(prefix, of ?? this.#config.tables[0].id).state = leftBehind;
    }
    this.#adopted = true;
    this.#configure(this.#config);
    this.#requests.ask();
    await this.#requests.answered();
    if (this.#refusal) throw this.#refusal;
  }

  /** Prefixes of blocks that a former run had and no pool has. */
  leftBehind(): string[] {
    const configured = this.#configuredPrefixes();
    return [...this.#units.values()].map(({ prefix }) => prefix).filter((prefix) => !configured.has(prefix));
  }

  /** Pods have come or gone: a block that stayed for their sake only is withdrawn with the last one. */
  podsChanged(): void {
    this.#podsKnown = true;
    this.#findRetained();
    this.#evaluate();
  }

  /** Everything that the kernel has is announced, and from now on whatever it gets. */
  announceAll(): void {
    this.#open = true;
    for (const unit of [...this.#units.values()]) this.#dispatch(unit, { kind: "open" });
  }

  /**
   * Withdraws everything and announces nothing until announceAll(); the kernel keeps it. Resolves when every neighbour with a
   * session has been sent that, or after `limit` milliseconds.
   */
  async withdrawAll(limit = 2000): Promise<void> {
    this.#open = false;
    for (const unit of [...this.#units.values()]) this.#dispatch(unit, { kind: "close" });
    const { clock, speaker } = this.#deps;
    const until = clock.now() + limit;
    const waiting = new Set(speaker.untold());
    while (waiting.size > 0 && clock.now() < until) {
      await new Promise<void>((resolve) => clock.after(TOLD_POLL_MS, resolve));
      const untold = new Set(speaker.untold());
      for (const peer of waiting) if (!untold.has(peer)) waiting.delete(peer);
    }
  }

  /** Neighbours know by now what this run announces: what a former one did is forgotten. */
  converged(): void {
    this.#converged = true;
    this.#forgetting.release();
  }

  /**
   * Other pools and tables. Resolves when the kernel has answered; what has to go goes later, in its order. Rejects, with
   * everything as it was, when the kernel refuses more than blocks.
   */
  async change(config: BlocksConfig): Promise<void> {
    const before = this.#config;
    const tablesChanged = !isDeepStrictEqual(before.tables, config.tables);
    this.#configure(config);
    if (tablesChanged) this.#requests.ask();
    await this.#requests.answered();
    if (!this.#refusal) return;
    const refusal = this.#refusal;
    this.#configure(before);
    if (tablesChanged) this.#requests.ask();
    throw refusal;
  }

  /** Other claimed blocks and exceptions. Resolves when the kernel has answered; what it refuses is tried again. */
  async place(placement: Placement): Promise<void> {
    const before = this.#placement;
    this.#placement = placement;
    if (!this.#adopted) return;
    this.#configure(this.#config);
    const others = ({ elsewhere, uplinks }: Placement) => [elsewhere, uplinks];
    if (!isDeepStrictEqual(others(before), others(placement))) this.#requests.ask();
    await this.#requests.answered();
  }

  /** The kernel keeps what it has, neighbours are told nothing. */
  stop(): void {
    this.#stopped = true;
    this.#forgetting.stop();
    this.#requests.stop();
  }

  /** Those of the configuration first. */
  status(): readonly BlockStatus[] {
    const units = [...this.#units.values()];
    return [...units.filter(({ configured }) => configured), ...units.filter(({ configured }) => !configured)];
  }

  #configure(config: BlocksConfig): void {
    const { pods } = this.#deps;
    this.#config = config;
    this.#forgetting.setPause(config.routing.withdrawTime);
    const { pools, exceptions, isShared } = placed(config, this.#placement);
    pods.setPools(pools);
    for (const unit of this.#units.values()) unit.configured = false;
    const configure = (prefix: string, pool: BlocksPool, source: BlockSourceName) => {
      const unit = this.#unit(prefix, pool.table);
      Object.assign(unit, { configured: true, pool: pool.name, source });
    };
    for (const pool of pools) for (const block of pool.blocks) configure(block, pool, pool.source ?? "static");
    for (const { prefix, pool, source } of exceptions) configure(prefix, pool, source);
    for (const unit of this.#units.values()) unit.foreign = !unit.configured && isShared(unit.parsed);
    this.#findRetained();
    for (const unit of this.#units.values()) {
      const pool = config.pools.find(({ name }) => name === unit.pool);
      const exception = unit.source !== "static" && unit.source !== "etcd";
      const attributes = (exception ? pool?.exceptions?.announced : pool?.announced) ?? unit.attributes;
      if (isDeepStrictEqual(attributes, unit.attributes)) continue;
      unit.attributes = attributes;
      if (unit.state.phase === "announced") this.#deps.speaker.announceLocal(unit.state.proof, attributes);
    }
    this.#evaluate();
    for (const unit of this.#units.values()) this.#hold(unit);
  }

  #configuredPrefixes(): ReadonlySet<string> {
    return new Set([...this.#units.values()].filter(({ configured }) => configured).map(({ prefix }) => prefix));
  }

  #findRetained(): void {
    const configured = this.#configuredPrefixes();
    const retiring = new Map(this.#deps.pods.retiring().map((block) => [block.prefix, block]));
    for (const unit of this.#units.values()) {
      const block = retiring.get(unit.prefix);
      const { prefix, table, state } = unit;
      if (block && !unit.configured) unit.pool = block.pool;
      unit.retained = !configured.has(prefix) && !unit.foreign && (block !== undefined || !this.#podsKnown);
      if (!unit.retained) this.#reportedRetained.delete(unit);
      if (!block || !unit.retained || this.#reportedRetained.has(unit)) continue;
      this.#reportedRetained.add(unit);
      const fields = { block: prefix, pool: block.pool, table, state: state.phase, addresses: block.addresses };
      this.#deps.log.warn(fields, "block is in no pool any more, but has pods: it stays until the last one is gone");
    }
  }

  #unit(text: string, table: number): Unit {
    const key = keyOf(text, table);
    let unit = this.#units.get(key);
    if (!unit) {
      // Before they are told anew, neighbours may remember anything of a former run.
      const state = { ...absent, open: this.#open, believed: !this.#converged };
      const fresh = { configured: false, retained: false, foreign: false, source: "static" as const, state };
      const attributes = noAttributes;
      unit = { prefix: text, parsed: prefixOf(text), table, pool: "", ...fresh, attributes };
      this.#units.set(key, unit);
    }
    return unit;
  }

  /** Until nothing is to be changed: what comes lets go what waits for it. */
  #evaluate(): void {
    if (this.#evaluating || this.#stopped) return;
    this.#evaluating = true;
    for (let changed = true; changed; ) {
      changed = false;
      const candidates = [...this.#units.values()].map((unit) => ({ unit, ...unit, prefix: unit.parsed }));
      for (const { unit } of candidates) {
        const wanted = isWanted({ ...unit, prefix: unit.parsed }, candidates);
        if (wanted === unit.state.wanted) continue;
        this.#dispatch(unit, { kind: wanted ? "want" : "unwant" });
        changed = true;
        break;
      }
    }
    this.#evaluating = false;
  }

  #dispatch(unit: Unit, event: BlockEvent): void {
    const before = unit.state;
    const { state, actions } = step(before, event);
    unit.state = state;
    if (before.phase === "withdrawing" && state.phase !== "withdrawing") this.#forgetting.cancel(unit);
    for (const action of actions) this.#act(unit, action);
    if (state.phase === "absent" && !state.wanted && !unit.configured)
      this.#units.delete(keyOf(unit.prefix, unit.table));
    if (state.phase === before.phase && errorOf(state) === errorOf(before)) return;
    this.#report(unit);
    this.#hold(unit);
    this.#evaluate();
  }

  #act(unit: Unit, action: BlockAction): void {
    const { speaker } = this.#deps;
    switch (action.kind) {
      case "write":
        this.#requests.ask();
        break;
      case "announce":
        speaker.announceLocal(action.proof, unit.attributes);
        break;
      case "withdraw":
        speaker.withdrawLocal(unit.table, unit.parsed);
        break;
      case "awaitForgotten":
        this.#forgetting.wait(unit, () => this.#dispatch(unit, { kind: "forgotten" }));
        break;
      case "retryLater":
        this.#requests.retryLater();
    }
  }

  async #request(): Promise<void> {
    const units = [...this.#units.values()];
    const kept = units.filter(({ state }) => inKernel(state));
    const removed = units.filter(({ state }) => state.phase === "removing");
    const blocks = kept.map(({ prefix, table }) => ({ prefix, table }));
    let result: OwnedResult;
    try {
      const { elsewhere, uplinks } = this.#placement;
      result = await this.#deps.fib.setOwned({ blocks, elsewhere, uplinks, tables: this.#config.tables });
      this.#refusal = null;
    } catch (error) {
      this.#refusal = error as Error;
      if (this.#stopped) return;
      const refused: BlockEvent = { kind: "refused", error: this.#refusal.message };
      for (const unit of [...kept, ...removed])
        if (unit.state.phase === "installing" || unit.state.phase === "removing") this.#dispatch(unit, refused);
      this.#requests.retryLater();
      return;
    }
    if (this.#stopped) return;
    if (result.refused.length === 0) this.#requests.accepted();
    for (const proof of result.installed)
      this.#answer(formatPrefix(proof.prefix), proof.table, { kind: "acknowledged", proof });
    for (const { prefix, table, error } of result.refused) this.#answer(prefix, table, { kind: "refused", error });
    for (const unit of removed) this.#dispatch(unit, { kind: "removed" });
  }

  #answer(prefix: string, table: number, event: BlockEvent): void {
    const unit = this.#units.get(keyOf(prefix, table));
    // Asked to remove it since: the answer is to an older question.
    if (unit && inKernel(unit.state)) this.#dispatch(unit, event);
  }

  #retry(): void {
    for (const unit of [...this.#units.values()]) this.#dispatch(unit, { kind: "retry" });
    if (this.#refusal) this.#requests.ask();
  }

  /** Pods get addresses of a block only while they would be reachable with them. */
  #hold({ prefix }: Unit): void {
    const units = [...this.#units.values()].filter((unit) => unit.prefix === prefix);
    if (!units.some(({ configured }) => configured)) return;
    const ready = units.some(({ state }) => "proof" in state && state.proof !== null);
    const error = units.map(({ state }) => errorOf(state)).find((text) => text !== null);
    const reason = error ? `the kernel refuses it: ${error}` : "the kernel does not have it yet";
    this.#deps.pods.hold(prefix, ready ? null : reason);
  }

  #report(unit: Unit): void {
    const { prefix, pool, table, state } = unit;
    const fields = { block: prefix, pool, table, state: state.phase };
    if (state.phase === "failed")
      this.#deps.log.warn({ ...fields, error: state.error }, "block is not announced: the kernel does not take it");
    else this.#deps.log.info(fields, `block is ${state.phase}`);
    this.#deps.onChange?.(this.status().find((status) => status.prefix === prefix) ?? unit);
  }
}

function keyOf(prefix: string, table: number): string {
  return `${prefix} ${table}`;
}

function errorOf(state: BlockState): string | null {
  return state.phase === "failed" ? state.error : null;
}
