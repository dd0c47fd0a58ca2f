// What client.ts and worker.ts say to each other. Requests are answered in order of completion, by id.
import type { LiveExplanation } from "../explain/live.ts";
import type { Flow } from "../explain/types.ts";
import type {
  FibStatus,
  FormerBlock,
  ForwardingState,
  Installation,
  IsolationRequest,
  IsolationView,
  KernelEvent,
  KernelOperation,
  KernelOperations,
  KernelRoute,
  KernelRule,
  NextHopMember,
  OwnedState,
  PodRoute,
  RefusedBlock,
  RestoredSetting,
  RouteBatch,
  RouteOperations,
  RouteQuestion,
  RoutingOptions,
} from "../types.ts";
import type { LinkChanges } from "./links.ts";
import type { KernelSurvey, SurveyRequest } from "./survey.ts";

export interface WorkerOptions {
  readonly routing: RoutingOptions;
  /** Path of the network namespace to work in; null: the process's own. */
  readonly netns: string | null;
  /** Bytes of receive buffer for kernel notifications. */
  readonly receiveBuffer: number;
  /** Bytes of receive buffer for answers to requests; null: enough for a batch that fails as a whole. */
  readonly answerBuffer: number | null;
  /** Directory where it is remembered what settings were before us; null: it is not. */
  readonly stateDir: string | null;
}

/** Requests and their results. */
export interface Requests {
  start: { argument: null; result: null };
  ping: { argument: null; result: null };
  formerBlocks: { argument: null; result: FormerBlock[] };
  setOwned: { argument: OwnedState; result: readonly RefusedBlock[] };
  addPodRoutes: { argument: readonly PodRoute[]; result: null };
  removePodRoutes: { argument: readonly PodRoute[]; result: null };
  isolate: { argument: IsolationRequest; result: IsolationView };
  allowSources: { argument: readonly PodRoute[]; result: null };
  flush: { argument: null; result: null };
  warmUp: { argument: null; result: null };
  sweepStale: { argument: null; result: number };
  status: { argument: null; result: FibStatus };
  rules: { argument: null; result: KernelRule[] };
  routes: { argument: number; result: KernelRoute[] };
  installation: { argument: RouteQuestion; result: Installation };
  explain: { argument: Flow; result: LiveExplanation };
  survey: { argument: SurveyRequest; result: KernelSurvey };
  stop: { argument: "keep" | "remove"; result: readonly RestoredSetting[] };
}

export type RequestName = keyof Requests;

export type ToWorker =
  | {
      [Name in RequestName]: { kind: "request"; id: number; name: Name; argument: Requests[Name]["argument"] };
    }[RequestName]
  | { kind: "setNextHopSet"; set: number; members: readonly NextHopMember[] }
  | { kind: "removeNextHopSet"; set: number }
  /** In the kernel already; and about to leave it with their interface. */
  | { kind: "keepPodRoutes"; routes: readonly PodRoute[] }
  | { kind: "dropPodRoutes"; routes: readonly PodRoute[] }
  /** Whether every single operation is wanted, see netlink/write-log.ts. */
  | { kind: "setDetail"; detailed: boolean }
  | { kind: "apply"; batch: RouteBatch };

export type FromWorker =
  | { kind: "result"; id: number; value: unknown }
  | { kind: "failure"; id: number; message: string; code: string | null }
  /** Since the last one. With many pods, most links are theirs, and what changes is one of them. */
  | { kind: "links"; changes: LinkChanges }
  | { kind: "event"; event: KernelEvent }
  | { kind: "operations"; operations: readonly (KernelOperation | KernelOperations)[] }
  | { kind: "routeOperations"; routes: RouteOperations }
  | { kind: "forwarding"; state: ForwardingState }
  /** Blocks that a repair could not put back, all of them. */
  | { kind: "refusedBlocks"; refused: readonly RefusedBlock[] }
  /** So many prefixes have been taken over from batches. */
  | { kind: "absorbed"; count: number };
