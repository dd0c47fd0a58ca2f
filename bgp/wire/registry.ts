// Numbers assigned by IANA and named by the RFCs, and the words that operators know for them.
import type { Family } from "../../net/address.ts";

export const MessageType = { OPEN: 1, UPDATE: 2, NOTIFICATION: 3, KEEPALIVE: 4, ROUTE_REFRESH: 5 } as const;

/** RFC 4760; RFC 7313 and others reuse the numbers. */
export const Afi = { IPV4: 1, IPV6: 2 } as const;
export const Safi = { UNICAST: 1, MULTICAST: 2 } as const;

export function afiOf(family: Family): 1 | 2 {
  return family === 4 ? Afi.IPV4 : Afi.IPV6;
}

export const CapabilityCode = {
  MULTIPROTOCOL: 1,
  ROUTE_REFRESH: 2,
  EXTENDED_NEXT_HOP: 5,
  EXTENDED_MESSAGE: 6,
  ROLE: 9,
  GRACEFUL_RESTART: 64,
  AS4: 65,
  ADD_PATH: 69,
  ENHANCED_ROUTE_REFRESH: 70,
  LONG_LIVED_GRACEFUL_RESTART: 71,
  FQDN: 73,
} as const;

/** BGP roles (RFC 9234 §4.1). */
export const Role = { PROVIDER: 0, ROUTE_SERVER: 1, ROUTE_SERVER_CLIENT: 2, CUSTOMER: 3, PEER: 4 } as const;
export const roleNames: readonly string[] = ["provider", "route-server", "route-server-client", "customer", "peer"];

/** ROUTE-REFRESH subtypes (RFC 7313 §3.2): a request, and the ends of what answers it. */
export const RefreshSubtype = { NORMAL: 0, BEGIN: 1, END: 2 } as const;

/** Well-known communities by number. */
export const WellKnownCommunity = {
  /** RFC 8326. */
  GRACEFUL_SHUTDOWN: 0xffff_0000,
  /** RFC 9494. */
  LLGR_STALE: 0xffff_0006,
  NO_LLGR: 0xffff_0007,
  /** RFC 7999. */
  BLACKHOLE: 0xffff_029a,
  /** RFC 1997. */
  NO_EXPORT: 0xffff_ff01,
  NO_ADVERTISE: 0xffff_ff02,
  NO_EXPORT_SUBCONFED: 0xffff_ff03,
} as const;

/** The words for them and for others that IANA has registered. */
export const communityNames: Readonly<Record<number, string>> = {
  [0xffff_0000]: "graceful-shutdown",
  [0xffff_0001]: "accept-own",
  [0xffff_0006]: "llgr-stale",
  [0xffff_0007]: "no-llgr",
  [0xffff_029a]: "blackhole",
  [0xffff_ff01]: "no-export",
  [0xffff_ff02]: "no-advertise",
  [0xffff_ff03]: "no-export-subconfed",
  [0xffff_ff04]: "no-peer",
};

export const AttributeCode = {
  ORIGIN: 1,
  AS_PATH: 2,
  NEXT_HOP: 3,
  MULTI_EXIT_DISC: 4,
  LOCAL_PREF: 5,
  ATOMIC_AGGREGATE: 6,
  AGGREGATOR: 7,
  COMMUNITIES: 8,
  ORIGINATOR_ID: 9,
  CLUSTER_LIST: 10,
  MP_REACH_NLRI: 14,
  MP_UNREACH_NLRI: 15,
  EXTENDED_COMMUNITIES: 16,
  AS4_PATH: 17,
  AS4_AGGREGATOR: 18,
  LARGE_COMMUNITIES: 32,
  /** Only to Customer (RFC 9234 §5). */
  OTC: 35,
} as const;

/** RFC 4271 §4.3: the high four bits of an attribute's flags octet. */
export const AttributeFlag = { OPTIONAL: 0x80, TRANSITIVE: 0x40, PARTIAL: 0x20, EXTENDED_LENGTH: 0x10 } as const;

/** AS_TRANS stands for a four-octet number in a two-octet field (RFC 6793). */
export const AS_TRANS = 23456;

/** NOTIFICATION error codes, RFC 4271 §4.5, RFC 7313, RFC 9687. */
export const ErrorCode = {
  MESSAGE_HEADER_ERROR: 1,
  OPEN_MESSAGE_ERROR: 2,
  UPDATE_MESSAGE_ERROR: 3,
  HOLD_TIMER_EXPIRED: 4,
  FSM_ERROR: 5,
  CEASE: 6,
  ROUTE_REFRESH_ERROR: 7,
  SEND_HOLD_TIMER_EXPIRED: 8,
} as const;

export const HeaderSubcode = { CONNECTION_NOT_SYNCHRONIZED: 1, BAD_MESSAGE_LENGTH: 2, BAD_MESSAGE_TYPE: 3 } as const;

export const OpenSubcode = {
  UNSPECIFIC: 0,
  UNSUPPORTED_VERSION_NUMBER: 1,
  BAD_PEER_AS: 2,
  BAD_BGP_IDENTIFIER: 3,
  UNSUPPORTED_OPTIONAL_PARAMETER: 4,
  UNACCEPTABLE_HOLD_TIME: 6,
  UNSUPPORTED_CAPABILITY: 7,
  ROLE_MISMATCH: 11,
} as const;

export const UpdateSubcode = {
  UNSPECIFIC: 0,
  MALFORMED_ATTRIBUTE_LIST: 1,
  UNRECOGNIZED_WELL_KNOWN_ATTRIBUTE: 2,
  MISSING_WELL_KNOWN_ATTRIBUTE: 3,
  ATTRIBUTE_FLAGS_ERROR: 4,
  ATTRIBUTE_LENGTH_ERROR: 5,
  INVALID_ORIGIN_ATTRIBUTE: 6,
  INVALID_NEXT_HOP_ATTRIBUTE: 8,
  OPTIONAL_ATTRIBUTE_ERROR: 9,
  INVALID_NETWORK_FIELD: 10,
  MALFORMED_AS_PATH: 11,
} as const;

/** RFC 6608. */
export const FsmSubcode = { UNSPECIFIED: 0, IN_OPEN_SENT: 1, IN_OPEN_CONFIRM: 2, IN_ESTABLISHED: 3 } as const;

/** RFC 4486, RFC 8538. */
export const CeaseSubcode = {
  MAXIMUM_NUMBER_OF_PREFIXES_REACHED: 1,
  ADMINISTRATIVE_SHUTDOWN: 2,
  PEER_DECONFIGURED: 3,
  ADMINISTRATIVE_RESET: 4,
  CONNECTION_REJECTED: 5,
  OTHER_CONFIGURATION_CHANGE: 6,
  CONNECTION_COLLISION_RESOLUTION: 7,
  OUT_OF_RESOURCES: 8,
  HARD_RESET: 9,
  BFD_DOWN: 10,
} as const;

const errorNames: Record<number, string> = {
  1: "Message Header Error",
  2: "OPEN Message Error",
  3: "UPDATE Message Error",
  4: "Hold Timer Expired",
  5: "Finite State Machine Error",
  6: "Cease",
  7: "ROUTE-REFRESH Message Error",
  8: "Send Hold Timer Expired",
};

const subcodeNames: Record<number, Record<number, string>> = {
  1: { 1: "Connection Not Synchronized", 2: "Bad Message Length", 3: "Bad Message Type" },
  2: {
    1: "Unsupported Version Number",
    2: "Bad Peer AS",
    3: "Bad BGP Identifier",
    4: "Unsupported Optional Parameter",
    6: "Unacceptable Hold Time",
    7: "Unsupported Capability",
    11: "Role Mismatch",
  },
  3: {
    1: "Malformed Attribute List",
    2: "Unrecognized Well-known Attribute",
    3: "Missing Well-known Attribute",
    4: "Attribute Flags Error",
    5: "Attribute Length Error",
    6: "Invalid ORIGIN Attribute",
    8: "Invalid NEXT_HOP Attribute",
    9: "Optional Attribute Error",
    10: "Invalid Network Field",
    11: "Malformed AS_PATH",
  },
  5: {
    1: "Unexpected Message in OpenSent State",
    2: "Unexpected Message in OpenConfirm State",
    3: "Unexpected Message in Established State",
  },
  6: {
    1: "Maximum Number of Prefixes Reached",
    2: "Administrative Shutdown",
    3: "Peer De-configured",
    4: "Administrative Reset",
    5: "Connection Rejected",
    6: "Other Configuration Change",
    7: "Connection Collision Resolution",
    8: "Out of Resources",
    9: "Hard Reset",
    10: "BFD Down",
  },
  7: { 1: "Invalid Message Length" },
};

/** `Cease/Administrative Shutdown: "maintenance"`; numbers where no name is known. */
export function describeNotification(code: number, subcode: number, data: Uint8Array): string {
  const name = errorNames[code] ?? `error ${code}`;
  const detail = subcodeNames[code]?.[subcode] ?? (subcode === 0 ? "" : `subcode ${subcode}`);
  const text = `${name}${detail ? `/${detail}` : ""}`;
  const isShutdown =
    code === ErrorCode.CEASE &&
    (subcode === CeaseSubcode.ADMINISTRATIVE_SHUTDOWN || subcode === CeaseSubcode.ADMINISTRATIVE_RESET);
  const message = isShutdown ? readShutdownCommunication(data) : null;
  // RFC 8538 §3: a hard reset wraps the code, subcode and data of what is meant.
  if (code === ErrorCode.CEASE && subcode === CeaseSubcode.HARD_RESET && data.length >= 2 && data[1] !== subcode)
    return `${text} (${describeNotification(data[0], data[1], data.subarray(2))})`;
  if (message) return `${text}: "${message}"`;
  if (code === ErrorCode.OPEN_MESSAGE_ERROR && subcode === OpenSubcode.BAD_PEER_AS && data.length === 2)
    return `${text} (${(data[0] << 8) | data[1]})`;
  return text;
}

/** The text of a shutdown communication (RFC 9003), with nothing that could confuse a terminal; null when there is none. */
export function readShutdownCommunication(data: Uint8Array): string | null {
  if (data.length === 0) return null;
  const length = Math.min(data[0], data.length - 1);
  if (length === 0) return null;
  const text = new TextDecoder("utf-8", { fatal: false }).decode(data.subarray(1, 1 + length));
  return text.replace(/[\p{Cc}\p{Bidi_Control}\u2028\u2029]/gu, "\ufffd");
}
