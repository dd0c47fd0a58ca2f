// NOTIFICATION (RFC 4271 §4.5): code, subcode, data; the text of an administrative shutdown is RFC 9003.
// A NOTIFICATION is never answered with an error, so a short one is read as far as it goes.
import { message } from "./message.ts";
import { MessageType } from "./registry.ts";

export { readShutdownCommunication } from "./registry.ts";

export interface NotificationMessage {
  readonly code: number;
  readonly subcode: number;
  readonly data: Uint8Array;
}

export function decodeNotification(buffer: Uint8Array, start: number, end: number): NotificationMessage {
  return {
    code: start < end ? buffer[start] : 0,
    subcode: start + 1 < end ? buffer[start + 1] : 0,
    data: buffer.slice(Math.min(start + 2, end), end),
  };
}

/** A whole message; data beyond what a message can hold is cut. */
export function encodeNotification(code: number, subcode: number, data: Uint8Array = new Uint8Array(0)): Uint8Array {
  const kept = data.subarray(0, 4096 - 21);
  const body = new Uint8Array(2 + kept.length);
  body[0] = code;
  body[1] = subcode;
  body.set(kept, 2);
  return message(MessageType.NOTIFICATION, body);
}

/** Data for Cease/2 and Cease/4: length octet and UTF-8, cut to 255 bytes at a character's boundary (RFC 9003 §2). */
export function shutdownCommunication(text: string): Uint8Array {
  const encoded = new TextEncoder().encode(text);
  let length = Math.min(encoded.length, 255);
  while (length < encoded.length && length > 0 && (encoded[length] & 0xc0) === 0x80) length--;
  const data = new Uint8Array(1 + length);
  data[0] = length;
  data.set(encoded.subarray(0, length), 1);
  return data;
}
