// Every state that can be reached, with every event: the machine is total, and never announces or removes out of order.
import { expect, it } from "vitest";
import {
  absent,
  type BlockEvent,
  type BlockState,
  inKernel,
  leftBehind,
  type Phase,
  step,
} from "../../../../daemon/blocks/lifecycle.ts";
import { InstalledBlocks } from "../../../../routing/fib/installed-blocks.ts";

const block = { prefix: "10.244.1.0/26", table: 7100 };

function proofs(count: number) {
  return Array.from({ length: count }, () => {
    const installed = new InstalledBlocks();
    installed.asking([block]);
    return installed.answered([block], []).installed[0];
  });
}
const [first, second] = proofs(2);

const events: readonly BlockEvent[] = [
  { kind: "want" },
  { kind: "unwant" },
  { kind: "open" },
  { kind: "close" },
  { kind: "acknowledged", proof: first },
  { kind: "acknowledged", proof: second },
  { kind: "refused", error: "EEXIST" },
  { kind: "retry" },
  { kind: "forgotten" },
  { kind: "removed" },
];

const keyOf = (state: BlockState) =>
  JSON.stringify({ ...state, proof: "proof" in state ? [null, first, second].indexOf(state.proof) : undefined });

/** All that can be reached, with a way to each. */
function reachable(): Map<string, { state: BlockState; way: string }> {
  const found = new Map([absent, leftBehind].map((state) => [keyOf(state), { state, way: state.phase as string }]));
  for (const { state, way } of found.values())
    for (const event of events) {
      const next = step(state, event).state;
      if (!found.has(keyOf(next))) found.set(keyOf(next), { state: next, way: `${way} ${event.kind}` });
    }
  return found;
}

it("reaches every phase, and has an answer to every event in each", () => {
  const states = reachable();
  const phases = new Set([...states.values()].map(({ state }) => state.phase));
  const all: Phase[] = ["absent", "installing", "installed", "announced", "failed", "withdrawing", "removing"];
  expect([...phases].sort()).toEqual(all.sort());
  expect(states.size).toBeLessThan(200);
});

it("announces what the kernel has acknowledged, wants and opens; withdraws before it waits, and waits before it removes", () => {
  for (const { state, way } of reachable().values())
    for (const event of events) {
      const { state: next, actions } = step(state, event);
      const kinds = actions.map(({ kind }) => kind);
      const where = `${way}, then ${event.kind}`;
      for (const action of actions)
        if (action.kind === "announce") expect(next, where).toMatchObject({ phase: "announced", proof: action.proof });
      if (next.phase === "announced") expect(next, where).toMatchObject({ open: true, believed: true, wanted: true });
      // On the wire exactly as long as the phase says so.
      if (state.phase === "announced" && next.phase !== "announced") expect(kinds[0], where).toBe("withdraw");
      if (state.phase !== "announced" && next.phase === "announced") expect(kinds, where).toContain("announce");
      if (kinds.includes("withdraw")) expect(state.phase, where).toBe("announced");
      // Out of the kernel only when nobody believes in it.
      if (inKernel(state) && !inKernel(next)) expect(next.believed, where).toBe(false);
      if (state.phase === "announced") expect(inKernel(next), where).toBe(true);
      // The kernel is asked whenever it is to have something else.
      if (inKernel(state) !== inKernel(next) && next.phase !== "absent")
        expect(kinds, where).toContain(event.kind === "refused" ? "retryLater" : "write");
      if (next.phase === "withdrawing" && state.phase !== "withdrawing" && next.believed)
        expect(kinds, where).toContain("awaitForgotten");
      if (next.phase === "failed" && event.kind === "refused") expect(kinds, where).toContain("retryLater");
    }
});

it("comes to rest where it is wanted to be, from everywhere", () => {
  for (const { state, way } of reachable().values()) {
    let now = state;
    const go = (...more: BlockEvent[]) => {
      for (const event of more) now = step(now, event).state;
    };
    go({ kind: "unwant" }, { kind: "forgotten" }, { kind: "retry" }, { kind: "removed" });
    expect(now.phase, `${way}, not wanted any more`).toBe("absent");
    now = state;
    go({ kind: "removed" }, { kind: "want" }, { kind: "open" }, { kind: "removed" }, { kind: "retry" });
    go({ kind: "acknowledged", proof: first });
    expect(now.phase, `${way}, wanted`).toBe("announced");
  }
});
