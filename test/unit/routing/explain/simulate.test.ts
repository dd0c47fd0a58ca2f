// Vectors of the simulation: what the kernel was seen to do, one peculiarity each. Those that a random set brought to light
// say so by what they are about; test/system/routing-explain.test.ts looks for more.
import { describe, expect, it } from "vitest";
import { formatAddress } from "../../../../net/address.ts";
import { disagreement } from "../../../../routing/explain/compare.ts";
import { goesSomewhere, simulate } from "../../../../routing/explain/simulate.ts";
import type { Flow } from "../../../../routing/explain/types.ts";
import { bytes, flow, index, links, route, rule, snapshot, type World } from "./support.ts";

/** `via 192.0.0.2 up0`, `ENETUNREACH` ..., one line per possible verdict; `refused` where a check says no. */
function decide(world: World, of: Flow): string {
  const { verdicts, refusal } = simulate(snapshot(of.family, world), of);
  const lines = verdicts.map(({ error, members, table, source }) =>
    error !== null
      ? error
      : members
          .map(
            ({ gateway, ifindex }) => `${gateway ? `via ${formatAddress(gateway)} ` : ""}${links.get(ifindex)!.name}`,
          )
          .join(" or ") +
        (table === 254 || table === 0 ? "" : ` table ${table}`) +
        (of.source || !source ? "" : ` src ${formatAddress(source)}`),
  );
  return (refusal ? ["refused", ...lines] : lines).join("; ");
}

const everything = [rule(0, { table: 255 }), rule(32766)];

describe("policy rules", () => {
  const tables = [
    route("0.0.0.0/0", ["via 192.0.0.2 dev up0"]),
    route("10.0.0.0/8", ["via 192.0.1.2 dev up1"], { table: 100 }),
  ];
  it.each([
    [
      "the first that has a route decides",
      [rule(10, { table: 100 }), ...everything],
      "via 192.0.1.2 up1 table 100 src 192.0.1.1",
    ],
    ["by source", [rule(10, { table: 100, from: "10.9.0.0/16" }), ...everything], "via 192.0.0.2 up0 src 192.0.0.1"],
    [
      "iif lo is for what is made here",
      [rule(10, { table: 100, iif: "lo" }), ...everything],
      "via 192.0.1.2 up1 table 100 src 192.0.1.1",
    ],
    [
      "a mark under a mask",
      [rule(10, { table: 100, fwmark: 1, fwmask: 3 }), ...everything],
      "via 192.0.0.2 up0 src 192.0.0.1",
    ],
    [
      "not turns every condition over",
      [rule(10, { table: 100, fwmark: 1, fwmask: 3, invert: true }), ...everything],
      "via 192.0.1.2 up1 table 100 src 192.0.1.1",
    ],
    [
      "goto",
      [rule(10, { action: 2, goto: 30 }), rule(20, { action: 7 }), rule(30, { table: 100 })],
      "via 192.0.1.2 up1 table 100 src 192.0.1.1",
    ],
    [
      "goto to nowhere has no effect",
      [rule(10, { action: 2, goto: 30, unresolved: true }), rule(20, { action: 7 })],
      "ENETUNREACH",
    ],
    ["prohibit", [rule(10, { action: 8 })], "EACCES"],
    ["blackhole", [rule(10, { action: 6 })], "EINVAL"],
    [
      "a route too short is passed over",
      [rule(10, { table: 100, suppressPrefixLength: 8 }), ...everything],
      "via 192.0.0.2 up0 src 192.0.0.1",
    ],
    ["none leads to a route", [rule(10, { table: 999 })], "ENETUNREACH"],
    ["of a VRF", [rule(10, { table: 100, l3mdev: true }), ...everything], "via 192.0.0.2 up0 src 192.0.0.1"],
  ])("%s", (_, rules, expected) => {
    expect(decide({ rules, routes: tables }, flow("10.1.2.3"))).toBe(expected);
  });

  it("looks at the first hop for suppress_ifgroup in IPv4, also when that one is dead", () => {
    const routes = [
      route("0.0.0.0/0", ["dev dark dead linkdown", "via 192.0.1.2 dev up1"]),
      route("0.0.0.0/0", ["via 192.0.0.9 dev up0"], { table: 100 }),
    ];
    const rules = [rule(30, { suppressInterfaceGroup: 0 }), rule(40, { table: 100 })];
    expect(decide({ rules, routes }, flow("10.0.0.9"))).toBe("via 192.0.0.9 up0 table 100 src 192.0.0.1");
    const other = [rule(30, { suppressInterfaceGroup: 7 }), rule(40, { table: 100 })];
    expect(decide({ rules: other, routes }, flow("10.0.0.9"))).toBe("via 192.0.1.2 up1 src 192.0.1.1");
  });

  it("leaves it open where suppress_ifgroup concerns some members of an IPv6 route", () => {
    const routes = [route("3fff::/20", ["via fe80::1 dev up0", "via fe80::2 dev up1"])];
    const rules = [rule(30, { suppressInterfaceGroup: 7 }), rule(40, { action: 7 })];
    expect(decide({ rules, routes }, flow("3fff::1"))).toBe("via fe80::1 up0; ENETUNREACH");
  });

  it("leaves it open what suppress_prefixlength sees of an IPv6 route with a nexthop object", () => {
    const routes = [route("::/0", [], { nextHopId: 7 })];
    const nextHops = { 7: "via fe80::1 dev up0" };
    const rules = [rule(30, { suppressPrefixLength: 0 }), rule(40, { action: 7 })];
    expect(decide({ rules, routes, nextHops }, flow("3fff::1"))).toBe("via fe80::1 up0; ENETUNREACH");
  });
});

describe("IPv4 tables", () => {
  it.each([
    [
      "the lower metric",
      [route("10.0.0.0/8", ["dev up0"], { priority: 20 }), route("10.0.0.0/8", ["dev up1"], { priority: 10 })],
      flow("10.0.0.1", { source: "192.0.0.1" }),
      "up1",
    ],
    [
      "the TOS before the metric",
      [route("10.0.0.0/8", ["dev up0"], { priority: 20, tos: 16 }), route("10.0.0.0/8", ["dev up1"])],
      flow("10.0.0.1", { source: "192.0.0.1", tos: 16 }),
      "up0",
    ],
    [
      "a throw sends on to the next rule",
      [route("10.0.0.0/8", [], { type: 9 }), route("0.0.0.0/0", ["dev up0"])],
      flow("10.0.0.1"),
      "ENETUNREACH",
    ],
    ["unreachable", [route("10.0.0.0/8", [], { type: 7 })], flow("10.0.0.1"), "EHOSTUNREACH"],
    [
      "what is dead is passed over for a shorter prefix",
      [route("10.0.0.0/8", ["dev dark dead linkdown"]), route("0.0.0.0/0", ["dev up0"])],
      flow("10.0.0.1", { source: "192.0.0.1" }),
      "up0",
    ],
    [
      "a link without carrier is used unless the kernel is told not to",
      [route("10.0.0.0/8", ["dev dark linkdown"])],
      flow("10.0.0.1", { source: "192.0.0.1" }),
      "dark",
    ],
    [
      "members of a multipath route",
      [route("10.0.0.0/8", ["via 192.0.0.2 dev up0", "via 192.0.1.2 dev up1"])],
      flow("10.0.0.1"),
      "via 192.0.0.2 up0 or via 192.0.1.2 up1",
    ],
    [
      "the interface that is insisted on",
      [route("10.0.0.0/8", ["via 192.0.0.2 dev up0", "via 192.0.1.2 dev up1"])],
      flow("10.0.0.1", { oif: index("up1"), source: "192.0.0.1" }),
      "via 192.0.1.2 up1",
    ],
    [
      "nothing leads there, but an interface is insisted on",
      [],
      flow("10.0.0.1", { oif: index("up1") }),
      "up1 src 192.0.1.1",
    ],
  ])("%s", (_, routes, of, expected) => {
    expect(decide({ routes }, of)).toBe(expected);
  });

  it("passes over the other routes of a network address after a nexthop object of no use", () => {
    const routes = [
      route("10.0.0.0/16", [], { nextHopId: 1 }),
      route("10.0.0.0/8", ["dev up1"]),
      route("0.0.0.0/0", ["dev up1"], { priority: 5 }),
    ];
    const of = flow("10.0.0.1", { oif: index("up1"), source: "192.0.1.1" });
    const { verdicts } = simulate(snapshot(4, { routes, nextHops: { 1: "via 192.0.0.2 dev up0" } }), of);
    expect(verdicts[0].route?.length).toBe(0);
  });

  it("names other default routes of the same metric, which the kernel may prefer", () => {
    const routes = ["192.0.0.2 dev up0", "192.0.1.2 dev up1"].map((via) => route("0.0.0.0/0", [`via ${via}`]));
    expect(decide({ routes }, flow("10.0.0.1", { source: "192.0.0.1" }))).toBe("via 192.0.0.2 up0; via 192.0.1.2 up1");
  });
});

describe("IPv4 addresses", () => {
  const routes = [route("0.0.0.0/0", ["via 192.0.0.2 dev up0"])];
  it.each([
    ["a source of all zeros is none", flow("10.0.0.1", { source: "0.0.0.0" }), "via 192.0.0.2 up0"],
    ["a source that is not the host's", flow("10.0.0.1", { source: "10.0.0.77" }), "ENETUNREACH"],
    ["0.0.0.0/8 is a network like others", flow("0.0.0.9", { source: "192.0.0.1" }), "via 192.0.0.2 up0"],
    ["0.0.0.0 is the sender itself", flow("0.0.0.0"), "lo src 127.0.0.1"],
    [
      "a loopback source must not leave, not even as multicast",
      flow("224.0.0.5", { source: "127.0.0.1", oif: index("up0") }),
      "EINVAL",
    ],
    ["limited broadcast goes without a gateway", flow("255.255.255.255"), "up0 src 192.0.0.1"],
    ["multicast by a default route too", flow("239.1.1.1"), "up0 src 192.0.0.1"],
    ["an own address", flow("192.0.1.1"), "lo table 255 src 192.0.1.1"],
  ])("%s", (_, of, expected) => {
    expect(decide({ routes }, of)).toBe(expected);
  });
});

describe("IPv6 tables", () => {
  const connected = route("2001:db8:1::/64", ["dev up1"], { priority: 256 });
  it.each([
    [
      "the lower metric",
      [route("3fff::/20", ["dev up0"], { priority: 20 }), route("3fff::/20", ["dev up1"], { priority: 10 })],
      flow("3fff::1"),
      "up1",
    ],
    [
      "the router's preference before the place",
      [route("3fff::/20", ["via fe80::1 dev up0"]), route("3fff::/20", ["via fe80::2 dev up1"], { preference: 1 })],
      flow("3fff::1"),
      "via fe80::2 up1",
    ],
    [
      "all higher metrics together when the lowest is dead",
      [
        route("3fff::/20", ["dev dark dead"], { priority: 1 }),
        route("3fff::/20", ["dev up0"], { priority: 2 }),
        route("3fff::/20", ["dev up1"], { priority: 3, preference: 1 }),
      ],
      flow("3fff::1"),
      "up1",
    ],
    [
      "by source",
      [route("3fff::/20", ["dev up0"]), route("3fff::/20", ["dev up1"], { from: "2001:db8::/64" })],
      flow("3fff::1", { source: "2001:db8::1" }),
      "up1",
    ],
    [
      "a route for some sources hides its own prefix from others",
      [connected, route("2001:db8:1::/64", ["dev up0"], { from: "2001:db8::/64" })],
      flow("2001:db8:1::7", { source: "2001:db8:1::1" }),
      "ENETUNREACH",
    ],
    [
      "but not the default route",
      [route("::/0", ["dev up1"]), route("::/0", ["dev up0"], { from: "2001:db8::/64" })],
      flow("3fff::7", { source: "2001:db8:1::1" }),
      "up1",
    ],
    [
      "a blackhole object wins over what was found before",
      [route("3fff::/20", ["dev up0"]), route("3fff::/20", [], { nextHopId: 9 })],
      flow("3fff::1"),
      "EINVAL",
    ],
    [
      "a local route leads to lo, also for a link-local address",
      [route("::/0", ["dev up1"], { type: 2 })],
      flow("fe80::7", { source: "2001:db8::1" }),
      "lo",
    ],
    [
      "link-local is nothing without an interface",
      [route("fe80::/64", ["dev up0"]), route("fe80::/64", ["dev up1"])],
      flow("fe80::7", { oif: index("up1") }),
      "up1",
    ],
  ])("%s", (_, routes, of, expected) => {
    expect(decide({ routes, nextHops: { 9: "blackhole" } }, of)).toBe(expected);
  });
});

describe("a packet that arrives", () => {
  const routes = [route("0.0.0.0/0", ["via 192.0.0.2 dev up0"]), route("192.0.1.0/24", ["dev up1"])];
  const arrives = (by: string, source: string, more: Partial<Flow> = {}) => ({
    ...flow("10.0.0.1", { source, iif: index(by) }),
    ...more,
  });
  it.each([
    ["is forwarded", {}, arrives("up1", "192.0.1.9"), "via 192.0.0.2 up0"],
    ["not with forwarding off", { forwarding: false }, arrives("up1", "192.0.1.9"), "EHOSTUNREACH"],
    [
      "strict rp_filter: the way back is another",
      { rpFilter: 1 },
      arrives("up1", "198.51.100.9"),
      "refused; via 192.0.0.2 up0",
    ],
    ["loose rp_filter: there is a way back", { rpFilter: 2 }, arrives("up1", "198.51.100.9"), "via 192.0.0.2 up0"],
    ["from an address of this host", {}, arrives("up1", "192.0.0.1"), "refused; via 192.0.0.2 up0"],
    ["from an address of this host, accepted", { acceptLocal: true }, arrives("up1", "192.0.0.1"), "via 192.0.0.2 up0"],
    ["from a loopback address", {}, arrives("up1", "127.0.0.1"), "EINVAL"],
    ["for this host", {}, { ...arrives("up1", "192.0.1.9"), destination: bytes("192.0.0.1") }, "lo table 255"],
  ])("%s", (_, settings, of, expected) => {
    expect(decide({ routes, settings }, of)).toBe(expected);
  });

  it("may pass the check of its source by one member and not by another", () => {
    const routes = [
      route("10.0.0.0/8", ["dev up1", "via 192.0.2.3 dev up2"]),
      route("0.0.0.0/0", ["dev up1"], { table: 101 }),
    ];
    const rules = [
      rule(0, { table: 255 }),
      rule(40, { iif: "up1", fwmark: 3, fwmask: 0xffffffff, table: 101 }),
      rule(32766),
    ];
    const world = { rules, routes, settings: { rpFilter: 2, sourceValidMark: true } };
    const of = arrives("up2", "198.51.100.9", { mark: 3 });
    expect(decide(world, of)).toBe("up1; EINVAL");
    expect(goesSomewhere(simulate(snapshot(4, world), of))).toBe(true);
    const unmarked = arrives("up2", "198.51.100.9");
    expect(goesSomewhere(simulate(snapshot(4, world), unmarked))).toBe(false);
  });
});

describe("the source", () => {
  it("of an IPv6 ECMP route is not known from a dump, which has one for all members", () => {
    const preferredSource = bytes("2001:db8::1");
    const joined = [route("3fff::/20", ["via fe80::1 dev dark dead", "via fe80::2 dev up1"], { preferredSource })];
    expect(decide({ routes: joined }, flow("3fff::1"))).toBe("via fe80::2 up1");
    const single = [route("3fff::/20", ["via fe80::2 dev up1"], { preferredSource })];
    expect(decide({ routes: single }, flow("3fff::1"))).toBe("via fe80::2 up1 src 2001:db8::1");
  });
});

describe("the kernel's answer", () => {
  it("is another route of the same nexthop object at times, for IPv6", () => {
    const nextHops = { 7: "via fe80::1 dev up0" };
    const said = route("::/0", ["via fe80::1 dev up0"], { nextHopId: 7, table: 100 });
    const of = flow("3fff::1");
    const explanation = simulate(snapshot(6, { routes: [route("3fff::/20", [], { nextHopId: 7 })], nextHops }), of);
    expect(disagreement(explanation, of, { error: null, decision: said, match: said })).toBeNull();
    const other = { ...said, hops: [{ ...said.hops[0], gateway: bytes("fe80::2") }] };
    expect(disagreement(explanation, of, { error: null, decision: other, match: said })).toMatch(
      /fe80::1 on interface 2 expected/,
    );
  });

  it("differs", () => {
    const of = flow("10.0.0.1", { source: "192.0.0.1" });
    const explanation = simulate(snapshot(4, { routes: [route("10.0.0.0/8", ["dev up0"])] }), of);
    const answer = (decision: ReturnType<typeof route>) =>
      disagreement(explanation, of, { error: null, decision, match: decision });
    expect(answer(route("10.0.0.0/8", ["dev up0"]))).toBeNull();
    expect(answer(route("10.0.0.0/8", ["dev up1"]))).toMatch(
      /next hop interface 2 expected, the kernel says interface 3/,
    );
    expect(answer(route("10.0.0.0/8", ["dev up0"], { table: 7 }))).toMatch(/table 254 expected/);
    expect(answer(route("10.0.0.0/9", ["dev up0"]))).toMatch(/route 10.0.0.0\/8/);
    const error = { code: "ENETUNREACH", text: "ENETUNREACH" };
    expect(disagreement(explanation, of, { error, decision: null, match: null })).toMatch(/a route expected/);
  });
});
