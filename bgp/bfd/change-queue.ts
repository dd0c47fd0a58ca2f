// Changes of state on their way to the main thread: at most one per peer is under way, and what happens meanwhile is
// merged into one. So a flapping neighbour and a busy main thread together fill no queue.
import type { BfdChange } from "./types.ts";

export class ChangeQueue {
  readonly #post: (change: BfdChange) => void;
  /** Peers with a change under way, and what came after it. */
  readonly #waiting = new Map<string, BfdChange | null>();

  constructor(post: (change: BfdChange) => void) {
    this.#post = post;
  }

  push(change: BfdChange): void {
    const waiting = this.#waiting.get(change.peer);
    if (waiting === undefined) {
      this.#waiting.set(change.peer, null);
      this.#post(change);
      return;
    }
    this.#waiting.set(change.peer, waiting === null ? change : merge(waiting, change));
  }

  /** The receiver has taken over the last change of this peer. */
  taken(peer: string): void {
    const next = this.#waiting.get(peer);
    if (next === undefined) return;
    if (next === null) {
      this.#waiting.delete(peer);
      return;
    }
    this.#waiting.set(peer, null);
    this.#post(next);
  }
}

/** The reason of a failure outlives that of the recovery after it. */
function merge(first: BfdChange, second: BfdChange): BfdChange {
  const reason = first.failed && !second.failed ? first.reason : second.reason;
  const failure = second.failed ? second : first;
  const { independent } = failure.failed ? failure : second;
  return { ...second, from: first.from, reason, failed: failure.failed, independent };
}
