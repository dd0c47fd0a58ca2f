// `underlayctl peers PEER`: all there is to know of one neighbour and its session.
import type { PeerView } from "../bgp/views.ts";
import { type Colour, duration, type Output, plain } from "./output.ts";
import { bfdLines, historyLines, resetLines, unnumberedLines } from "./peer-lines.ts";

export const stateColour = (state: string): Colour =>
  state === "Established" ? "green" : state === "Idle" ? "red" : "yellow";

export async function peerDetails(output: Output, view: PeerView): Promise<void> {
  const counts = (kind: "received" | "accepted" | "advertised") => {
    const { total, ipv4, ipv6 } = view.prefixes[kind];
    const paths = view.paths[kind].total;
    return `${total} (${ipv4} IPv4, ${ipv6} IPv6)${paths === total ? "" : `, ${paths} paths`}`;
  };
  const { messages, errors } = view;
  const lines: [string, string][] = [
    [
      "address",
      `${view.address ?? "not known yet"}, AS ${view.asn ?? "unknown"}, router id ${view.remoteRouterId ?? "unknown"}`,
    ],
    [
      "state",
      output.paint(view.state, stateColour(view.state)) + (view.uptime === null ? "" : `, up ${duration(view.uptime)}`),
    ],
    ...(view.hostname === null ? [] : [["hostname", view.hostname] as [string, string]]),
    ...(view.group === null
      ? []
      : [["peer group", view.group + (view.dynamic ? ", dynamic (listen range)" : "")] as [string, string]]),
    ...(view.localAddress === null ? [] : [["connection", connectionText(view)] as [string, string]]),
    ["last error", view.lastError === null ? "none" : `${view.lastError}${ago(view.lastErrorAge)}`],
    ...resetLines(view.lastReset),
    ...historyLines(view.history),
    ["notification", notificationText(view)],
    ...(view.unnumbered ? unnumberedLines(view.unnumbered) : []),
    ...(view.bfd ? bfdLines(view.bfd) : []),
    ["sessions", `Established ${view.establishedCount} times`],
    ["timers", timersText(view)],
    ["policy", `import ${view.import}, export ${view.export}, table ${view.table}${silence(view)}`],
    ...(view.defaultOriginate ? [["default route", originatedText(view.defaultOriginate)] as [string, string]] : []),
    [
      "received",
      `${counts("received")}${staleText(view)}${view.pathsIgnored > 0 ? `, ${view.pathsIgnored} paths ignored` : ""}`,
    ],
    ["accepted", counts("accepted")],
    ["advertised", counts("advertised")],
    [
      "messages",
      `${messages.received} received (${messages.updatesReceived} updates), ${messages.sent} sent (${messages.updatesSent} updates)`,
    ],
    ["malformed", `${errors.treatedAsWithdrawn} routes withdrawn, ${errors.attributesDiscarded} attributes discarded`],
    ["families", view.families.map((family) => `IPv${family}`).join(", ") || "-"],
    ["capabilities", view.capabilities.join(", ") || "-"],
  ];
  await output.line(output.paint(plain(view.name), "bold"));
  for (const [key, value] of lines) await output.line(`  ${key.padEnd(14)}${key === "state" ? value : plain(value)}`);
}

/** Of this node's own making, for this neighbour alone. */
function originatedText({ ipv4, ipv6 }: NonNullable<PeerView["defaultOriginate"]>): string {
  const words = (family: string, announced: boolean | null) =>
    announced === null ? [] : [`${family} ${announced ? "announced" : "not announced"}`];
  return `of our own, ${[...words("IPv4", ipv4), ...words("IPv6", ipv6)].join(", ")}`;
}

const ago = (seconds: number | null) => (seconds === null ? "" : ` (${duration(seconds)} ago)`);

function staleText({ stale, helper }: PeerView): string {
  if (stale === 0) return "";
  return `, ${stale} stale${helper ? ` (${helper.phase}, for ${duration(helper.left)} at most)` : ""}`;
}

function connectionText(view: PeerView): string {
  const end = (address: string, port: number | null) => `${address} port ${port}`;
  const md5 = { password: ", TCP MD5", accepted: ", TCP MD5 with an accepted key" };
  const signed = view.md5 === null ? "" : md5[view.md5];
  const longest = view.maxMessage === null ? "" : `, messages up to ${view.maxMessage} bytes`;
  return `${end(view.localAddress ?? "", view.localPort)} to port ${view.remotePort}${signed}${longest}`;
}

function timersText({ timers }: PeerView): string {
  const { local, remote, negotiated } = timers.holdTime;
  const hold = `hold ${negotiated ?? "-"} s (ours ${local}, theirs ${remote ?? "-"})`;
  return `${hold}, keepalive ${timers.keepalive ?? "-"} s, send hold ${timers.sendHold ?? "-"} s, connect retry ${timers.connectRetry} s`;
}

function notificationText({ notifications }: PeerView): string {
  const { sent, received } = notifications;
  const parts = [
    sent && `sent ${sent.text}${ago(sent.age)}`,
    received && `received ${received.text}${ago(received.age)}`,
  ].filter(Boolean);
  return parts.join("; ") || "none";
}

/** What takes or gives nothing looks like a fault to whoever expects routes. */
function silence(view: PeerView): string {
  const nothing = [
    view.import === "none" && "takes",
    view.export === "none" && !view.defaultOriginate && "gives",
  ].filter(Boolean);
  return nothing.length > 0
    ? ` (${nothing.join(" and ")} nothing; a neighbour in another AS needs both, RFC 8212)`
    : "";
}
