// The problems that `underlayctl status` shows, as events: each when it appears and when it is gone. Looked at every few
// seconds, and soon after something happened that may be one.
import type { Clock, Timer } from "../net/clock.ts";
import type { StatusView } from "./api/types.ts";
import type { EventHub } from "./events.ts";

const INTERVAL_MS = 5_000;
const SOON_MS = 200;

/** Types of events that problems come with. */
const telling: ReadonlySet<string> = new Set(["session", "bfd", "config", "daemon", "block"]);

export class ProblemWatch {
  readonly #events: EventHub;
  readonly #clock: Clock;
  readonly #status: () => Promise<StatusView>;
  #known: ReadonlySet<string> = new Set();
  #timer: Timer | null = null;
  #soon = false;
  #looking = false;
  #unsubscribe = () => {};
  /** As last looked at; null: not yet. */
  latest: StatusView | null = null;

  constructor(events: EventHub, clock: Clock, status: () => Promise<StatusView>) {
    this.#events = events;
    this.#clock = clock;
    this.#status = status;
  }

  start(): void {
    this.#unsubscribe = this.#events.subscribe({
      event: ({ type, kind }) => {
        if (telling.has(type) || (type === "kernel" && kind !== "operation" && kind !== "operations")) this.#lookSoon();
      },
    });
    this.#lookSoon();
  }

  stop(): void {
    this.#unsubscribe();
    this.#timer?.cancel();
    this.#timer = null;
    this.#looking = true;
  }

  #lookSoon(): void {
    if (this.#soon || this.#looking) return;
    this.#soon = true;
    this.#timer?.cancel();
    this.#timer = this.#clock.after(SOON_MS, () => void this.#look());
  }

  async #look(): Promise<void> {
    this.#soon = false;
    this.#looking = true;
    try {
      this.#compare(await this.#status());
    } catch {
      // The worker that was asked is gone, and the daemon with it.
      return;
    }
    this.#looking = false;
    this.#timer = this.#clock.after(INTERVAL_MS, () => void this.#look());
  }

  #compare(status: StatusView): void {
    this.latest = status;
    const now = new Set(status.problems);
    const before = this.#known;
    this.#known = now;
    for (const problem of before) if (!now.has(problem)) this.#events.emit("problem", { kind: "gone", problem });
    for (const problem of now) if (!before.has(problem)) this.#events.emit("problem", { kind: "appeared", problem });
  }
}
