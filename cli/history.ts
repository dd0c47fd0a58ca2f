// underlayctl history: what happened, from the flight recorder's files alone. No daemon is asked.
//
//   readHistory -> time, types, peer, prefix -> one line each; or, with --at, folded into how everything was then
import { setTimeout as sleep } from "node:timers/promises";
import { type HistoryRecord, ownTypes } from "../history/format.ts";
import { matchPeer, matchPrefix, parseWanted, type Wanted } from "../history/match.ts";
import { type ReadResult, readHistory } from "../history/reader.ts";
import { formatLocal, parseTime } from "../history/time.ts";
import { CliError } from "./client.ts";
import type { Invocation, Options } from "./commands.ts";
import { eventText } from "./event-text.ts";
import { showState } from "./history-state.ts";
import type { Output } from "./output.ts";
import { TYPE_WIDTH } from "./watch.ts";

const DEFAULT_DIRECTORY = "/var/lib/underlay/history";
/** Every minute the same, and the recorder's own: shown when asked for. */
const quiet: ReadonlySet<string> = new Set([...ownTypes.filter((type) => type !== "recorder"), "resources"]);
/** Milliseconds between two looks for more. */
const FOLLOW_MS = 300;

interface Selection {
  readonly since: number | null;
  readonly until: number | null;
  readonly types: ReadonlySet<string> | null;
  readonly peer: string | undefined;
  readonly prefix: Wanted | null;
}

export async function history({ output, options }: Invocation): Promise<number> {
  const directory = options.file ?? DEFAULT_DIRECTORY;
  const now = Date.now();
  if (options.at !== undefined) {
    for (const other of ["since", "until", "types", "peer", "prefix", "follow"] as const)
      if (options[other] !== undefined) throw new CliError(`history: --at takes no --${other}`, 2);
    return await showState(output, options.json, reading(directory), time("at", options.at, now), directory);
  }
  const selection = selectionOf(options, now);
  const result: ReadResult = { damaged: 0 };
  let shown = 0;
  let last = -1;
  let first: HistoryRecord | null = null;
  const show = async (after: number) => {
    for (const record of reading(directory, result, after)) {
      first ??= record;
      last = record.seq;
      const match = matches(record, selection);
      if (match === null) continue;
      shown++;
      await output.line(options.json ? jsonLine(record, match) : textLine(record, match, output));
    }
  };
  await show(-1);
  while (options.follow) {
    await sleep(FOLLOW_MS);
    await show(last);
  }
  if (result.damaged > 0) process.stderr.write(`${result.damaged} damaged lines were passed over\n`);
  if (shown > 0) return 0;
  process.stderr.write(`${nothing(first, directory)}\n`);
  return 1;
}

/** Throws CliError in words about the directory. */
function* reading(directory: string, result?: ReadResult, after?: number): Generator<HistoryRecord> {
  try {
    yield* readHistory(directory, result, after);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "ENOENT")
      throw new CliError(`history: there is no ${directory}; --file DIR names another: history in paths.state`, 2);
    if (code === "EACCES" || code === "EPERM")
      throw new CliError(`history: not allowed to read ${directory}: run this as root`, 2);
    if (code === "ENOTDIR")
      throw new CliError(`history: ${directory} is no directory; --file takes the recorder's directory`, 2);
    throw new CliError(`history: cannot read ${directory}: ${message}`, 2);
  }
}

function selectionOf(options: Options, now: number): Selection {
  const since = options.since === undefined ? null : time("since", options.since, now);
  const until = options.until === undefined ? null : time("until", options.until, now, since);
  if (since !== null && until !== null && until < since)
    throw new CliError(`history: --until ${options.until} is before --since ${options.since}`, 2);
  const types = options.types === undefined ? null : new Set(options.types.split(","));
  for (const type of types ?? [])
    if (!/^[a-zA-Z]+$/.test(type)) throw new CliError(`history: ${JSON.stringify(type)} is no type of events`, 2);
  const prefix = options.prefix === undefined ? null : parseWanted(options.prefix);
  if (prefix === null && options.prefix !== undefined)
    throw new CliError(`history: ${options.prefix} is neither a prefix (without host bits) nor an address`, 2);
  return { since, until, types, peer: options.peer, prefix };
}

function time(option: string, text: string, now: number, after: number | null = null): number {
  const parsed = parseTime(text, now, after);
  if (parsed !== null) return parsed;
  throw new CliError(
    `history: --${option} ${JSON.stringify(text)} is no time; write 10m or 2h (ago), 03:12, 2026-11-26T03:12 (local time) or 2026-11-26T03:12:00Z`,
    2,
  );
}

function matches(record: HistoryRecord, { since, until, types, peer, prefix }: Selection): "yes" | "perhaps" | null {
  if (types === null ? quiet.has(record.type) : !types.has(record.type)) return null;
  const at = Date.parse(record.time);
  if ((since !== null && at < since) || (until !== null && at > until)) return null;
  if (peer !== undefined && !matchPeer(record, peer)) return null;
  return prefix === null ? "yes" : matchPrefix(record, prefix);
}

function jsonLine(record: HistoryRecord, match: "yes" | "perhaps"): string {
  return JSON.stringify(match === "perhaps" ? { ...record, match } : record);
}

function textLine(record: HistoryRecord, match: "yes" | "perhaps", output: Output): string {
  const type = output.paint(record.type.padEnd(TYPE_WIDTH), "bold");
  const doubt = match === "perhaps" ? output.paint("  (a summary: perhaps)", "dim") : "";
  return `${formatLocal(Date.parse(record.time))}  ${type}  ${eventText(record)}${doubt}`;
}

function nothing(first: HistoryRecord | null, directory: string): string {
  if (!first) return `nothing is on record in ${directory}`;
  return `nothing of that is on record; the record begins at ${formatLocal(Date.parse(first.time))}`;
}
