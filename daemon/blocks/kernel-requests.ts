// Requests to the kernel for all blocks together, one at a time: what changes meanwhile goes with the next one, and what was
// refused is asked for again, every second at first, every minute at last. In: something has changed, something was refused.
// Out: `send`, which makes one request of all that is wanted by then; `retry`, when the time has come.
import type { Clock, Timer } from "../../net/clock.ts";

const FIRST_RETRY_MS = 1000;
const LAST_RETRY_MS = 60_000;

export class KernelRequests {
  readonly #clock: Clock;
  readonly #send: () => Promise<void>;
  readonly #retry: () => void;
  /** The kernel is to be asked once more. */
  #dirty = false;
  #sending: Promise<void> | null = null;
  #timer: Timer | null = null;
  #delay = FIRST_RETRY_MS;
  #stopped = false;

  /** `send` never rejects. */
  constructor(clock: Clock, send: () => Promise<void>, retry: () => void) {
    this.#clock = clock;
    this.#send = send;
    this.#retry = retry;
  }

  /** What is wanted has changed. */
  ask(): void {
    this.#dirty = true;
    this.#sending ??= this.#run();
  }

  /** Resolves when the kernel has answered all that it was asked until now. */
  async answered(): Promise<void> {
    while (this.#sending) await this.#sending;
  }

  retryLater(): void {
    if (this.#timer) return;
    this.#timer = this.#clock.after(this.#delay, () => {
      this.#timer = null;
      this.#delay = Math.min(LAST_RETRY_MS, this.#delay * 2);
      this.#retry();
    });
  }

  /** The kernel has taken everything: the next refusal is the first one again. */
  accepted(): void {
    this.#delay = FIRST_RETRY_MS;
  }

  /** No more requests; the one under way ends. */
  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  async #run(): Promise<void> {
    // What is decided in the same turn goes together.
    await Promise.resolve();
    while (this.#dirty && !this.#stopped) {
      this.#dirty = false;
      await this.#send();
    }
    this.#sending = null;
  }
}
