// A consumer of a Loc-RIB: the prefixes it has yet to look at, as a bitmap.
import { DirtySet } from "../../net/dirty-set.ts";
import type { LocRibSubscription } from "./types.ts";

/**
 * Which changes make a prefix dirty: where traffic goes, any change of the best path, of any path, or only our own routes'
 * coming and going.
 */
export type Interest = "forwarding" | "best" | "paths" | "local";

export class Subscription implements LocRibSubscription {
  readonly interest: Interest;
  readonly dirty = new DirtySet();
  readonly #wake: () => void;
  readonly #closed: (subscription: Subscription) => void;

  constructor(interest: Interest, wake: () => void, closed: (subscription: Subscription) => void) {
    this.interest = interest;
    this.#wake = wake;
    this.#closed = closed;
  }

  get pending(): number {
    return this.dirty.size;
  }

  add(id: number): void {
    if (this.dirty.add(id) && this.dirty.size === 1) this.#wake();
  }

  take(out: Uint32Array, limit = out.length): number {
    return this.dirty.take(out, limit);
  }

  close(): void {
    this.#closed(this);
    this.dirty.clear();
  }
}
