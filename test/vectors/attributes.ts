// Attribute lists of UPDATE messages: bytes, what they mean, and what RFC 7606 does about them.
//
// `base` is a good eBGP list with 4-octet AS numbers: ORIGIN IGP, AS_PATH 65001, NEXT_HOP 10.0.0.1. Each vector is
// decoded in an eBGP session with NLRI unless it says otherwise.

export const ORIGIN = "40 01 01 00";
export const AS_PATH = "40 02 06 02 01 0000fde9";
export const NEXT_HOP = "40 03 04 0a000001";
export const BASE = `${ORIGIN} ${AS_PATH} ${NEXT_HOP}`;

export interface AttributeVector {
  readonly name: string;
  readonly bytes: string;
  readonly action: "none" | "discard" | "withdraw" | "reset";
  /** Expected fields of the decoded attributes. */
  readonly value?: object;
  /** NOTIFICATION subcode of the first error. */
  readonly subcode?: number;
  readonly ibgp?: boolean;
  readonly as2?: boolean;
  /** No prefixes outside MP_REACH_NLRI. */
  readonly noNlri?: boolean;
}

export const attributeVectors: readonly AttributeVector[] = [
  {
    name: "the mandatory three",
    bytes: BASE,
    action: "none",
    value: { origin: 0, asPath: [{ type: 2, asns: [65001] }] },
  },
  { name: "an empty AS_PATH", bytes: `${ORIGIN} 40 02 00 ${NEXT_HOP}`, action: "none", value: { asPath: [] } },
  {
    name: "extended length on a short attribute",
    bytes: `50 01 0001 02 ${AS_PATH} ${NEXT_HOP}`,
    action: "none",
    value: { origin: 2 },
  },

  { name: "ORIGIN of two bytes", bytes: `40 01 02 0000 ${AS_PATH} ${NEXT_HOP}`, action: "withdraw", subcode: 6 },
  { name: "ORIGIN 3", bytes: `40 01 01 03 ${AS_PATH} ${NEXT_HOP}`, action: "withdraw", subcode: 6 },
  { name: "ORIGIN marked optional", bytes: `c0 01 01 00 ${AS_PATH} ${NEXT_HOP}`, action: "withdraw", subcode: 4 },
  { name: "ORIGIN missing", bytes: `${AS_PATH} ${NEXT_HOP}`, action: "withdraw", subcode: 3 },
  { name: "ORIGIN twice", bytes: `${BASE} 40 01 01 02`, action: "discard", value: { origin: 0 } },

  { name: "AS_PATH missing", bytes: `${ORIGIN} ${NEXT_HOP}`, action: "withdraw", subcode: 3 },
  {
    name: "AS_PATH segment without ASes",
    bytes: `${ORIGIN} 40 02 02 02 00 ${NEXT_HOP}`,
    action: "withdraw",
    subcode: 11,
  },
  {
    name: "AS_PATH segment that overruns",
    bytes: `${ORIGIN} 40 02 06 02 02 0000fde9 ${NEXT_HOP}`,
    action: "withdraw",
    subcode: 11,
  },
  {
    name: "AS_PATH segment of type 5",
    bytes: `${ORIGIN} 40 02 06 05 01 0000fde9 ${NEXT_HOP}`,
    action: "withdraw",
    subcode: 11,
  },
  {
    name: "AS_PATH with a stray byte",
    bytes: `${ORIGIN} 40 02 07 02 01 0000fde9 02 ${NEXT_HOP}`,
    action: "withdraw",
    subcode: 11,
  },
  {
    name: "AS 0 in AS_PATH (RFC 7607)",
    bytes: `${ORIGIN} 40 02 06 02 01 00000000 ${NEXT_HOP}`,
    action: "withdraw",
    subcode: 11,
  },
  {
    name: "confederation segment over eBGP",
    bytes: `${ORIGIN} 40 02 06 03 01 0000fde9 ${NEXT_HOP}`,
    action: "withdraw",
    subcode: 11,
  },
  {
    name: "AS_SET",
    bytes: `${ORIGIN} 40 02 10 02 01 0000fde9 01 02 0000fdea 0000fdeb ${NEXT_HOP}`,
    action: "none",
    value: {
      asPath: [
        { type: 2, asns: [65001] },
        { type: 1, asns: [65002, 65003] },
      ],
    },
  },

  { name: "NEXT_HOP missing", bytes: `${ORIGIN} ${AS_PATH}`, action: "withdraw", subcode: 3 },
  {
    name: "NEXT_HOP missing, no NLRI",
    bytes: `${ORIGIN} ${AS_PATH}`,
    action: "none",
    noNlri: true,
    value: { nextHop: null },
  },
  {
    name: "NEXT_HOP of 16 bytes",
    bytes: `${ORIGIN} ${AS_PATH} 40 03 10 ${"20".repeat(16)}`,
    action: "withdraw",
    subcode: 8,
  },
  { name: "NEXT_HOP 0.0.0.0", bytes: `${ORIGIN} ${AS_PATH} 40 03 04 00000000`, action: "withdraw", subcode: 8 },
  { name: "NEXT_HOP multicast", bytes: `${ORIGIN} ${AS_PATH} 40 03 04 e0000001`, action: "withdraw", subcode: 8 },

  { name: "MED", bytes: `${BASE} 80 04 04 ffffffff`, action: "none", value: { med: 0xffffffff } },
  { name: "MED of three bytes", bytes: `${BASE} 80 04 03 000001`, action: "withdraw" },
  { name: "MED marked transitive", bytes: `${BASE} c0 04 04 00000001`, action: "withdraw", subcode: 4 },
  {
    name: "LOCAL_PREF over iBGP",
    bytes: `${BASE} 40 05 04 000000c8`,
    action: "none",
    ibgp: true,
    value: { localPref: 200 },
  },
  { name: "LOCAL_PREF over eBGP", bytes: `${BASE} 40 05 04 000000c8`, action: "discard", value: { localPref: null } },
  { name: "LOCAL_PREF of two bytes over iBGP", bytes: `${BASE} 40 05 02 00c8`, action: "withdraw", ibgp: true },
  { name: "LOCAL_PREF of two bytes over eBGP", bytes: `${BASE} 40 05 02 00c8`, action: "discard" },

  { name: "ATOMIC_AGGREGATE", bytes: `${BASE} 40 06 00`, action: "none", value: { atomicAggregate: true } },
  {
    name: "ATOMIC_AGGREGATE with a value",
    bytes: `${BASE} 40 06 01 00`,
    action: "discard",
    value: { atomicAggregate: false },
  },
  {
    name: "AGGREGATOR",
    bytes: `${BASE} c0 07 08 0000fde9 0a000001`,
    action: "none",
    value: { aggregator: { asn: 65001, address: 0x0a000001 } },
  },
  {
    name: "AGGREGATOR of six bytes with 4-octet ASes",
    bytes: `${BASE} c0 07 06 fde9 0a000001`,
    action: "discard",
    value: { aggregator: null },
  },
  {
    name: "AGGREGATOR with AS 0",
    bytes: `${BASE} c0 07 08 00000000 0a000001`,
    action: "discard",
    value: { aggregator: null },
  },

  {
    name: "COMMUNITIES",
    bytes: `${BASE} c0 08 08 fde90064 ffffff01`,
    action: "none",
    value: { communities: [0xfde90064, 0xffffff01] },
  },
  { name: "COMMUNITIES empty", bytes: `${BASE} c0 08 00`, action: "withdraw" },
  { name: "COMMUNITIES of five bytes", bytes: `${BASE} c0 08 05 fde9006400`, action: "withdraw" },
  {
    name: "EXTENDED COMMUNITIES",
    bytes: `${BASE} c0 10 08 0002fde900000064`,
    action: "none",
    value: { extendedCommunities: [[0x0002fde9, 100]] },
  },
  { name: "EXTENDED COMMUNITIES of seven bytes", bytes: `${BASE} c0 10 07 0002fde9000000`, action: "withdraw" },
  {
    name: "LARGE_COMMUNITY",
    bytes: `${BASE} c0 20 0c 0000fde9 00000001 00000002`,
    action: "none",
    value: { largeCommunities: [[65001, 1, 2]] },
  },
  { name: "LARGE_COMMUNITY of eight bytes", bytes: `${BASE} c0 20 08 0000fde900000001`, action: "withdraw" },

  {
    name: "ORIGINATOR_ID over iBGP",
    bytes: `${BASE} 80 09 04 01020304`,
    action: "none",
    ibgp: true,
    value: { originatorId: 0x01020304 },
  },
  {
    name: "ORIGINATOR_ID over eBGP",
    bytes: `${BASE} 80 09 04 01020304`,
    action: "discard",
    value: { originatorId: null },
  },
  {
    name: "CLUSTER_LIST over iBGP",
    bytes: `${BASE} 80 0a 08 01020304 05060708`,
    action: "none",
    ibgp: true,
    value: { clusterList: [0x01020304, 0x05060708] },
  },
  { name: "CLUSTER_LIST empty over iBGP", bytes: `${BASE} 80 0a 00`, action: "withdraw", ibgp: true },

  { name: "OTC", bytes: `${BASE} c0 23 04 0000fde9`, action: "none", value: { otc: 65001, unknown: [] } },
  { name: "OTC with the partial bit", bytes: `${BASE} e0 23 04 0000fde9`, action: "none", value: { partial: [35] } },
  { name: "OTC over iBGP", bytes: `${BASE} c0 23 04 0000fde9`, action: "none", ibgp: true, value: { otc: 65001 } },
  { name: "OTC empty", bytes: `${BASE} c0 23 00`, action: "withdraw", subcode: 9 },
  { name: "OTC too short", bytes: `${BASE} c0 23 03 00fde9`, action: "withdraw", subcode: 9 },
  { name: "OTC too long", bytes: `${BASE} c0 23 08 0000fde9 0000fdea`, action: "withdraw", subcode: 9 },
  { name: "OTC non-transitive", bytes: `${BASE} 80 23 04 0000fde9`, action: "withdraw", subcode: 4 },
  {
    name: "unknown optional transitive",
    bytes: `${BASE} c0 63 02 abcd`,
    action: "none",
    value: { unknown: [{ flags: 0xc0, code: 99, value: Uint8Array.of(0xab, 0xcd) }] },
  },
  { name: "unknown optional non-transitive", bytes: `${BASE} 80 63 02 abcd`, action: "none", value: { unknown: [] } },
  { name: "unknown well-known", bytes: `${BASE} 40 63 02 abcd`, action: "reset", subcode: 2 },
  {
    name: "attribute 28 of an empty value (2023 incident)",
    bytes: `${BASE} e0 1c 00`,
    action: "none",
    value: { unknown: [{ flags: 0xe0, code: 28, value: new Uint8Array(0) }] },
  },
  // A path encoding attribute that a route server in the middle had corrupted: whoever reset on it lost its sessions again
  // and again, because the route came back with the session.
  {
    name: "attribute 28 with flags and length of nonsense (2023 incident)",
    bytes: `${BASE} e0 1c 04 00ff00ff`,
    action: "none",
    value: { unknown: [{ flags: 0xe0, code: 28, value: Uint8Array.of(0, 0xff, 0, 0xff) }] },
  },
  {
    name: "attribute 28 that claims to be well-known",
    bytes: `${BASE} 40 1c 00`,
    action: "reset",
    subcode: 2,
  },
  {
    name: "attribute 23, tunnel encapsulation, with a TLV that reaches past its end (2023 incident)",
    bytes: `${BASE} c0 17 06 000d ffff 0000`,
    action: "none",
    value: { unknown: [{ flags: 0xc0, code: 23, value: Uint8Array.of(0, 13, 0xff, 0xff, 0, 0) }] },
  },
  { name: "attribute 23 without a value", bytes: `${BASE} c0 17 00`, action: "none" },
  {
    name: "attribute 35 that is longer than the list leaves room for",
    bytes: `${BASE} c0 23 40 0000fde9`,
    action: "withdraw",
    subcode: 5,
  },
  { name: "attribute 40 without a value", bytes: `${BASE} c0 28 00`, action: "none" },
  {
    name: "attribute 40, prefix SID, all zero (2025 incident)",
    bytes: `${BASE} c0 28 0a 00000000000000000000`,
    action: "none",
    value: { unknown: [{ flags: 0xc0, code: 40, value: new Uint8Array(10) }] },
  },

  { name: "an attribute that overruns the list", bytes: `${BASE} c0 08 20 fde90064`, action: "withdraw", subcode: 5 },
  { name: "a header cut short", bytes: `${BASE} c0 08`, action: "withdraw", subcode: 5 },
  { name: "an extended header cut short", bytes: `${BASE} d0 08 00`, action: "withdraw", subcode: 5 },
  {
    name: "an overrun with no routes in sight",
    bytes: `${ORIGIN} c0 08 20 fde90064`,
    action: "reset",
    subcode: 5,
    noNlri: true,
  },
  // RFC 7606 §5.2: a fault in a list without reachable routes may have hidden them.
  {
    name: "a fault without routes",
    bytes: `${ORIGIN} ${AS_PATH} c0 08 00`,
    action: "reset",
    subcode: 9,
    noNlri: true,
  },
  {
    name: "a fault that is discarded, without routes",
    bytes: `${ORIGIN} 40 06 01 00`,
    action: "discard",
    noNlri: true,
  },
  {
    name: "a fault beside MP_REACH_NLRI that announces nothing",
    bytes: `40 01 01 03 ${AS_PATH} 80 0e 15 0002 01 10 20010db8000000000000000000000001 00`,
    action: "reset",
    subcode: 6,
    noNlri: true,
  },
  {
    name: "a fault beside MP_REACH_NLRI that announces a route",
    bytes: `40 01 01 03 ${AS_PATH} 80 0e 1a 0002 01 10 20010db8000000000000000000000001 00 20 20010db8`,
    action: "withdraw",
    subcode: 6,
    noNlri: true,
  },
  {
    name: "a fault beside MP_UNREACH_NLRI",
    bytes: "80 0f 08 0002 01 20 20010db8 c0 08 00",
    action: "reset",
    subcode: 9,
    noNlri: true,
  },
  {
    name: "an overrun behind MP_UNREACH_NLRI",
    bytes: "80 0f 08 0002 01 20 20010db8 c0",
    action: "reset",
    subcode: 5,
    noNlri: true,
  },
  {
    name: "MP_UNREACH_NLRI alone, marked transitive",
    bytes: "c0 0f 08 0002 01 20 20010db8",
    action: "withdraw",
    subcode: 4,
    noNlri: true,
  },

  {
    name: "COMMUNITIES with the partial bit",
    bytes: `${BASE} e0 08 04 fde90064`,
    action: "none",
    value: { communities: [0xfde90064], partial: [8] },
  },
  {
    name: "a large community three times",
    bytes: `${BASE} c0 20 30 ${"0000fde9 00000001 00000002".repeat(2)} 00000001 00000001 00000001 0000fde9 00000001 00000002`,
    action: "none",
    value: {
      largeCommunities: [
        [65001, 1, 2],
        [1, 1, 1],
      ],
    },
  },

  {
    name: "AS4_PATH empty",
    bytes: `${ORIGIN} 40 02 04 02 01 fde9 ${NEXT_HOP} c0 11 00`,
    action: "discard",
    as2: true,
    value: { asPath: [{ type: 2, asns: [65001] }] },
  },
  {
    name: "AS4_PATH with AS 0",
    bytes: `${ORIGIN} 40 02 04 02 01 fde9 ${NEXT_HOP} c0 11 06 02 01 00000000`,
    action: "discard",
    as2: true,
  },
  {
    name: "AS4 attributes left over from before an aggregation by a 2-octet AS",
    bytes: `${ORIGIN} 40 02 06 02 02 fde9 5ba0 ${NEXT_HOP} c0 07 06 fde9 0a000001 c0 11 06 02 01 00010000 c0 12 08 00010000 0a000002`,
    action: "none",
    as2: true,
    value: { asPath: [{ type: 2, asns: [65001, 23456] }], aggregator: { asn: 65001, address: 0x0a000001 } },
  },
  {
    name: "AS4_AGGREGATOR without AGGREGATOR",
    bytes: `${ORIGIN} 40 02 04 02 01 fde9 ${NEXT_HOP} c0 12 08 00010000 0a000001`,
    action: "none",
    as2: true,
    value: { aggregator: null },
  },
  {
    name: "AS4_PATH from a 2-octet neighbour",
    bytes: `${ORIGIN} 40 02 06 02 02 fde9 5ba0 ${NEXT_HOP} c0 11 06 02 01 00010000`,
    action: "none",
    as2: true,
    value: { asPath: [{ type: 2, asns: [65001, 65536] }] },
  },
  {
    name: "AS4_PATH longer than AS_PATH is ignored",
    bytes: `${ORIGIN} 40 02 04 02 01 fde9 ${NEXT_HOP} c0 11 0a 02 02 00010000 00010001`,
    action: "none",
    as2: true,
    value: { asPath: [{ type: 2, asns: [65001] }] },
  },
  { name: "AS4_PATH from a 4-octet neighbour", bytes: `${BASE} c0 11 06 02 01 00010000`, action: "discard" },
  {
    name: "AS4_PATH malformed",
    bytes: `${ORIGIN} 40 02 04 02 01 fde9 ${NEXT_HOP} c0 11 05 02 01 000100`,
    action: "discard",
    as2: true,
  },
  {
    name: "AS4_AGGREGATOR behind AS_TRANS",
    bytes: `${ORIGIN} 40 02 04 02 01 fde9 ${NEXT_HOP} c0 07 06 5ba0 0a000001 c0 12 08 00010000 0a000001`,
    action: "none",
    as2: true,
    value: { aggregator: { asn: 65536, address: 0x0a000001 } },
  },

  {
    name: "MP_REACH_NLRI with a global next hop",
    bytes: `${ORIGIN} ${AS_PATH} 80 0e 1a 0002 01 10 20010db8000000000000000000000001 00 20 20010db8`,
    action: "none",
    noNlri: true,
    value: { linkLocalNextHop: null },
  },
  {
    name: "MP_REACH_NLRI with global and link-local next hops",
    bytes: `${ORIGIN} ${AS_PATH} 80 0e 2a 0002 01 20 20010db8000000000000000000000001 fe800000000000000000000000000001 00 20 20010db8`,
    action: "none",
    noNlri: true,
  },
  {
    name: "MP_REACH_NLRI beside NEXT_HOP 0.0.0.0, as some speakers send",
    bytes: `${ORIGIN} ${AS_PATH} 40 03 04 00000000 80 0e 1a 0002 01 10 20010db8000000000000000000000001 00 20 20010db8`,
    action: "none",
    noNlri: true,
    value: { nextHop: Uint8Array.from([0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]) },
  },
  {
    name: "MP_REACH_NLRI with an unspecified global and a link-local next hop",
    bytes: `${ORIGIN} ${AS_PATH} 80 0e 2a 0002 01 20 ${"00".repeat(16)} fe80${"00".repeat(13)}01 00 20 20010db8`,
    action: "none",
    noNlri: true,
    value: { nextHop: Uint8Array.from([0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]) },
  },
  {
    name: "MP_REACH_NLRI twice",
    bytes: `${ORIGIN} ${AS_PATH} ${"80 0e 15 0002 01 10 20010db8000000000000000000000001 00 ".repeat(2)}`,
    action: "reset",
    subcode: 1,
    noNlri: true,
  },
  {
    name: "MP_REACH_NLRI with a next hop of 5 bytes",
    bytes: `${ORIGIN} ${AS_PATH} 80 0e 0a 0002 01 05 2001000000 00`,
    action: "reset",
    subcode: 9,
    noNlri: true,
  },
  {
    name: "MP_REACH_NLRI with a next hop past the end",
    bytes: `${ORIGIN} ${AS_PATH} 80 0e 06 0002 01 10 2001`,
    action: "reset",
    subcode: 9,
    noNlri: true,
  },
  {
    name: "MP_REACH_NLRI with a /129",
    bytes: `${ORIGIN} ${AS_PATH} 80 0e 16 0002 01 10 20010db8000000000000000000000001 00 81`,
    action: "reset",
    subcode: 10,
    noNlri: true,
  },
  {
    name: "MP_REACH_NLRI with next hop ::",
    bytes: `${ORIGIN} ${AS_PATH} 80 0e 1a 0002 01 10 ${"00".repeat(16)} 00 20 20010db8`,
    action: "withdraw",
    noNlri: true,
  },
  {
    name: "MP_REACH_NLRI of a family we do not speak",
    bytes: `${ORIGIN} ${AS_PATH} 80 0e 09 0019 46 04 0a000001 00`,
    action: "none",
    noNlri: true,
  },
  {
    name: "IPv4 over an IPv6 next hop, not negotiated",
    bytes: `${ORIGIN} ${AS_PATH} 80 0e 17 0001 01 10 20010db8000000000000000000000001 00 08 0a`,
    action: "reset",
    subcode: 9,
    noNlri: true,
  },
  { name: "MP_UNREACH_NLRI", bytes: "80 0f 08 0002 01 20 20010db8", action: "none", noNlri: true },
  { name: "MP_UNREACH_NLRI of two bytes", bytes: "80 0f 02 0002", action: "reset", subcode: 9, noNlri: true },
];
