// Link bandwidths of several paths -> weights of their next hops (draft-ietf-idr-link-bandwidth): small whole numbers
// up to 256, as the kernel takes them, whose proportions are those of the bandwidths as nearly as that allows.

/** Largest weight of a member of a next-hop group. */
const LARGEST = 256;
/** Relative error that is good enough for smaller numbers to be preferred. */
const GOOD_ENOUGH = 0.001;
const REMEMBERED = 1024;

/** Null: all alike, or one is not known (0), so that traffic is spread evenly. */
export function weightsOf(bandwidths: readonly number[]): readonly number[] | null {
  const largest = Math.max(...bandwidths);
  if (!bandwidths.every((bandwidth) => bandwidth > 0)) return null;
  if (bandwidths.every((bandwidth) => bandwidth === largest)) return null;
  const shares = bandwidths.map((bandwidth) => bandwidth / largest);
  let best: readonly number[] = [];
  let least = Number.POSITIVE_INFINITY;
  for (let scale = 1; scale <= LARGEST && least > GOOD_ENOUGH; scale++) {
    const weights = shares.map((share) => Math.max(1, Math.round(share * scale)));
    const error = Math.max(...shares.map((share, i) => Math.abs(weights[i] / scale - share) / share));
    if (error >= least) continue;
    least = error;
    best = weights;
  }
  return best;
}

/** Remembers: a fabric has few different proportions. */
export class Weights {
  readonly #known = new Map<string, readonly number[] | null>();

  of(bandwidths: readonly number[]): readonly number[] | null {
    const key = bandwidths.join();
    let weights = this.#known.get(key);
    if (weights === undefined) {
      if (this.#known.size >= REMEMBERED) this.#known.clear();
      weights = weightsOf(bandwidths);
      this.#known.set(key, weights);
    }
    return weights;
  }
}
