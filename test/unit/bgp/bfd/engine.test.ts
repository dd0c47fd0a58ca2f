// Which session a packet belongs to, what is discarded, and the good-bye.
import { describe, expect, it } from "vitest";
import { BfdEngine, type Datagram } from "../../../../bgp/bfd/engine.ts";
import { type ControlPacket, decodeControl, encodeControl } from "../../../../bgp/bfd/packet.ts";
import { createStatusWords, readStatus } from "../../../../bgp/bfd/status-words.ts";
import type { BfdPeer } from "../../../../bgp/bfd/types.ts";
import { formatAddress, parseAddress } from "../../../../net/address.ts";
import { ManualClock, packet } from "./support.ts";

const indexes: Record<string, number> = { eth1: 1, eth2: 2 };

function start(...peers: (Partial<BfdPeer> & { name: string; address: Uint8Array })[]) {
  const clock = new ManualClock();
  const sent = new Map<string, ControlPacket[]>();
  const closed: string[] = [];
  const strangers: string[] = [];
  let next = 1;
  const engine = new BfdEngine({
    clock,
    random: () => 1,
    discriminator: () => next++,
    stateChanged() {},
    catchUp() {},
    stranger: (source) => strangers.push(formatAddress(source)),
    open: (peer) => ({
      send(bytes) {
        sent.set(peer.name, [...(sent.get(peer.name) ?? []), decodeControl(bytes, bytes.length) as ControlPacket]);
        return 0;
      },
      accepts: (ifindex) => peer.interface === null || indexes[peer.interface] === ifindex,
      close: () => closed.push(peer.name),
    }),
  });
  const all = peers.map((given) => ({
    interface: null,
    localAddress: null,
    multihop: false,
    interval: 300,
    multiplier: 3,
    ...given,
  }));
  const words = new Map(all.map((peer) => [peer.name, createStatusWords()]));
  for (const peer of all) engine.add(peer, words.get(peer.name)!);
  const status = (name: string) => readStatus(words.get(name)!, 3);
  return { engine, clock, sent, closed, strangers, status, all, words };
}

const datagram = (said: ControlPacket, source: string, more: Partial<Datagram> = {}): Datagram => {
  const bytes = new Uint8Array(24);
  encodeControl(said, bytes);
  return { bytes, length: 24, source: parseAddress(source)!, ifindex: 1, ttl: 255, multihop: false, ...more };
};

const a = { name: "a", address: parseAddress("192.0.2.1")! };
const b = { name: "b", address: parseAddress("192.0.2.2")! };
const hello = packet("Down", { yourDiscriminator: 0 });

describe("BFD engine", () => {
  it("finds the session of a first packet by its source, of the others by our discriminator", () => {
    const { engine, status } = start(a, b);
    engine.receive(datagram(hello, "192.0.2.2"));
    expect([status("a").state, status("b").state]).toEqual(["Down", "Init"]);
    engine.receive(datagram(packet("Init", { yourDiscriminator: 2 }), "192.0.2.2"));
    expect(status("b")).toMatchObject({ state: "Up", packets: { received: 2, discarded: 0 } });
  });

  it("tells neighbours with equal link-local addresses apart by the interface", () => {
    const address = parseAddress("fe80::1")!;
    const { engine, status } = start(
      { name: "left", address, interface: "eth1" },
      { name: "right", address, interface: "eth2" },
    );
    engine.receive(datagram(hello, "fe80::1", { ifindex: 2 }));
    expect([status("left").state, status("right").state]).toEqual(["Down", "Init"]);
    engine.receive(datagram(packet("Up", { yourDiscriminator: 2 }), "fe80::1", { ifindex: 1 }));
    expect(status("right")).toMatchObject({ state: "Init", lastDiscard: "came in on another interface" });
  });

  it.each<[string, Datagram, string]>([
    ["a lower TTL", datagram(hello, "192.0.2.1", { ttl: 254 }), "TTL is not 255: it was forwarded by a router"],
    [
      "the discriminator of another session",
      datagram(packet("Up", { yourDiscriminator: 1 }), "192.0.2.2"),
      "your discriminator is that of another session",
    ],
    [
      "the port for several hops",
      datagram(packet("Up", { yourDiscriminator: 1 }), "192.0.2.1", { multihop: true }),
      "your discriminator is that of another session",
    ],
    ["too short", { ...datagram(hello, "192.0.2.1"), length: 20 }, "shorter than a control packet"],
  ])("discards and counts: %s", (_, received, reason) => {
    const { engine, status } = start(a);
    engine.receive(received);
    expect(status("a")).toMatchObject({
      state: "Down",
      lastDiscard: reason,
      packets: { received: 0, discarded: 1 },
    });
  });

  it("ignores whom it does not know, and sessions it no longer has", () => {
    const { engine, status, strangers } = start(a);
    engine.receive(datagram(hello, "192.0.2.9"));
    engine.receive(datagram(packet("Up", { yourDiscriminator: 99 }), "192.0.2.1"));
    expect(strangers).toEqual(["192.0.2.9"]);
    expect(status("a").packets).toMatchObject({ received: 0, discarded: 0 });
  });

  it("looks at no TTL when the neighbour is several hops away", () => {
    const { engine, status } = start({ ...a, multihop: true });
    engine.receive(datagram(hello, "192.0.2.1", { multihop: true, ttl: 61 }));
    expect(status("a").state).toBe("Init");
  });

  it("changes the pace of a session that is there", () => {
    const { engine, status, all, words, sent } = start(a);
    engine.receive(datagram(hello, "192.0.2.1"));
    engine.receive(datagram(packet("Up"), "192.0.2.1"));
    engine.add({ ...all[0], interval: 600 }, words.get("a")!);
    expect(status("a").state).toBe("Up");
    expect(sent.get("a")!.at(-1)).toMatchObject({ state: "Up", poll: true, desiredMinTx: 600_000 });
  });

  it("says AdminDown three times, then closes", async () => {
    const { engine, clock, sent, closed } = start(a, b);
    const stopped = engine.stop();
    for (let step = 0; step < 10 && closed.length < 2; step++) {
      clock.advance(20);
      await Promise.resolve();
      await Promise.resolve();
    }
    await stopped;
    expect(closed).toEqual(["a", "b"]);
    for (const name of ["a", "b"])
      expect(sent.get(name)!.map(({ state }) => state)).toEqual(["Down", "AdminDown", "AdminDown", "AdminDown"]);
    clock.advance(10_000);
    expect(clock.pending).toBe(0);
    expect(sent.get("a")).toHaveLength(4);
  });
});
