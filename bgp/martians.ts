// Prefixes that can be nobody's destination on a network ("martians", RFC 1812 §5.3.7, RFC 6890, RFC 4291): this-network
// (0.0.0.0/8), loopback, link-local, multicast and reserved IPv4; the unspecified, loopback and IPv4-mapped addresses,
// link-local and multicast IPv6. A prefix is one when it lies inside of one of these; a default route never does.
import type { PrefixTable } from "../net/prefix-table.ts";

/** Whether an interned prefix is one. Runs for every route: most are told by their first octet. */
export function isMartian(prefixes: PrefixTable, id: number): boolean {
  const word = prefixes.word(id, 0);
  const first = word >>> 24;
  if (prefixes.family === 4)
    return first >= 127 || first === 0 ? isMartian4(first, word, prefixes.lengthOf(id)) : false;
  return first >= 0xfe || word === 0 ? isMartian6(prefixes, id, word) : false;
}

function isMartian4(first: number, word: number, length: number): boolean {
  if (first >= 224) return length >= 4;
  if (first === 0 || first === 127) return length >= 8;
  return word >>> 16 === 0xa9fe && length >= 16;
}

function isMartian6(prefixes: PrefixTable, id: number, word: number): boolean {
  const length = prefixes.lengthOf(id);
  if (word >>> 24 === 0xff) return length >= 8;
  if (word !== 0) return (word & 0xffc0_0000) >>> 0 === 0xfe80_0000 && length >= 10;
  if (length < 96 || prefixes.word(id, 1) !== 0) return false;
  const third = prefixes.word(id, 2);
  if (third === 0xffff) return true;
  return length === 128 && third === 0 && prefixes.word(id, 3) <= 1;
}
