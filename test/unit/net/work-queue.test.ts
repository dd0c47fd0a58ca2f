import { describe, expect, it } from "vitest";
import { WorkQueue } from "../../../net/work-queue.ts";

/** Every look at the clock costs a tenth of a millisecond. */
function tickingClock() {
  let now = 0;
  return {
    now: () => {
      now += 0.1;
      return now;
    },
    after: () => ({ cancel() {} }),
  };
}

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

describe("work queue", () => {
  it("runs a small task at once, and a big one in slices", async () => {
    const clock = tickingClock();
    const queue = new WorkQueue(clock);
    expect(queue.run(() => false)).toBe(true);
    let left = 200;
    let longest = 0;
    const task = (until: number) => {
      const start = left;
      while (left > 0 && clock.now() < until) left--;
      longest = Math.max(longest, start - left);
      return left > 0;
    };
    expect(queue.run(task)).toBe(false);
    for (let i = 0; i < 10 && left > 0; i++) await turn();
    expect(left).toBe(0);
    expect(longest).toBeLessThan(60);
    expect(queue.waiting).toBe(0);
  });

  it("is fair: nobody is twice ahead, whoever asked first", async () => {
    const clock = tickingClock();
    const queue = new WorkQueue(clock);
    const done = new Array(7).fill(0);
    for (let id = 0; id < done.length; id++)
      queue.run((until) => {
        while (clock.now() < until) done[id]++;
        return true;
      });
    for (let i = 0; i < 50; i++) await turn();
    expect(Math.max(...done)).toBeLessThan(2 * Math.min(...done));
  });

  it("forgets a removed task", async () => {
    const queue = new WorkQueue(tickingClock(), 0);
    let runs = 0;
    const task = () => ++runs < 100;
    queue.run(task);
    queue.remove(task);
    await turn();
    await turn();
    expect(queue.waiting).toBe(0);
    expect(runs).toBe(0);
  });
});
