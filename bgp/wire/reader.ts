// Fields in network order from part of a buffer. Reading past the end does not throw: it yields 0 and sets `overrun`,
// so that a decoder reads all its fields and then asks once whether they were there.

export class Reader {
  readonly buffer: Uint8Array;
  offset: number;
  end: number;
  overrun = false;

  constructor(buffer: Uint8Array, start = 0, end = buffer.length) {
    this.buffer = buffer;
    this.offset = start;
    this.end = end;
  }

  /** Goes on with another part of the buffer. */
  moveTo(start: number, end: number): void {
    this.offset = start;
    this.end = end;
    this.overrun = false;
  }

  get remaining(): number {
    return this.end - this.offset;
  }

  u8(): number {
    return this.#take(1) ? this.buffer[this.offset - 1] : 0;
  }

  u16(): number {
    return this.#take(2) ? readU16(this.buffer, this.offset - 2) : 0;
  }

  u32(): number {
    return this.#take(4) ? readU32(this.buffer, this.offset - 4) : 0;
  }

  /** A copy; empty when there are not as many. */
  bytes(length: number): Uint8Array {
    return this.#take(length) ? this.buffer.slice(this.offset - length, this.offset) : new Uint8Array(0);
  }

  /** A reader of the next `length` bytes, which are passed over here. */
  sub(length: number): Reader {
    return this.#take(length)
      ? new Reader(this.buffer, this.offset - length, this.offset)
      : new Reader(this.buffer, this.offset, this.offset);
  }

  #take(length: number): boolean {
    if (length <= this.end - this.offset) {
      this.offset += length;
      return true;
    }
    this.overrun = true;
    this.offset = this.end;
    return false;
  }
}

function readU16(buffer: Uint8Array, at: number): number {
  return (buffer[at] << 8) | buffer[at + 1];
}

function readU32(buffer: Uint8Array, at: number): number {
  return ((buffer[at] << 24) | (buffer[at + 1] << 16) | (buffer[at + 2] << 8) | buffer[at + 3]) >>> 0;
}
