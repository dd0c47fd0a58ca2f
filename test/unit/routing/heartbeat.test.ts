import { expect, it } from "vitest";
import { Heartbeat } from "../../../routing/fib/heartbeat.ts";
import { ManualClock } from "../bgp/session/support.ts";

function setUp(clock = new ManualClock()) {
  const seen: string[] = [];
  const heartbeat = new Heartbeat(
    clock,
    { interval: 5000, deadline: 30_000 },
    () => seen.push("ask"),
    () => seen.push("dead"),
  );
  return { clock, seen, heartbeat };
}

it("one who answers, however late, is asked again", () => {
  const { clock, seen, heartbeat } = setUp();
  for (let i = 0; i < 10; i++) {
    clock.advance(29_000);
    heartbeat.answered();
  }
  clock.advance(5000);
  expect(seen).not.toContain("dead");
  expect(seen.length).toBeGreaterThan(10);
});

it("one who does not answer is dead after the deadline, once", () => {
  const { clock, seen } = setUp();
  clock.advance(29_999);
  expect(seen).toEqual(["ask"]);
  clock.advance(120_000);
  expect(seen).toEqual(["ask", "dead"]);
});

it("an hour for which everything stood still is one interval", () => {
  // What was due calls back once the hour is over, and what it starts is due later.
  class Suspended extends ManualClock {
    readonly #due: (() => void)[] = [];
    override after(_delay: number, callback: () => void) {
      this.#due.push(callback);
      return { cancel: () => {} };
    }
    wake(): void {
      for (const callback of this.#due.splice(0)) callback();
    }
  }
  const clock = new Suspended();
  const { seen, heartbeat } = setUp(clock);
  clock.advance(3_600_000);
  clock.wake();
  expect(seen).toEqual(["ask"]);
  heartbeat.answered();
  clock.wake();
  expect(seen).toEqual(["ask", "ask"]);
});
