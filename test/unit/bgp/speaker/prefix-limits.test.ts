// Prefix limits of a peer, both ways: what is said, ended, dropped, and what is left in memory.
import { describe, expect, it } from "vitest";
import type { Log } from "../../../../net/log.ts";
import { silentLog } from "../../../../net/log.ts";
import { prefix } from "../../../../net/prefix.ts";
import { type Neighbor, Simulation } from "../simulation.ts";
import { unlimited } from "../support.ts";

const many = (n: number, from = 0) =>
  Array.from({ length: n }, (_, i) => `20.${(from + i) >>> 8}.${(from + i) & 255}.0/24`);
const many6 = (n: number) => Array.from({ length: n }, (_, i) => `2001:db8:${i.toString(16)}::/48`);

function world(limits: object, out: object | null = null) {
  const lines: string[] = [];
  const note = (_: object, text: string) => void lines.push(text);
  const log: Log = { ...silentLog, warn: note, error: note };
  const simulation = new Simulation({ log });
  const a = simulation.peer("a", "192.0.2.1", 65001, {
    maxPrefixes: { ...unlimited, ...limits },
    maxPrefixesOut: out && { ...unlimited, ...out },
  });
  return { simulation, a, lines };
}
const ends = ({ session }: Neighbor) => session.resets.map(({ code, subcode, data }) => [code, subcode, ...data]);
const view = (simulation: Simulation) =>
  simulation.rib.peerView({ name: "a", lastError: null, lastErrorAt: null } as never);

describe("limits of what is received", () => {
  it.each([
    [
      "both families together",
      { total: 5 },
      "more than 5 prefixes received (maxPrefixes)",
      [6, 1, 0, 1, 1, 0, 0, 0, 5],
    ],
    ["IPv4", { ipv4: 3, total: 100 }, "more than 3 IPv4 prefixes received (maxPrefixes)", [6, 1, 0, 1, 1, 0, 0, 0, 3]],
    ["IPv6", { ipv6: 1 }, "more than 1 IPv6 prefixes received (maxPrefixes)", [6, 1, 0, 2, 1, 0, 0, 0, 1]],
  ])("of %s: Cease/1, once, and down until somebody asks", (_, limits, reason, end) => {
    const { a, lines } = world(limits);
    a.announce(many(3));
    a.announce(many6(1));
    expect(ends(a)).toEqual([]);
    a.announce(many(3, 3));
    a.announce(many6(3));
    expect(ends(a)).toEqual([end]);
    expect(a.session.resets[0].reason).toBe(reason);
    expect(a.session.holds).toEqual([null]);
    expect(lines.at(-1)).toBe(`prefix limit exceeded: ${reason}, the session ends`);
  });

  it("may let it try again", () => {
    const { a } = world({ total: 1, restartAfter: 300 });
    a.announce(many(2));
    expect(a.session.holds).toEqual([300]);
  });

  it("are counted anew on the next session", () => {
    const { a } = world({ total: 2 });
    a.announce(many(3));
    a.down();
    a.up();
    a.announce(many(2));
    expect(ends(a)).toEqual([]);
    a.announce(many(1, 7));
    expect(ends(a)).toHaveLength(1);
  });

  it("warn from a share on, once per crossing", () => {
    const { a, lines } = world({ total: 8, warnAt: 50 });
    a.announce(many(3));
    expect(lines).toEqual([]);
    a.announce(many(1, 3));
    a.announce(many(1, 4));
    expect(lines).toEqual(["prefixes received have reached 50 % of maxPrefixes"]);
    a.withdraw(many(2));
    a.announce(many(2));
    expect(lines).toHaveLength(2);
  });

  it("only warn", () => {
    const { simulation, a, lines } = world({ total: 2, action: "warn", warnAt: 100 });
    a.announce(many(2));
    a.announce(many(3, 2));
    a.announce(many(3, 5));
    expect(ends(a)).toEqual([]);
    expect(lines.filter((line) => line.includes("only a warning"))).toHaveLength(1);
    expect(view(simulation)).toMatchObject({
      received: 8,
      lastError: "more than 2 prefixes received (maxPrefixes): only a warning is configured",
    });
  });

  it("drop what is too much, take changes of what is there, and more when there is room", async () => {
    const { simulation, a, lines } = world({ total: 3, action: "drop", warnAt: 100 });
    const b = simulation.peer("b", "192.0.2.2", 65002);
    a.announce(many(5));
    await simulation.settle();
    expect([...b.table.keys()].sort()).toEqual(many(3));
    expect(ends(a)).toEqual([]);
    expect(view(simulation)).toMatchObject({ received: 3, errors: { prefixesDropped: 2 } });
    expect(view(simulation).lastError).toBe("more than 3 prefixes received (maxPrefixes): further ones are not taken");
    a.announce(many(5), { med: 7, asPath: [{ type: 2, asns: [65001, 9] }] });
    await simulation.settle();
    expect(b.table.get(many(1)[0])?.asPath[0].asns).toEqual([65000, 65001, 9]);
    expect(view(simulation)).toMatchObject({ received: 3, errors: { prefixesDropped: 4 } });
    a.withdraw(many(2));
    a.announce(many(2, 10));
    await simulation.settle();
    expect([...b.table.keys()].sort()).toEqual([many(1, 2)[0], ...many(2, 10)].sort());
    expect(lines.filter((line) => line.includes("not taken")).length).toBeLessThanOrEqual(2);
    simulation.rib.setPolicies({ ...a.options, maxPrefixes: { ...unlimited, total: 100, action: "drop" } });
    a.announce(many(20, 20));
    expect(view(simulation).received).toBe(23);
  });

  it("drop per family", () => {
    const { simulation, a } = world({ ipv6: 1, action: "drop" });
    a.announce(many6(4));
    a.announce(many(4));
    expect(view(simulation).prefixes.received).toEqual({ ipv4: 4, ipv6: 1, total: 5 });
  });

  it("a lower limit by a reload ends a session that is beyond it", () => {
    const { simulation, a } = world({ total: 100 });
    a.announce(many(10));
    simulation.rib.setPolicies({ ...a.options, maxPrefixes: { ...unlimited, total: 9 } });
    expect(ends(a)).toHaveLength(1);
  });

  it.each(["close", "drop"])(
    "%s: millions of prefixes, each with attributes of its own, leave nothing behind",
    async (action) => {
      const { simulation, a } = world({ total: 100, action });
      for (let i = 0; i < 60_000; i++) {
        a.announce([`${30 + (i >>> 16)}.${(i >>> 8) & 255}.${i & 255}.0/24`], { med: i });
        if (ends(a).length > 0 && action === "close") break;
        if (i % 5000 !== 0) continue;
        simulation.clock.advance(1000);
        await simulation.settle();
        const { prefixes, attributeSets } = simulation.rib.memory();
        expect(prefixes).toBeLessThanOrEqual(101);
        expect(attributeSets).toBeLessThan(6000);
      }
      a.down();
      for (let i = 0; i < 20; i++) {
        simulation.clock.advance(2000);
        await simulation.settle();
      }
      expect(simulation.rib.memory()).toMatchObject({ prefixes: 0, attributeSets: 0, outgoingSets: 0 });
    },
  );
});

describe("limits of what is announced", () => {
  it("nothing beyond is sent: the session ends first", async () => {
    const { simulation, a, lines } = world({}, { total: 4, restartAfter: 60 });
    const b = simulation.peer("b", "192.0.2.2", 65002);
    b.announce(many(4));
    await simulation.settle();
    expect(a.table.size).toBe(4);
    b.announce(many(3, 4));
    await simulation.settle();
    expect(a.table.size).toBe(4);
    expect(ends(a)).toEqual([[6, 1, 0, 1, 1, 0, 0, 0, 4]]);
    expect(a.session.holds).toEqual([60]);
    expect(a.session.resets[0].reason).toBe("more than 4 prefixes to announce (maxPrefixesOut)");
    expect(lines.at(-1)).toContain("maxPrefixesOut");
  });

  it("an exchange of some for others is not too much", async () => {
    const { simulation, a } = world({}, { total: 4 });
    const b = simulation.peer("b", "192.0.2.2", 65002);
    b.announce(many(4, 100));
    await simulation.settle();
    b.withdraw(many(4, 100));
    b.announce(many(4));
    await simulation.settle();
    expect([...a.table.keys()].sort()).toEqual(many(4));
    expect(ends(a)).toEqual([]);
  });

  it("per family, and by a reload", async () => {
    const { simulation, a } = world({}, { ipv6: 0, ipv4: 50 });
    simulation.rib.announceLocal(7100, prefix("10.244.1.0/26"));
    await simulation.settle();
    expect(a.table.size).toBe(1);
    simulation.rib.announceLocal(7100, prefix("10.244.2.0/26"));
    await simulation.settle();
    simulation.rib.setPolicies({ ...a.options, maxPrefixesOut: { ...unlimited, ipv4: 1 } });
    expect(ends(a)).toEqual([[6, 1, 0, 1, 1, 0, 0, 0, 1]]);
  });
});
