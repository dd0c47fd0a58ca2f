// RFC 4271 §8.2.2 as a table: every state times every event, next state and the messages that go out.
import { describe, expect, it } from "vitest";
import { initialFsm, promote, secondFsm, step } from "../../../../bgp/session/fsm.ts";
import { idleHoldTime, OPEN_HOLD_TIME, SHORTEST_SEND_HOLD, sendHoldTime } from "../../../../bgp/session/fsm-times.ts";
import type { Fsm, FsmEvent } from "../../../../bgp/session/fsm-types.ts";
import type { SessionState } from "../../../../bgp/session/types.ts";

const data = new Uint8Array(0);
const events: Readonly<Record<string, FsmEvent>> = {
  start: { kind: "ManualStart" },
  stop: { kind: "ManualStop", notification: { code: 6, subcode: 2, data }, reason: "stopped" },
  leave: { kind: "ManualStop", notification: null, reason: "restarting" },
  reset: { kind: "AutomaticStop", notification: { code: 6, subcode: 4, data }, reason: "reset" },
  retry: { kind: "ConnectRetryTimerExpires" },
  hold: { kind: "HoldTimerExpires" },
  keepaliveTimer: { kind: "KeepaliveTimerExpires" },
  idleHold: { kind: "IdleHoldTimerExpires" },
  sendHold: { kind: "SendHoldTimerExpires" },
  acked: { kind: "TcpCrAcked" },
  confirmed: { kind: "TcpConnectionConfirmed" },
  fails: { kind: "TcpConnectionFails", reason: "gone" },
  open: { kind: "BgpOpen", holdTime: 9, keepaliveTime: 3 },
  headerErr: { kind: "BgpHeaderErr", notification: { code: 1, subcode: 1, data }, reason: "marker" },
  openErr: { kind: "BgpOpenMsgErr", notification: { code: 2, subcode: 2, data }, reason: "AS" },
  collision: { kind: "OpenCollisionDump" },
  rejection: { kind: "NotifMsg", code: 6, subcode: 5, data, reason: "connection rejected" },
  versionErr: { kind: "NotifMsgVerErr", code: 2, subcode: 1, data, reason: "version" },
  notification: { kind: "NotifMsg", code: 6, subcode: 4, data, reason: "cease" },
  keepalive: { kind: "KeepAliveMsg" },
  update: { kind: "UpdateMsg" },
  refresh: { kind: "RouteRefreshMsg" },
  updateErr: { kind: "UpdateMsgErr", notification: { code: 3, subcode: 1, data }, reason: "attributes" },
};

const base: Fsm = { ...initialFsm, enabled: true, holdTime: 9, keepaliveTime: 3 };
const environment = { now: 10_000, jitter: 1, config: { passive: false, connectRetry: 30 } };

/** `State`, then what is done: OPEN, KA, N<code>/<subcode>, connect, up, down; close is left out unless alone. */
const table: Readonly<Record<SessionState, Readonly<Record<keyof typeof events, string>>>> = {
  Idle: {
    start: "Connect connect",
    stop: "Idle close",
    leave: "Idle close",
    reset: "Idle",
    retry: "Idle",
    hold: "Idle",
    keepaliveTimer: "Idle",
    idleHold: "Connect connect",
    sendHold: "Idle",
    acked: "Idle close",
    confirmed: "OpenSent OPEN",
    fails: "Idle",
    open: "Idle",
    headerErr: "Idle",
    openErr: "Idle",
    collision: "Idle",
    rejection: "Idle",
    versionErr: "Idle",
    notification: "Idle",
    keepalive: "Idle",
    update: "Idle",
    refresh: "Idle",
    updateErr: "Idle",
  },
  Connect: {
    start: "Connect",
    stop: "Idle close",
    leave: "Idle close",
    reset: "Idle close",
    retry: "Connect connect",
    hold: "Connect",
    keepaliveTimer: "Connect",
    idleHold: "Connect",
    sendHold: "Connect",
    acked: "OpenSent OPEN",
    confirmed: "OpenSent OPEN",
    fails: "Active close",
    open: "Idle close",
    headerErr: "Idle close",
    openErr: "Idle close",
    collision: "Idle close",
    rejection: "Idle close",
    versionErr: "Idle close",
    notification: "Idle close",
    keepalive: "Idle close",
    update: "Idle close",
    refresh: "Idle close",
    updateErr: "Idle close",
  },
  Active: {
    start: "Active",
    stop: "Idle close",
    leave: "Idle close",
    reset: "Idle close",
    retry: "Connect connect",
    hold: "Active",
    keepaliveTimer: "Active",
    idleHold: "Active",
    sendHold: "Active",
    acked: "OpenSent OPEN",
    confirmed: "OpenSent OPEN",
    fails: "Active close",
    open: "Idle close",
    headerErr: "Idle close",
    openErr: "Idle close",
    collision: "Idle close",
    rejection: "Idle close",
    versionErr: "Idle close",
    notification: "Idle close",
    keepalive: "Idle close",
    update: "Idle close",
    refresh: "Idle close",
    updateErr: "Idle close",
  },
  OpenSent: {
    start: "OpenSent",
    stop: "Idle N6/2 close ended",
    leave: "Idle close ended",
    reset: "Idle N6/4 close ended",
    retry: "OpenSent",
    hold: "Idle N4/0 close ended",
    keepaliveTimer: "OpenSent",
    idleHold: "OpenSent",
    sendHold: "OpenSent",
    acked: "OpenSent",
    confirmed: "OpenSent",
    fails: "Active close ended",
    open: "OpenConfirm KA",
    headerErr: "Idle N1/1 close ended",
    openErr: "Idle N2/2 close ended",
    collision: "Idle N6/7 close ended",
    rejection: "Active close ended",
    versionErr: "Idle close ended",
    notification: "Idle close ended",
    keepalive: "Idle N5/1 close ended",
    update: "Idle N5/1 close ended",
    refresh: "Idle N5/1 close ended",
    updateErr: "Idle N3/1 close ended",
  },
  OpenConfirm: {
    start: "OpenConfirm",
    stop: "Idle N6/2 close ended",
    leave: "Idle close ended",
    reset: "Idle N6/4 close ended",
    retry: "OpenConfirm",
    hold: "Idle N4/0 close ended",
    keepaliveTimer: "OpenConfirm KA",
    idleHold: "OpenConfirm",
    sendHold: "OpenConfirm",
    acked: "OpenConfirm",
    confirmed: "OpenConfirm",
    fails: "Idle close ended",
    open: "Idle N5/2 close ended",
    headerErr: "Idle N1/1 close ended",
    openErr: "Idle N2/2 close ended",
    collision: "Idle N6/7 close ended",
    rejection: "Idle close ended",
    versionErr: "Idle close ended",
    notification: "Idle close ended",
    keepalive: "Established up",
    update: "Idle N5/2 close ended",
    refresh: "Idle N5/2 close ended",
    updateErr: "Idle N3/1 close ended",
  },
  Established: {
    start: "Established",
    stop: "Idle N6/2 close down",
    leave: "Idle close down",
    reset: "Idle N6/4 close down",
    retry: "Established",
    hold: "Idle N4/0 close down",
    keepaliveTimer: "Established KA",
    idleHold: "Established",
    sendHold: "Idle N8/0 close down",
    acked: "Established",
    confirmed: "Established",
    fails: "Idle close down",
    open: "Idle N5/3 close down",
    headerErr: "Idle N1/1 close down",
    openErr: "Idle N2/2 close down",
    collision: "Idle N6/7 close down",
    rejection: "Idle close down",
    versionErr: "Idle close down",
    notification: "Idle close down",
    keepalive: "Established",
    update: "Established",
    refresh: "Established",
    updateErr: "Idle N3/1 close down",
  },
};

function run(fsm: Fsm, event: FsmEvent, jitter = 1, passive = false): string {
  const result = step(fsm, event, { ...environment, jitter, config: { passive, connectRetry: 30 } });
  const words: string[] = [result.fsm.state];
  for (const action of result.actions) {
    if (action.kind === "sendOpen") words.push("OPEN");
    else if (action.kind === "sendKeepalive") words.push("KA");
    else if (action.kind === "sendNotification")
      words.push(`N${action.notification.code}/${action.notification.subcode}`);
    else if (action.kind === "established") words.push("up");
    else if (action.kind === "ended") words.push(action.wasEstablished ? "down" : "ended");
    else if (action.kind === "connect" || action.kind === "close") words.push(action.kind);
  }
  return words.join(" ");
}

const timers = (fsm: Fsm, event: FsmEvent, jitter = 1, passive = false) =>
  Object.fromEntries(
    step(fsm, event, { ...environment, jitter, config: { passive, connectRetry: 30 } }).actions.flatMap((action) =>
      action.kind === "startTimer" ? [[action.timer, action.ms]] : [],
    ),
  );

describe("FSM, every state and event", () => {
  for (const [state, row] of Object.entries(table) as [SessionState, Record<string, string>][])
    it(state, () => {
      const got = Object.fromEntries(
        Object.entries(events).map(([name, event]) => [name, run({ ...base, state }, event)]),
      );
      expect(got).toEqual(row);
    });
});

describe("FSM timers", () => {
  it.each([
    ["OPEN may take four minutes", "Connect", "acked", 1, { hold: OPEN_HOLD_TIME }],
    [
      "negotiated times apply, the hold timer without jitter",
      "OpenSent",
      "open",
      0.75,
      { keepalive: 2250, hold: 9000 },
    ],
    ["up: hold and send hold", "OpenConfirm", "keepalive", 1, { hold: 9000, sendHold: SHORTEST_SEND_HOLD }],
    ["UPDATE restarts hold", "Established", "update", 1, { hold: 9000 }],
    ["keepalive is jittered", "Established", "keepaliveTimer", 0.8, { keepalive: 2400 }],
    ["an error damps", "Established", "headerErr", 0.75, { idleHold: 750 }],
    ["a refused connection is retried soon", "Connect", "fails", 1, { connectRetry: 1000 }],
  ] as const)("%s", (_, state, event, jitter, expected) => {
    expect(timers({ ...base, state }, events[event], jitter)).toEqual(expected);
  });

  it("runs neither hold nor keepalive timers with hold time 0", () => {
    const open = { kind: "BgpOpen", holdTime: 0, keepaliveTime: 0 } as const;
    const { fsm } = step({ ...base, state: "OpenSent" }, open, environment);
    expect(timers({ ...base, state: "OpenSent" }, open)).toEqual({});
    expect(timers(fsm, events.keepalive)).toEqual({});
  });

  it("backs off 1, 2, 4 ... 60 s while sessions fail, and starts over after one that lasted", () => {
    const delays: number[] = [];
    let fsm: Fsm = { ...base, state: "OpenSent" };
    for (let i = 0; i < 9; i++) {
      delays.push(timers({ ...fsm, state: "OpenSent" }, events.openErr)["idleHold"]);
      fsm = step({ ...fsm, state: "OpenSent" }, events.openErr, environment).fsm;
    }
    expect(delays).toEqual([1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000, 60000]);
    const lasting: Fsm = { ...fsm, state: "Established", establishedAt: environment.now - 60_000 };
    expect(timers(lasting, events.fails)["idleHold"]).toBe(1000);
    const flapping: Fsm = { ...fsm, state: "Established", establishedAt: environment.now - 59_000 };
    expect(timers(flapping, events.fails)["idleHold"]).toBe(60000);
    expect(idleHoldTime(Number.MAX_SAFE_INTEGER)).toBe(60000);
  });

  it("keeps the hold short while the neighbour's operator ends sessions (Cease/2), so that it is let in at once", () => {
    const cease = (subcode: number): FsmEvent => ({ kind: "NotifMsg", code: 6, subcode, data, reason: "Cease" });
    let fsm: Fsm = { ...base, state: "Established", establishedAt: environment.now };
    for (let i = 0; i < 9; i++) fsm = { ...step(fsm, cease(2), environment).fsm, state: "Established" };
    expect(timers(fsm, cease(2))["idleHold"]).toBe(2000);
    expect(run({ ...fsm, state: "Idle" }, events.confirmed)).toBe("OpenSent OPEN");
    expect(timers({ ...fsm, failures: 5 }, cease(8))["idleHold"]).toBe(32000);
  });

  it("keeps the hold short for a neighbour that restarts gracefully again and again, but not for one that flaps", () => {
    const failures = (lasted: number, gracefulRestart: boolean) => {
      let fsm: Fsm = base;
      for (let i = 0; i < 9; i++) {
        const up: Fsm = { ...fsm, state: "Established", establishedAt: environment.now - lasted };
        fsm = step(up, events.fails, { ...environment, gracefulRestart }).fsm;
      }
      return fsm.failures;
    };
    expect([failures(1_000, true), failures(999, true), failures(1_000, false)]).toEqual([2, 9, 9]);
  });

  it("takes a refused connection (Cease/5) for an attempt that failed, and a collision for no failure", () => {
    const attempt: Fsm = { ...base, state: "OpenSent", failures: 3, attempts: 3 };
    expect(step(attempt, events.rejection, environment).fsm).toMatchObject({ state: "Active", failures: 3 });
    expect(timers(attempt, events.rejection)).toEqual({ connectRetry: 4000 });
    const collision: FsmEvent = { kind: "NotifMsg", code: 6, subcode: 7, data, reason: "collision" };
    for (const event of [events.collision, collision])
      expect(step(attempt, event, environment).fsm).toMatchObject({ state: "Idle", failures: 3 });
    const established: Fsm = { ...attempt, state: "Established", establishedAt: environment.now };
    expect(step(established, collision, environment).fsm.failures).toBe(4);
  });

  it("backs off connection attempts up to the configured time", () => {
    let fsm: Fsm = { ...base, state: "Connect", attempts: 1 };
    const delays: number[] = [];
    for (let i = 0; i < 7; i++) {
      delays.push(timers(fsm, events.fails)["connectRetry"]);
      fsm = step(step(fsm, events.fails, environment).fsm, events.retry, environment).fsm;
    }
    expect(delays).toEqual([1000, 2000, 4000, 8000, 16000, 30000, 30000]);
  });

  it("waits 2x the hold time for a closed window when that is more than 8 minutes", () => {
    expect(sendHoldTime(90)).toBe(480_000);
    expect(sendHoldTime(300)).toBe(600_000);
  });
});

describe("FSM, passive, stopped and second", () => {
  it("a passive peer never connects", () => {
    expect(run({ ...base, state: "Idle" }, events.start, 1, true)).toBe("Active");
    expect(run({ ...base, state: "Active" }, events.retry, 1, true)).toBe("Active");
    expect(timers({ ...base, state: "OpenSent" }, events.fails, 1, true)).toEqual({});
  });

  it("a damped peer refuses connections, a stopped one too", () => {
    expect(run({ ...base, state: "Idle", failures: 2 }, events.confirmed)).toBe("OpenSent OPEN");
    expect(run({ ...base, state: "Idle", failures: 3 }, events.confirmed)).toBe("Idle close");
    expect(run({ ...base, state: "Idle", enabled: false }, events.confirmed)).toBe("Idle close");
    expect(run({ ...base, state: "Idle", enabled: false }, events.idleHold)).toBe("Idle");
  });

  it("a stop starts no timer", () => {
    for (const state of Object.keys(table) as SessionState[])
      for (const name of ["stop", "leave"]) expect(timers({ ...base, state }, events[name])).toEqual({});
  });

  it("a second connection ends for good, unless promoted", () => {
    const second = step(secondFsm, events.confirmed, environment).fsm;
    expect(second.state).toBe("OpenSent");
    expect(timers(second, events.fails)).toEqual({});
    expect(run(second, events.fails)).toBe("Idle close ended");
    const first = promote(second, { ...base, failures: 3 });
    expect(first).toMatchObject({ enabled: true, failures: 3, state: "OpenSent" });
    expect(timers(first, events.openErr)).toEqual({ idleHold: 8000 });
  });

  it.each([
    ["fails", true],
    ["leave", true],
    ["hold", false],
    ["notification", false],
    ["reset", false],
  ] as const)("the loss of TCP alone is a loss: %s", (event, lost) => {
    const { actions } = step({ ...base, state: "Established" }, events[event], environment);
    expect(actions.find((action) => action.kind === "ended")).toMatchObject({ lost });
  });
});
