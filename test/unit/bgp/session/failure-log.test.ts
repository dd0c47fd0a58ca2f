import { expect, it } from "vitest";
import { FailureLog } from "../../../../bgp/session/failure-log.ts";
import { ManualClock } from "../simulation.ts";

it("writes the first failure of a kind at once, the same again with a count later, and never many", () => {
  const clock = new ManualClock();
  const lines: string[] = [];
  const log = new FailureLog(clock, ({ reason, times }) => lines.push(`${times} ${reason}`));
  for (let i = 0; i < 1000; i++) log.add("refused");
  log.add("hold timer expired");
  expect(lines.splice(0)).toEqual(["1 refused", "1 hold timer expired"]);
  clock.advance(10_000);
  log.add("refused");
  expect(lines.splice(0)).toEqual(["1000 refused"]);
  for (let i = 0; i < 1000; i++) log.add(`words of the neighbour's choice ${i}`);
  expect(lines.length).toBeLessThan(10);
});
