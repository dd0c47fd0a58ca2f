// A rate with a reserve: so many at once, so many per second after that.

export class TokenBucket {
  readonly #burst: number;
  readonly #perSecond: number;
  #tokens: number;
  #filledAt = 0;

  constructor(burst: number, perSecond: number) {
    this.#burst = burst;
    this.#perSecond = perSecond;
    this.#tokens = burst;
  }

  /** `now` in milliseconds, monotonic. Call it before take(), once for many. */
  fill(now: number): void {
    const elapsed = Math.max(0, now - this.#filledAt);
    this.#filledAt = now;
    this.#tokens = Math.min(this.#burst, this.#tokens + (elapsed * this.#perSecond) / 1000);
  }

  /** False when there is not so much left; nothing is taken then. */
  take(amount = 1): boolean {
    if (this.#tokens < amount) return false;
    this.#tokens -= amount;
    return true;
  }
}
