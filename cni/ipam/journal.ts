// The format of the allocation journal: text, so that a person can read it.
//
//   underlay-allocations 1\n
//   <crc32 of the JSON, 8 hex digits> <JSON array of operations>\n
//   ...
//
// One line is what one write and one fsync made durable (the operations of all calls that waited together). The next
// line is written only after that. So a line that is damaged and is followed by a good one is damage to acknowledged
// data; a damaged last line is a write that a crash interrupted, and nobody was told that it succeeded.

import { crc32 } from "./crc32.ts";
import type { StoreOperation } from "./records.ts";

export const JOURNAL_HEADER = "underlay-allocations 1\n";

export function encodeLine(operations: readonly StoreOperation[]): Buffer {
  const json = Buffer.from(JSON.stringify(operations));
  return Buffer.concat([Buffer.from(`${crc32(json).toString(16).padStart(8, "0")} `), json, Buffer.from("\n")]);
}

export interface JournalContent {
  readonly operations: readonly StoreOperation[];
  /** Bytes up to the end of the last good line. */
  readonly length: number;
  /** Bytes after it: a write that was interrupted. */
  readonly torn: number;
}

/** Damage that must not be passed over. */
export class JournalError extends Error {
  readonly offset: number;
  constructor(offset: number, message: string) {
    super(message);
    this.name = "JournalError";
    this.offset = offset;
  }
}

/** Throws JournalError when the header is wrong or a damaged line is followed by a good one. */
export function decodeJournal(bytes: Buffer): JournalContent {
  const header = bytes.subarray(0, JOURNAL_HEADER.length).toString("latin1");
  if (header !== JOURNAL_HEADER) throw new JournalError(0, `does not begin with "${JOURNAL_HEADER.trim()}"`);
  const operations: StoreOperation[] = [];
  let offset = JOURNAL_HEADER.length;
  while (offset < bytes.length) {
    const newline = bytes.indexOf(10, offset);
    const line = newline < 0 ? null : decodeLine(bytes.subarray(offset, newline));
    if (!line) break;
    operations.push(...line);
    offset = newline + 1;
  }
  for (let at = bytes.indexOf(10, offset) + 1; offset < bytes.length && at > 0 && at < bytes.length; ) {
    const newline = bytes.indexOf(10, at);
    if (newline < 0) break;
    if (decodeLine(bytes.subarray(at, newline))) throw new JournalError(offset, "has a damaged record");
    at = newline + 1;
  }
  return { operations, length: offset, torn: bytes.length - offset };
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
