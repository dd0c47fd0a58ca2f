// NLRI: prefixes as length in bits and as many bytes as that needs (RFC 4271 §4.3, RFC 4760 §5).
//
//  | length (1 octet) | prefix (0..4 or 0..16 octets), bits after the length have no meaning |
//
// With ADD-PATH (RFC 7911 §3) four octets of path identifier stand before each length.
//
// The RIB walks checked ranges itself, without a call per prefix; checkNlri() is what makes that safe.
import type { Family } from "../../net/address.ts";
import type { WireContext } from "./context.ts";
import { WireError } from "./error.ts";
import { ErrorCode, UpdateSubcode } from "./registry.ts";
import type { Writer } from "./writer.ts";

/** Octets of a path identifier. */
export const PATH_ID_LENGTH = 4;

/** Whether the neighbour's prefixes of this family carry path identifiers. */
export function receivesPathIds({ addPath }: WireContext, family: Family): boolean {
  return addPath?.receive.includes(family) ?? false;
}

/** The number of prefixes in buffer[start, end). Throws WireError 3/10 (RFC 7606 §5.3: the session is reset). */
export function checkNlri(
  buffer: Uint8Array,
  start: number,
  end: number,
  maxBits: number,
  withPathIds = false,
): number {
  if (withPathIds) return checkPaths(buffer, start, end, maxBits);
  let count = 0;
  let at = start;
  while (at < end) {
    const length = buffer[at];
    const next = at + 1 + ((length + 7) >>> 3);
    if (length > maxBits || next > end) {
      const why = length > maxBits ? `prefix length ${length} of at most ${maxBits}` : "a prefix reaches past the end";
      throw invalid(why, count);
    }
    at = next;
    count++;
  }
  return count;
}

function checkPaths(buffer: Uint8Array, start: number, end: number, maxBits: number): number {
  let count = 0;
  let at = start;
  while (at < end) {
    const lengthAt = at + PATH_ID_LENGTH;
    if (lengthAt >= end) throw invalid("a path identifier reaches past the end", count);
    const length = buffer[lengthAt];
    const next = lengthAt + 1 + ((length + 7) >>> 3);
    if (length > maxBits || next > end) {
      const why = length > maxBits ? `prefix length ${length} of at most ${maxBits}` : "a prefix reaches past the end";
      // A neighbour that leaves them out, against what it said, is the likeliest cause.
      throw invalid(`${why}, read with path identifiers`, count);
    }
    at = next;
    count++;
  }
  return count;
}

function invalid(why: string, before: number): WireError {
  return new WireError(
    `${why}, prefix ${before + 1}`,
    ErrorCode.UPDATE_MESSAGE_ERROR,
    UpdateSubcode.INVALID_NETWORK_FIELD,
  );
}

/** The path identifier at buffer[at...]. */
export function readPathId(buffer: Uint8Array, at: number): number {
  return ((buffer[at] << 24) | (buffer[at + 1] << 16) | (buffer[at + 2] << 8) | buffer[at + 3]) >>> 0;
}

/** Appends one prefix; `address` has its host bits zero. */
export function writeNlri(writer: Writer, address: Uint8Array, length: number): void {
  const bytes = (length + 7) >>> 3;
  writer.u8(length);
  writer.bytes(address.subarray(0, bytes));
}
