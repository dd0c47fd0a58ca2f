// When what was withdrawn counts as forgotten.
import { expect, it } from "vitest";
import { Forgetting } from "../../../../daemon/blocks/forgetting.ts";
import { VirtualClock } from "../../../property/blocks/scheduler.ts";

const settle = async () => {};

it("waits for a neighbour whose session was lost after it had been sent the withdrawal", async () => {
  const clock = new VirtualClock();
  let down: string[] = [];
  const forgetting = new Forgetting<string>({ clock, untold: () => down, rememberers: () => down }, 5000);
  forgetting.release();
  const done: string[] = [];
  forgetting.wait("block", () => done.push("block"));
  await clock.advance(1000, settle);
  // What was under way to it is lost with the session, and it believes for its restart time.
  down = ["tor-a"];
  await clock.advance(60_000, settle);
  expect(done).toEqual([]);
  down = [];
  await clock.advance(1000, settle);
  expect(done).toEqual(["block"]);
});
