// A neighbour that is lost: those who forward to it and to others hear of it at once, route by route comes after.
import { describe, expect, it } from "vitest";
import { Simulation } from "../simulation.ts";
import { negotiatedRestart } from "../support.ts";

const prefixes = Array.from({ length: 3000 }, (_, i) => `10.${i >> 8}.${i & 255}.0/24`);

function world() {
  const simulation = new Simulation({});
  const [a, b] = [1, 2].map((i) => simulation.peer(`p${i}`, `192.0.2.${i}`, 65000 + i));
  a.announce(prefixes);
  b.announce(prefixes);
  const [locRib] = simulation.rib.locRibs();
  const members = (set: number) => locRib.nextHopSetMembers(set).map(({ gateway }) => gateway[3]);
  const set = locRib.nextHopSetOf(1);
  expect(members(set)).toEqual([1, 2]);
  const dirty = locRib.subscribe(() => {});
  dirty.take(new Uint32Array(10_000));
  const heard: string[] = [];
  locRib.onNextHopSetChanged((id) => {
    if (id === set) heard.push(`[${members(id)}], ${dirty.pending} dirty`);
  });
  return { simulation, locRib, a, b, set, members, heard, dirty };
}

describe("a lost neighbour's next hop", () => {
  it("leaves the sets before its routes are withdrawn", async () => {
    const { simulation, locRib, a, set, members, heard, dirty } = world();
    a.down();
    expect(heard).toEqual(["[2], 0 dirty"]);
    expect(locRib.nextHopSetOf(1)).toBe(set);
    await simulation.settle();
    expect(dirty.pending).toBe(prefixes.length);
    expect(members(locRib.nextHopSetOf(1))).toEqual([2]);
    // The set without routes is not filled again: a consumer may still have routes on it.
    expect(heard).toEqual(["[2], 0 dirty"]);
    a.up();
    a.announce(prefixes);
    expect(members(locRib.nextHopSetOf(1))).toEqual([1, 2]);
  });

  it("comes back to what others still announce with it", async () => {
    const { simulation, a, heard } = world();
    // A route server on the same link names the first neighbour as the way to some.
    const server = simulation.peer("server", "192.0.2.9", 65001);
    server.announce(prefixes.slice(0, 10), { nextHop: Uint8Array.of(192, 0, 2, 1) });
    a.down();
    expect(heard).toEqual(["[2], 0 dirty"]);
    await simulation.settle();
    expect(heard).toHaveLength(2);
    expect(heard[1]).toMatch(/^\[1,2\], /);
  });

  it("stays while its routes are kept", async () => {
    const { simulation, a, heard, set, members } = world();
    a.up({ gracefulRestart: negotiatedRestart });
    a.announce(prefixes);
    heard.length = 0;
    a.down(true);
    await simulation.settle();
    expect(heard).toEqual([]);
    expect(members(set)).toEqual([1, 2]);
  });

  it("stays where there is no other", async () => {
    const { simulation, locRib, a, b, heard, members, set } = world();
    b.down();
    a.down();
    expect(heard).toEqual(["[1], 0 dirty", "[1,2], 0 dirty"]);
    expect(members(set)).toEqual([1, 2]);
    await simulation.settle();
    expect(locRib.nextHopSetOf(1)).toBe(0);
  });
});
