// Long work in short slices: tasks take turns in setImmediate callbacks, each turn of the event loop gets a few
// milliseconds, and input and timers come in between. However much there is to do, a keepalive is never late.
import type { Clock } from "./clock.ts";

export interface SliceTask {
  /** Does a piece of work of about a millisecond; true: there is more. */
  step(): boolean;
}

export class Slices {
  readonly #clock: Clock;
  readonly #budget: number;
  readonly #onError: (error: unknown) => void;
  readonly #queue = new Set<SliceTask>();
  #immediate: NodeJS.Immediate | null = null;
  #stopped = false;

  /** `budget`: milliseconds per turn of the event loop. */
  constructor(clock: Clock, onError: (error: unknown) => void, budget = 5) {
    this.#clock = clock;
    this.#onError = onError;
    this.#budget = budget;
  }

  /** Tasks waiting for their turn. */
  get pending(): number {
    return this.#queue.size;
  }

  /** Queues the task; a task that waits already is not queued twice. */
  schedule(task: SliceTask): void {
    if (this.#stopped) return;
    this.#queue.add(task);
    this.#immediate ??= setImmediate(this.#turn);
  }

  cancel(task: SliceTask): void {
    this.#queue.delete(task);
  }

  /** Drops what waits; nothing runs afterwards. */
  stop(): void {
    this.#stopped = true;
    this.#queue.clear();
    if (this.#immediate) clearImmediate(this.#immediate);
    this.#immediate = null;
  }

  readonly #turn = (): void => {
    this.#immediate = null;
    const end = this.#clock.now() + this.#budget;
    // Tasks queued by a task run in the same turn while time remains; Set iteration visits them too.
    for (const task of this.#queue) {
      this.#queue.delete(task);
      let more = false;
      try {
        more = task.step();
      } catch (error) {
        this.#onError(error);
      }
      if (more && !this.#stopped) this.#queue.add(task);
      if (this.#clock.now() >= end) break;
    }
    if (this.#queue.size > 0 && !this.#stopped) this.#immediate ??= setImmediate(this.#turn);
  };
}
