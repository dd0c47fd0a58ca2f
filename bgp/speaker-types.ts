// What the speaker is configured with: peers with their policies, and the tables they import into.
import type { Family } from "../net/address.ts";
import type { Prefix } from "../net/prefix.ts";
import type { BestPathOptions } from "./loc-rib/best-path-options.ts";
import type { MonitoringOptions } from "./monitor/types.ts";
import type { ExportPolicy, ImportPolicy } from "./policy/types.ts";
import type { PrefixCountLimits, PrefixLimits } from "./prefix-limits.ts";
import type { RouteRules } from "./route-rules.ts";
import type { PeerOptions } from "./session/types.ts";
import type { PathAttributes } from "./wire/path-attributes.ts";

/** A default route of our own for one neighbour, its export policy aside. */
export interface DefaultOriginate {
  readonly families: readonly Family[];
  /** Only while its table has a route in use, of others than itself, that this accepts; null: always. */
  readonly while: ImportPolicy | ExportPolicy | null;
  /** What it passes instead of the export policy; its peer is `local`. */
  readonly route: ExportPolicy;
}

export interface SpeakerPeer extends PeerOptions, RouteRules {
  readonly import: ImportPolicy;
  readonly export: ExportPolicy;
  /** Kernel table id this peer's routes go to, and the Loc-RIB it is served from. */
  readonly table: number;
  /** Received prefixes per session above which the session ends with Cease/1; null: no limit. */
  readonly maxPrefixes: PrefixLimits | null;
  /** Prefixes announced to it. */
  readonly maxPrefixesOut: PrefixCountLimits | null;
  /** Default routes that it is told whatever there is; absent, null: none. */
  readonly defaultOriginate?: DefaultOriginate | null;
  /** False: monitoring protocols say nothing about the peer and what it announces. */
  readonly monitored?: boolean;
  /** BFD beside the BGP session (RFC 5880); interval in milliseconds. */
  readonly bfd?: { readonly interval: number; readonly multiplier: number } | null;
}

/** Addresses that a peer group listens for. */
export interface ListenRange {
  readonly prefix: Prefix;
  /** The interface they are on; null: wherever they come from. */
  readonly interface: string | null;
}

/** A peer group with listen ranges: what a peer out of them is like. `name` is the group's. */
export interface SpeakerGroup
  extends Omit<SpeakerPeer, "address" | "interface" | "group" | "dynamic" | "passive" | "extendedNextHop"> {
  readonly listen: readonly ListenRange[];
  readonly listenLimit: number;
  /** Neighbours may be pods of this node. */
  readonly listenPods: boolean;
  /** Null: for neighbours with an IPv6 address. */
  readonly extendedNextHop: boolean | null;
}

/** What a route of our own is announced with, and where. */
export interface OriginatedAttributes
  extends Pick<PathAttributes, "communities" | "extendedCommunities" | "largeCommunities"> {
  /** Tables whose neighbours are told of it beside those of its own. */
  readonly tables?: readonly number[];
}

export interface SpeakerOptions {
  /** The node's AS; sessions may have another one (local-as). */
  readonly asn: number;
  /** Host order. */
  readonly routerId: number;
  /** RFC 4456 §7; the router id unless several reflectors serve one cluster. */
  readonly clusterId: number;
  readonly tables: readonly { readonly name: string; readonly id: number }[];
  readonly bestPath: BestPathOptions;
  /** TCP port listened on; null: no listener. */
  readonly listenPort: number | null;
  /** Addresses to listen on; empty: all. */
  readonly listenAddresses: readonly Uint8Array[];
  /** BMP and MRT; left out: none. */
  readonly monitoring?: MonitoringOptions;
}

/** Where an Established session runs. */
export interface EstablishedInterface {
  readonly peer: string;
  readonly ifindex: number;
  /** Our end's. */
  readonly localAddress: Uint8Array;
}
