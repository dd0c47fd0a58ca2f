// From the first run of many in which something is wrong, the fewest deeds with which it still is, and the story that they tell.
import { type Deed, deedsOf } from "./deeds.ts";
import { Simulation, type Variant } from "./simulation.ts";

/** The first configuration and the deeds are chance, but always the same. Most are short; some things take long to go wrong. */
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
    const fewest = await shrink(deeds, async (some) => (await run(some)) !== null);
    const lines: string[] = [];
    const fault = await run(fewest, (line) => lines.push(line));
    return [`seed ${seed}: ${fault}`, ...lines].join("\n  ");
  }
  return null;
}

/** Leaves out half of it, a quarter, and so on, as long as the fault stays. */
async function shrink(
  deeds: readonly Deed[],
  isFaulty: (deeds: readonly Deed[]) => Promise<boolean>,
): Promise<readonly Deed[]> {
  let fewest = deeds;
  for (let size = deeds.length >> 1; size >= 1; ) {
    let from = 0;
    for (; from < fewest.length; from += size) {
      const fewer = fewest.toSpliced(from, size);
      if (!(await isFaulty(fewer))) continue;
      fewest = fewer;
      break;
    }
    if (from >= fewest.length) size >>= 1;
  }
  return fewest;
}

export function* range(from: number, count: number): Generator<number> {
  for (let seed = from; seed < from + count; seed++) yield seed;
}
