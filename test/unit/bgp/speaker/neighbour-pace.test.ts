// Neighbours that ask for more than they read, and what an operator is told about those that send nonsense.
// biome-ignore-all lint/suspicious/noThenProperty: `then` is what a policy statement calls its decision.
import { describe, expect, it } from "vitest";
import type { PeerStatus } from "../../../../bgp/session/types.ts";
import { Simulation } from "../simulation.ts";
import { negotiatedRestart } from "../support.ts";

const many = (n: number) => Array.from({ length: n }, (_, i) => `20.${i >>> 8}.${i & 255}.0/24`);

async function withRoutes(count: number) {
  const simulation = new Simulation();
  const a = simulation.peer("a", "192.0.2.1", 65001);
  const prefixes = many(count);
  for (let at = 0; at < count; at += 500) a.announce(prefixes.slice(at, at + 500));
  const b = simulation.peer("b", "192.0.2.2", 65002);
  await simulation.settle();
  expect(b.table.size).toBe(count);
  return { simulation, a, b };
}

describe("route refresh (RFC 2918)", () => {
  it("sends everything again, once for any number of requests meanwhile", async () => {
    const { simulation, b } = await withRoutes(20_000);
    const once = b.messages.length;
    b.table.clear();
    simulation.rib.routeRefresh(b.session, 4);
    await simulation.settle();
    expect(b.table.size).toBe(20_000);
    expect(b.messages.length).toBeLessThan(2 * once);

    b.messages.length = 0;
    for (let i = 0; i < 1000; i++) simulation.rib.routeRefresh(b.session, 4);
    await simulation.settle();
    expect(b.messages.length).toBeGreaterThan(0);
    expect(b.messages.length).toBeLessThan(3 * once);
  });

  it("waits while the neighbour does not read, and follows changes meanwhile", async () => {
    const { simulation, a, b } = await withRoutes(20_000);
    b.open = false;
    b.table.clear();
    for (let i = 0; i < 100; i++) simulation.rib.routeRefresh(b.session, 4);
    await simulation.settle();
    expect(b.table.size).toBeLessThan(20_000);
    a.withdraw(["20.0.1.0/24"]);
    b.open = true;
    simulation.rib.writable(b.session);
    await simulation.settle();
    await simulation.settle();
    expect(b.table.size).toBe(19_999);
  });
});

it("a neighbour that is told nothing of a big table gets its End-of-RIBs", async () => {
  const { simulation } = await withRoutes(40_000);
  const statements = [{ match: { peer: ["nobody"] }, set: {}, then: "accept" as const }];
  const c = simulation.peer("c", "192.0.2.3", 65003, { export: { name: "nothing", statements } });
  await simulation.settle();
  expect(c.table.size).toBe(0);
  expect(c.endOfRibs).toEqual(expect.arrayContaining([4, 6]));
});

it("the last error is the newer one of the session's and the UPDATEs'", async () => {
  const simulation = new Simulation();
  const a = simulation.peer("a", "192.0.2.1", 65001);
  const status = (lastError: string | null, lastErrorAt: number | null) =>
    ({ name: "a", lastError, lastErrorAt }) as PeerStatus;
  const shown = (...error: Parameters<typeof status>) => simulation.rib.peerView(status(...error)).lastError;
  expect(shown("hold timer expired", 5)).toBe("hold timer expired");
  simulation.clock.advance(10);
  // ORIGIN 9: treated as withdraw (RFC 7606 §7.1).
  const body = a.announcement(["10.1.0.0/16"]);
  body[body.findIndex((octet, at) => octet === 0x40 && body[at + 1] === 1) + 3] = 9;
  a.feed(body);
  expect(shown("hold timer expired", 5)).toMatch(/^UPDATE: /);
  expect(shown(null, null)).toMatch(/^UPDATE: /);
  expect(shown("connection reset", 20)).toBe("connection reset");
});

it("a neighbour that was not offered graceful restart has sent its table when it falls silent", async () => {
  const simulation = new Simulation();
  const helper = { ...negotiatedRestart, families: new Map() };
  const a = simulation.peer("a", "192.0.2.1", 65001, { gracefulRestart: null }, { gracefulRestart: helper });
  a.announce(["10.1.0.0/16"]);
  let converged = false;
  simulation.rib.onConverged(() => {
    converged = true;
  }, 60);
  simulation.clock.advance(20_000);
  expect(converged).toBe(true);
});

it("a long list of routes is read in one pass, however sparse one of its sources is", async () => {
  const { simulation, a, b } = await withRoutes(60_000);
  b.announce(["20.0.0.0/24"]);
  a.announce(["30.0.0.0/8"]);
  b.announce(["30.0.0.0/8", "31.0.0.0/8"]);
  await simulation.settle();
  const started = performance.now();
  let paths = 0;
  for (const _ of simulation.rib.routes({})) paths++;
  expect(paths).toBe(60_004);
  expect(performance.now() - started).toBeLessThan(2_000);
});

it("after a restart of our own, End-of-RIB for what we pass on waits until it is complete (RFC 4724 §4.1)", async () => {
  const simulation = new Simulation();
  simulation.rib.setRestarting(true);
  const a = simulation.peer("a", "192.0.2.1", 65001, { export: "blocks" });
  const b = simulation.peer("b", "192.0.2.2", 65002);
  await simulation.settle();
  expect([a.endOfRibs.length, b.endOfRibs.length]).toEqual([2, 0]);
  a.announce(["10.1.0.0/16"]);
  await simulation.settle();
  expect(b.table.size).toBe(1);
  expect(b.endOfRibs).toEqual([]);
  simulation.rib.setRestarting(false);
  await simulation.settle();
  expect([...b.endOfRibs].sort()).toEqual([4, 6]);
});
