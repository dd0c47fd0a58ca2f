// Routes that the kernel refused, with its own words: bounded, and tried again with growing pauses.
import type { Clock, Timer } from "../../net/clock.ts";
import type { FibStatus } from "../types.ts";

/** Routes that are told at most; all are tried again. */
const LISTED = 1000;
const FIRST_RETRY_MS = 1000;
const LAST_RETRY_MS = 60_000;

export class Failures {
  readonly #clock: Clock;
  readonly #retry: () => void;
  readonly #listed = new Map<string, FibStatus["failed"][number]>();
  #delay = FIRST_RETRY_MS;
  #timer: Timer | null = null;

  constructor(clock: Clock, retry: () => void) {
    this.#clock = clock;
    this.#retry = retry;
  }

  add(prefix: string, table: number, error: string): void {
    const key = `${table} ${prefix}`;
    if (this.#listed.size < LISTED || this.#listed.has(key)) this.#listed.set(key, { prefix, table, error });
    this.#timer ??= this.#clock.after(this.#delay, () => {
      this.#timer = null;
      this.#delay = Math.min(LAST_RETRY_MS, this.#delay * 2);
      this.#retry();
    });
  }

  /** The route is installed, or not wanted any more. */
  remove(prefix: string, table: number): void {
    if (this.#listed.delete(`${table} ${prefix}`) && this.#listed.size === 0) this.#delay = FIRST_RETRY_MS;
  }

  get size(): number {
    return this.#listed.size;
  }

  list(): FibStatus["failed"] {
    return [...this.#listed.values()];
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = null;
  }
}
