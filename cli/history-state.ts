// underlayctl history --at T: how everything was then, put together from what is on record.
import type { HistoryRecord } from "../history/format.ts";
import { applyRecord, emptyState, type StateAt } from "../history/state-at.ts";
import { formatLocal } from "../history/time.ts";
import { duration, type Output, plain } from "./output.ts";

/** Milliseconds without a record after which a daemon may have ended without a word. */
const SILENCE_MS = 150_000;

/** Exit code 0, or 1 when there is nothing on record from before. */
export async function showState(
  output: Output,
  json: boolean,
  records: Iterable<HistoryRecord>,
  at: number,
  directory: string,
): Promise<number> {
  const state = emptyState();
  let first: string | null = null;
  for (const record of records) {
    first ??= record.time;
    if (Date.parse(record.time) <= at) applyRecord(state, record);
  }
  if (state.time === "") {
    const begins = first === null ? "is empty" : `begins at ${formatLocal(Date.parse(first))}`;
    process.stderr.write(`nothing is on record from before ${formatLocal(at)}: ${directory} ${begins}\n`);
    return 1;
  }
  if (json) await output.line(JSON.stringify(jsonOf(state, at), null, 2));
  else await show(output, state, at);
  return 0;
}

function jsonOf(state: StateAt, at: number): object {
  const { peers, blocks, problems, time, ...rest } = state;
  return {
    at: new Date(at).toISOString(),
    lastRecord: time,
    ...rest,
    peers: [...peers].map(([name, peer]) => ({ name, ...peer })),
    blocks: [...blocks].map(([prefix, block]) => ({ prefix, ...block })),
    problems: [...problems],
  };
}

async function show(output: Output, state: StateAt, at: number): Promise<void> {
  const since = (time: string | null) => (time === null ? "" : ` for ${duration((at - Date.parse(time)) / 1000)}`);
  const quiet = at - Date.parse(state.time);
  const silent =
    state.daemon === "running" && quiet > SILENCE_MS ? ", or not any more: there should be a mark each minute" : "";
  await output.line(output.paint(`at ${formatLocal(at)}`, "bold"));
  await output.line(
    `  ${"daemon".padEnd(9)}${plain(state.daemon)} (last record ${duration(quiet / 1000)} before${silent})`,
  );
  for (const [name, peer] of state.peers) {
    const counts =
      peer.state === "Established" ? `, ${peer.received} prefixes received, ${peer.advertised} advertised` : "";
    const colour = peer.state === "Established" ? "green" : "red";
    await output.line(
      `  ${"peer".padEnd(9)}${plain(name)} ${output.paint(plain(peer.state), colour)}${since(peer.since)}${counts}`,
    );
  }
  for (const [prefix, block] of state.blocks)
    await output.line(`  ${"block".padEnd(9)}${plain(prefix)} of pool ${plain(block.pool)}, ${plain(block.state)}`);
  for (const { table, ipv4, ipv6 } of state.tables)
    await output.line(`  ${"table".padEnd(9)}${plain(table)}: ${ipv4} IPv4, ${ipv6} IPv6 routes`);
  if (state.kernel)
    await output.line(`  ${"kernel".padEnd(9)}${state.kernel.installed} of ${state.kernel.desired} installed`);
  await output.line(`  ${"pods".padEnd(9)}${state.pods}`);
  if (state.countedAt !== null)
    await output.line(output.paint(`  routes were counted at ${formatLocal(Date.parse(state.countedAt))}`, "dim"));
  for (const problem of state.problems)
    await output.line(`  ${output.paint("problem".padEnd(9), "red")}${plain(problem)}`);
}
