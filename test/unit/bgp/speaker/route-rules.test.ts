// biome-ignore-all lint/suspicious/noThenProperty: `then` is what a policy statement calls its decision.
// What a peer's rules make of its routes, seen from the neighbours: AS paths, reflection, roles, graceful shutdown.
import { describe, expect, it } from "vitest";
import type { PeerStatus } from "../../../../bgp/session/types.ts";
import type { PathAttributes } from "../../../../bgp/wire/path-attributes.ts";
import { Role, WellKnownCommunity } from "../../../../bgp/wire/registry.ts";
import { prefix } from "../../../../net/prefix.ts";
import { type Neighbor, Simulation } from "../simulation.ts";
import { LOCAL_ASN } from "../support.ts";

const P = "10.1.0.0/16";
const ROUTER_ID = 0x0a000001;
const path = (...asns: number[]) => ({ asPath: [{ type: 2 as const, asns }] });
const pathTo = (neighbor: Neighbor, text = P) => neighbor.table.get(text)?.asPath.map(({ asns }) => asns);

async function sent(neighbor: Neighbor, from: Neighbor, attributes: Partial<PathAttributes>) {
  from.announce([P], attributes);
  await settle();
  return neighbor.table.get(P);
}
async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await new Promise(setImmediate);
}

function rejected(simulation: Simulation, peer: string): (string | null)[] {
  return [...simulation.rib.received(peer)].map((route) => route.rejected);
}

describe("another AS number towards a neighbour", () => {
  const two = (options: object) => {
    const simulation = new Simulation();
    const a = simulation.peer("a", "192.0.2.1", 65001, { localAsn: 65055, ...options });
    return { simulation, a, b: simulation.peer("b", "192.0.2.2", 65002) };
  };

  it("stands in front of the node's own in what is sent, and in front of what is received", async () => {
    const { a, b } = two({ prependReceived: true });
    a.announce([P]);
    b.announce(["10.2.0.0/16"]);
    await settle();
    expect(pathTo(b)).toEqual([[LOCAL_ASN, 65055, 65001]]);
    expect(pathTo(a, "10.2.0.0/16")).toEqual([[65055, LOCAL_ASN, 65002]]);
  });

  it("noPrepend and replaceAs", async () => {
    const { a, b } = two({ hideNodeAsn: true });
    a.announce([P]);
    b.announce(["10.2.0.0/16"]);
    await settle();
    expect(pathTo(b)).toEqual([[LOCAL_ASN, 65001]]);
    expect(pathTo(a, "10.2.0.0/16")).toEqual([[65055, 65002]]);
  });

  it("both are looked for in received paths", () => {
    const { simulation, a } = two({});
    a.announce(["10.1.0.0/16"], path(65001, LOCAL_ASN));
    a.announce(["10.2.0.0/16"], path(65001, 65055));
    a.announce(["10.3.0.0/16"], path(65001, 65056));
    expect(rejected(simulation, "a")).toEqual(["AS loop", "AS loop", null]);
  });
});

describe("our own AS in received paths", () => {
  it.each([
    [0, [true, true, true, true]],
    [1, [false, true, true, false]],
    [2, [false, false, true, false]],
    ["origin" as const, [true, true, true, false]],
  ])("allowAsIn %s", (allowAsIn, loops) => {
    const simulation = new Simulation();
    const a = simulation.peer("a", "192.0.2.1", 65001, { allowAsIn });
    a.announce(["10.1.0.0/16"], path(65001, LOCAL_ASN, 7));
    a.announce(["10.2.0.0/16"], path(65001, LOCAL_ASN, 7, LOCAL_ASN));
    a.announce(["10.3.0.0/16"], path(65001, LOCAL_ASN, LOCAL_ASN, LOCAL_ASN, 7));
    a.announce(["10.4.0.0/16"], path(65001, 7, LOCAL_ASN));
    expect(rejected(simulation, "a")).toEqual(loops.map((loop) => (loop ? "AS loop" : null)));
  });

  it("origin: however often at the end", () => {
    const simulation = new Simulation();
    const a = simulation.peer("a", "192.0.2.1", 65001, { allowAsIn: "origin" });
    a.announce(["10.1.0.0/16"], path(65001, 7, LOCAL_ASN, LOCAL_ASN));
    a.announce(["10.2.0.0/16"], { asPath: [...path(65001).asPath, { type: 1, asns: [LOCAL_ASN, 7] }] });
    expect(rejected(simulation, "a")).toEqual([null, "AS loop"]);
  });

  it("changes on a running session, both ways", async () => {
    const simulation = new Simulation();
    const a = simulation.peer("a", "192.0.2.1", 65001);
    const b = simulation.peer("b", "192.0.2.2", 65002);
    a.announce([P], path(65001, LOCAL_ASN));
    await settle();
    expect(b.table.size).toBe(0);
    simulation.rib.setPolicies({ ...a.options, allowAsIn: 1 });
    await settle();
    expect(pathTo(b)).toEqual([[LOCAL_ASN, 65001, LOCAL_ASN]]);
    simulation.rib.setPolicies(a.options);
    await settle();
    expect(b.table.size).toBe(0);
  });
});

describe("paths that are sent", () => {
  it.each([
    ["asOverride", { asOverride: true }, [65001, 65002, 7], [LOCAL_ASN, 65001, LOCAL_ASN, 7]],
    [
      "private ones among others stay",
      { removePrivateAs: { all: false, replace: false } },
      [65001, 7],
      [65000, 65001, 7],
    ],
    ["private ones alone go", { removePrivateAs: { all: false, replace: false } }, [65001, 64600], [65000]],
    [
      "... but not the neighbour's",
      { removePrivateAs: { all: false, replace: false } },
      [65001, 65002],
      [65000, 65002],
    ],
    ["private ones go", { removePrivateAs: { all: true, replace: false } }, [65001, 7, 4200000001], [65000, 7]],
    ["private ones are replaced", { removePrivateAs: { all: true, replace: true } }, [65001, 7], [65000, 65000, 7]],
    ["replaced where alone", { removePrivateAs: { all: false, replace: true } }, [65001, 64600], [65000, 65000, 65000]],
  ])("%s", async (_, options, received, expected) => {
    const simulation = new Simulation();
    const a = simulation.peer("a", "192.0.2.1", 65001);
    const b = simulation.peer("b", "192.0.2.2", 65002, options);
    await sent(b, a, path(...received));
    expect(pathTo(b)).toEqual([expected]);
  });

  it("segments that lose everything are gone, and their neighbours join", async () => {
    const simulation = new Simulation();
    const a = simulation.peer("a", "192.0.2.1", 3, { allowAsSets: true });
    const b = simulation.peer("b", "192.0.2.2", 65002, { removePrivateAs: { all: true, replace: false } });
    const asPath = [
      { type: 2 as const, asns: [3] },
      { type: 1 as const, asns: [64512] },
      { type: 2 as const, asns: [4] },
    ];
    await sent(b, a, { asPath });
    expect(pathTo(b)).toEqual([[LOCAL_ASN, 3, 4]]);
  });

  it("change on a running session", async () => {
    const simulation = new Simulation();
    const a = simulation.peer("a", "192.0.2.1", 65001);
    const b = simulation.peer("b", "192.0.2.2", 65002);
    await sent(b, a, path(65001, 65002));
    expect(pathTo(b)).toEqual([[LOCAL_ASN, 65001, 65002]]);
    simulation.rib.setPolicies({ ...b.options, asOverride: true });
    await settle();
    expect(pathTo(b)).toEqual([[LOCAL_ASN, 65001, LOCAL_ASN]]);
  });
});

describe("paths that are not to be used", () => {
  it("do not begin with the neighbour's AS", () => {
    const simulation = new Simulation();
    const a = simulation.peer("a", "192.0.2.1", 65001, { enforceFirstAs: true });
    a.announce(["10.1.0.0/16"], path(65009, 65001));
    a.announce(["10.2.0.0/16"], { asPath: [] });
    a.announce(["10.3.0.0/16"], { asPath: [{ type: 1, asns: [65001, 7] }] });
    a.announce(["10.4.0.0/16"], path(65001));
    const words = "path does not begin with the neighbour's AS";
    expect(rejected(simulation, "a")).toEqual([words, words, words, null]);
    const { lastError } = simulation.rib.peerView({ ...status, name: "a" });
    expect(lastError).toBe(
      "routes not used: the AS path does not begin with the neighbour's AS (enforceFirstAs), such as 10.3.0.0/16",
    );
  });

  it("have an AS_SET or AS_CONFED_SET, unless they may", () => {
    const simulation = new Simulation();
    const set = { asPath: [...path(65001).asPath, { type: 1 as const, asns: [7, 8] }] };
    const confed = { asPath: [{ type: 4 as const, asns: [7, 8] }] };
    const a = simulation.peer("a", "192.0.2.1", 65001);
    const b = simulation.peer("b", "192.0.2.2", LOCAL_ASN);
    const c = simulation.peer("c", "192.0.2.3", 65001, { allowAsSets: true });
    a.announce([P], set);
    b.announce([P], confed);
    c.announce([P], set);
    expect(["a", "b", "c"].flatMap((name) => rejected(simulation, name))).toEqual([
      "AS_SET in the path",
      "AS_SET in the path",
      null,
    ]);
  });
});

describe("route reflection", () => {
  const rack = (clients: readonly string[]) => {
    const simulation = new Simulation();
    const [a, b, c] = ["a", "b", "c"].map((name, i) =>
      simulation.peer(name, `192.0.2.${i + 1}`, LOCAL_ASN, { routeReflectorClient: clients.includes(name) }),
    );
    return { simulation, a, b, c, e: simulation.peer("e", "192.0.2.9", 65009) };
  };

  it("without clients nothing passes from iBGP to iBGP", async () => {
    const { a, b, c, e } = rack([]);
    a.announce([P]);
    await settle();
    expect([b, c].map(({ table }) => table.size)).toEqual([0, 0]);
    expect(pathTo(e)).toEqual([[LOCAL_ASN]]);
  });

  it("client to all, the others to clients only", async () => {
    const { a, b, c, e } = rack(["a", "b"]);
    a.announce([P]);
    c.announce(["10.3.0.0/16"]);
    e.announce(["10.9.0.0/16"]);
    await settle();
    expect([a, b, c, e].map(({ table }) => [...table.keys()].sort())).toEqual([
      ["10.3.0.0/16", "10.9.0.0/16"],
      [P, "10.3.0.0/16", "10.9.0.0/16"],
      [P, "10.9.0.0/16"],
      [P, "10.3.0.0/16"],
    ]);
  });

  it("adds originator and cluster, leaves the rest alone", async () => {
    const { a, c, e } = rack(["a"]);
    const attributes = await sent(c, a, { med: 5, localPref: 70, ...path(7) });
    expect(attributes).toMatchObject({ med: 5, localPref: 70, originatorId: 1, clusterList: [ROUTER_ID] });
    expect(attributes?.nextHop).toEqual(a.options.address);
    expect(pathTo(c)).toEqual([[7]]);
    expect(e.table.get(P)).toMatchObject({ originatorId: null, clusterList: [] });
  });

  it("keeps the originator and lengthens the list of what was reflected before", async () => {
    const { a, c } = rack(["a"]);
    expect(await sent(c, a, { originatorId: 77, clusterList: [5, 6] })).toMatchObject({
      originatorId: 77,
      clusterList: [ROUTER_ID, 5, 6],
    });
  });

  it("does not use what it has originated or reflected itself", () => {
    const { simulation, a } = rack([]);
    a.announce(["10.1.0.0/16"], { originatorId: ROUTER_ID });
    a.announce(["10.2.0.0/16"], { originatorId: 5, clusterList: [9, ROUTER_ID] });
    a.announce(["10.3.0.0/16"], { originatorId: 5, clusterList: [9, 10] });
    expect(rejected(simulation, "a")).toEqual(["originated here (ORIGINATOR_ID)", "cluster loop (CLUSTER_LIST)", null]);
  });

  it("the first client makes a reflector of a speaker that has routes already, and the last one ends it", async () => {
    const simulation = new Simulation();
    const a = simulation.peer("a", "192.0.2.1", LOCAL_ASN);
    a.announce([P]);
    const b = simulation.peer("b", "192.0.2.2", LOCAL_ASN, { routeReflectorClient: true });
    await settle();
    expect(b.table.get(P)).toMatchObject({ originatorId: 1, clusterList: [ROUTER_ID] });
    simulation.rib.removePeer("b");
    await settle();
    simulation.clock.advance(5000);
    await settle();
    expect(simulation.rib.memory()).toMatchObject({ prefixes: 1, attributeSets: 1, outgoingSets: 0 });
  });

  it("nextHopSelf: of routes from outside, force: of reflected ones too", async () => {
    for (const [nextHopSelf, expected] of [
      [false, ["192.0.2.1", "192.0.2.9"]],
      [true, ["192.0.2.1", "192.0.2.254"]],
      ["force", ["192.0.2.254", "192.0.2.254"]],
    ] as const) {
      const simulation = new Simulation();
      const a = simulation.peer("a", "192.0.2.1", LOCAL_ASN);
      const e = simulation.peer("e", "192.0.2.9", 65009);
      const b = simulation.peer("b", "192.0.2.2", LOCAL_ASN, { routeReflectorClient: true, nextHopSelf });
      a.announce([P]);
      e.announce(["10.9.0.0/16"]);
      await settle();
      expect(b.routes).toEqual([`${P} via ${expected[0]}`, `10.9.0.0/16 via ${expected[1]} path 65009`]);
    }
  });
});

describe("roles and OTC", () => {
  const { PROVIDER, CUSTOMER, PEER, ROUTE_SERVER, ROUTE_SERVER_CLIENT } = Role;
  it.each([
    ["from a customer", PROVIDER, 7, "route leak (OTC)"],
    ["from a route server's client", ROUTE_SERVER, 65001, "route leak (OTC)"],
    ["from a peer, another's", PEER, 7, "route leak (OTC)"],
    ["from a peer, its own", PEER, 65001, null],
    ["from a provider", CUSTOMER, 7, null],
    ["from a route server", ROUTE_SERVER_CLIENT, 7, null],
    ["without roles", null, 7, null],
    ["from a customer, without OTC", PROVIDER, null, null],
  ])("%s", (_, role, otc, expected) => {
    const simulation = new Simulation();
    const a = simulation.peer("a", "192.0.2.1", 65001, { role });
    a.announce([P], { otc });
    expect(rejected(simulation, "a")).toEqual([expected]);
  });

  /** Our role towards who sends -> towards who hears: the OTC heard, or that nothing is heard. */
  it.each([
    [CUSTOMER, PROVIDER, null, 65001],
    [CUSTOMER, PROVIDER, 7, 7],
    [CUSTOMER, CUSTOMER, null, "nothing"],
    [CUSTOMER, PEER, null, "nothing"],
    [CUSTOMER, ROUTE_SERVER_CLIENT, null, "nothing"],
    [CUSTOMER, null, null, 65001],
    [PEER, PROVIDER, null, 65001],
    [PEER, CUSTOMER, null, "nothing"],
    [ROUTE_SERVER_CLIENT, ROUTE_SERVER, null, 65001],
    [PROVIDER, CUSTOMER, null, null],
    [PROVIDER, PEER, null, LOCAL_ASN],
    [PROVIDER, PROVIDER, null, LOCAL_ASN],
    [PROVIDER, ROUTE_SERVER, null, LOCAL_ASN],
    [PROVIDER, ROUTE_SERVER_CLIENT, null, null],
    [null, PROVIDER, null, LOCAL_ASN],
    [null, CUSTOMER, 7, "nothing"],
    [null, null, 7, 7],
  ])("%s -> %s, OTC %s: %s", async (from, to, otc, expected) => {
    const simulation = new Simulation();
    const a = simulation.peer("a", "192.0.2.1", 65001, { role: from });
    const b = simulation.peer("b", "192.0.2.2", 65002, { role: to });
    const heard = await sent(b, a, { otc });
    expect(heard ? heard.otc : "nothing").toBe(expected);
  });

  it("within our AS it is kept, and a role there means nothing", async () => {
    const simulation = new Simulation();
    const a = simulation.peer("a", "192.0.2.1", 65001, { role: CUSTOMER });
    const b = simulation.peer("b", "192.0.2.2", LOCAL_ASN, { role: CUSTOMER });
    expect(await sent(b, a, {})).toMatchObject({ otc: 65001 });
  });
});

describe("graceful shutdown", () => {
  const marked = { communities: [WellKnownCommunity.GRACEFUL_SHUTDOWN, 7] };

  it("makes a route from another AS the last choice, whatever the policy says", async () => {
    const simulation = new Simulation();
    const raise = { name: "raise", statements: [{ match: {}, set: { localPref: 500 }, then: "accept" as const }] };
    const a = simulation.peer("a", "192.0.2.1", 65001, { import: raise });
    const b = simulation.peer("b", "192.0.2.2", 65002);
    a.announce([P]);
    b.announce([P]);
    const best = () => [...simulation.rib.routes({ best: true })].map((route) => route.peer);
    expect(best()).toEqual(["a"]);
    a.announce([P], marked);
    expect(best()).toEqual(["b"]);
    expect([...simulation.rib.routes()].find(({ peer }) => peer === "a")?.localPref).toBe(0);
    simulation.rib.setPolicies({ ...a.options, honorGracefulShutdown: false });
    await settle();
    expect(best()).toEqual(["a"]);
  });

  it("is nothing to a route within our AS, whose LOCAL_PREF says it already", () => {
    const simulation = new Simulation();
    const a = simulation.peer("a", "192.0.2.1", LOCAL_ASN);
    a.announce([P], { ...marked, localPref: 100 });
    expect([...simulation.rib.routes()][0].localPref).toBe(100);
  });

  it("of a session: all that is sent is marked, all that came is the last choice, and back", async () => {
    const simulation = new Simulation();
    const a = simulation.peer("a", "192.0.2.1", 65001);
    const b = simulation.peer("b", "192.0.2.2", 65002);
    simulation.rib.announceLocal(7100, prefix("10.244.1.0/26"));
    a.announce([P], path(65001));
    b.announce([P], path(65002, 7, 8));
    await settle();
    const best = () => [...simulation.rib.routes({ best: true })].map((route) => route.peer).sort();
    expect(best()).toEqual(["a", "local"]);
    simulation.rib.setPolicies({ ...a.options, gracefulShutdown: true });
    await settle();
    expect(best()).toEqual(["b", "local"]);
    expect(a.table.get("10.244.1.0/26")?.communities).toEqual([WellKnownCommunity.GRACEFUL_SHUTDOWN]);
    expect(a.table.get(P)?.communities).toEqual([WellKnownCommunity.GRACEFUL_SHUTDOWN]);
    expect(b.table.get("10.244.1.0/26")?.communities).toEqual([]);
    simulation.rib.setPolicies(a.options);
    await settle();
    expect(best()).toEqual(["a", "local"]);
    expect(a.table.get("10.244.1.0/26")?.communities).toEqual([]);
  });
});

describe("extended communities", () => {
  it("non-transitive ones stay in the AS, unless a neighbour within it is told (RFC 4360 §6)", async () => {
    const simulation = new Simulation();
    const a = simulation.peer("a", "192.0.2.1", 65001);
    const b = simulation.peer("b", "192.0.2.2", 65002);
    const c = simulation.peer("c", "192.0.2.3", LOCAL_ASN);
    const extendedCommunities = [[0x4004fde9, 5] as const, [0x0002fde9, 6] as const];
    await sent(b, a, { extendedCommunities });
    expect(b.table.get(P)?.extendedCommunities).toEqual([[0x0002fde9, 6]]);
    expect(c.table.get(P)?.extendedCommunities).toEqual(extendedCommunities);
  });
});

const status = { name: "", lastError: null, lastErrorAt: null } as unknown as PeerStatus;
