// A stream of bytes -> whole messages, in place: a message that lies within one chunk is handed out as offsets into
// that chunk. The beginning of a message that the next chunk completes is put in front of that chunk when there is room, and
// otherwise both are copied. Header checks are RFC 4271 §6.1.
//
// push(chunk), then while (next()) read type, buffer, start, end. The bytes stay valid until the next push(), or as long as
// the owner of the chunk leaves them alone; keep() makes what is left independent of it.
import { WireError } from "./error.ts";
import { HEADER_LENGTH, MAX_MESSAGE } from "./message.ts";
import { ErrorCode, HeaderSubcode, MessageType } from "./registry.ts";

/**
 * Least length by type (RFC 4271 §6.1); KEEPALIVE is exactly as long. ROUTE-REFRESH has an error of its own (RFC 7313
 * §5).
 */
const leastLength: Record<number, number> = {
  [MessageType.OPEN]: 29,
  [MessageType.UPDATE]: 23,
  [MessageType.NOTIFICATION]: 21,
  [MessageType.KEEPALIVE]: 19,
  [MessageType.ROUTE_REFRESH]: 19,
};

const NOTHING = new Uint8Array(0);

export class Framer {
  /** Largest message accepted, bytes; raised once extended messages are negotiated. Never for an OPEN (RFC 8654 §3). */
  maxMessage: number;
  type = 0;
  buffer: Uint8Array = NOTHING;
  /** The body of the present message is buffer[start, end). */
  start = 0;
  end = 0;
  /** What was pushed and not handed out is buffer[#offset, #limit). */
  #offset = 0;
  #limit = 0;

  constructor(maxMessage = MAX_MESSAGE) {
    this.maxMessage = maxMessage;
  }

  /** Bytes pushed and not handed out yet. */
  get buffered(): number {
    return this.#limit - this.#offset;
  }

  /** chunk[start, end) goes on where the last one ended. What is before `start` may be overwritten. */
  push(chunk: Uint8Array, start = 0, end = chunk.length): void {
    const rest = this.buffered;
    if (rest === 0) {
      this.buffer = chunk;
      this.#offset = start;
      this.#limit = end;
    } else if (rest <= start) {
      chunk.set(this.#rest(), start - rest);
      this.buffer = chunk;
      this.#offset = start - rest;
      this.#limit = end;
    } else {
      const joined = new Uint8Array(rest + end - start);
      joined.set(this.#rest());
      joined.set(chunk.subarray(start, end), rest);
      this.#own(joined);
    }
  }

  /** Copies what is left: the chunk is about to be used for something else. */
  keep(): void {
    this.#own(this.buffered === 0 ? NOTHING : this.buffer.slice(this.#offset, this.#limit));
  }

  /** Moves to the next whole message. False: more bytes are needed. Throws WireError 1/x for a bad header. */
  next(): boolean {
    const { buffer } = this;
    const at = this.#offset;
    const available = this.#limit - at;
    if (available < HEADER_LENGTH) {
      // A wrong marker shows before the header is complete: do not wait for bytes that may never come.
      this.#checkMarker(at, Math.min(available, 16));
      return false;
    }
    this.#checkMarker(at, 16);
    const length = (buffer[at + 16] << 8) | buffer[at + 17];
    const type = buffer[at + 18];
    const most = type === MessageType.OPEN ? MAX_MESSAGE : this.maxMessage;
    if (length < HEADER_LENGTH || length > most) this.#badLength(at, length);
    const least = leastLength[type];
    if (least === undefined) {
      throw new WireError(
        `unknown message type ${type}`,
        ErrorCode.MESSAGE_HEADER_ERROR,
        HeaderSubcode.BAD_MESSAGE_TYPE,
        { data: Uint8Array.of(type) },
      );
    }
    if (length < least || (type === MessageType.KEEPALIVE && length !== least)) this.#badLength(at, length);
    if (available < length) return false;
    this.type = type;
    this.start = at + HEADER_LENGTH;
    this.end = at + length;
    this.#offset = at + length;
    return true;
  }

  #rest(): Uint8Array {
    return this.buffer.subarray(this.#offset, this.#limit);
  }

  #own(buffer: Uint8Array): void {
    this.buffer = buffer;
    this.#offset = 0;
    this.#limit = buffer.length;
  }

  #checkMarker(at: number, count: number): void {
    for (let i = 0; i < count; i++) {
      if (this.buffer[at + i] === 0xff) continue;
      throw new WireError(
        "the marker is not all ones: not BGP, or out of step",
        ErrorCode.MESSAGE_HEADER_ERROR,
        HeaderSubcode.CONNECTION_NOT_SYNCHRONIZED,
      );
    }
  }

  #badLength(at: number, length: number): never {
    throw new WireError(
      `message of type ${this.buffer[at + 18]} with length ${length}`,
      ErrorCode.MESSAGE_HEADER_ERROR,
      HeaderSubcode.BAD_MESSAGE_LENGTH,
      { data: this.buffer.slice(at + 16, at + 18) },
    );
  }
}
