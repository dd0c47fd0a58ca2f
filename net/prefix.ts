// IP prefixes off the hot path: one small object each. The RIB keeps prefixes in typed arrays (net/prefix-table.ts).
import { type Family, formatAddress, parseAddress } from "./address.ts";

export interface Prefix {
  readonly family: Family;
  /** 4 or 16 bytes, network order, host bits zero. */
  readonly bytes: Uint8Array;
  readonly length: number;
}

export type PrefixError = "syntax" | "length" | "hostBits";

/** Parses `address/length`; host bits set is an error, because it nearly always is a mistake of the writer. */
export function parsePrefix(text: string): Prefix | PrefixError {
  const match = /^([^/]+)\/(\d{1,3})$/.exec(text);
  const bytes = match && parseAddress(match[1]);
  if (!bytes) return "syntax";
  const length = Number(match[2]);
  if (length > bytes.length * 8) return "length";
  const masked = maskBytes(bytes, length);
  for (let i = 0; i < bytes.length; i++) if (masked[i] !== bytes[i]) return "hostBits";
  return { family: bytes.length === 4 ? 4 : 6, bytes, length };
}

/** As parsePrefix, for text that is known to be right. Throws RangeError. */
export function prefix(text: string): Prefix {
  const parsed = parsePrefix(text);
  if (typeof parsed === "string") throw new RangeError(`not a prefix (${parsed}): ${text}`);
  return parsed;
}

/** A copy with the bits after `length` cleared. */
export function maskBytes(bytes: Uint8Array, length: number): Uint8Array {
  const masked = Uint8Array.from(bytes);
  for (let i = 0; i < masked.length; i++) {
    const bits = Math.min(8, Math.max(0, length - i * 8));
    masked[i] &= 0xff00 >> bits;
  }
  return masked;
}

export function formatPrefix(prefix: Prefix): string {
  return `${formatAddress(prefix.bytes)}/${prefix.length}`;
}

/** True when `inner` (a prefix, or an address as its full-length prefix) lies within `outer`. */
export function contains(outer: Prefix, inner: Prefix): boolean {
  if (outer.family !== inner.family || inner.length < outer.length) return false;
  const masked = maskBytes(inner.bytes, outer.length);
  for (let i = 0; i < masked.length; i++) if (masked[i] !== outer.bytes[i]) return false;
  return true;
}

export function overlaps(a: Prefix, b: Prefix): boolean {
  return contains(a, b) || contains(b, a);
}

/** The /32 or /128 of an address. */
export function hostPrefix(address: Uint8Array): Prefix {
  return { family: address.length === 4 ? 4 : 6, bytes: address, length: address.length * 8 };
}

/** As hostPrefix(), of an address in text and as text: `10.0.0.1/32`. */
export function hostPrefixText(address: string): string {
  return `${address}/${address.includes(":") ? 128 : 32}`;
}
