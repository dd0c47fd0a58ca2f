// Events, actions and state of the FSM (RFC 4271 §8.1); what they lead to is in fsm.ts.
import type { SessionState } from "./types.ts";

export type TimerName = "connectRetry" | "hold" | "keepalive" | "idleHold" | "sendHold";

export interface Notification {
  readonly code: number;
  readonly subcode: number;
  readonly data: Uint8Array;
}

export type FsmEvent =
  | { readonly kind: "ManualStart" }
  /** Stays down until the next ManualStart. Without a notification TCP is just closed (restart with forwarding kept). */
  | { readonly kind: "ManualStop"; readonly notification: Notification | null; readonly reason: string }
  /** Ended by us (reset, prefix limit, fault of a consumer); comes back after the idle hold. */
  | { readonly kind: "AutomaticStop"; readonly notification: Notification; readonly reason: string }
  | { readonly kind: "ConnectRetryTimerExpires" }
  | { readonly kind: "HoldTimerExpires" }
  | { readonly kind: "KeepaliveTimerExpires" }
  | { readonly kind: "IdleHoldTimerExpires" }
  | { readonly kind: "SendHoldTimerExpires" }
  /** Our own connection attempt succeeded. */
  | { readonly kind: "TcpCrAcked" }
  /** An incoming connection was accepted. */
  | { readonly kind: "TcpConnectionConfirmed" }
  | { readonly kind: "TcpConnectionFails"; readonly reason: string }
  /** An OPEN that passed every check; times in seconds as negotiated. */
  | { readonly kind: "BgpOpen"; readonly holdTime: number; readonly keepaliveTime: number }
  | {
      readonly kind: "BgpHeaderErr" | "BgpOpenMsgErr" | "UpdateMsgErr";
      readonly notification: Notification;
      readonly reason: string;
    }
  | { readonly kind: "OpenCollisionDump" }
  | {
      readonly kind: "NotifMsg" | "NotifMsgVerErr";
      readonly code: number;
      readonly subcode: number;
      readonly data: Uint8Array;
      readonly reason: string;
    }
  | { readonly kind: "KeepAliveMsg" }
  | { readonly kind: "UpdateMsg" }
  | { readonly kind: "RouteRefreshMsg" };

export type FsmAction =
  /** (Re)starts a timer; milliseconds. */
  | { readonly kind: "startTimer"; readonly timer: TimerName; readonly ms: number }
  | { readonly kind: "stopTimer"; readonly timer: TimerName }
  /** Begin a connection attempt, abandoning the one under way. */
  | { readonly kind: "connect" }
  | { readonly kind: "sendOpen" }
  | { readonly kind: "sendKeepalive" }
  | { readonly kind: "sendNotification"; readonly notification: Notification }
  /** Drop the connection, or the attempt; what is queued (a NOTIFICATION) still goes out. */
  | { readonly kind: "close" }
  | { readonly kind: "established" }
  /** A connection with an exchange of OPENs begun has ended. */
  | {
      readonly kind: "ended";
      readonly reason: string;
      readonly notification: (Notification & { readonly sent: boolean }) | null;
      /** TCP went away by itself, or was closed by us without a NOTIFICATION (RFC 4724 §4.2). */
      readonly lost: boolean;
      /** Ended by us. */
      readonly local: boolean;
      readonly wasEstablished: boolean;
    };

export interface Fsm {
  readonly state: SessionState;
  /** Comes back by itself from Idle. False before ManualStart, after ManualStop, and for a second connection. */
  readonly enabled: boolean;
  /** ConnectRetryCounter: sessions ended since the last one that lasted. */
  readonly failures: number;
  /** Connection attempts since the last OPEN received. */
  readonly attempts: number;
  /** Negotiated, seconds. */
  readonly holdTime: number;
  readonly keepaliveTime: number;
  readonly establishedAt: number | null;
}

export interface FsmConfig {
  readonly passive: boolean;
  readonly dynamic?: boolean;
  /** Longest time between connection attempts, seconds. */
  readonly connectRetry: number;
}

export interface FsmEnvironment {
  /** Milliseconds, monotonic. */
  readonly now: number;
  /** 0.75 to 1.0, drawn anew for every event (RFC 4271 §10). */
  readonly jitter: number;
  readonly config: FsmConfig;
  /**
   * Both sides agreed on graceful restart (RFC 4724): a session whose TCP is lost is expected back at once. Default:
   * false.
   */
  readonly gracefulRestart?: boolean;
}

export interface FsmResult {
  readonly fsm: Fsm;
  readonly actions: readonly FsmAction[];
  readonly reason: string;
}
