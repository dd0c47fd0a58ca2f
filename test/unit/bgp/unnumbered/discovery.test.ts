// An interface coming, going and changing, and what is heard on it, down to the octets that are sent.
import { describe, expect, it } from "vitest";
import type { NeighbourChange } from "../../../../bgp/session/found-neighbour.ts";
import { NeighbourDiscovery } from "../../../../bgp/unnumbered/discovery.ts";
import { encodeRouterAdvertisement, type Packet } from "../../../../bgp/unnumbered/message.ts";
import type { Link } from "../../../../bgp/unnumbered/types.ts";
import { formatAddress } from "../../../../net/address.ts";
import { silentLog } from "../../../../net/log.ts";
import { ManualClock } from "../session/support.ts";
import { address } from "../support.ts";

const MAC = Uint8Array.of(2, 0, 0, 0, 0, 1);
const THEIR_MAC = Uint8Array.of(2, 0, 0, 0, 0, 2);

interface Changes {
  up?: boolean;
  mac?: Uint8Array;
  addresses?: string[];
  tentative?: boolean;
}

const link = (ifindex: number, name: string, changes: Changes = {}): Link => ({
  ifindex,
  name,
  up: changes.up ?? true,
  mac: changes.mac ?? MAC,
  addresses: (changes.addresses ?? ["fe80::1"]).map((text) => ({
    address: address(text),
    tentative: changes.tentative ?? false,
  })),
});

const names: Readonly<Record<number, string>> = { 133: "RS", 134: "RA", 135: "NS" };

class Host {
  readonly clock = new ManualClock();
  /** `interface index: message -> destination`. */
  readonly sent: string[] = [];
  readonly changes: string[] = [];
  readonly receivers = new Map<number, (packet: Packet) => void>();
  openError: string | null = null;
  sendError = 0;
  #links: readonly Link[];
  #notify = () => {};
  readonly #discovery: NeighbourDiscovery;

  constructor(links: readonly Link[]) {
    this.#links = links;
    this.#discovery = new NeighbourDiscovery({
      clock: this.clock,
      log: silentLog,
      random: () => 0.5,
      links: {
        links: () => this.#links,
        onLinks: (listener) => {
          this.#notify = listener;
        },
      },
      open: (_device, ifindex, receive) => {
        if (this.openError) throw new Error(this.openError);
        this.receivers.set(ifindex, receive);
        return {
          send: (message, to) => {
            if (this.sendError === 0) this.sent.push(`${ifindex}: ${names[message[0]]} -> ${formatAddress(to)}`);
            return this.sendError;
          },
          close: () => this.receivers.delete(ifindex),
        };
      },
    });
  }

  find(device: string, advertise = true) {
    const user = {
      changed: ({ kind, reason }: NeighbourChange) => this.changes.push(`${device} ${kind}: ${reason}`),
      provoke: () => {},
      heardWithin: () => false,
    };
    return this.#discovery.find(device, { advertise }, user);
  }

  set(...links: Link[]): void {
    this.#links = links;
    this.#notify();
  }

  hear(ifindex: number, from: string, bytes = encodeRouterAdvertisement(THEIR_MAC), hopLimit = 255): void {
    this.receivers.get(ifindex)?.({ bytes, length: bytes.length, source: address(from), hopLimit });
  }

  take(): string[] {
    return this.sent.splice(0);
  }
}

describe("an interface without addresses", () => {
  it("advertises and solicits at once, and finds who answers", () => {
    const host = new Host([link(7, "eth1")]);
    const found = host.find("eth1");
    expect(host.take()).toEqual(["7: RA -> ff02::1", "7: RS -> ff02::2"]);
    expect(found.address).toBeNull();
    expect(found.awaited).toBe(
      "no router advertisement heard on eth1 yet; is the neighbour configured for unnumbered?",
    );
    host.hear(7, "fe80::2");
    expect(found.address).toEqual(address("fe80::2"));
    expect(host.changes).toEqual(["eth1 found: found on eth1"]);
    host.clock.advance(500);
    expect(host.take()).toEqual(["7: RA -> fe80::2"]);
    host.clock.advance(4_500);
    expect(found.view()).toEqual({
      interface: "eth1",
      ifindex: 7,
      localAddresses: ["fe80::1"],
      neighbours: [{ address: "fe80::2", mac: "02:00:00:00:00:02", via: "advertisement", heard: 5, present: true }],
      advertisements: { enabled: true, sent: 3, received: 1, ignored: 0 },
      lastIgnored: null,
      lastSendError: null,
    });
  });

  it("says what it waits for, from the interface up", () => {
    const host = new Host([]);
    const found = host.find("eth1");
    const awaited = [found.awaited];
    const states = [
      link(7, "eth1", { up: false, addresses: [] }),
      link(7, "eth1", { addresses: ["2001:db8::1"] }),
      link(7, "eth1", { tentative: true }),
    ];
    for (const state of states) {
      host.set(state);
      awaited.push(found.awaited);
    }
    expect(awaited).toEqual([
      "interface eth1 does not exist",
      "interface eth1 is down",
      expect.stringContaining("interface eth1 has no link-local address (see: "),
      "the link-local address of eth1 is not usable yet (duplicate address detection)",
    ]);
    expect(host.take()).toEqual([]);
    host.set(link(7, "eth1"));
    expect(host.take()).toEqual(["7: RA -> ff02::1", "7: RS -> ff02::2"]);
  });

  it("forgets the neighbour when the link goes down, and finds the next one", () => {
    const host = new Host([link(7, "eth1")]);
    const found = host.find("eth1");
    host.hear(7, "fe80::2");
    host.set(link(7, "eth1", { up: false }));
    expect(found.address).toBeNull();
    expect(host.receivers.size).toBe(0);
    expect(host.clock.pending).toBe(0);
    host.set(link(7, "eth1"));
    host.hear(7, "fe80::3");
    expect(host.changes).toEqual([
      "eth1 found: found on eth1",
      "eth1 lost: interface eth1 went down",
      "eth1 found: found on eth1",
    ]);
  });

  it("follows the name: to an interface made anew, away from one that is renamed", () => {
    const host = new Host([link(7, "eth1")]);
    const found = host.find("eth1");
    host.hear(7, "fe80::2");
    host.set(link(9, "eth1"));
    expect([...host.receivers.keys()]).toEqual([9]);
    host.hear(9, "fe80::2");
    host.set(link(9, "uplink"));
    expect(found.awaited).toBe("interface eth1 does not exist");
    host.set(link(9, "uplink"), link(10, "eth1"));
    host.hear(10, "fe80::2");
    expect(host.changes).toEqual([
      "eth1 found: found on eth1",
      "eth1 lost: interface eth1 is another one now",
      "eth1 found: found on eth1",
      "eth1 lost: interface eth1 is gone",
      "eth1 found: found on eth1",
    ]);
  });

  it("tells everybody at once when its own MAC or link-local address is another one", () => {
    const host = new Host([link(7, "eth1")]);
    host.find("eth1");
    host.hear(7, "fe80::2");
    host.clock.advance(30_000);
    host.take();
    host.set(link(7, "eth1", { addresses: ["fe80::99"] }));
    expect(host.take()).toEqual(["7: RA -> ff02::1", "7: RS -> ff02::2"]);
    host.set(link(7, "eth1", { addresses: ["fe80::99"], mac: THEIR_MAC }));
    expect(host.take()).toEqual(["7: RA -> ff02::1", "7: RS -> ff02::2"]);
    host.set(link(7, "eth1", { addresses: ["fe80::99"], mac: THEIR_MAC }));
    expect(host.take()).toEqual([]);
    expect(host.changes).toHaveLength(1);
  });

  it("knows no neighbour while it has no link-local address itself", () => {
    const host = new Host([link(7, "eth1")]);
    const found = host.find("eth1");
    host.hear(7, "fe80::2");
    host.set(link(7, "eth1", { addresses: ["2001:db8::1"] }));
    expect(host.changes[1]).toBe("eth1 lost: the link-local address of eth1 is gone");
    expect(found.awaited).toContain("interface eth1 has no link-local address");
    expect(host.receivers.size).toBe(0);
  });

  it("asks for the neighbour's address when another router speaks", () => {
    const host = new Host([link(7, "eth1")]);
    const found = host.find("eth1");
    host.hear(7, "fe80::2");
    host.take();
    host.hear(7, "fe80::3");
    expect(host.take()).toEqual(["7: NS -> ff02::1:ff00:2"]);
    const answer = new Uint8Array(24);
    answer[0] = 136;
    answer.set(address("fe80::2"), 8);
    host.hear(7, "fe80::2", answer);
    host.clock.advance(5_000);
    expect(found.address).toEqual(address("fe80::2"));
    expect(found.view().neighbours.map((entry) => [entry.address, entry.present])).toEqual([
      ["fe80::2", true],
      ["fe80::3", false],
    ]);
  });

  it("keeps interfaces apart, with equal addresses on both", () => {
    const host = new Host([link(7, "eth1"), link(8, "eth2")]);
    const first = host.find("eth1");
    const second = host.find("eth2");
    host.hear(7, "fe80::2");
    expect([first.address, second.address]).toEqual([address("fe80::2"), null]);
    host.hear(8, "fe80::2");
    host.set(link(7, "eth1", { up: false }), link(8, "eth2"));
    expect([first.address, second.address]).toEqual([null, address("fe80::2")]);
  });

  it("ignores what has passed a router, what is no message, and itself", () => {
    const host = new Host([link(7, "eth1")]);
    const found = host.find("eth1");
    host.hear(7, "fe80::2", undefined, 254);
    host.hear(7, "fe80::2", Uint8Array.of(134, 0, 0, 0));
    host.hear(7, "fe80::1");
    expect(found.address).toBeNull();
    expect(found.view().advertisements).toMatchObject({ received: 0, ignored: 3 });
    expect(found.view().lastIgnored).toBe("from fe80::1: source is our own address: it is in use twice on this link");
  });

  it("only listens and solicits with advertisements switched off", () => {
    const host = new Host([link(7, "eth1")]);
    const found = host.find("eth1", false);
    host.hear(7, "fe80::2");
    host.clock.advance(60_000);
    expect(host.take()).toEqual(["7: RS -> ff02::2"]);
    expect(found.view().advertisements).toMatchObject({ enabled: false, sent: 0 });
  });

  it("says when nothing can be opened or sent, and tries again", () => {
    const host = new Host([link(7, "eth1")]);
    host.openError = "needs CAP_NET_RAW";
    const found = host.find("eth1");
    expect(found.awaited).toBe("needs CAP_NET_RAW");
    host.openError = null;
    host.sendError = 99;
    host.clock.advance(5_000);
    expect(found.view().lastSendError).toBe("EADDRNOTAVAIL to ff02::2");
    host.sendError = 0;
    host.clock.advance(3_000);
    expect(found.view().lastSendError).toBeNull();
    expect(host.take()).toEqual(["7: RA -> ff02::1"]);
  });

  it("is silent once closed", () => {
    const host = new Host([link(7, "eth1")]);
    const found = host.find("eth1");
    host.hear(7, "fe80::2");
    found.close();
    host.set(link(9, "eth1"));
    expect(host.receivers.size).toBe(0);
    expect(host.clock.pending).toBe(0);
    expect(host.changes).toHaveLength(1);
    expect(found.spoke(address("fe80::3"), false)).toBe(false);
  });
});
