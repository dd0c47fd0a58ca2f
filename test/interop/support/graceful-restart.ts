// The rig of the graceful restart tests: FRR, BIRD and GoBGP around one node, each with a route of its own. In: a name for
// the lab. Out: the daemons, and what is asked of them. One rig for a test file.
import type { PeerView } from "../../../bgp/views.ts";
import { Bird } from "./bird.ts";
import { Frr } from "./frr.ts";
import { Gobgp } from "./gobgp.ts";
import { Lab, type Node } from "./namespace.ts";
import { Underlay } from "./underlay.ts";
import { waitFor } from "./wait.ts";

export const BLOCK4 = "10.244.1.0/26";
const BLOCK6 = "2001:db8:244:1::/122";
export const names = ["frr", "bird", "gobgp"] as const;
export type Name = (typeof names)[number];
const number: Record<Name, number> = { frr: 1, bird: 2, gobgp: 3 };
export const own4 = (name: Name) => `203.0.113.${number[name] * 16}/28`;
const OWN6 = "2001:db8:f1::/48";
const address = (name: Name) => `10.${number[name]}.0.2`;

export const yaml = (gracefulRestart: string) => `
node: { name: node1, asn: 65101, routerId: 10.0.0.11 }
pools: { default: { blocks: [${BLOCK4}, "${BLOCK6}"] } }
bgp: { deferralTime: 20s }
peers:
${names
  .map(
    (name) =>
      `  ${name}: { address: ${address(name)}, asn: ${65000 + number[name]}, families: [${name === "frr" ? "ipv4, ipv6" : "ipv4"}], import: all, export: all, holdTime: 9s, connectRetry: 1s, gracefulRestart: ${gracefulRestart} }`,
  )
  .join("\n")}
`;

const frrConfig = `
router bgp 65001
 bgp router-id 10.0.0.1
 no bgp ebgp-requires-policy
 no bgp network import-check
 bgp graceful-restart
 bgp graceful-restart preserve-fw-state
 bgp graceful-restart notification
 bgp long-lived-graceful-restart stale-time 120
 timers bgp 3 9
 neighbor 10.1.0.1 remote-as 65101
 neighbor 10.1.0.1 timers connect 1
 address-family ipv4 unicast
  network ${own4("frr")}
 exit-address-family
 address-family ipv6 unicast
  neighbor 10.1.0.1 activate
  network ${OWN6}
 exit-address-family
`;

export const birdConfig = (graceful: string) => `
router id 10.0.0.2;
protocol device {}
protocol kernel { ipv4 { export all; }; persist; graceful restart on; }
protocol static s4 { ipv4; route ${own4("bird")} blackhole; }
protocol bgp node1 {
  local as 65002; neighbor 10.2.0.1 as 65101; hold time 9;
  connect retry time 1; connect delay time 1; error wait time 1, 2;
  ${graceful}
  ipv4 { import all; export where source = RTS_STATIC; };
}
`;
const birdGraceful = "graceful restart on; graceful restart time 60; long lived graceful restart off;";

const gobgpConfig = (restartTime: number) => `
[global.config]
  as = 65003
  router-id = "10.0.0.3"
[[neighbors]]
  [neighbors.config]
    neighbor-address = "10.3.0.1"
    peer-as = 65101
  [neighbors.timers.config]
    connect-retry = 1
    hold-time = 9
    keepalive-interval = 3
  [neighbors.graceful-restart.config]
    enabled = true
    restart-time = ${restartTime}
    notification-enabled = true
    long-lived-enabled = true
  [[neighbors.afi-safis]]
    [neighbors.afi-safis.config]
      afi-safi-name = "ipv4-unicast"
    [neighbors.afi-safis.mp-graceful-restart.config]
      enabled = true
    [neighbors.afi-safis.long-lived-graceful-restart.config]
      enabled = true
      restart-time = 120
`;

let lab: Lab;
export let underlay: Underlay;
export let frr: Frr;
export let bird: Bird;
export let gobgp: Gobgp;
export const nodes = {} as Record<Name | "us", Node>;

/** GoBGP says End-of-RIB when its session is up: its route has to be there before. */
export async function restartGobgp(): Promise<void> {
  const rule = "add table inet t; add chain inet t c { type filter hook input priority 0; }; add rule inet t c tcp";
  await nodes.gobgp.exec("nft", `${rule} dport 179 drop; add rule inet t c tcp sport 179 drop`);
  await gobgp.restart("SIGTERM", "-r");
  await gobgpAnnounce();
  await nodes.gobgp.exec("nft", "flush", "ruleset");
}

export const gobgpAnnounce = () => gobgp.gobgp("global", "rib", "add", "-a", "ipv4", own4("gobgp"), "origin", "igp");

export async function startRig(part: string): Promise<void> {
  lab = new Lab(part);
  nodes.us = lab.addNode("us");
  for (const name of names) {
    nodes[name] = lab.addNode(name);
    const n = number[name];
    lab.link(
      { node: nodes.us, name, addresses: [`10.${n}.0.1/24`, `2001:db8:${n}::1/64`] },
      { node: nodes[name], name: "eth0", addresses: [`10.${n}.0.2/24`, `2001:db8:${n}::2/64`] },
    );
  }
  [frr, bird, gobgp, underlay] = await Promise.all([
    Frr.start(nodes.frr, frrConfig, { daemons: ["zebra", "bgpd"] }),
    Bird.start(nodes.bird, birdConfig(birdGraceful)),
    Gobgp.start(nodes.gobgp, gobgpConfig(60)),
    Underlay.start(nodes.us, yaml("{ time: 60s }")),
  ]);
  await gobgpAnnounce();
  await whole();
}

export async function stopRig(): Promise<void> {
  await underlay?.stop();
  await Promise.all([frr?.close(), bird?.close(), gobgp?.close()]);
  await lab.close();
}

/** Every session up, every table complete, nothing stale. */
export async function whole(): Promise<void> {
  for (const name of names) await underlay.waitEstablished(name, 60_000);
  await waitFor(
    async () => {
      const peers = await underlay.ctl<PeerView[]>("peers");
      return peers.every(({ stale, accepted }) => stale === 0 && accepted > 0);
    },
    "fresh routes of everybody",
    { timeout: 60_000 },
  );
  for (const name of names) await waitFor(() => hasBlock(name), `our block at ${name}`, { timeout: 60_000 });
}

export const routeOf = async (name: Name) =>
  (await underlay.received(name)).find(({ prefix }) => prefix === own4(name));
export const installed = async (name: Name) => (await underlay.kernel(4)).some(({ dst }) => dst === own4(name));
export const lost = async (name: Name) => {
  const before = (await underlay.peer(name)).establishedCount;
  return {
    before,
    seen: () =>
      waitFor(
        async () => {
          const { state, establishedCount } = await underlay.peer(name);
          return state !== "Established" || establishedCount > before;
        },
        `the loss of ${name}`,
        { timeout: 40_000 },
      ),
    back: () =>
      waitFor(
        async () => {
          const { state, establishedCount } = await underlay.peer(name);
          return state === "Established" && establishedCount > before;
        },
        `${name} to be back`,
        { timeout: 60_000 },
      ),
  };
};

export async function hasBlock(name: Name): Promise<boolean> {
  if (name === "gobgp") return JSON.stringify(await gobgp.json("global", "rib", "-a", "ipv4")).includes(BLOCK4);
  return (await nodes[name].exec("ip", "route")).includes(BLOCK4);
}

/** Processes of a daemon in a node's namespace. */
export async function pids(node: Node, pattern: string): Promise<number[]> {
  const all = (await node.exec("sh", "-c", `ip netns pids ${node.netns}`)).split("\n").filter(Boolean).map(Number);
  const wanted = (await node.exec("pgrep", "-f", pattern)).split("\n").filter(Boolean).map(Number);
  return all.filter((pid) => wanted.includes(pid));
}

/** GoBGP from the start, with another configuration. */
export async function replaceGobgp(restartTime: number): Promise<void> {
  await gobgp.stop();
  gobgp = await Gobgp.start(nodes.gobgp, gobgpConfig(restartTime));
  await gobgpAnnounce();
}
