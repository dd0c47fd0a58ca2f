// A peer that a prefix limit has stopped: no new session until a timer, an operator or another configuration starts one.
import type { Clock, Timer } from "../../net/clock.ts";

export class HoldDown {
  readonly #clock: Clock;
  #active = false;
  #timer: Timer | null = null;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get active(): boolean {
    return this.#active;
  }

  /** Null: until somebody releases it. Returns for how long, in words. */
  begin(seconds: number | null, over: () => void): string {
    this.release();
    this.#active = true;
    if (seconds === null) return "down until a reset by hand";
    this.#timer = this.#clock.after(seconds * 1000, over);
    return `down for ${seconds} s`;
  }

  release(): void {
    this.#active = false;
    this.#timer?.cancel();
    this.#timer = null;
  }
}
