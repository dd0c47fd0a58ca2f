// How the daemon's last run ended, by what the flight recorder has of it.
import { join } from "node:path";
import type { HistoryRecord } from "./format.ts";
import { readSegment, segmentsOf } from "./reader.ts";

export interface LastRun {
  /** `stopped`: as it should; `crash`: with last words; `lost`: without. */
  readonly end: "stopped" | "crash" | "lost";
  /** Of the last record. */
  readonly time: string;
  /** The last words of a crash. */
  readonly message: string | null;
  readonly bootId: string | null;
  readonly pid: number | null;
}

const END_KINDS: ReadonlySet<unknown> = new Set(["stopped", "failed"]);

/** Null: there is no record of one. */
export function lastRun(directory: string): LastRun | null {
  let header: HistoryRecord | null = null;
  let last: HistoryRecord | null = null;
  try {
    // A segment whose beginning was cut short has nothing; the one before it does.
    for (const file of segmentsOf(directory).reverse()) {
      for (const record of readSegment(join(directory, file), { damaged: 0 })) {
        if (record.type === "segment") header = record;
        last = record;
      }
      if (last) break;
    }
  } catch {
    return null;
  }
  if (!last) return null;
  const ofDaemon = last.type === "daemon";
  const crashed = ofDaemon && last["kind"] === "crash";
  return {
    end: crashed ? "crash" : ofDaemon && END_KINDS.has(last["kind"]) ? "stopped" : "lost",
    time: last.time,
    message: crashed ? String(last["message"]) : null,
    bootId: typeof header?.["bootId"] === "string" ? header["bootId"] : null,
    pid: typeof header?.["pid"] === "number" ? header["pid"] : null,
  };
}
