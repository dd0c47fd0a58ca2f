// Failures of one neighbour for the log: the first of each reason at once, the same one again only now and then, with a
// count. A neighbour that fails a thousand times a minute must not fill the disk.
import type { Clock } from "../../net/clock.ts";

/** Milliseconds between two lines about one reason. */
const INTERVAL = 10_000;
/** Lines within one interval, whatever the reasons: a neighbour chooses the words of some. */
const BURST = 8;

export class FailureLog {
  readonly #clock: Clock;
  readonly #write: (fields: { readonly reason: string; readonly times: number }) => void;
  /** Reason -> failures not written yet. */
  readonly #unwritten = new Map<string, number>();
  #intervalEnds = Number.NEGATIVE_INFINITY;

  constructor(clock: Clock, write: (fields: { readonly reason: string; readonly times: number }) => void) {
    this.#clock = clock;
    this.#write = write;
  }

  add(reason: string): void {
    const now = this.#clock.now();
    if (now >= this.#intervalEnds) {
      this.#intervalEnds = now + INTERVAL;
      const before = this.#unwritten.get(reason) ?? 0;
      this.#unwritten.delete(reason);
      for (const [other, times] of this.#unwritten) if (times > 0) this.#write({ reason: other, times });
      this.#unwritten.clear();
      this.#unwritten.set(reason, 0);
      this.#write({ reason, times: before + 1 });
      return;
    }
    const times = this.#unwritten.get(reason);
    if (times !== undefined) this.#unwritten.set(reason, times + 1);
    else if (this.#unwritten.size < BURST) {
      this.#unwritten.set(reason, 0);
      this.#write({ reason, times: 1 });
    }
  }
}
