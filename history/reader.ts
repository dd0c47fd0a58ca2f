// Reads the flight recorder's files: in order, and whatever a crash, a full disk or the recorder beside us left of them.
// No daemon is needed; one may be writing meanwhile.
import { closeSync, openSync, readdirSync, readSync } from "node:fs";
import { join } from "node:path";
import { type HistoryRecord, parseRecord, segmentSeq } from "./format.ts";

/** Bytes read at once. */
const CHUNK = 256 * 1024;
/** No record is longer; what is, is not one. */
const LONGEST = 4 << 20;

export interface ReadResult {
  /** Lines that are no records: cut short by a crash or a full disk. */
  damaged: number;
}

/** Segments of a directory, oldest first. Throws what readdir throws. */
export function segmentsOf(directory: string): string[] {
  return readdirSync(directory)
    .filter((file) => segmentSeq(file) !== null)
    .sort();
}

/** All records of a directory, oldest first, those with a number above `after`. Throws what readdir throws. */
export function* readHistory(
  directory: string,
  result: ReadResult = { damaged: 0 },
  after = -1,
): Generator<HistoryRecord> {
  const segments = segmentsOf(directory);
  let last = after;
  for (const [i, file] of segments.entries()) {
    const next = segments[i + 1];
    if (next !== undefined && (segmentSeq(next) as number) <= after + 1) continue;
    for (const record of readSegment(join(directory, file), result)) {
      if (record.seq <= last) continue;
      last = record.seq;
      yield record;
    }
  }
}

/** The records of one file. One that has been removed meanwhile has none. */
export function* readSegment(path: string, result: ReadResult): Generator<HistoryRecord> {
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
    throw error;
  }
  try {
    for (const line of lines(fd)) {
      const record = parseRecord(line);
      if (record) yield record;
      else result.damaged++;
    }
  } finally {
    closeSync(fd);
  }
}

/** Lines that are not empty; the last one need not end. */
function* lines(fd: number): Generator<string> {
  const chunk = Buffer.allocUnsafe(CHUNK);
  let rest: Buffer = Buffer.alloc(0);
  for (;;) {
    const length = readSync(fd, chunk, 0, CHUNK, null);
    if (length === 0) break;
    const buffer =
      rest.length === 0 ? Buffer.from(chunk.subarray(0, length)) : Buffer.concat([rest, chunk.subarray(0, length)]);
    let start = 0;
    for (let end = buffer.indexOf(10); end >= 0; end = buffer.indexOf(10, start)) {
      if (end > start) yield buffer.toString("utf8", start, end);
      start = end + 1;
    }
    rest = buffer.subarray(start);
    if (rest.length > LONGEST) {
      yield "";
      rest = Buffer.alloc(0);
    }
  }
  if (rest.length > 0) yield rest.toString("utf8");
}
