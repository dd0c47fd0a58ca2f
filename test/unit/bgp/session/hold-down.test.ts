import { describe, expect, it } from "vitest";
import { HoldDown } from "../../../../bgp/session/hold-down.ts";
import { ManualClock } from "../simulation.ts";

describe("a peer that a limit has stopped", () => {
  it("is let go after its time, once", () => {
    const clock = new ManualClock();
    const hold = new HoldDown(clock);
    let over = 0;
    expect(hold.begin(60, () => over++)).toBe("down for 60 s");
    clock.advance(59_999);
    expect([hold.active, over]).toEqual([true, 0]);
    clock.advance(1);
    clock.advance(600_000);
    expect(over).toBe(1);
  });

  it("is not let go after a release, or by the timer of an earlier hold", () => {
    const clock = new ManualClock();
    const hold = new HoldDown(clock);
    let over = 0;
    hold.begin(60, () => over++);
    hold.release();
    expect(hold.active).toBe(false);
    hold.begin(60, () => over++);
    expect(hold.begin(null, () => over++)).toBe("down until a reset by hand");
    clock.advance(10_000_000);
    expect([hold.active, over]).toEqual([true, 0]);
  });
});
