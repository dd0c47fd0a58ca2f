// The format of the allocation journal: text, so that a person can read it.
//
//   underlay-allocations 1\n
//   <crc32 of the JSON, 8 hex digits> <JSON array of operations>\n
//   ...
//   zeros up to the end of the file: room that is allocated already, to write into
//
// One line is what one write made durable (the operations of all calls that waited together). The next line is written
// only after that. So something damaged that is followed by a good line is damage to what was acknowledged; something
// damaged at the end is a write that a crash interrupted, and nobody was told that it succeeded. A first line that is
// torn is no exception: the file gets its name only when its first content is on disk.

import { crc32 } from "./crc32.ts";
import type { StoreOperation } from "./records.ts";

export const JOURNAL_HEADER = "underlay-allocations 1\n";
const VERSION = /^underlay-allocations ([0-9]{1,9})\n/;

export function encodeLine(operations: readonly StoreOperation[]): Buffer {
  const json = Buffer.from(JSON.stringify(operations));
  return Buffer.concat([Buffer.from(`${crc32(json).toString(16).padStart(8, "0")} `), json, Buffer.from("\n")]);
}

/** Bytes of the file that are no line of ours, and are followed by one (or are where the header should be). */
export interface Damage {
  readonly offset: number;
  readonly length: number;
}

export interface JournalContent {
  /** Of all good lines, in order. */
  readonly operations: readonly StoreOperation[];
  readonly lines: number;
  readonly damage: readonly Damage[];
  /** Bytes up to the end of the last good line. */
  readonly length: number;
  /** Bytes after it that are not room: a write that was interrupted. */
  readonly torn: number;
}

/** A journal that this version does not read. */
export class JournalVersionError extends Error {
  constructor(version: string) {
    super(`was written by a later version of underlayd (format ${version})`);
    this.name = "JournalVersionError";
  }
}

/** Everything that is good in it. Throws JournalVersionError; for nothing that can happen to a disk. */
export function decodeJournal(bytes: Buffer): JournalContent {
  const version = VERSION.exec(bytes.subarray(0, 40).toString("latin1"));
  if (version && version[0] !== JOURNAL_HEADER) throw new JournalVersionError(version[1]);
  const operations: StoreOperation[] = [];
  const damage: Damage[] = [];
  let lines = 0;
  let end = version ? version[0].length : 0;
  for (let at = end; at < bytes.length; ) {
    const newline = bytes.indexOf(10, at);
    if (newline < 0) break;
    const line = findLine(bytes, at, newline);
    if (line) {
      if (line.start > end) damage.push({ offset: end, length: line.start - end });
      operations.push(...line.operations);
      lines++;
      end = newline + 1;
    }
    at = newline + 1;
  }
  let last = bytes.length;
  while (last > end && bytes[last - 1] === 0) last--;
  // Without a header the file was never finished, or something else is in its place.
  if (!version && damage.length === 0) {
    damage.push({ offset: 0, length: end === 0 ? last : 0 });
    if (end === 0) return { operations, lines, damage, length: 0, torn: 0 };
  }
  return { operations, lines, damage, length: end, torn: last - end };
}

/** In words; null: there is none. */
export function describeDamage(damage: readonly Damage[]): string | null {
  if (damage.length === 0) return null;
  const places = damage.slice(0, 3).map(({ offset, length }) => {
    return length === 0 ? `nothing where offset ${offset} should be` : `${length} bytes at offset ${offset}`;
  });
  return `is damaged: ${places.join(", ")}${damage.length > 3 ? ` and ${damage.length - 3} more places` : ""}`;
}

/**
 * The good line that ends there. It need not begin where the last one ended: the end of the one between may be what is
 * damaged.
 */
function findLine(bytes: Buffer, from: number, newline: number) {
  const whole = decodeLine(bytes.subarray(from, newline));
  if (whole) return { start: from, operations: whole };
  for (const { index } of bytes.toString("latin1", from, newline).matchAll(/(?=([0-9a-f]{8} \[))/g)) {
    const operations = decodeLine(bytes.subarray(from + index, newline));
    if (operations) return { start: from + index, operations };
  }
  return null;
}

/** Null when the checksum does not match or the text is not what we write. */
function decodeLine(line: Buffer): StoreOperation[] | null {
  const head = line.subarray(0, 9).toString("latin1");
  if (!/^[0-9a-f]{8} $/.test(head)) return null;
  const json = line.subarray(9);
  if (crc32(json) !== Number.parseInt(head, 16)) return null;
  try {
    const value: unknown = JSON.parse(json.toString("utf8"));
    return Array.isArray(value) ? (value as StoreOperation[]) : null;
  } catch {
    return null;
  }
}
