// biome-ignore-all lint/suspicious/noThenProperty: `then` is what a policy statement calls its decision.
// The helper: what stays of a neighbour that is lost, for how long, and who is told (RFC 4724 §4.2, RFC 8538, RFC 9494).
import { describe, expect, it } from "vitest";
import { WellKnownCommunity } from "../../../../bgp/wire/registry.ts";
import { type Neighbor, Simulation } from "../simulation.ts";
import { address, gracefulRestartOptions, negotiatedRestart } from "../support.ts";

const { LLGR_STALE, NO_LLGR, NO_EXPORT } = WellKnownCommunity;
const day = 86_400;
const both = <T>(value: T) =>
  new Map([
    [4, value],
    [6, value],
  ] as const);
const restart = { ...negotiatedRestart, time: 100 };
const longLived = {
  ...restart,
  notification: true,
  takesLongLived: true,
  longLived: both({ forwarding: true, staleTime: day }),
};
const configured = { gracefulRestart: { ...gracefulRestartOptions, staleTime: 50, longLived: day } };

function rack(gracefulRestart = restart): { simulation: Simulation; a: Neighbor; b: Neighbor } {
  const simulation = new Simulation();
  const a = simulation.peer("a", "192.0.2.1", 65001, configured, { gracefulRestart });
  const b = simulation.peer("b", "192.0.2.2", 65002, configured, { gracefulRestart: longLived });
  return { simulation, a, b };
}

const view = (simulation: Simulation) =>
  [...simulation.rib.routes()].map(({ prefix, peer, best, stale }) =>
    [prefix, peer, best ? "best" : "", stale ? "stale" : ""].filter(Boolean).join(" "),
  );
const pass = async (simulation: Simulation, seconds: number) => {
  simulation.clock.advance(seconds * 1000);
  await simulation.settle();
};
const helper = (simulation: Simulation, name = "a") => {
  const view = simulation.rib.peerView({ name } as Parameters<Simulation["rib"]["peerView"]>[0]);
  return view.helper && `${view.helper.phase} ${view.helper.left}`;
};

describe("graceful restart of a neighbour", () => {
  it("that is back: our End-of-RIB waits a second, for it to look for next hops before it selects; routes do not", async () => {
    const { simulation, a, b } = rack();
    b.announce(["10.3.0.0/16"]);
    await simulation.settle();
    a.down(true);
    a.up({ gracefulRestart: { ...restart, restarting: true } });
    await simulation.settle();
    expect([...a.table.keys()]).toEqual(["10.3.0.0/16"]);
    simulation.clock.advance(999);
    await simulation.settle();
    expect(a.endOfRibs).toEqual([]);
    simulation.clock.advance(1);
    await simulation.settle();
    expect([...a.endOfRibs].sort()).toEqual([4, 6]);
  });

  it("that is back but never says End-of-RIB: what it did not announce again goes after staleTime", async () => {
    const { simulation, a } = rack();
    a.announce(["10.1.0.0/16", "10.2.0.0/16"]);
    a.down(true);
    await pass(simulation, 60);
    expect(helper(simulation)).toBe("restarting 40");
    a.up();
    a.announce(["10.2.0.0/16"]);
    await pass(simulation, 49);
    expect(view(simulation)).toEqual(["10.1.0.0/16 a best stale", "10.2.0.0/16 a best"]);
    expect(helper(simulation)).toBe("refreshing 1");
    await pass(simulation, 1);
    expect(view(simulation)).toEqual(["10.2.0.0/16 a best"]);
    expect(helper(simulation)).toBeNull();
  });

  it("that is back with another address: its old routes go at once, their next hops are dead", async () => {
    const { simulation, a } = rack();
    a.announce(["10.1.0.0/16", "10.2.0.0/16"]);
    a.down(true);
    a.up({ remoteAddress: address("192.0.2.9") });
    a.announce(["10.2.0.0/16"]);
    await simulation.settle();
    expect(view(simulation)).toEqual(["10.2.0.0/16 a best"]);
    a.down(true);
    a.up({ remoteAddress: address("192.0.2.9") });
    await simulation.settle();
    expect(view(simulation)).toEqual(["10.2.0.0/16 a best stale"]);
  });

  it("that is lost again before End-of-RIB: what was stale already goes (RFC 4724)", async () => {
    const { simulation, a } = rack();
    a.announce(["10.1.0.0/16", "10.2.0.0/16"]);
    a.down(true);
    a.up();
    a.announce(["10.2.0.0/16"]);
    a.down(true);
    await simulation.settle();
    expect(view(simulation)).toEqual(["10.2.0.0/16 a best stale"]);
  });

  it("that is lost again and again, with the N bit: it stays (RFC 8538), but not for ever", async () => {
    const { simulation, a } = rack({ ...restart, notification: true });
    a.announce(["10.1.0.0/16"]);
    for (let passed = 0; passed < 140; passed += 20) {
      a.down(true);
      await pass(simulation, 10);
      expect(view(simulation)).toEqual(["10.1.0.0/16 a best stale"]);
      a.up();
      await pass(simulation, 10);
    }
    expect(helper(simulation)).toBe("refreshing 10");
    a.down(true);
    await pass(simulation, 10);
    expect(view(simulation)).toEqual([]);
  });

  it("starts anew after an End-of-RIB", async () => {
    const { simulation, a } = rack();
    a.announce(["10.1.0.0/16"]);
    a.down(true);
    await pass(simulation, 90);
    a.up();
    a.announce(["10.1.0.0/16"]);
    a.endOfRib(4);
    a.down(true);
    expect(helper(simulation)).toBe("restarting 100");
    await pass(simulation, 99);
    expect(view(simulation)).toHaveLength(1);
    await pass(simulation, 1);
    expect(view(simulation)).toEqual([]);
  });

  it.each([
    ["not in the new capability", both(true), new Map([[6, true] as const])],
    ["without the F bit", both(true), new Map([[4, false] as const])],
    ["not in the old capability", new Map([[6, true] as const]), both(true)],
  ])("drops a family that is %s", async (_, before, after) => {
    const { simulation, a } = rack({ ...restart, families: before });
    a.announce(["10.1.0.0/16"]);
    a.down(true);
    a.up({ gracefulRestart: { ...restart, families: after } });
    await simulation.settle();
    expect(view(simulation)).toEqual([]);
  });

  it("is over at once when packets do not arrive any more, but not once the neighbour is back", async () => {
    const { simulation, a, b } = rack();
    a.announce(["10.1.0.0/16"]);
    await simulation.settle();
    a.down(true);
    a.up();
    simulation.rib.abortRestart("a", "test");
    await simulation.settle();
    expect(b.routes).toHaveLength(1);
    a.announce(["10.1.0.0/16"]);
    a.endOfRib(4);
    a.down(true);
    simulation.rib.abortRestart("a", "test");
    await simulation.settle();
    expect([view(simulation), b.routes, helper(simulation)]).toEqual([[], [], null]);
  });
});

describe("long-lived graceful restart (RFC 9494)", () => {
  it("keeps routes as a last resort after the restart time, marks them, and tells those who know the mark", async () => {
    const { simulation, a, b } = rack(longLived);
    const old = simulation.peer("old", "192.0.2.3", 65003);
    const inner = simulation.peer("inner", "192.0.2.4", 65000);
    const last = { gracefulRestart: { ...gracefulRestartOptions, partialDeployment: true } };
    const lastResort = simulation.peer("last", "192.0.2.5", 65000, last);
    a.announce(["10.1.0.0/16"], { communities: [0xfde8_0001] });
    a.announce(["10.2.0.0/16"], { communities: [NO_LLGR] });
    await simulation.settle();
    for (const { table } of [b, old, inner, lastResort]) expect(table.size).toBe(2);
    a.down(true);
    await pass(simulation, 99);
    expect(b.table.size).toBe(2);
    await pass(simulation, 1);
    expect(helper(simulation)).toBe(`long-lived ${day}`);
    expect(view(simulation)).toEqual(["10.1.0.0/16 a best stale"]);
    expect(b.table.get("10.1.0.0/16")?.communities).toEqual([0xfde8_0001, LLGR_STALE]);
    expect([...b.table.keys()]).toEqual(["10.1.0.0/16"]);
    expect([old.table.size, inner.table.size]).toEqual([0, 0]);
    expect(lastResort.table.get("10.1.0.0/16")).toMatchObject({
      localPref: 0,
      communities: [0xfde8_0001, LLGR_STALE, NO_EXPORT],
    });
    await pass(simulation, day - 1);
    expect(b.table.size).toBe(1);
    await pass(simulation, 1);
    expect([view(simulation), b.table.size, lastResort.table.size]).toEqual([[], 0, 0]);
  });

  it("loses against any other path, whatever its preference, and wins when it is the only one", async () => {
    const { simulation, a, b } = rack(longLived);
    const path = (asns: number[]) => ({ asPath: [{ type: 2 as const, asns }] });
    a.announce(["10.1.0.0/16"], path([65001]));
    b.announce(["10.1.0.0/16"], path([65002, 1, 2, 3, 4]));
    await simulation.settle();
    expect(view(simulation)[0]).toBe("10.1.0.0/16 a best");
    a.down(true);
    await simulation.settle();
    // While it restarts it is as good as before, only never beside a fresh one.
    expect(view(simulation)[0]).toBe("10.1.0.0/16 a best stale");
    await pass(simulation, 100);
    expect(view(simulation)[0]).toBe("10.1.0.0/16 b best");
    b.withdraw(["10.1.0.0/16"]);
    await simulation.settle();
    expect(view(simulation)).toEqual(["10.1.0.0/16 a best stale"]);
  });

  it("goes by the mark of others too, in decision and export, and no policy takes it off", async () => {
    const { simulation, a, b } = rack(longLived);
    const old = simulation.peer("old", "192.0.2.3", 65003);
    const unmark = {
      name: "unmark",
      statements: [{ match: {}, set: { community: { replace: [1] }, localPref: 900 }, then: "accept" as const }],
    };
    const c = simulation.peer("c", "192.0.2.6", 65006, { import: unmark });
    c.announce(["10.1.0.0/16"], { communities: [LLGR_STALE] });
    await simulation.settle();
    expect(b.table.get("10.1.0.0/16")?.communities).toEqual([1, LLGR_STALE]);
    expect(old.table.size).toBe(0);
    a.announce(["10.1.0.0/16"]);
    await simulation.settle();
    expect(view(simulation)[0]).toBe("10.1.0.0/16 a best");
    expect(old.table.size).toBe(1);
  });

  it("is refreshed when the neighbour is back: the mark goes with the same announcement, the rest at End-of-RIB", async () => {
    const { simulation, a, b } = rack(longLived);
    a.announce(["10.1.0.0/16", "10.2.0.0/16"]);
    a.down(true);
    await pass(simulation, 200);
    a.up();
    a.announce(["10.1.0.0/16"]);
    await simulation.settle();
    expect(b.table.get("10.1.0.0/16")?.communities).toEqual([]);
    expect(b.table.get("10.2.0.0/16")?.communities).toEqual([LLGR_STALE]);
    a.endOfRib(4);
    await simulation.settle();
    expect([...b.table.keys()]).toEqual(["10.1.0.0/16"]);
  });

  it("its time runs from its first start, however often the neighbour comes and goes", async () => {
    const { simulation, a } = rack({ ...longLived, longLived: both({ forwarding: true, staleTime: 1000 }) });
    a.announce(["10.1.0.0/16"]);
    a.down(true);
    await pass(simulation, 100);
    for (let passed = 0; passed < 800; passed += 200) {
      await pass(simulation, 190);
      a.up();
      await pass(simulation, 10);
      a.down(true);
    }
    await pass(simulation, 199);
    expect(view(simulation)).toEqual(["10.1.0.0/16 a best stale"]);
    await pass(simulation, 1);
    expect(view(simulation)).toEqual([]);
  });

  it("without the F bit in the capability of the neighbour that is back nothing of it stays", async () => {
    const { simulation, a } = rack(longLived);
    a.announce(["10.1.0.0/16"]);
    a.down(true);
    await pass(simulation, 200);
    a.up({ gracefulRestart: { ...longLived, longLived: both({ forwarding: false, staleTime: day }) } });
    await simulation.settle();
    expect(view(simulation)).toEqual([]);
  });

  it("begins at once with a restart time of 0", async () => {
    const { simulation, a, b } = rack({ ...longLived, time: 0, families: new Map() });
    a.announce(["10.1.0.0/16"]);
    a.down(true);
    await pass(simulation, 0);
    expect(b.table.get("10.1.0.0/16")?.communities).toEqual([LLGR_STALE]);
  });

  it("leaves nothing behind", async () => {
    const { simulation, a } = rack(longLived);
    a.announce(["10.1.0.0/16"], { med: 5 });
    await simulation.settle();
    const before = simulation.rib.memory();
    a.down(true);
    await pass(simulation, 100 + day);
    a.up();
    a.announce(["10.1.0.0/16"], { med: 5 });
    for (let round = 0; round < 5; round++) await pass(simulation, 2);
    expect(simulation.rib.memory()).toEqual(before);
  });
});
