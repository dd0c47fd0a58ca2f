// Addresses given back, oldest release first. A linked list, because any of them may leave it from the middle (asked for
// by name), and one may come back to where it was (an allocation undone).
import type { ReleasedAddress } from "./records.ts";

/** An address given back, on the clock of this boot. */
export interface Released extends ReleasedAddress {
  readonly at: number;
  /** When the time began for which it is kept; unlike `at` that of another boot is estimated. */
  readonly since: number;
  /** As the store has it. */
  readonly stored: ReleasedAddress;
}

/**
 * Of what the store has: times are those of this boot. `now`: milliseconds since boot; `wall`: since 1970. What was
 * given back in another boot may have been just before it, and no clock runs backwards.
 */
export function inThisBoot(found: ReleasedAddress, now: number, wall: number): Released {
  const at = Math.min(found.at ?? now, now);
  const elapsed = found.at !== null || found.time === null ? now - at : Math.max(0, wall - found.time);
  const since = Math.min(found.since ?? now - elapsed, now);
  const stored = found.at === at ? found : { ...found, at, since };
  return { ...stored, at, since, stored };
}

export interface QueueNode {
  readonly entry: Released;
  queue: ReleaseQueue | null;
  before: QueueNode | null;
  after: QueueNode | null;
}

export class ReleaseQueue {
  #head: QueueNode | null = null;
  #tail: QueueNode | null = null;
  #size = 0;

  get head(): QueueNode | null {
    return this.#head;
  }

  get size(): number {
    return this.#size;
  }

  *entries(): Iterable<Released> {
    for (let node = this.#head; node; node = node.after) yield node.entry;
  }

  /** Behind all that were given back before it or at the same time. Quick for the newest and for the oldest. */
  insert(node: QueueNode): void {
    const { at } = node.entry;
    let before = this.#tail;
    if (this.#head && at < this.#head.entry.at) before = null;
    else while (before && before.entry.at > at) before = before.before;
    const after = before ? before.after : this.#head;
    node.before = before;
    node.after = after;
    if (before) before.after = node;
    else this.#head = node;
    if (after) after.before = node;
    else this.#tail = node;
    node.queue = this;
    this.#size++;
  }

  remove(node: QueueNode): void {
    if (node.before) node.before.after = node.after;
    else this.#head = node.after;
    if (node.after) node.after.before = node.before;
    else this.#tail = node.before;
    node.queue = node.before = node.after = null;
    this.#size--;
  }
}
