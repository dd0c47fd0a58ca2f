// How everything was at one time: the last `state` record before it, and what changed from there on.
import type { HistoryRecord, StateFields } from "./format.ts";

export interface StateAt {
  /** Of the last record that was taken into account. */
  time: string;
  /** `running`, or what it was doing; `not running`: stopped, or lost without a word. */
  daemon: string;
  readonly peers: Map<
    string,
    { state: string; since: string | null; received: number; accepted: number; advertised: number }
  >;
  readonly blocks: Map<string, { pool: string; state: string }>;
  /** By table; as of `countedAt`. */
  tables: StateFields["tables"];
  kernel: StateFields["kernel"] | null;
  countedAt: string | null;
  pods: number;
  readonly problems: Set<string>;
}

export function emptyState(): StateAt {
  return {
    time: "",
    daemon: "unknown",
    peers: new Map(),
    blocks: new Map(),
    tables: [],
    kernel: null,
    countedAt: null,
    pods: 0,
    problems: new Set(),
  };
}

/** Takes one more record into account. */
export function applyRecord(state: StateAt, record: HistoryRecord): void {
  state.time = record.time;
  switch (record.type) {
    case "state":
      snapshot(state, record as HistoryRecord & StateFields);
      return;
    case "session":
      if (record["kind"] === "state") session(state, record);
      return;
    case "block":
      state.blocks.set(String(record["prefix"]), { pool: String(record["pool"]), state: String(record["state"]) });
      return;
    case "pod":
      state.pods += record["kind"] === "added" ? 1 : -1;
      return;
    case "problem":
      if (record["kind"] === "appeared") state.problems.add(String(record["problem"]));
      else state.problems.delete(String(record["problem"]));
      return;
    case "resources":
      count(state, record as HistoryRecord & StateFields);
      return;
    case "daemon":
      daemon(state, String(record["kind"]));
  }
}

function snapshot(state: StateAt, record: HistoryRecord & StateFields): void {
  state.daemon = record.daemon;
  const before = new Map(state.peers);
  state.peers.clear();
  for (const { name, ...peer } of record.peers) {
    const known = before.get(name);
    state.peers.set(name, { ...peer, since: known?.state === peer.state ? known.since : null });
  }
  state.blocks.clear();
  for (const { prefix, pool, state: blockState } of record.blocks)
    state.blocks.set(prefix, { pool, state: blockState });
  count(state, record);
  state.problems.clear();
  for (const problem of record.problems) state.problems.add(problem);
}

function count(state: StateAt, { tables, kernel, pods, time }: HistoryRecord & StateFields): void {
  state.tables = tables;
  state.kernel = kernel;
  state.pods = pods;
  state.countedAt = time;
}

function session(state: StateAt, record: HistoryRecord): void {
  const none = { received: 0, accepted: 0, advertised: 0 };
  const prefixes = (record["to"] === "Established" && record["prefixes"]) || none;
  state.peers.set(String(record["peer"]), {
    state: String(record["to"]),
    since: record.time,
    ...(prefixes as typeof none),
  });
}

function daemon(state: StateAt, kind: string): void {
  if (kind === "start") {
    // What the last run left is not true any more, whether or not it said so.
    state.daemon = "starting";
    state.peers.clear();
    state.problems.clear();
  } else if (kind === "running") state.daemon = "running";
  else if (kind === "stop") state.daemon = "stopping";
  else if (kind === "stopped" || kind === "failed" || kind === "crash") {
    state.daemon = "not running";
    state.peers.clear();
    state.problems.clear();
  }
}
