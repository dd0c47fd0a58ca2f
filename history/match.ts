// Is a record about this prefix, or this peer? Prefixes are looked for in all of a record's text, so that a message counts
// as well as a field. A summary of many routes can only say between which prefixes they were: it may be about this one.
import { parseAddress } from "../net/address.ts";
import { contains, hostPrefix, maskBytes, type Prefix, parsePrefix } from "../net/prefix.ts";
import type { HistoryRecord } from "./format.ts";

export interface Wanted {
  readonly prefix: Prefix;
  /** An address: prefixes that contain it are meant. Otherwise: the prefix, and what is inside it. */
  readonly isAddress: boolean;
}

/** Null: neither a prefix nor an address. */
export function parseWanted(text: string): Wanted | null {
  const address = parseAddress(text);
  if (address) return { prefix: hostPrefix(address), isAddress: true };
  const parsed = parsePrefix(text);
  return typeof parsed === "string" ? null : { prefix: parsed, isAddress: false };
}

const TOKEN =
  /(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9a-f]{0,4}:[0-9a-f:]*:[0-9a-f:.]*)(?:\/\d{1,3})?(?![\w.:]*[\w:])/gi;

/** `perhaps`: the record is a summary that may have it. */
export function matchPrefix(record: HistoryRecord, wanted: Wanted): "yes" | "perhaps" | null {
  const { lowest, highest, shortest, ...rest } = record;
  if (mentions(rest, wanted)) return "yes";
  if (typeof lowest === "string" && typeof highest === "string")
    return between(lowest, highest, Number(shortest), wanted) ? "perhaps" : null;
  if (record.type !== "route") return null;
  // More changed than the record names.
  const { count, changes, family } = record;
  const unnamed = typeof count === "number" && Array.isArray(changes) && count > changes.length;
  return unnamed && family === wanted.prefix.family ? "perhaps" : null;
}

function mentions(value: unknown, wanted: Wanted): boolean {
  if (typeof value === "string") return (value.match(TOKEN) ?? []).some((token) => isAbout(token, wanted));
  if (typeof value !== "object" || value === null) return false;
  return Object.values(value).some((part) => mentions(part, wanted));
}

function isAbout(token: string, { prefix, isAddress }: Wanted): boolean {
  const found = prefixOf(token);
  return found !== null && (contains(prefix, found) || (isAddress && contains(found, prefix)));
}

/** Also of an interface's address with its length, `10.0.0.2/24`. */
function prefixOf(token: string): Prefix | null {
  const [text, length] = token.split("/");
  const bytes = parseAddress(text);
  if (!bytes) return null;
  const bits = length === undefined ? bytes.length * 8 : Number(length);
  return bits > bytes.length * 8 ? null : { ...hostPrefix(maskBytes(bytes, bits)), length: bits };
}

/** Whether one of the prefixes between these two may be the one wanted, or inside it, or contain the address. */
function between(lowest: string, highest: string, shortest: number, { prefix, isAddress }: Wanted): boolean {
  const low = prefixOf(lowest);
  const high = prefixOf(highest);
  if (!low || !high || low.family !== prefix.family) return false;
  if (Buffer.compare(low.bytes, lastAddress(prefix, prefix.length)) > 0) return false;
  // The highest begins last, but one that begins earlier and is shorter may end later.
  const end = isAddress ? lastAddress(high, Math.min(shortest || 0, high.length)) : high.bytes;
  return Buffer.compare(end, prefix.bytes) >= 0;
}

function lastAddress({ bytes }: Prefix, length: number): Uint8Array {
  const last = Uint8Array.from(bytes);
  for (let bit = length; bit < last.length * 8; bit++) last[bit >> 3] |= 0x80 >> (bit & 7);
  return last;
}

export function matchPeer(record: HistoryRecord, peer: string): boolean {
  if (record["peer"] === peer) return true;
  const { type, changes, request, problem } = record;
  if (type === "route" && Array.isArray(changes)) return changes.some((change) => change?.peer === peer);
  if (type === "api" && typeof request === "string")
    return new URLSearchParams(request.split("?")[1] ?? "").get("peer") === peer;
  return type === "problem" && typeof problem === "string" && problem.includes(`peer ${peer} `);
}
