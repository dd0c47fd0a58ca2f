// The CNI plugin's work, verb by verb (specification 1.1.0, also all earlier ones). In: what the client executable
// carried here. Out: what it prints, and its exit code. Every failure is a CNI error object; nothing throws.
//
// Deviations: none known. Choices: CNI_PATH is required as the reference skeleton does; a DEL without a usable namespace
// path still unplugs the pod; GC without a list releases only what is provably dead, which happens by itself anyway.
import type { Clock, Timer } from "../net/clock.ts";
import type { Log } from "../net/log.ts";
import { overlaps, type Prefix, prefix as prefixOf } from "../net/prefix.ts";
import { type AddNotes, type AddParts, add } from "./add.ts";
import { Attachments } from "./attachments.ts";
import { check } from "./check.ts";
import { collectGarbage } from "./garbage.ts";
import type { BlockUse } from "./ipam/allocator.ts";
import { DELEGATE_MARK, delegateForDel, releaseBy } from "./ipam/delegate.ts";
import { type Exceptions, noExceptions } from "./ipam/exceptions.ts";
import { describeFullness, Fullness, type PoolFullness, type PoolLevel } from "./ipam/fullness.ts";
import type { AddressUse } from "./ipam/usage.ts";
import { requireSameHost } from "./namespace.ts";
import { type NetworkConfig, parseConfig, peekVersion } from "./protocol/config.ts";
import { type CniCall, readEnvironment, type Verb } from "./protocol/environment.ts";
import { CniError, CniErrorCode, formatError } from "./protocol/error.ts";
import { type CniVersion, formatVersions, newestVersion, requireVerb } from "./protocol/version.ts";
import { Readiness, readinessKey, readyDefaults } from "./readiness.ts";
import { Spool } from "./spool.ts";
import { type StatusParts, status } from "./status.ts";
import type { Surroundings } from "./surroundings.ts";
import type {
  Announcements,
  BlockView,
  CniCallEvent,
  CniOptions,
  CniRequest,
  CniResponse,
  PodEvent,
  PodLook,
  PodRoutes,
  PodView,
  PoolOptions,
  RetiringBlock,
} from "./types.ts";
import { VANISHED_AFTER } from "./vanished.ts";
import { warmUpCalls } from "./warm-up.ts";

/** Verbs that a configuration of an older version must not use. */
const firstVersion: Partial<Record<Verb, CniVersion>> = { CHECK: "0.4.0", STATUS: "1.1.0", GC: "1.1.0" };

/** How many pods a message names at most. */
const NAMED_PODS = 10;
const SPOOL_INTERVAL = 5_000;
/** How often pods are looked after within the time that one may be gone. */
const LOOKS = 6;

export interface CniDependencies {
  readonly clock: Clock;
  readonly log: Log;
  readonly routes: PodRoutes;
  /** The smallest MTU among the uplinks; null when there is none. */
  readonly uplinkMtu: () => number | null;
  /** The attach worker ended: no call can be served any more. */
  readonly onFailure?: (error: Error) => void;
  /** A block of retiring() has lost its last pod. */
  readonly onRetired?: () => void;
  /** Who decides on addresses outside of the blocks. Absent: there are none. */
  readonly exceptions?: Exceptions;
  /** Can other nodes reach pods here, by what is known of the sessions? Absent: yes. Only STATUS tells of it. */
  readonly connected?: () => boolean;
  /** Whether pods are to be kept to their IPv4 addresses by the kernel's own check. Absent: no. */
  readonly strictSource?: () => boolean;
  /** How far neighbours have heard of the blocks; absent: there are none to wait for. */
  readonly announcements?: Announcements;
  /** May pods be attached? Absent: always. */
  readonly ready?: () => { readonly ok: boolean; readonly reason?: string };
}

export class CniServer {
  readonly #options: CniOptions;
  readonly #deps: CniDependencies;
  readonly #attachments: Attachments;
  readonly #fullness: Fullness;
  readonly #readiness: Readiness;
  readonly #parts: AddParts & StatusParts;
  readonly #spool: Spool;
  readonly #blockStates = new Map<string, Pick<BlockView, "state" | "reason">>();
  #running = false;
  #spoolTimer: Timer | null = null;
  #upkeepTimer: Timer | null = null;

  constructor(options: CniOptions, deps: CniDependencies, around?: Surroundings) {
    this.#options = options;
    this.#deps = deps;
    this.#attachments = new Attachments(options, deps, around);
    const { allocator } = this.#attachments;
    this.#fullness = new Fullness(
      (pool) => allocator.use(pool),
      (fullness, before) => this.#poolChanged(fullness, before),
    );
    allocator.onChange((pool) => this.#fullness.changed(pool));
    this.#readiness = new Readiness({
      clock: deps.clock,
      announcements: deps.announcements,
      refusal: () => this.#refusal(),
    });
    this.#parts = {
      attachments: this.#attachments,
      readiness: this.#readiness,
      ready: options.ready ?? readyDefaults,
      mtu: options.mtu,
      uplinkMtu: () => deps.uplinkMtu(),
      refusal: () => this.#refusal(),
      blocks: () => this.blocks(),
      exceptions: deps.exceptions ?? noExceptions,
      connected: () => deps.connected?.() ?? true,
      log: deps.log,
    };
    this.#spool = new Spool(options.spoolDir ?? null, deps.log, (request) => this.handle(request));
  }

  /**
   * Loads the allocations and brings them together with the kernel. `former`: blocks that are in no pool any more, whose pods
   * go on. Rejects with what to do when the allocations are damaged.
   */
  async start(former: readonly string[] = []): Promise<void> {
    this.#attachments.allocator.keep(former);
    await this.#attachments.start();
    this.#fullness.setPools(this.#attachments.allocator.pools);
    this.#running = true;
    await this.#spool.replay();
    this.#lookIntoSpool();
    this.#lookAfterPods();
  }

  /** Has the code compiled that serves calls, so that the first ones are as fast as others. Resolves when that is done. */
  async warmUp(): Promise<void> {
    if (!this.#running) return;
    await this.#attachments.warmUp();
    await warmUpCalls(this.#deps.clock, () => !this.#running);
  }

  /** Waits for the calls under way; pods and their allocations stay. */
  async stop(): Promise<void> {
    this.#running = false;
    this.#spoolTimer?.cancel();
    this.#upkeepTimer?.cancel();
    this.#readiness.stop();
    await this.#attachments.stop();
  }

  /** The daemon is about to end: no ADD waits for its pod to be reachable any more. */
  quiesce(): void {
    this.#readiness.stop();
  }

  /** Resolves when the calls of now have been answered; an ADD that may not be any more does not wait. */
  idle(): Promise<void> {
    this.#readiness.look();
    return this.#attachments.idle();
  }

  /** Takes the interface and addresses of every pod away, as its DEL would. Rejects at the first that stays. */
  detachAll(): Promise<void> {
    return this.#attachments.removeAll();
  }

  /** Whether a process is in the network namespace of a pod. */
  isPod(pid: number): boolean {
    return this.#attachments.isPod(pid);
  }

  pods(): PodView[] {
    return this.#attachments.pods();
  }

  /** Every pod, and how its end of the cable is now. Rejects when the attach worker does not answer. */
  look(): Promise<PodLook[]> {
    return this.#attachments.look();
  }

  blocks(): Omit<BlockView, "source">[] {
    const uses = this.#attachments.allocator.blocks().map(({ emptySince: _, ...use }) => use);
    return [...uses, ...(this.#deps.exceptions?.blocks() ?? [])].map((use) => ({
      ...use,
      ...(this.#blockStates.get(use.prefix) ?? { state: "pending", reason: null }),
    }));
  }

  /** How full the pools are: one entry per family. */
  pools(): PoolFullness[] {
    return this.#fullness.all();
  }

  /** Addresses within a prefix that are not free; one address by itself in any state, if a block has it. */
  addresses(within: Prefix): AddressUse[] {
    return this.#attachments.allocator.addresses(within);
  }

  /** How full each block is. */
  uses(): BlockUse[] {
    return this.#attachments.allocator.blocks();
  }

  /** Called with a pool's name after every change of what is free in it. */
  onPoolChange(listener: (pool: string) => void): void {
    this.#attachments.allocator.onChange(listener);
  }

  /** `prefix` as the pools have it. */
  setBlockState(prefix: string, state: BlockView["state"], reason: string | null = null): void {
    this.#blockStates.set(prefix, { state, reason });
  }

  /** Other pools, from now on; pods keep what they have. */
  setPools(pools: readonly PoolOptions[]): void {
    this.#attachments.setPools(pools);
    this.#fullness.setPools(pools);
  }

  /** Blocks that are in no pool any more, and still have pods. */
  retiring(): RetiringBlock[] {
    return this.#attachments.allocator.retiring();
  }

  /** In use, of blocks; also by an ADD that is under way. */
  addressesInUse(): string[] {
    return this.#attachments.allocator.uncovered([]).flatMap(({ addresses }) => addresses);
  }

  /** What retires with these pools, and what is gone at once, in words. */
  foresee(pools: readonly PoolOptions[]): string[] {
    const owners = new Map(this.pods().flatMap((pod) => pod.addresses.map((address) => [address, pod] as const)));
    const nameOf = (address: string) => {
      const pod = owners.get(address);
      return `${pod?.pod ?? pod?.containerId ?? "an ADD under way"} (${address})`;
    };
    const next = pools.flatMap(({ blocks }) => blocks.map(prefixOf));
    const empty = this.uses().filter(({ prefix: text, used }) => {
      const block = prefixOf(text);
      return used === 0 && !next.some((other) => other.family === block.family && overlaps(other, block));
    });
    const retiring = this.#attachments.allocator.uncovered(pools).map(({ prefix, pool, addresses }) => {
      const rest = addresses.length > NAMED_PODS ? ` and ${addresses.length - NAMED_PODS} more` : "";
      const pods = `${addresses.slice(0, NAMED_PODS).map(nameOf).join(", ")}${rest}`;
      return `block ${prefix}${pool ? ` of pool ${pool}` : ""} has pods: ${pods}; it gives no addresses any more, and stays routed and announced until they are gone`;
    });
    return [
      ...retiring,
      ...empty.map(({ prefix, pool }) => `block ${prefix} of pool ${pool} has no pods: it is withdrawn at once`),
    ];
  }

  /** No new addresses out of a block, for this reason; null: again. */
  hold(prefix: string, reason: string | null): void {
    this.#attachments.allocator.hold(prefix, reason);
  }

  onEvent(listener: (event: PodEvent) => void): void {
    this.#attachments.onEvent(listener);
  }

  /** Pods that went without a DEL, and were found. */
  get vanished(): number {
    return this.#attachments.vanished;
  }

  /** A pool is nearly exhausted, exhausted, or neither any more. */
  onPool: (fullness: PoolFullness) => void = () => {};

  /** Called after each call. */
  onCall: (call: CniCallEvent) => void = () => {};

  /** What the attach worker wrote to the kernel. */
  set onOperations(listener: Attachments["onOperations"]) {
    this.#attachments.onOperations = listener;
  }

  /** Never rejects. */
  async handle(request: CniRequest): Promise<CniResponse> {
    const started = this.#deps.clock.now();
    const context = { verb: request.env.CNI_COMMAND, containerId: request.env.CNI_CONTAINERID };
    const notes: AddNotes = {};
    const answered = (exitCode: number, error: string | null) =>
      this.onCall({
        verb: request.env.CNI_COMMAND ?? "",
        containerId: request.env.CNI_CONTAINERID ?? "",
        ifname: request.env.CNI_IFNAME ?? "",
        exitCode,
        error,
        milliseconds: Math.round((this.#deps.clock.now() - started) * 10) / 10,
        ...notes,
      });
    try {
      const stdout = await this.#dispatch(request, notes);
      this.#deps.log.debug({ ...context, milliseconds: this.#deps.clock.now() - started }, "CNI call answered");
      answered(0, null);
      return { exitCode: 0, stdout };
    } catch (error) {
      const known = error instanceof CniError;
      const fields = { ...context, code: known ? error.code : CniErrorCode.internal, error: (error as Error).message };
      this.#deps.log.warn(known ? fields : { ...fields, stack: (error as Error).stack }, "CNI call refused");
      answered(1, fields.error);
      return { exitCode: 1, stdout: formatError(error, peekVersion(request.stdin) ?? newestVersion, context.verb) };
    }
  }

  async #dispatch(request: CniRequest, notes: AddNotes): Promise<string> {
    const call = readEnvironment(request.env);
    if (call.verb === "VERSION") return formatVersions(peekVersion(request.stdin));
    if (request.env[DELEGATE_MARK])
      throw new CniError(CniErrorCode.invalidConfig, "the ipam plugin of the network configuration is underlay itself");
    const config = parseConfig(request.stdin);
    const since = firstVersion[call.verb];
    if (since) requireVerb(call.verb, config.cniVersion, since);
    if (!this.#running) {
      const code = call.verb === "STATUS" ? CniErrorCode.notAvailable : CniErrorCode.tryAgainLater;
      throw new CniError(code, "underlayd is starting or stopping, try again");
    }
    const exclusively = (work: () => Promise<string>) =>
      this.#attachments.exclusively(call.containerId, call.ifname, work);
    switch (call.verb) {
      case "ADD":
        requireSameHost(request.pid);
        await this.#spool.replay();
        return exclusively(() => add(this.#parts, call, config, request.caller, notes));
      case "DEL": {
        const left = this.#readiness.leaving(readinessKey(call));
        return exclusively(() => this.#del(call, config)).finally(left);
      }
      case "CHECK":
        return exclusively(() => check(this.#attachments, () => this.blocks(), call, config));
      case "STATUS":
        return status(this.#parts, call, config);
      case "GC":
        return collectGarbage(this.#attachments, call, config);
    }
  }

  /** Why no pod may be attached now; null: it may. */
  #refusal(): string | null {
    const ready = this.#deps.ready?.();
    return ready && !ready.ok ? (ready.reason ?? "not ready") : null;
  }

  /** Needs nothing but the name of the attachment, and succeeds when there is none. */
  async #del(call: CniCall, config: NetworkConfig): Promise<string> {
    const { containerId, ifname, netns } = call;
    const id = { network: config.name, containerId, ifname };
    const delegate = delegateForDel(config, call.env);
    const giveBack = delegate
      ? () => releaseBy(delegate, { containerId, ifname, netns }, config.prevResult)
      : undefined;
    await this.#attachments.remove(id, undefined, giveBack);
    return "";
  }

  #poolChanged(fullness: PoolFullness, before: PoolLevel): void {
    const { pool, family, level, used, free, cooling, sticky, capacity } = fullness;
    const text = describeFullness(fullness);
    const fields = { pool, family, used, free, cooling, sticky, capacity };
    if (text === null) this.#deps.log.info({ ...fields, before }, `pool ${pool} has room again for IPv${family}`);
    else this.#deps.log[level === "exhausted" ? "error" : "warn"](fields, text);
    this.onPool(fullness);
  }

  #lookIntoSpool(): void {
    if (!this.#running || this.#options.spoolDir === undefined) return;
    this.#spoolTimer = this.#deps.clock.after(SPOOL_INTERVAL, () => {
      void this.#spool.replay().then(() => this.#lookIntoSpool());
    });
  }

  #lookAfterPods(): void {
    if (!this.#running) return;
    const { clock } = this.#deps;
    const interval = (this.#options.vanishedAfter ?? VANISHED_AFTER) / LOOKS;
    this.#upkeepTimer = clock.after(interval, () => {
      void this.#attachments.upkeep(clock.now()).then(() => this.#lookAfterPods());
    });
  }
}
