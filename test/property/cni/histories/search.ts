// From the first history of many in which a promise is not kept, the fewest deeds with which it still is not, and its story.
import { type Deed, deedsOf } from "./deeds.ts";
import { History, type Mistake } from "./history.ts";

/** Null: every promise was kept in each of them. */
export async function firstViolation(seeds: Iterable<number>, mistake?: Mistake): Promise<string | null> {
  for (const seed of seeds) {
    const deeds = deedsOf(seed);
    const play = (some: readonly Deed[], say?: (line: string) => void) => new History(say, mistake).play(some);
    if ((await play(deeds)) === null) continue;
    const fewest = await shrink(deeds, async (some) => (await play(some)) !== null);
    const story: string[] = [];
    const wrong = await play(fewest, (line) => story.push(line));
    return [`seed ${seed}: ${wrong}`, ...story].join("\n  ");
  }
  return null;
}

async function shrink(
  deeds: readonly Deed[],
  isWrong: (deeds: readonly Deed[]) => Promise<boolean>,
): Promise<readonly Deed[]> {
  let fewest = deeds;
  for (let size = deeds.length >> 1; size >= 1; ) {
    let from = 0;
    for (; from < fewest.length; from += size) {
      const fewer = fewest.toSpliced(from, size);
      if (!(await isWrong(fewer))) continue;
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
