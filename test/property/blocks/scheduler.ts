// Chance that can be repeated, and time that passes when it is told to.
import type { Clock, Timer } from "../../../net/clock.ts";

/** mulberry32. */
export function random(seed: number): (limit: number) => number {
  let state = seed >>> 0;
  return (limit) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) % limit;
  };
}

interface Waiting {
  readonly at: number;
  readonly callback: () => void;
}

export class VirtualClock implements Clock {
  #now = 0;
  readonly #timers = new Set<Waiting>();

  now(): number {
    return this.#now;
  }

  after(delay: number, callback: () => void): Timer {
    const waiting = { at: this.#now + delay, callback };
    this.#timers.add(waiting);
    return { cancel: () => void this.#timers.delete(waiting) };
  }

  /** Milliseconds until something is due; null: nothing is. */
  get next(): number | null {
    let at = Number.POSITIVE_INFINITY;
    for (const timer of this.#timers) at = Math.min(at, timer.at);
    return at === Number.POSITIVE_INFINITY ? null : Math.max(0, at - this.#now);
  }

  /** Calls what is due up to then; `settle` lets what was called go on. */
  async advance(milliseconds: number, settle: () => Promise<void>): Promise<void> {
    const until = this.#now + milliseconds;
    for (;;) {
      let next: Waiting | null = null;
      for (const timer of this.#timers) if (timer.at <= until && (!next || timer.at < next.at)) next = timer;
      if (!next) break;
      this.#timers.delete(next);
      this.#now = Math.max(this.#now, next.at);
      next.callback();
      await settle();
    }
    this.#now = until;
  }

  /** The process is gone, and its timers with it. */
  clear(): void {
    this.#timers.clear();
  }
}
