// One block of addresses: which are in use, which were given back and in what order, and which comes next.
//
// Addresses never used before come first, in ascending order; then released ones, oldest release first. A block may be
// a whole IPv6 /64: nothing is enumerated. In blocks of more than 2^53 addresses only the first 2^53 are handed out
// unasked, and after RELEASED_LIMIT releases the oldest is taken again, so that memory stays bounded.
import { formatAddress, parseAddress } from "../../net/address.ts";
import { contains, hostPrefix, type Prefix } from "../../net/prefix.ts";
import type { AddressRange } from "./range.ts";
import { compareBytes } from "./range.ts";

const RELEASED_LIMIT = 4096;

interface OrdinalRange {
  readonly first: number;
  /** Infinity when beyond 2^53. */
  readonly last: number;
}

export class Block {
  readonly prefix: Prefix;
  /** Usable addresses; null when more than 2^53. */
  readonly capacity: number | null;
  readonly #excludedBytes: readonly AddressRange[];
  readonly #excluded: readonly OrdinalRange[];
  /** Number of addresses, or 2^53 if there are more. */
  readonly #size: number;
  readonly #used = new Set<string>();
  /** Insertion order is release order. */
  readonly #released = new Set<string>();
  #cursor = 0;
  /** Why no new address is given out, null: nothing speaks against it. */
  held: string | null = null;

  /** `excluded`: merged, ascending, of this block's family; ranges may reach beyond the block. */
  constructor(prefix: Prefix, excluded: readonly AddressRange[]) {
    this.prefix = prefix;
    this.#excludedBytes = excluded.filter((range) => compareBytes(range.last, prefix.bytes) >= 0);
    const size = 1n << BigInt(prefix.bytes.length * 8 - prefix.length);
    const limit = BigInt(Number.MAX_SAFE_INTEGER) + 1n;
    const start = toBigInt(prefix.bytes);
    const end = start + size - 1n;
    let usable = size;
    const ordinals: OrdinalRange[] = [];
    for (const range of this.#excludedBytes) {
      const first = max(toBigInt(range.first), start);
      const last = min(toBigInt(range.last), end);
      if (first > last) continue;
      usable -= last - first + 1n;
      if (first - start < limit)
        ordinals.push({ first: Number(first - start), last: last - start < limit ? Number(last - start) : Infinity });
    }
    this.#excluded = ordinals;
    this.#size = size > limit ? 2 ** 53 : Number(size);
    this.capacity = usable > limit ? null : Number(usable);
  }

  get usedAddresses(): Iterable<string> {
    return this.#used;
  }

  /** Oldest release first. */
  get releasedAddresses(): Iterable<string> {
    return this.#released;
  }

  get used(): number {
    return this.#used.size;
  }

  contains(address: Uint8Array): boolean {
    return contains(this.prefix, hostPrefix(address));
  }

  isExcluded(address: Uint8Array): boolean {
    return this.#excludedBytes.some(
      (range) => compareBytes(range.first, address) <= 0 && compareBytes(address, range.last) <= 0,
    );
  }

  isUsed(address: string): boolean {
    return this.#used.has(address);
  }

  /** The address that `take` should be called with next, or null when the block is exhausted. Changes no owner. */
  next(): string | null {
    const oldest = this.#oldestReleased();
    if (oldest !== null && this.#released.size >= RELEASED_LIMIT) return oldest;
    return this.#nextFresh() ?? oldest;
  }

  /** Marks an address as in use. False when it is already. */
  take(address: string): boolean {
    if (this.#used.has(address)) return false;
    this.#released.delete(address);
    this.#used.add(address);
    return true;
  }

  /** Puts an address at the back of the queue, unless it has been excluded since it was given. */
  release(address: string): void {
    this.#used.delete(address);
    this.#released.delete(address);
    if (!this.isExcluded(parseAddress(address)!)) this.#released.add(address);
  }

  #oldestReleased(): string | null {
    for (const address of this.#released) return address;
    return null;
  }

  #nextFresh(): string | null {
    while (this.#cursor < this.#size) {
      const range = this.#excluded.find(
        (candidate) => candidate.first <= this.#cursor && this.#cursor <= candidate.last,
      );
      if (range) {
        this.#cursor = range.last + 1;
        continue;
      }
      const address = formatAddress(this.#bytesAt(this.#cursor));
      if (!this.#used.has(address) && !this.#released.has(address)) return address;
      this.#cursor++;
    }
    return null;
  }

  #bytesAt(ordinal: number): Uint8Array {
    const bytes = Uint8Array.from(this.prefix.bytes);
    let rest = ordinal;
    for (let i = bytes.length - 1; rest > 0; i--) {
      bytes[i] |= rest % 256;
      rest = Math.floor(rest / 256);
    }
    return bytes;
  }
}

function toBigInt(bytes: Uint8Array): bigint {
  return BigInt(`0x${Buffer.from(bytes).toString("hex")}`);
}

function max(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}

function min(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}
