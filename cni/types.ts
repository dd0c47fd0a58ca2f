// What the daemon hands to the CNI server and gets back. The client executable only carries bytes.

import type { RouteSpec } from "../routing/netlink/route.ts";
import type { PodRoute } from "../routing/types.ts";
import type { PodEnd } from "./attach/messages.ts";
import type { StickyOptions } from "./ipam/sticky.ts";
import type { Caller, ReadyOptions } from "./readiness.ts";

export interface CniRequest {
  /** CNI_* variables as the caller had them. */
  readonly env: Readonly<Record<string, string>>;
  readonly stdin: Uint8Array;
  /** Process id of the client (SO_PEERCRED), null when unknown. */
  readonly pid: number | null;
  /** Absent: it waits for the answer, whatever happens. */
  readonly caller?: Caller | undefined;
}

export interface CniResponse {
  readonly exitCode: number;
  readonly stdout: string;
}

export interface PodView {
  readonly network: string;
  readonly containerId: string;
  readonly ifname: string;
  readonly addresses: readonly string[];
  /** Empty: the addresses are from another plugin. */
  readonly pool: string;
  /** The plugin that gave the addresses; null: a pool. */
  readonly ipam: string | null;
  /** Of `addresses`, those in no block: routed on this node, announced to nobody. Absent: none. */
  readonly unannounced?: readonly string[];
  readonly netns: string;
  readonly hostInterface: string;
  /** namespace/name from CNI_ARGS, when the caller gave one. */
  readonly pod: string | null;
}

export interface BlockView {
  readonly prefix: string;
  readonly pool: string;
  /** Usable addresses; null when more than 2^53, and so for `free` and `reserved`. */
  readonly capacity: number | null;
  readonly used: number;
  /** To be had at once. */
  readonly free: number | null;
  /** Given back, and not given to another pod yet. */
  readonly cooling: number;
  /** Given only to who asks for them by name, and not in use. */
  readonly reserved: number | null;
  /** Kept for pods that may come again. */
  readonly sticky: number;
  readonly source: BlockSourceName;
  readonly state: BlockStateName;
  /** Why it is not announced, or not for long any more; null: there is nothing to say. */
  readonly reason: string | null;
}

/**
 * `static`: the configuration names it; `etcd`: claimed for this node. The others are single addresses outside of the blocks:
 * `asked`, by name; `borrowed`, of another node's block; `moved`, brought along by a pod that was on another node.
 */
export type BlockSourceName = "static" | "etcd" | "asked" | "borrowed" | "moved";

/**
 * `pending`: no neighbour has been told yet; `withdrawn`: in the kernel, and held back from neighbours; `failed`: the kernel
 * refuses it; `retiring`: in no pool any more, routed and announced until the last pod in it is gone; `withdrawing` and
 * `removing`: on its way out.
 */
export type BlockStateName = "pending" | "announced" | "withdrawn" | "failed" | "retiring" | "withdrawing" | "removing";

/** A block that is in no pool any more, with pods that have addresses of it which are in no pool's block. */
export interface RetiringBlock {
  readonly prefix: string;
  /** The pool that it was in. */
  readonly pool: string;
  /** Their addresses. */
  readonly addresses: readonly string[];
}

export interface PoolOptions {
  readonly name: string;
  /** Canonical prefixes of both families. */
  readonly blocks: readonly string[];
  /** Addresses, ranges `a-b` and prefixes never given to a pod, not even when asked for by name. */
  readonly exclude: readonly string[];
  /** In the same forms: given only to who asks for them by name. Absent: none. */
  readonly reserve?: readonly string[];
  /** Seconds that an address given back is not given to another pod. Absent: none. */
  readonly cooldown?: number;
  /** Whether one that cools down is given when there is no other, or when it is asked for by name. Absent: `wait`. */
  readonly whenCooling?: "reuse" | "wait";
  /** Which pods find their addresses again. Absent: none. */
  readonly sticky?: StickyOptions | null;
  /** Percentage of addresses in use from which the pool counts as nearly exhausted. Absent: it never does. */
  readonly warnAt?: number | null;
  /** Namespaces whose pods are served out of the pool when nobody names one; `*` stands for anything. Absent: none. */
  readonly namespaces?: readonly string[];
  readonly table: number;
}

export interface CniOptions {
  readonly pools: readonly PoolOptions[];
  /** Directory for the allocation store. */
  readonly stateDir: string;
  /** Bytes; null: the smallest MTU among the uplinks. */
  readonly mtu: number | null;
  /** Milliseconds for which a pod's namespace has to be gone before it is released without a DEL. Absent: 30 s. */
  readonly vanishedAfter?: number;
  /** Where the client leaves a DEL that found no daemon: the directory `spool` beside the socket. Absent: nowhere. */
  readonly spoolDir?: string;
  /** What an ADD waits for, unless the network configuration says otherwise. Absent: readyDefaults. */
  readonly ready?: ReadyOptions;
}

/** How far neighbours have heard of blocks of ours. */
export interface Announcements {
  /** Of a block, or of a single address that is announced by itself; null: of a prefix that is not ours to announce. */
  look(prefix: string): Announcement | null;
  /** Calls back whenever what look() says may be otherwise, until the returned function is called. */
  onChange(listener: () => void): () => void;
}

/** Names of neighbours with a session that are to be told of a block. */
export interface Announcement {
  /** Why nobody is told, whoever has a session; null: it is announced. */
  readonly heldBack: string | null;
  /** They have been sent it. */
  readonly told: readonly string[];
  /** They are yet to be sent what there is to say. */
  readonly waiting: readonly string[];
  /** They have been sent everything but this: the export policy keeps it back. */
  readonly withheld: readonly string[];
}

/** How the CNI server reaches the kernel's local table; routing's Fib satisfies it. */
export interface PodRoutes {
  /**
   * Routes to these addresses, complete but for the interface, that is yet to be made: for the one who makes it to write them
   * with it. Null, or absent: only addPodRoutes can write them.
   */
  planPodRoutes?(addresses: readonly Uint8Array[]): readonly RouteSpec[] | null;
  /** They are in the kernel as planned, and stay there from now on. */
  keepPodRoutes?(routes: readonly PodRoute[]): void;
  /** The interface goes now, and takes its routes along: nobody wants them any more. */
  dropPodRoutes?(routes: readonly PodRoute[]): void;
  addPodRoutes(routes: readonly PodRoute[]): Promise<void>;
  removePodRoutes(routes: readonly PodRoute[]): Promise<void>;
  /** Addresses that a pod may send from on further interfaces of its own, until one of both goes. */
  allowSources?(sources: readonly PodRoute[]): Promise<void>;
}

/** A call of a container runtime, answered. */
export interface CniCallEvent {
  readonly verb: string;
  readonly containerId: string;
  readonly ifname: string;
  readonly exitCode: number;
  readonly error: string | null;
  readonly milliseconds: number;
  /** Of an ADD that succeeded without waiting any longer: why the pod may not be reachable yet. */
  readonly notReady?: string;
}

export interface PodEvent {
  readonly kind: "added" | "removed";
  readonly pod: PodView;
}

/** A pod as it was attached, and as its end of the cable is now. */
export interface PodLook extends PodView {
  readonly mac: string;
  /** Null: its namespace is gone, or not known (recovered from its host interface). */
  readonly end: PodEnd | null;
  readonly namespaceKnown: boolean;
}
