// A kernel that refuses requests, loses answers, interrupts dumps and takes a part of what is written, again and again, while
// routes come and go, a link flaps and another program deletes what is ours: support/netlink-faults.c puts that between
// the daemon's workers and the real kernel. Afterwards everything is there, once, and nothing else.
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { Lab, type Node } from "../interop/support/namespace.ts";
import { announce, attributes, openMessage, RawPeer, withdraw } from "../interop/support/raw-peer.ts";
import { Underlay } from "../interop/support/underlay.ts";
import { sleep, waitFor } from "../interop/support/wait.ts";

/** How many calls there are for each that fails. */
const ONE_IN = 4;
const FAULTS = Number(process.env.FAULTS ?? 500);
const PREFIXES = 1200;
const yaml = `
node: { name: node1, asn: 65101, routerId: 10.0.0.11 }
pools: { default: { blocks: [10.244.1.0/26, "2001:db8:244:1::/122"] } }
peers:
  tor0: { address: 10.1.0.2, asn: 65500, passive: true, families: [ipv4], import: all, export: none }
  tor1: { address: 10.1.0.3, asn: 65501, passive: true, families: [ipv4], import: all, export: none }
`;

let lab: Lab;
let us: Node;
let tor: Node;
let underlay: Underlay;
let control: string;
beforeAll(async () => {
  lab = new Lab("netlink-faults");
  us = lab.addNode("us");
  tor = lab.addNode("tor");
  lab.link(
    { node: us, name: "up0", addresses: ["10.1.0.1/24"] },
    { node: tor, name: "eth0", addresses: ["10.1.0.2/24", "10.1.0.3/24"] },
  );
  lab.link(
    { node: us, name: "up1", addresses: ["10.1.1.1/24"] },
    { node: tor, name: "eth1", addresses: ["10.1.1.2/24"] },
  );
  const library = join(lab.directory, "faults.so");
  const source = join(import.meta.dirname, "support/netlink-faults.c");
  execFileSync("cc", ["-O2", "-Wall", "-Wextra", "-shared", "-fPIC", "-o", library, source, "-ldl"]);
  control = join(lab.directory, "faults");
  writeFileSync(control, Buffer.alloc(4096));
  underlay = await Underlay.start(us, yaml, ["env", `LD_PRELOAD=${library}`, `NETLINK_FAULTS=${control}`]);
});
afterAll(async () => {
  await underlay?.stop();
  await lab?.close();
});

const shell = (script: string) =>
  execFileSync("nsenter", [`--net=${us.path}`, "--", "sh", "-c", script], { encoding: "utf8", maxBuffer: 1 << 24 });

/** Calls refused, and cut short; messages refused; answers and notifications lost, and not read; dumps interrupted. */
const counts = () => Array.from({ length: 6 }, (_, i) => readFileSync(control).readUInt32LE(4 + 4 * i));
const total = () => counts().reduce((sum, count) => sum + count, 0);
function failOneIn(calls: number): void {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(calls);
  // What follows are the daemon's own counters.
  writeFileSync(control, bytes, { flag: "r+" });
}

const fixed = () => shell("for f in 4 6; do ip -$f rule; ip -$f route show table 7000; done");
const foreign = () =>
  shell("ip route show table 7100 proto 77; ip nexthop show proto 77; ip rule show | grep 'proto 77'");
/** `20.0.0.7 10.1.0.2 10.1.1.2` for each route of ours, and how many nexthop objects there are. */
async function learned(): Promise<string> {
  const routes = (await underlay.kernel(4)).filter(({ protocol }) => protocol === "201");
  const objects = shell("ip nexthop show proto 201 | wc -l").trim();
  return [...routes.map(({ dst, gateways }) => [dst, ...gateways].join(" ")).sort(), objects].join("\n");
}

it("failures of its sockets by the hundred do not keep the daemon from the right state", async () => {
  shell(
    "ip route add blackhole 20.0.0.5 table 7100 proto 77 metric 300; ip nexthop add id 2010000007 blackhole proto 77;" +
      "ip rule add pref 1000 from 10.244.1.0/26 lookup 7000 proto 77",
  );
  const leave = tor.enter({ tested: false });
  const peers = await Promise.all(
    [0, 1].map((i) => RawPeer.established("10.1.0.1", `10.1.0.${2 + i}`, openMessage({ asn: 65500 + i }))),
  );
  leave();
  const attributesOf = [0, 1].map((i) => attributes({ asn: 65500 + i, nextHop: [10, 1, i, 2] }));
  const { pid } = await underlay.status();
  const before = { fixed: fixed(), foreign: foreign() };

  failOneIn(ONE_IN);
  const script =
    "while :; do ip link set up1 down; sleep 0.03; ip link set up1 up; ip route flush table 7100 proto 201; sleep 0.03;" +
    "ip route flush table 7000 proto 201; ip rule del pref 1010; ip -6 rule del pref 1010; ip nexthop flush proto 201; done";
  const program = us.spawn("sh", ["-c", script], { detached: true });
  try {
    for (let round = 0; counts().some((count) => count < 5) || total() < FAULTS; round++) {
      peers.forEach((peer, i) => {
        peer.send(announce((round * 37) % PREFIXES, 300, attributesOf[i]), withdraw((round * 53) % PREFIXES, 200));
      });
      await sleep(1);
    }
  } finally {
    const ended = once(program, "exit");
    process.kill(-program.pid!, "SIGKILL");
    await ended;
    shell("ip link set up1 up");
  }
  // Still among failures: everything is withdrawn, and some of it comes back.
  peers.forEach((peer, i) => {
    for (let from = 0; from < PREFIXES + 300; from += 300) peer.send(withdraw(from, 300));
    peer.send(announce(i * 100, 300, attributesOf[i]));
  });
  await waitFor(async () => (await underlay.status()).kernel.desired === 400, "the routes to be known", {
    interval: 20,
  });
  failOneIn(0);

  const right = Array.from({ length: 400 }, (_, i) =>
    [`20.0.${i >> 8}.${i & 255}`, ...(i < 300 ? ["10.1.0.2"] : []), ...(i >= 100 ? ["10.1.1.2"] : [])].join(" "),
  ).sort();
  // Two gateways, and three groups of them.
  await waitFor(async () => (await learned()) === [...right, 5].join("\n"), "the right routes", { interval: 50 });
  await waitFor(() => fixed() === before.fixed, `the right rules and blackholes:\n${before.fixed}`, { interval: 20 });
  expect(foreign()).toBe(before.foreign);

  const status = await underlay.status();
  expect(status.pid).toBe(pid);
  expect(status.kernel).toMatchObject({ desired: 400, installed: 400, failed: [] });
  // As often as something fails everything would be read anew, were it not for the growing pauses.
  const attempts = underlay.log.split("\n").filter((line) => /read anew|resync with the kernel failed/.test(line));
  expect(attempts.length).toBeLessThan(100);
  const faults = await underlay.ctl<{ check: string; severity: string }[]>("doctor");
  const kernel = /^(rule|route|blackhole|next-hop)-/;
  expect(faults.filter(({ check, severity }) => severity === "fault" && kernel.test(check))).toEqual([]);
  for (const peer of peers) expect(peer.closed).toBe(false);
});
