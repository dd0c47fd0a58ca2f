// Appends fields in network order to a buffer that grows; one instance is reused for many messages.

export class Writer {
  buffer: Uint8Array;
  /** Next byte to be written; set it back to undo. */
  offset = 0;

  constructor(capacity = 4096) {
    this.buffer = new Uint8Array(capacity);
  }

  /** Makes room for `bytes` more. `buffer` may be a new one afterwards. */
  ensure(bytes: number): void {
    const needed = this.offset + bytes;
    if (needed <= this.buffer.length) return;
    const grown = new Uint8Array(Math.max(needed, this.buffer.length * 2));
    grown.set(this.buffer.subarray(0, this.offset));
    this.buffer = grown;
  }

  u8(value: number): void {
    this.ensure(1);
    this.buffer[this.offset++] = value;
  }

  u16(value: number): void {
    this.ensure(2);
    this.buffer[this.offset++] = value >>> 8;
    this.buffer[this.offset++] = value;
  }

  u32(value: number): void {
    this.ensure(4);
    this.buffer[this.offset++] = value >>> 24;
    this.buffer[this.offset++] = value >>> 16;
    this.buffer[this.offset++] = value >>> 8;
    this.buffer[this.offset++] = value;
  }

  bytes(bytes: Uint8Array): void {
    this.ensure(bytes.length);
    this.buffer.set(bytes, this.offset);
    this.offset += bytes.length;
  }

  patchU16(at: number, value: number): void {
    this.buffer[at] = value >>> 8;
    this.buffer[at + 1] = value;
  }

  reset(): void {
    this.offset = 0;
  }

  /** A copy of what was written. */
  slice(): Uint8Array {
    return this.buffer.slice(0, this.offset);
  }
}
