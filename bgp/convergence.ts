// Tells when the table that neighbours have for us has arrived: every configured peer is Established and has sent
// End-of-RIB for each family (RFC 4724 §4.1), or the deferral time has passed. The kernel's start-up sweep waits for it.
import type { Clock, Timer } from "../net/clock.ts";

interface Waiting {
  readonly listener: () => void;
  readonly timer: Timer;
}

export class Convergence {
  readonly #clock: Clock;
  readonly #isConverged: () => boolean;
  readonly #waiting = new Set<Waiting>();

  constructor(clock: Clock, isConverged: () => boolean) {
    this.#clock = clock;
    this.#isConverged = isConverged;
  }

  /** `deferral`: seconds. */
  wait(listener: () => void, deferral: number): void {
    const waiting: Waiting = { listener, timer: this.#clock.after(deferral * 1000, () => this.#finish(waiting)) };
    this.#waiting.add(waiting);
    this.check();
  }

  /** Called after everything that may have completed it. */
  check(): void {
    if (this.#waiting.size === 0 || !this.#isConverged()) return;
    for (const waiting of this.#waiting) this.#finish(waiting);
  }

  stop(): void {
    for (const { timer } of this.#waiting) timer.cancel();
    this.#waiting.clear();
  }

  #finish(waiting: Waiting): void {
    if (!this.#waiting.delete(waiting)) return;
    waiting.timer.cancel();
    waiting.listener();
  }
}
