// The parts of the demonstration that only show: sessions, kernel state, pods.
import type { Pod } from "../pods.ts";
import type { Rack } from "../runner/rack.ts";
import { sessions } from "./observe.ts";
import type { Report } from "./report.ts";

export async function showSessions(rack: Rack, report: Report): Promise<void> {
  const rows: string[][] = [];
  for (const node of rack.namesOf("node")) {
    for (const peer of (await sessions(rack, node)) ?? [])
      rows.push([
        node,
        peer.name,
        peer.address ?? "-",
        String(peer.asn ?? "?"),
        peer.state,
        String(peer.received),
        String(peer.accepted),
        String(peer.advertised),
      ]);
  }
  report.table(["node", "peer", "address", "AS", "state", "received", "accepted", "advertised"], rows);
}

/** Rules and tables as the kernel has them, on one node. */
export async function showKernel(rack: Rack, report: Report, node: string): Promise<void> {
  const commands = [
    "ip rule show",
    "ip nexthop show",
    "ip route show table 7000",
    "ip route show table 7100",
    "ip -6 route show table 7000",
    "ip -6 route show table 7100",
  ];
  for (const command of commands) report.output(node, command, await rack.node(node).mustRun(command.split(" ")));
}

export function showPods(pods: readonly Pod[], report: Report): void {
  report.table(
    ["pod", "node", "IPv4", "IPv6", "CNI ADD"],
    pods.map((pod) => [
      pod.name,
      pod.node.name,
      pod.ipv4 ?? "-",
      pod.ipv6 ?? "-",
      `${pod.addMilliseconds.toFixed(0)} ms`,
    ]),
  );
}

/** How to look around while the rack stays up. */
export function showPrompt(rack: Rack, report: Report, pods: readonly Pod[], labCommand: string): void {
  const node = rack.namesOf("node")[0];
  const pod = pods.find((candidate) => candidate.node.name === node);
  const other = pods.find((candidate) => candidate.node.name !== node);
  report.heading("The rack stays up until Ctrl-C. From another terminal:");
  const lines: [string, string][] = [
    [`exec ${node} underlayctl peers`, `sessions of ${node}; also: status, routes, pods, blocks, rules, watch`],
    [`shell ${node}`, `a shell in ${node}; nodes: ${[...rack.topology.nodes.keys()].join(", ")}`],
  ];
  if (pod && other)
    lines.push([
      `exec ${node} ip netns exec ${pod.name} ping ${other.ipv4}`,
      `from pod ${pod.name} to pod ${other.name} on ${other.node.name}`,
    ]);
  const tor = rack.namesOf("tor")[0];
  if (tor && rack.program(tor).name === "frr") lines.push([`exec ${tor} vtysh -c "show bgp summary"`, "FRR's view"]);
  if (tor && rack.program(tor).name === "bird") lines.push([`exec ${tor} birdc show protocols`, "BIRD's view"]);
  if (tor && rack.program(tor).name === "gobgp") lines.push([`exec ${tor} gobgp neighbor`, "GoBGP's view"]);
  const width = Math.max(...lines.map(([command]) => command.length));
  for (const [command, meaning] of lines) report.write(`   ${labCommand} ${command.padEnd(width)}  # ${meaning}`);
}
