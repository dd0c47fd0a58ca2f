// Enhanced route refresh (RFC 7313) both ways: our answers stand between BoRR and EoRR, and what a neighbour does not say
// again between its own is withdrawn.
import { describe, expect, it } from "vitest";
import { type Neighbor, Simulation } from "../simulation.ts";

const many = (n: number) => Array.from({ length: n }, (_, i) => `20.${i >>> 8}.${i & 255}.0/24`);
const enhanced = { enhancedRefresh: true };

async function withRoutes(count: number) {
  const simulation = new Simulation();
  const a = simulation.peer("a", "192.0.2.1", 65001, {}, enhanced);
  const prefixes = many(count);
  for (let at = 0; at < count; at += 500) a.announce(prefixes.slice(at, at + 500));
  const b = simulation.peer("b", "192.0.2.2", 65002, {}, enhanced);
  await simulation.settle();
  return { simulation, a, b, prefixes };
}

const markersOf = (neighbor: Neighbor) => neighbor.markers.map(([marker]) => marker);

describe("asked for a refresh", () => {
  it("sends everything between BoRR and EoRR, and once more for all requests meanwhile", async () => {
    const { simulation, b } = await withRoutes(20_000);
    expect(b.markers).toEqual([]);
    b.table.clear();
    b.messages.length = 0;
    for (let i = 0; i < 5; i++) simulation.rib.routeRefresh(b.session, 4);
    await simulation.settle();
    expect(b.table.size).toBe(20_000);
    const [first] = b.markers;
    expect(first).toEqual(["begin 4", 0]);
    expect(markersOf(b).join()).toMatch(/^begin 4,end 4(,begin 4,end 4)?$/);
    expect(b.markers.at(-1)?.[1]).toBe(b.messages.length);
  });

  it("does not say that it has ended while the neighbour does not read", async () => {
    const { simulation, a, b } = await withRoutes(20_000);
    b.open = false;
    b.table.clear();
    simulation.rib.routeRefresh(b.session, 4);
    await simulation.settle();
    expect(markersOf(b)).toEqual(["begin 4"]);
    a.withdraw(["20.0.1.0/24"]);
    b.open = true;
    simulation.rib.writable(b.session);
    await simulation.settle();
    expect(markersOf(b)).toEqual(["begin 4", "end 4"]);
    expect(b.table.size).toBe(19_999);
  });

  it("answers where nothing is announced, and not before End-of-RIB", async () => {
    const simulation = new Simulation();
    const c = simulation.peer("c", "192.0.2.3", 65003, { export: "none" }, enhanced);
    simulation.rib.routeRefresh(c.session, 6);
    expect(c.markers).toEqual([]);
    await simulation.settle();
    expect(markersOf(c)).toEqual(["begin 6", "end 6"]);
    expect(c.endOfRibs).toEqual(expect.arrayContaining([4, 6]));
  });

  it("marks nothing for a neighbour that does not know the marks", async () => {
    const simulation = new Simulation();
    simulation.peer("a", "192.0.2.1", 65001).announce(["10.0.0.0/8"]);
    const d = simulation.peer("d", "192.0.2.4", 65004);
    await simulation.settle();
    d.table.clear();
    simulation.rib.routeRefresh(d.session, 4);
    await simulation.settle();
    expect(d.table.size).toBe(1);
    expect(d.markers).toEqual([]);
  });
});

describe("a neighbour sends everything again", () => {
  const held = (simulation: Simulation) => [...simulation.rib.routes()].map(({ prefix }) => prefix).sort();

  it("what it has not said again by EoRR is withdrawn, and used until then", async () => {
    const { simulation, a, b } = await withRoutes(3);
    simulation.rib.refreshMarker(a.session, 4, "begin");
    a.announce(["20.0.0.0/24"]);
    a.announce(["20.0.9.0/24"]);
    await simulation.settle();
    expect(held(simulation)).toEqual(["20.0.0.0/24", "20.0.1.0/24", "20.0.2.0/24", "20.0.9.0/24"]);
    expect([...simulation.rib.routes()].some(({ stale }) => stale)).toBe(false);
    simulation.rib.refreshMarker(a.session, 4, "end");
    await simulation.settle();
    expect(held(simulation)).toEqual(["20.0.0.0/24", "20.0.9.0/24"]);
    expect([...b.table.keys()].sort()).toEqual(["20.0.0.0/24", "20.0.9.0/24"]);
  });

  it("another BoRR begins anew; an EoRR alone says nothing", async () => {
    const { simulation, a } = await withRoutes(2);
    simulation.rib.refreshMarker(a.session, 4, "end");
    simulation.rib.refreshMarker(a.session, 4, "begin");
    a.announce(["20.0.0.0/24"]);
    simulation.rib.refreshMarker(a.session, 4, "begin");
    a.announce(["20.0.1.0/24"]);
    simulation.rib.refreshMarker(a.session, 4, "end");
    await simulation.settle();
    expect(held(simulation)).toEqual(["20.0.1.0/24"]);
  });

  it("is given a time to come to the end", async () => {
    const { simulation, a } = await withRoutes(2);
    simulation.rib.refreshMarker(a.session, 4, "begin");
    a.announce(["20.0.0.0/24"]);
    simulation.clock.advance(359_000);
    await simulation.settle();
    expect(held(simulation)).toHaveLength(2);
    simulation.clock.advance(2_000);
    await simulation.settle();
    expect(held(simulation)).toEqual(["20.0.0.0/24"]);
  });

  it("a session that ends in between takes the marks with it", async () => {
    const { simulation, a } = await withRoutes(2);
    simulation.rib.refreshMarker(a.session, 4, "begin");
    a.down();
    await simulation.settle();
    expect(held(simulation)).toEqual([]);
    a.up(enhanced);
    a.announce(["20.0.0.0/24"]);
    simulation.rib.refreshMarker(a.session, 4, "end");
    simulation.clock.advance(400_000);
    await simulation.settle();
    expect(held(simulation)).toEqual(["20.0.0.0/24"]);
  });
});

it("attributes that fit one neighbour's messages only are announced to that one only (RFC 8654 §4)", async () => {
  const simulation = new Simulation();
  const a = simulation.peer("a", "192.0.2.1", 65001, {}, { maxMessage: 65535 });
  const long = simulation.peer("long", "192.0.2.2", 65002, {}, { maxMessage: 65535 });
  const short = simulation.peer("short", "192.0.2.3", 65003);
  a.announce(["10.1.0.0/16"], { communities: Array.from({ length: 15_000 }, (_, i) => 0xfde8_0000 + i) });
  a.announce(["10.2.0.0/16"]);
  a.announce(many(8_000), { communities: [1] });
  await simulation.settle();
  expect(long.table.get("10.1.0.0/16")?.communities).toHaveLength(15_000);
  expect(Math.max(...long.messages)).toBeGreaterThan(60_000);
  // Two long ones for 8,000 prefixes of four octets each, not eight.
  expect(long.messages.filter((length) => length > 19 + 4).length).toBeLessThanOrEqual(4);
  expect(short.table.has("10.1.0.0/16")).toBe(false);
  expect(short.table.has("10.2.0.0/16")).toBe(true);
  expect(Math.max(...short.messages)).toBeLessThanOrEqual(4096);
  // One that was short and grows too long is taken back.
  a.announce(["10.2.0.0/16"], { communities: Array.from({ length: 2_000 }, (_, i) => i + 1) });
  await simulation.settle();
  expect(short.table.has("10.2.0.0/16")).toBe(false);
  expect(long.table.get("10.2.0.0/16")?.communities).toHaveLength(2_000);
});
