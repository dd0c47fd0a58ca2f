// How long to wait before the next attempt: doubling, with jitter, so that a thousand nodes do not come back at once.

export interface BackoffOptions {
  /** Milliseconds. */
  readonly first: number;
  readonly most: number;
}

export class Backoff {
  readonly #options: BackoffOptions;
  readonly #random: () => number;
  #failures = 0;

  /** `random`: from 0 to below 1. */
  constructor(options: BackoffOptions, random: () => number) {
    this.#options = options;
    this.#random = random;
  }

  /** Milliseconds: between half and the whole of what is due. */
  next(): number {
    const due = Math.min(this.#options.most, this.#options.first * 2 ** this.#failures++);
    return due * (0.5 + this.#random() / 2);
  }

  reset(): void {
    this.#failures = 0;
  }
}
