// BFD against FRR's bfdd and BIRD, from this test process: up both ways in both families and on link-local addresses,
// detection in time, no false down while the main thread is blocked, administrative down on either side, TTL.
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { BfdClient } from "../../bgp/bfd/client.ts";
import type { BfdChange, BfdPeer } from "../../bgp/bfd/types.ts";
import { parseAddress } from "../../net/address.ts";
import { Bird } from "./support/bird.ts";
import { Frr } from "./support/frr.ts";
import { Lab, type Node } from "./support/namespace.ts";
import { proves } from "./support/proofs.ts";
import { sleep, waitFor } from "./support/wait.ts";

const INTERVAL = 100;
const MULTIPLIER = 3;
const DETECTION = INTERVAL * MULTIPLIER;

const frrConfig = `
bfd
 profile fast
  transmit-interval ${INTERVAL}
  receive-interval ${INTERVAL}
  detect-multiplier ${MULTIPLIER}
 peer 10.1.0.1 interface eth0
  profile fast
 peer 2001:db8:1::1 local-address 2001:db8:1::2 interface eth0
  profile fast
 peer fe80::1 local-address fe80::2 interface eth0
  profile fast
 peer 10.1.0.1 multihop local-address 10.1.0.2
  profile fast
`;

const birdConfig = `
router id 10.0.0.2;
protocol device {}
protocol bfd b {
  interface "*" { interval ${INTERVAL} ms; multiplier ${MULTIPLIER}; };
  multihop { interval ${INTERVAL} ms; multiplier ${MULTIPLIER}; };
  neighbor 10.2.0.1 dev "eth0";
  neighbor 2001:db8:2::1 dev "eth0";
  neighbor fe80::1 dev "eth0";
  neighbor 10.2.0.1 local 10.2.0.2 multihop on;
}
`;

let lab: Lab;
let us: Node;
let frr: Frr;
let bird: Bird;
let client: BfdClient;
let changes: BfdChange[];

beforeAll(async () => {
  lab = new Lab("bfd");
  us = lab.addNode("us");
  const nodes = { frr: lab.addNode("frr"), bird: lab.addNode("bird") };
  for (const [index, name] of (["frr", "bird"] as const).entries()) {
    const n = index + 1;
    lab.link(
      { node: us, name, addresses: [`10.${n}.0.1/24`, `2001:db8:${n}::1/64`, "fe80::1/64"] },
      { node: nodes[name], name: "eth0", addresses: [`10.${n}.0.2/24`, `2001:db8:${n}::2/64`, "fe80::2/64"] },
    );
  }
  [frr, bird] = await Promise.all([
    Frr.start(nodes.frr, frrConfig, { daemons: ["zebra", "bfdd"] }),
    Bird.start(nodes.bird, birdConfig),
  ]);
});

afterAll(async () => {
  await Promise.all([frr?.close(), bird?.close()]);
  await lab.close();
});

beforeEach(() => {
  changes = [];
  client = new BfdClient({ netns: us.path });
  client.onState((change) => changes.push(change));
});

afterEach(async () => {
  await client.stop();
  await us.exec("nft", "flush", "ruleset");
});

const peer = (name: string, address: string, more: Partial<BfdPeer> = {}): BfdPeer => ({
  name,
  address: parseAddress(address)!,
  interface: address.startsWith("fe80:") ? name.split("-")[0] : null,
  localAddress: null,
  multihop: false,
  interval: INTERVAL,
  multiplier: MULTIPLIER,
  ...more,
});

const state = (name: string) => client.statusOf(name)?.state;
/** What the worker last reported; its status, in shared memory, is ahead of it by a turn of the loop. */
const reported = (name: string) => changes.findLast((change) => change.peer === name)?.to;
const reaches = (name: string, wanted: string, timeout: number) =>
  waitFor(() => state(name) === wanted && reported(name) === wanted, `${name} ${wanted}`, { timeout, interval: 5 });
const up = (name: string) => reaches(name, "Up", 15_000);

/** Drops what comes in on `device`, in the kernel; the link stays up. */
const cut = (device: string, what = "") =>
  us.exec(
    "nft",
    `add table netdev t; add chain netdev t c { type filter hook ingress device ${device} priority 0; }; add rule netdev t c ${what} drop`,
  );

interface FrrPeer {
  readonly peer: string;
  readonly status: string;
  readonly diagnostic: string;
  readonly "remote-diagnostic": string;
  readonly multihop: boolean;
  readonly "detect-multiplier": number;
  readonly "remote-transmit-interval": number;
}
const frrPeers = () => frr.json<FrrPeer[]>("show bfd peers json");
const frrPeer = async (address: string, multihop = false) =>
  (await frrPeers()).find((entry) => entry.peer === address && entry.multihop === multihop);

const neighbours = [
  ["FRR, IPv4", "frr-4", "10.1.0.2"],
  ["FRR, IPv6", "frr-6", "2001:db8:1::2"],
  ["FRR, link-local", "frr-ll", "fe80::2"],
  ["BIRD, IPv4", "bird-4", "10.2.0.2"],
  ["BIRD, IPv6", "bird-6", "2001:db8:2::2"],
  ["BIRD, link-local", "bird-ll", "fe80::2"],
] as const;

describe("BFD", () => {
  it("comes up with every neighbour at once, at the agreed pace, and both sides see the same", async () => {
    proves(["frr", "bird"], "bfd", "bfd-link-local");
    for (const [, name, address] of neighbours) await client.add(peer(name, address));
    for (const [, name] of neighbours) await up(name);
    await sleep(500);
    for (const { name, state, remoteState, interval, detectionTime, remoteDiscriminator } of client.status()) {
      expect({ name, state, remoteState, interval, detectionTime }).toEqual({
        name,
        state: "Up",
        remoteState: "Up",
        interval: INTERVAL,
        detectionTime: DETECTION,
      });
      expect(remoteDiscriminator).toBeGreaterThan(0);
    }
    for (const address of ["10.1.0.1", "2001:db8:1::1", "fe80::1"])
      expect(await frrPeer(address)).toMatchObject({ status: "up", "remote-transmit-interval": INTERVAL });
    const sessions = await bird.birdc("show bfd sessions");
    expect(sessions.match(/ Up /g)).toHaveLength(3);
  });

  it.each(neighbours)("notices in time that nothing comes in any more: %s", async (_, name, address) => {
    await client.add(peer(name, address));
    await up(name);
    await sleep(500);
    await cut(name.split("-")[0]);
    await reaches(name, "Down", 2_000);
    expect(changes.at(-1)).toMatchObject({ peer: name, from: "Up", failed: true });
    const [, silence] = /^nothing received for (\d+) ms \(detection time 300 ms\)$/.exec(changes.at(-1)!.reason) ?? [];
    expect(Number(silence)).toBeGreaterThanOrEqual(DETECTION);
    expect(Number(silence)).toBeLessThanOrEqual(DETECTION * 1.1);
    await us.exec("nft", "flush", "ruleset");
    await up(name);
  });

  it("goes down when the neighbour notices first", async () => {
    await client.add(peer("frr-4", "10.1.0.2"));
    await up("frr-4");
    await us.exec(
      "nft",
      "add table ip t; add chain ip t c { type filter hook output priority 0; }; add rule ip t c udp dport 3784 drop",
    );
    await reaches("frr-4", "Down", 2_000);
    expect(changes.at(-1)).toMatchObject({ from: "Up", to: "Down", failed: true });
    expect(changes.at(-1)?.reason).toContain("neighbour signaled Down: control detection time expired");
    expect(client.statusOf("frr-4")).toMatchObject({ lastSendError: "EPERM" });
  });

  it("stays up while the main thread does nothing else for 2 s", async () => {
    for (const [, name, address] of neighbours) await client.add(peer(name, address));
    for (const [, name] of neighbours) await up(name);
    changes.length = 0;
    const until = performance.now() + 2_000;
    while (performance.now() < until);
    await sleep(200);
    expect(changes).toEqual([]);
    for (const [, name] of neighbours) expect(state(name)).toBe("Up");
    for (const address of ["10.1.0.1", "2001:db8:1::1", "fe80::1"])
      expect(await frrPeer(address)).toMatchObject({ status: "up", diagnostic: "ok" });
  });

  it("says AdminDown when a peer is removed, and the neighbour does not call it a failure", async () => {
    await client.add(peer("frr-4", "10.1.0.2"));
    await client.add(peer("bird-4", "10.2.0.2"));
    await Promise.all([up("frr-4"), up("bird-4")]);
    await client.remove("frr-4");
    await client.remove("bird-4");
    expect(client.status()).toEqual([]);
    expect(changes.filter(({ to }) => to === "AdminDown").map(({ failed }) => failed)).toEqual([false, false]);
    expect(await frrPeer("10.1.0.1")).toMatchObject({
      status: "down",
      diagnostic: "neighbor signaled session down",
      "remote-diagnostic": "administratively down",
    });
    expect(await bird.birdc("show bfd sessions")).toMatch(/10\.2\.0\.1\s+eth0\s+Down/);
  });

  it("takes the neighbour's AdminDown for no failure, and comes back", async () => {
    await client.add(peer("frr-4", "10.1.0.2"));
    await up("frr-4");
    await frr.configure("bfd\n peer 10.1.0.1 interface eth0\n  shutdown\n");
    await reaches("frr-4", "Down", 2_000);
    expect(changes.at(-1)).toMatchObject({ from: "Up", to: "Down", failed: false });
    expect(changes.at(-1)?.reason).toContain("neighbour signaled AdminDown");
    await sleep(DETECTION * 2);
    expect(client.statusOf("frr-4")).toMatchObject({ state: "Down", remoteState: "AdminDown" });
    await frr.configure("bfd\n peer 10.1.0.1 interface eth0\n  no shutdown\n");
    await up("frr-4");
  });

  it("takes a slower pace over without going down, both ways", async () => {
    await client.add(peer("frr-4", "10.1.0.2"));
    await up("frr-4");
    await client.add(peer("frr-4", "10.1.0.2", { interval: 400 }));
    const paces = () => {
      const { interval, detectionTime } = client.statusOf("frr-4")!;
      return `${interval} ${detectionTime}`;
    };
    await waitFor(() => paces() === "400 1200", "the slower pace", { timeout: 5_000 });
    await waitFor(async () => (await frrPeer("10.1.0.1"))?.["remote-transmit-interval"] === 400, "FRR to know");
    await client.add(peer("frr-4", "10.1.0.2", { multiplier: 5 }));
    await waitFor(() => paces() === "100 300", "the pace of before", { timeout: 5_000 });
    expect(changes.filter(({ from }) => from === "Up")).toEqual([]);
  });

  it("discards packets that a router has forwarded, and says so", async () => {
    // What bfdd sends leaves with a lower TTL, as if it came from further away.
    await frr.node.exec(
      "nft",
      "add table ip t; add chain ip t c { type filter hook output priority 0; }; add rule ip t c udp dport 3784 ip ttl set 254",
    );
    await client.add(peer("frr-4", "10.1.0.2"));
    await sleep(1_500);
    expect(client.statusOf("frr-4")).toMatchObject({
      state: "Down",
      packets: { received: 0 },
      lastDiscard: "TTL is not 255: it was forwarded by a router",
    });
    await frr.node.exec("nft", "flush", "ruleset");
    await up("frr-4");
  });

  it("comes up over several hops on the port of its own", async () => {
    proves(["frr", "bird"], "bfd-multihop");
    await client.add(peer("frr-multi", "10.1.0.2", { multihop: true, localAddress: parseAddress("10.1.0.1")! }));
    await client.add(peer("bird-multi", "10.2.0.2", { multihop: true, localAddress: parseAddress("10.2.0.1")! }));
    await Promise.all([up("frr-multi"), up("bird-multi")]);
    expect(await frrPeer("10.1.0.1", true)).toMatchObject({ status: "up" });
  });

  it("is not moved by a flood of packets that belong to nobody", async () => {
    for (const name of ["frr-4", "bird-4"]) await client.add(peer(name, name === "frr-4" ? "10.1.0.2" : "10.2.0.2"));
    await Promise.all([up("frr-4"), up("bird-4")]);
    changes.length = 0;
    // 2,000 a second from the neighbour's own address: garbage, and well-formed packets for a session that is not there.
    const script = `
      const socket = require("dgram").createSocket("udp4");
      const packet = Buffer.from("204003180000000900000009000f4240000493e000000000", "hex");
      socket.bind(50000, () => { socket.setTTL(255); setInterval(() => {
        for (let i = 0; i < 20; i++) socket.send(i % 2 ? packet : packet.subarray(0, i), 3784, "10.1.0.1");
      }, 10); });`;
    const flood = frr.node.spawn(process.execPath, ["-e", script]);
    await waitFor(() => client.statusOf("frr-4")!.packets.discarded > 1_000, "the flood to be counted");
    flood.kill("SIGKILL");
    expect(client.statusOf("frr-4")).toMatchObject({ state: "Up", lastDiscard: "shorter than a control packet" });
    expect(changes).toEqual([]);
  });

  it("says who has the port when it is taken", async () => {
    await client.add(peer("frr-4", "10.1.0.2"));
    const second = new BfdClient({ netns: us.path });
    await expect(second.add(peer("frr-4", "10.1.0.2"))).rejects.toThrow("cannot receive BFD on UDP port 3784 (IPv4)");
    await second.stop();
  });

  it("comes up by itself when the interface appears later, and again when it was made anew", async () => {
    const late = lab.addNode("late");
    const responder = new BfdClient({ netns: late.path });
    try {
      await client.add(peer("late-ll", "fe80::2"));
      await responder.add(peer("eth0-ll", "fe80::1"));
      await sleep(300);
      expect(client.statusOf("late-ll")).toMatchObject({ state: "Down", lastSendError: "ENODEV" });
      for (const _ of ["first", "second"]) {
        lab.link(
          { node: us, name: "late", addresses: ["fe80::1/64"] },
          { node: late, name: "eth0", addresses: ["fe80::2/64"] },
        );
        await up("late-ll");
        us.ip("link", "delete", "late");
        await waitFor(() => state("late-ll") === "Down", "late-ll Down", { timeout: 2_000 });
      }
    } finally {
      await responder.stop();
    }
  });
});
