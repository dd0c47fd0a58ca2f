// underlayctl status: how the node is, one line per part.
import { basename } from "node:path";
import type { BmpCollectorView, MrtView } from "../bgp/monitor/types.ts";
import type { HistoryView, StatusView } from "../daemon/api/types.ts";
import type { Invocation } from "./commands.ts";
import { duration, mebibytes, type Output, plain } from "./output.ts";

export async function status({ client, output, options }: Invocation): Promise<number> {
  const view = await client.get<StatusView>("/v1/status");
  const code = view.state === "ok" ? 0 : 1;
  if (options.json) {
    await output.line(JSON.stringify(view, null, 2));
    return code;
  }
  const { kernel, eventLoopDelay: delay } = view;
  const state = output.paint(view.state, code === 0 ? "green" : "red");
  const failed = kernel.failed.length > 0 ? output.paint(`${kernel.failed.length} refused`, "red") : "none refused";
  const out = output.paint("out of service", "yellow");
  const lines: [string, string][] = [
    ["state", `${state}, up ${duration(view.uptime)}, underlayd ${view.version}, pid ${view.pid}`],
    [
      "sessions",
      `${view.peers.established} of ${view.peers.configured} Established${view.peers.dynamic > 0 ? `, ${view.peers.dynamic} dynamic` : ""}`,
    ],
    ...(view.drain.state === "serving"
      ? []
      : [["drain", `the node is ${out} (${view.drain.state}) since ${view.drain.since}`] satisfies [string, string]]),
    ...view.drain.peers.map(({ name, state: drained, since }): [string, string] => [
      "drain",
      `${plain(name)} is ${out} (${drained}) since ${since}`,
    ]),
    ["routes", `${view.routes.ipv4} IPv4, ${view.routes.ipv6} IPv6`],
    [
      "kernel",
      kernel.install
        ? `${kernel.installed} of ${kernel.desired} installed, ${failed}, ${kernel.stale} stale`
        : "left alone (routing.install: false)",
    ],
    ...view.monitoring.bmp.map((collector): [string, string] => ["bmp", bmpText(collector, output)]),
    ...(view.monitoring.mrt ? [["mrt", mrtText(view.monitoring.mrt, output)] satisfies [string, string]] : []),
    ...(view.history ? [["history", historyText(view.history, output)] satisfies [string, string]] : []),
    ["pods", `${view.pods}${isolationText(kernel.isolation)}`],
    ["memory", `${mebibytes(view.memory.rss)} resident, ${mebibytes(view.memory.heapUsed)} heap`],
    ["event loop", `late by ${delay.p50} ms (median), ${delay.p99} ms (p99), ${delay.max} ms (worst)`],
  ];
  await output.line(output.paint(`${plain(view.name)}  AS ${view.asn}  router id ${view.routerId}`, "bold"));
  for (const [key, value] of lines) await output.line(`  ${key.padEnd(11)}${value}`);
  for (const problem of view.problems) await output.line(`  ${output.paint("problem", "red")}    ${plain(problem)}`);
  return code;
}

/** How pods are kept to their own addresses, and what was dropped for that. */
function isolationText({ state, dropped }: StatusView["kernel"]["isolation"]): string {
  if (state !== "active") return state === "off" ? "" : ", not kept to their addresses";
  const counts = Object.entries(dropped).filter(([, packets]) => packets > 0);
  const sum = counts.reduce((total, [, packets]) => total + packets, 0);
  const which = counts.map(([reason, packets]) => `${reason} ${packets}`).join(", ");
  return `, kept to their addresses, ${sum} packets dropped${which ? ` (${which})` : ""}`;
}

function bmpText(view: BmpCollectorView, output: Output): string {
  const { name, address, port, uptime, lastError, messagesSent, pending, stalled } = view;
  const where = `${plain(name)} (${address.includes(":") ? `[${address}]` : address}:${port})`;
  const state = output.paint(view.state, view.state === "connected" ? "green" : "red");
  if (uptime === null) return `${where} ${state}${lastError ? `: ${plain(lastError)}` : ""}`;
  const slow = stalled > 0 ? `, ${output.paint(`has read nothing for ${duration(stalled)}`, "yellow")}` : "";
  return `${where} ${state}, up ${duration(uptime)}, ${messagesSent} messages, ${pending} prefixes to go${slow}`;
}

function historyText({ directory, bytes, size, lost }: HistoryView, output: Output): string {
  const missing = lost > 0 ? `, ${output.paint(`${lost} records lost`, "red")}` : "";
  return `${plain(directory)}, ${mebibytes(bytes)} of ${mebibytes(size)}${missing}`;
}

function mrtText({ directory, updatesFile, updatesWritten, updatesLost, lastDump }: MrtView, output: Output): string {
  const lost = updatesLost > 0 ? `, ${output.paint(`${updatesLost} lost`, "red")}` : "";
  const updates = updatesFile ? `, ${updatesWritten} updates written${lost}` : lost;
  return `${plain(directory)}${updates}, newest table ${lastDump ? plain(basename(lastDump)) : "none yet"}`;
}
