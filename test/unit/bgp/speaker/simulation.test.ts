// biome-ignore-all lint/suspicious/noThenProperty: `then` is what a policy statement calls its decision.
import { describe, expect, it } from "vitest";
import type { RouteView } from "../../../../bgp/views.ts";
import { prefix } from "../../../../net/prefix.ts";
import { type Neighbor, Simulation } from "../simulation.ts";
import { address, FakeResolver, LOCAL_ASN, negotiatedRestart, unlimited } from "../support.ts";

const gracefulRestart = negotiatedRestart;

function best(simulation: Simulation): string[] {
  return [...simulation.rib.routes({ best: true })].map((route) => `${route.prefix} ${route.peer}`).sort();
}

/** n prefixes /24 from 20.0.0.0 on. */
function many(n: number, from = 0): string[] {
  return Array.from({ length: n }, (_, i) => `20.${(from + i) >>> 8}.${(from + i) & 255}.0/24`);
}

function announceAll(neighbor: Neighbor, prefixes: readonly string[]): void {
  for (let at = 0; at < prefixes.length; at += 500) neighbor.announce(prefixes.slice(at, at + 500));
}

describe("routes pass from peer to peer", () => {
  it.each([
    ["IPv4", "10.1.0.0/16", "192.0.2.254"],
    ["IPv6", "2001:db8:1::/48", "2001:db8::fe"],
  ])("%s: announced, replaced, withdrawn", async (_, text, own) => {
    const simulation = new Simulation();
    const a = simulation.peer("a", "192.0.2.1", 65001);
    const b = simulation.peer("b", "192.0.2.2", 65002);
    a.announce([text]);
    await simulation.settle();
    expect(b.routes).toEqual([`${text} via ${own} path 65000 65001`]);
    a.announce([text], { asPath: [{ type: 2, asns: [65001, 65009] }] });
    await simulation.settle();
    expect(b.routes).toEqual([`${text} via ${own} path 65000 65001 65009`]);
    a.withdraw([text]);
    await simulation.settle();
    expect(b.routes).toEqual([]);
    expect(a.routes).toEqual([]);
    expect(simulation.rib.counts().total).toBe(0);
  });

  it("nothing goes back to where it came from", async () => {
    const simulation = new Simulation();
    const a = simulation.peer("a", "192.0.2.1", 65001);
    const b = simulation.peer("b", "192.0.2.2", 65002);
    a.announce(["10.1.0.0/16"]);
    b.announce(["10.2.0.0/16"]);
    await simulation.settle();
    expect(a.routes).toEqual(["10.2.0.0/16 via 192.0.2.254 path 65000 65002"]);
    expect(b.routes).toEqual(["10.1.0.0/16 via 192.0.2.254 path 65000 65001"]);
  });

  it("the peer that had the best path loses its own route from us when another one takes over", async () => {
    const simulation = new Simulation();
    const a = simulation.peer("a", "192.0.2.1", 65001);
    const b = simulation.peer("b", "192.0.2.2", 65002);
    a.announce(["10.1.0.0/16"], { asPath: [{ type: 2, asns: [65001, 7, 8] }] });
    await simulation.settle();
    expect(b.routes).toHaveLength(1);
    b.announce(["10.1.0.0/16"]);
    await simulation.settle();
    expect(b.routes).toEqual([]);
    expect(a.routes).toEqual(["10.1.0.0/16 via 192.0.2.254 path 65000 65002"]);
  });

  it("End-of-RIB comes after the initial table, once per family", async () => {
    const simulation = new Simulation();
    const a = simulation.peer("a", "192.0.2.1", 65001);
    announceAll(a, many(3000));
    const b = simulation.peer("b", "192.0.2.2", 65002);
    await simulation.settle();
    expect(b.table.size).toBe(3000);
    expect(b.endOfRibs.sort()).toEqual([4, 6]);
  });

  it("a loop, an unknown next hop and our own address are not used", async () => {
    const resolver = new FakeResolver();
    resolver.unreachable.add(String(address("192.0.2.9")));
    const simulation = new Simulation({ resolver });
    const a = simulation.peer("a", "192.0.2.1", 65001);
    a.announce(["10.1.0.0/16"], { asPath: [{ type: 2, asns: [65001, LOCAL_ASN] }] });
    a.announce(["10.2.0.0/16"], { nextHop: address("192.0.2.9") });
    a.announce(["10.3.0.0/16"], { nextHop: address("192.0.2.254") });
    a.announce(["10.4.0.0/16"]);
    expect(best(simulation)).toEqual(["10.4.0.0/16 a"]);
    const received = [...simulation.rib.received("a", {})];
    expect(received.map((route) => [route.prefix, route.rejected])).toEqual([
      ["10.1.0.0/16", "AS loop"],
      ["10.2.0.0/16", "unresolved next hop"],
      ["10.3.0.0/16", "unresolved next hop"],
      ["10.4.0.0/16", null],
    ]);
  });

  it("tables are apart", async () => {
    const simulation = new Simulation();
    const a = simulation.peer("a", "192.0.2.1", 65001);
    const b = simulation.peer("b", "192.0.2.2", 65002, { table: 7200 });
    a.announce(["10.1.0.0/16"]);
    await simulation.settle();
    expect(b.routes).toEqual([]);
    expect([...simulation.rib.routes({ table: "storage" })]).toEqual([]);
    expect([...simulation.rib.routes({ table: "fabric" })]).toHaveLength(1);
  });
});

describe("what is announced to whom", () => {
  it("iBGP: next hop, MED and path unchanged, LOCAL_PREF added; not from iBGP to iBGP", async () => {
    const simulation = new Simulation();
    const external = simulation.peer("external", "192.0.2.1", 65001);
    const internal = simulation.peer("internal", "192.0.2.2", LOCAL_ASN);
    const other = simulation.peer("other", "192.0.2.3", LOCAL_ASN);
    external.announce(["10.1.0.0/16"], { med: 50 });
    internal.announce(["10.2.0.0/16"], { localPref: 300 });
    await simulation.settle();
    expect(other.routes).toEqual(["10.1.0.0/16 via 192.0.2.1 path 65001"]);
    expect(other.table.get("10.1.0.0/16")).toMatchObject({ med: 50, localPref: 100 });
    expect(external.routes).toEqual(["10.2.0.0/16 via 192.0.2.254 path 65000"]);
    expect(external.table.get("10.2.0.0/16")).toMatchObject({ med: null, localPref: null });
  });

  it.each([
    [0xffffff01, { external: 0, internal: 1 }],
    [0xffffff02, { external: 0, internal: 0 }],
    [0xffffff03, { external: 0, internal: 1 }],
    [0x00010001, { external: 1, internal: 1 }],
  ])("community %x", async (community, expected) => {
    const simulation = new Simulation();
    const a = simulation.peer("a", "192.0.2.1", 65001);
    const external = simulation.peer("external", "192.0.2.2", 65002);
    const internal = simulation.peer("internal", "192.0.2.3", LOCAL_ASN);
    a.announce(["10.1.0.0/16"], { communities: [community] });
    await simulation.settle();
    expect({ external: external.table.size, internal: internal.table.size }).toEqual(expected);
  });

  it("blocks: our own routes only, by `blocks` and by `all`", async () => {
    const simulation = new Simulation();
    const a = simulation.peer("a", "192.0.2.1", 65001, { export: "blocks" });
    const b = simulation.peer("b", "192.0.2.2", 65002, { export: "all" });
    const c = simulation.peer("c", "192.0.2.3", 65003, { export: "none" });
    b.announce(["10.9.0.0/16"]);
    for (const text of ["10.244.1.0/26", "2001:db8:244:1::/122"]) simulation.rib.announceLocal(7100, prefix(text));
    await simulation.settle();
    const own = ["10.244.1.0/26 via 192.0.2.254 path 65000", "2001:db8:244:1::/122 via 2001:db8::fe path 65000"];
    expect(a.routes).toEqual(own);
    expect(b.routes).toEqual(own);
    expect(c.routes).toEqual([]);
    expect(c.endOfRibs.sort()).toEqual([4, 6]);
    simulation.rib.withdrawLocal(7100, prefix("10.244.1.0/26"));
    await simulation.settle();
    expect(a.routes).toEqual(own.slice(1));
  });

  it("IPv4 over an IPv6 session: RFC 8950 where negotiated, otherwise not at all", async () => {
    const simulation = new Simulation();
    const a = simulation.peer("a", "192.0.2.1", 65001);
    const modern = simulation.peer("modern", "2001:db8::2", 65002, {}, { extendedNextHop: true });
    const old = simulation.peer("old", "2001:db8::3", 65003, {}, { extendedNextHop: false });
    a.announce(["10.1.0.0/16"]);
    await simulation.settle();
    expect(modern.routes).toEqual(["10.1.0.0/16 via 2001:db8::fe path 65000 65001"]);
    expect(modern.table.get("10.1.0.0/16")?.linkLocalNextHop).toEqual(address("fe80::fe"));
    expect(old.routes).toEqual([]);
    a.withdraw(["10.1.0.0/16"]);
    await simulation.settle();
    expect(modern.routes).toEqual([]);
  });

  it("an IPv4 route with an IPv6 next hop is forwarded to its link-local address", async () => {
    const simulation = new Simulation();
    const a = simulation.peer(
      "a",
      "fe80::1",
      65001,
      {},
      {
        extendedNextHop: true,
        ifindex: 7,
        localAddress: address("fe80::fe"),
      },
    );
    a.announce(["10.1.0.0/16"], { nextHop: address("2001:db8::1"), linkLocalNextHop: address("fe80::1") });
    await simulation.settle();
    const [locRib] = simulation.rib.locRibs();
    const ids = new Uint32Array(4);
    expect(locRib.subscribe(() => {}).take(ids)).toBe(1);
    expect(locRib.nextHopSetMembers(locRib.nextHopSetOf(ids[0]))).toEqual([
      { ifindex: 7, gateway: address("fe80::1"), weight: 1 },
    ]);
  });
});

describe("sessions that end", () => {
  it("an ungraceful end withdraws everything, in slices, and the peer may be back before that is done", async () => {
    const simulation = new Simulation();
    const a = simulation.peer("a", "192.0.2.1", 65001);
    const b = simulation.peer("b", "192.0.2.2", 65002);
    announceAll(a, many(10_000));
    await simulation.settle();
    expect(b.table.size).toBe(10_000);
    a.down();
    a.up();
    a.announce(many(10), { asPath: [{ type: 2, asns: [65001, 9] }] });
    await simulation.settle();
    expect(b.table.size).toBe(10);
    expect(b.routes[0]).toBe("20.0.0.0/24 via 192.0.2.254 path 65000 65001 9");
    expect(simulation.rib.counts().total).toBe(10);
  });

  it("another peer's route takes over at once where the first one's is doomed", async () => {
    const simulation = new Simulation();
    const a = simulation.peer("a", "192.0.2.1", 65001);
    const b = simulation.peer("b", "192.0.2.2", 65002);
    const c = simulation.peer("c", "192.0.2.3", 65003);
    announceAll(a, many(5000));
    await simulation.settle();
    a.down();
    b.announce(many(1));
    await simulation.settle();
    expect(c.routes).toEqual(["20.0.0.0/24 via 192.0.2.254 path 65000 65002"]);
  });

  it("graceful restart: stale routes are kept, refreshed, and dropped at End-of-RIB", async () => {
    const simulation = new Simulation();
    const a = simulation.peer("a", "192.0.2.1", 65001, {}, { gracefulRestart });
    const b = simulation.peer("b", "192.0.2.2", 65002);
    a.announce(["10.1.0.0/16", "10.2.0.0/16"]);
    a.announce(["2001:db8:1::/48"]);
    await simulation.settle();
    a.down(true);
    await simulation.settle();
    expect(b.table.size).toBe(3);
    expect([...simulation.rib.routes()].every((route: RouteView) => route.stale)).toBe(true);
    a.up({ gracefulRestart: { ...gracefulRestart, restarting: true } });
    a.announce(["10.2.0.0/16"]);
    await simulation.settle();
    expect(b.table.size).toBe(3);
    a.endOfRib(4);
    await simulation.settle();
    expect([...b.table.keys()].sort()).toEqual(["10.2.0.0/16", "2001:db8:1::/48"]);
    a.endOfRib(6);
    await simulation.settle();
    expect([...b.table.keys()]).toEqual(["10.2.0.0/16"]);
    expect([...simulation.rib.routes()].map((route) => route.stale)).toEqual([false]);
  });

  it("graceful restart: the restart time ends it", async () => {
    const simulation = new Simulation();
    const a = simulation.peer("a", "192.0.2.1", 65001, {}, { gracefulRestart });
    a.announce(["10.1.0.0/16"]);
    a.down(true);
    simulation.clock.advance(119_000);
    await simulation.settle();
    expect(simulation.rib.counts().total).toBe(1);
    simulation.clock.advance(2_000);
    await simulation.settle();
    expect(simulation.rib.counts().total).toBe(0);
  });

  it("graceful restart: a neighbour that lost its forwarding state loses its stale routes at once", async () => {
    const simulation = new Simulation();
    const a = simulation.peer("a", "192.0.2.1", 65001, {}, { gracefulRestart });
    a.announce(["10.1.0.0/16"]);
    a.down(true);
    a.up({ gracefulRestart: { ...gracefulRestart, restarting: true, families: new Map([[4, false]]) } });
    await simulation.settle();
    expect(simulation.rib.counts().total).toBe(0);
  });

  it("a stale path is not used beside a fresh one, and is again when it has been refreshed", async () => {
    const simulation = new Simulation();
    const a = simulation.peer("a", "192.0.2.1", 65001, {}, { gracefulRestart });
    const b = simulation.peer("b", "192.0.2.2", 65002, {}, { gracefulRestart });
    a.announce(["10.1.0.0/16"]);
    b.announce(["10.1.0.0/16"]);
    expect([...simulation.rib.routes()].map((route) => route.multipath)).toEqual([true, true]);
    a.down(true);
    await simulation.settle();
    const [locRib] = simulation.rib.locRibs();
    const ids = new Uint32Array(1);
    const subscription = locRib.subscribe(() => {});
    expect(subscription.take(ids)).toBe(1);
    expect(locRib.nextHopSetMembers(locRib.nextHopSetOf(ids[0]))).toHaveLength(1);
    const routes = [...simulation.rib.routes()];
    expect(routes.map((route) => [route.peer, route.best, route.multipath, route.stale])).toEqual([
      ["b", true, false, false],
      ["a", false, false, true],
    ]);
    a.up({ gracefulRestart });
    a.announce(["10.1.0.0/16"]);
    expect(subscription.take(ids)).toBe(1);
    expect(locRib.nextHopSetMembers(locRib.nextHopSetOf(ids[0]))).toHaveLength(2);
  });

  it("a removed peer leaves nothing, and its name can be used again", async () => {
    const simulation = new Simulation();
    const a = simulation.peer("a", "192.0.2.1", 65001);
    announceAll(a, many(3000));
    simulation.rib.removePeer("a");
    const again = simulation.peer("a", "192.0.2.1", 65001);
    again.announce(many(2));
    await simulation.settle();
    expect(simulation.rib.counts().total).toBe(2);
    expect(() => simulation.rib.received("b", {})).toThrow('no peer "b"; there are: a');
  });
});

describe("limits and pressure", () => {
  it("maxPrefixes ends the session with Cease/1", () => {
    const simulation = new Simulation();
    const a = simulation.peer("a", "192.0.2.1", 65001, { maxPrefixes: { ...unlimited, total: 5 } });
    a.announce(many(5));
    expect(a.session.resets).toEqual([]);
    a.announce(many(1, 5));
    expect(a.session.resets).toMatchObject([{ code: 6, subcode: 1, data: Uint8Array.of(0, 1, 1, 0, 0, 0, 5) }]);
  });

  it("a slow reader gets the present state, not the history", async () => {
    const simulation = new Simulation();
    const a = simulation.peer("a", "192.0.2.1", 65001);
    const b = simulation.peer("b", "192.0.2.2", 65002);
    await simulation.settle();
    b.open = false;
    announceAll(a, many(30_000));
    await simulation.settle();
    const first = b.table.size;
    expect(first).toBeGreaterThan(0);
    expect(first).toBeLessThan(30_000);
    for (let round = 0; round < 5; round++) announceAll(a, many(25_000));
    for (let at = 0; at < 30_000; at += 500) a.withdraw(many(500, at));
    a.announce(["10.1.0.0/16"]);
    b.messages.length = 0;
    b.open = true;
    simulation.rib.writable(b.session);
    await simulation.settle();
    expect(b.routes).toEqual(["10.1.0.0/16 via 192.0.2.254 path 65000 65001"]);
    expect(b.messages.length).toBeLessThan(60);
  });

  it("route refresh sends the family again", async () => {
    const simulation = new Simulation();
    const a = simulation.peer("a", "192.0.2.1", 65001);
    const b = simulation.peer("b", "192.0.2.2", 65002);
    a.announce(many(10));
    a.announce(["2001:db8:1::/48"]);
    await simulation.settle();
    b.table.clear();
    simulation.rib.routeRefresh(b.session, 4);
    await simulation.settle();
    expect(b.table.size).toBe(10);
  });

  it("RFC 7606: routes with broken attributes are withdrawn, the session stays", async () => {
    const simulation = new Simulation();
    const a = simulation.peer("a", "192.0.2.1", 65001);
    a.announce(["10.1.0.0/16", "10.2.0.0/16"]);
    const body = Uint8Array.from(a.announcement(["10.1.0.0/16"]));
    // ORIGIN's value.
    const at = body.findIndex((octet, i) => octet === 0x40 && body[i + 1] === 1);
    body[at + 3] = 9;
    a.feed(body);
    expect(best(simulation)).toEqual(["10.2.0.0/16 a"]);
    expect(a.session.resets).toEqual([]);
    const status = { name: "a", lastError: null } as never;
    const view = simulation.rib.peerView(status);
    expect(view.errors.treatedAsWithdrawn).toBe(1);
    expect(view.lastError).toMatch(/ORIGIN/);
  });
});

describe("next hops", () => {
  it("a change of reachability decides again, and tells who forwards by the set at once", async () => {
    const resolver = new FakeResolver();
    const simulation = new Simulation({ resolver });
    const a = simulation.peer("a", "192.0.2.1", 65001);
    const b = simulation.peer("b", "192.0.2.2", 65002);
    a.announce(["10.1.0.0/16"]);
    b.announce(["10.1.0.0/16"]);
    const [locRib] = simulation.rib.locRibs();
    const ids = new Uint32Array(4);
    const subscription = locRib.subscribe(() => {});
    expect(subscription.take(ids)).toBe(1);
    const both = locRib.nextHopSetOf(ids[0]);
    expect(locRib.nextHopSetMembers(both)).toHaveLength(2);
    const changed: number[] = [];
    locRib.onNextHopSetChanged((set) => changed.push(set));
    resolver.set("192.0.2.1", "unreachable");
    expect(changed).toContain(both);
    expect(locRib.nextHopSetMembers(both)).toHaveLength(1);
    await simulation.settle();
    expect(subscription.take(ids)).toBe(1);
    expect(locRib.nextHopSetOf(ids[0])).not.toBe(both);
    expect(best(simulation)).toEqual(["10.1.0.0/16 b"]);
    const released: number[] = [];
    locRib.onNextHopSetReleased((set) => released.push(set));
    simulation.clock.advance(1500);
    await simulation.settle();
    expect(released).toContain(both);
    resolver.set("192.0.2.1", "reachable");
    await simulation.settle();
    expect(best(simulation)).toEqual(["10.1.0.0/16 a", "10.1.0.0/16 b"]);
  });
});

describe("policies on a running session", () => {
  it("import and export are applied to what is there", async () => {
    const simulation = new Simulation();
    const a = simulation.peer("a", "192.0.2.1", 65001);
    const b = simulation.peer("b", "192.0.2.2", 65002);
    a.announce(["0.0.0.0/0", "10.1.0.0/16"]);
    await simulation.settle();
    expect(b.table.size).toBe(2);
    simulation.rib.setPolicies({ ...a.options, import: "default-route" });
    await simulation.settle();
    expect([...b.table.keys()]).toEqual(["0.0.0.0/0"]);
    expect(simulation.rib.peerView({ name: "a" } as never)).toMatchObject({ received: 2, accepted: 1 });
    simulation.rib.setPolicies({ ...b.options, export: "none" });
    await simulation.settle();
    expect(b.table.size).toBe(0);
    simulation.rib.setPolicies({ ...b.options, export: "all" });
    await simulation.settle();
    expect(b.table.size).toBe(1);
  });

  it("a policy of the configuration may be called like a built-in one", async () => {
    const simulation = new Simulation();
    const none = { name: "none", statements: [{ match: {}, set: {}, then: "accept" as const }] };
    const a = simulation.peer("a", "192.0.2.1", 65001);
    const b = simulation.peer("b", "192.0.2.2", 65002, { export: none });
    a.announce(["10.1.0.0/16"]);
    await simulation.settle();
    expect(b.table.size).toBe(1);
  });

  it("local preference by policy decides, and derived attributes are shared and freed", async () => {
    const simulation = new Simulation();
    const prefer = {
      name: "prefer",
      statements: [{ match: {}, set: { localPref: 200 }, then: "accept" as const }],
    };
    const a = simulation.peer("a", "192.0.2.1", 65001);
    const b = simulation.peer("b", "192.0.2.2", 65002, { import: prefer });
    a.announce(["10.1.0.0/16"]);
    b.announce(["10.1.0.0/16"], { asPath: [{ type: 2, asns: [65002, 1, 2, 3] }] });
    expect(best(simulation)).toEqual(["10.1.0.0/16 b"]);
    b.withdraw(["10.1.0.0/16"]);
    a.withdraw(["10.1.0.0/16"]);
    for (let i = 0; i < 4; i++) {
      simulation.clock.advance(1500);
      await simulation.settle();
    }
    expect(simulation.rib.memory()).toMatchObject({ prefixes: 0, attributeSets: 0, outgoingSets: 0 });
  });
});

describe("watching", () => {
  it("route events are coalesced, with a sample and a count", async () => {
    const simulation = new Simulation();
    const a = simulation.peer("a", "192.0.2.1", 65001);
    const events: unknown[] = [];
    const end = simulation.rib.onEvent((event) => events.push(event));
    announceAll(a, many(1000));
    expect(events).toEqual([]);
    simulation.clock.advance(100);
    expect(events).toHaveLength(1);
    expect(events[0]).toMatchObject({ type: "route", table: "fabric", family: 4, count: 1000 });
    end();
    a.withdraw(many(10));
    simulation.clock.advance(1000);
    expect(events).toHaveLength(1);
  });

  it("convergence: all peers' End-of-RIBs, or the deferral", async () => {
    const simulation = new Simulation();
    const a = simulation.peer("a", "192.0.2.1", 65001, {}, { gracefulRestart });
    const b = simulation.peer("b", "192.0.2.2", 65002, {}, { gracefulRestart: null });
    const reached: string[] = [];
    simulation.rib.onConverged(() => reached.push("peers"), 600);
    simulation.rib.onConverged(() => reached.push("deferral"), 1);
    simulation.clock.advance(1000);
    expect(reached).toEqual(["deferral"]);
    a.endOfRib(4);
    a.endOfRib(6);
    b.announce(["10.1.0.0/16"]);
    simulation.clock.advance(4100);
    expect(reached).toEqual(["deferral"]);
    simulation.clock.advance(5000);
    expect(reached).toEqual(["deferral", "peers"]);
  });

  it("longest match, exact match, bad queries", () => {
    const simulation = new Simulation();
    const a = simulation.peer("a", "192.0.2.1", 65001);
    a.announce(["0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16"]);
    const of = (text: string) => [...simulation.rib.routes({ prefix: text })].map((route) => route.prefix);
    expect(of("10.1.2.3")).toEqual(["10.1.0.0/16"]);
    expect(of("10.2.2.3")).toEqual(["10.0.0.0/8"]);
    expect(of("8.8.8.8")).toEqual(["0.0.0.0/0"]);
    expect(of("10.0.0.0/8")).toEqual(["10.0.0.0/8"]);
    expect(of("10.0.0.0/9")).toEqual([]);
    expect(of("2001:db8::1")).toEqual([]);
    for (const bad of ["10.0.0.1/8", "nonsense", "10.0.0.0/33"]) expect(() => of(bad)).toThrow(RangeError);
    expect(() => simulation.rib.routes({ table: "x" })).toThrow('no table "x"; there are: fabric, storage');
  });
});
