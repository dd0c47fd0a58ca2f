// When a withdrawn block may leave the kernel: when every neighbour has been told, and has had the time to act on it. Until
// then packets still come, and without the blackhole they would go back to where they came from.
import type { Clock, Timer } from "../../net/clock.ts";

const POLL_MS = 20;
const REMEMBERING_POLL_MS = 500;

export interface ForgettingDependencies {
  readonly clock: Clock;
  /** Neighbours that have not been told all there is to tell, or cannot be and may remember. */
  untold(): readonly string[];
  /** Those among them that have no session and may remember what they were told in the last one. */
  rememberers(): readonly string[];
}

interface Waiting {
  /** Not told since the withdrawal; null: nobody has been looked at, because nothing can be told yet. */
  untold: Set<string> | null;
  /** Of the pause, once all have been told. */
  deadline: number | null;
  readonly done: () => void;
}

export class Forgetting<Key> {
  readonly #deps: ForgettingDependencies;
  readonly #waiting = new Map<Key, Waiting>();
  /** Milliseconds. */
  #pause: number;
  /** Neighbours may have kept what a former run told them, until they are told anew. */
  #held = true;
  #timer: Timer | null = null;

  constructor(deps: ForgettingDependencies, pause: number) {
    this.#deps = deps;
    this.#pause = pause;
  }

  setPause(milliseconds: number): void {
    this.#pause = milliseconds;
  }

  /** From now on what neighbours know is what this run has told them. */
  release(): void {
    this.#held = false;
    this.#look();
  }

  /** `done` is called once, later, unless cancelled. */
  wait(key: Key, done: () => void): void {
    this.#waiting.set(key, { untold: null, deadline: null, done });
    this.#timer?.cancel();
    this.#timer = this.#held ? null : this.#deps.clock.after(POLL_MS, () => this.#look());
  }

  cancel(key: Key): void {
    this.#waiting.delete(key);
  }

  stop(): void {
    this.#waiting.clear();
    this.#timer?.cancel();
    this.#timer = null;
  }

  #look(): void {
    this.#timer?.cancel();
    this.#timer = null;
    const now = this.#deps.clock.now();
    const untold = this.#deps.untold();
    const remembered = this.#deps.rememberers().length > 0;
    const due: Waiting[] = [];
    for (const [key, waiting] of this.#waiting) {
      if (!this.#held && waiting.deadline === null) {
        waiting.untold = new Set(untold.filter((peer) => waiting.untold?.has(peer) ?? true));
        if (waiting.untold.size === 0) waiting.deadline = now + this.#pause;
      }
      // A session that was lost meanwhile may have lost the withdrawal with it.
      if (waiting.deadline === null || waiting.deadline > now || remembered) continue;
      this.#waiting.delete(key);
      due.push(waiting);
    }
    for (const { done } of due) done();
    if (this.#waiting.size === 0 || this.#held) return;
    const next = Math.min(
      ...[...this.#waiting.values()].map(({ deadline }) => {
        if (deadline === null) return now + POLL_MS;
        return deadline > now ? deadline : now + REMEMBERING_POLL_MS;
      }),
    );
    this.#timer ??= this.#deps.clock.after(Math.max(next - now, 0), () => this.#look());
  }
}
