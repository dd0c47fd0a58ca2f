// Routing policy as data: ordered statements, first decisive one wins, nothing decisive rejects (design §6, RFC 8212).
import type { Family } from "../../net/address.ts";
import type { Prefix } from "../../net/prefix.ts";
import type { Origin } from "../wire/path-attributes.ts";

/** `10.0.0.0/8 le 26` is { prefix, ge: 8, le: 26 }; a plain prefix has ge = le = its length. */
export interface PrefixMatch {
  readonly prefix: Prefix;
  readonly ge: number;
  readonly le: number;
}

/** A part that is null matches anything: `65001:*` is [65001, null]. */
export type CommunityPattern = readonly [high: number | null, low: number | null];
export type LargeCommunityPattern = readonly [number | null, number | null, number | null];

/** All given conditions must hold; within one condition any element suffices. */
export interface PolicyMatch {
  readonly prefix?: readonly PrefixMatch[];
  readonly family?: Family;
  readonly community?: readonly CommunityPattern[];
  readonly largeCommunity?: readonly LargeCommunityPattern[];
  /** A regular expression over the AS path written with single spaces, sets as {1,2}; `_` matches a boundary as in FRR and BIRD users' habit. */
  readonly asPath?: readonly string[];
  /** The path contains one of these AS numbers. */
  readonly asPathContains?: readonly number[];
  readonly nextHop?: readonly Prefix[];
  readonly peer?: readonly string[];
  readonly origin?: readonly Origin[];
}

export interface CommunityChange<T, Pattern> {
  readonly replace?: readonly T[];
  readonly remove?: readonly Pattern[];
  readonly add?: readonly T[];
}

export interface PolicySet {
  readonly localPref?: number;
  readonly med?: number | null;
  readonly community?: CommunityChange<number, CommunityPattern>;
  readonly largeCommunity?: CommunityChange<readonly [number, number, number], LargeCommunityPattern>;
  /** AS numbers put in front of the path, first one outermost. */
  readonly prepend?: readonly number[];
  readonly nextHop?: "self" | "unchanged" | Uint8Array;
  readonly origin?: Origin;
}

export interface PolicyStatement {
  readonly match: PolicyMatch;
  readonly set: PolicySet;
  /** `next` applies `set` and goes on. */
  readonly then: "accept" | "reject" | "next";
}

export interface Policy {
  readonly name: string;
  readonly statements: readonly PolicyStatement[];
}

/** What a peer's `import:` names. `default-route`: only 0.0.0.0/0 and ::/0. */
export type ImportPolicy = "all" | "none" | "default-route" | Policy;
/** What a peer's `export:` names. `blocks`: only routes of this node's own blocks; `all`: transit. */
export type ExportPolicy = "all" | "none" | "blocks" | Policy;
