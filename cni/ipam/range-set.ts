// Many address ranges of one family, asked one address at a time: sorted once, searched by halving.
import type { AddressRange } from "./range.ts";
import { compareBytes, mergeRanges } from "./range.ts";

export class RangeSet {
  /** Ascending, without overlaps. */
  readonly #ranges: readonly AddressRange[];

  constructor(ranges: readonly AddressRange[]) {
    this.#ranges = mergeRanges(ranges);
  }

  get isEmpty(): boolean {
    return this.#ranges.length === 0;
  }

  has(address: Uint8Array): boolean {
    const range = this.#ranges[this.#firstEndingAt(address)];
    return range !== undefined && range.first.length === address.length && compareBytes(range.first, address) <= 0;
  }

  /** Those that have an address from `first` to `last`, both included; they may reach beyond. */
  overlapping(first: Uint8Array, last: Uint8Array): readonly AddressRange[] {
    const from = this.#firstEndingAt(first);
    let to = from;
    while (to < this.#ranges.length && compareBytes(this.#ranges[to].first, last) <= 0) to++;
    return this.#ranges.slice(from, to);
  }

  /** Index of the first range that does not end before the address. */
  #firstEndingAt(address: Uint8Array): number {
    let low = 0;
    let high = this.#ranges.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (compareBytes(this.#ranges[middle].last, address) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
