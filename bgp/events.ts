// What the speaker tells those who watch it (GET /v1/watch, `underlayctl watch`, the log).
import type { Family } from "../net/address.ts";
import type { SessionState } from "./session/types.ts";

export interface StateEvent {
  readonly type: "session";
  readonly kind: "state";
  readonly peer: string;
  readonly from: SessionState;
  readonly to: SessionState;
  readonly reason: string;
  /** Prefixes at this time, when the session is, or was, Established. */
  readonly prefixes?: { readonly received: number; readonly accepted: number; readonly advertised: number };
}

/** A NOTIFICATION went over the wire (RFC 4271 §4.5). */
export interface NotificationEvent {
  readonly type: "session";
  readonly kind: "notification";
  readonly peer: string;
  readonly direction: "sent" | "received";
  readonly code: number;
  readonly subcode: number;
  /** Name, and what the neighbour's operator says (RFC 9003). */
  readonly text: string;
}

/** End-of-RIB (RFC 4724 §2): all prefixes of a family have been told. */
export interface EndOfRibEvent {
  readonly type: "session";
  readonly kind: "endOfRib";
  readonly peer: string;
  readonly direction: "sent" | "received";
  readonly family: Family;
  readonly prefixes: number;
}

export type SessionEvent = StateEvent | NotificationEvent | EndOfRibEvent;

/** Best routes that changed since the last such event of this table and family: a sample, and how many there were. */
export interface RouteEvent {
  readonly type: "route";
  readonly table: string;
  readonly family: Family;
  readonly count: number;
  readonly changes: readonly RouteChange[];
}

export interface RouteChange {
  readonly prefix: string;
  /** Peer of the best path, `local` for a route of our own, null: withdrawn. */
  readonly peer: string | null;
  readonly nextHops: readonly string[];
}

export type SpeakerEvent = SessionEvent | RouteEvent;
