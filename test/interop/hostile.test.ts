// Neighbours that do their worst, against underlayd as users run it, while BIRD holds a session with a hold time of six
// seconds: that one must never be lost, memory must come back, and the reason must be readable.
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Bird } from "./support/bird.ts";
import { Lab, type Node } from "./support/namespace.ts";
import {
  announce,
  attributes,
  communities,
  KEEPALIVE,
  message,
  openMessage,
  RawPeer,
  withdraw,
} from "./support/raw-peer.ts";
import { Underlay } from "./support/underlay.ts";
import { sleep, waitFor } from "./support/wait.ts";

const US = "10.2.0.1";
/** Every case has a neighbour of its own, 10.2.0.<n>: one that fails is damped for a while. */
const PEERS = 60;
const addressOf = (n: number) => `10.2.0.${n}`;
let next = 4;
const another = () => {
  if (next > PEERS) throw new Error("no more neighbours");
  return { name: `raw${next}`, address: addressOf(next++) };
};

let lab: Lab;
let underlay: Underlay;
let bird: Bird;
let us: Node;
let leave: () => void;
let pid = 0;

const yaml = `
node: { name: node1, asn: 65101, routerId: 10.0.0.11 }
pools: { default: { blocks: [10.244.1.0/26] } }
routing: { install: false }
peers:
  good: { address: 10.1.0.2, asn: 65001, passive: true, families: [ipv4], holdTime: 6s, import: all, export: blocks }
${Array.from({ length: PEERS - 1 }, (_, i) => i + 2)
  .map(
    (n) =>
      `  raw${n}: { address: ${addressOf(n)}, asn: 65500, passive: true, families: [ipv4], import: all, export: all, ${n === 2 ? "" : `maxPrefixes: ${n === 3 ? 10_000 : 100_000}`} }`,
  )
  .join("\n")}
`;
const birdConfig = `
router id 10.0.0.2;
protocol device {}
protocol static { ipv4; route 198.51.100.0/24 blackhole; }
protocol bgp node {
  local as 65001; neighbor 10.1.0.1 as 65101; hold time 6; connect retry time 1; connect delay time 1;
  ipv4 { import all; export all; };
}
`;

beforeAll(async () => {
  lab = new Lab("hostile");
  us = lab.addNode("us");
  const [tor, rogue] = ["tor", "rogue"].map((name): Node => lab.addNode(name));
  lab.link(
    { node: us, name: "tor", addresses: ["10.1.0.1/24"] },
    { node: tor, name: "eth0", addresses: ["10.1.0.2/24"] },
  );
  const addresses = Array.from({ length: PEERS }, (_, i) => `${addressOf(i + 2)}/24`);
  lab.link({ node: us, name: "rogue", addresses: [`${US}/24`] }, { node: rogue, name: "eth0", addresses });
  bird = await Bird.start(tor, birdConfig);
  // The others get megabytes.
  us.capture("and host 10.1.0.2");
  underlay = await Underlay.start(us, yaml);
  await underlay.waitEstablished("good");
  pid = (await underlay.status()).pid;
  leave = rogue.enter({ tested: false });
});

afterAll(async () => {
  leave?.();
  await bird?.close();
  await underlay?.stop();
  await lab?.close();
});

const rss = () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1024;
const lastError = async (name: string) => (await underlay.peer(name)).lastError ?? "";

/** Nothing of what happened has touched the session that matters. */
async function expectGoodSession(): Promise<void> {
  const { state, establishedCount, lastError } = await underlay.peer("good");
  expect({ state, establishedCount, lastError }).toMatchObject({ state: "Established", establishedCount: 1 });
  expect((await underlay.status()).pid).toBe(pid);
}

const random = (length: number) => {
  let state = 4711;
  return Uint8Array.from({ length }, () => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    return state >> 16;
  });
};

describe("bytes that are not BGP", () => {
  it.each([
    ["random bytes", random(8192), "1/1"],
    ["a KEEPALIVE of 65535 bytes", message(4, [], 65535), "1/2"],
    ["an OPEN", openMessage(), "5/3"],
    ["an UPDATE cut short inside", message(2, [0, 9, 1, 0, 0]), "3/1"],
    ["a prefix of 33 bits", message(2, [0, 0, 0, 0, 33, 1, 2, 3, 4, 5]), "3/10"],
    ["random bytes in an UPDATE", message(2, random(4000)), "3/1"],
  ])("when Established: %s", async (_, bytes, notification) => {
    const { name, address } = another();
    const peer = await RawPeer.established(US, address);
    peer.send(bytes);
    expect(await peer.notification()).toBe(notification);
    expect(await lastError(name)).toContain(`NOTIFICATION`);
    // What it tries afterwards is the last error then, and why the session ended can still be read.
    const again = await RawPeer.connect(US, address);
    again.send(message(1, [3]));
    expect(await again.notification()).toBe("1/2");
    const { lastReset, history } = await underlay.peer(name);
    const [code, subcode] = notification.split("/").map(Number);
    expect(lastReset).toMatchObject({ by: "local", notification: { direction: "sent", code, subcode } });
    expect(history.map(({ kind, text }) => [kind, text])).toEqual([
      ["attempt", await lastError(name)],
      ["reset", lastReset?.reason],
    ]);
  });

  it("any message cut anywhere, then silence or the end of the connection", async () => {
    const { address } = another();
    const stream = Buffer.concat([openMessage(), KEEPALIVE, announce(0, 3), withdraw(0, 3)]);
    for (const cut of [1, 18, 19, 30, openMessage().length + 20, stream.length - 1]) {
      const peer = await RawPeer.connect(US, address);
      peer.send(stream.subarray(0, cut));
      await sleep(20);
      peer.close();
    }
    await expectGoodSession();
  });
});

describe("too much of everything", () => {
  it("4,000,000 prefixes against a limit of 10,000: Cease/1, all of them gone again, no memory taken", async () => {
    const before = rss();
    const peer = await RawPeer.established(US, addressOf(3));
    for (let i = 0; i < 4_000_000 && !peer.closed; i += 700) {
      peer.send(announce(i, 700));
      if (i % 70_000 === 0) await peer.drained();
    }
    // One that goes on writing may lose what it was told to the reset that follows.
    expect(["6/1", null]).toContain(await peer.notification());
    expect(await lastError("raw3")).toContain("more than 10000 prefixes");
    expect(underlay.log).toMatch(/"peer":"raw3".*prefix limit/);
    await waitFor(async () => (await underlay.status()).routes.ipv4 === 2, "the routes to go");
    expect(rss()).toBeLessThan(before + 60);
    await expectGoodSession();
  });

  it("more prefixes than allowed: Cease/1, all of them gone again", async () => {
    const { name, address } = another();
    const peer = await RawPeer.established(US, address);
    for (let i = 0; i < 200_000; i += 700) peer.send(announce(i, 700));
    expect(await peer.notification()).toBe("6/1");
    expect(await lastError(name)).toContain("more than 100000 prefixes");
    await waitFor(async () => (await underlay.status()).routes.ipv4 === 2, "the routes to go");
    await expectGoodSession();
  });

  it("new communities in every UPDATE, megabytes of them", async () => {
    const { name, address } = another();
    const before = rss();
    const peer = await RawPeer.established(US, address);
    for (let i = 0; i < 9_000; i++) {
      peer.send(announce(i % 50, 1, attributes({ more: communities(950, i) })));
      if (i % 200 === 0) await peer.drained();
    }
    await peer.drained();
    await waitFor(async () => (await underlay.peer(name)).messages.updatesReceived >= 9_000, "all to be read");
    expect((await underlay.peer(name)).received).toBe(50);
    await waitFor(() => rss() < before + 80, `memory to come back: ${before} MiB before`, { timeout: 15_000 });
    await expectGoodSession();
    peer.close();
  });

  it("64 KiB of communities in one message, again and again", async () => {
    const { name, address } = another();
    const before = rss();
    const extendedMessages = [6, 0];
    const peer = await RawPeer.established(US, address, openMessage({ more: extendedMessages }));
    const plain = another();
    const old = await RawPeer.established(US, plain.address);
    const count = 16_300;
    for (let i = 0; i < 150; i++) {
      peer.send(announce(i % 10, 1, attributes({ more: communities(count, i) })));
      if (i % 20 === 0) await peer.drained();
    }
    await peer.drained();
    await waitFor(async () => (await underlay.peer(name)).messages.updatesReceived >= 150, "all to be read");
    const [route] = await underlay.received(name);
    expect(route.communities).toHaveLength(count);
    // Too long for a neighbour with messages of 4096 octets: it is not told, and the log says so.
    expect((await underlay.advertised(plain.name)).map(({ prefix }) => prefix)).not.toContain(route.prefix);
    expect(underlay.log).toContain("attributes too long");
    peer.close();
    old.close();
    await waitFor(() => rss() < before + 80, `memory to come back: ${before} MiB before`, { timeout: 15_000 });
    await expectGoodSession();
  });

  it("the same withdrawal and the same route again and again", async () => {
    const { name, address } = another();
    const peer = await RawPeer.established(US, address);
    const both = Buffer.concat([announce(0, 500), withdraw(0, 500), withdraw(0, 500)]);
    for (let i = 0; i < 1000; i++) peer.send(both);
    await peer.drained();
    await waitFor(async () => (await underlay.peer(name)).messages.updatesReceived >= 3000, "all to be read");
    expect((await underlay.peer(name)).received).toBe(0);
    await expectGoodSession();
    peer.close();
  });
});

describe("connections", () => {
  it("a thousand at once beside a session that is up", async () => {
    const { name, address } = another();
    const peer = await RawPeer.established(US, address);
    const crowd = await Promise.allSettled(Array.from({ length: 1000 }, () => RawPeer.connect(US, address)));
    await sleep(200);
    const status = await underlay.peer(name);
    expect(status.state).toBe("Established");
    expect(status.lastError).toBeNull();
    for (const result of crowd) if (result.status === "fulfilled") result.value.close();
    expect(peer.closed).toBe(false);
    peer.close();
    const lines = underlay.log.split("\n").filter((line) => line.includes(name) && !line.includes('"level":20'));
    expect(lines.length).toBeLessThan(20);
    await expectGoodSession();
  });

  it("a thousand flaps in a row", async () => {
    const { name, address } = another();
    for (let i = 0; i < 1000; i++) {
      const peer = await RawPeer.connect(US, address).catch(() => null);
      peer?.send(openMessage(), KEEPALIVE, announce(0, 700));
      await sleep(2);
      peer?.close();
    }
    await waitFor(async () => (await underlay.peer(name)).received === 0, "its routes to go");
    expect((await underlay.peer(name)).establishedCount).toBeLessThan(10);
    await expectGoodSession();
  });

  it("an OPEN and then nothing: the session waits, and others do not", async () => {
    const { name, address } = another();
    const peer = await RawPeer.connect(US, address);
    peer.send(openMessage({ holdTime: 3 }));
    expect(await peer.notification()).toBe("4/0");
    expect(await lastError(name)).toContain("hold timer expired");
  });
});

describe("a table of 500,000 routes", () => {
  let source: RawPeer;
  let before = 0;

  beforeAll(async () => {
    before = rss();
    source = await RawPeer.established(US, addressOf(2), openMessage({ holdTime: 0 }));
    for (let i = 0; i < 500_000; i += 700) {
      source.send(announce(i, Math.min(700, 500_000 - i), attributes({ more: communities(2, i) })));
      if (i % 70_000 === 0) await source.drained();
    }
    await waitFor(async () => (await underlay.peer("raw2")).received === 500_000, "500,000 routes");
  });

  it("a neighbour that never reads costs a bounded queue", async () => {
    const { name, address } = another();
    const base = rss();
    const peer = await RawPeer.established(US, address);
    peer.socket.pause();
    await sleep(1500);
    expect(rss()).toBeLessThan(base + 100);
    const { advertised } = await underlay.peer(name);
    expect(advertised).toBeLessThan(500_000);
    await expectGoodSession();
    peer.socket.resume();
    await waitFor(async () => (await underlay.peer(name)).advertised === 500_002, "the rest, once it reads");
    peer.close();
  });

  it("a thousand route refreshes a second", async () => {
    const { name, address } = another();
    const peer = await RawPeer.established(US, address);
    await waitFor(async () => (await underlay.peer(name)).advertised === 500_002, "all routes");
    const refresh = message(5, [0, 1, 0, 1]);
    const sent = (await underlay.peer(name)).messages.updatesSent;
    for (let i = 0; i < 2000; i++) {
      peer.send(refresh);
      if (i % 10 === 0) await sleep(10);
    }
    await waitFor(async () => (await underlay.peer(name)).messages.updatesSent > sent + 1000, "an answer");
    await expectGoodSession();
    peer.close();
  });

  it("is gone, and its memory with it, when its session ends", async () => {
    source.close();
    await waitFor(async () => (await underlay.status()).routes.ipv4 === 2, "the routes to go");
    await waitFor(() => rss() < before + 150, `memory to come back: ${before} MiB before`, { timeout: 15_000 });
    await expectGoodSession();
  });
});

it("BIRD's session never flapped, and nothing had to wait for long", async () => {
  await expectGoodSession();
  const silence = (await us.endCapture())?.silences.get("10.1.0.2") ?? Number.POSITIVE_INFINITY;
  // Keepalives every 2 s at most, and two thirds of the hold time are the next one's.
  expect(silence).toBeLessThan(4);
  const { p99 } = (await underlay.status()).eventLoopDelay;
  console.log(`longest silence towards BIRD, keepalives every 2 s: ${silence.toFixed(2)} s; loop delay p99 ${p99} ms`);
  expect(await bird.protocol("node")).not.toContain("Last error");
});
