// For searches in simulated runs: numbers in a row, and the fewest deeds with which a fault stays.

/** Leaves out half of the deeds, a quarter, and so on, as long as the fault stays. */
export async function fewest<T>(
  deeds: readonly T[],
  isFaulty: (deeds: readonly T[]) => Promise<boolean>,
): Promise<readonly T[]> {
  let left = deeds;
  for (let size = deeds.length >> 1; size >= 1; ) {
    let from = 0;
    for (; from < left.length; from += size) {
      const fewer = left.toSpliced(from, size);
      if (!(await isFaulty(fewer))) continue;
      left = fewer;
      break;
    }
    if (from >= left.length) size >>= 1;
  }
  return left;
}

export function* range(from: number, count: number): Generator<number> {
  for (let seed = from; seed < from + count; seed++) yield seed;
}
