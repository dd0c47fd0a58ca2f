// Pools that change under pods: nobody loses an address, nobody is given one that has an owner, and a block that leaves
// stays for exactly as long as somebody has an address that only it has.
import fc from "fast-check";
import { expect, it } from "vitest";
import { Allocator } from "../../../cni/ipam/allocator.ts";
import { parseAddress } from "../../../net/address.ts";
import { contains, hostPrefix, prefix } from "../../../net/prefix.ts";

const choices = ["10.0.0.0/30", "10.0.0.0/29", "10.0.0.8/30", "10.0.0.12/30"];
const pools = fc
  .record({
    blocks: fc.uniqueArray(fc.constantFrom(...choices.slice(1)), { maxLength: 3 }),
    narrow: fc.boolean(),
    exclude: fc.subarray(["10.0.0.1", "10.0.0.9"]),
    second: fc.boolean(),
  })
  .map(({ blocks, narrow, exclude, second }) => {
    const all = blocks.map((block) => (narrow && block === choices[1] ? choices[0] : block));
    const excluded = exclude.filter((address) => all.some((block) => isIn(address, block)));
    const pool = (name: string, own: string[]) => ({ name, blocks: own, exclude: excluded, table: 7100 });
    return second ? [pool("a", all.slice(0, 1)), pool("b", all.slice(1))] : [pool("a", all)];
  });
const deed = fc.oneof(
  fc.record({ kind: fc.constant("pools" as const), pools }),
  fc.record({ kind: fc.constant("add" as const) }),
  fc.record({ kind: fc.constant("remove" as const), n: fc.nat(20) }),
);

function isIn(address: string, block: string): boolean {
  return contains(prefix(block), hostPrefix(parseAddress(address)!));
}

it("keeps every owner over any change", () => {
  fc.assert(
    fc.property(pools, fc.array(deed, { maxLength: 40 }), (first, deeds) => {
      let told = 0;
      let now = first;
      const allocator = new Allocator(first, { onRetired: () => told++ });
      const owned: string[] = [];
      const sequences = new Map<string, number>();
      /** Addresses that no block of a pool has. */
      const outside = () => owned.filter((address) => !now.some(({ blocks }) => blocks.some((b) => isIn(address, b))));
      for (const entry of deeds) {
        if (entry.kind === "pools") {
          const foreseen = allocator
            .uncovered(entry.pools)
            .map(({ prefix, addresses }) => [prefix, [...addresses].sort()]);
          now = entry.pools;
          allocator.setPools(now);
          expect(allocator.retiring().map((block) => [block.prefix, [...block.addresses].sort()])).toEqual(foreseen);
        } else if (entry.kind === "add") {
          let given: readonly string[];
          try {
            const allocation = allocator.allocate({ pools: ["a"] });
            given = allocation.addresses;
            for (const address of given) sequences.set(address, allocation.sequence);
          } catch {
            continue;
          }
          expect(owned).not.toContain(given[0]);
          const own = now.find(({ name }) => name === "a")!;
          expect(own.blocks.some((block) => isIn(given[0], block))).toBe(true);
          expect(own.exclude).not.toContain(given[0]);
          owned.push(...given);
        } else if (owned.length > 0) {
          const before = { told, retiring: allocator.retiring().length };
          const [gone] = owned.splice(entry.n % owned.length, 1);
          allocator.release([gone], sequences.get(gone)!);
          expect(told > before.told).toBe(allocator.retiring().length < before.retiring);
        }
        expect(
          allocator
            .retiring()
            .flatMap(({ addresses }) => addresses)
            .sort(),
        ).toEqual(outside().sort());
        const used = allocator.blocks().reduce((sum, block) => sum + block.used, 0);
        expect(used).toBe(owned.length);
      }
    }),
    { numRuns: 500 },
  );
});

it("knows the owner of an address whose block comes back", () => {
  const pool = (blocks: string[]) => [{ name: "a", blocks, exclude: [], table: 7100 }];
  const allocator = new Allocator(pool([]));
  expect(allocator.adopt({ addresses: ["10.0.0.8"], pool: "a" })).toBe(true);
  expect(allocator.adopt({ addresses: ["10.0.0.8"], pool: "a" })).toBe(false);
  allocator.setPools(pool(["10.0.0.8/30"]));
  expect(allocator.blocks()).toMatchObject([{ used: 1 }]);
  expect(allocator.allocate({ pools: ["a"] }).addresses).toEqual(["10.0.0.9"]);
  allocator.release(["10.0.0.8"], 0);
  expect(allocator.blocks()).toMatchObject([{ used: 1 }]);
});
