// Listen ranges: who gets in, as what, and when it is gone again. Neighbours are raw connections from 127.0.0.0/8.
import { afterEach, describe, expect, it } from "vitest";
import type { DynamicGroup, DynamicHost } from "../../../../bgp/session/dynamic-peers.ts";
import type { PeerOptions } from "../../../../bgp/session/types.ts";
import { formatAddress } from "../../../../net/address.ts";
import type { Clock } from "../../../../net/clock.ts";
import { prefix } from "../../../../net/prefix.ts";
import { fastClock, peerOptions, waitFor } from "./support.ts";
import { message, openMessage, RawPeer, type Speaker, startSpeaker, stopSpeakers } from "./support-sessions.ts";

afterEach(stopSpeakers);

class Host implements DynamicHost {
  readonly opened: string[] = [];
  readonly closed: string[] = [];
  readonly kept = new Set<string>();
  readonly pods = new Set<string>();
  options: Partial<PeerOptions> = {};

  open(group: string, address: Uint8Array, device: string | null): PeerOptions {
    const name = `${group}/${formatAddress(address)}`;
    this.opened.push(name);
    return peerOptions({ name, group, dynamic: true, passive: true, address, interface: device, ...this.options });
  }

  close(name: string): void {
    this.closed.push(name);
  }

  keeps(name: string): boolean {
    return this.kept.has(name);
  }

  isPod(address: Uint8Array): boolean {
    return this.pods.has(formatAddress(address));
  }
}

const group = (name: string, ranges: readonly string[], options: Partial<DynamicGroup> = {}): DynamicGroup => ({
  name,
  listen: ranges.map((text) => ({ prefix: prefix(text), interface: null })),
  listenLimit: 100,
  listenPods: false,
  password: null,
  acceptedPasswords: [],
  ...options,
});

async function start(clock: Clock, ...groups: DynamicGroup[]): Promise<[Speaker, Host]> {
  const host = new Host();
  const us = await startSpeaker(Uint8Array.of(127, 0, 0, 1), { dynamic: host, clock });
  for (const entry of groups) us.manager.setGroup(entry);
  return [us, host];
}

const names = (us: Speaker) => us.manager.names();
const clock = fastClock(1);

it("a pod of this node is no peer, although a range covers it, unless the group says so", async () => {
  const [us, host] = await start(clock, group("rack", ["127.0.0.0/24"]));
  host.pods.add("127.0.0.9");
  const pod = await RawPeer.connect(us, "127.0.0.9");
  await waitFor(() => pod.closed, "the connection to be refused");
  expect([pod.received, names(us), host.opened]).toEqual([[], [], []]);
  us.manager.setGroup(group("rack", ["127.0.0.0/24"], { listenPods: true }));
  const peer = await RawPeer.established(us, openMessage(), "127.0.0.9");
  await waitFor(() => us.handler.sessions.length === 1, "Established");
  peer.close();
});

it("an address in a range becomes a peer for as long as its session lasts", async () => {
  const [us, host] = await start(clock, group("rack", ["127.0.0.0/24"]));
  expect(names(us)).toEqual([]);
  const peer = await RawPeer.established(us, openMessage(), "127.0.0.9");
  await waitFor(() => us.handler.sessions.length === 1, "Established");
  expect(us.status()).toMatchObject({ name: "rack/127.0.0.9", group: "rack", dynamic: true, state: "Established" });
  peer.close();
  await waitFor(() => names(us).length === 0, "the peer to be gone");
  expect(host).toMatchObject({ opened: ["rack/127.0.0.9"], closed: ["rack/127.0.0.9"] });
  expect(us.handler.downs).toHaveLength(1);
});

it("the longest prefix decides, configured peers come first", async () => {
  const [us] = await start(
    clock,
    group("wide", ["127.0.0.0/8"]),
    group("narrow", ["127.0.1.0/24", "127.0.2.128/25"]),
    group("mid", ["127.0.0.0/16"]),
  );
  us.manager.addPeer(peerOptions({ name: "own", address: Uint8Array.of(127, 0, 1, 7), passive: true }));
  for (const from of ["127.0.1.6", "127.0.1.7", "127.0.2.129", "127.0.2.1", "127.9.0.1"])
    await RawPeer.established(us, openMessage({ routerId: from.split(".").map(Number) }), from);
  await waitFor(() => us.handler.sessions.length === 5, "all Established");
  expect(names(us).sort()).toEqual([
    "mid/127.0.2.1",
    "narrow/127.0.1.6",
    "narrow/127.0.2.129",
    "own",
    "wide/127.9.0.1",
  ]);
});

it("an address in no range is a stranger", async () => {
  const [us] = await start(clock, group("rack", ["127.0.5.0/24"]));
  const peer = await RawPeer.connect(us, "127.0.6.1");
  expect(await peer.notification()).toBe(null);
  expect(names(us)).toEqual([]);
});

it("more than listenLimit are refused with Cease/5, until there is room", async () => {
  const [us] = await start(clock, group("rack", ["127.0.0.0/8"], { listenLimit: 2 }));
  const first = await RawPeer.established(us, openMessage(), "127.0.0.11");
  await RawPeer.established(us, openMessage({ routerId: [1, 1, 1, 1] }), "127.0.0.12");
  const third = await RawPeer.connect(us, "127.0.0.13");
  third.send(openMessage());
  expect(await third.notification()).toBe("6/5");
  first.close();
  await waitFor(() => names(us).length === 1, "room");
  await RawPeer.established(us, openMessage({ routerId: [2, 2, 2, 2] }), "127.0.0.13");
  expect(us.log.lines.filter(({ message: text }) => text.includes("listenLimit"))).toHaveLength(1);
});

it("routes kept for a restart keep the peer, and the neighbour that is back finds it", async () => {
  const [us, host] = await start(clock, group("rack", ["127.0.0.0/8"]));
  const first = await RawPeer.established(us, openMessage(), "127.0.0.9");
  host.kept.add("rack/127.0.0.9");
  first.close();
  await waitFor(() => us.handler.downs.length === 1, "the end");
  await new Promise((resolve) => setTimeout(resolve, 1_300));
  expect(names(us)).toEqual(["rack/127.0.0.9"]);
  const second = await RawPeer.established(us, openMessage(), "127.0.0.9");
  host.kept.clear();
  await waitFor(() => us.handler.sessions.length === 2, "Established again");
  expect(host.opened).toHaveLength(1);
  second.close();
  await waitFor(() => names(us).length === 0, "the peer to be gone");
});

it("a configured peer takes the place of a dynamic one with its address", async () => {
  const [us, host] = await start(clock, group("rack", ["127.0.0.0/8"]));
  const peer = await RawPeer.established(us, openMessage(), "127.0.0.9");
  us.manager.addPeer(peerOptions({ name: "own", address: Uint8Array.of(127, 0, 0, 9), passive: true }));
  expect(await peer.notification()).toBe("6/6");
  expect(names(us)).toEqual(["own"]);
  expect(host.closed).toEqual(["rack/127.0.0.9"]);
});

it("ranges that shrink end what they covered, a group that goes all of its peers", async () => {
  const [us] = await start(clock, group("rack", ["127.0.0.0/24", "127.0.1.0/24"]));
  const [a, b] = [
    await RawPeer.established(us, openMessage(), "127.0.0.9"),
    await RawPeer.established(us, openMessage({ routerId: [2, 2, 2, 2] }), "127.0.1.9"),
  ];
  us.manager.setGroup(group("rack", ["127.0.1.0/24"]));
  expect(await a.notification()).toBe("6/3");
  expect(names(us)).toEqual(["rack/127.0.1.9"]);
  us.manager.removeGroup("rack", "gone");
  expect(await b.notification()).toBe("6/3");
  expect(names(us)).toEqual([]);
});

describe("churn", () => {
  it("a neighbour that fails is damped, then forgotten; the log has a few lines for any number", async () => {
    const [us, host] = await start(fastClock(20), group("rack", ["127.0.0.0/8"]));
    host.options = { remoteAsn: 65099 };
    for (let i = 0; i < 30; i++) {
      const peer = await RawPeer.connect(us, "127.0.0.9");
      peer.send(openMessage());
      expect(await peer.notification()).toMatch(/^(2\/2|6\/5)$/);
    }
    await waitFor(() => names(us).length === 0, "the peer to be forgotten", 15_000);
    expect(us.log.lines.filter(({ message: text }) => text === "session failed").length).toBeLessThan(20);
  });

  it("a thousand addresses leave nothing behind", async () => {
    const [us, host] = await start(fastClock(20), group("rack", ["127.0.0.0/8"], { listenLimit: 20 }));
    for (let round = 0; round < 100; round++) {
      const peers = await Promise.all(
        Array.from({ length: 10 }, (_, i) => RawPeer.connect(us, `127.1.${round}.${i + 1}`)),
      );
      for (const peer of peers) peer.send(message(4));
      for (const peer of peers) peer.close();
    }
    await waitFor(() => names(us).length === 0, "all to be gone", 20_000);
    expect(host.closed.length).toBe(host.opened.length);
    expect(host.opened.length).toBeGreaterThan(20);
  });

  it("who says nothing loses its place after half a minute", async () => {
    const [us] = await start(fastClock(50), group("rack", ["127.0.0.0/8"]));
    const peer = await RawPeer.connect(us, "127.0.0.9");
    await waitFor(() => names(us).length === 1, "the peer");
    expect(await peer.notification()).toBe("4/0");
    await waitFor(() => names(us).length === 0, "the peer to be gone");
  });
});
