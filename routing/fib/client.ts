// The fib worker as the main thread sees it. Out: commands, and columns of route changes.
// In: links, events, and how much of what was sent has been taken over, so that the sender can be told to wait.
import { Worker } from "node:worker_threads";
import { type Clock, systemClock } from "../../net/clock.ts";
import { distFile } from "../../net/dist.ts";
import { type Log, silentLog } from "../../net/log.ts";
import type { LiveExplanation } from "../explain/live.ts";
import type { Flow } from "../explain/types.ts";
import type { RouteSpec } from "../netlink/route.ts";
import { Ownership } from "../ownership.ts";
import type {
  BlockChange,
  Fib,
  FibStatus,
  FormerBlock,
  ForwardingState,
  Installation,
  IsolationView,
  KernelEvent,
  KernelOperation,
  KernelOperations,
  KernelRoute,
  KernelRule,
  LinkInfo,
  NextHopMember,
  OwnedResult,
  OwnedState,
  PodRoute,
  RestoredSetting,
  RouteBatch,
  RouteOperations,
  RouteQuestion,
  RoutingOptions,
} from "../types.ts";
import { Heartbeat, type HeartbeatOptions } from "./heartbeat.ts";
import { InstalledBlocks } from "./installed-blocks.ts";
import type { FromWorker, RequestName, Requests, ToWorker, WorkerOptions } from "./protocol.ts";
import type { KernelSurvey, SurveyRequest } from "./survey.ts";

/** Prefixes sent and not taken over yet, above which apply() asks to wait, and below which onDrain calls. */
const HIGH_WATER = 128 * 1024;
const LOW_WATER = 32 * 1024;

export interface FibClientDeps {
  readonly log?: Log;
  /** Path of the network namespace to work in, such as /run/netns/blue; absent: the process's own. */
  readonly netns?: string;
  /** Bytes of receive buffer for kernel notifications; 32 MiB takes a burst of 100,000 routes. */
  readonly receiveBuffer?: number;
  /** Bytes of receive buffer for answers to requests. */
  readonly answerBuffer?: number;
  /** Directory where it is remembered what settings were before us (sysctls.ts). */
  readonly stateDir?: string;
  readonly clock?: Clock;
  readonly heartbeat?: HeartbeatOptions;
}

/** What a worker that does not answer is reported with: the process cannot even wait for its end. */
export const HUNG = "HUNG";
const HEARTBEAT: HeartbeatOptions = { interval: 5000, deadline: 30_000 };

const nothing: ForwardingState = { tables: [], owned: [] };

interface Waiting {
  resolve(value: unknown): void;
  reject(error: Error): void;
}

export class FibClient implements Fib {
  readonly #worker: Worker;
  readonly #log: Log;
  readonly #waiting = new Map<number, Waiting>();
  readonly #linkListeners: (() => void)[] = [];
  readonly #eventListeners: ((event: KernelEvent) => void)[] = [];
  /** What was written to the kernel: single operations, and summaries of many. */
  onOperations: (operations: readonly (KernelOperation | KernelOperations)[]) => void = () => {};
  /** The operations behind the summaries; see setDetail. */
  onRouteOperations: (routes: RouteOperations) => void = () => {};
  #drainListeners: readonly (() => void)[] = [];
  readonly #blockListeners: ((change: BlockChange) => void)[] = [];
  readonly #blocks = new InstalledBlocks();
  readonly #failureListeners: ((error: Error) => void)[] = [];
  readonly #linkAt = new Map<number, LinkInfo>();
  #links: readonly LinkInfo[] = [];
  #forwarding: ForwardingState = nothing;
  #nextRequest = 1;
  #inFlight = 0;
  #waitForDrain = false;
  #ended: Error | null = null;
  readonly #heartbeat: Heartbeat;
  readonly #ownership: Ownership;
  readonly #install: boolean;
  readonly #inOtherNamespace: boolean;

  constructor(options: RoutingOptions, deps: FibClientDeps = {}) {
    this.#log = deps.log ?? silentLog;
    this.#ownership = new Ownership(options);
    this.#install = options.install;
    this.#inOtherNamespace = deps.netns !== undefined;
    const workerData: WorkerOptions = {
      routing: options,
      netns: deps.netns ?? null,
      receiveBuffer: deps.receiveBuffer ?? 32 << 20,
      answerBuffer: deps.answerBuffer ?? null,
      stateDir: deps.stateDir ?? null,
    };
    this.#worker = new Worker(distFile("fib-worker.cjs"), { workerData, name: "fib" });
    this.#worker.on("message", (message: FromWorker) => this.#receive(message));
    this.#worker.on("error", (error) =>
      this.#end(new Error(`the fib worker failed: ${error.message}`, { cause: error })),
    );
    this.#worker.on("exit", (code) => this.#end(new Error(`the fib worker ended (exit code ${code})`)));
    const heartbeat = deps.heartbeat ?? HEARTBEAT;
    const seconds = heartbeat.deadline / 1000;
    this.#heartbeat = new Heartbeat(
      deps.clock ?? systemClock,
      heartbeat,
      () =>
        void this.#request("ping", null).then(
          () => this.#heartbeat.answered(),
          () => {},
        ),
      () => this.#end(Object.assign(new Error(`the fib worker has not answered for ${seconds} s`), { code: HUNG })),
    );
  }

  async start(): Promise<void> {
    await this.#request("start", null);
  }

  links(): readonly LinkInfo[] {
    return this.#links;
  }

  onLinks(listener: () => void): void {
    this.#linkListeners.push(listener);
  }

  onEvent(listener: (event: KernelEvent) => void): void {
    this.#eventListeners.push(listener);
  }

  forwarding(): ForwardingState {
    return this.#forwarding;
  }

  formerBlocks(): Promise<FormerBlock[]> {
    return this.#request("formerBlocks", null);
  }

  async setOwned(owned: OwnedState): Promise<OwnedResult> {
    const { blocks, elsewhere, uplinks, tables } = owned;
    this.#blocks.asking(blocks);
    // What a table has beside it is not for the worker.
    const refused = await this.#request("setOwned", { blocks, elsewhere, uplinks, tables });
    return this.#blocks.answered(blocks, refused);
  }

  onBlock(listener: (change: BlockChange) => void): void {
    this.#blockListeners.push(listener);
  }

  setNextHopSet(id: number, members: readonly NextHopMember[]): void {
    this.#post({ kind: "setNextHopSet", set: id, members });
  }

  removeNextHopSet(id: number): void {
    this.#post({ kind: "removeNextHopSet", set: id });
  }

  /** Whether every single operation on a route is reported, also of a bulk load. */
  setDetail(detailed: boolean): void {
    this.#post({ kind: "setDetail", detailed });
  }

  apply(batch: RouteBatch): boolean {
    this.#inFlight += batch.count;
    // Copied, not transferred: from the first buffer that is detached on, V8 has typed arrays checked at each access
    // everywhere, and throws away all code that was compiled before (decision 0010).
    this.#post({ kind: "apply", batch });
    if (this.#inFlight > HIGH_WATER) this.#waitForDrain = true;
    return !this.#waitForDrain;
  }

  onDrain(listener: () => void): () => void {
    this.#drainListeners = [...this.#drainListeners, listener];
    return () => {
      this.#drainListeners = this.#drainListeners.filter((other) => other !== listener);
    };
  }

  /** The worker ended without being asked to. Every request is refused from then on: this object cannot recover. */
  onFailure(listener: (error: Error) => void): void {
    this.#failureListeners.push(listener);
  }

  async flush(): Promise<void> {
    await this.#request("flush", null);
  }

  async warmUp(): Promise<void> {
    await this.#request("warmUp", null);
  }

  planPodRoutes(addresses: readonly Uint8Array[]): readonly RouteSpec[] | null {
    if (this.#inOtherNamespace) return null;
    return this.#install ? addresses.map((address) => this.#ownership.podRoute({ address, ifindex: 0 })) : [];
  }

  keepPodRoutes(routes: readonly PodRoute[]): void {
    this.#post({ kind: "keepPodRoutes", routes });
  }

  dropPodRoutes(routes: readonly PodRoute[]): void {
    this.#post({ kind: "dropPodRoutes", routes });
  }

  async addPodRoutes(routes: readonly PodRoute[]): Promise<void> {
    await this.#request("addPodRoutes", routes);
  }

  async removePodRoutes(routes: readonly PodRoute[]): Promise<void> {
    await this.#request("removePodRoutes", routes);
  }

  /** Keeps pods to their own addresses, whose interfaces' names begin so; null: no more. */
  isolate(interfaces: string | null): Promise<IsolationView> {
    return this.#request("isolate", { interfaces });
  }

  async allowSources(sources: readonly PodRoute[]): Promise<void> {
    await this.#request("allowSources", sources);
  }

  sweepStale(): Promise<number> {
    return this.#request("sweepStale", null);
  }

  status(): Promise<FibStatus> {
    return this.#request("status", null);
  }

  rules(): Promise<KernelRule[]> {
    return this.#request("rules", null);
  }

  routes(table: number): Promise<KernelRoute[]> {
    return this.#request("routes", table);
  }

  /** The kernel's own tables, read now, and how they differ from what is wanted. */
  installation(question: RouteQuestion): Promise<Installation> {
    return this.#request("installation", question);
  }

  explain(flow: Flow): Promise<LiveExplanation> {
    return this.#request("explain", flow);
  }

  survey(request: SurveyRequest): Promise<KernelSurvey> {
    return this.#request("survey", request);
  }

  async stop(mode: "keep" | "remove"): Promise<readonly RestoredSetting[]> {
    if (this.#ended) return [];
    this.#heartbeat.stop();
    try {
      return await this.#request("stop", mode);
    } finally {
      this.#ended ??= new Error("the fib worker has been stopped");
      await this.#worker.terminate();
    }
  }

  #request<Name extends RequestName>(
    name: Name,
    argument: Requests[Name]["argument"],
  ): Promise<Requests[Name]["result"]> {
    return new Promise((resolve, reject) => {
      if (this.#ended) return reject(this.#ended);
      const id = this.#nextRequest++;
      this.#waiting.set(id, { resolve: resolve as (value: unknown) => void, reject });
      this.#post({ kind: "request", id, name, argument } as ToWorker);
    });
  }

  #post(message: ToWorker): void {
    if (!this.#ended) this.#worker.postMessage(message);
  }

  #receive(message: FromWorker): void {
    switch (message.kind) {
      case "result":
      case "failure": {
        const waiting = this.#waiting.get(message.id);
        this.#waiting.delete(message.id);
        if (message.kind === "result") waiting?.resolve(message.value);
        else waiting?.reject(Object.assign(new Error(message.message), message.code ? { code: message.code } : {}));
        return;
      }
      case "links":
        for (const link of message.changes.changed) this.#linkAt.set(link.ifindex, link);
        for (const ifindex of message.changes.removed) this.#linkAt.delete(ifindex);
        this.#links = [...this.#linkAt.values()];
        for (const listener of this.#linkListeners) listener();
        return;
      case "event":
        this.#report(message.event);
        return;
      case "operations":
        this.onOperations(message.operations);
        return;
      case "routeOperations":
        this.onRouteOperations(message.routes);
        return;
      case "forwarding":
        this.#forwarding = message.state;
        return;
      case "refusedBlocks":
        for (const change of this.#blocks.repaired(message.refused))
          for (const listener of this.#blockListeners) listener(change);
        return;
      case "absorbed":
        this.#inFlight -= message.count;
        if (!this.#waitForDrain || this.#inFlight > LOW_WATER) return;
        this.#waitForDrain = false;
        for (const listener of this.#drainListeners) listener();
    }
  }

  #report(event: KernelEvent): void {
    const serious = ["error", "routesFailed", "foreign", "hazard", "fight"].includes(event.kind);
    this.#log[serious ? "warn" : "info"]({ kind: event.kind, count: event.count }, event.message);
    for (const listener of this.#eventListeners) listener(event);
  }

  #end(error: Error): void {
    const expected = this.#ended !== null;
    this.#heartbeat.stop();
    this.#ended ??= error;
    this.#forwarding = nothing;
    for (const { reject } of this.#waiting.values()) reject(this.#ended);
    this.#waiting.clear();
    void this.#worker.terminate();
    if (expected) return;
    this.#report({ kind: "error", message: `${error.message}; routes in the kernel are not kept up to date` });
    for (const listener of this.#failureListeners) listener(error);
  }
}
