// The path attributes of one route as values (RFC 4271 §5), free of their encoding. Immutable once decoded: sets are
// interned and shared by every prefix that came with them. Whoever changes one makes a new object.

/** AS_PATH segment types, RFC 4271 §4.3 b and RFC 5065. */
export const AsSegmentType = { AS_SET: 1, AS_SEQUENCE: 2, AS_CONFED_SEQUENCE: 3, AS_CONFED_SET: 4 } as const;
export type AsSegmentType = (typeof AsSegmentType)[keyof typeof AsSegmentType];

export interface AsSegment {
  readonly type: AsSegmentType;
  readonly asns: readonly number[];
}

/** IGP, EGP, INCOMPLETE (RFC 4271 §5.1.1). */
export type Origin = 0 | 1 | 2;

/** An optional transitive attribute we do not know: passed on with the partial bit (RFC 4271 §5). */
export interface UnknownAttribute {
  readonly flags: number;
  readonly code: number;
  readonly value: Uint8Array;
}

export interface PathAttributes {
  readonly origin: Origin;
  readonly asPath: readonly AsSegment[];
  /** 4 or 16 bytes, network order; from NEXT_HOP or MP_REACH_NLRI. Null for routes of our own. */
  readonly nextHop: Uint8Array | null;
  /** The second address of a 32-byte MP_REACH_NLRI next hop (RFC 2545 §3), 16 bytes. */
  readonly linkLocalNextHop: Uint8Array | null;
  readonly med: number | null;
  readonly localPref: number | null;
  readonly atomicAggregate: boolean;
  readonly aggregator: { readonly asn: number; readonly address: number } | null;
  /** Unsigned 32-bit values, in the order received (RFC 1997). */
  readonly communities: readonly number[];
  /** Each 8 bytes as two unsigned 32-bit halves (RFC 4360). */
  readonly extendedCommunities: readonly (readonly [high: number, low: number])[];
  /** RFC 8092. */
  readonly largeCommunities: readonly (readonly [global: number, local1: number, local2: number])[];
  /** RFC 4456; host-order numbers. */
  readonly originatorId: number | null;
  readonly clusterList: readonly number[];
  /** Only to Customer: an AS number (RFC 9234 §5). */
  readonly otc: number | null;
  readonly unknown: readonly UnknownAttribute[];
  /** Type codes of attributes that came with the partial bit, which stays set when they are passed on (RFC 4271 §5). */
  readonly partial?: readonly number[];
}

export const emptyAttributes: PathAttributes = {
  origin: 0,
  asPath: [],
  nextHop: null,
  linkLocalNextHop: null,
  med: null,
  localPref: null,
  atomicAggregate: false,
  aggregator: null,
  communities: [],
  extendedCommunities: [],
  largeCommunities: [],
  originatorId: null,
  clusterList: [],
  otc: null,
  unknown: [],
};
