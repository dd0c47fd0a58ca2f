// Prefixes as dense ids: interned once, then an id stands for a prefix in every array of the RIB. Open addressing with
// linear probing over typed arrays, no object per prefix; one table per family because the keys differ in width.
//
// In: prefixes as they stand in NLRI (RFC 4271 §4.3: the bits that count, in as few octets as hold them). Out: ids from 1
// on; 0 is never an id. Ids count references; one that nobody refers to goes back to the free list in a sweep,
// so that a flapping prefix keeps its id and no user of ids has to clean up at once.
import type { Family } from "./address.ts";
import { DirtySet } from "./dirty-set.ts";

const INITIAL_IDS = 1024;
/** A slot holds an id and, above it, bits of the key's hash: most keys that differ are told apart without a look at them. */
const ID_BITS = 26;
const ID_MASK = (1 << ID_BITS) - 1;
/** The length of an id that stands for nothing. */
const FREE = 255;

/** Chosen per process, so that nobody outside can prepare prefixes that all hash alike. */
const seed = (Math.random() * 0x1_0000_0000) | 0;

/** What stands in a slot. */
function slotOf(id: number, hash: number): number {
  return (hash & ~ID_MASK) | id;
}

function mix(value: number, length: number): number {
  let hash = (Math.imul(value ^ seed, 0x9e3779b1) + Math.imul(length, 0x85ebca6b)) | 0;
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
  return hash ^ (hash >>> 13);
}

export abstract class PrefixTable {
  abstract readonly family: Family;
  protected lengths = new Uint8Array(INITIAL_IDS);
  /** Power of two, at least twice the ids: 0, or see ID_BITS. */
  protected slots = new Uint32Array(INITIAL_IDS * 2);
  #references = new Uint16Array(INITIAL_IDS);
  readonly #free: number[] = [];
  readonly #garbage = new DirtySet();
  readonly #batch = new Uint32Array(256);
  #next = 1;
  #size = 0;

  /**
   * The id of a prefix, given to it when it has none; the caller retains it. Reads ceil(length / 8) octets at
   * buffer[at...].
   */
  abstract intern(buffer: Uint8Array, at: number, length: number): number;
  /** As intern, but 0 when the prefix has no id. */
  abstract find(buffer: Uint8Array, at: number, length: number): number;
  /** 32 bits of the address, host order; `index` 0 is the first word. */
  abstract word(id: number, index: number): number;
  protected abstract hashOf(id: number): number;
  protected abstract growKeys(ids: number): void;

  /** Prefixes that have an id. */
  get size(): number {
    return this.#size;
  }

  /** All ids are below this. */
  get limit(): number {
    return this.#next;
  }

  /** Ids without a reference that wait for a sweep. */
  get garbage(): number {
    return this.#garbage.size;
  }

  lengthOf(id: number): number {
    return this.lengths[id];
  }

  /** Writes the whole address (4 or 16 octets, network order) to out[offset...]; returns the length in bits. */
  read(id: number, out: Uint8Array, offset: number): number {
    const words = this.family === 4 ? 1 : 4;
    for (let i = 0; i < words; i++) {
      const word = this.word(id, i);
      out[offset++] = word >>> 24;
      out[offset++] = word >>> 16;
      out[offset++] = word >>> 8;
      out[offset++] = word;
    }
    return this.lengths[id];
  }

  retain(id: number): void {
    this.#references[id]++;
  }

  release(id: number): void {
    if (--this.#references[id] === 0) this.#garbage.add(id);
  }

  /** Frees up to a few hundred ids that nobody retains; `inUse` may keep one back for a later sweep. */
  sweep(inUse: (id: number) => boolean): void {
    const count = this.#garbage.take(this.#batch);
    for (let i = 0; i < count; i++) {
      const id = this.#batch[i];
      if (this.#references[id] !== 0) continue;
      if (inUse(id)) this.#garbage.add(id);
      else this.#remove(id);
    }
  }

  /** Puts a free id into the slot; the caller writes the rest of the key. */
  protected allocate(slot: number, hash: number, length: number): number {
    const id = this.#free.pop() ?? this.#next;
    if (id === this.#next) {
      if (id > ID_MASK) throw new RangeError(`more than ${ID_MASK} prefixes`);
      this.#next++;
    }
    if (id >= this.lengths.length) this.#grow();
    this.#size++;
    this.lengths[id] = length;
    this.slots[slot] = slotOf(id, hash);
    return id;
  }

  #grow(): void {
    const ids = this.lengths.length * 2;
    const lengths = new Uint8Array(ids);
    lengths.set(this.lengths);
    this.lengths = lengths;
    const references = new Uint16Array(ids);
    references.set(this.#references);
    this.#references = references;
    this.growKeys(ids);
  }

  /** Doubles the slots when they are more than half full. Called by intern before it probes. */
  protected rehashWhenFull(): void {
    if (this.#size * 2 < this.slots.length) return;
    const slots = new Uint32Array(this.slots.length * 2);
    const mask = slots.length - 1;
    // By id and not by slot: then the keys at least are read in sequence.
    for (let id = 1; id < this.#next; id++) {
      if (this.lengths[id] === FREE) continue;
      const hash = this.hashOf(id);
      let at = hash & mask;
      while (slots[at] !== 0) at = (at + 1) & mask;
      slots[at] = slotOf(id, hash);
    }
    this.slots = slots;
  }

  #remove(id: number): void {
    const { slots } = this;
    const mask = slots.length - 1;
    let hole = this.hashOf(id) & mask;
    while ((slots[hole] & ID_MASK) !== id) hole = (hole + 1) & mask;
    // Move up what probed past the hole, so that no tombstones are needed.
    for (let at = (hole + 1) & mask; slots[at] !== 0; at = (at + 1) & mask) {
      const home = this.hashOf(slots[at] & ID_MASK) & mask;
      if (((at - home) & mask) >= ((at - hole) & mask)) {
        slots[hole] = slots[at];
        hole = at;
      }
    }
    slots[hole] = 0;
    this.lengths[id] = FREE;
    this.#free.push(id);
    this.#size--;
  }
}

export class Ipv4PrefixTable extends PrefixTable {
  override readonly family = 4;
  #addresses = new Uint32Array(INITIAL_IDS);

  override intern(buffer: Uint8Array, at: number, length: number): number {
    this.rehashWhenFull();
    const address = readIpv4(buffer, at, length);
    const hash = mix(address, length);
    const slot = this.#probe(hash, address, length);
    const found = this.slots[slot] & ID_MASK;
    if (found !== 0) return found;
    const id = this.allocate(slot, hash, length);
    this.#addresses[id] = address;
    return id;
  }

  override find(buffer: Uint8Array, at: number, length: number): number {
    const address = readIpv4(buffer, at, length);
    return this.slots[this.#probe(mix(address, length), address, length)] & ID_MASK;
  }

  override word(id: number, _index: number): number {
    return this.#addresses[id];
  }

  /** The slot that holds the key, or the empty one where it belongs. */
  #probe(hash: number, address: number, length: number): number {
    const { slots } = this;
    const mask = slots.length - 1;
    for (let at = hash & mask; ; at = (at + 1) & mask) {
      const slot = slots[at];
      if (slot === 0) return at;
      if ((slot ^ hash) >>> ID_BITS !== 0) continue;
      const id = slot & ID_MASK;
      if (this.#addresses[id] === address && this.lengths[id] === length) return at;
    }
  }

  protected override hashOf(id: number): number {
    return mix(this.#addresses[id], this.lengths[id]);
  }

  protected override growKeys(ids: number): void {
    const addresses = new Uint32Array(ids);
    addresses.set(this.#addresses);
    this.#addresses = addresses;
  }
}

export class Ipv6PrefixTable extends PrefixTable {
  override readonly family = 6;
  #words = new Uint32Array(INITIAL_IDS * 4);
  readonly #key = new Uint32Array(4);

  override intern(buffer: Uint8Array, at: number, length: number): number {
    this.rehashWhenFull();
    const hash = this.#readKey(buffer, at, length);
    const slot = this.#probe(hash, length);
    const found = this.slots[slot] & ID_MASK;
    if (found !== 0) return found;
    const id = this.allocate(slot, hash, length);
    this.#words.set(this.#key, id * 4);
    return id;
  }

  override find(buffer: Uint8Array, at: number, length: number): number {
    const hash = this.#readKey(buffer, at, length);
    return this.slots[this.#probe(hash, length)] & ID_MASK;
  }

  override word(id: number, index: number): number {
    return this.#words[id * 4 + index];
  }

  /** Reads a prefix into #key, returns its hash. */
  #readKey(buffer: Uint8Array, at: number, length: number): number {
    for (let i = 0; i < 4; i++) {
      const bits = Math.min(32, Math.max(0, length - i * 32));
      this.#key[i] = bits === 0 ? 0 : readIpv4(buffer, at + i * 4, bits);
    }
    const key = this.#key;
    return hash128(key[0], key[1], key[2], key[3], length);
  }

  #probe(hash: number, length: number): number {
    const { slots, lengths } = this;
    const words = this.#words;
    const key = this.#key;
    const mask = slots.length - 1;
    for (let at = hash & mask; ; at = (at + 1) & mask) {
      const slot = slots[at];
      if (slot === 0) return at;
      if ((slot ^ hash) >>> ID_BITS !== 0) continue;
      const id = slot & ID_MASK;
      if (lengths[id] !== length) continue;
      const from = id * 4;
      let i = 0;
      while (i < 4 && words[from + i] === key[i]) i++;
      if (i === 4) return at;
    }
  }

  protected override hashOf(id: number): number {
    const words = this.#words;
    const w = id * 4;
    return hash128(words[w], words[w + 1], words[w + 2], words[w + 3], this.lengths[id]);
  }

  protected override growKeys(ids: number): void {
    const words = new Uint32Array(ids * 4);
    words.set(this.#words);
    this.#words = words;
  }
}

function hash128(a: number, b: number, c: number, d: number, length: number): number {
  return mix(mix(mix(mix(a, 1) ^ b, 2) ^ c, 3) ^ d, length);
}

/** Up to four octets of a prefix as an unsigned number, bits after `length` cleared. */
function readIpv4(buffer: Uint8Array, at: number, length: number): number {
  if (length > 24) {
    const word = (buffer[at] << 24) | (buffer[at + 1] << 16) | (buffer[at + 2] << 8) | buffer[at + 3];
    return (length === 32 ? word : word & (-1 << (32 - length))) >>> 0;
  }
  let word = 0;
  if (length > 0) word = buffer[at] << 24;
  if (length > 8) word |= buffer[at + 1] << 16;
  if (length > 16) word |= buffer[at + 2] << 8;
  return length === 0 ? 0 : (word & (-1 << (32 - length))) >>> 0;
}
