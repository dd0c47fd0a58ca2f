// Netlink messages: a writer that encodes many of them into one reusable buffer (lengths are patched afterwards), and
// the walk over what the kernel answers. Host byte order, except where the kernel wants network order.
import { align, LITTLE } from "./attribute.ts";
import { Flag } from "./constants.ts";

export const HEADER_LENGTH = 16;
const NESTED = 0x8000;

/** Where one message lies in a received buffer; [body, end) is what follows the header. */
export interface MessageView {
  type: number;
  flags: number;
  sequence: number;
  portId: number;
  body: number;
  end: number;
}

/** Reads the message at `offset`; returns the offset of the next one, or -1 when what is there is not a whole message. */
export function readMessage(buffer: Buffer, offset: number, limit: number, out: MessageView): number {
  if (offset + HEADER_LENGTH > limit) return -1;
  const length = LITTLE ? buffer.readUInt32LE(offset) : buffer.readUInt32BE(offset);
  if (length < HEADER_LENGTH || offset + length > limit) return -1;
  out.type = LITTLE ? buffer.readUInt16LE(offset + 4) : buffer.readUInt16BE(offset + 4);
  out.flags = LITTLE ? buffer.readUInt16LE(offset + 6) : buffer.readUInt16BE(offset + 6);
  out.sequence = LITTLE ? buffer.readUInt32LE(offset + 8) : buffer.readUInt32BE(offset + 8);
  out.portId = LITTLE ? buffer.readUInt32LE(offset + 12) : buffer.readUInt32BE(offset + 12);
  out.body = offset + HEADER_LENGTH;
  out.end = offset + length;
  return Math.min(limit, offset + align(length));
}

/** Two fields of 16 bits that follow each other, as the word that they are in memory. */
export function halves(first: number, second: number): number {
  return LITTLE ? first | (second << 16) : (first << 16) | second;
}

/** The same for four fields of 8 bits. */
export function quarters(a: number, b: number, c: number, d: number): number {
  return LITTLE ? a | (b << 8) | (c << 16) | (d << 24) : (a << 24) | (b << 16) | (c << 8) | d;
}

export function messageView(): MessageView {
  return { type: 0, flags: 0, sequence: 0, portId: 0, body: 0, end: 0 };
}

export class MessageWriter {
  #buffer: Buffer;
  #words: Uint32Array;
  #offset = 0;
  #messageStart = -1;
  #count = 0;
  #sequence = 1;

  constructor(size = 64 * 1024) {
    this.#buffer = Buffer.from(new ArrayBuffer(size));
    this.#words = new Uint32Array(this.#buffer.buffer);
  }

  /** The messages written since reset(). */
  get buffer(): Buffer {
    return this.#buffer.subarray(0, this.#offset);
  }

  get length(): number {
    return this.#offset;
  }

  /** Messages since reset(). */
  get count(): number {
    return this.#count;
  }

  /** Sequence number of the first message since reset(); the n-th has this plus n. */
  get firstSequence(): number {
    return (this.#sequence - this.#count) >>> 0;
  }

  reset(): void {
    this.#offset = 0;
    this.#count = 0;
    this.#messageStart = -1;
  }

  /** A copy of the messages since reset(), for put(). */
  copy(): Uint8Array {
    return Uint8Array.prototype.slice.call(this.#buffer, 0, this.#offset);
  }

  /** Messages of copy() in place of all there are, under new sequence numbers. */
  put(messages: Uint8Array): void {
    this.reset();
    this.#reserve(messages.length);
    this.#buffer.set(messages);
    for (let at = 0; at < messages.length; at = align(at + this.#words[at >>> 2])) {
      this.#words[(at >>> 2) + 2] = this.#sequence;
      this.#sequence = (this.#sequence + 1) >>> 0;
      this.#messageStart = at;
      this.#count++;
    }
    this.#offset = messages.length;
  }

  begin(type: number, flags: number): void {
    const start = align(this.#offset);
    this.#offset = start;
    this.#reserve(HEADER_LENGTH);
    this.#messageStart = start;
    this.#put16(start + 4, type);
    this.#put16(start + 6, flags | Flag.request);
    this.#put32(start + 8, this.#sequence);
    this.#put32(start + 12, 0);
    this.#sequence = (this.#sequence + 1) >>> 0;
    this.#count++;
    this.#offset = start + HEADER_LENGTH;
  }

  /**
   * The same in one step for a message whose length is known, a multiple of four: returns the index of its body in
   * `words`, all of which the caller has to fill.
   */
  claim(type: number, flags: number, length: number): number {
    const start = align(this.#offset);
    this.#offset = start;
    this.#reserve(length);
    this.#messageStart = start;
    this.#offset = start + length;
    const words = this.#words;
    const at = start >>> 2;
    words[at] = length;
    words[at + 1] = halves(type, flags | Flag.request);
    words[at + 2] = this.#sequence;
    words[at + 3] = 0;
    this.#sequence = (this.#sequence + 1) >>> 0;
    this.#count++;
    return at + HEADER_LENGTH / 4;
  }

  /** The memory as words in host order; another one once more has been claimed. */
  get words(): Uint32Array {
    return this.#words;
  }

  end(): void {
    this.#put32(this.#messageStart, this.#offset - this.#messageStart);
    this.#pad();
  }

  /** Adds flags to the last message. */
  flagLast(flags: number): void {
    const at = this.#messageStart + 6;
    this.#put16(at, (LITTLE ? this.#buffer.readUInt16LE(at) : this.#buffer.readUInt16BE(at)) | flags);
  }

  u8(value: number): void {
    this.#reserve(1);
    this.#buffer[this.#offset++] = value;
  }

  u16(value: number): void {
    this.#reserve(2);
    this.#put16(this.#offset, value);
    this.#offset += 2;
  }

  u32(value: number): void {
    this.#reserve(4);
    this.#put32(this.#offset, value);
    this.#offset += 4;
  }

  zeros(count: number): void {
    this.#reserve(count);
    this.#buffer.fill(0, this.#offset, this.#offset + count);
    this.#offset += count;
  }

  attributeU8(type: number, value: number): void {
    this.#attribute(type, 1);
    this.#buffer[this.#offset++] = value;
    this.#pad();
  }

  attributeU32(type: number, value: number): void {
    this.#attribute(type, 4);
    this.#put32(this.#offset, value);
    this.#offset += 4;
  }

  attributeBytes(type: number, bytes: Uint8Array, start = 0, length = bytes.length): void {
    this.#attribute(type, length);
    const to = this.#offset;
    if (length <= 16) for (let i = 0; i < length; i++) this.#buffer[to + i] = bytes[start + i];
    else this.#buffer.set(bytes.subarray(start, start + length), to);
    this.#offset = to + length;
    this.#pad();
  }

  /** Zero-terminated UTF-8. */
  attributeText(type: number, text: string): void {
    this.attributeBytes(type, Buffer.from(`${text}\0`, "utf8"));
  }

  /** Opens a nested attribute; give the returned offset to endNested(). */
  beginNested(type: number): number {
    const start = this.#offset;
    this.#attribute(type | NESTED, 0);
    return start;
  }

  endNested(start: number): void {
    this.#put16(start, this.#offset - start);
    this.#pad();
  }

  #attribute(type: number, length: number): void {
    this.#reserve(4 + align(length));
    this.#put16(this.#offset, 4 + length);
    this.#put16(this.#offset + 2, type);
    this.#offset += 4;
  }

  #pad(): void {
    const end = align(this.#offset);
    this.#reserve(end - this.#offset);
    while (this.#offset < end) this.#buffer[this.#offset++] = 0;
  }

  #reserve(bytes: number): void {
    if (this.#offset + bytes <= this.#buffer.length) return;
    const grown = Buffer.from(new ArrayBuffer(align(Math.max(this.#buffer.length * 2, this.#offset + bytes))));
    this.#buffer.copy(grown, 0, 0, this.#offset);
    this.#buffer = grown;
    this.#words = new Uint32Array(grown.buffer);
  }

  #put16(at: number, value: number): void {
    if (LITTLE) this.#buffer.writeUInt16LE(value, at);
    else this.#buffer.writeUInt16BE(value, at);
  }

  #put32(at: number, value: number): void {
    if (LITTLE) this.#buffer.writeUInt32LE(value >>> 0, at);
    else this.#buffer.writeUInt32BE(value >>> 0, at);
  }
}

/** The flags (NLM_F_*) of the message whose body starts here. */
export function flagsOf(buffer: Buffer, body: number): number {
  return LITTLE ? buffer.readUInt16LE(body - 10) : buffer.readUInt16BE(body - 10);
}
