// Byte strings as dense ids: equal strings (with an equal tag) have one id, counted references, and one copy of the bytes.
// The bytes lie in megabyte chunks, written in sequence; chunks in which little is left alive are emptied by moving
// the rest, so that churn does not make memory grow and no step copies more than a fraction of a chunk.
//
// Ids start at 1. An id without references stays valid until a sweep, so that a route that flaps finds it again.
import { DirtySet } from "./dirty-set.ts";

const CHUNK_BITS = 20;
const CHUNK_SIZE = 1 << CHUNK_BITS;
const HEADER = 4;
const LONGEST = 0xffff;
const INITIAL_IDS = 256;

const seed = (Math.random() * 0x1_0000_0000) | 0;

interface Chunk {
  readonly bytes: Uint8Array;
  /** Octets written, and octets that belong to live ids. */
  used: number;
  live: number;
}

export class ByteStore {
  readonly #chunks: (Chunk | null)[] = [];
  #current = -1;
  #slots = new Uint32Array(INITIAL_IDS * 2);
  #hashes = new Uint32Array(INITIAL_IDS);
  #locations = new Uint32Array(INITIAL_IDS);
  #lengths = new Uint16Array(INITIAL_IDS);
  #tags = new Uint16Array(INITIAL_IDS);
  #references = new Uint32Array(INITIAL_IDS);
  readonly #free: number[] = [];
  readonly #garbage = new DirtySet();
  readonly #batch = new Uint32Array(256);
  #next = 1;
  #size = 0;
  /** Hash of the string that `find` looked for last; `add` goes on with it. */
  #lastHash = 0;

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

  /** Octets of memory held for the strings. */
  get allocated(): number {
    return this.#chunks.reduce((sum, chunk) => sum + (chunk ? CHUNK_SIZE : 0), 0);
  }

  /** The id of buffer[start, end) with this tag (16 bits), or 0. */
  find(tag: number, buffer: Uint8Array, start: number, end: number): number {
    const hash = hashBytes(tag, buffer, start, end);
    this.#lastHash = hash;
    const slots = this.#slots;
    const mask = slots.length - 1;
    for (let at = hash & mask; ; at = (at + 1) & mask) {
      const id = slots[at];
      if (id === 0) return 0;
      if (this.#hashes[id] === hash && this.#tags[id] === tag && this.#equals(id, buffer, start, end)) return id;
    }
  }

  /** Gives an id to a string for which `find` has just returned 0. It has no references yet. */
  add(tag: number, buffer: Uint8Array, start: number, end: number): number {
    const length = end - start;
    if (length > LONGEST) throw new RangeError(`${length} octets are more than ${LONGEST}`);
    const hash = this.#lastHash;
    const id = this.#free.pop() ?? this.#next++;
    if (id >= this.#hashes.length) this.#grow();
    this.#hashes[id] = hash;
    this.#tags[id] = tag;
    this.#lengths[id] = length;
    this.#references[id] = 0;
    this.#locations[id] = this.#write(id, buffer, start, end);
    if (++this.#size * 2 > this.#slots.length) this.#rehash();
    this.#insert(this.#slots, id, hash);
    this.#garbage.add(id);
    return id;
  }

  /** Where the bytes are, until the next call that adds or sweeps. */
  bytes(id: number): Uint8Array {
    const chunk = this.#chunks[this.#locations[id] >>> CHUNK_BITS] as Chunk;
    const at = this.#locations[id] & (CHUNK_SIZE - 1);
    return chunk.bytes.subarray(at, at + this.#lengths[id]);
  }

  /** The chunk that holds the id's bytes, and where in it they start: for readers that avoid an object per access. */
  chunkOf(id: number): Uint8Array {
    return (this.#chunks[this.#locations[id] >>> CHUNK_BITS] as Chunk).bytes;
  }

  offsetOf(id: number): number {
    return this.#locations[id] & (CHUNK_SIZE - 1);
  }

  lengthOf(id: number): number {
    return this.#lengths[id];
  }

  tagOf(id: number): number {
    return this.#tags[id];
  }

  retain(id: number): void {
    this.#references[id]++;
  }

  release(id: number): void {
    if (--this.#references[id] === 0) this.#garbage.add(id);
  }

  /** Frees up to a few hundred ids without references, telling `freed` of each first. */
  sweep(freed: (id: number) => void): void {
    const count = this.#garbage.take(this.#batch);
    for (let i = 0; i < count; i++) {
      const id = this.#batch[i];
      if (this.#references[id] !== 0) continue;
      freed(id);
      this.#remove(id);
      // Told of another one that is gone, somebody may have released this one, after it was taken from the garbage.
      this.#garbage.delete(id);
    }
  }

  #equals(id: number, buffer: Uint8Array, start: number, end: number): boolean {
    const length = end - start;
    if (this.#lengths[id] !== length) return false;
    const location = this.#locations[id];
    const { bytes } = this.#chunks[location >>> CHUNK_BITS] as Chunk;
    const at = location & (CHUNK_SIZE - 1);
    for (let i = 0; i < length; i++) if (bytes[at + i] !== buffer[start + i]) return false;
    return true;
  }

  /** Appends the record [id, bytes] to the current chunk; returns the location of the bytes. */
  #write(id: number, buffer: Uint8Array, start: number, end: number): number {
    const size = HEADER + end - start;
    let chunk = this.#chunks[this.#current];
    if (!chunk || chunk.used + size > CHUNK_SIZE) {
      const full = this.#current;
      chunk = this.#openChunk();
      if (full >= 0) this.#tidy(full);
    }
    const at = chunk.used;
    chunk.bytes[at] = id >>> 24;
    chunk.bytes[at + 1] = id >>> 16;
    chunk.bytes[at + 2] = id >>> 8;
    chunk.bytes[at + 3] = id;
    for (let i = start, to = at + HEADER; i < end; i++, to++) chunk.bytes[to] = buffer[i];
    chunk.used += size;
    chunk.live += size;
    return this.#current * CHUNK_SIZE + at + HEADER;
  }

  #openChunk(): Chunk {
    const chunk = { bytes: new Uint8Array(CHUNK_SIZE), used: 0, live: 0 };
    let index = this.#chunks.indexOf(null);
    if (index < 0) index = this.#chunks.push(null) - 1;
    if (index > 0xffff_ffff >>> CHUNK_BITS) throw new RangeError("more than 4 GiB of interned bytes");
    this.#chunks[index] = chunk;
    this.#current = index;
    return chunk;
  }

  /** Drops a chunk without live bytes, empties one with few. */
  #tidy(index: number): void {
    const chunk = this.#chunks[index];
    if (!chunk || index === this.#current || chunk.live * 4 > CHUNK_SIZE) return;
    for (let at = 0; at < chunk.used && chunk.live > 0; ) {
      const id =
        ((chunk.bytes[at] << 24) | (chunk.bytes[at + 1] << 16) | (chunk.bytes[at + 2] << 8) | chunk.bytes[at + 3]) >>>
        0;
      const start = at + HEADER;
      // A freed id has been wiped from its record, see #remove; then the length is in its place.
      if (id >= DEAD) {
        at = start + (id - DEAD);
        continue;
      }
      const end = start + this.#lengths[id];
      chunk.live -= HEADER + end - start;
      this.#locations[id] = this.#write(id, chunk.bytes, start, end);
      at = end;
    }
    this.#chunks[index] = null;
  }

  #remove(id: number): void {
    const slots = this.#slots;
    const mask = slots.length - 1;
    let hole = this.#hashes[id] & mask;
    while (slots[hole] !== id) hole = (hole + 1) & mask;
    for (let at = (hole + 1) & mask; slots[at] !== 0; at = (at + 1) & mask) {
      const home = this.#hashes[slots[at]] & mask;
      if (((at - home) & mask) >= ((at - hole) & mask)) {
        slots[hole] = slots[at];
        hole = at;
      }
    }
    slots[hole] = 0;

    const location = this.#locations[id];
    const index = location >>> CHUNK_BITS;
    const chunk = this.#chunks[index] as Chunk;
    const at = (location & (CHUNK_SIZE - 1)) - HEADER;
    const mark = DEAD + this.#lengths[id];
    chunk.bytes[at] = mark >>> 24;
    chunk.bytes[at + 1] = mark >>> 16;
    chunk.bytes[at + 2] = mark >>> 8;
    chunk.bytes[at + 3] = mark;
    chunk.live -= HEADER + this.#lengths[id];
    this.#free.push(id);
    this.#size--;
    this.#tidy(index);
  }

  #insert(slots: Uint32Array, id: number, hash: number): void {
    const mask = slots.length - 1;
    let at = hash & mask;
    while (slots[at] !== 0) at = (at + 1) & mask;
    slots[at] = id;
  }

  #rehash(): void {
    const slots = new Uint32Array(this.#slots.length * 2);
    for (const id of this.#slots) if (id !== 0) this.#insert(slots, id, this.#hashes[id]);
    this.#slots = slots;
  }

  #grow(): void {
    const ids = this.#hashes.length * 2;
    this.#hashes = copyInto(new Uint32Array(ids), this.#hashes);
    this.#locations = copyInto(new Uint32Array(ids), this.#locations);
    this.#references = copyInto(new Uint32Array(ids), this.#references);
    this.#lengths = copyInto(new Uint16Array(ids), this.#lengths);
    this.#tags = copyInto(new Uint16Array(ids), this.#tags);
  }
}

/** A record's header from here on means: no live id, and the length of what was there. Ids never get that high. */
const DEAD = 0xffff_0000 - LONGEST;

function copyInto<T extends { set(from: T): void }>(to: T, from: T): T {
  to.set(from);
  return to;
}

function hashBytes(tag: number, buffer: Uint8Array, start: number, end: number): number {
  let hash = seed ^ Math.imul(tag + 1, 0x9e3779b1);
  let at = start;
  for (; at + 4 <= end; at += 4) {
    const word = buffer[at] | (buffer[at + 1] << 8) | (buffer[at + 2] << 16) | (buffer[at + 3] << 24);
    hash = Math.imul(hash ^ word, 0x85ebca6b);
    hash ^= hash >>> 15;
  }
  for (; at < end; at++) hash = Math.imul(hash ^ buffer[at], 0xc2b2ae35);
  hash = Math.imul(hash ^ (hash >>> 16) ^ (end - start), 0x2c1b3c6d);
  return (hash ^ (hash >>> 13)) >>> 0;
}
