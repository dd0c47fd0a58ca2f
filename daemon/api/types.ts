// What the API serves, as daemon/backend.ts implements it. JSON shapes are in docs/api.md and stay stable.
import type { DumpResult, MonitoringView } from "../../bgp/monitor/types.ts";
import type { PolicyTrace } from "../../bgp/policy/trace.ts";
import type { PeerView, RouteView } from "../../bgp/views.ts";
import type { NodeView } from "../../cni/blocks/removal.ts";
import type { PoolFullness } from "../../cni/ipam/fullness.ts";
import type { AddressUse } from "../../cni/ipam/usage.ts";
import type { BlockView, CniRequest, CniResponse, PodView } from "../../cni/types.ts";
import type { PolicyRequest } from "../../config/policy-request.ts";
import type { Finding } from "../../doctor/types.ts";
import type { ExplainView } from "../../routing/explain/view.ts";
import type { FibStatus, KernelRoute, KernelRule } from "../../routing/types.ts";
import type { ExplainRequest } from "../explain.ts";
import type { DrainView } from "../lifecycle/drain.ts";
import type { ShutdownView } from "../lifecycle/shutdown.ts";
import type { UninstallView } from "../lifecycle/uninstall.ts";
import type { PlanView } from "../reload.ts";
import type { NodeRemovalView, RemovalRequest } from "../shared/nodes.ts";
import type { WhyView } from "../why.ts";
import type { ApiEvent, EventListener } from "./events.ts";

export interface StatusView {
  readonly name: string;
  readonly asn: number;
  readonly routerId: string;
  readonly version: string;
  readonly pid: number;
  /** Seconds. */
  readonly uptime: number;
  /** `ok`, or `degraded` with reasons; `draining` and `drained`: the node is out of service, or on the way. */
  readonly state: "starting" | "ok" | "degraded" | "draining" | "drained" | "stopping";
  readonly problems: readonly string[];
  /** What is taken out of service on purpose. */
  readonly drain: DrainView;
  /** `dynamic`: those that have come out of listen ranges, which neither of the others counts. */
  readonly peers: { readonly configured: number; readonly established: number; readonly dynamic: number };
  readonly routes: { readonly ipv4: number; readonly ipv6: number };
  readonly kernel: FibStatus;
  /** BMP collectors and MRT files. */
  readonly monitoring: MonitoringView;
  /** The flight recorder; null: off. */
  readonly history: HistoryView | null;
  readonly shared: SharedView;
  readonly pods: number;
  readonly memory: { readonly rss: number; readonly heapUsed: number };
  /** Milliseconds over the last minute. */
  readonly eventLoopDelay: { readonly p50: number; readonly p99: number; readonly max: number };
}

/** What is this node's beside the blocks that its configuration names. */
export interface SharedView {
  /** How etcd is, in words, and for how many seconds; null: no pool is shared. */
  readonly etcd: { readonly state: string; readonly reason: string | null; readonly seconds: number } | null;
  /** Since the start; `milliseconds`: that all claims together took. */
  readonly claims: {
    readonly claimed: number;
    readonly failed: number;
    readonly returned: number;
    readonly lost: number;
    readonly milliseconds: number;
  };
  /** Single addresses outside of the blocks, of each pool. */
  readonly exceptions: readonly { readonly pool: string; readonly used: number; readonly budget: number }[];
}

/** The flight recorder. Sizes in bytes. */
export interface HistoryView {
  readonly directory: string;
  /** At most. */
  readonly size: number;
  readonly bytes: number;
  /** Records since the start, and how many could not be kept. */
  readonly written: number;
  readonly lost: number;
  /** Why it pauses, null: it does not. */
  readonly problem: string | null;
}

export interface RouteFilter {
  /** An address (longest match) or a prefix (exact). */
  readonly prefix?: string;
  readonly table?: string;
  readonly family?: 4 | 6;
  /** Only best paths. */
  readonly best?: boolean;
}

/** One policy of the configuration. */
export interface PolicyView {
  readonly name: string;
  readonly statements: number;
  /** Peers that name it. */
  readonly importOf: readonly string[];
  readonly exportOf: readonly string[];
}

export interface RefreshView {
  readonly peer: string;
  /** Those that it was asked for. */
  readonly families: readonly ("ipv4" | "ipv6")[];
}

export interface ResetView {
  readonly peer: string;
  /** What the neighbour is told (RFC 9003). */
  readonly reason: string;
}

export interface ApiBackend {
  /** Whether a process is in the network namespace of a pod: such a one is not answered. Absent: nobody is. */
  isPod?(pid: number): boolean;
  status(): Promise<StatusView>;
  peers(): PeerView[];
  /** Big tables: an iterator, so that the answer streams as NDJSON in bounded slices. Throws ApiError on a bad filter. */
  routes(filter: RouteFilter): Iterable<RouteView> | Promise<Iterable<RouteView>>;
  received(peer: string, filter: RouteFilter): Iterable<RouteView> | Promise<Iterable<RouteView>>;
  advertised(peer: string, filter: RouteFilter): Iterable<RouteView> | Promise<Iterable<RouteView>>;
  policies(): PolicyView[];
  /** What a policy does to a route: one trace per path. Throws ApiError on a bad request. */
  policyTest(request: PolicyRequest): PolicyTrace[];
  /** Asks a neighbour for its routes. Throws ApiError 404, or 409 when it cannot be asked now. */
  refresh(peer: string, family: 4 | 6 | null): RefreshView;
  /** Ends the session, which comes back at once. Throws ApiError 404. */
  reset(peer: string, reason: string): ResetView;
  pods(): PodView[];
  /** Released without a DEL so far. */
  vanishedPods(): number;
  blocks(): BlockView[];
  pools(): PoolFullness[];
  /** Addresses within a prefix. Throws ApiError 400 for what is none, 404 for one in no block. */
  addresses(prefix: string): AddressUse[];
  /** Those that share pools, as etcd knows them. Rejects with ApiError 409 without one, 503 when it does not answer. */
  nodes(): Promise<NodeView[]>;
  /** A node does not come back: what it has is free after a quarantine. Rejects with ApiError 404, 409, 503. */
  removeNode(request: RemovalRequest): Promise<NodeRemovalView>;
  /**
   * The shared pools of this node's configuration, written into etcd. Returns their names. Rejects with ApiError 409,
   * 503.
   */
  definePools(): Promise<string[]>;
  rules(): Promise<KernelRule[]>;
  /** Why a prefix, or the one that an address is in, has the route that it has. Rejects with ApiError 400. */
  why(prefix: string): Promise<WhyView>;
  /** Where a packet goes and why. Rejects with ApiError 400 when the question makes no sense. */
  explain(request: ExplainRequest): Promise<ExplainView>;
  /** Everything checked against everything else; the worst first. */
  doctor(): Promise<Finding[]>;
  kernelRoutes(table: string): Promise<KernelRoute[]>;
  cni(request: CniRequest): Promise<CniResponse>;
  /** What another configuration would change. Throws ApiError 400 with what is wrong with it. */
  plan(text: string, file: string): PlanView;
  /**
   * Takes the node, or one peer, out of service; `wait` in milliseconds, null: as configured. Resolves when it is, or was
   * called off. Rejects with ApiError 404, 409.
   */
  drain(peer: string | null, wait: number | null): Promise<DrainView>;
  /** Back into service. Rejects with ApiError 404, 409 when nothing is drained. */
  undrain(peer: string | null): Promise<DrainView>;
  /** Resolves when the neighbours have been told; the process ends after that. Rejects with ApiError 409. */
  shutdown(): Promise<ShutdownView>;
  /**
   * Removes what the daemon has made, pods' interfaces too when it is `forced`; the process removes its files and ends after
   * that. Rejects with ApiError 409, with nothing done, when there are pods and it is not.
   */
  uninstall(forced: boolean): Promise<UninstallView>;
  /** Reads the configuration file again. Rejects with ApiError when it is refused; nothing has changed then. */
  reload(): Promise<PlanView>;
  /** An MRT table dump. Rejects with ApiError 500 in words when the file cannot be written. */
  dump(file: string): Promise<DumpResult>;
  /** A request for a change has been answered. */
  called(call: ApiEvent): void;
  /** Returns the function that ends the subscription. */
  onEvent(listener: EventListener): () => void;
}

/** An answer other than 200, with a message for the person who asked. */
export class ApiError extends Error {
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.name = "ApiError";
    this.status = status;
  }
}
