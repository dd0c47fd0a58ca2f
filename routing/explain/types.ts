// What the simulation of the kernel's routing decision works on, and what it says. Plain data: it crosses a thread boundary.
import type { Family } from "../../net/address.ts";
import type { InterfaceAddress } from "../netlink/address.ts";
import type { NextHop } from "../netlink/nexthop.ts";
import type { Route } from "../netlink/route.ts";
import type { Rule } from "../netlink/rule.ts";

/** LOOPBACK_IFINDEX: the index of `lo` in every namespace, and what a packet made on the host arrives by. */
export const LOOPBACK = 1;

/** The packet that is asked about. */
export interface Flow {
  readonly family: Family;
  /** Null: the sender has not chosen one. */
  readonly source: Uint8Array | null;
  readonly destination: Uint8Array;
  /** Index of the interface that it arrives by; 0: it is made on this host. */
  readonly iif: number;
  /** Interface that its sender insists on; 0: none. */
  readonly oif: number;
  readonly mark: number;
  /** DS field as in the IP header. */
  readonly tos: number;
  /** User id of the sender; forwarded packets have 0. */
  readonly uid: number;
  /** IPPROTO_*; 0: not known. */
  readonly ipProtocol: number;
  readonly sourcePort: number;
  readonly destinationPort: number;
}

export interface LinkState {
  readonly ifindex: number;
  readonly name: string;
  /** IFF_*. */
  readonly flags: number;
  /** Interface group. */
  readonly group: number;
}

/** Settings under net.ipv4.conf and net.ipv6.conf of the interface that a packet arrives by, as the kernel combines them. */
export interface InterfaceSettings {
  readonly forwarding: boolean;
  /** 0 none, 1 strict, 2 loose. */
  readonly rpFilter: number;
  readonly acceptLocal: boolean;
  readonly routeLocalnet: boolean;
  /** src_valid_mark: the check of the source looks at the mark too. */
  readonly sourceValidMark: boolean;
  readonly sendRedirects: boolean;
  /** bc_forwarding: directed broadcasts are forwarded. */
  readonly broadcastForwarding: boolean;
}

/**
 * The kernel's state as far as one flow can depend on it: the rules of its family in the kernel's order, and of every
 * table that they name those routes whose prefix has the destination or the source in it, in the order of a dump.
 */
export interface Snapshot {
  readonly rules: readonly Rule[];
  readonly tables: ReadonlyMap<number, readonly Route[]>;
  readonly nextHops: ReadonlyMap<number, NextHop>;
  readonly links: ReadonlyMap<number, LinkState>;
  /** In the order of a dump. */
  readonly addresses: readonly InterfaceAddress[];
  /** Of the interface that the packet arrives by; null for one made on the host. */
  readonly settings: InterfaceSettings | null;
}

/** What the sender of the packet is told, or would be if it asked the kernel. */
export type ErrorCode = "ENETUNREACH" | "EHOSTUNREACH" | "EACCES" | "EINVAL" | "ENODEV";

/** One way out of a route. */
export interface Hop {
  readonly ifindex: number;
  readonly gateway: Uint8Array | null;
  /** 1 to 256. */
  readonly weight: number;
  /** RTNH_F_*. */
  readonly flags: number;
}

/** A route that the destination is in and that was not taken. */
export interface Passed {
  readonly route: Route;
  readonly why: string;
}

/** What a table says. */
export type TableResult =
  | { readonly kind: "miss"; readonly passed: readonly Passed[] }
  /** The route says no, or, with EAGAIN, that the next rule is to be asked. */
  | {
      readonly kind: "reject";
      readonly route: Route;
      readonly error: ErrorCode | "EAGAIN";
      readonly passed: readonly Passed[];
    }
  | {
      readonly kind: "found";
      readonly route: Route;
      /** The hop that matched first. */
      readonly first: Hop;
      /** All that the packet may leave by: which of them, the kernel's hash decides. */
      readonly members: readonly Hop[];
      /** Default routes that the kernel may take in its stead, by what it knows of their gateways. */
      readonly instead: readonly { readonly route: Route; readonly hop: Hop }[];
      readonly passed: readonly Passed[];
    };

/** One rule of the walk, in the order in which the kernel looks at them. */
export interface Step {
  readonly rule: Rule;
  readonly outcome:
    | "noMatch"
    | "goto"
    | "nop"
    /** The table has nothing for the destination, or does not exist. */
    | "miss"
    | "throw"
    | "suppressed"
    /** Some of the route's members are suppressed: the walk ends here for the others. */
    | "partlySuppressed"
    | "decided";
  /** Why it did not match, was suppressed or has no effect. */
  readonly why: string | null;
  readonly result: TableResult | null;
}

/** What becomes of the packet. */
export interface Verdict {
  /** Null: it goes somewhere. */
  readonly error: ErrorCode | null;
  /** In words, where it goes nowhere. */
  readonly why: string | null;
  /** RTN_*: of the route, or of what the kernel makes of the destination. */
  readonly type: number;
  readonly rule: Rule | null;
  readonly table: number;
  readonly route: Route | null;
  /** All that the packet may leave by; empty when it goes nowhere. */
  readonly members: readonly Hop[];
  /** The source, also where the sender left it to the kernel; null: not known from here. */
  readonly source: Uint8Array | null;
}

/** A refusal that follows a routing decision: the packet is dropped although there is a route. */
export interface Refusal {
  readonly why: string;
  /** The kernel's answer to RTM_GETROUTE is this refusal too, not the route. */
  readonly answered: boolean;
}

export interface Explanation {
  readonly steps: readonly Step[];
  /** More than one when what decides cannot be seen from outside. Never empty. */
  readonly verdicts: readonly Verdict[];
  /** The lookup of the way back that the check of an arriving packet's source makes, when it makes one. */
  readonly reverse: readonly Step[];
  readonly refusal: Refusal | null;
}
