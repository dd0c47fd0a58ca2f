// What crosses between the main thread and the attach worker. Plain data.
import type { Prefix } from "../../net/prefix.ts";
import type { RouteSpec } from "../../routing/netlink/route.ts";
import type { KernelOperation, KernelOperations } from "../../routing/types.ts";

export interface AttachRequest {
  /** Path of the pod's network namespace, and device:inode of what it led to when the address was allocated. */
  readonly netns: string;
  readonly netnsId: string;
  readonly ifname: string;
  readonly hostInterface: string;
  /** Set on the host end as the last step: its presence says that the attachment is complete. */
  readonly alias: string;
  readonly mac: Uint8Array;
  readonly mtu: number;
  readonly addresses: readonly Uint8Array[];
  /** That the pod reaches through its interface; as a rule everything, in each family that it has an address of. */
  readonly destinations: readonly Prefix[];
  /** The host's routes to it, complete but for the interface. */
  readonly routes: readonly RouteSpec[];
  /** The kernel's own check of IPv4 sources (rp_filter), where nothing better keeps the pod to its addresses. */
  readonly strictSource: boolean;
}

export interface Attached {
  /** Of the host end. */
  readonly ifindex: number;
  /** The host's routes are in the kernel: none was asked for, or none met another in its place. */
  readonly routed: boolean;
}

/** A pod whose MAC is followed. */
export interface FollowRequest {
  readonly netns: string;
  readonly netnsId: string;
  readonly ifname: string;
  readonly hostInterface: string;
  readonly addresses: readonly Uint8Array[];
  /** As it was attached. */
  readonly mac: Uint8Array;
}

/** A veth in the host's namespace that is ours by its name or alias. */
export interface HostLink {
  readonly ifindex: number;
  readonly name: string;
  readonly alias: string | null;
  /** Index of the pod's end, and the number by which the host knows the namespace that it is in. */
  readonly peerIndex: number;
  readonly peerNamespace: number | null;
  /** The pod's addresses, by the host's routes to it; only where that is not one of ours. */
  readonly routes: readonly string[];
  /** The pod's addresses and its MAC, by the host's permanent neighbour entries; only there too. */
  readonly neighbours: readonly { readonly address: string; readonly mac: string }[];
}

/** The other end of a host link, found by looking into every namespace that has a path. */
export interface FoundPod {
  readonly hostIfindex: number;
  readonly netns: string;
  readonly netnsId: string;
  readonly ifname: string;
  readonly mac: string;
}

export interface DetachRequest {
  readonly hostInterface: string;
  /** Null: find it by name, and delete it only if it looks like one of ours. */
  readonly ifindex: number | null;
}

export interface InspectRequest {
  readonly netns: string;
  readonly netnsId: string;
  readonly ifname: string;
  readonly hostInterface: string;
  readonly alias: string;
  readonly addresses: readonly Uint8Array[];
  /** That the pod reaches through its interface. */
  readonly destinations: readonly Prefix[];
  /** Null: later plugins of the chain may have changed it. */
  readonly mac: Uint8Array | null;
}

export interface LookRequest {
  readonly netns: string;
  readonly netnsId: string;
  readonly ifname: string;
}

/** The pod's end of a cable, as it is. */
export interface PodEnd {
  /** Null: there is no such interface in the pod. */
  readonly link: { readonly up: boolean; readonly mac: string; readonly mtu: number } | null;
  readonly addresses: readonly string[];
  /** Families with a default route through the interface. */
  readonly defaultRoutes: readonly (4 | 6)[];
  /** Permanent ones. */
  readonly neighbours: readonly { readonly address: string; readonly mac: string }[];
}

export type WorkerRequest =
  /** The first half of an attachment; what comes of it is the answer to the second. */
  | { readonly id: 0; readonly kind: "prepare"; readonly request: AttachRequest }
  | { readonly id: number; readonly kind: "complete"; readonly hostInterface: string }
  | { readonly id: number; readonly kind: "detach"; readonly request: DetachRequest }
  | { readonly id: number; readonly kind: "inspect"; readonly request: InspectRequest }
  | { readonly id: number; readonly kind: "look"; readonly request: LookRequest }
  /** Of a pod from before; attach() follows by itself. */
  | { readonly id: number; readonly kind: "follow"; readonly request: FollowRequest; readonly hostIndex: number }
  | { readonly id: number; readonly kind: "list" }
  | { readonly id: number; readonly kind: "warmUp" }
  | { readonly id: number; readonly kind: "find"; readonly links: readonly HostLink[] }
  | { readonly id: number; readonly kind: "mark"; readonly ifindex: number; readonly alias: string }
  | { readonly id: number; readonly kind: "stop" };

export interface WorkerFailure {
  readonly code: number;
  readonly message: string;
  readonly details: string;
}

export type WorkerAnswer =
  /** What was written to the kernel. */
  | { readonly id: 0; readonly operations: readonly (KernelOperation | KernelOperations)[] }
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly failure: WorkerFailure }
  /** The interface of a pod has this MAC now, and both ends of its cable know; or they cannot be told. */
  | { readonly id: 0; readonly moved: string; readonly mac: string; readonly error?: undefined }
  | { readonly id: 0; readonly moved: string; readonly error: string }
  /** A host end that nobody asked to remove has left: its pod's namespace is gone. */
  | { readonly id: 0; readonly gone: string };
