// Those who follow one peer's Adj-RIB-In, monitoring protocols: per follower the prefixes that may have changed since
// it looked last. As with the Loc-RIB's subscriptions a slow follower costs one bit per prefix and finds the present
// state when it comes. There is none of this while nobody follows.
import { DirtySet } from "../../net/dirty-set.ts";
import type { PrefixTable } from "../../net/prefix-table.ts";

class AdjRibInWatch {
  /** Called when the import policy is another one; null: what it makes of the routes is not followed. */
  readonly filterChanged: (() => void) | null;
  readonly #dirty = new DirtySet();
  readonly #wake: () => void;
  readonly #closed: () => void;

  constructor(filterChanged: (() => void) | null, wake: () => void, closed: () => void) {
    this.filterChanged = filterChanged;
    this.#wake = wake;
    this.#closed = closed;
  }

  get pending(): number {
    return this.#dirty.size;
  }

  /** `wake` is called when `pending` leaves 0. */
  add(id: number): void {
    if (this.#dirty.add(id) && this.#dirty.size === 1) this.#wake();
  }

  take(out: Uint32Array, limit = out.length): number {
    return this.#dirty.take(out, limit);
  }

  close(): void {
    this.#closed();
    this.#dirty.clear();
  }
}

/** One family of one peer. */
export interface Watched {
  watches: AdjRibInWatches | null;
}

/** Begins to follow what changes from now on. */
export function watchAdjRibIn(
  part: Watched,
  wake: () => void,
  filterChanged: (() => void) | null = null,
): AdjRibInWatch {
  const watches = part.watches ?? new AdjRibInWatches();
  part.watches = watches;
  const watch = new AdjRibInWatch(filterChanged, wake, () => {
    watches.delete(watch);
    if (watches.size === 0 && part.watches === watches) part.watches = null;
  });
  watches.insert(watch);
  return watch;
}

export class AdjRibInWatches {
  readonly #watches = new Set<AdjRibInWatch>();

  get size(): number {
    return this.#watches.size;
  }

  insert(watch: AdjRibInWatch): void {
    this.#watches.add(watch);
  }

  delete(watch: AdjRibInWatch): void {
    this.#watches.delete(watch);
  }

  /** The prefixes of NLRI that has just been taken in; `withIds`: it has path identifiers (RFC 7911). */
  addNlri(prefixes: PrefixTable, buffer: Uint8Array, start: number, end: number, withIds: boolean): void {
    for (let at = start; at < end; ) {
      if (withIds) at += 4;
      const length = buffer[at++];
      const id = prefixes.find(buffer, at, length);
      at += (length + 7) >>> 3;
      if (id !== 0) this.add(id);
    }
  }

  add(id: number): void {
    for (const watch of this.#watches) watch.add(id);
  }

  filterChanged(): void {
    for (const watch of this.#watches) watch.filterChanged?.();
  }
}
