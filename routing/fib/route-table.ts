// The learned routes of one family in one table: what is wanted and what the kernel has, side by side, keyed by prefix.
//
// Columns over typed arrays, found through an open-addressing hash; no object per route, about 30 bytes each for IPv4.
// A route whose two sides may differ is dirty; they are handed out in the order in which they became dirty, and where that
// is a sorted one, every eighth first: the kernel is quickest in the order in which it got the routes, and four to eight
// times slower in sorted order, see docs/decisions/0010-write-path.md.
//
// A prefix that is not needed any more stays known until half of them are like that: forgetting one by one costs as much
// as writing it, and what was withdrawn often comes back.
import type { Family } from "../../net/address.ts";

const DIRTY = 1;
const STALE = 2;
const FAILED = 4;
const SEEN = 8;
const USED = 16;

/** Passes over the work, each taking every so many-th entry. */
const TEETH = 8;
const INITIAL = 64;
const FORGET_MIN = 4096;

export class RouteTable {
  readonly family: Family;
  readonly table: number;
  /** Bytes per address: 4 or 16. */
  readonly size: number;
  /** Prefix of id n: `size` bytes at n * size, and lengths[n]. */
  addresses!: Uint8Array;
  /** The same memory: one word, or four, at id * size / 4. */
  words!: Uint32Array;
  lengths!: Uint8Array;
  /** Next-hop set wanted; 0: no route wanted. Change through want(). */
  desired!: Uint32Array;
  /** Nexthop object id of the route in the kernel; 0: no route there. Change through setKernel(). */
  kernel!: Uint32Array;
  /** Routes wanted, and of these how many are in the kernel. */
  desiredCount = 0;
  installedCount = 0;
  staleCount = 0;
  #flags!: Uint8Array;
  #index!: Int32Array;
  #indexMask = 0;
  /** Ids in use are below this, apart from the free ones. */
  #top = 0;
  #free: number[] = [];
  #size = 0;
  #dirty!: Uint32Array;
  #dirtyCount = 0;
  #work!: Uint32Array;
  #workCount = 0;
  #workLeft = 0;
  #workAt = 0;
  #workFirst = 0;
  #stride = 1;
  /** Calls of releaseIfUnused that found a prefix unneeded: at most so many are, some twice. */
  #unneeded = 0;

  readonly #forgetMin: number;

  /** `forgetMin`: prefixes that nobody needs and that are not worth looking for. */
  constructor(family: Family, table: number, forgetMin = FORGET_MIN) {
    this.family = family;
    this.table = table;
    this.size = family === 4 ? 4 : 16;
    this.#forgetMin = forgetMin;
    this.#allocate();
  }

  /** Empty. */
  #allocate(): void {
    this.addresses = new Uint8Array(INITIAL * this.size);
    this.words = new Uint32Array(this.addresses.buffer);
    this.lengths = new Uint8Array(INITIAL);
    this.desired = new Uint32Array(INITIAL);
    this.kernel = new Uint32Array(INITIAL);
    this.#flags = new Uint8Array(INITIAL);
    this.#index = new Int32Array(INITIAL * 2).fill(-1);
    this.#indexMask = this.#index.length - 1;
    this.#top = 0;
    this.#free = [];
    this.#dirty = new Uint32Array(INITIAL);
    this.#work = new Uint32Array(INITIAL);
  }

  /** Every id is below this; those not in use have desired and kernel 0. */
  get top(): number {
    return this.#top;
  }

  /** Prefixes held. */
  get count(): number {
    return this.#size;
  }

  /** Ids waiting for next(). */
  get dirty(): number {
    return this.#dirtyCount + this.#workLeft;
  }

  find(bytes: Uint8Array, offset: number, length: number): number {
    for (let slot = this.#hash(bytes, offset, length) & this.#indexMask; ; slot = (slot + 1) & this.#indexMask) {
      const id = this.#index[slot];
      if (id < 0 || this.#equal(id, bytes, offset, length)) return id;
    }
  }

  /** The id of the prefix, new or not. */
  intern(bytes: Uint8Array, offset: number, length: number): number {
    const found = this.find(bytes, offset, length);
    if (found >= 0) return found;
    if (this.#free.length === 0 && this.#top === this.lengths.length) {
      this.forgetUnused();
      if (this.#free.length === 0 && this.#top === this.lengths.length) this.#grow();
    }
    const id = this.#free.pop() ?? this.#top++;
    const at = id * this.size;
    for (let i = 0; i < this.size; i++) this.addresses[at + i] = bytes[offset + i];
    this.lengths[id] = length;
    this.#flags[id] = USED;
    this.#size++;
    if (this.#size * 2 > this.#index.length) this.#rehash(this.#index.length * 2);
    else this.#insert(id);
    return id;
  }

  /** Nothing more is to be done with the prefix for now: it may be forgotten if nothing is wanted, installed or queued. */
  releaseIfUnused(id: number): void {
    if (this.desired[id] === 0 && this.kernel[id] === 0) this.#unneeded++;
  }

  /** Forgets what is not needed any more, when that is half of everything. To be called when nothing is urgent. */
  forgetUnused(): void {
    if (this.#unneeded < this.#forgetMin || this.#unneeded * 2 < this.#size) return;
    let unneeded = 0;
    for (let id = 0; id < this.#top; id++) if (this.#isUnneeded(id)) unneeded++;
    this.#unneeded = unneeded;
    if (unneeded < this.#forgetMin || unneeded * 2 < this.#size) return;
    this.#unneeded = 0;
    this.#size -= unneeded;
    if (this.#size === 0) {
      this.#allocate();
      return;
    }
    for (let id = 0; id < this.#top; id++) {
      if (!this.#isUnneeded(id)) continue;
      this.#flags[id] = 0;
      this.#free.push(id);
    }
    let slots = INITIAL * 2;
    while (slots < this.#size * 2) slots *= 2;
    this.#rehash(slots);
  }

  #isUnneeded(id: number): boolean {
    return this.desired[id] === 0 && this.kernel[id] === 0 && (this.#flags[id] & (USED | DIRTY)) === USED;
  }

  /** Sets what is wanted; also takes back that the route is stale or failed. */
  want(id: number, set: number): void {
    const before = this.desired[id];
    if (before === 0 && set !== 0) {
      this.desiredCount++;
      if (this.kernel[id] !== 0) this.installedCount++;
    } else if (before !== 0 && set === 0) {
      this.desiredCount--;
      if (this.kernel[id] !== 0) this.installedCount--;
    }
    this.desired[id] = set;
    this.setStale(id, false);
    this.#flags[id] &= ~FAILED;
  }

  setKernel(id: number, nextHopId: number): void {
    if (this.desired[id] !== 0) {
      if (this.kernel[id] === 0 && nextHopId !== 0) this.installedCount++;
      else if (this.kernel[id] !== 0 && nextHopId === 0) this.installedCount--;
    }
    this.kernel[id] = nextHopId;
    this.#flags[id] |= SEEN;
    if (nextHopId === 0) this.setStale(id, false);
  }

  isStale(id: number): boolean {
    return (this.#flags[id] & STALE) !== 0;
  }

  setStale(id: number, stale: boolean): void {
    if (this.isStale(id) === stale) return;
    this.#flags[id] ^= STALE;
    this.staleCount += stale ? 1 : -1;
  }

  isFailed(id: number): boolean {
    return (this.#flags[id] & FAILED) !== 0;
  }

  setFailed(id: number, failed: boolean): void {
    if (failed) this.#flags[id] |= FAILED;
    else this.#flags[id] &= ~FAILED;
  }

  /** Whether a dump, or a write of ours since it began, has told the kernel's state of this route. */
  isSeen(id: number): boolean {
    return (this.#flags[id] & SEEN) !== 0;
  }

  clearSeen(): void {
    for (let id = 0; id < this.#top; id++) this.#flags[id] &= ~SEEN;
  }

  isUsed(id: number): boolean {
    return (this.#flags[id] & USED) !== 0;
  }

  markDirty(id: number): void {
    if (this.#flags[id] & DIRTY) return;
    this.#flags[id] |= DIRTY;
    if (this.#dirtyCount === this.#dirty.length) this.#dirty = grown(this.#dirty);
    this.#dirty[this.#dirtyCount++] = id;
  }

  /** Takes a dirty id; -1 when there is none. */
  next(): number {
    if (this.#workLeft === 0) {
      if (this.#dirtyCount === 0) return -1;
      const empty = this.#work;
      this.#work = this.#dirty;
      this.#dirty = empty;
      this.#workCount = this.#workLeft = this.#dirtyCount;
      this.#dirtyCount = 0;
      this.#workAt = this.#workFirst = 0;
      this.#stride = this.#mostlyReplacements() || !this.#mostlySorted() ? 1 : TEETH;
    }
    const id = this.#work[this.#workAt];
    this.#workAt += this.#stride;
    if (this.#workAt >= this.#workCount) this.#workAt = ++this.#workFirst;
    this.#workLeft--;
    this.#flags[id] &= ~DIRTY;
    return id;
  }

  /** Replacing is as quick in any order for the kernel, and quicker for us in the order that ids came. */
  #mostlyReplacements(): boolean {
    const samples = Math.min(64, this.#workCount);
    let others = 0;
    for (let i = 0; i < samples; i++) {
      const id = this.#work[Math.floor((i * this.#workCount) / samples)];
      if (this.desired[id] === 0 || this.kernel[id] === 0) others++;
    }
    return others * 4 < samples;
  }

  /** Whether neighbours in the work are mostly ascending, or mostly descending; one in order in two is chance. */
  #mostlySorted(): boolean {
    const samples = Math.min(64, this.#workCount - 1);
    let ascending = 0;
    for (let i = 0; i < samples; i++) {
      const at = Math.floor((i * (this.#workCount - 1)) / samples);
      if (this.#before(this.#work[at], this.#work[at + 1])) ascending++;
    }
    return Math.max(ascending, samples - ascending) * 4 >= samples * 3;
  }

  #before(id: number, other: number): boolean {
    const [a, b] = [id * this.size, other * this.size];
    for (let i = 0; i < this.size; i++)
      if (this.addresses[a + i] !== this.addresses[b + i]) return this.addresses[a + i] < this.addresses[b + i];
    return this.lengths[id] < this.lengths[other];
  }

  #hash(bytes: Uint8Array, offset: number, length: number): number {
    let hash = mix(length, wordAt(bytes, offset));
    for (let i = 4; i < this.size; i += 4) hash = mix(hash, wordAt(bytes, offset + i));
    hash = Math.imul(hash, 0x85ebca6b);
    return hash ^ (hash >>> 13);
  }

  #equal(id: number, bytes: Uint8Array, offset: number, length: number): boolean {
    if (this.lengths[id] !== length) return false;
    const at = id * this.size;
    for (let i = 0; i < this.size; i += 4)
      if (wordAt(this.addresses, at + i) !== wordAt(bytes, offset + i)) return false;
    return true;
  }

  #insert(id: number): void {
    let slot = this.#hash(this.addresses, id * this.size, this.lengths[id]) & this.#indexMask;
    while (this.#index[slot] >= 0) slot = (slot + 1) & this.#indexMask;
    this.#index[slot] = id;
  }

  #rehash(slots: number): void {
    this.#index = new Int32Array(slots).fill(-1);
    this.#indexMask = slots - 1;
    for (let id = 0; id < this.#top; id++) if (this.#flags[id] & USED) this.#insert(id);
  }

  #grow(): void {
    const before = this.lengths.length;
    const addresses = new Uint8Array(before * 2 * this.size);
    addresses.set(this.addresses);
    this.addresses = addresses;
    this.words = new Uint32Array(addresses.buffer);
    const lengths = new Uint8Array(before * 2);
    lengths.set(this.lengths);
    this.lengths = lengths;
    const flags = new Uint8Array(before * 2);
    flags.set(this.#flags);
    this.#flags = flags;
    this.desired = grown(this.desired);
    this.kernel = grown(this.kernel);
  }
}

function grown(array: Uint32Array): Uint32Array {
  const larger = new Uint32Array(array.length * 2);
  larger.set(array);
  return larger;
}

function wordAt(bytes: Uint8Array, at: number): number {
  return bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24);
}

function mix(hash: number, word: number): number {
  const mixed = Math.imul(hash ^ word, 0x9e3779b1);
  return mixed ^ (mixed >>> 15);
}
