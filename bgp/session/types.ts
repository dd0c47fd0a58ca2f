// What a session needs to be told, and what it tells: the seam between sessions and the RIB.
import type { Family } from "../../net/address.ts";
import type { WireContext } from "../wire/context.ts";
import type { InterfaceNeighbours } from "./found-neighbour.ts";
import type { RemoteAsn } from "./remote-asn.ts";

export type { RemoteAsn } from "./remote-asn.ts";

/** RFC 4271 §8.2.2. */
export type SessionState = "Idle" | "Connect" | "Active" | "OpenSent" | "OpenConfirm" | "Established";

/** Several paths per prefix (RFC 7911). */
export interface AddPathOptions {
  readonly receive: boolean;
  /** What is sent: every eligible path, those in use, or so many best ones; null: one path per prefix, without an id. */
  readonly send: "all" | "multipath" | number | null;
  /** Paths of a prefix that are kept at most. */
  readonly limit: number;
}

/** One configured neighbour. Times in seconds. */
export interface PeerOptions {
  readonly name: string;
  /** The peer group it belongs to, for the operator; null: none. */
  readonly group: string | null;
  /** Came by itself out of a group's listen range: never connected to, gone with its session. */
  readonly dynamic: boolean;
  /** The neighbour's address, 4 or 16 bytes; null: it is found on `interface` (unnumbered). */
  readonly address: Uint8Array | null;
  /** Needed for link-local addresses: the interface the neighbour is on; the socket is bound to it. */
  readonly interface: string | null;
  /** Without an address: send router advertisements, for the neighbour to find us. Absent: yes. */
  readonly routerAdvertisements?: boolean;
  /** The AS of our OPEN. */
  readonly localAsn: number;
  /** Host-order number (RFC 6286: not 0). */
  readonly routerId: number;
  readonly remoteAsn: RemoteAsn;
  readonly port: number;
  readonly passive: boolean;
  readonly localAddress: Uint8Array | null;
  readonly holdTime: number;
  readonly connectRetry: number;
  readonly families: readonly Family[];
  readonly extendedNextHop: boolean;
  /** TCP MD5 (RFC 2385); the key's bytes. */
  readonly password: Uint8Array | null;
  /** Keys that the neighbour may still, or already, have instead of `password`. */
  readonly acceptedPasswords: readonly Uint8Array[];
  /** GTSM (RFC 5082). */
  readonly ttlSecurity: boolean;
  /** TTL for neighbours more than one hop away; null: 1 for eBGP. */
  readonly multihop: number | null;
  /** Messages of up to 65535 octets are offered (RFC 8654). */
  readonly extendedMessages: boolean;
  /** Our name, told to the neighbour; null: not told. */
  readonly hostname: string | null;
  /** Graceful restart (RFC 4724), or null: capability not sent. */
  readonly gracefulRestart: GracefulRestartOptions | null;
  /** Our BGP role, see Role in wire/registry.ts (RFC 9234); null: none. */
  readonly role: number | null;
  /** The neighbour has to say its role. */
  readonly requireRole: boolean;
  /** Absent, null: not offered. */
  readonly addPath?: AddPathOptions | null;
}

/** Times in seconds. */
export interface GracefulRestartOptions {
  /** Restart time offered: how long the neighbour waits for us. */
  readonly time: number;
  /** How long routes of a neighbour that is back wait to be announced again (RFC 4724 §4.2). */
  readonly staleTime: number;
  /** The N bit (RFC 8538): a NOTIFICATION does not end it, a hard reset does. */
  readonly notification: boolean;
  /**
   * Long-lived stale time (RFC 9494), offered for our routes, and the longest that the neighbour's are kept; null:
   * capability not sent.
   */
  readonly longLived: number | null;
  /** Long-lived stale routes go to an iBGP neighbour without the capability too, as a last resort (RFC 9494 §4.6). */
  readonly partialDeployment: boolean;
}

/** One family of the neighbour's long-lived graceful restart capability (RFC 9494 §3). */
export interface LongLivedFamily {
  readonly forwarding: boolean;
  /** Seconds. */
  readonly staleTime: number;
}

/** What the two OPENs agree on. */
export interface Negotiated extends WireContext {
  readonly localAsn: number;
  readonly remoteAsn: number;
  readonly remoteRouterId: number;
  readonly localAddress: Uint8Array;
  readonly remoteAddress: Uint8Array;
  /** Our link-local address on a directly connected IPv6 session, for MP_REACH_NLRI (RFC 2545 §3). */
  readonly localLinkLocal: Uint8Array | null;
  /** Our global IPv6 address on the session's interface when the session itself runs over IPv4, and the other way round. */
  readonly localAddress6: Uint8Array | null;
  readonly localAddress4: Uint8Array | null;
  /** Index of the interface the session runs over, 0 when unknown (multihop). */
  readonly ifindex: number;
  /** Seconds; 0: no keepalives. */
  readonly holdTime: number;
  readonly keepaliveTime: number;
  readonly routeRefresh: boolean;
  /** Answers to a refresh are marked by BoRR and EoRR (RFC 7313). */
  readonly enhancedRefresh: boolean;
  /** The neighbour's graceful restart capability, or null. */
  readonly gracefulRestart: {
    readonly restarting: boolean;
    readonly time: number;
    /** Families the neighbour keeps, with its forwarding-state bit. */
    readonly families: ReadonlyMap<Family, boolean>;
    /** Both sides have set the N bit (RFC 8538). */
    readonly notification: boolean;
    /** The neighbour has the capability of RFC 9494: it may be told long-lived stale routes. */
    readonly takesLongLived: boolean;
    /** Families with a long-lived stale time; empty unless both sides have the capability (RFC 9494). */
    readonly longLived: ReadonlyMap<Family, LongLivedFamily>;
  } | null;
}

export interface NotificationSeen {
  readonly sent: boolean;
  readonly code: number;
  readonly subcode: number;
}

export interface SessionDown {
  /** One line for the operator: who ended the session and why. */
  readonly reason: string;
  /** NOTIFICATION sent or received, if there was one. */
  readonly notification: {
    readonly sent: boolean;
    readonly code: number;
    readonly subcode: number;
    readonly data: Uint8Array;
  } | null;
  /** Ended by us: with a NOTIFICATION, or without one for our own restart. */
  readonly local: boolean;
  /** The neighbour may keep, and we keep, routes for the graceful restart time (RFC 4724 §4.2). */
  readonly graceful: boolean;
}

/** How the session came about, for those who monitor it (RFC 7854 §4.10). */
export interface Handshake {
  /** Whole OPEN messages, as they went over the wire. */
  readonly sentOpen: Uint8Array;
  readonly receivedOpen: Uint8Array;
  readonly localPort: number;
  readonly remotePort: number;
}

/** An Established session as the RIB sees it: a new object each time; after `down` it sends nothing. */
export interface EstablishedSession {
  readonly peer: PeerOptions;
  readonly negotiated: Negotiated;
  readonly handshake: Handshake;
  /**
   * Queues whole messages. Returns false when more than the high-water mark is queued: stop until
   * `SessionHandler.writable`. The bytes must not be changed afterwards.
   */
  send(messages: Uint8Array): boolean;
  /** Ends the session with a NOTIFICATION. */
  reset(code: number, subcode: number, data: Uint8Array, reason: string): void;
  /** The same, and no new one for so many seconds; null: until an operator asks for it. */
  hold(code: number, subcode: number, data: Uint8Array, reason: string, seconds: number | null): void;
}

/** Implemented by the speaker; called by sessions. Nothing thrown here may cross a socket callback. */
export interface SessionHandler {
  established(session: EstablishedSession): void;
  /** An UPDATE's body (after the 19-byte header) is buffer[start, end). A WireError thrown here resets the session. */
  update(session: EstablishedSession, buffer: Uint8Array, start: number, end: number): void;
  routeRefresh(session: EstablishedSession, family: Family): void;
  /** BoRR and EoRR (RFC 7313 §4): the neighbour begins to send a family again, and has done so. */
  refreshMarker(session: EstablishedSession, family: Family, marker: "begin" | "end"): void;
  writable(session: EstablishedSession): void;
  down(session: EstablishedSession, down: SessionDown): void;
  /** Every change of state, Established or not; for events, status and logs. */
  stateChanged(peer: PeerOptions, from: SessionState, to: SessionState, reason: string): void;
  /** A NOTIFICATION was sent or received; `text`: its name, and what the neighbour's operator says. */
  notification?(peer: PeerOptions, notification: NotificationSeen, text: string): void;
}

/** `text`: name, and what the neighbour's operator says (RFC 9003). */
export interface NotificationStatus {
  readonly code: number;
  readonly subcode: number;
  readonly text: string;
  /** Seconds since. */
  readonly age: number;
}

/** How the last Established session ended. */
export interface LastReset {
  /** Seconds since 1970. */
  readonly time: number;
  /** Seconds since. */
  readonly age: number;
  /** Seconds for which it had been Established. */
  readonly lasted: number;
  /** Who ended it; `connection`: TCP broke, or what it ran over is gone. */
  readonly by: "local" | "remote" | "connection";
  /** One line for the operator. */
  readonly reason: string;
  /** Routes were kept (RFC 4724). */
  readonly graceful: boolean;
  readonly notification: {
    readonly direction: "sent" | "received";
    readonly code: number;
    readonly subcode: number;
    readonly name: string;
    /** Of the one who sent it (RFC 9003). */
    readonly communication: string | null;
    /** The first octets of its data, in hex, and how many there were. */
    readonly data: string;
    readonly dataLength: number;
  } | null;
}

/** Something that went wrong, once or again and again. */
export interface PeerEvent {
  /** The end of an Established session, an attempt that came to nothing, or something in the routes received. */
  readonly kind: "reset" | "attempt" | "routes";
  readonly text: string;
  readonly count: number;
  /** Seconds since 1970. */
  readonly first: number;
  readonly last: number;
  /** Seconds since the last time. */
  readonly age: number;
}

/** One neighbour's status for the API. Times in milliseconds of the injected clock. */
export interface PeerStatus {
  readonly name: string;
  /** `fe80::1%eth1` for a link-local one; null: not found yet. */
  readonly address: string | null;
  readonly asn: number | null;
  readonly state: SessionState;
  /** Peer group, null: none. */
  readonly group: string | null;
  /** Came out of a listen range of its group. */
  readonly dynamic: boolean;
  readonly remoteRouterId: string | null;
  /** What the neighbour calls itself, when it says so. */
  readonly hostname: string | null;
  /** Ends of the connection, null: there is none. */
  readonly localAddress: string | null;
  readonly localPort: number | null;
  readonly remotePort: number | null;
  readonly establishedAt: number | null;
  /** Seconds since Established, null when not. */
  readonly uptime: number | null;
  readonly holdTime: number | null;
  /** Seconds; null: not known yet, or off. */
  readonly timers: {
    readonly holdTime: { readonly local: number; readonly remote: number | null; readonly negotiated: number | null };
    readonly keepalive: number | null;
    /** How long the neighbour may take no data (RFC 9687). */
    readonly sendHold: number | null;
    readonly connectRetry: number;
  };
  /** The connection is signed with `password.file`, or one of `password.accept`; null: unsigned, or no connection. */
  readonly md5: "password" | "accepted" | null;
  readonly lastError: string | null;
  readonly lastErrorAt: number | null;
  /** Null: no session has ended. */
  readonly lastReset: LastReset | null;
  /** Distinct events, the last one first. */
  readonly history: readonly PeerEvent[];
  /** The last ones. */
  readonly notifications: { readonly sent: NotificationStatus | null; readonly received: NotificationStatus | null };
  readonly establishedCount: number;
  readonly messages: {
    readonly sent: number;
    readonly received: number;
    readonly updatesSent: number;
    readonly updatesReceived: number;
  };
  readonly families: readonly Family[];
  /** Of the neighbour's OPEN. */
  readonly capabilities: readonly string[];
  /** Octets, as negotiated. */
  readonly maxMessage: number | null;
  /** Of a peer without an address: who is on its interface. */
  readonly unnumbered: InterfaceNeighbours | null;
}
