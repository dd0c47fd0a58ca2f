// RouteTable against a Map: any sequence of changes leaves the same routes, counts and dirty sets.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { RouteTable } from "../../../routing/fib/route-table.ts";

interface Model {
  desired: number;
  kernel: number;
}

const command = fc.record({
  kind: fc.constantFrom("want", "withdraw", "write", "gone", "forget"),
  // Few addresses that collide in every way: same bytes with other lengths, same low bits.
  address: fc.tuple(fc.constantFrom(10, 11), fc.nat(3), fc.nat(3), fc.constant(0)),
  length: fc.constantFrom(8, 16, 24),
  value: fc.integer({ min: 1, max: 3 }),
});

type CommandOf = typeof command extends fc.Arbitrary<infer T> ? T : never;

function check(family: 4 | 6, commands: readonly CommandOf[]): void {
  const table = new RouteTable(family, 100, 1);
  const model = new Map<string, Model>();
  for (const { kind, address, length, value } of commands) {
    const bytes = new Uint8Array(table.size);
    bytes.set(address);
    const key = `${address}/${length}`;
    if (kind === "want") {
      const id = table.intern(bytes, 0, length);
      table.want(id, value);
      table.markDirty(id);
      model.set(key, { desired: value, kernel: model.get(key)?.kernel ?? 0 });
    } else if (kind === "withdraw" || kind === "gone") {
      const id = table.find(bytes, 0, length);
      if (!model.has(key)) {
        if (id >= 0) expect([table.desired[id], table.kernel[id]]).toEqual([0, 0]);
        continue;
      }
      expect(id).toBeGreaterThanOrEqual(0);
      if (kind === "withdraw") {
        table.want(id, 0);
        model.get(key)!.desired = 0;
      } else {
        table.setKernel(id, 0);
        model.get(key)!.kernel = 0;
      }
      table.markDirty(id);
    } else if (kind === "forget") {
      table.forgetUnused();
      expect((table.count - model.size) * 2).toBeLessThan(Math.max(1, table.count));
    } else {
      // Everything dirty is written.
      for (let id = table.next(); id >= 0; id = table.next()) {
        table.setKernel(id, table.desired[id]);
        table.releaseIfUnused(id);
      }
      for (const [other, route] of model) {
        route.kernel = route.desired;
        if (route.desired === 0) model.delete(other);
      }
      expect(table.dirty).toBe(0);
    }
    expect(table.count).toBeGreaterThanOrEqual(model.size);
    const routes = [...model.values()];
    expect(table.desiredCount).toBe(routes.filter(({ desired }) => desired !== 0).length);
    expect(table.installedCount).toBe(routes.filter(({ desired, kernel }) => desired !== 0 && kernel !== 0).length);
  }
  for (const [key, route] of model) {
    const [text, length] = key.split("/");
    const bytes = new Uint8Array(table.size);
    bytes.set(text.split(",").map(Number));
    const id = table.find(bytes, 0, Number(length));
    expect({ desired: table.desired[id], kernel: table.kernel[id] }).toEqual(route);
  }
}

describe("route table", () => {
  it.each([4, 6] as const)("of IPv%i behaves as a map", (family) => {
    fc.assert(
      fc.property(fc.array(command, { maxLength: 200 }), (commands) => check(family, commands)),
      { numRuns: 150 },
    );
  });

  const handedOut = (third: (i: number) => number) => {
    const table = new RouteTable(4, 100);
    const count = 5000;
    for (let i = 0; i < count; i++) {
      const value = third(i);
      const id = table.intern(Uint8Array.of(10, value >> 16, (value >> 8) & 255, value & 255), 0, 32);
      table.want(id, 1);
      table.setKernel(id, 1);
      table.want(id, 0);
      table.markDirty(id);
      table.markDirty(id);
    }
    const order: number[] = [];
    for (let id = table.next(); id >= 0; id = table.next()) order.push(id);
    expect(new Set(order).size).toBe(count);
    return { count, neighbours: order.filter((id, i) => i > 0 && id - order[i - 1] === 1).length };
  };

  it("hands out each dirty id once, of sorted ones no two neighbours in a row", () => {
    expect(handedOut((i) => i).neighbours).toBe(0);
    expect(handedOut((i) => 5000 - i).neighbours).toBe(0);
  });

  it("hands out scattered ones as they came", () => {
    const { count, neighbours } = handedOut((i) => Math.imul(i, 0x9e3779b1) >>> 8);
    expect(neighbours).toBe(count - 1);
  });
});
