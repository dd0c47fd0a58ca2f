// What routing/ is told to keep in the kernel and what it tells back. Plain data: it crosses a thread boundary.
import type { Family } from "../net/address.ts";
import type { InstalledBlock } from "../net/installed-block.ts";
import type { LiveExplanation } from "./explain/live.ts";
import type { Flow } from "./explain/types.ts";
import type { Hazard } from "./hazards.ts";
import type { DropReason } from "./isolation/ruleset.ts";
import type { RouteSpec } from "./netlink/route.ts";

/** One member of a next-hop set, resolved: an interface and the gateway on it. */
export interface NextHopMember {
  readonly ifindex: number;
  /** 4 or 16 bytes, network order; an IPv6 gateway serves IPv4 routes too (RFC 8950). */
  readonly gateway: Uint8Array;
  /** 1 to 256. */
  readonly weight: number;
}

/**
 * Changes of learned routes, in columns so that a batch is a handful of buffers to copy. `nextHopSet` 0 withdraws.
 * A later entry for the same prefix and table replaces an earlier one.
 */
export interface RouteBatch {
  readonly family: Family;
  readonly table: number;
  readonly count: number;
  /** Network-order bytes: 4 per prefix for IPv4, 16 for IPv6. */
  readonly addresses: Uint8Array;
  readonly lengths: Uint8Array;
  readonly nextHopSets: Uint32Array;
}

/** The rules and routes that exist because of the configuration, not because of a peer (docs/architecture.md). */
export interface OwnedState {
  /** Blocks of this node: a blackhole each in the local table, and a `from <block>` rule to its table. */
  readonly blocks: readonly { readonly prefix: string; readonly table: number }[];
  /**
   * Addresses and prefixes inside of our blocks that pods of other nodes have: packets from here go on to the learned routes,
   * past the blackhole. Absent: none.
   */
  readonly elsewhere?: readonly string[];
  /** Interfaces to the fabric: what comes in there for `elsewhere` is dropped, it would go round in circles. Absent: none. */
  readonly uplinks?: readonly string[];
  /** Tables with learned routes. */
  readonly tables: readonly {
    readonly name: string;
    readonly id: number;
    readonly host: boolean;
    readonly fallback: "host" | "unreachable";
    readonly hostRoutes: HostRoutes;
  }[];
}

/**
 * What of the host's own routing (table main) comes before the learned routes of a table: `first`, everything but default
 * routes; `last`, the connected networks only.
 */
export type HostRoutes = "first" | "last";

/** A block that the kernel does not have, as it refused the blackhole or the rule. */
export interface RefusedBlock {
  /** As asked for. */
  readonly prefix: string;
  readonly table: number;
  /** The kernel's words. */
  readonly error: string;
}

/** A block that a former run left in the kernel. */
export interface FormerBlock {
  readonly prefix: string;
  /** Null: only the blackhole is left. */
  readonly table: number | null;
}

/** What became of the blocks of an OwnedState. */
export interface OwnedResult {
  readonly installed: readonly InstalledBlock[];
  readonly refused: readonly RefusedBlock[];
}

/** A block that the kernel had has gone and could not be put back, or is there again. */
export type BlockChange =
  | { readonly kind: "lost"; readonly block: RefusedBlock }
  | { readonly kind: "restored"; readonly block: InstalledBlock };

/** A host route of one local pod: /32 or /128 in the local table to the host end of its veth. */
export interface PodRoute {
  readonly address: Uint8Array;
  readonly ifindex: number;
}

export interface RoutingOptions {
  /** False: hold routes, write nothing to the kernel, but still watch links and addresses. */
  readonly install: boolean;
  readonly protocol: number;
  readonly localTable: number;
  readonly rulePriority: {
    readonly local: number;
    readonly hostRoutes: number;
    readonly block: number;
    readonly host: number;
  };
  /** First nexthop object id of ours, and how many. */
  readonly nextHopIds: { readonly base: number; readonly count: number };
  /** Seconds until state of ours found at start, and not asked for again, is removed without End-of-RIB. */
  readonly staleTime: number;
  /** Set forwarding and nexthop_compat_mode at start. */
  readonly sysctls: boolean;
}

export interface LinkAddress {
  readonly address: Uint8Array;
  readonly length: number;
  /** The other end of a point-to-point address; the connected network is the peer's then. */
  readonly peer?: Uint8Array;
  /** Duplicate address detection is under way, or has found a duplicate: the address cannot be used. */
  readonly tentative?: boolean;
}

export interface LinkInfo {
  readonly ifindex: number;
  readonly name: string;
  readonly up: boolean;
  readonly mtu: number;
  readonly mac: Uint8Array;
  readonly addresses: readonly LinkAddress[];
}

/** Another program, as far as a notification tells: the port id of its socket, which is mostly a process id. */
export interface Culprit {
  readonly pid: number;
  /** Null: no such process by now, or the port id is none. */
  readonly name: string | null;
}

/** Something of ours that is taken away, or changed, again and again. */
export interface Fight {
  /** For example `IPv4 rule 1010: from 10.244.1.0/26 lookup 7100`. */
  readonly subject: string;
  readonly by: Culprit | null;
  /** Seconds since the epoch. */
  readonly since: number;
  /** How often it was put back since then. */
  readonly repairs: number;
}

/** A gateway that does not answer on a link that is up (NUD_FAILED). */
export interface UnreachableGateway {
  readonly gateway: string;
  readonly interface: string;
  /** Seconds since the epoch. */
  readonly since: number;
  /** False: there is no other member, so it stays in use. */
  readonly avoided: boolean;
}

/** How the names of pods' interfaces on the host begin; null: pods may send what they like. */
export interface IsolationRequest {
  readonly interfaces: string | null;
}

/** Whether pods are kept to their own addresses, and what was dropped for that since the daemon's start, in packets. */
export interface IsolationView {
  /** `off`: not wanted. `unavailable`: the kernel cannot, or somebody is in the way. */
  readonly state: "off" | "active" | "unavailable";
  /** What is not as it should be, in words; null: nothing. */
  readonly reason: string | null;
  readonly dropped: Readonly<Record<DropReason, number>>;
}

/** One line of what happens in the kernel, for `underlayctl watch` and the log. */
export interface KernelEvent {
  readonly kind:
    | "routesInstalled"
    | "routesFailed"
    | "adopted"
    | "swept"
    | "resync"
    | "repaired"
    | "link"
    | "neighbour"
    | "foreign"
    | "hazard"
    | "fight"
    /** A hazard or a fight is over. */
    | "cleared"
    | "error";
  readonly message: string;
  readonly count?: number;
  /** Who did what was repaired. */
  readonly by?: Culprit;
}

/** What we did to the kernel, as it was written, with the kernel's answer. */
export interface KernelOperation {
  readonly kind: "operation";
  /** Milliseconds since 1970, when the kernel had answered. */
  readonly at: number;
  readonly operation: "add" | "replace" | "delete" | "set";
  readonly object: "route" | "rule" | "nexthop" | "group" | "link" | "address" | "neighbour" | "sysctl" | "nftables";
  /** The kernel's words; absent: done. */
  readonly error?: string;
  /** Path of the pod's network namespace; absent: this host's. */
  readonly netns?: string;
  /** Of a route, an address or a neighbour. */
  readonly prefix?: string;
  readonly table?: number;
  /** Of a route, when it is not unicast: `blackhole`, `unreachable`. */
  readonly routeType?: string;
  readonly metric?: number;
  /** Nexthop object or group that a route uses. */
  readonly nextHop?: number;
  readonly gateway?: string;
  readonly interface?: string;
  /** Of a rule: as `ip rule` prints it. */
  readonly rule?: string;
  readonly family?: Family;
  /** Of a nexthop or group. */
  readonly id?: number;
  /** Of a group: gateways and interfaces, as far as they are known, and weights. */
  readonly members?: readonly string[];
  /** Of a setting or a link: what it is, what is changed; of a neighbour: the MAC address. */
  readonly name?: string;
  readonly value?: string;
}

/** Many operations alike, where one by one would be too many. */
export interface KernelOperations {
  readonly kind: "operations";
  /** Milliseconds since 1970 of the last one. */
  readonly at: number;
  readonly operation: KernelOperation["operation"];
  readonly object: KernelOperation["object"];
  readonly count: number;
  /** From the first to the last. */
  readonly milliseconds: number;
  readonly error?: string;
  readonly table?: number;
  readonly nextHop?: number;
  /** Lowest and highest prefix among them, by address. */
  readonly lowest?: string;
  readonly highest?: string;
  /** The shortest prefix length among them. */
  readonly shortest?: number;
}

/** The operations on routes behind KernelOperations, in columns; only made when somebody wants them. */
export interface RouteOperations {
  readonly at: number;
  readonly count: number;
  /** 0: add, 1: replace, 2: delete. */
  readonly operations: Uint8Array;
  readonly families: Uint8Array;
  /** 16 bytes each, IPv4 in the first 4. */
  readonly addresses: Uint8Array;
  readonly lengths: Uint8Array;
  readonly tables: Uint32Array;
  /** Nexthop object or group; 0: none. */
  readonly nextHops: Uint32Array;
  /** RTN_*. */
  readonly types: Uint8Array;
  /** Index of the interface; 0: none. */
  readonly interfaces: Uint32Array;
  /** Index and the kernel's words of those that failed. */
  readonly errors: readonly (readonly [index: number, error: string])[];
}

export interface KernelRoute {
  readonly prefix: string;
  readonly table: number;
  readonly type: "unicast" | "blackhole" | "unreachable" | "other";
  readonly nextHops: readonly {
    readonly gateway: string | null;
    readonly interface: string | null;
    readonly weight: number;
  }[];
}

export interface KernelRule {
  readonly family: Family;
  readonly priority: number;
  readonly from: string | null;
  readonly to: string | null;
  readonly table: number;
  readonly protocol: number;
  readonly ours: boolean;
  readonly text: string;
}

export interface FibStatus {
  readonly install: boolean;
  /** Routes wanted, present in the kernel, and refused by it. */
  readonly desired: number;
  readonly installed: number;
  readonly failed: readonly { readonly prefix: string; readonly table: number; readonly error: string }[];
  readonly nextHopSets: number;
  readonly resyncs: number;
  readonly overruns: number;
  /** Adopted at start and not yet confirmed or swept. */
  readonly stale: number;
  /** What stands in the way, as long as it does. */
  readonly hazards: readonly Hazard[];
  readonly fights: readonly Fight[];
  readonly unreachable: readonly UnreachableGateway[];
  readonly isolation: IsolationView;
}

/** What can be relied on while sessions are away, see fib/forwarding.ts. Empty with `install: false`. */
export interface ForwardingState {
  /** Tables with learned routes that are as they should be. */
  readonly tables: readonly { readonly family: Family; readonly table: number }[];
  /** Families whose rules and blackholes are. */
  readonly owned: readonly Family[];
}

/** A kernel setting that the daemon had changed, put back. */
export interface RestoredSetting {
  /** As sysctl(8) has it. */
  readonly name: string;
  readonly before: string;
  /** `restored`; `kept`: somebody else has changed it since; `gone`: the interface is; or the error code. */
  readonly outcome: string;
}

/** A learned route. */
export interface RouteQuestion {
  readonly family: Family;
  readonly table: number;
  readonly address: Uint8Array;
  readonly length: number;
}

/** A learned route's way into the kernel. */
export interface Installation {
  /** False: nothing is installed at all. */
  readonly install: boolean;
  readonly wanted: boolean;
  /** Of the group that the route in the kernel uses; 0: it is not there. */
  readonly nextHopId: number;
  /** The group's, read from the kernel now. */
  readonly members: KernelRoute["nextHops"];
  /** In the kernel's words. */
  readonly refused: string | null;
}

/** Main-thread face of the fib worker (routing/fib/client.ts implements it). */
export interface Fib {
  /** Opens sockets, adopts what a former run left, reports links. Rejects with what is missing (CAP_NET_ADMIN). */
  start(): Promise<void>;
  /** Links with their addresses, kept current; `onLinks` is called after each change. */
  links(): readonly LinkInfo[];
  onLinks(listener: () => void): void;
  onEvent(listener: (event: KernelEvent) => void): void;
  /** As last heard from the worker. */
  forwarding(): ForwardingState;
  /**
   * Blackholes first, then rules; what is not in it any more leaves in the reverse order, rules first. Resolves when the
   * kernel has answered for all of it; a block that it refused is tried again with the next call and with each repair.
   * Rejects when it refused more than blocks. Revokes the proofs of blocks that are not in it, before the kernel is asked.
   */
  setOwned(owned: OwnedState): Promise<OwnedResult>;
  /** What a former run left; to be asked before setOwned. */
  formerBlocks(): Promise<FormerBlock[]>;
  /** Called when a block of the last setOwned could not be put back, or is there again. */
  onBlock(listener: (change: BlockChange) => void): void;
  /** Defines or replaces a next-hop set; ids are the caller's, > 0, dense. */
  setNextHopSet(id: number, members: readonly NextHopMember[]): void;
  removeNextHopSet(id: number): void;
  /** Returns false above the high-water mark: wait for `onDrain`. */
  apply(batch: RouteBatch): boolean;
  onDrain(listener: () => void): () => void;
  /** Resolves when everything applied so far is in the kernel (or has failed and is listed). */
  flush(): Promise<void>;
  /** Prepares for a large table; resolves when that is done. */
  warmUp(): Promise<void>;
  /**
   * Routes to these addresses, complete but for the pod's interface, for another thread to write as it makes that; null: this
   * process does not see the namespace that they belong in. Empty where routes are not installed.
   */
  planPodRoutes(addresses: readonly Uint8Array[]): readonly RouteSpec[] | null;
  /** Routes of planPodRoutes() that the kernel has: they are kept there like those of addPodRoutes(). */
  keepPodRoutes(routes: readonly PodRoute[]): void;
  /** The interface is about to go, and the kernel takes its routes along. */
  dropPodRoutes(routes: readonly PodRoute[]): void;
  addPodRoutes(routes: readonly PodRoute[]): Promise<void>;
  removePodRoutes(routes: readonly PodRoute[]): Promise<void>;
  /** A pod with several interfaces may send from these addresses on these interfaces, too, until one of both is removed. */
  allowSources(sources: readonly PodRoute[]): Promise<void>;
  /** All peers have sent End-of-RIB: what was adopted and not asked for again goes. */
  sweepStale(): Promise<number>;
  status(): Promise<FibStatus>;
  /** Straight from the kernel. */
  rules(): Promise<KernelRule[]>;
  routes(table: number): Promise<KernelRoute[]>;
  /** What is known of one learned route: wanted, in the kernel, refused. */
  installation(question: RouteQuestion): Promise<Installation>;
  /** What becomes of a packet now, and the kernel's own word on it (explain/live.ts). */
  explain(flow: Flow): Promise<LiveExplanation>;
  /**
   * `keep`: leave everything in the kernel (restart); otherwise remove all that is ours, and resolve to the settings that
   * were put back to what they had been.
   */
  stop(mode: "keep" | "remove"): Promise<readonly RestoredSetting[]>;
}
