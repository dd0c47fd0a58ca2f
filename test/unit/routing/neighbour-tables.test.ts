// A neighbour table without room: told from the first overflow that was seen to a minute after the last one.
import { expect, it } from "vitest";
import { NeighbourTables } from "../../../routing/fib/neighbour-tables.ts";
import { ManualClock } from "../bgp/session/support.ts";

it("overflows count from the first look on, and are forgotten a minute after the last one", () => {
  const clock = new ManualClock();
  const start = clock.now();
  const overflows = { 4: 7, 6: 0 };
  const tables = new NeighbourTables(
    clock,
    () => 1_700_000_000_000 + clock.now() - start,
    (family) => ({ family, entries: 1024, limit: 1024, overflows: overflows[family] }),
  );
  expect(tables.look()).toEqual([]);
  overflows[4] += 3;
  const first = { family: 4, limit: 1024, count: 3, since: 1_700_000_000 };
  expect(tables.look()).toEqual([first]);
  clock.advance(50_000);
  overflows[4] += 2;
  expect(tables.look()).toEqual([{ ...first, count: 5 }]);
  clock.advance(59_999);
  expect(tables.look()).toHaveLength(1);
  clock.advance(1);
  expect(tables.look()).toEqual([]);
  overflows[4]++;
  overflows[6]++;
  const later = { limit: 1024, count: 1, since: 1_700_000_110 };
  expect(tables.look()).toEqual([
    { family: 4, ...later },
    { family: 6, ...later },
  ]);
});

it("without an answer nothing is told, and nothing is forgotten", () => {
  const clock = new ManualClock();
  let overflows: number | null = 1;
  const tables = new NeighbourTables(
    clock,
    () => 0,
    (family) => {
      if (overflows === null) throw new Error("ENOBUFS");
      return { family, entries: 1024, limit: 1024, overflows };
    },
  );
  tables.look();
  overflows = 2;
  expect(tables.look()).toHaveLength(2);
  overflows = null;
  expect(tables.look()).toEqual([]);
  overflows = 2;
  expect(tables.look().map(({ count }) => count)).toEqual([1, 1]);
});
