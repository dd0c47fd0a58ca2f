// The system's clock: timers longer than setTimeout can count, against faked timers of Node.
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { systemClock } from "../../../net/clock.ts";

const DAY = 86_400_000;

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

it.each([1, 24, 25, 60, 194])("a timer of %i days fires after that time and once", (days) => {
  let fired = 0;
  systemClock.after(days * DAY, () => fired++);
  vi.advanceTimersByTime(days * DAY - 1);
  expect(fired).toBe(0);
  vi.advanceTimersByTime(1);
  expect(fired).toBe(1);
  vi.advanceTimersByTime(200 * DAY);
  expect(fired).toBe(1);
});

it("can be cancelled at any time", () => {
  let fired = 0;
  const timer = systemClock.after(60 * DAY, () => fired++);
  vi.advanceTimersByTime(30 * DAY);
  timer.cancel();
  vi.advanceTimersByTime(60 * DAY);
  expect(fired).toBe(0);
});
