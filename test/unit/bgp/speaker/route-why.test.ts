// Why a route is used, or not, and why a neighbour is told, or not.
// biome-ignore-all lint/suspicious/noThenProperty: `then` is what a policy statement calls its decision.
import { describe, expect, it } from "vitest";
import { routesTold, routesWhy } from "../../../../bgp/route-why.ts";
import { Role, WellKnownCommunity } from "../../../../bgp/wire/registry.ts";
import { prefix } from "../../../../net/prefix.ts";
import { Simulation } from "../simulation.ts";
import { address, FakeResolver, LOCAL_ASN } from "../support.ts";

const P = "10.1.0.0/16";
const names = { community: String, table: (id: number) => (id === 7200 ? "storage" : "fabric") };
const all = { import: "all", export: "all" } as const;

const why = ({ rib }: Simulation) => routesWhy(rib.core, rib.peers, prefix(P), names);
const told = ({ rib }: Simulation, table = 7100) =>
  Object.fromEntries(
    routesTold(rib.core, rib.peers, prefix(P), table, names).map(({ peer, routes, why: reason }) => [
      peer,
      reason ?? routes.map(({ asPath }) => asPath),
    ]),
  );

describe("paths", () => {
  it("say at which step they fell behind, with both values", () => {
    const simulation = new Simulation();
    const b = simulation.peer("b", "192.0.2.2", 65002, all);
    const a = simulation.peer("a", "192.0.2.1", 65001, all);
    const c = simulation.peer("c", "192.0.2.3", 65003, all);
    a.announce([P]);
    b.announce([P], { asPath: [{ type: 2, asns: [65002, 7] }] });
    c.announce([P], { asPath: [{ type: 2, asns: [65003] }], origin: 2 });
    const [{ table, paths }] = why(simulation);
    expect(table).toBe("fabric");
    expect(paths.map(({ route, outcome, reason }) => [route.peer, outcome, reason])).toEqual([
      ["a", "best", null],
      ["c", "not used", { step: "origin", value: "incomplete", better: "igp" }],
      ["b", "not used", { step: "AS path length", value: "2", better: "1" }],
    ]);
  });

  it("that are equal say why they are not used together", () => {
    const simulation = new Simulation({ maxPaths: 1 });
    for (const i of [1, 2]) simulation.peer(`p${i}`, `192.0.2.${i}`, 65000 + i, all).announce([P]);
    const [{ paths }] = why(simulation);
    expect(paths[1]).toMatchObject({ outcome: "not used", unused: "maxPaths", reason: { step: "BGP identifier" } });
  });

  it("that no policy or rule lets through say which", () => {
    const resolver = new FakeResolver();
    resolver.unreachable.add(String(address("192.0.2.9")));
    const simulation = new Simulation({ resolver });
    simulation.peer("none", "192.0.2.1", 65001, { import: "none" }).announce([P]);
    simulation.peer("loop", "192.0.2.2", 65002, all).announce([P], { asPath: [{ type: 2, asns: [65002, LOCAL_ASN] }] });
    simulation.peer("far", "192.0.2.3", 65003, all).announce([P], { nextHop: address("192.0.2.9") });
    const chosen = { name: "storage", statements: [{ match: {}, set: { table: 7200 }, then: "accept" as const }] };
    simulation.peer("other", "192.0.2.4", 65004, { import: chosen as never }).announce([P]);
    const [fabric, storage] = why(simulation);
    expect(
      Object.fromEntries(fabric.paths.map(({ route, policy }) => [route.peer, [route.rejected, policy?.verdict]])),
    ).toEqual({
      none: ["import policy", "reject"],
      loop: ["AS loop", "accept"],
      far: ["unresolved next hop", "accept"],
      other: ["its policy sends it to table storage", "accept"],
    });
    expect(storage.paths.map(({ route, outcome }) => [route.peer, outcome])).toEqual([["other", "best"]]);
  });

  it("nobody has announced", () => {
    expect(why(new Simulation())).toEqual([]);
  });
});

describe("neighbours", () => {
  it("are told, or it is said why not", async () => {
    const simulation = new Simulation();
    const a = simulation.peer("a", "192.0.2.1", 65001, all);
    simulation.peer("b", "192.0.2.2", 65002, all);
    simulation.peer("mute", "192.0.2.3", 65003, { import: "all", export: "blocks" });
    simulation.peer("six", "192.0.2.4", 65004, all, { families: [6] });
    simulation.peer("gone", "192.0.2.5", 65005, all).down();
    simulation.peer("elsewhere", "192.0.2.6", 65006, { ...all, table: 7200 });
    simulation.peer("provider", "192.0.2.7", 65007, { ...all, role: Role.CUSTOMER });
    a.announce([P], { otc: 7 });
    await simulation.settle();
    expect(told(simulation)).toEqual({
      a: "the path in use comes from it",
      b: [`${LOCAL_ASN} 65001`],
      mute: "its export policy rejects the path in use",
      six: "no IPv4 routes are exchanged with it",
      gone: "there is no session",
      elsewhere: "it is served from table storage",
      provider: "the path in use goes to customers only (OTC, RFC 9234)",
    });
  });

  it("within our AS are told nothing that comes from within, unless they are clients", async () => {
    const simulation = new Simulation();
    const a = simulation.peer("a", "192.0.2.1", LOCAL_ASN, all);
    simulation.peer("b", "192.0.2.2", LOCAL_ASN, all);
    a.announce([P]);
    await simulation.settle();
    expect(told(simulation)["b"]).toMatch(/from within our AS, and it is no client of ours/);
  });

  it("are told nothing that has a community against it", async () => {
    const simulation = new Simulation();
    const a = simulation.peer("a", "192.0.2.1", 65001, all);
    simulation.peer("b", "192.0.2.2", 65002, all);
    a.announce([P], { communities: [WellKnownCommunity.NO_EXPORT] });
    await simulation.settle();
    expect(told(simulation)["b"]).toMatch(/^the path in use has community no-advertise, or no-export/);
    a.withdraw([P]);
    await simulation.settle();
    expect(why(simulation)).toEqual([]);
  });

  it("of a table that is not there are told nothing", () => {
    const simulation = new Simulation();
    simulation.peer("a", "192.0.2.1", 65001, all).announce([P]);
    expect(told(simulation, 4711)).toEqual({});
  });
});
