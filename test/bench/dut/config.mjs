// The benchmark harness's scenario.json -> underlay.yaml on standard output. Sources are imported whole and told
// nothing, sinks are told everything and not listened to, as the harness asks of every daemon.
import { readFileSync } from "node:fs";

const scenario = JSON.parse(readFileSync(process.argv[2], "utf8"));
const lines = [
  `node: { name: dut, asn: ${scenario.local_as}, routerId: ${scenario.router_id} }`,
  `tables: { fabric: { id: ${scenario.table} } }`,
  `bgp: { maxPaths: ${scenario.multipath ? 16 : 1} }`,
  `routing: { install: ${Boolean(scenario.kernel)} }`,
  `api: { socket: ${scenario.run}/underlayd.sock }`,
  `paths: { state: ${scenario.run}/state, run: ${scenario.run} }`,
  "log: { level: warn }",
  "peers:",
];
for (const peer of scenario.peers) {
  lines.push(
    `  ${peer.name}:`,
    `    address: ${peer.addr}`,
    `    asn: ${peer.as}`,
    "    passive: true",
    `    localAddress: ${peer.local}`,
    "    families: [ipv4]",
    "    gracefulRestart: false",
    `    import: ${peer.export ? "none" : "all"}`,
    `    export: ${peer.export ? "all" : "none"}`,
  );
}
process.stdout.write(`${lines.join("\n")}\n`);
