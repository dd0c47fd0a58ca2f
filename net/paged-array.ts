// Columns indexed by dense ids, in pages that exist only where something was written: two holders of a million entries
// and a hundred holders of a thousand are both cheap, and growth never copies. Entries never written read as 0.

const PAGE_BITS = 12;
const PAGE_SIZE = 1 << PAGE_BITS;
const PAGE_MASK = PAGE_SIZE - 1;

export class PagedUint32 {
  readonly #pages: (Uint32Array | undefined)[] = [];

  get(index: number): number {
    const page = this.#pages[index >>> PAGE_BITS];
    return page === undefined ? 0 : page[index & PAGE_MASK];
  }

  set(index: number, value: number): void {
    const at = index >>> PAGE_BITS;
    let page = this.#pages[at];
    if (page === undefined) {
      if (value === 0) return;
      // No holes: an array with holes makes every access slower.
      while (this.#pages.length <= at) this.#pages.push(undefined);
      page = new Uint32Array(PAGE_SIZE);
      this.#pages[at] = page;
    }
    page[index & PAGE_MASK] = value;
  }

  /** The first index from `from` on whose value is not 0, or -1. */
  next(from: number): number {
    for (let at = from >>> PAGE_BITS; at < this.#pages.length; at++) {
      const page = this.#pages[at];
      if (page === undefined) continue;
      for (let i = at === from >>> PAGE_BITS ? from & PAGE_MASK : 0; i < PAGE_SIZE; i++) {
        if (page[i] !== 0) return (at << PAGE_BITS) | i;
      }
    }
    return -1;
  }

  /** Calls back for every entry that is not 0, in order. The callback may change entries. */
  forEach(callback: (index: number, value: number) => void): void {
    for (let at = 0; at < this.#pages.length; at++) {
      const page = this.#pages[at];
      if (page === undefined) continue;
      for (let i = 0; i < PAGE_SIZE; i++) if (page[i] !== 0) callback((at << PAGE_BITS) | i, page[i]);
    }
  }

  /** Forgets everything at once. */
  clear(): void {
    this.#pages.length = 0;
  }
}

/**
 * Rows of a few numbers each. For hot paths that read and write several columns of a row: `page` is found once, then
 * page[offset + column].
 */
export class PagedRows {
  readonly #width: number;
  readonly #pages: (Uint32Array | undefined)[] = [];

  constructor(width: number) {
    this.#width = width;
  }

  get(index: number, column: number): number {
    const page = this.#pages[index >>> PAGE_BITS];
    return page === undefined ? 0 : page[(index & PAGE_MASK) * this.#width + column];
  }

  /** The page that a row is in, made when there is none. */
  page(index: number): Uint32Array {
    const page = this.#pages[index >>> PAGE_BITS];
    return page === undefined ? this.#addPage(index >>> PAGE_BITS) : page;
  }

  /** Where the row starts in its page. */
  offset(index: number): number {
    return (index & PAGE_MASK) * this.#width;
  }

  /** Calls back for every row of the live pages whose column is not 0, in order. */
  forEach(column: number, callback: (index: number, value: number) => void): void {
    for (let at = 0; at < this.#pages.length; at++) {
      const page = this.#pages[at];
      if (page === undefined) continue;
      for (let i = 0, from = column; i < PAGE_SIZE; i++, from += this.#width)
        if (page[from] !== 0) callback((at << PAGE_BITS) | i, page[from]);
    }
  }

  #addPage(at: number): Uint32Array {
    while (this.#pages.length <= at) this.#pages.push(undefined);
    const page = new Uint32Array(PAGE_SIZE * this.#width);
    this.#pages[at] = page;
    return page;
  }
}
