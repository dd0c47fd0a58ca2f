// Netlink attributes, read: a TLV region becomes a table of offsets by attribute type. Nothing is copied and nothing
// throws; as in the kernel's own parser, reading ends at the first attribute that does not fit, and an attribute too
// short for what is asked of it counts as absent.
import { endianness } from "node:os";

export const LITTLE = endianness() === "LE";

/** Length rounded up to the alignment of messages and attributes. */
export function align(length: number): number {
  return (length + 3) & ~3;
}

const TYPE_MASK = 0x3fff;

/** Reusable: parse() forgets the previous region. The last of several attributes of one type wins. */
export class Attributes {
  readonly #starts: Int32Array;
  readonly #lengths: Int32Array;
  #buffer: Buffer = Buffer.alloc(0);

  /** Attributes of types above `maxType` are ignored. */
  constructor(maxType: number) {
    this.#starts = new Int32Array(maxType + 1);
    this.#lengths = new Int32Array(maxType + 1);
  }

  parse(buffer: Buffer, start: number, end: number): this {
    const starts = this.#starts;
    starts.fill(-1);
    this.#buffer = buffer;
    const limit = Math.min(end, buffer.length);
    for (let offset = start; offset + 4 <= limit; ) {
      const length = LITTLE ? buffer.readUInt16LE(offset) : buffer.readUInt16BE(offset);
      if (length < 4 || offset + length > limit) break;
      const type = (LITTLE ? buffer.readUInt16LE(offset + 2) : buffer.readUInt16BE(offset + 2)) & TYPE_MASK;
      if (type < starts.length) {
        starts[type] = offset + 4;
        this.#lengths[type] = length - 4;
      }
      offset += align(length);
    }
    return this;
  }

  has(type: number): boolean {
    return this.#starts[type] >= 0;
  }

  /** Offset of the payload in the parsed buffer, -1 when absent. */
  start(type: number): number {
    return this.#starts[type];
  }

  /** Bytes of payload; 0 when absent. */
  length(type: number): number {
    return this.#starts[type] < 0 ? 0 : this.#lengths[type];
  }

  u8(type: number, absent = 0): number {
    return this.length(type) < 1 ? absent : this.#buffer[this.#starts[type]];
  }

  u32(type: number, absent = 0): number {
    if (this.length(type) < 4) return absent;
    const start = this.#starts[type];
    return LITTLE ? this.#buffer.readUInt32LE(start) : this.#buffer.readUInt32BE(start);
  }

  /** A copy of the payload, or null. */
  bytes(type: number): Uint8Array | null {
    const start = this.#starts[type];
    return start < 0 ? null : Uint8Array.from(this.#buffer.subarray(start, start + this.#lengths[type]));
  }

  /** A 4 or 16 byte address, or null. */
  address(type: number): Uint8Array | null {
    const length = this.length(type);
    return length === 4 || length === 16 ? this.bytes(type) : null;
  }

  /** Text up to the first zero byte, or null. */
  text(type: number): string | null {
    const start = this.#starts[type];
    if (start < 0) return null;
    const zero = this.#buffer.indexOf(0, start);
    const end = start + this.#lengths[type];
    return this.#buffer.toString("utf8", start, zero < 0 || zero > end ? end : zero);
  }

  /** Parses the payload of a nested attribute with `into`; null when absent. */
  nested(type: number, into: Attributes): Attributes | null {
    const start = this.#starts[type];
    return start < 0 ? null : into.parse(this.#buffer, start, start + this.#lengths[type]);
  }
}
