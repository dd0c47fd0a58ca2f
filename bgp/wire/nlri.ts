// NLRI: prefixes as length in bits and as many bytes as that needs (RFC 4271 §4.3, RFC 4760 §5).
//
//  | length (1 octet) | prefix (0..4 or 0..16 octets), bits after the length have no meaning |
//
// The RIB walks checked ranges itself, without a call per prefix; checkNlri() is what makes that safe.
import { WireError } from "./error.ts";
import { ErrorCode, UpdateSubcode } from "./registry.ts";
import type { Writer } from "./writer.ts";

/** The number of prefixes in buffer[start, end). Throws WireError 3/10 (RFC 7606 §5.3: the session is reset). */
export function checkNlri(buffer: Uint8Array, start: number, end: number, maxBits: number): number {
  let count = 0;
  let at = start;
  while (at < end) {
    const length = buffer[at];
    const next = at + 1 + ((length + 7) >>> 3);
    if (length > maxBits || next > end) {
      const why = length > maxBits ? `prefix length ${length} of at most ${maxBits}` : "a prefix reaches past the end";
      throw new WireError(
        `${why}, prefix ${count + 1}`,
        ErrorCode.UPDATE_MESSAGE_ERROR,
        UpdateSubcode.INVALID_NETWORK_FIELD,
      );
    }
    at = next;
    count++;
  }
  return count;
}

/** Appends one prefix; `address` has its host bits zero. */
export function writeNlri(writer: Writer, address: Uint8Array, length: number): void {
  const bytes = (length + 7) >>> 3;
  writer.u8(length);
  writer.bytes(address.subarray(0, bytes));
}
