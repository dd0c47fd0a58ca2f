// Make before break, under everything that can happen in any order: the design's invariants 1, 2, 3 and 6 and that all
// of it comes to its end. What is real: daemon/blocks, the allocator, and in the worker Owned, Rules, StaticRoutes and
// their codecs. What is a model: the kernel, the neighbours, the threads, time. A failure prints the fewest deeds that
// lead to it; `SEED=n` runs those of one seed, `RUNS=n` another number of them.
import { beforeEach, describe, expect, it, vi } from "vitest";
import type * as Lifecycle from "../../../daemon/blocks/lifecycle.ts";
import type { Step } from "../../../daemon/blocks/lifecycle.ts";
import type * as Wanted from "../../../daemon/blocks/wanted.ts";
import { InstalledBlocks } from "../../../routing/fib/installed-blocks.ts";
import { range } from "../fewest.ts";
import { firstFault } from "./shrink.ts";
import type { Variant } from "./simulation.ts";

/** What the mistakes below do to the real thing. */
const mistake = vi.hoisted(() => ({
  step: (right: Step, _before: Lifecycle.BlockState): Step => right,
  isWanted: null as typeof Wanted.isWanted | null,
}));

vi.mock("../../../daemon/blocks/lifecycle.ts", async (original) => {
  const real = await original<typeof Lifecycle>();
  const step: typeof real.step = (state, event) => mistake.step(real.step(state, event), state);
  return { ...real, step };
});
vi.mock("../../../daemon/blocks/wanted.ts", async (original) => {
  const real = await original<typeof Wanted>();
  const isWanted: typeof real.isWanted = (...of) => (mistake.isWanted ?? real.isWanted)(...of);
  return { isWanted };
});

// Refusals are errors, thousands of them, and nobody looks at where they come from.
Error.stackTraceLimit = 1;

beforeEach(() => {
  mistake.step = (right) => right;
  mistake.isWanted = null;
});

const seed = Number(process.env["SEED"] ?? 1);
const runs = Number(process.env["RUNS"] ?? (process.env["SEED"] ? 1 : 20_000));

it("keeps what it promises, whatever happens in whatever order", { timeout: 300_000 }, async () => {
  expect(await firstFault(range(seed, runs))).toBeNull();
});

describe("is found out when it", () => {
  const found = async (variant?: Variant) => (await firstFault(range(1, 3000), variant)) ?? "nothing";

  it("announces before the kernel has answered", { timeout: 60_000 }, async () => {
    const tooEarly: Variant = (fib) => ({
      ...fib,
      setOwned: async (owned) => {
        const early = new InstalledBlocks();
        early.asking(owned.blocks);
        void fib.setOwned(owned).catch(() => undefined);
        return early.answered(owned.blocks, []);
      },
    });
    expect(await found(tooEarly)).toMatch(/believes in .*, and the kernel has no|which the kernel has no block for/);
  });

  it("removes before neighbours have been told", { timeout: 60_000 }, async () => {
    mistake.step = (right) =>
      right.state.phase === "withdrawing" && right.actions.some(({ kind }) => kind === "awaitForgotten")
        ? { state: { ...right.state, phase: "removing" }, actions: [{ kind: "withdraw" }, { kind: "write" }] }
        : right;
    expect(await found()).toMatch(/believes in .*, and the kernel has no/);
  });

  it("does not withdraw what the kernel has lost for good", { timeout: 60_000 }, async () => {
    mistake.step = (right, before) =>
      before.phase === "announced" && right.state.phase === "failed" ? { state: before, actions: [] } : right;
    expect(await found()).toContain("is announced, and the kernel does not have it");
  });

  it("leaves something announced when it is drained", { timeout: 60_000 }, async () => {
    mistake.step = (right, before) =>
      before.phase === "announced" && right.state.phase === "installed" ? { ...right, actions: [] } : right;
    expect(await found()).toContain("withdrawAll() has left something announced");
  });

  it("takes a block away before the one in its place is there", { timeout: 60_000 }, async () => {
    mistake.isWanted = ({ configured, retained }) => configured || retained;
    expect(await found()).toMatch(/is wanted, was .*, and is not|its block has gone/);
  });

  it("does not know at its start what a former run has left", { timeout: 60_000 }, async () => {
    expect(await found((fib) => ({ ...fib, formerBlocks: async () => [] }))).toMatch(/believes in|its block has gone/);
  });

  it("gives a block up that pods have addresses of", { timeout: 60_000 }, async () => {
    const unretained: Variant = (fib, process) => {
      process.allocator.retiring = () => [];
      return fib;
    };
    expect(await found(unretained)).toContain("its block has gone");
  });

  it("gives pods addresses of a block that the kernel does not have", { timeout: 60_000 }, async () => {
    const unheld: Variant = (fib, process) => {
      process.allocator.hold = () => {};
      return fib;
    };
    expect(await found(unheld)).toContain("which the kernel has no block for");
  });
});
