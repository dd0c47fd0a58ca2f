// Time that passes when there is nothing left to do, with one clock per process: a process that stands still (a pause
// of the garbage collector, SIGSTOP) finds all its timers and answers due at once when it goes on.
import { setImmediate } from "node:timers/promises";
import type { Clock, Timer } from "../../../../net/clock.ts";

interface Entry {
  readonly at: number;
  readonly order: number;
  readonly run: () => void;
  readonly process: ProcessClock | null;
  cancelled: boolean;
}

export class World {
  #now = 0;
  #order = 0;
  #entries: Entry[] = [];

  get now(): number {
    return this.#now;
  }

  after(delay: number, run: () => void, process: ProcessClock | null = null): Timer {
    const entry: Entry = { at: this.#now + Math.max(0, delay), order: this.#order++, run, process, cancelled: false };
    let low = 0;
    let high = this.#entries.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      // Latest first: the next one is popped.
      if (this.#entries[middle].at > entry.at) low = middle + 1;
      else high = middle;
    }
    this.#entries.splice(low, 0, entry);
    return {
      cancel: () => {
        entry.cancelled = true;
      },
    };
  }

  /** Runs what is due next and everything that follows from it at once. False: nothing is left before `until`. */
  async step(until: number): Promise<boolean> {
    for (;;) {
      const entry = this.#entries.at(-1);
      if (!entry || entry.at > until) {
        this.#now = Math.max(this.#now, until);
        return false;
      }
      this.#entries.pop();
      if (entry.cancelled || entry.process?.dead) continue;
      this.#now = entry.at;
      const still = entry.process ? entry.process.stillUntil : 0;
      if (still > this.#now) {
        this.after(still - this.#now, entry.run, entry.process);
        continue;
      }
      entry.run();
      await setImmediate();
      return true;
    }
  }
}

/** One process: what is asked of it after its death is done by nobody. */
export class ProcessClock implements Clock {
  readonly #world: World;
  dead = false;
  stillUntil = 0;

  constructor(world: World) {
    this.#world = world;
  }

  now(): number {
    return this.#world.now;
  }

  after(delay: number, callback: () => void): Timer {
    let cancelled = false;
    const timer = this.#world.after(delay, () => !cancelled && callback(), this);
    return {
      cancel: () => {
        cancelled = true;
        timer.cancel();
      },
    };
  }
}
