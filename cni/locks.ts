// One holder per key, in the order of asking; different keys do not wait for each other.

export class Locks {
  readonly #tails = new Map<string, Promise<unknown>>();

  async with<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.#tails.get(key) ?? Promise.resolve();
    const mine = before.then(work);
    const tail = mine.catch(() => undefined);
    this.#tails.set(key, tail);
    try {
      return await mine;
    } finally {
      if (this.#tails.get(key) === tail) this.#tails.delete(key);
    }
  }

  /** Whether somebody holds the key, or waits for it. */
  isHeld(key: string): boolean {
    return this.#tails.has(key);
  }

  /** Resolves when every holder of now is done. */
  async idle(): Promise<void> {
    await Promise.all(this.#tails.values());
  }
}
