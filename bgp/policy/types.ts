// Routing policy as data: ordered statements, first decisive one wins, nothing decisive rejects (RFC 8212).
// Policies refer to each other and to named sets as objects: whoever makes them (the configuration) has resolved names
// and refused cycles. What the words mean to a person is in docs/policy.md.
import type { Family } from "../../net/address.ts";
import type { Prefix } from "../../net/prefix.ts";
import type { Origin } from "../wire/path-attributes.ts";

/** A named list of the configuration. Compiled once, however many statements use it. */
export interface NamedSet<T> {
  readonly name: string;
  readonly values: readonly T[];
}

/** Values in place, and named sets of them. */
export type Elements<T> = readonly (T | NamedSet<T>)[];

/** Bounds included. */
export interface Range {
  readonly ge: number;
  readonly le: number;
}

/** `10.0.0.0/8 le 26` is { prefix, ge: 8, le: 26 }; a plain prefix has ge = le = its length. */
export interface PrefixMatch extends Range {
  readonly prefix: Prefix;
}

/** Null: anything. */
export type CommunityPart = number | null | Range;
/** `65001:*` is [65001, null]. */
export type CommunityPattern = readonly [high: CommunityPart, low: CommunityPart];
export type LargeCommunityPattern = readonly [global: CommunityPart, local1: CommunityPart, local2: CommunityPart];
/** See extended-community.ts for what the parts are. */
export type ExtendedCommunityPattern = readonly [
  subtype: CommunityPart,
  form: CommunityPart,
  global: CommunityPart,
  local: CommunityPart,
];
export type LargeCommunity = readonly [global: number, local1: number, local2: number];
/** Eight octets as two halves (RFC 4360). */
export type ExtendedCommunity = readonly [high: number, low: number];

/** All given ones must hold. */
export interface CommunityMatch<Pattern> {
  /** One of the route's communities is one of these. */
  readonly any?: Elements<Pattern>;
  /** Each of these is among the route's communities. */
  readonly all?: Elements<Pattern>;
  /** None of these is. */
  readonly none?: Elements<Pattern>;
  /** `all`, and there is no other. */
  readonly exact?: Elements<Pattern>;
}

/** An attribute that is absent, present, or has a value in the range. */
export type ValueMatch = "none" | "any" | Range;

/** All given conditions must hold; within one condition any element suffices. */
export interface PolicyMatch {
  readonly prefix?: Elements<PrefixMatch>;
  readonly family?: Family;
  /**
   * Names; a set is a peer group under its name: its configured peers, and `NAME/` for each group whose dynamic peers
   * are meant.
   */
  readonly peer?: Elements<string>;
  readonly community?: CommunityMatch<CommunityPattern>;
  readonly extendedCommunity?: CommunityMatch<ExtendedCommunityPattern>;
  readonly largeCommunity?: CommunityMatch<LargeCommunityPattern>;
  /**
   * A regular expression over the AS path written with single spaces, sets as {1,2}; `_` matches a boundary as in FRR
   * and BIRD users' habit.
   */
  readonly asPath?: Elements<string>;
  /** The path contains one of these AS numbers. */
  readonly asPathContains?: readonly number[];
  /** As the decision process counts it: a set is 1, confederation segments are 0. */
  readonly asPathLength?: Range;
  /** The first AS of the path: who told us. */
  readonly neighborAs?: readonly number[];
  /** The last AS of the path: who originated the route. */
  readonly originAs?: readonly number[];
  /** Lengths of named prefix sets do not matter here: the address is within one of the prefixes. */
  readonly nextHop?: readonly (Prefix | NamedSet<PrefixMatch>)[];
  readonly origin?: readonly Origin[];
  readonly med?: ValueMatch;
  readonly localPref?: ValueMatch;
  /** One of these policies accepts the route; what they change is forgotten. */
  readonly policy?: readonly PolicyElement[];
  /** These do not all hold. */
  readonly not?: PolicyMatch;
}

export interface CommunityChange<T, Pattern> {
  readonly replace?: readonly T[];
  readonly remove?: Elements<Pattern>;
  readonly add?: readonly T[];
}

/** So much more (less, when negative), within 0 to 4294967295. */
export interface Relative {
  readonly add: number;
}

export interface CommunityChanges {
  readonly community?: CommunityChange<number, CommunityPattern>;
  readonly extendedCommunity?: CommunityChange<ExtendedCommunity, ExtendedCommunityPattern>;
  readonly largeCommunity?: CommunityChange<LargeCommunity, LargeCommunityPattern>;
}

export interface PolicySet extends CommunityChanges {
  /** Of this node alone: compared before LOCAL_PREF, never told to anybody. */
  readonly weight?: number;
  readonly localPref?: number | Relative;
  readonly med?: number | null | Relative;
  /** AS numbers put in front of the path, first one outermost; or the path's own first one again, so many times. */
  readonly prepend?: readonly number[] | { readonly lastAs: number };
  /** AS numbers taken out of the path. */
  readonly removeAs?: readonly (number | Range)[];
  /** `peer`: on import the neighbour's address; on export, as `self`, ours. */
  readonly nextHop?: "self" | "unchanged" | "peer" | Uint8Array;
  readonly origin?: Origin;
  /** Import: the kernel table id that the route goes to instead of the peer's own. */
  readonly table?: number;
}

export interface PolicyStatement {
  readonly match: PolicyMatch;
  readonly set: PolicySet;
  /** Policies that stand here: what they decide is decided, otherwise `then` follows. */
  readonly apply?: readonly PolicyElement[];
  /** `next` goes on with the next statement, `return` leaves this policy undecided: its caller goes on. */
  readonly then: "accept" | "reject" | "next" | "return";
}

export interface Policy {
  readonly name: string;
  readonly statements: readonly PolicyStatement[];
}

/** `default-route`: only 0.0.0.0/0 and ::/0. `blocks`: only routes of this node's own blocks. */
export type BuiltIn = "all" | "none" | "default-route" | "blocks";
export type PolicyElement = BuiltIn | Policy;

/** Policies one after another: the first that accepts or rejects decides. */
export interface PolicyChain {
  readonly name: string;
  readonly chain: readonly PolicyElement[];
  /** Done to what is accepted, last. */
  readonly onAccept?: PolicySet;
}

/** What a peer's `import:` names. */
export type ImportPolicy = Exclude<BuiltIn, "blocks"> | Policy | PolicyChain;
/** What a peer's `export:` names. `all`: transit. */
export type ExportPolicy = Exclude<BuiltIn, "default-route"> | Policy | PolicyChain;
