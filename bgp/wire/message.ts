// The header that every message has (RFC 4271 §4.1): marker of sixteen 0xff, length in bytes, type.
//
//  0                   1                   2                   3
//  |                    marker, 16 octets of ones                  |
//  |           length              |     type      |
import { MessageType } from "./registry.ts";
import { Writer } from "./writer.ts";

export const HEADER_LENGTH = 19;
export const MAX_MESSAGE = 4096;
/** RFC 8654. */
export const MAX_EXTENDED_MESSAGE = 65535;

const marker = new Uint8Array(16).fill(0xff);

/** Writes a header with the length left open; returns where the message starts. */
export function beginMessage(writer: Writer, type: number): number {
  const start = writer.offset;
  writer.bytes(marker);
  writer.u16(0);
  writer.u8(type);
  return start;
}

/** Fills in the length of the message that starts at `start`. */
export function endMessage(writer: Writer, start: number): void {
  writer.patchU16(start + 16, writer.offset - start);
}

/** A whole message around a body. */
export function message(type: number, body: Uint8Array): Uint8Array {
  const writer = new Writer(HEADER_LENGTH + body.length);
  const start = beginMessage(writer, type);
  writer.bytes(body);
  endMessage(writer, start);
  return writer.slice();
}

/** RFC 4271 §4.4. */
export const KEEPALIVE: Uint8Array = message(MessageType.KEEPALIVE, new Uint8Array(0));
