// Whether the fib worker still does its work: it is asked now and then, and has to answer in time. A worker that hangs
// cannot tell, and nothing else would: routes would silently stay as they are.
//
// Intervals without an answer are counted, not time: after the whole machine has stood still (a suspended or migrated virtual
// machine, a stopped process) one interval has passed, not an hour. Commands are served between the slices of a bulk load, so
// a million routes on their way are no reason not to answer.
import type { Clock, Timer } from "../../net/clock.ts";

export interface HeartbeatOptions {
  /** Milliseconds between questions. */
  readonly interval: number;
  /** Milliseconds without an answer that mean that it hangs. */
  readonly deadline: number;
}

export class Heartbeat {
  readonly #clock: Clock;
  readonly #options: HeartbeatOptions;
  readonly #ask: () => void;
  readonly #dead: () => void;
  #timer: Timer | null = null;
  #waiting = false;
  #missed = 0;

  /** `ask` sends a question that ends in a call of answered(); `dead` is called once. */
  constructor(clock: Clock, options: HeartbeatOptions, ask: () => void, dead: () => void) {
    this.#clock = clock;
    this.#options = options;
    this.#ask = ask;
    this.#dead = dead;
    this.#beat();
  }

  answered(): void {
    this.#waiting = false;
    this.#missed = 0;
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = null;
  }

  #beat(): void {
    this.#timer = this.#clock.after(this.#options.interval, () => this.#beat());
    if (!this.#waiting) {
      this.#waiting = true;
      this.#ask();
    } else if (++this.#missed * this.#options.interval >= this.#options.deadline) {
      this.stop();
      this.#dead();
    }
  }
}
