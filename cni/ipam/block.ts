// One block of addresses: which are in use and by whom, which were given back and when, and which comes next.
//
// Addresses never used before come first, in ascending order; then released ones, oldest release first, none before its
// cooldown has passed. An address that was given back is `cooling`, then `ready`; or it is `kept` for a pod that may
// come again (sticky.ts says which and for how long). A block may be a whole IPv6 /64: nothing is enumerated. In blocks
// of more than 2^53 addresses only the first 2^53 are handed out unasked, and from RELEASED_LIMIT released ones on the
// oldest that is ready is taken again; so memory holds that many, or as many as are released within one cooldown if
// those are more.
import { type Family, formatAddress } from "../../net/address.ts";
import { contains, formatPrefix, hostPrefix, type Prefix } from "../../net/prefix.ts";
import { parsed } from "./parsed.ts";
import { type AddressRange, lastAddress } from "./range.ts";
import type { RangeSet } from "./range-set.ts";
import { type QueueNode, type Released, ReleaseQueue } from "./release-queue.ts";

const RELEASED_LIMIT = 4096;
const ORDINAL_LIMIT = 2n ** 53n;

/** Who has an address. */
export interface Owner {
  readonly sequence: number;
  readonly identity: string | null;
  readonly pool: string;
  readonly keep: "name" | "asked" | null;
}

export interface BlockSpec {
  readonly prefix: Prefix;
  /** Given to nobody. */
  readonly excluded: RangeSet;
  /** Given to nobody who does not ask for them: excluded and reserved ones. */
  readonly withheld: RangeSet;
  /** Milliseconds. */
  readonly cooldown: number;
}

/** Addresses by what they are. What is excluded is not counted. */
export interface BlockCounts {
  /** Null: more than 2^53, and so for `free` and `reserved`. */
  readonly capacity: number | null;
  readonly used: number;
  /** To be had at once. */
  readonly free: number | null;
  readonly cooling: number;
  /** Given only by name, and not in use. */
  readonly reserved: number | null;
  /** Kept for pods that may come again. */
  readonly sticky: number;
}

export class Block {
  readonly prefix: Prefix;
  readonly family: Family;
  readonly text: string;
  /** Usable addresses, reserved ones included; null when more than 2^53. */
  readonly capacity: number | null;
  readonly #spec: BlockSpec;
  /** Withheld ones by ordinal, ascending; an end beyond 2^53 is Infinity. */
  readonly #skipped: readonly { readonly first: number; readonly last: number }[];
  /** Number of addresses, or 2^53 if there are more. */
  readonly #size: number;
  readonly #reservedSize: bigint;
  readonly #used = new Map<string, Owner>();
  #usedReserved = 0;
  #usedExcluded = 0;
  readonly #released = new Map<string, QueueNode>();
  readonly #cooling = new ReleaseQueue();
  readonly #ready = new ReleaseQueue();
  readonly #kept = new ReleaseQueue();
  /** Cooled down, and given only by name or to nobody. */
  readonly #aside = new ReleaseQueue();
  /** Cooling ones that are withheld: not free, whatever happens. */
  #coolingWithheld = 0;
  #keptWithheld = 0;
  #cursor = 0;
  /** Of #skipped: the first that does not end before the cursor. */
  #skip = 0;
  #emptySince: number | null;
  /** Why no new address is given out, null: nothing speaks against it. */
  held: string | null = null;

  constructor(spec: BlockSpec, now: number) {
    const { prefix } = spec;
    this.#emptySince = now;
    this.#spec = spec;
    this.prefix = prefix;
    this.family = prefix.family;
    this.text = formatPrefix(prefix);
    const size = 1n << BigInt(prefix.bytes.length * 8 - prefix.length);
    const start = toBigInt(prefix.bytes);
    const last = lastAddress(prefix);
    const excluded = within(spec.excluded.overlapping(prefix.bytes, last), start, size);
    const withheld = within(spec.withheld.overlapping(prefix.bytes, last), start, size);
    const usable = size - total(excluded);
    this.#reservedSize = total(withheld) - total(excluded);
    this.#skipped = withheld
      .filter(([first]) => first < ORDINAL_LIMIT)
      .map(([first, end]) => ({ first: Number(first), last: end < ORDINAL_LIMIT ? Number(end) : Infinity }));
    this.#size = size > ORDINAL_LIMIT ? 2 ** 53 : Number(size);
    this.capacity = usable > ORDINAL_LIMIT ? null : Number(usable);
  }

  /** Whether a block of this description would be the same as this one. */
  matches({ prefix, excluded, withheld, cooldown }: BlockSpec): boolean {
    const own = this.#spec;
    const same = own.excluded === excluded && own.withheld === withheld && own.cooldown === cooldown;
    return same && formatPrefix(prefix) === this.text;
  }

  get owners(): ReadonlyMap<string, Owner> {
    return this.#used;
  }

  get used(): number {
    return this.#used.size;
  }

  /** Since when no address has had an owner; null: one has. */
  get emptySince(): number | null {
    return this.#emptySince;
  }

  /** Oldest first of each kind: those for anybody, then those that are kept. */
  released(): Released[] {
    return [...this.#aside.entries(), ...this.#ready.entries(), ...this.#cooling.entries(), ...this.#kept.entries()];
  }

  keptEntries(): Released[] {
    return [...this.#kept.entries()];
  }

  counts(now: number): BlockCounts {
    this.#promote(now);
    const { capacity } = this;
    const used = this.#used.size;
    const cooling = this.#cooling.size;
    const sticky = this.#kept.size;
    if (capacity === null) return { capacity, used, free: null, cooling, reserved: null, sticky };
    const reserved = Number(this.#reservedSize) - this.#usedReserved;
    const taken = used - this.#usedExcluded + cooling - this.#coolingWithheld + sticky - this.#keptWithheld;
    return { capacity, used, free: capacity - reserved - taken, cooling, reserved, sticky };
  }

  contains(address: Uint8Array): boolean {
    return contains(this.prefix, hostPrefix(address));
  }

  isExcluded(address: Uint8Array): boolean {
    return this.#spec.excluded.has(address);
  }

  /** Given only to who asks for it by name. */
  isReserved(address: Uint8Array): boolean {
    return this.#spec.withheld.has(address) && !this.isExcluded(address);
  }

  ownerOf(address: string): Owner | undefined {
    return this.#used.get(address);
  }

  /** What is known of an address that was given back and has no owner. */
  releasedEntry(address: string): Released | undefined {
    return this.#released.get(address)?.entry;
  }

  isKept(address: string): boolean {
    return this.#released.get(address)?.queue === this.#kept;
  }

  /** Milliseconds until somebody else may have it; 0 when it is not cooling. */
  coolingTime(address: string, now: number): number {
    const entry = this.#released.get(address)?.entry;
    return entry ? Math.max(0, entry.at + this.#spec.cooldown - now) : 0;
  }

  /** The address that `take` should be called with next, or null when there is none now. Changes no owner. */
  next(now: number): string | null {
    this.#promote(now);
    const oldest = this.#ready.head?.entry.address ?? null;
    if (oldest !== null && this.#ready.size + this.#cooling.size >= RELEASED_LIMIT) return oldest;
    return this.#nextFresh() ?? oldest;
  }

  /** Of the cooling ones the first that was given back, null: there is none for anybody. */
  longestCooling(now: number): Released | null {
    this.#promote(now);
    for (let node = this.#cooling.head; node; node = node.after)
      if (!this.#isWithheld(node.entry.address)) return node.entry;
    return null;
  }

  /** Milliseconds until an address has cooled down, null: none is cooling. */
  nextIn(now: number): number | null {
    const entry = this.longestCooling(now);
    return entry && entry.at + this.#spec.cooldown - now;
  }

  /** Marks an address as in use. False when it is already. */
  take(address: string, owner: Owner): boolean {
    if (this.#used.has(address)) return false;
    this.#leave(address);
    this.#emptySince = null;
    this.#used.set(address, owner);
    this.#countUsed(address, 1);
    return true;
  }

  /** The owner is gone; `kept` for its identity, or for anybody when the cooldown has passed. */
  release(entry: Released, kept: boolean, now: number): void {
    const { address } = entry;
    this.#forgetOwner(address, now);
    this.#leave(address);
    const node: QueueNode = { entry, queue: null, before: null, after: null };
    this.#released.set(address, node);
    const withheld = this.#isWithheld(address) ? 1 : 0;
    if (kept) this.#keptWithheld += withheld;
    else this.#coolingWithheld += withheld;
    (kept ? this.#kept : this.#cooling).insert(node);
  }

  /** The owner is gone, and nothing is remembered of it. */
  unuse(address: string, now: number): void {
    this.#forgetOwner(address, now);
  }

  /** An address that is nobody's is as if it had never been given to anybody. */
  rewind(address: string): void {
    const ordinal = this.#ordinalOf(address);
    if (ordinal >= this.#cursor || this.#isWithheld(address)) return;
    this.#cursor = ordinal;
    while (this.#skip > 0 && this.#skipped[this.#skip - 1].last >= ordinal) this.#skip--;
  }

  #forgetOwner(address: string, now: number): void {
    if (!this.#used.delete(address)) return;
    this.#countUsed(address, -1);
    if (this.#used.size === 0) this.#emptySince = now;
  }

  #countUsed(address: string, by: number): void {
    if (!this.#isWithheld(address)) return;
    if (this.isExcluded(parsed(address)!)) this.#usedExcluded += by;
    else this.#usedReserved += by;
  }

  /** Out of the queue that it is in. */
  #leave(address: string): void {
    const node = this.#released.get(address);
    if (!node) return;
    const withheld = this.#isWithheld(address) ? 1 : 0;
    if (node.queue === this.#kept) this.#keptWithheld -= withheld;
    if (node.queue === this.#cooling) this.#coolingWithheld -= withheld;
    node.queue?.remove(node);
    this.#released.delete(address);
  }

  #promote(now: number): void {
    for (let node = this.#cooling.head; node && node.entry.at + this.#spec.cooldown <= now; node = this.#cooling.head) {
      this.#cooling.remove(node);
      const withheld = this.#isWithheld(node.entry.address);
      if (withheld) this.#coolingWithheld--;
      (withheld ? this.#aside : this.#ready).insert(node);
    }
    if (this.#aside.size > RELEASED_LIMIT) this.#leave(this.#aside.head!.entry.address);
  }

  #isWithheld(address: string): boolean {
    return !this.#spec.withheld.isEmpty && this.#spec.withheld.has(parsed(address)!);
  }

  #nextFresh(): string | null {
    while (this.#cursor < this.#size) {
      const range = this.#skipped[this.#skip];
      if (range && range.last < this.#cursor) {
        this.#skip++;
        continue;
      }
      if (range && range.first <= this.#cursor) {
        this.#cursor = range.last + 1;
        continue;
      }
      const address = formatAddress(this.#bytesAt(this.#cursor));
      if (!this.#used.has(address) && !this.#released.has(address)) return address;
      this.#cursor++;
    }
    return null;
  }

  #ordinalOf(address: string): number {
    const { bytes } = this.prefix;
    let ordinal = 0;
    parsed(address)!.forEach((byte, i) => {
      ordinal = ordinal * 256 + (byte - bytes[i]);
    });
    return ordinal;
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

type Ordinals = readonly [first: bigint, last: bigint];

/** The ranges' parts in a block, counted from its first address. */
function within(ranges: readonly AddressRange[], start: bigint, size: bigint): Ordinals[] {
  return ranges.map(({ first, last }) => {
    const from = toBigInt(first) - start;
    const to = toBigInt(last) - start;
    return [from > 0n ? from : 0n, to < size ? to : size - 1n];
  });
}

function total(ranges: readonly Ordinals[]): bigint {
  return ranges.reduce((sum, [first, last]) => sum + last - first + 1n, 0n);
}

function toBigInt(bytes: Uint8Array): bigint {
  return BigInt(`0x${Buffer.from(bytes).toString("hex")}`);
}

/** Of several blocks together. */
export function sumOf(counts: readonly BlockCounts[]): BlockCounts {
  const add = (of: (counts: BlockCounts) => number | null) =>
    counts.reduce<number | null>((total, one) => {
      const value = of(one);
      return total === null || value === null ? null : total + value;
    }, 0);
  return {
    capacity: add(({ capacity }) => capacity),
    used: add(({ used }) => used)!,
    free: add(({ free }) => free),
    cooling: add(({ cooling }) => cooling)!,
    reserved: add(({ reserved }) => reserved),
    sticky: add(({ sticky }) => sticky)!,
  };
}
