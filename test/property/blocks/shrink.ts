// From the first run of many in which something is wrong, the fewest deeds with which it still is, and the story that they tell.
import { type Deed, deedsOf, Simulation, type Variant } from "./simulation.ts";

/** The first configuration and the deeds are chance, but always the same. */
function programOf(seed: number): { first: number; deeds: readonly Deed[] } {
  return { first: seed * 7919, deeds: deedsOf(seed, 6 + (seed % 6) * 7) };
}

/** Null: all is well in each of the runs. */
export async function firstFault(seeds: Iterable<number>, variant?: Variant): Promise<string | null> {
  for (const seed of seeds) {
    const { first, deeds } = programOf(seed);
    if ((await new Simulation(first, undefined, variant).run(deeds)) === null) continue;
    const fewest = await shrink(
      deeds,
      async (some) => (await new Simulation(first, undefined, variant).run(some)) !== null,
    );
    const lines: string[] = [];
    const fault = await new Simulation(first, (line) => lines.push(line), variant).run(fewest);
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
