// From the first history of many in which a promise is not kept, the fewest deeds with which it still is not, and its story.
import { fewest } from "../../fewest.ts";
import { type Deed, deedsOf } from "./deeds.ts";
import { History, type Mistake } from "./history.ts";

/** Null: every promise was kept in each of them. */
export async function firstViolation(seeds: Iterable<number>, mistake?: Mistake): Promise<string | null> {
  for (const seed of seeds) {
    const deeds = deedsOf(seed);
    const play = (some: readonly Deed[], say?: (line: string) => void) => new History(say, mistake).play(some);
    if ((await play(deeds)) === null) continue;
    const few = await fewest(deeds, async (some) => (await play(some)) !== null);
    const story: string[] = [];
    const wrong = await play(few, (line) => story.push(line));
    return [`seed ${seed}: ${wrong}`, ...story].join("\n  ");
  }
  return null;
}
