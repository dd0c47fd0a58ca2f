// Which routes somebody wants to see: by prefix (exact), by address (longest match), family, table, only best ones.
import { type Family, parseAddress } from "../net/address.ts";
import { hostPrefix, type Prefix, parsePrefix } from "../net/prefix.ts";

export interface RouteQuery {
  /** An address (longest match) or a prefix (exact). */
  readonly prefix?: string;
  /** A table's name. */
  readonly table?: string;
  readonly family?: Family;
  /** Only paths in use. */
  readonly best?: boolean;
}

export interface ParsedTarget {
  readonly prefix: Prefix;
  /** An address was asked for: the longest prefix that contains it. */
  readonly longestMatch: boolean;
}

/** Throws RangeError with a message for the person who asked. */
export function parseTarget(text: string): ParsedTarget {
  const address = parseAddress(text);
  if (address) return { prefix: hostPrefix(address), longestMatch: true };
  const parsed = parsePrefix(text);
  if (typeof parsed !== "string") return { prefix: parsed, longestMatch: false };
  const hint = {
    syntax: "give an address (longest match) or a prefix like 10.0.0.0/8",
    length: "the length is longer than the address",
    hostBits: "there are bits set after the prefix length",
  }[parsed];
  throw new RangeError(`"${text}" is not a prefix: ${hint}`);
}
