// Pools that change under pods that come and go: nobody gets what another pod gave back a moment ago, wherever its
// block has been meanwhile; and who is kept an address finds it when its block is back.
import fc from "fast-check";
import { expect, it } from "vitest";
import { type Allocation, Allocator } from "../../../cni/ipam/allocator.ts";
import type { PoolOptions } from "../../../cni/types.ts";

const COOLDOWN = 20;
const blocks = ["10.0.0.0/30", "10.0.0.4/31", "10.0.1.0/30", "2001:db8::/125", "2001:db8::8/126"];
const shape = fc
  .record({
    a: fc.subarray(blocks),
    b: fc.subarray(blocks),
    sticky: fc.boolean(),
    reserve: fc.boolean(),
    exclude: fc.boolean(),
  })
  .map(({ a, b, sticky, reserve, exclude }): PoolOptions[] =>
    [
      { name: "a", blocks: a },
      { name: "b", blocks: b.filter((block) => !a.includes(block)) },
    ].map((pool) => ({
      ...pool,
      exclude: exclude && pool.blocks.includes("10.0.0.0/30") ? ["10.0.0.1"] : [],
      reserve: reserve && pool.blocks.includes("10.0.1.0/30") ? ["10.0.1.0/31"] : [],
      cooldown: COOLDOWN,
      sticky: sticky ? { by: "pod-name", for: 3600, limit: 100 } : null,
      table: 7100,
    })),
  );
const deed = fc.oneof(
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("pools" as const), pools: shape }) },
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constant("add" as const), pod: fc.nat(8), pool: fc.constantFrom("a", "b") }),
  },
  { weight: 5, arbitrary: fc.record({ kind: fc.constant("remove" as const), n: fc.nat(20) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("wait" as const), seconds: fc.constantFrom(1, 5, 21) }) },
);

it("keeps everybody apart over any change", () => {
  fc.assert(
    fc.property(shape, fc.array(deed, { maxLength: 60 }), (first, deeds) => {
      let now = 0;
      let current = first;
      const allocator = new Allocator(first, { now: () => now, wall: () => now });
      const live: { pod: number; allocation: Allocation }[] = [];
      const last = new Map<string, { pod: number; at: number }>();
      for (const entry of deeds) {
        now++;
        if (entry.kind === "wait") now += entry.seconds * 1000;
        else if (entry.kind === "pools") {
          current = entry.pools;
          allocator.setPools(current);
        } else if (entry.kind === "remove" && live.length > 0) {
          const [{ pod, allocation }] = live.splice(entry.n % live.length, 1);
          allocator.release(allocation.addresses, allocation.sequence);
          for (const address of allocation.addresses) last.set(address, { pod, at: now });
        } else if (entry.kind === "add") {
          let allocation: Allocation;
          try {
            allocation = allocator.allocate({ pools: [entry.pool], identity: `pod ${entry.pod}`, keep: "name" });
          } catch (error) {
            expect([100, 11]).toContain((error as { code?: number }).code);
            continue;
          }
          for (const address of allocation.addresses) {
            const before = last.get(address);
            if (before && before.pod !== entry.pod) expect(now - before.at).toBeGreaterThanOrEqual(COOLDOWN * 1000);
          }
          live.push({ pod: entry.pod, allocation });
        }
        const inUse = live.flatMap(({ allocation }) => allocation.addresses);
        expect(new Set(inUse).size).toBe(inUse.length);
        expect(allocator.blocks().reduce((sum, { used }) => sum + used, 0)).toBe(inUse.length);
        const plain = current.filter(({ exclude, reserve = [] }) => exclude.length + reserve.length === 0);
        for (const { pool, prefix, capacity, used, free, cooling, sticky } of allocator.blocks())
          if (plain.some(({ name, blocks: own }) => name === pool && own.includes(prefix)))
            expect(used + free! + cooling + sticky).toBe(capacity);
      }
    }),
    { numRuns: 120 },
  );
});
