// From the first run of many in which something is wrong, the fewest deeds with which it still is, and the story that
// they tell.
import { fewest } from "../fewest.ts";
import { type Deed, deedsOf } from "./deeds.ts";
import { Simulation, type Variant } from "./simulation.ts";

/**
 * The first configuration and the deeds are chance, but always the same. Most are short; some things take long to go
 * wrong.
 */
function programOf(seed: number): { first: number; deeds: readonly Deed[] } {
  return { first: seed * 7919, deeds: deedsOf(seed, seed % 60 === 0 ? 150 : 4 + (seed % 5) * 6) };
}

/** Null: all is well in each of the runs. */
export async function firstFault(seeds: Iterable<number>, variant?: Variant): Promise<string | null> {
  for (const seed of seeds) {
    const { first, deeds } = programOf(seed);
    // What takes long is the way to the end: some go it.
    const run = (some: readonly Deed[], say?: (line: string) => void) =>
      new Simulation(first, say, variant).run(some, seed % 3 === 0);
    if ((await run(deeds)) === null) continue;
    const few = await fewest(deeds, async (some) => (await run(some)) !== null);
    const lines: string[] = [];
    const fault = await run(few, (line) => lines.push(line));
    return [`seed ${seed}: ${fault}`, ...lines].join("\n  ");
  }
  return null;
}
