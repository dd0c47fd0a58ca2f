// Ids of nexthop objects: one range of the configuration, shared with whoever else makes nexthops on this host. In: the
// range, what dumps show in it. Out: ids that nobody has, in turn, so that an id just given up is not given out again
// at once.
import type { RoutingOptions } from "../types.ts";

export class NextHopIds {
  readonly base: number;
  readonly count: number;
  /** Of objects of ours, in the kernel or about to be. */
  readonly #used = new Set<number>();
  /** Of the range, and something else's. */
  readonly #occupied = new Set<number>();
  #next: number;

  constructor({ base, count }: RoutingOptions["nextHopIds"]) {
    this.base = base;
    this.count = count;
    this.#next = base;
  }

  /** How many can be allocated. */
  get free(): number {
    return this.count - this.#used.size - this.#occupied.size;
  }

  /** Only while one is free. */
  allocate(): number {
    for (;;) {
      const id = this.#next;
      this.#next = id + 1 < this.base + this.count ? id + 1 : this.base;
      if (this.#used.has(id) || this.#occupied.has(id)) continue;
      this.#used.add(id);
      return id;
    }
  }

  /** An object found in the kernel is ours. */
  adopt(id: number): void {
    this.#used.add(id);
  }

  release(id: number): void {
    this.#used.delete(id);
  }

  isUsed(id: number): boolean {
    return this.#used.has(id);
  }

  /** Something else has it. */
  occupy(id: number): void {
    this.#occupied.add(id);
  }

  isOccupied(id: number): boolean {
    return this.#occupied.has(id);
  }

  /** Before a dump shows anew what others have. */
  forgetOccupied(): void {
    this.#occupied.clear();
  }
}
