// How late the event loop runs, over the last one to two minutes: the figure behind "a keepalive is never late".
import { type IntervalHistogram, monitorEventLoopDelay } from "node:perf_hooks";
import type { Clock, Timer } from "../net/clock.ts";

/** Milliseconds: of the figures, and between two samples. */
const WINDOW = 60_000;
const RESOLUTION = 50;

export class LoopDelay {
  readonly #histogram: IntervalHistogram = monitorEventLoopDelay({ resolution: RESOLUTION });
  readonly #clock: Clock;
  #timer: Timer | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Called when a window ends, before its figures are forgotten. */
  onWindow: () => void = () => {};

  start(): void {
    this.#histogram.enable();
    const roll = () => {
      this.onWindow();
      this.#histogram.reset();
      this.#timer = this.#clock.after(WINDOW, roll);
    };
    this.#timer = this.#clock.after(WINDOW, roll);
  }

  stop(): void {
    this.#timer?.cancel();
    this.#histogram.disable();
  }

  /** Milliseconds beyond the sampling interval. */
  read(): { p50: number; p99: number; max: number } {
    const ms = (nanoseconds: number) =>
      Number.isFinite(nanoseconds) ? Math.max(0, Math.round((nanoseconds / 1e6 - RESOLUTION) * 10) / 10) : 0;
    return {
      p50: ms(this.#histogram.percentile(50)),
      p99: ms(this.#histogram.percentile(99)),
      max: this.#histogram.count === 0 ? 0 : ms(this.#histogram.max),
    };
  }
}
