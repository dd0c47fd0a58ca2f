// The blocks that a CIDR can be cut into, numbered from 0. Numbers are bigint: an IPv6 CIDR has more blocks than can be
// counted, and nothing here enumerates them; what is taken is a short list of intervals.
import { type Family, formatAddress, parseAddress } from "../../net/address.ts";
import { formatPrefix, type Prefix, prefix } from "../../net/prefix.ts";
import { parseRange } from "../ipam/range.ts";

/** Both ends belong to it. */
export interface Interval {
  readonly first: bigint;
  readonly last: bigint;
}

export class Space {
  readonly cidr: Prefix;
  /** Prefix length of a block. */
  readonly blockSize: number;
  /** Number of blocks. */
  readonly size: bigint;
  readonly #start: bigint;
  readonly #shift: bigint;

  /** The CIDR is at least as big as a block. */
  constructor(cidr: string, blockSize: number) {
    this.cidr = prefix(cidr);
    this.blockSize = blockSize;
    this.size = 1n << BigInt(blockSize - this.cidr.length);
    this.#start = toNumber(this.cidr.bytes);
    this.#shift = BigInt(this.cidr.bytes.length * 8 - blockSize);
  }

  /** The prefix of a length no longer than the block size that block `index` lies in. */
  prefixAt(index: bigint, length: number = this.blockSize): string {
    const host = BigInt(this.cidr.bytes.length * 8 - length);
    const start = ((this.#start + (index << this.#shift)) >> host) << host;
    return formatPrefix({ family: this.cidr.family, bytes: toBytes(start, this.cidr.bytes.length), length });
  }

  /** The blocks that a prefix or a range touches; null: none of this CIDR. */
  touched(range: AddressInterval): Interval | null {
    const end = this.#start + (this.size << this.#shift) - 1n;
    if (range.family !== this.cidr.family || range.last < this.#start || range.first > end) return null;
    const first = range.first < this.#start ? this.#start : range.first;
    const last = range.last > end ? end : range.last;
    return { first: (first - this.#start) >> this.#shift, last: (last - this.#start) >> this.#shift };
  }

  /** The blocks that a range covers as a whole; null: none. */
  covered(range: AddressInterval): Interval | null {
    if (range.family !== this.cidr.family) return null;
    const block = 1n << this.#shift;
    const first = range.first <= this.#start ? 0n : (range.first - this.#start + block - 1n) >> this.#shift;
    const last = ((range.last + 1n - this.#start) >> this.#shift) - 1n;
    const end = last >= this.size ? this.size - 1n : last;
    return first > end ? null : { first, last: end };
  }
}

export interface AddressInterval {
  readonly family: Family;
  readonly first: bigint;
  readonly last: bigint;
}

/** Of an address, a range `a-b` or a prefix. Throws RangeError for anything else. */
export function interval(text: string): AddressInterval {
  const range = parseRange(text);
  if (!range) throw new RangeError(`not an address, range or prefix: ${text}`);
  return { family: range.first.length === 4 ? 4 : 6, first: toNumber(range.first), last: toNumber(range.last) };
}

/** Ascending, without overlaps or gaps of nothing. */
export function merge(intervals: readonly Interval[]): Interval[] {
  const merged: { first: bigint; last: bigint }[] = [];
  for (const { first, last } of [...intervals].sort((a, b) => (a.first < b.first ? -1 : a.first > b.first ? 1 : 0))) {
    const previous = merged.at(-1);
    if (!previous || first > previous.last + 1n) merged.push({ first, last });
    else if (last > previous.last) previous.last = last;
  }
  return merged;
}

/** The first number from `from` to `to` that is in none of the intervals (merged); null: there is none. */
export function firstFree(taken: readonly Interval[], from: bigint, to: bigint): bigint | null {
  let at = from;
  for (const { first, last } of taken) {
    if (last < at) continue;
    if (first > at) break;
    at = last + 1n;
  }
  return at <= to ? at : null;
}

/** The last `count` addresses of a prefix as `a-b`, and no more than a quarter of it; null: none. */
export function tail(block: string, count: number): string | null {
  const { family, first, last } = interval(block);
  const quarter = (last - first + 1n) / 4n;
  const most = BigInt(count) > quarter ? quarter : BigInt(count);
  if (most <= 0n) return null;
  const length = family === 4 ? 4 : 16;
  return `${formatAddress(toBytes(last - most + 1n, length))}-${formatAddress(toBytes(last, length))}`;
}

/** The block that an address is in, when the prefixes are cut into blocks of this length; null: in none of them. */
export function blockAround(address: string, cidrs: readonly string[], blockSize: number): string | null {
  const at = interval(address);
  for (const cidr of cidrs) {
    const space = new Space(cidr, blockSize);
    const touched = space.touched(at);
    if (touched) return space.prefixAt(touched.first);
  }
  return null;
}

/** The addresses of a range, one after the other. */
export function* addressesOf(range: string): Generator<string> {
  const { family, first, last } = interval(range);
  for (let at = first; at <= last; at++) yield formatAddress(toBytes(at, family === 4 ? 4 : 16));
}

/** Whether an address lies in a range or prefix. */
export function isIn(address: string, range: string): boolean {
  const bytes = parseAddress(address);
  if (!bytes) return false;
  const { family, first, last } = interval(range);
  const value = toNumber(bytes);
  return (family === 4) === (bytes.length === 4) && first <= value && value <= last;
}

function toNumber(bytes: Uint8Array): bigint {
  let value = 0n;
  for (const byte of bytes) value = (value << 8n) | BigInt(byte);
  return value;
}

function toBytes(value: bigint, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = length - 1; i >= 0; i--, value >>= 8n) bytes[i] = Number(value & 0xffn);
  return bytes;
}
