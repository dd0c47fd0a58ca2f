// What this node has beside the blocks that its configuration names: blocks claimed in etcd, single addresses let in,
// pods that bring their addresses along. In: the configuration, the source of blocks, ADDs that find nothing (claim),
// pods that come and go. Out: the placement for daemon/blocks, which takes it to the kernel and the neighbours; what is
// given back, when nobody looks for it here any more.
import { isDeepStrictEqual } from "node:util";
import type { BlockSource, SourceChange, SourceState } from "../../cni/blocks/types.ts";
import type { BlockUse } from "../../cni/ipam/allocator.ts";
import type { ExceptionRequest, Exceptions } from "../../cni/ipam/exceptions.ts";
import { identityOf } from "../../cni/ipam/records.ts";
import type { PodEvent, PodView } from "../../cni/types.ts";
import type { Config } from "../../config/types.ts";
import type { SharedFacts } from "../../doctor/types.ts";
import type { Clock } from "../../net/clock.ts";
import type { Log } from "../../net/log.ts";
import { hostPrefixText } from "../../net/prefix.ts";
import type { SharedView } from "../api/types.ts";
import type { Blocks } from "../blocks/blocks.ts";
import type { Placement } from "../blocks/placement.ts";
import { type ClaimFailure, Claims } from "./claims.ts";
import { ComingsAndGoings } from "./comings-and-goings.ts";
import { type Entry, ExceptionRoutes } from "./exceptions.ts";
import { Identities } from "./identities.ts";
import { Requests } from "./requests.ts";
import { Takeover } from "./takeover.ts";
import type { SharedEvent } from "./types.ts";

export interface SharingDependencies {
  /** Null: the configuration has none. */
  readonly makeSource: (config: Config) => BlockSource | null;
  /** Made after this. */
  readonly blocks: () => Pick<Blocks, "place" | "status">;
  /** Of the allocator. */
  readonly uses: () => readonly BlockUse[];
  readonly pods: () => readonly PodView[];
  /** In use, of blocks; also by an ADD that is under way. */
  readonly addresses: () => readonly string[];
  /** Names of the interfaces that neighbours are on, as far as they are known now. */
  readonly uplinks: () => readonly string[];
  readonly clock: Clock;
  /** Milliseconds since 1970. */
  readonly timeOfDay?: () => number;
  readonly log: Log;
  onEvent(event: SharedEvent): void;
}

interface Shared {
  readonly source: BlockSource;
  readonly claims: Claims;
  readonly identities: Identities;
  readonly unsubscribe: () => void;
}

export class Sharing implements Exceptions {
  readonly #deps: SharingDependencies;
  readonly #exceptions: ExceptionRoutes;
  readonly #requests: Requests;
  readonly #takeover: Takeover;
  readonly #pods: ComingsAndGoings;
  #config: Config;
  #shared: Shared | null = null;
  readonly #uplinks = new Set<string>();
  readonly #counts = { claimed: 0, failed: 0, returned: 0, lost: 0, milliseconds: 0 };
  #placing: Promise<void> | null = null;
  #placeAgain = false;
  #looking = false;
  #started = false;
  /** What the source of blocks has been opened with. */
  #opened: Config;

  constructor(config: Config, deps: SharingDependencies) {
    this.#config = config;
    this.#opened = config;
    this.#deps = deps;
    const { clock, log } = deps;
    this.#exceptions = new ExceptionRoutes({
      clock,
      log,
      place: () => this.#place(),
      isPlaced: (prefix) => this.#statusOf(prefix) !== undefined,
      refusal: (prefix) => this.#refusal(prefix),
      left: (entry) => void this.#pods.left(entry),
      onEvent: (event) => this.#tell(event),
    });
    this.#exceptions.configure(config.pools);
    this.#requests = new Requests({
      config: () => this.#config,
      shared: () => this.#shared,
      exceptions: this.#exceptions,
      uses: deps.uses,
      place: () => this.#place(),
      clock,
    });
    const source = () => this.#shared?.source ?? null;
    this.#pods = new ComingsAndGoings({
      source,
      requests: this.#requests,
      exceptions: this.#exceptions,
      pods: deps.pods,
      clock,
      log,
    });
    this.#takeover = new Takeover(config.pools, {
      source,
      addresses: () => deps.addresses().filter((address) => !this.#exceptions.find(address)),
      log,
      place: () => this.#place(),
    });
  }

  #tell(event: SharedEvent): void {
    if (event.kind === "claimed") this.#counts.milliseconds += event.milliseconds;
    if (event.kind === "claimFailed") this.#counts.failed++;
    else if (event.kind === "claimed" || event.kind === "returned" || event.kind === "lost") this.#counts[event.kind]++;
    this.#deps.onEvent(event);
  }

  /** Resolves when it is known what this node has. Rejects when the copy of that on the disk is damaged. */
  async start(): Promise<void> {
    this.#shared = await this.#open(this.#config);
    for (const { address, pool } of this.#shared?.source.loans() ?? [])
      this.#exceptions.found(address, pool, "borrowed");
    for (const { pool, addresses } of this.#shared?.source.held() ?? [])
      for (const address of addresses)
        if (!this.#requests.isOwn(address)) this.#exceptions.found(address, pool, "moved");
  }

  /** Of what a former run left: blocks. Single addresses that may be exceptions are known when pods are. */
  blocksAmong(former: readonly string[]): string[] {
    return former.filter((prefix) => {
      const [address] = prefix.split("/");
      return (
        prefix !== hostPrefixText(address) ||
        !this.#config.pools.some(({ name }) => this.#requests.isAskable(name, address))
      );
    });
  }

  /**
   * Pods of a former run are known: what none of them has goes back, and what is not ours is claimed. Resolves when
   * that is done.
   */
  async podsKnown(pods: readonly PodView[]): Promise<void> {
    const owners = new Map(pods.flatMap((pod) => pod.addresses.map((address) => [address, pod] as const)));
    for (const [address, { pool }] of owners)
      if (!this.#exceptions.find(address) && this.#requests.isAskable(pool, address))
        this.#exceptions.found(address, pool, "asked");
    this.#exceptions.podsKnown((address) => {
      const owner = owners.get(address);
      return owner ? identityOf(owner) : null;
    });
    await this.#takeover.late();
    for (const pod of pods) this.#pods.attached(pod);
    this.#pods.letGoOfAbsent(pods);
    this.#started = true;
    void this.#place();
    this.#run();
  }

  async stop(): Promise<void> {
    this.#exceptions.stop();
    await this.#close(this.#shared);
  }

  /**
   * What has to be there before the pools change; rejects with everything as it was. Call configured() when they have
   * changed.
   */
  async prepare(config: Config): Promise<void> {
    const shared = ({ pools }: Config) => pools.filter(({ source }) => source === "etcd").map(({ name }) => name);
    const key = (of: Config) => [of.etcd, of.node, shared(of)];
    const before = this.#opened;
    try {
      if (!isDeepStrictEqual(key(config), key(before))) await this.#reopen(config);
      await this.#takeover.prepare(config.pools);
    } catch (error) {
      if (this.#opened !== before) await this.#reopen(before);
      throw error;
    } finally {
      this.#run();
    }
  }

  async #reopen(config: Config): Promise<void> {
    const before = this.#opened;
    // One at a time has the copy on the disk; what the former one knows counts until the new one knows more.
    await this.#close(this.#shared);
    try {
      this.#shared = await this.#open(config);
    } catch (error) {
      this.#shared = await this.#open(before);
      throw error;
    }
  }

  /** What pods have comes first: a claim may get the block that one of them is in. */
  #run(): void {
    if (this.#started && !this.#takeover.waiting) this.#shared?.claims.run();
  }

  /** Blocks that prepare() would claim for pods that are here. */
  foresee(config: Config): ReturnType<Takeover["foresee"]> {
    return this.#takeover.foresee(config.pools);
  }

  configured(config: Config): void {
    this.#config = config;
    this.#takeover.configured(config.pools);
    this.#exceptions.configure(config.pools);
    this.#shared?.claims.configure(config.pools);
    void this.#place();
    this.look();
  }

  placement(): Placement {
    for (const name of this.#deps.uplinks()) this.#uplinks.add(name);
    const source = this.#shared?.source;
    return {
      claimed: this.#shared?.claims.placed() ?? [],
      exceptions: this.#exceptions.placed(),
      elsewhere: (source?.reserved() ?? []).map(hostPrefixText),
      uplinks: [...this.#uplinks].sort(),
    };
  }

  /** A block, or an exception, has another phase. */
  blockChanged(prefix: string): void {
    if (this.#statusOf(prefix) !== undefined) return;
    this.#shared?.claims.gone(prefix);
    this.#exceptions.gone(prefix);
  }

  /** Pods have come or gone, in any pool. Looked at later in this turn. */
  look(): void {
    if (this.#looking) return;
    this.#looking = true;
    queueMicrotask(() => {
      this.#looking = false;
      this.#shared?.claims.look();
    });
  }

  /** Sessions have come or gone. */
  uplinksChanged(): void {
    if (this.placement().elsewhere.length > 0) void this.#place();
  }

  podChanged({ kind, pod }: PodEvent): void {
    if (!this.#started) return;
    if (kind === "added") this.#pods.attached(pod);
    else this.#pods.detached(pod);
  }

  // --- what the allocator asks ---

  claim(request: ExceptionRequest): Promise<readonly string[]> {
    return this.#requests.claim(request);
  }

  admits(address: string, identity: string): boolean {
    const entry = this.#exceptions.find(address);
    return entry?.inUse === true && !entry.leaving && entry.identity === identity;
  }

  released(address: string): void {
    this.#exceptions.released(address);
  }

  blocks(): ReturnType<Exceptions["blocks"]> {
    return this.#exceptions.blocks();
  }

  // --- what is shown ---

  get state(): SourceState | null {
    return this.#shared?.source.state ?? null;
  }

  failures(): ClaimFailure[] {
    return this.#shared?.claims.failures() ?? [];
  }

  exceptions(): readonly Entry[] {
    return this.#exceptions.entries;
  }

  view(): SharedView {
    const { state, exceptions } = this.facts();
    const etcd = state && { state: state.kind, reason: state.reason, seconds: state.seconds };
    return { etcd, claims: { ...this.#counts }, exceptions };
  }

  facts(): Omit<SharedFacts, "nodes"> {
    const { clock } = this.#deps;
    const state = this.state;
    return {
      state: state && {
        kind: state.kind,
        reason: state.reason,
        seconds: Math.round((clock.now() - state.since) / 1000),
      },
      warnings: this.#shared?.source.warnings() ?? [],
      failures: this.failures(),
      exceptions: this.#config.pools.map(({ name, exceptions: { budget } }) => {
        return { pool: name, used: this.#exceptions.used(name), budget };
      }),
    };
  }

  /** For the status: each as long as it lasts. */
  problems(): string[] {
    const { state, failures } = this.facts();
    const problems = failures
      .filter(({ code }) => code !== "unavailable")
      .map(
        ({ pool, family, message }) =>
          `pool ${pool} is short of IPv${family} addresses, and has no further block: ${message}`,
      );
    if (state && state.kind !== "connected" && state.kind !== "stopped")
      problems.unshift(`etcd cannot be relied on (${state.kind}): ${state.reason ?? "no answer so far"}`);
    if (this.#takeover.problem !== null) problems.push(this.#takeover.problem);
    return problems;
  }

  async #open(config: Config): Promise<Shared | null> {
    const source = this.#deps.makeSource(config);
    if (!source) {
      this.#opened = config;
      return null;
    }
    const { clock, log } = this.#deps;
    const claims = new Claims({
      source,
      clock,
      log,
      onEvent: (event) => this.#tell(event),
      place: () => this.#place(),
      uses: this.#deps.uses,
      isPlaced: (prefix) => this.#statusOf(prefix) !== undefined,
    });
    claims.configure(config.pools);
    await source.start();
    this.#opened = config;
    return {
      source,
      claims,
      identities: new Identities({
        source,
        clock,
        timeOfDay: this.#deps.timeOfDay ?? Date.now,
        longest: (name) => {
          const sticky = config.pools.find((pool) => pool.name === name)?.sticky;
          return sticky ? sticky.for * 1000 : null;
        },
        log,
      }),
      unsubscribe: source.onChange((change) => this.#changed(change)),
    };
  }

  async #close(shared: Shared | null): Promise<void> {
    if (!shared) return;
    shared.unsubscribe();
    shared.claims.stop();
    shared.identities.stop();
    await shared.source.stop();
  }

  #changed(change: SourceChange): void {
    if (change.kind === "state") {
      const { kind: state, reason } = change.state;
      this.#tell({ kind: "state", state, reason });
      if (state === "connected") {
        this.#shared?.identities.connected();
        void this.#takeover.connected().then(() => this.#run());
      }
    } else if (change.kind === "loan-lost") {
      this.#deps.log.error(
        { address: change.loan.address, reason: change.reason },
        "a borrowed address is not ours any more",
      );
      this.#exceptions.lost(change.loan.address);
    } else if (change.kind === "identity-lost") {
      const { identity, reason } = change;
      this.#deps.log.error(
        { ...identity, reason },
        "the addresses that a pod keeps are not in this node's hands any more",
      );
      for (const address of identity.addresses)
        if (this.#exceptions.find(address)?.why === "moved") this.#exceptions.lost(address);
    }
    if (change.kind !== "state" && change.kind !== "pools") void this.#place();
    this.#shared?.claims.changed(change);
  }

  /** One after the other; what changes while the kernel is asked goes with the next one. */
  #place(): Promise<void> {
    this.#placeAgain = true;
    this.#placing ??= (async () => {
      while (this.#placeAgain) {
        this.#placeAgain = false;
        await this.#deps.blocks().place(this.placement());
      }
      this.#placing = null;
    })();
    return this.#placing;
  }

  #statusOf(prefix: string) {
    return this.#deps
      .blocks()
      .status()
      .find((status) => status.prefix === prefix);
  }

  #refusal(prefix: string): string | null {
    const status = this.#statusOf(prefix);
    if (status && "proof" in status.state && status.state.proof !== null) return null;
    return status?.state.phase === "failed" ? status.state.error : "it has not answered";
  }
}
