// When a pool counts as nearly exhausted, and when not any more.
import { expect, it } from "vitest";
import { type Allocation, Allocator, type PoolUse } from "../../../cni/ipam/allocator.ts";
import { describeFullness, Fullness, levelOf, type PoolLevel } from "../../../cni/ipam/fullness.ts";

const use = (used: number, more: Partial<PoolUse> = {}): PoolUse => ({
  pool: "p",
  family: 4,
  blocks: 1,
  capacity: 100,
  used,
  free: 100 - used,
  cooling: 0,
  reserved: 0,
  sticky: 0,
  ...more,
});

it.each<[string, PoolUse, number | null, PoolLevel, PoolLevel]>([
  ["below", use(89), 90, "fine", "fine"],
  ["at the limit", use(90), 90, "fine", "filling"],
  ["a little less than that", use(85), 90, "filling", "filling"],
  ["enough less", use(84), 90, "filling", "fine"],
  ["nothing left", use(100), 90, "filling", "exhausted"],
  ["one back", use(99), 90, "exhausted", "exhausted"],
  ["some back", use(97), 90, "exhausted", "filling"],
  ["many back", use(50), 90, "exhausted", "fine"],
  ["the rest cools down", use(96, { free: 0, cooling: 4 }), 90, "fine", "filling"],
  ["the rest is kept", use(96, { free: 0, sticky: 4 }), 90, "fine", "filling"],
  ["nobody is warned", use(99), null, "fine", "fine"],
  ["nobody is warned, and nothing is left", use(100), null, "fine", "exhausted"],
  ["reserved ones do not count", use(81, { reserved: 10, free: 9 }), 90, "fine", "filling"],
  ["a block of one address", use(0, { capacity: 1, free: 1 }), 90, "exhausted", "exhausted"],
  ["more than anybody can count", use(5000, { capacity: null, free: null, reserved: null }), 90, "fine", "fine"],
])("%s", (_name, of, warnAt, before, level) => {
  expect(levelOf(of, warnAt, before)).toBe(level);
});

it("tells each crossing once, per family, and forgets what is gone", () => {
  const pools = (warnAt: number | null, blocks = ["10.0.0.0/28", "2001:db8::/64"]) => [
    { name: "p", blocks, exclude: [], table: 7100, warnAt },
  ];
  const allocator = new Allocator(pools(75));
  const told: string[] = [];
  const fullness = new Fullness(
    (pool) => allocator.use(pool),
    (now) => told.push(`${now.family} ${now.level} ${describeFullness(now)?.split(" IPv")[0] ?? ""}`.trim()),
  );
  allocator.onChange((pool) => fullness.changed(pool));
  fullness.setPools(allocator.pools);
  const pods: Allocation[] = [];
  for (let i = 0; i < 16; i++) pods.push(allocator.allocate({ pools: ["p"] }));
  expect(() => allocator.allocate({ pools: ["p"] })).toThrow("no free IPv4 address");
  expect(told).toEqual(["4 filling pool p is nearly exhausted: 12 of 16", "4 exhausted pool p is exhausted: 16 of 16"]);
  for (const { addresses, sequence } of pods.splice(0, 9)) allocator.release(addresses, sequence);
  expect(told.slice(2)).toEqual(["4 filling pool p is nearly exhausted: 13 of 16", "4 fine"]);
  expect(fullness.all().map(({ family, used, level, usedPercent }) => [family, used, level, usedPercent])).toEqual([
    [4, 7, "fine", 43],
    [6, 7, "fine", null],
  ]);
  const change = (warnAt: number) => {
    allocator.setPools(pools(warnAt));
    fullness.setPools(allocator.pools);
  };
  change(40);
  expect(told.slice(4)).toEqual(["4 filling pool p is nearly exhausted: 7 of 16"]);
  allocator.setPools([]);
  fullness.setPools([]);
  expect(fullness.all()).toEqual([]);
});
