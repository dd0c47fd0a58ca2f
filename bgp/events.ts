// What the speaker tells those who watch it (GET /v1/watch, `underlayctl watch`, the log).
import type { Family } from "../net/address.ts";
import type { SessionState } from "./session/types.ts";

export interface SessionEvent {
  readonly type: "session";
  readonly peer: string;
  readonly from: SessionState;
  readonly to: SessionState;
  readonly reason: string;
}

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
