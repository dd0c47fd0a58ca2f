// Exclusions as written by people (an address, a range `a-b`, a prefix) -> merged byte ranges.
import { parseAddress } from "../../net/address.ts";
import { type Prefix, parsePrefix } from "../../net/prefix.ts";

/** Both ends belong to it; same family. */
export interface AddressRange {
  readonly first: Uint8Array;
  readonly last: Uint8Array;
}

/** Null when `text` is none of the three forms. */
export function parseRange(text: string): AddressRange | null {
  const single = parseAddress(text);
  if (single) return { first: single, last: single };
  if (text.includes("/")) {
    const prefix = parsePrefix(text);
    if (typeof prefix === "string") return null;
    return { first: prefix.bytes, last: lastAddress(prefix) };
  }
  const [from, to, ...rest] = text.split("-").map((part) => parseAddress(part.trim()));
  if (!from || !to || rest.length > 0 || from.length !== to.length || compareBytes(from, to) > 0) return null;
  return { first: from, last: to };
}

export function lastAddress({ bytes, length }: Prefix): Uint8Array {
  return bytes.map((byte, i) => byte | (0xff >> Math.min(8, Math.max(0, length - i * 8))));
}

/** Ascending and without overlaps; all of one family. */
export function mergeRanges(ranges: readonly AddressRange[]): AddressRange[] {
  const merged: AddressRange[] = [];
  for (const range of [...ranges].sort((a, b) => compareBytes(a.first, b.first))) {
    const previous = merged.at(-1);
    if (!previous || compareBytes(range.first, previous.last) > 0) merged.push(range);
    else if (compareBytes(range.last, previous.last) > 0)
      merged[merged.length - 1] = { first: previous.first, last: range.last };
  }
  return merged;
}

/** Numeric order of addresses of one family. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return a[i] - b[i];
  return 0;
}
