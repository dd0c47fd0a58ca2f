// The BGP finite state machine of one connection (RFC 4271 §8): a pure, total function from (state, event) to the next
// state and a list of actions. Sockets, timers, messages and the clock belong to session.ts, which executes the actions.
//
// In:  events of RFC 4271 §8.1 under their RFC names. Out: the next Fsm, actions in order, one line saying why.
// Also: FSM error subcodes (RFC 6608), the send hold timer (RFC 9687), ROUTE-REFRESH (RFC 2918).
//
// Deviations from RFC 4271, all on purpose:
// - DelayOpen (events 12 and 20) is left out; an OPEN is sent as soon as TCP is up.
// - Events 1 and 3-7 are one ManualStart (passive is configuration) and the IdleHoldTimer, which always damps: after an
//   error the machine stays Idle for 1 s, 2 s, 4 s ... 60 s. ConnectRetryCounter is `failures` and is forgotten after a
//   session that lasted a minute. While the hold is still short, an incoming connection ends it: a neighbour that
//   merely restarted is not kept waiting. A session that the neighbour's operator ended (Cease/2, 3, 4, 6) keeps it
//   short, and so does one whose TCP was lost when both agreed on graceful restart: its stale routes must not expire
//   because we damp. A connection that goes because of a collision (§6.8) does not count.
// - A failed connection attempt leads from Connect to Active with a ConnectRetryTimer of 1 s, 2 s, 4 s ... up to the
//   configured time, not to Idle: we go on listening. So does a connection that is refused with Cease/5 before an OPEN: a
//   neighbour that damps us will call when it is done, and two that damp each other must not find each other Idle for ever.
// - A NOTIFICATION is never answered with one, in no state; event 24 is treated as event 25.
// - Timers that fire in a state that does not use them are ignored instead of ending the session.
import { CeaseSubcode, ErrorCode, FsmSubcode } from "../wire/registry.ts";
import {
  CONNECT_TIMEOUT,
  connectRetryTime,
  idleHoldTime,
  isCollision,
  isOrderlyEnd,
  isRejection,
  openHoldTime,
  PATIENT_FAILURES,
  RESTARTS_AFTER,
  STABLE_AFTER,
  sendHoldTime,
} from "./fsm-times.ts";
import type { Fsm, FsmAction, FsmEnvironment, FsmEvent, FsmResult } from "./fsm-types.ts";
import { unwrapped } from "./graceful-restart.ts";
import type { SessionState } from "./types.ts";

type Ended = Extract<FsmAction, { kind: "ended" }>;

const noData = new Uint8Array(0);

export const initialFsm: Fsm = {
  state: "Idle",
  enabled: false,
  failures: 0,
  attempts: 0,
  holdTime: 0,
  keepaliveTime: 0,
  establishedAt: null,
};

/** The machine of an incoming connection beside one that exists already; its Idle is final. */
export const secondFsm: Fsm = { ...initialFsm, state: "Active" };

/** A second connection takes the place of the first, and inherits its history. */
export function promote(second: Fsm, first: Fsm): Fsm {
  return { ...second, enabled: first.enabled, failures: first.failures };
}

const stay = (fsm: Fsm): FsmResult => ({ fsm, actions: [], reason: "" });

const hasSession = (state: SessionState) => state === "OpenSent" || state === "OpenConfirm" || state === "Established";

/** RFC 4271 §8.2.2. Total: every event has an answer in every state, and nothing throws. */
export function step(fsm: Fsm, event: FsmEvent, environment: FsmEnvironment): FsmResult {
  if (event.kind === "ManualStop") return manualStop(fsm, event, environment);
  switch (fsm.state) {
    case "Idle":
      return idle(fsm, event, environment);
    case "Connect":
    case "Active":
      return connecting(fsm, event, environment);
    case "OpenSent":
      return openSent(fsm, event, environment);
    case "OpenConfirm":
      return openConfirm(fsm, event, environment);
    case "Established":
      return established(fsm, event, environment);
  }
}

function manualStop(
  fsm: Fsm,
  event: Extract<FsmEvent, { kind: "ManualStop" }>,
  environment: FsmEnvironment,
): FsmResult {
  const off: Fsm = { ...fsm, enabled: false };
  if (hasSession(fsm.state))
    return end(off, environment, event.reason, event.notification && { ...event.notification, sent: true }, {
      lost: event.notification === null,
      local: true,
    });
  const idleFsm: Fsm = { ...off, state: "Idle", failures: 0, attempts: 0, establishedAt: null };
  return {
    fsm: idleFsm,
    actions: [
      { kind: "stopTimer", timer: "idleHold" },
      { kind: "stopTimer", timer: "connectRetry" },
      { kind: "close" },
    ],
    reason: event.reason,
  };
}

function idle(fsm: Fsm, event: FsmEvent, environment: FsmEnvironment): FsmResult {
  switch (event.kind) {
    case "ManualStart":
      return startConnecting({ ...fsm, enabled: true, failures: 0, attempts: 0 }, environment, "started");
    case "IdleHoldTimerExpires":
      return fsm.enabled ? startConnecting(fsm, environment, "idle hold time over") : stay(fsm);
    case "TcpConnectionConfirmed":
      // Refused with a plain close otherwise: the neighbour's session kept failing and is being damped.
      if (fsm.enabled && fsm.failures <= PATIENT_FAILURES) return sendOpen(fsm, environment, "incoming connection");
      return { fsm, actions: [{ kind: "close" }], reason: "" };
    case "TcpCrAcked":
      return { fsm, actions: [{ kind: "close" }], reason: "" };
    default:
      return stay(fsm);
  }
}

function startConnecting(fsm: Fsm, environment: FsmEnvironment, reason: string): FsmResult {
  if (environment.config.passive)
    return {
      fsm: { ...fsm, state: "Active" },
      actions: [{ kind: "stopTimer", timer: "idleHold" }],
      reason: `${reason}, waiting for the neighbour`,
    };
  return {
    fsm: { ...fsm, state: "Connect", attempts: fsm.attempts + 1 },
    actions: [
      { kind: "stopTimer", timer: "idleHold" },
      { kind: "startTimer", timer: "connectRetry", ms: CONNECT_TIMEOUT * environment.jitter },
      { kind: "connect" },
    ],
    reason,
  };
}

/** Connect (an attempt is under way) and Active (waiting for the neighbour, or for the next attempt). */
function connecting(fsm: Fsm, event: FsmEvent, environment: FsmEnvironment): FsmResult {
  switch (event.kind) {
    case "ManualStart":
    case "IdleHoldTimerExpires":
    case "HoldTimerExpires":
    case "KeepaliveTimerExpires":
    case "SendHoldTimerExpires":
      return stay(fsm);
    case "ConnectRetryTimerExpires":
      if (environment.config.passive || !fsm.enabled) return stay(fsm);
      return startConnecting(
        fsm,
        environment,
        fsm.state === "Connect" ? "no answer to our connection attempt" : "retry",
      );
    case "TcpCrAcked":
      return sendOpen(fsm, environment, "connected");
    case "TcpConnectionConfirmed":
      return sendOpen(fsm, environment, "incoming connection");
    case "TcpConnectionFails":
      return waitActive(fsm, environment, event.reason);
    default: {
      const reason = "reason" in event ? event.reason : `${event.kind} without a connection`;
      return toIdle(fsm, environment, reason, [{ kind: "close" }], "failure");
    }
  }
}

/** To Active until the next attempt; a second connection has nothing to wait for. */
function waitActive(fsm: Fsm, environment: FsmEnvironment, reason: string): FsmResult {
  if (!fsm.enabled) return { fsm: { ...fsm, state: "Idle" }, actions: [{ kind: "close" }], reason };
  const actions: FsmAction[] = [{ kind: "close" }];
  if (!environment.config.passive) {
    const ms = connectRetryTime(fsm.attempts, environment.config) * environment.jitter;
    actions.push({ kind: "startTimer", timer: "connectRetry", ms });
  }
  return { fsm: { ...fsm, state: "Active" }, actions, reason };
}

function sendOpen(fsm: Fsm, environment: FsmEnvironment, reason: string): FsmResult {
  return {
    fsm: { ...fsm, state: "OpenSent" },
    actions: [
      { kind: "stopTimer", timer: "idleHold" },
      { kind: "stopTimer", timer: "connectRetry" },
      { kind: "sendOpen" },
      { kind: "startTimer", timer: "hold", ms: openHoldTime(environment.config) },
    ],
    reason,
  };
}

function openSent(fsm: Fsm, event: FsmEvent, environment: FsmEnvironment): FsmResult {
  switch (event.kind) {
    case "BgpOpen": {
      const actions: FsmAction[] = [{ kind: "sendKeepalive" }];
      if (event.holdTime === 0) actions.push({ kind: "stopTimer", timer: "hold" });
      else
        actions.push(
          { kind: "startTimer", timer: "keepalive", ms: event.keepaliveTime * 1000 * environment.jitter },
          { kind: "startTimer", timer: "hold", ms: event.holdTime * 1000 },
        );
      return {
        fsm: {
          ...fsm,
          state: "OpenConfirm",
          attempts: 0,
          holdTime: event.holdTime,
          keepaliveTime: event.keepaliveTime,
        },
        actions,
        reason: "OPEN received",
      };
    }
    case "TcpConnectionFails": {
      const reason = `connection closed before an OPEN arrived: ${event.reason}`;
      return notTaken(fsm, environment, reason, null);
    }
    case "NotifMsg": {
      const { code, subcode, data, reason } = event;
      if (!isRejection(event)) return common(fsm, event, environment);
      return notTaken(fsm, environment, reason, { sent: false, code, subcode, data });
    }
    case "HoldTimerExpires":
      return holdExpired(fsm, environment, openHoldTime(environment.config) / 1000, "an OPEN");
    case "KeepaliveTimerExpires":
      return stay(fsm);
    case "KeepAliveMsg":
    case "UpdateMsg":
    case "RouteRefreshMsg":
      return fsmError(fsm, event, environment, FsmSubcode.IN_OPEN_SENT);
    default:
      return common(fsm, event, environment);
  }
}

/** OpenSent, and the neighbour does not want the connection: it counts as one that could not be made. */
function notTaken(
  fsm: Fsm,
  environment: FsmEnvironment,
  reason: string,
  notification: Ended["notification"],
): FsmResult {
  const waiting = waitActive(fsm, environment, reason);
  return {
    ...waiting,
    actions: [
      { kind: "stopTimer", timer: "hold" },
      ...waiting.actions,
      { kind: "ended", reason, notification, lost: notification === null, local: false, wasEstablished: false },
    ],
  };
}

function openConfirm(fsm: Fsm, event: FsmEvent, environment: FsmEnvironment): FsmResult {
  switch (event.kind) {
    case "KeepAliveMsg":
      return {
        fsm: { ...fsm, state: "Established", establishedAt: environment.now },
        actions: [
          ...restartHold(fsm),
          ...(fsm.holdTime > 0
            ? [{ kind: "startTimer", timer: "sendHold", ms: sendHoldTime(fsm.holdTime) } as const]
            : []),
          { kind: "established" },
        ],
        reason: "KEEPALIVE received",
      };
    case "HoldTimerExpires":
      return holdExpired(fsm, environment, fsm.holdTime, "a KEEPALIVE");
    case "KeepaliveTimerExpires":
      return keepalive(fsm, environment);
    case "TcpConnectionFails":
      return end(fsm, environment, event.reason, null, { lost: true });
    case "BgpOpen":
    case "UpdateMsg":
    case "RouteRefreshMsg":
      return fsmError(fsm, event, environment, FsmSubcode.IN_OPEN_CONFIRM);
    default:
      return common(fsm, event, environment);
  }
}

function established(fsm: Fsm, event: FsmEvent, environment: FsmEnvironment): FsmResult {
  switch (event.kind) {
    case "KeepAliveMsg":
    case "UpdateMsg":
    case "RouteRefreshMsg":
      return { fsm, actions: restartHold(fsm), reason: "" };
    case "HoldTimerExpires":
      return holdExpired(fsm, environment, fsm.holdTime, "a message");
    case "KeepaliveTimerExpires":
      return keepalive(fsm, environment);
    case "SendHoldTimerExpires": {
      const seconds = sendHoldTime(fsm.holdTime) / 1000;
      const reason = `send hold timer expired (the neighbour has taken no data for ${seconds} s)`;
      return end(fsm, environment, reason, {
        sent: true,
        code: ErrorCode.SEND_HOLD_TIMER_EXPIRED,
        subcode: 0,
        data: noData,
      });
    }
    case "TcpConnectionFails":
      return end(fsm, environment, event.reason, null, { lost: true });
    case "BgpOpen":
      return fsmError(fsm, event, environment, FsmSubcode.IN_ESTABLISHED);
    default:
      return common(fsm, event, environment);
  }
}

/** What OpenSent, OpenConfirm and Established have in common. */
function common(fsm: Fsm, event: FsmEvent, environment: FsmEnvironment): FsmResult {
  switch (event.kind) {
    case "AutomaticStop":
    case "BgpHeaderErr":
    case "BgpOpenMsgErr":
    case "UpdateMsgErr":
      return end(fsm, environment, event.reason, { ...event.notification, sent: true });
    case "OpenCollisionDump":
      return end(fsm, environment, "connection collision: the other connection is kept", {
        sent: true,
        code: ErrorCode.CEASE,
        subcode: CeaseSubcode.CONNECTION_COLLISION_RESOLUTION,
        data: noData,
      });
    case "NotifMsg":
    case "NotifMsgVerErr": {
      const { code, subcode, data } = event;
      return end(fsm, environment, event.reason, { sent: false, code, subcode, data });
    }
    default:
      return stay(fsm);
  }
}

const restartHold = (fsm: Fsm): FsmAction[] =>
  fsm.holdTime > 0 ? [{ kind: "startTimer", timer: "hold", ms: fsm.holdTime * 1000 }] : [];

function keepalive(fsm: Fsm, environment: FsmEnvironment): FsmResult {
  if (fsm.holdTime === 0) return stay(fsm);
  const ms = fsm.keepaliveTime * 1000 * environment.jitter;
  return { fsm, actions: [{ kind: "sendKeepalive" }, { kind: "startTimer", timer: "keepalive", ms }], reason: "" };
}

function holdExpired(fsm: Fsm, environment: FsmEnvironment, seconds: number, missing: string): FsmResult {
  const reason = `hold timer expired (${seconds} s without ${missing})`;
  return end(fsm, environment, reason, { sent: true, code: ErrorCode.HOLD_TIMER_EXPIRED, subcode: 0, data: noData });
}

const messageNames: { readonly [kind in FsmEvent["kind"]]?: string } = {
  BgpOpen: "OPEN",
  KeepAliveMsg: "KEEPALIVE",
  UpdateMsg: "UPDATE",
  RouteRefreshMsg: "ROUTE-REFRESH",
};

function fsmError(fsm: Fsm, event: FsmEvent, environment: FsmEnvironment, subcode: number): FsmResult {
  const reason = `unexpected ${messageNames[event.kind] ?? event.kind} in state ${fsm.state}`;
  return end(fsm, environment, reason, { sent: true, code: ErrorCode.FSM_ERROR, subcode, data: noData });
}

/** The end of a connection in OpenSent or later: NOTIFICATION if there is one to send, close, Idle. */
function end(
  fsm: Fsm,
  environment: FsmEnvironment,
  reason: string,
  notification: Ended["notification"],
  options: { lost?: boolean; local?: boolean } = {},
): FsmResult {
  const actions: FsmAction[] = [];
  if (notification?.sent) actions.push({ kind: "sendNotification", notification });
  actions.push(
    { kind: "close" },
    { kind: "stopTimer", timer: "hold" },
    { kind: "stopTimer", timer: "keepalive" },
    { kind: "stopTimer", timer: "sendHold" },
    {
      kind: "ended",
      reason,
      notification,
      lost: options.lost ?? false,
      local: options.local ?? notification?.sent ?? false,
      wasEstablished: fsm.state === "Established",
    },
  );
  return toIdle(fsm, environment, reason, actions, countsAs(fsm, environment, notification, options.lost ?? false));
}

/** What the end of a connection is for the damping: of two that collide one has to go, and nothing has failed. */
type Count = "failure" | "orderly" | "collision";

function countsAs(
  { state, establishedAt }: Fsm,
  { now, gracefulRestart }: FsmEnvironment,
  notification: Ended["notification"],
  lost: boolean,
): Count {
  if (state !== "Established") return notification && isCollision(notification) ? "collision" : "failure";
  if (notification) return !notification.sent && isOrderlyEnd(unwrapped(notification)) ? "orderly" : "failure";
  return lost && gracefulRestart && now - (establishedAt ?? now) >= RESTARTS_AFTER ? "orderly" : "failure";
}

/** Idle, with the idle hold timer running unless the machine was stopped. After an orderly end it stays short. */
function toIdle(fsm: Fsm, environment: FsmEnvironment, reason: string, actions: FsmAction[], count: Count): FsmResult {
  const lasted = fsm.establishedAt !== null && environment.now - fsm.establishedAt >= STABLE_AFTER;
  const grown = (lasted ? 0 : fsm.failures) + (count === "collision" ? 0 : 1);
  const failures = count === "orderly" ? Math.min(grown, PATIENT_FAILURES) : grown;
  actions.push({ kind: "stopTimer", timer: "connectRetry" });
  if (fsm.enabled)
    actions.push({ kind: "startTimer", timer: "idleHold", ms: idleHoldTime(failures) * environment.jitter });
  return {
    fsm: {
      ...fsm,
      state: "Idle",
      failures: Math.min(failures, 1000),
      attempts: 0,
      holdTime: 0,
      keepaliveTime: 0,
      establishedAt: null,
    },
    actions,
    reason,
  };
}
