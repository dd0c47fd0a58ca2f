// The problems that `underlayctl status` shows, as events: each when it appears and when it is gone. Looked at every few
// seconds, and soon after something happened that may be one.
import type { Clock, Timer } from "../net/clock.ts";
import type { StatusView } from "./api/types.ts";
import type { EventHub } from "./events.ts";

const INTERVAL_MS = 5_000;
const SOON_MS = 200;

/** Types of events that problems come with. */
const telling: ReadonlySet<string> = new Set(["session", "bfd", "config", "daemon", "block", "pool"]);

export class ProblemWatch {
  readonly #events: EventHub;
  readonly #clock: Clock;
  readonly #status: () => Promise<StatusView>;
  /** By what stays the same of them. */
  #known: ReadonlyMap<string, string> = new Map();
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
    const before = this.#known;
    const now = new Map(status.problems.map((problem) => [keyOf(problem), before.get(keyOf(problem)) ?? problem]));
    this.#known = now;
    for (const [key, problem] of before) if (!now.has(key)) this.#events.emit("problem", { kind: "gone", problem });
    for (const [key, problem] of now) if (!before.has(key)) this.#events.emit("problem", { kind: "appeared", problem });
  }
}

/** A session that tries again and again, or another number of routes or pods, is no new problem. */
function keyOf(problem: string): string {
  return problem
    .replace(/^(peer .+?) is .*$/s, "$1")
    .replace(/^(pool \S+ is (?:nearly )?exhausted): \d+ of \d+ (IPv\d).*$/s, "$1 $2")
    .replace(/^\d+ (.*?)[,:].*$/s, "$1")
    .replace(/ (again and again since|which underlayd keeps, has|IPv6 routes, and) .*$/s, "$1")
    .replace(/: there are \d+ IPv6/, ": IPv6");
}
