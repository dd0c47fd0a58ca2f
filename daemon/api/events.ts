// What happens in the daemon, by type: the messages of GET /v1/watch and the lines of the flight recorder. A new kind of
// event is a new member here; docs/api.md describes every one.
import type { BfdChange } from "../../bgp/bfd/types.ts";
import type { EndOfRibEvent, NotificationEvent, RouteEvent, StateEvent } from "../../bgp/events.ts";
import type { PoolFullness } from "../../cni/ipam/fullness.ts";
import type { BlockView, CniCallEvent, PodEvent } from "../../cni/types.ts";
import type { ConfigChange } from "../../config/diff.ts";
import type { Impact } from "../../config/impact.ts";
import type { KernelEvent, KernelOperation, KernelOperations } from "../../routing/types.ts";
import type { SharedEvent } from "../shared/types.ts";

/** The daemon's own life: `start`, `running`, `converged`, `stop`, `stopped`, `crash` and what operators ask for. */
export interface DaemonEvent {
  readonly kind: string;
  readonly message: string;
  readonly [key: string]: unknown;
}

/** A block of ours has a new state. */
export interface BlockEvent {
  readonly prefix: string;
  readonly pool: string;
  readonly state: BlockView["state"];
  readonly [key: string]: unknown;
}

/** A pool is nearly exhausted (`filling`), exhausted, or has room again (`fine`), for one family. */
export type PoolEvent = PoolFullness;

/** The configuration was read again. */
export interface ConfigEvent {
  readonly kind: "reloaded" | "refused";
  readonly file: string;
  readonly impact: Impact | null;
  readonly changes: readonly ConfigChange[];
  /** Why it was refused. */
  readonly error: string | null;
}

/** Somebody asked for something to be done: a POST request other than a CNI call. */
export interface ApiEvent {
  readonly request: string;
  /** Process id of who asked; null: unknown. */
  readonly pid: number | null;
  readonly error: string | null;
}

/** One of the problems that `underlayctl status` shows has come or gone. */
export interface ProblemEvent {
  readonly kind: "appeared" | "gone";
  readonly problem: string;
}

/** How the process is, once a minute. */
export interface ResourcesEvent {
  /** Bytes. */
  readonly rss: number;
  readonly heapUsed: number;
  /** Milliseconds, over the last minute. */
  readonly eventLoopDelay: { readonly p50: number; readonly p99: number; readonly max: number };
  readonly sessions: { readonly configured: number; readonly established: number };
  readonly tables: readonly { readonly table: string; readonly ipv4: number; readonly ipv6: number }[];
  readonly kernel: { readonly desired: number; readonly installed: number; readonly failed: number };
  readonly pods: number;
}

/** Fields of an event, by its type. */
export interface EventFields {
  readonly session: StateEvent | NotificationEvent | EndOfRibEvent;
  readonly bfd: BfdChange;
  readonly route: RouteEvent;
  readonly kernel: KernelEvent | Omit<KernelOperation, "at"> | Omit<KernelOperations, "at">;
  readonly pod: PodEvent;
  readonly block: BlockEvent;
  readonly pool: PoolEvent;
  readonly shared: SharedEvent;
  readonly cni: CniCallEvent;
  readonly config: ConfigEvent;
  readonly api: ApiEvent;
  readonly problem: ProblemEvent;
  readonly daemon: DaemonEvent;
  readonly resources: ResourcesEvent;
}

export type EventType = keyof EventFields;

/** Those that a watcher can select. */
export const eventTypes: readonly EventType[] = Object.keys({
  session: 0,
  bfd: 0,
  route: 0,
  kernel: 0,
  pod: 0,
  block: 0,
  pool: 0,
  shared: 0,
  cni: 0,
  config: 0,
  api: 0,
  problem: 0,
  daemon: 0,
  resources: 0,
} satisfies Record<EventType, 0>) as EventType[];

/** One event. `time` is ISO 8601. `resync`: events were left out for a slow watcher. */
export interface WatchEvent {
  readonly time: string;
  readonly type: EventType | "resync";
  readonly [key: string]: unknown;
}

/** Somebody who is told of every event. */
export interface EventListener {
  event(event: WatchEvent): void;
  /**
   * Present: every single kernel operation is wanted, also of a bulk load, and this many could not be kept. Absent: a bulk
   * load comes as summaries (`kind: "operations"`).
   */
  lost?(count: number): void;
}
