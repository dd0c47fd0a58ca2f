import { describe, expect, it } from "vitest";
import { Timers } from "../../../../bgp/session/timers.ts";
import { ManualClock } from "./support.ts";

describe("timers", () => {
  it("expire once, at the last deadline set, with one clock timer each", () => {
    const clock = new ManualClock();
    const fired: string[] = [];
    const timers = new Timers(clock, (timer) => fired.push(`${timer}@${clock.now()}`));
    timers.start("hold", 100);
    for (let i = 0; i < 50; i++) {
      clock.advance(90);
      timers.start("hold", 100);
      expect(clock.pending).toBe(1);
    }
    timers.start("keepalive", 30);
    clock.advance(1000);
    expect(fired).toEqual([`keepalive@${1000 + 4500 + 30}`, `hold@${1000 + 4500 + 100}`]);
    expect(clock.pending).toBe(0);
  });

  it("may be shortened, stopped and started again from the callback", () => {
    const clock = new ManualClock();
    let count = 0;
    const timers = new Timers(clock, (timer) => {
      if (++count < 3) timers.start(timer, 10);
    });
    timers.start("hold", 1000);
    timers.start("hold", 10);
    clock.advance(10);
    expect(count).toBe(1);
    clock.advance(100);
    expect(count).toBe(3);
    timers.start("hold", 10);
    expect(timers.running("hold")).toBe(true);
    timers.stopAll();
    expect(timers.running("hold")).toBe(false);
    clock.advance(100);
    expect(count).toBe(3);
    expect(clock.pending).toBe(0);
  });
});
