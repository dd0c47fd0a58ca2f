// Whatever happens in whatever order: the machine answers, its timers are bounded, and one neighbour is never up twice.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { resolveCollision } from "../../../../bgp/session/collision.ts";
import { initialFsm, secondFsm, step } from "../../../../bgp/session/fsm.ts";
import { CONNECT_TIMEOUT, LONGEST_IDLE_HOLD, OPEN_HOLD_TIME, sendHoldTime } from "../../../../bgp/session/fsm-times.ts";
import type { Fsm, FsmEvent, TimerName } from "../../../../bgp/session/fsm-types.ts";

const data = new Uint8Array(0);
const notification = fc.record({ code: fc.integer({ min: 1, max: 8 }), subcode: fc.nat(11), data: fc.constant(data) });
const holdTime = fc.oneof(fc.constant(0), fc.integer({ min: 3, max: 65535 }));
const event: fc.Arbitrary<FsmEvent> = fc.oneof(
  fc.constantFrom<FsmEvent>(
    { kind: "ManualStart" },
    { kind: "ConnectRetryTimerExpires" },
    { kind: "HoldTimerExpires" },
    { kind: "KeepaliveTimerExpires" },
    { kind: "IdleHoldTimerExpires" },
    { kind: "SendHoldTimerExpires" },
    { kind: "TcpCrAcked" },
    { kind: "TcpConnectionConfirmed" },
    { kind: "OpenCollisionDump" },
    { kind: "KeepAliveMsg" },
    { kind: "UpdateMsg" },
    { kind: "RouteRefreshMsg" },
    { kind: "TcpConnectionFails", reason: "gone" },
    { kind: "NotifMsg", code: 6, subcode: 2, data, reason: "cease" },
    { kind: "NotifMsgVerErr", code: 2, subcode: 1, data, reason: "version" },
  ),
  holdTime.map((time): FsmEvent => ({ kind: "BgpOpen", holdTime: time, keepaliveTime: Math.floor(time / 3) })),
  fc.option(notification).map((sent): FsmEvent => ({ kind: "ManualStop", notification: sent, reason: "stop" })),
  notification.chain((sent) =>
    fc
      .constantFrom(
        "AutomaticStop" as const,
        "BgpHeaderErr" as const,
        "BgpOpenMsgErr" as const,
        "UpdateMsgErr" as const,
      )
      .map((kind): FsmEvent => ({ kind, notification: sent, reason: kind })),
  ),
);
const jitter = fc.double({ min: 0.75, max: 1, noNaN: true });
const config = fc.record({ passive: fc.boolean(), connectRetry: fc.integer({ min: 1, max: 3600 }) });

const limits = (holdSeconds: number, retrySeconds: number): Record<TimerName, number> => ({
  hold: Math.max(OPEN_HOLD_TIME, holdSeconds * 1000),
  keepalive: holdSeconds * 1000,
  connectRetry: Math.max(CONNECT_TIMEOUT, retrySeconds * 1000),
  idleHold: LONGEST_IDLE_HOLD,
  sendHold: sendHoldTime(holdSeconds),
});

describe("FSM properties", () => {
  it("is total, its timers bounded, its ends matched with its beginnings", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(event, jitter, fc.nat(200_000)), { maxLength: 60 }),
        config,
        fc.boolean(),
        (events, settings, second) => {
          let fsm: Fsm = second ? secondFsm : initialFsm;
          let now = 0;
          let up = 0;
          const running = new Set<TimerName>();
          for (const [next, draw, elapsed] of events) {
            now += elapsed;
            const before = fsm;
            const result = step(fsm, next, { now, jitter: draw, config: settings });
            fsm = result.fsm;
            for (const action of result.actions) {
              if (action.kind === "startTimer") {
                const most = limits(fsm.holdTime || before.holdTime, settings.connectRetry)[action.timer];
                expect(action.ms).toBeGreaterThanOrEqual(0);
                expect(action.ms).toBeLessThanOrEqual(most);
                running.add(action.timer);
              }
              if (action.kind === "stopTimer") running.delete(action.timer);
              if (action.kind === "established") up++;
              if (action.kind === "ended" && action.wasEstablished) up--;
            }
            expect(up).toBe(fsm.state === "Established" ? 1 : 0);
            if (before.state === "Established") expect(fsm.state).toMatch(/^(Established|Idle)$/);
            // Idle keeps nothing but its own timer, and only when it is meant to come back.
            if (fsm.state === "Idle" && before.state !== "Idle")
              expect([...running]).toEqual(fsm.enabled ? ["idleHold"] : []);
            // An enabled machine that is neither passive nor in a session always has something that moves it on.
            if (fsm.enabled && !settings.passive && (fsm.state === "Connect" || fsm.state === "Active"))
              expect(running.has("connectRetry")).toBe(true);
            if (fsm.state === "OpenSent") expect(running.has("hold")).toBe(true);
            if (fsm.state === "Connect") expect(fsm.enabled).toBe(true);
          }
        },
      ),
      { numRuns: 600 },
    );
  });

  it("two speakers that connect to each other at once keep exactly one connection, the same one", () => {
    const id = fc.integer({ min: 1, max: 0xffffffff });
    fc.assert(
      fc.property(id, id, fc.boolean(), (left, right, firstArrives) => {
        const speakers = [
          { localRouterId: left, remoteRouterId: right, localAsn: 1, remoteAsn: 2 },
          { localRouterId: right, remoteRouterId: left, localAsn: 2, remoteAsn: 1 },
        ];
        const kept = speakers.map((speaker, index) => {
          // The OPEN on the local (or remote) connection comes last.
          const initiator = firstArrives ? "local" : "remote";
          const verdict = resolveCollision({
            ...speaker,
            otherState: "OpenConfirm",
            initiator,
            gracefulRestart: false,
            establishedFor: 0,
          });
          const local = (verdict === "keep-new") === (initiator === "local");
          return local ? index : 1 - index;
        });
        expect(kept[0]).toBe(kept[1]);
      }),
    );
  });

  it("two speakers that damp each other are back in a session when the longer of their holds is over", () => {
    const failures = fc.integer({ min: 3, max: 1000 });
    const hold = fc.nat(LONGEST_IDLE_HOLD);
    fc.assert(
      fc.property(failures, failures, hold, hold, jitter, (left, right, leftHold, rightHold, draw) => {
        const machines = [left, right].map((count): Fsm => ({ ...initialFsm, enabled: true, failures: count }));
        const timers = [new Map<TimerName, number>([["idleHold", leftHold]]), new Map([["idleHold", rightHold]])];
        let now = 0;
        const dispatch = (index: number, next: FsmEvent): void => {
          const { fsm, actions } = step(machines[index], next, {
            now,
            jitter: draw,
            config: { passive: false, connectRetry: 120 },
          });
          machines[index] = fsm;
          const calls = actions.some(({ kind }) => kind === "connect");
          for (const action of actions) {
            if (action.kind === "startTimer") timers[index].set(action.timer, now + action.ms);
            else if (action.kind === "stopTimer") timers[index].delete(action.timer);
          }
          if (!calls) return;
          const other = machines[1 - index];
          dispatch(index, { kind: "TcpCrAcked" });
          // As peer.ts and session-manager.ts admit connections.
          if (other.state !== "Idle") dispatch(1 - index, { kind: "TcpConnectionConfirmed" });
          else dispatch(index, { kind: "NotifMsg", code: 6, subcode: 5, data, reason: "rejected" });
        };
        const together = () => machines.every(({ state }) => state === "OpenSent");
        while (!together() && now < 10 * LONGEST_IDLE_HOLD) {
          const due = timers.flatMap((running, index) => [...running].map(([timer, at]) => ({ index, timer, at })));
          const { index, timer, at } = due.reduce((soonest, one) => (one.at < soonest.at ? one : soonest));
          now = at;
          timers[index].delete(timer);
          dispatch(index, { kind: timer === "idleHold" ? "IdleHoldTimerExpires" : "ConnectRetryTimerExpires" });
        }
        expect(together()).toBe(true);
        expect(now).toBeLessThanOrEqual(Math.max(leftHold, rightHold));
      }),
    );
  });
});
