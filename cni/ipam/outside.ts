// Addresses that are in no block of a pool: in use by exception, or by pods from before the pools were changed while nobody
// ran; and those given back whose block may come again.
import type { Owner } from "./block.ts";
import type { Released } from "./release-queue.ts";

/** So many given back are remembered; the oldest is forgotten first. */
const RELEASED_LIMIT = 4096;

export class Outside {
  readonly #owners = new Map<string, Owner>();
  /** Insertion order is release order. */
  readonly #released = new Map<string, Released>();

  get owners(): ReadonlyMap<string, Owner> {
    return this.#owners;
  }

  ownerOf(address: string): Owner | undefined {
    return this.#owners.get(address);
  }

  take(address: string, owner: Owner): void {
    this.#released.delete(address);
    this.#owners.set(address, owner);
  }

  forget(address: string): void {
    this.#owners.delete(address);
  }

  released(address: string): Released | undefined {
    return this.#released.get(address);
  }

  release(entry: Released): void {
    this.#released.delete(entry.address);
    this.#released.set(entry.address, entry);
    if (this.#released.size <= RELEASED_LIMIT) return;
    for (const address of this.#released.keys()) {
      this.#released.delete(address);
      break;
    }
  }

  /** Takes out and returns, oldest first, those that a block has now. */
  takeReleased(isCovered: (address: string) => boolean): Released[] {
    const covered = [...this.#released.values()].filter(({ address }) => isCovered(address));
    for (const { address } of covered) this.#released.delete(address);
    return covered;
  }
}
