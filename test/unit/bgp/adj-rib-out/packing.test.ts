import { describe, expect, it } from "vitest";
import { ownNextHop } from "../../../../bgp/adj-rib-out/own-next-hop.ts";
import { type Neighbor, Simulation } from "../simulation.ts";
import { address } from "../support.ts";

const ipv4 = (i: number) => `20.${i >>> 8}.${i & 255}.0/24`;
const ipv6 = (i: number) => `2001:db8:${i.toString(16)}::/48`;

function announce(neighbor: Neighbor, prefixes: readonly string[], asn: number): void {
  const asPath = [{ type: 2 as const, asns: [65001, asn] }];
  for (let at = 0; at < prefixes.length; at += 300) neighbor.announce(prefixes.slice(at, at + 300), { asPath });
}

describe("packing", () => {
  it.each([
    ["IPv4", ipv4, 4096, 4],
    ["IPv6", ipv6, 4096, 7],
    ["IPv4, extended messages", ipv4, 65535, 4],
    ["IPv6, extended messages", ipv6, 65535, 7],
  ])("%s: prefixes of one set fill messages, whatever the order they came in", async (_, make, maxMessage, octets) => {
    const simulation = new Simulation();
    const a = simulation.peer("a", "192.0.2.1", 65001);
    // Two sets, interleaved.
    for (let i = 0; i < 4000; i += 20)
      announce(
        a,
        Array.from({ length: 20 }, (_, k) => make(i + k)),
        (i / 20) % 2 ? 7 : 8,
      );
    const b = simulation.peer("b", "192.0.2.2", 65002, {}, { maxMessage });
    await simulation.settle();
    expect(b.table.size).toBe(4000);
    expect(Math.max(...b.messages)).toBeLessThanOrEqual(maxMessage);
    const least = 2 * Math.ceil((2000 * octets) / (maxMessage - 100)) + 2;
    expect(b.messages.length).toBeLessThanOrEqual(least);
    // Full messages are full to within one prefix.
    const full = b.messages.filter((length) => length > maxMessage - octets).length;
    expect(full).toBe(2 * Math.floor((2000 * octets) / (maxMessage - 60)));

    b.messages.length = 0;
    const all = Array.from({ length: 4000 }, (_, i) => make(i));
    for (let at = 0; at < 4000; at += 400) a.withdraw(all.slice(at, at + 400));
    await simulation.settle();
    expect(b.table.size).toBe(0);
    expect(b.messages.length).toBeLessThanOrEqual(Math.ceil((4000 * octets) / (maxMessage - 40)));
    expect(Math.max(...b.messages)).toBeLessThanOrEqual(maxMessage);
  });

  it("all prefix lengths survive", async () => {
    const simulation = new Simulation();
    const a = simulation.peer("a", "192.0.2.1", 65001);
    const b = simulation.peer("b", "192.0.2.2", 65002);
    const four = Array.from({ length: 33 }, (_, length) => (length === 0 ? "0.0.0.0/0" : `128.0.0.0/${length}`));
    const six = Array.from({ length: 129 }, (_, length) => (length === 0 ? "::/0" : `8000::/${length}`));
    a.announce(four);
    a.announce(six);
    await simulation.settle();
    expect([...b.table.keys()].sort()).toEqual([...four, ...six].sort());
  });

  it("peers alike share the work: one group, one outgoing set", async () => {
    const simulation = new Simulation();
    const a = simulation.peer("a", "192.0.2.1", 65001, { export: "none" });
    for (let i = 2; i < 12; i++) simulation.peer(`p${i}`, `192.0.2.${i}`, 65000 + i, { import: "none" });
    announce(
      a,
      Array.from({ length: 10 }, (_, i) => ipv4(i)),
      7,
    );
    await simulation.settle();
    // One group of `none` and one of `all`, per family.
    expect(simulation.rib.memory()).toMatchObject({ updateGroups: 4, outgoingSets: 1, attributeSets: 1 });
  });

  it("a 2-octet neighbour gets AS_TRANS and the truth in AS4_PATH", async () => {
    const simulation = new Simulation();
    const a = simulation.peer("a", "192.0.2.1", 65001);
    const b = simulation.peer("b", "192.0.2.2", 65002, {}, { as4: false });
    a.announce(["10.1.0.0/16"], { asPath: [{ type: 2, asns: [65001, 4_200_000_000] }] });
    await simulation.settle();
    expect(b.routes).toEqual(["10.1.0.0/16 via 192.0.2.254 path 65000 65001 4200000000"]);
  });

  it("attributes too long for the neighbour's messages are not announced, and withdrawn if they were", async () => {
    const warnings: string[] = [];
    const log = { debug() {}, info() {}, error() {}, warn: (_: object, message: string) => warnings.push(message) };
    const simulation = new Simulation({ log });
    const a = simulation.peer("a", "192.0.2.1", 65001, {}, { maxMessage: 65535 });
    const b = simulation.peer("b", "192.0.2.2", 65002);
    a.announce(["10.1.0.0/16", "10.2.0.0/16"]);
    await simulation.settle();
    a.announce(["10.1.0.0/16"], { communities: Array.from({ length: 1100 }, (_, i) => i + 1) });
    await simulation.settle();
    expect([...b.table.keys()]).toEqual(["10.2.0.0/16"]);
    expect(warnings).toEqual(["some IPv4 routes are not announced: attributes too long"]);
  });
});

describe("our own next hop", () => {
  const base = { localLinkLocal: null, localAddress4: null, localAddress6: null, extendedNextHop: false };
  const v4 = address("192.0.2.1");
  const v6 = address("2001:db8::1");
  const linkLocal = address("fe80::1");
  const both = Uint8Array.of(...v6, ...linkLocal);
  it.each([
    ["IPv4 session", 4, { ...base, localAddress: v4 }, { form: "attribute", address: v4 }],
    [
      "IPv6 session with an IPv4 address",
      4,
      { ...base, localAddress: v6, localAddress4: v4 },
      { form: "attribute", address: v4 },
    ],
    ["IPv6 session without", 4, { ...base, localAddress: v6 }, { form: "none" }],
    [
      "RFC 8950",
      4,
      { ...base, localAddress: v6, localLinkLocal: linkLocal, extendedNextHop: true },
      { form: "mp", address: both },
    ],
    ["IPv6, multihop", 6, { ...base, localAddress: v6 }, { form: "mp", address: v6 }],
    ["IPv6, connected", 6, { ...base, localAddress: v6, localLinkLocal: linkLocal }, { form: "mp", address: both }],
    [
      "IPv6 over IPv4",
      6,
      { ...base, localAddress: v4, localAddress6: v6, localLinkLocal: linkLocal },
      { form: "mp", address: both },
    ],
    ["IPv6 over IPv4, no IPv6 there", 6, { ...base, localAddress: v4 }, { form: "none" }],
    [
      "unnumbered with a global address",
      6,
      { ...base, localAddress: linkLocal, localAddress6: v6 },
      { form: "mp", address: both },
    ],
    [
      "unnumbered, IPv4 although the interface has an address of its own",
      4,
      { ...base, localAddress: linkLocal, localAddress4: v4, extendedNextHop: true },
      { form: "mp", address: Uint8Array.of(...linkLocal, ...linkLocal) },
    ],
    [
      "unnumbered to a neighbour without RFC 8950",
      4,
      { ...base, localAddress: linkLocal, localAddress4: v4 },
      { form: "attribute", address: v4 },
    ],
    [
      "unnumbered",
      6,
      { ...base, localAddress: linkLocal },
      { form: "mp", address: Uint8Array.of(...linkLocal, ...linkLocal) },
    ],
  ] as const)("%s", (_, family, session, expected) => {
    expect(ownNextHop(family, session)).toEqual(expected);
  });
});
