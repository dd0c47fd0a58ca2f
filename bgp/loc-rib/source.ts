// Where paths of a Loc-RIB come from: one peer's Adj-RIB-In behind its import policy, or the routes of this node.
import type { PagedUint32 } from "../../net/paged-array.ts";
import type { AdjRibIn } from "../adj-rib-in/adj-rib-in.ts";
import type { Ineligible } from "../ingress.ts";
import type { ImportFilter } from "../policy/filter.ts";
import type { NextHopView } from "./next-hops.ts";

export interface RouteSource {
  /** Peer name; `local` for our own. */
  readonly name: string;
  readonly local: boolean;
  readonly adjRibIn: AdjRibIn;
  /** Prefix id -> path identifier (RFC 7911); null: the session has none. */
  pathIds: PagedUint32 | null;
  /** Replaced when the policy changes. */
  filter: ImportFilter;
  /** Facts of the session that its routes came over; they stay after it ends, for stale routes. */
  session: SourceSession;
}

export interface SourceSession {
  readonly ebgp: boolean;
  /** We reflect its routes (RFC 4456). */
  readonly reflectorClient: boolean;
  /** BGP identifier of the peer, host order. */
  readonly routerId: number;
  readonly address: Uint8Array;
  readonly nextHops: NextHopView;
}

/** Which eligible paths a consumer takes: all, those in use, or all in the order of preference. */
export type PathSelection = "all" | "multipath" | "ordered";

/** A path of a prefix and what becomes of it, for those who look. */
export interface PathStatus {
  readonly source: RouteSource;
  /** As received. */
  readonly raw: number;
  /** After policy; 0: rejected. */
  readonly attributes: number;
  readonly nextHop: number;
  readonly best: boolean;
  readonly used: boolean;
  /** Used beside others. */
  readonly multipath: boolean;
  readonly stale: boolean;
  readonly rejected: Ineligible | "policy" | "next hop" | null;
}
