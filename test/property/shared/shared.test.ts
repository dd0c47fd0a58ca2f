// Blocks of a shared pool under everything that can happen in any order: what is claimed is announced only when it is
// ours, what goes back goes when nobody looks for it here, pods keep what they have, the last block stays, and in the
// end there is neither too much nor too little. `SEED=n` runs one run and tells what happened, `RUNS=n` another number
// of them.
import { describe, expect, it } from "vitest";
import type { Claims } from "../../../daemon/shared/claims.ts";
import { Simulation, type Variant } from "./simulation.ts";

const seed = Number(process.env["SEED"] ?? 1);
const runs = Number(process.env["RUNS"] ?? (process.env["SEED"] ? 1 : 400));

async function firstFault(count: number, variant?: Variant): Promise<string | null> {
  for (let n = seed; n < seed + count; n++) {
    const length = 60 + (n % 4) * 60;
    const problem = await new Simulation(n, undefined, variant).run(length);
    if (problem === null) continue;
    const lines: string[] = [];
    await new Simulation(n, (line) => lines.push(line), variant).run(length);
    return [`seed ${n}: ${problem}`, ...lines].join("\n  ");
  }
  return null;
}

it("keeps what it promises, whatever happens in whatever order", { timeout: 120_000 }, async () => {
  expect(await firstFault(runs)).toBeNull();
});

describe("is found out when it", () => {
  it("gives a block back before the neighbours have forgotten it", { timeout: 60_000 }, async () => {
    const hasty: Variant = (claims) => {
      const { placed } = claims;
      claims.placed = () => {
        const kept = placed.call(claims);
        for (const prefix of leaving(claims)) claims.gone(prefix);
        return kept;
      };
    };
    expect(await firstFault(300, hasty)).toMatch(/is given back, and/);
  });

  it("announces what it is still asking for", { timeout: 60_000 }, async () => {
    const eager: Variant = (claims) => {
      const { placed } = claims;
      claims.placed = () => [...placed.call(claims), { prefix: "10.99.0.12/30", pool: "shared", exclude: [] }];
    };
    expect(await firstFault(300, eager)).toMatch(/which is not ours/);
  });
});

const seen = new WeakMap<Claims, Set<string>>();

/** Prefixes that were placed and are not any more. */
function leaving(claims: Claims): string[] {
  const before = seen.get(claims) ?? new Set();
  seen.set(claims, before);
  return [...Array(8).keys()]
    .map((n) => `10.99.0.${n * 4}/30`)
    .filter((prefix) => before.has(prefix) || !before.add(prefix));
}
