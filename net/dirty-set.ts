// A set of dense ids that waits to be worked off: a bitmap with two summary levels above it, so that adding is a few
// bit operations, a nearly empty set of millions is scanned at once, and the size never exceeds one bit per id however
// often an id is added. `take` goes round in id order, which keeps ids that arrived together together and starves none.

function lowestBit(bits: number): number {
  return 31 - Math.clz32(bits & -bits);
}

export class DirtySet {
  /** One bit per id; one bit per word of #leaf; one bit per word of #middle. */
  #leaf = new Uint32Array(32);
  #middle = new Uint32Array(1);
  #top = new Uint32Array(1);
  /** Word of #leaf where the next `take` goes on. */
  #cursor = 0;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** Ids that are in at least one of the sets. */
  static unionSize(sets: readonly DirtySet[]): number {
    if (sets.length === 1) return sets[0].#size;
    let longest = 0;
    for (const set of sets) longest = Math.max(longest, set.#leaf.length);
    let size = 0;
    for (let word = 0; word < longest; word++) {
      let bits = 0;
      for (const set of sets) if (word < set.#leaf.length) bits |= set.#leaf[word];
      for (; bits !== 0; bits &= bits - 1) size++;
    }
    return size;
  }

  has(id: number): boolean {
    const word = id >>> 5;
    return word < this.#leaf.length && (this.#leaf[word] & (1 << (id & 31))) !== 0;
  }

  /** True when the id was not in the set. */
  add(id: number): boolean {
    const word = id >>> 5;
    if (word >= this.#leaf.length) this.#grow(word);
    const bits = this.#leaf[word];
    const bit = 1 << (id & 31);
    if ((bits & bit) !== 0) return false;
    this.#leaf[word] = bits | bit;
    if (bits === 0) {
      this.#middle[word >>> 5] |= 1 << (word & 31);
      this.#top[word >>> 10] |= 1 << ((word >>> 5) & 31);
    }
    this.#size++;
    return true;
  }

  /** True when the id was in the set. */
  delete(id: number): boolean {
    const word = id >>> 5;
    if (word >= this.#leaf.length) return false;
    const bits = this.#leaf[word];
    const bit = 1 << (id & 31);
    if ((bits & bit) === 0) return false;
    this.#leaf[word] = bits & ~bit;
    if (this.#leaf[word] === 0) this.#emptied(word);
    this.#size--;
    return true;
  }

  /** Moves up to `limit` ids into `out`, returns how many. */
  take(out: Uint32Array, limit = out.length): number {
    let taken = 0;
    while (taken < limit && this.#size > 0) {
      let word = this.#nextWord(this.#cursor);
      if (word < 0) word = this.#nextWord(0);
      let bits = this.#leaf[word];
      while (bits !== 0 && taken < limit) {
        const bit = lowestBit(bits);
        bits &= bits - 1;
        out[taken++] = (word << 5) | bit;
        this.#size--;
      }
      this.#leaf[word] = bits;
      this.#cursor = word;
      if (bits === 0) this.#emptied(word);
    }
    return taken;
  }

  /** The first id from `from` on, or -1. Changing the set meanwhile is allowed. */
  next(from: number): number {
    const word = from >>> 5;
    if (word >= this.#leaf.length) return -1;
    const bits = this.#leaf[word] & (-1 << (from & 31));
    if (bits !== 0) return (word << 5) | lowestBit(bits);
    const later = this.#nextWord(word + 1);
    return later < 0 ? -1 : (later << 5) | lowestBit(this.#leaf[later]);
  }

  clear(): void {
    if (this.#size === 0) return;
    this.#leaf.fill(0);
    this.#middle.fill(0);
    this.#top.fill(0);
    this.#size = 0;
  }

  #emptied(word: number): void {
    const middle = word >>> 5;
    this.#middle[middle] &= ~(1 << (word & 31));
    if (this.#middle[middle] === 0) this.#top[word >>> 10] &= ~(1 << (middle & 31));
  }

  /** The first word of #leaf from `from` on that is not 0, or -1. */
  #nextWord(from: number): number {
    if (from >= this.#leaf.length) return -1;
    let middle = from >>> 5;
    let bits = this.#middle[middle] & (-1 << (from & 31));
    if (bits === 0) {
      middle++;
      if (middle >= this.#middle.length) return -1;
      let top = middle >>> 5;
      bits = this.#top[top] & (-1 << (middle & 31));
      while (bits === 0) {
        if (++top >= this.#top.length) return -1;
        bits = this.#top[top];
      }
      middle = (top << 5) | lowestBit(bits);
      bits = this.#middle[middle];
    }
    return (middle << 5) | lowestBit(bits);
  }

  #grow(word: number): void {
    let words = this.#leaf.length;
    while (words <= word) words *= 2;
    this.#leaf = grown(this.#leaf, words);
    this.#middle = grown(this.#middle, words >>> 5);
    this.#top = grown(this.#top, Math.max(1, words >>> 10));
  }
}

function grown(old: Uint32Array, length: number): Uint32Array<ArrayBuffer> {
  const array = new Uint32Array(length);
  array.set(old);
  return array;
}
