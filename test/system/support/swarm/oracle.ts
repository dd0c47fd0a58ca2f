// What must be true of a swarm's history: the log of what its nodes did, beside the revisions of etcd's store.

import type { WatchEvent } from "../../../../cni/blocks/etcd/kv.ts";
import { parseBlock } from "../../../../cni/blocks/records.ts";
import { overlaps, prefix } from "../../../../net/prefix.ts";
import type { Line } from "./log.ts";

export interface Death {
  readonly t: number;
  readonly nodes: readonly string[];
}

export interface Verdict {
  readonly faults: readonly string[];
  readonly announcements: number;
  readonly withdrawals: number;
  readonly takes: number;
  readonly lost: number;
  readonly refused: Readonly<Record<string, number>>;
  readonly revisions: number;
}

interface Interval {
  readonly node: string;
  readonly what: string;
  readonly from: number;
  readonly to: number;
}

/** `deaths`: when processes were killed; with them end their nodes' announcements and pods. */
export function judge(lines: readonly Line[], deaths: readonly Death[], history: readonly WatchEvent[]): Verdict {
  const faults: string[] = [];
  const blocks = intervals(lines, deaths, "announce", "withdraw");
  const byFirst = [...blocks].sort((a, b) => a.from - b.from);
  const prefixes = new Map([...new Set(blocks.map(({ what }) => what))].map((text) => [text, prefix(text)]));
  for (let i = 0; i < byFirst.length; i++)
    for (let j = i + 1; j < byFirst.length && byFirst[j].from < byFirst[i].to; j++) {
      const [a, b] = [byFirst[i], byFirst[j]];
      if (a.node !== b.node && overlaps(prefixes.get(a.what)!, prefixes.get(b.what)!))
        faults.push(
          `${a.node} announces ${a.what} and ${b.node} announces ${b.what} from ${b.from} to ${Math.min(a.to, b.to)}`,
        );
    }
  const confirmed = new Set<string>();
  for (const { key, value } of history) {
    if (!/\/v1\/blocks\//.test(key)) continue;
    const record = parseBlock(value);
    if (record?.state === "confirmed") confirmed.add(`${record.node} ${key.split("/").slice(5).join("/")}`);
  }
  for (const { node, what } of blocks)
    if (!confirmed.has(`${node} ${what}`)) faults.push(`${node} announces ${what}, which was never confirmed`);
  const hands = new Map<string, Interval[]>();
  for (const interval of intervals(lines, deaths, "take", "release"))
    hands.set(interval.what, [...(hands.get(interval.what) ?? []), interval]);
  let takes = 0;
  for (const list of hands.values()) {
    takes += list.length;
    list.sort((a, b) => a.from - b.from);
    for (let i = 1; i < list.length; i++)
      for (let j = 0; j < i; j++)
        if (list[j].node !== list[i].node && list[i].from < list[j].to)
          faults.push(`${list[i].what} is in the hands of ${list[j].node} and ${list[i].node} at ${list[i].from}`);
  }
  faults.push(...lastBlocks(history));
  const refused: Record<string, number> = {};
  for (const { kind, what } of lines) if (kind === "refused") refused[what] = (refused[what] ?? 0) + 1;
  const died = lines.find(({ kind, what }) => kind === "state" && what.startsWith("died"));
  if (died) faults.push(`${died.node} ${died.what}`);
  const withdrawals = lines.filter(({ kind }) => kind === "withdraw");
  return {
    faults,
    announcements: blocks.length,
    withdrawals: withdrawals.length,
    takes,
    lost: withdrawals.filter((line) => "why" in line && line.why !== "given back").length,
    refused,
    revisions: history.length,
  };
}

function intervals(lines: readonly Line[], deaths: readonly Death[], opens: string, closes: string): Interval[] {
  const open = new Map<string, { node: string; what: string; from: number }>();
  const closed: Interval[] = [];
  const end = (key: string, to: number) => {
    const interval = open.get(key);
    if (interval) closed.push({ ...interval, to });
    open.delete(key);
  };
  const ends = deaths.flatMap(({ t, nodes }) => nodes.map((node) => ({ t, node, kind: "death" as const, what: "" })));
  for (const line of [...lines, ...ends].sort((a, b) => a.t - b.t)) {
    const key = `${line.node} ${line.what}`;
    if (line.kind === opens) open.set(key, { node: line.node, what: line.what, from: line.t });
    else if (line.kind === closes) end(key, line.t);
    else if (line.kind === "death")
      for (const [other, { node }] of [...open]) if (node === line.node) end(other, line.t);
  }
  for (const key of [...open.keys()]) end(key, Number.POSITIVE_INFINITY);
  return closed;
}

/** Who has a confirmed block of a family has one until an operator takes it. */
function lastBlocks(history: readonly WatchEvent[]): string[] {
  const faults: string[] = [];
  const owner = new Map<string, string>();
  const count = new Map<string, number>();
  for (const { kind, key, value } of history) {
    const family = /\/v1\/blocks\/([46])\//.exec(key)?.[1];
    if (!family) continue;
    const record = kind === "put" ? parseBlock(value) : null;
    const before = owner.get(key);
    const after = record?.state === "confirmed" ? `${record.node} ${family}` : undefined;
    if (before === after) continue;
    if (before) count.set(before, count.get(before)! - 1);
    if (after) count.set(after, (count.get(after) ?? 0) + 1);
    if (after) owner.set(key, after);
    else owner.delete(key);
    // An operator's act leaves a record; a node's own deletes it.
    if (before && kind === "delete" && count.get(before) === 0) faults.push(`${before}: its last block ${key} is gone`);
  }
  return faults;
}
