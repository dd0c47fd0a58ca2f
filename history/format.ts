// The flight recorder's files: what happened, on one timeline. A directory of segments, each named by the number of its
// first record: `00000000012345.ndjson`. One record per line, a JSON object:
//
//   seq    number of the record; they count on over restarts of the daemon and of the host
//   time   wall clock, RFC 3339 in UTC
//   up     monotonic clock of the daemon, milliseconds: differences are right also where `time` jumps
//   type   an event's type (docs/api.md), or one of the recorder's own below
//
// A segment begins with a `segment` record (format, boot id, process, version) and a `state` record: how everything was
// then. The last line of the newest segment may be cut short by a crash, and is no record then.
export const FORMAT = 1;

/** Types that only the recorder writes. */
export const ownTypes = ["segment", "state", "recorder"] as const;

export interface HistoryRecord {
  readonly seq: number;
  readonly time: string;
  readonly up: number;
  readonly type: string;
  readonly [key: string]: unknown;
}

/** How everything was at one time: from here on, the records that follow say what changed. */
export interface StateFields {
  readonly daemon: string;
  readonly peers: readonly {
    readonly name: string;
    readonly state: string;
    readonly received: number;
    readonly accepted: number;
    readonly advertised: number;
  }[];
  readonly blocks: readonly { readonly prefix: string; readonly pool: string; readonly state: string }[];
  readonly tables: readonly TableCount[];
  readonly kernel: { readonly desired: number; readonly installed: number; readonly failed: number };
  readonly pods: number;
  readonly problems: readonly string[];
}

/** Routes in one table. */
export interface TableCount {
  readonly table: string;
  readonly ipv4: number;
  readonly ipv6: number;
}

const DIGITS = 14;
const name = /^(\d{14})\.ndjson$/;

export function segmentName(seq: number): string {
  return `${String(seq).padStart(DIGITS, "0")}.ndjson`;
}

/** Number of a segment's first record; null: the file is none. */
export function segmentSeq(file: string): number | null {
  const match = name.exec(file);
  return match ? Number(match[1]) : null;
}

/** The record in a line; null: it is none. */
export function parseRecord(line: string): HistoryRecord | null {
  try {
    const record = JSON.parse(line) as HistoryRecord;
    const valid = typeof record === "object" && record !== null && Number.isSafeInteger(record.seq);
    return valid && typeof record.time === "string" && typeof record.type === "string" ? record : null;
  } catch {
    return null;
  }
}
