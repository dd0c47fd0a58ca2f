// How long the FSM waits for what, in milliseconds and before jitter: limits of the RFCs and exponential back-off.
import { CeaseSubcode, ErrorCode } from "../wire/registry.ts";
import type { FsmConfig } from "./fsm-types.ts";

/** How long an OPEN may take (RFC 4271 §8.2.2 suggests 4 minutes), milliseconds. */
export const OPEN_HOLD_TIME = 240_000;
/** The same for neighbours that are not configured one by one: they have few places, and lose nothing by coming again. */
const DYNAMIC_OPEN_HOLD_TIME = 30_000;
/** One attempt to connect is given up after this time, milliseconds: GTSM and a wrong MD5 key answer with silence. */
export const CONNECT_TIMEOUT = 5_000;
const FIRST_RETRY = 1_000;
export const LONGEST_IDLE_HOLD = 60_000;
/** A session that lasted this long clears the failure counter, milliseconds. */
export const STABLE_AFTER = 60_000;
/** A neighbour that restarts was there for at least so long, milliseconds; what is quicker is flapping. */
export const RESTARTS_AFTER = 1_000;
/** Up to this many failures an incoming connection may end the idle hold. */
export const PATIENT_FAILURES = 2;
/** RFC 9687 §4: the greater of 8 minutes and twice the hold time. */
export const SHORTEST_SEND_HOLD = 480_000;

export function openHoldTime({ dynamic }: FsmConfig): number {
  return dynamic ? DYNAMIC_OPEN_HOLD_TIME : OPEN_HOLD_TIME;
}

/** Milliseconds to stay Idle after that many failures in a row. */
export function idleHoldTime(failures: number): number {
  return Math.min(LONGEST_IDLE_HOLD, FIRST_RETRY * 2 ** Math.min(16, Math.max(0, failures - 1)));
}

const orderlyCease: ReadonlySet<number> = new Set([
  CeaseSubcode.ADMINISTRATIVE_SHUTDOWN,
  CeaseSubcode.PEER_DECONFIGURED,
  CeaseSubcode.ADMINISTRATIVE_RESET,
  CeaseSubcode.OTHER_CONFIGURATION_CHANGE,
]);

/** A NOTIFICATION received that says the neighbour's operator ended the session: nothing failed, it may be back soon. */
export function isOrderlyEnd({ code, subcode }: { readonly code: number; readonly subcode: number }): boolean {
  return code === ErrorCode.CEASE && orderlyCease.has(subcode);
}

/** One of two connections of the same two speakers is given up (RFC 4271 §6.8). */
export function isCollision({ code, subcode }: { readonly code: number; readonly subcode: number }): boolean {
  return code === ErrorCode.CEASE && subcode === CeaseSubcode.CONNECTION_COLLISION_RESOLUTION;
}

/** A NOTIFICATION received that says the neighbour does not take connections at present (RFC 4486). */
export function isRejection({ code, subcode }: { readonly code: number; readonly subcode: number }): boolean {
  return code === ErrorCode.CEASE && subcode === CeaseSubcode.CONNECTION_REJECTED;
}

/** Milliseconds to the next attempt after that many in a row. */
export function connectRetryTime(attempts: number, config: FsmConfig): number {
  return Math.min(config.connectRetry * 1000, FIRST_RETRY * 2 ** Math.min(16, Math.max(0, attempts - 1)));
}

/** Milliseconds the neighbour may leave us without room to send; `holdTime` in seconds. */
export function sendHoldTime(holdTime: number): number {
  return Math.max(SHORTEST_SEND_HOLD, holdTime * 2000);
}
