// Runs an action soon after it was asked for, once for many requests; when requests keep coming, at growing intervals,
// so that a fight with another program, or a flood of notifications, costs little. Quiet time restores the quick answer.
import type { Clock, Timer } from "../../net/clock.ts";

const QUIET_FACTOR = 20;
const FREE_RUNS = 8;

export class Damper {
  readonly #clock: Clock;
  readonly #first: number;
  readonly #last: number;
  readonly #action: () => void;
  #timer: Timer | null = null;
  #runs = 0;
  #delay: number;
  #lastRun = Number.NEGATIVE_INFINITY;

  /** Delays in milliseconds. */
  constructor(clock: Clock, delays: { first: number; last: number }, action: () => void) {
    this.#clock = clock;
    this.#first = delays.first;
    this.#last = delays.last;
    this.#delay = delays.first;
    this.#action = action;
  }

  request(): void {
    if (this.#timer) return;
    if (this.#clock.now() - this.#lastRun > Math.max(this.#delay * QUIET_FACTOR, this.#last)) {
      this.#delay = this.#first;
      this.#runs = 0;
    }
    this.#timer = this.#clock.after(this.#delay, () => {
      this.#timer = null;
      this.#lastRun = this.#clock.now();
      if (++this.#runs > FREE_RUNS) this.#delay = Math.min(this.#last, this.#delay * 2);
      this.#action();
    });
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = null;
  }
}
