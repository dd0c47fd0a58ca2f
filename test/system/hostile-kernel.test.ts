// A host where everything happens to interfaces, tables and routes at once, and neighbours that announce next hops that are
// none: underlayd stays up, its memory bounded, its sessions alive where they can be, and the right state is back by itself.
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { Bird } from "../interop/support/bird.ts";
import { Lab, type Node } from "../interop/support/namespace.ts";
import { announce, attributes, openMessage, RawPeer } from "../interop/support/raw-peer.ts";
import { Underlay } from "../interop/support/underlay.ts";
import { sleep, waitFor } from "../interop/support/wait.ts";

const ROUTES = 300;
const FOREIGN = Number(process.env.FOREIGN_ROUTES ?? 30_000);

const yaml = `
node: { name: node1, asn: 65101, routerId: 10.0.0.11 }
pools: { default: { blocks: [10.244.1.0/26, "2001:db8:244:1::/122"] } }
peers:
  tor-a: { address: 10.1.0.2, asn: 65001, families: [ipv4], import: all, export: blocks }
  tor-b: { address: 10.1.1.2, asn: 65001, families: [ipv4], import: all, export: blocks }
  rogue: { address: 10.2.0.2, asn: 65500, passive: true, families: [ipv4], import: all, export: none }
`;
const birdConfig = `
router id 10.0.0.2;
protocol device {}
protocol static { ipv4; ${Array.from({ length: ROUTES }, (_, i) => `route 30.${i >> 8}.${i & 255}.0/24 blackhole;`).join(" ")} }
template bgp tor { local as 65001; connect retry time 1; connect delay time 1; error wait time 1, 2; graceful restart on; ipv4 { import all; export all; next hop self; }; }
protocol bgp a from tor { neighbor 10.1.0.1 as 65101; }
protocol bgp b from tor { neighbor 10.1.1.1 as 65101; }
`;

let lab: Lab;
let us: Node;
let tor: Node;
let rogue: Node;
let bird: Bird;
let underlay: Underlay;
let pid = 0;
let whole: string;
let memory = 0;

beforeAll(async () => {
  lab = new Lab("hostile-kernel");
  [us, tor, rogue] = ["us", "tor", "rogue"].map((name) => lab.addNode(name));
  for (const i of [0, 1])
    lab.link(
      { node: us, name: `tor${i}`, addresses: [`10.1.${i}.1/24`] },
      { node: tor, name: `eth${i}`, addresses: [`10.1.${i}.2/24`] },
    );
  lab.link(
    { node: us, name: "rogue", addresses: ["10.2.0.1/24"] },
    { node: rogue, name: "eth0", addresses: ["10.2.0.2/24"] },
  );
  us.capture("and host 10.1.0.2");
  [bird, underlay] = await Promise.all([Bird.start(tor, birdConfig), Underlay.start(us, yaml)]);
  pid = (await underlay.status()).pid;
  await waitFor(
    () => {
      whole = state();
      return whole.endsWith(`\n${ROUTES} routes by 10.1.0.2 10.1.1.2`);
    },
    "the routes",
    { interval: 20 },
  );
  memory = rss();
});
afterEach(async () => {
  await back();
  expect((await underlay.status()).pid).toBe(pid);
  // Buffers for notifications, and what the garbage collector has not taken yet.
  expect(rss()).toBeLessThan(memory + 120);
});
afterAll(async () => {
  await bird?.stop();
  await underlay?.stop();
  await lab?.close();
});

const rss = () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1024;
const shell = (node: Node, script: string, input = "") =>
  execFileSync("nsenter", [`--net=${node.path}`, "--", "sh", "-c", script], { encoding: "utf8", input });

/** Everything of ours in the kernel, with gateways instead of ids. */
function state(): string {
  const output = shell(
    us,
    "ip rule show proto 201; ip -6 rule show proto 201; ip route show table 7000 proto 201;" +
      "ip -6 route show table 7000 proto 201; ip route show table 7100 proto 201; ip nexthop show proto 201",
  ).split("\n");
  const learned = output.filter((line) => line.includes(" nhid "));
  const groups = new Set(learned.map((line) => / nhid (\d+)/.exec(line)?.[1]));
  const gateways = output
    .filter((line) => groups.has(/^id (\d+) group/.exec(line)?.[1]))
    .flatMap((line) => / group (\S+)/.exec(line)![1].split("/"))
    .map((member) => output.find((line) => line.startsWith(`id ${member.split(",")[0]} via`))?.split(" ")[3]);
  const rest = output.filter((line) => !line.startsWith("id ") && !line.includes(" nhid "));
  return [...rest, `${learned.length} routes by ${gateways.sort().join(" ")}`].join("\n");
}

const sessions = () => waitFor(async () => (await underlay.status()).peers.established === 2, "the sessions");
const back = () =>
  waitFor(() => state() === whole, `the state to be right again:\n${whole}`, { interval: 20, timeout: 15_000 }).catch(
    async (error) => {
      const { problems } = await underlay.status();
      throw new Error(`${error.message}\nIt is:\n${state()}\n${problems.join("\n")}\n${underlay.log.slice(-3000)}`);
    },
  );

it("another program that fills the neighbour table: a gateway without a place is avoided, and why is told", async () => {
  const limit = Number(readFileSync("/proc/sys/net/ipv4/neigh/default/gc_thresh3", "utf8"));
  // One limit for all namespaces. Entries that have not changed for 5 s are thrown out, so they change all the time.
  const entries = (mac: number) =>
    Array.from(
      { length: limit + 200 },
      (_, i) => `neigh replace 10.9.${i >> 8}.${i & 255} lladdr 02:00:00:00:00:0${mac} dev rogue nud reachable`,
    ).join("\n");
  for (const mac of [1, 2]) writeFileSync(join(lab.directory, `${mac}`), entries(mac));
  const mac = /link\/ether (\S+)/.exec(shell(tor, "ip link show eth1"))![1];
  shell(us, `ip neigh replace 10.1.1.2 lladdr ${mac} dev tor1 nud permanent`);
  const script = `while :; do ip -force -batch ${lab.directory}/1; ip -force -batch ${lab.directory}/2; done`;
  const program = us.spawn("sh", ["-c", script], { detached: true });
  try {
    await waitFor(() => Number(shell(us, "ip neigh show dev rogue | wc -l")) > limit - 200, "the table to be full", {
      interval: 10,
    });
    const said =
      /^the kernel's IPv4 neighbour table is full: .*, 10\.1\.0\.2 on tor0 among them.*; raise .*sysctl -w net\.ipv4\.neigh\.default\.gc_thresh3=/m;
    let next = 0;
    await waitFor(
      async () => {
        // The gateway's entry gives way to another one, and a change of rules has the daemon look at once.
        const entry = shell(us, "ip neigh show to 10.1.0.2 dev tor0");
        const other = `neigh add 10.9.200.${++next % 250} lladdr 02:00:00:00:00:03 dev rogue nud reachable\n`;
        if (entry !== "") shell(us, "ip -force -batch -", `neigh del 10.1.0.2 dev tor0\n${other}`);
        shell(us, "ip rule add pref 30000 lookup main; ip rule del pref 30000");
        const avoided = state().endsWith(`\n${ROUTES} routes by 10.1.1.2`);
        return avoided && said.test((await underlay.status()).problems.join("\n"));
      },
      "the gateway to be avoided, and the full table to be told",
      { interval: 20 },
    );
    const findings = await underlay.ctl<{ check: string; severity: string }[]>("doctor");
    expect(findings).toContainEqual(expect.objectContaining({ check: "neighbour-table-full", severity: "fault" }));
  } finally {
    const ended = once(program, "exit");
    process.kill(-program.pid!, "SIGKILL");
    await ended;
    shell(us, "ip neigh flush dev rogue; ip neigh del 10.1.1.2 dev tor1");
  }
  await back();
  await sessions();
});

it("another program that flushes our tables, rules and nexthops a hundred times a second", async () => {
  const established = (await underlay.peer("tor-a")).establishedCount;
  const program = us.spawn("sh", [
    "-c",
    "while :; do ip route flush table 7100; ip route flush table 7000; ip rule del pref 1000; ip -6 rule del pref 1000;" +
      " ip nexthop flush proto 201; sleep 0.01; done",
  ]);
  await sleep(1000);
  const { kernel, problems } = await underlay.status();
  program.kill("SIGKILL");
  expect(kernel.fights.map(({ subject }) => subject)).toContain("IPv4 rule 1000: from all lookup 7000");
  expect(problems.join("\n")).toContain("again and again");
  await back();
  // Each repair is one line, and they have become rare.
  expect(underlay.log.split("\n").filter((line) => line.includes("put back")).length).toBeLessThan(200);
  expect((await underlay.peer("tor-a")).establishedCount).toBe(established);
});

it("tens of thousands of routes of another program in our table, and as many in main", async () => {
  for (const table of [7100, 254])
    shell(
      us,
      "ip -batch -",
      Array.from(
        { length: FOREIGN },
        (_, i) => `route add blackhole 40.${i >> 16}.${(i >> 8) & 255}.${i & 255} table ${table} proto 77`,
      ).join("\n"),
    );
  const said = /^table 7100, which underlayd keeps, has more than 1000 routes of other programs \(40\./;
  await waitFor(
    async () => (await underlay.status()).problems.some((text) => said.test(text)),
    "the foreign routes to be told",
  );
  await back();
  shell(us, "ip route flush table 7100 proto 77");
  expect(shell(us, "ip route show proto 77 | wc -l").trim()).toBe(`${FOREIGN}`);
  shell(us, "ip route flush proto 77");
});

it("uplinks renamed, with another address, another MAC, moved away and back, deleted and made anew", async () => {
  const lost = () => waitFor(() => state() !== whole, "the loss to show", { interval: 10 });
  shell(us, "ip link set tor0 down; ip link set tor0 name fabric0; ip link set fabric0 address 02:00:00:00:00:99");
  await lost();
  shell(us, "ip link set fabric0 up; ip addr del 10.1.1.1/24 dev tor1");
  shell(tor, "ip link set eth0 address 02:00:00:00:00:98");
  await lost();
  shell(us, "ip addr add 10.1.1.1/24 dev tor1");
  await back();

  execFileSync("ip", ["-n", us.netns, "link", "set", "fabric0", "netns", rogue.netns]);
  shell(us, "ip link del tor1");
  await waitFor(() => state().endsWith("0 routes by "), "the loss of both", { interval: 10 });
  execFileSync("ip", ["-n", rogue.netns, "link", "set", "fabric0", "netns", us.netns]);
  shell(us, "ip addr add 10.1.0.1/24 dev fabric0; ip link set fabric0 up");
  lab.link(
    { node: us, name: "tor1", addresses: ["10.1.1.1/24"] },
    { node: tor, name: "eth1", addresses: ["10.1.1.2/24"] },
  );
  await back();
});

it("both uplinks without carrier: routes are back with the links, before the sessions are", async () => {
  const pids = execFileSync("ip", ["netns", "pids", tor.netns], { encoding: "utf8" }).trim().split("\n").map(Number);
  const all = (signal: NodeJS.Signals) => {
    for (const one of pids) process.kill(one, signal);
  };
  await sessions();
  // What has not been said again since the session before would go with this one (RFC 4724 §4.2).
  const said = async (name: string) => {
    const { received, stale } = await underlay.peer(name);
    return received >= ROUTES && stale === 0;
  };
  await waitFor(async () => (await said("tor-a")) && (await said("tor-b")), "all routes in these sessions");
  // BIRD can say nothing until it is let go.
  all("SIGSTOP");
  try {
    shell(tor, "ip link set eth0 down; ip link set eth1 down");
    await waitFor(() => state().endsWith("0 routes by "), "the loss of both", { interval: 10 });
    await waitFor(
      async () => (await underlay.status()).problems.some((text) => text.includes("went down")),
      "the sessions to end",
    );
    shell(tor, "ip link set eth0 up; ip link set eth1 up");
    await back();
    expect((await underlay.status()).peers.established).toBe(0);
    expect((await underlay.peer("tor-a")).stale).toBe(ROUTES);
  } finally {
    all("SIGCONT");
  }
});

it("next hops that are none: elsewhere, our own, nobody's, the loopback's, everybody's", async () => {
  const leave = rogue.enter({ tested: false });
  const peer = await RawPeer.established("10.2.0.1", "10.2.0.2", openMessage());
  leave();
  const hops = [
    [203, 0, 113, 9],
    [10, 2, 0, 1],
    [10, 1, 0, 1],
    [0, 0, 0, 0],
    [127, 0, 0, 1],
    [127, 0, 0, 9],
    [224, 0, 0, 5],
    [255, 255, 255, 255],
    [10, 2, 0, 255],
    [10, 2, 0, 0],
  ];
  hops.forEach((nextHop, i) => {
    peer.send(announce(i, 1, attributes({ nextHop })));
  });
  peer.send(announce(100, 1, attributes({ nextHop: [10, 2, 0, 2] })));
  const there = () => shell(us, "ip route show table 7100 root 20.0.0.0/8");
  await waitFor(() => there() !== "", "the good route", { interval: 10 });
  expect(there()).toMatch(/^20\.0\.0\.100 nhid/);
  expect(there().trim().split("\n")).toHaveLength(1);
  const { kernel } = await underlay.status();
  expect(kernel.failed).toEqual([]);
  expect(peer.closed).toBe(false);
  peer.close();
});
