import { describe, expect, it } from "vitest";
import { ChangeQueue } from "../../../../bgp/bfd/change-queue.ts";
import type { BfdChange } from "../../../../bgp/bfd/types.ts";

const change = (
  peer: string,
  from: BfdChange["from"],
  to: BfdChange["to"],
  failed = false,
  independent = false,
): BfdChange => ({
  peer,
  from,
  to,
  reason: `${from} to ${to}`,
  failed,
  independent,
});

describe("changes on their way to the main thread", () => {
  it("passes each on while the receiver keeps up", () => {
    const posted: BfdChange[] = [];
    const queue = new ChangeQueue((posting) => posted.push(posting));
    for (const next of [change("a", "Down", "Init"), change("a", "Init", "Up")]) {
      queue.push(next);
      queue.taken("a");
    }
    expect(posted.map(({ to }) => to)).toEqual(["Init", "Up"]);
  });

  it("merges what one peer does meanwhile, and forgets no failure", () => {
    const posted: BfdChange[] = [];
    const queue = new ChangeQueue((posting) => posted.push(posting));
    queue.push(change("a", "Init", "Up"));
    for (let flap = 0; flap < 1000; flap++) {
      queue.push(change("a", "Up", "Down", flap === 10, flap === 10));
      queue.push(change("a", "Down", "Up"));
    }
    queue.push(change("b", "Down", "Init"));
    expect(posted).toHaveLength(2);
    queue.taken("a");
    expect(posted.slice(2)).toEqual([
      { peer: "a", from: "Up", to: "Up", reason: "Up to Down", failed: true, independent: true },
    ]);
    queue.taken("a");
    queue.taken("a");
    expect(posted).toHaveLength(3);
  });
});
