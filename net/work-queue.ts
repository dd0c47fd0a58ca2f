// Shares one thread between sources of work that would otherwise hog it: a slice of time per turn of the event loop,
// handed out round robin. A task that fits into what is left of the turn runs at once; the rest continues in
// setImmediate, after timers and other sockets had their turn.
import type { Clock } from "./clock.ts";

/** Works until the clock reaches `until`, then returns. True: there is more to do. Must not throw. */
export type Task = (until: number) => boolean;

export class WorkQueue {
  readonly #clock: Clock;
  readonly #slice: number;
  #waiting: Task[] = [];
  #scheduled: NodeJS.Immediate | null = null;
  /** Clock time at which this turn's slice is used up; null: no work yet in this turn. */
  #until: number | null = null;

  /** `slice`: milliseconds of work per turn of the event loop. */
  constructor(clock: Clock, slice = 5) {
    this.#clock = clock;
    this.#slice = slice;
  }

  /** Runs the task now as far as the turn allows. True: it is done; false: it waits for its next turn. */
  run(task: Task): boolean {
    this.#until ??= this.#clock.now() + this.#slice;
    this.#schedule();
    if (this.#clock.now() < this.#until && !task(this.#until)) return true;
    this.#waiting.push(task);
    return false;
  }

  /** Forgets a waiting task. */
  remove(task: Task): void {
    this.#waiting = this.#waiting.filter((waiting) => waiting !== task);
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  #schedule(): void {
    this.#scheduled ??= setImmediate(() => this.#turn());
  }

  #turn(): void {
    this.#scheduled = null;
    this.#until = null;
    const tasks = this.#waiting;
    if (tasks.length === 0) return;
    this.#waiting = [];
    const start = this.#clock.now();
    const share = Math.max(0.5, this.#slice / tasks.length);
    let next = 0;
    for (; next < tasks.length; next++) {
      const now = this.#clock.now();
      if (next > 0 && now >= start + this.#slice) break;
      if (tasks[next](now + share)) this.#waiting.push(tasks[next]);
    }
    // Those that had no turn come first in the next one.
    if (next < tasks.length) this.#waiting = [...tasks.slice(next), ...this.#waiting];
    if (this.#waiting.length > 0) this.#schedule();
  }
}
