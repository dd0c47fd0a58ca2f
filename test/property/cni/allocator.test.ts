// Random histories of an allocator: never two owners, oldest release first, both families or none.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Allocation, Allocator } from "../../../cni/ipam/allocator.ts";
import { parseAddress } from "../../../net/address.ts";

const pool = (blocks: string[], exclude: string[] = []) => [{ name: "default", blocks, exclude, table: 7100 }];

const give = (allocator: Allocator, wanted: Uint8Array[] = []) =>
  allocator.allocate({ pools: ["default"], addresses: wanted });

/** Every IPv4 address that the allocator gives out before it is exhausted. */
function drain(allocator: Allocator): string[] {
  const all: string[] = [];
  for (;;) {
    try {
      all.push(give(allocator).addresses[0]);
    } catch {
      return all;
    }
  }
}

describe("allocator", () => {
  it("never has two owners, and takes the oldest release when nothing fresh is left", () => {
    const step = fc.oneof(
      { weight: 3, arbitrary: fc.constant({ kind: "allocate" as const, index: 0 }) },
      { weight: 2, arbitrary: fc.record({ kind: fc.constant("release" as const), index: fc.nat(40) }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant("static" as const), index: fc.nat(35) }) },
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
        const allocator = new Allocator(pool(["10.0.0.0/28", "10.1.0.0/28", "2001:db8::/123"], ["10.0.0.3-10.0.0.5"]));
        const owned: Allocation[] = [];
        const inUse = new Set<string>();
        const released = new Map<string, string[]>([
          ["10.0.0", []],
          ["10.1.0", []],
        ]);
        const network = (address: string) => address.slice(0, 6);
        for (const { kind, index } of steps) {
          if (kind === "release") {
            const [gone] = owned.splice(index % (owned.length || 1), 1);
            if (!gone) continue;
            const { addresses } = gone;
            allocator.release(addresses, gone.sequence);
            for (const address of addresses) inUse.delete(address);
            released.get(network(addresses[0]))?.push(addresses[0]);
            continue;
          }
          const wanted = kind === "static" ? [parseAddress(`10.0.0.${index}`)!] : [];
          const freshLeft = [0, 1].map(
            (n) => (n === 0 ? 13 : 16) - inUseOf(inUse, `10.${n}.0`) - released.get(`10.${n}.0`)!.length,
          );
          let allocation: Allocation;
          try {
            allocation = give(allocator, wanted);
          } catch (error) {
            const code = (error as { code: number }).code;
            if (kind === "allocate") expect([code, inUse.size]).toEqual([100, 2 * 29]);
            else expect([101, 102]).toContain(code);
            continue;
          }
          const given = allocation.addresses;
          expect(given).toHaveLength(2);
          for (const address of given) {
            expect(inUse.has(address)).toBe(false);
            inUse.add(address);
          }
          const queue = released.get(network(given[0]))!;
          const at = queue.indexOf(given[0]);
          if (kind === "static") expect(given[0]).toBe(`10.0.0.${index}`);
          else if (at >= 0) expect([at, freshLeft[given[0].startsWith("10.0.") ? 0 : 1]]).toEqual([0, 0]);
          if (at >= 0) queue.splice(at, 1);
          owned.push(allocation);
        }
      }),
      { numRuns: 300 },
    );
  });

  it("gives every address of a block that is not excluded, and no other", () => {
    const last = fc.nat(63);
    fc.assert(
      fc.property(fc.array(fc.tuple(last, last), { maxLength: 5 }), (ranges) => {
        const exclude = ranges.map(([a, b]) => `10.0.0.${Math.min(a, b)}-10.0.0.${Math.max(a, b)}`);
        const allocator = new Allocator(pool(["10.0.0.0/26"], exclude));
        const expected = Array.from({ length: 64 }, (_, i) => i)
          .filter((i) => !ranges.some(([a, b]) => i >= Math.min(a, b) && i <= Math.max(a, b)))
          .map((i) => `10.0.0.${i}`);
        expect(allocator.blocks()[0].capacity).toBe(expected.length);
        expect(drain(allocator)).toEqual(expected);
      }),
    );
  });

  it("takes nothing of one family when the other is exhausted", () => {
    const allocator = new Allocator(pool(["10.0.0.0/24", "2001:db8::/127"]));
    give(allocator);
    give(allocator);
    for (let i = 0; i < 3; i++) expect(() => give(allocator)).toThrow("no free IPv6 address");
    expect(allocator.blocks().map((block) => block.used)).toEqual([2, 2]);
  });

  it("handles a /64 without enumerating it, to its last address", () => {
    const allocator = new Allocator(pool(["2001:db8::/64"], ["2001:db8::/65"]));
    expect(allocator.blocks()[0].capacity).toBeNull();
    const high = "2001:db8::ffff:ffff:ffff:ffff";
    expect(give(allocator, [parseAddress(high)!]).addresses).toEqual([high]);
    expect(() => give(allocator, [parseAddress("2001:db8::5")!])).toThrow("excluded");
    const open = new Allocator(pool(["2001:db8::/64"], ["2001:db8::", "2001:db8::2-2001:db8::ff"]));
    expect([give(open).addresses[0], give(open).addresses[0]]).toEqual(["2001:db8::1", "2001:db8::100"]);
  });

  it("keeps the list of released addresses of a huge block short", () => {
    const allocator = new Allocator(pool(["2001:db8::/64"]));
    const seen = new Set<string>();
    for (let i = 0; i < 10_000; i++) {
      const { addresses, sequence } = give(allocator);
      seen.add(addresses[0]);
      allocator.release(addresses, sequence);
    }
    expect(seen.size).toBe(4096);
  });
});

function inUseOf(inUse: ReadonlySet<string>, network: string): number {
  return [...inUse].filter((address) => address.startsWith(`${network}.`)).length;
}
