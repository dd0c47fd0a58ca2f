// The allocator's particular cases: single ones that a random history meets too seldom, and big ones.
import { describe, expect, it } from "vitest";
import { Allocator, type AllocatorOptions } from "../../../cni/ipam/allocator.ts";
import { type Exceptions, noExceptions } from "../../../cni/ipam/exceptions.ts";
import type { PoolOptions } from "../../../cni/types.ts";
import { parseAddress } from "../../../net/address.ts";
import { prefix } from "../../../net/prefix.ts";

const pool = (blocks: string[], more: Partial<PoolOptions> = {}): PoolOptions => ({
  name: "p",
  blocks,
  exclude: [],
  table: 7100,
  ...more,
});
const asked = (...addresses: string[]) => addresses.map((address) => parseAddress(address)!);
const code = (work: () => unknown) => {
  try {
    work();
    return 0;
  } catch (error) {
    return (error as { code?: number }).code;
  }
};

describe("addresses outside of the blocks", () => {
  const policy = (admitted: string): Exceptions & { gone: string[] } => ({
    ...noExceptions,
    gone: [],
    claim: async () => [admitted],
    admits: (address, identity) => address === admitted && identity === "pod",
    released(address) {
      this.gone.push(address);
    },
  });

  it("are given when somebody admits them, and told of when nobody has them any more", () => {
    const exceptions = policy("10.9.9.9");
    const allocator = new Allocator([pool(["10.0.0.0/30", "2001:db8::/126"])], { exceptions });
    const request = { pools: ["p"], addresses: asked("10.9.9.9") };
    expect(code(() => allocator.allocate({ ...request, identity: "other" }))).toBe(102);
    expect(code(() => allocator.allocate({ pools: ["p"], addresses: asked("10.9.9.8"), identity: "pod" }))).toBe(102);
    const { addresses, sequence } = allocator.allocate({ ...request, identity: "pod" });
    expect(addresses).toEqual(["10.9.9.9", "2001:db8::"]);
    expect(allocator.outside()).toMatchObject([{ address: "10.9.9.9", identity: "pod", sequence }]);
    expect(allocator.addresses(prefix("10.9.0.0/16"))).toMatchObject([{ block: null, state: "used", pool: "p" }]);
    allocator.release(addresses, sequence - 1);
    expect(exceptions.gone).toEqual([]);
    allocator.release(addresses, sequence);
    expect([exceptions.gone, allocator.outside()]).toEqual([["10.9.9.9"], []]);
  });

  it("are ordinary ones once a block has them", () => {
    const exceptions = policy("10.9.9.9");
    const allocator = new Allocator([pool(["10.0.0.0/30"])], { exceptions });
    const { sequence } = allocator.allocate({ pools: ["p"], addresses: asked("10.9.9.9"), identity: "pod" });
    allocator.setPools([pool(["10.0.0.0/30", "10.9.9.8/30"])]);
    expect([exceptions.gone, allocator.outside()]).toEqual([["10.9.9.9"], []]);
    expect(allocator.addresses(prefix("10.9.9.8/30"))).toMatchObject([{ address: "10.9.9.9", sequence }]);
    allocator.undo({ pool: "p", addresses: ["10.9.9.9"], sequence, restored: [], before: [] });
    expect(allocator.blocks().map(({ used }) => used)).toEqual([0, 0]);
  });
});

describe("an address that two pods have", () => {
  it("is the second one's when the first is gone, and free after both", () => {
    const allocator = new Allocator([pool(["10.0.0.0/30"])]);
    expect(allocator.adopt({ addresses: ["10.0.0.1"], pool: "p", sequence: 4 })).toBe(true);
    expect(allocator.adopt({ addresses: ["10.0.0.1", "10.0.0.2"], pool: "p", sequence: 5 })).toBe(false);
    expect(allocator.blocks()[0].used).toBe(2);
    allocator.release(["10.0.0.1"], 4);
    expect(code(() => allocator.allocate({ pools: ["p"], addresses: asked("10.0.0.1") }))).toBe(101);
    allocator.release(["10.0.0.1", "10.0.0.2"], 5);
    expect(allocator.blocks()[0].used).toBe(0);
  });

  it("stays the first one's when the second goes first", () => {
    const allocator = new Allocator([pool(["10.0.0.0/30"])]);
    allocator.adopt({ addresses: ["10.0.0.1"], pool: "p", sequence: 4 });
    allocator.adopt({ addresses: ["10.0.0.1"], pool: "p", sequence: 5 });
    allocator.release(["10.0.0.1"], 5);
    expect(allocator.addresses(prefix("10.0.0.1/32"))).toMatchObject([{ sequence: 4 }]);
    allocator.release(["10.0.0.1"], 4);
    expect(allocator.addresses(prefix("10.0.0.1/32"))).toMatchObject([{ state: "free" }]);
  });
});

describe("cooling addresses", () => {
  const both = (whenCooling: "reuse" | "wait") =>
    new Allocator([pool(["10.0.0.0/31"], { cooldown: 10, whenCooling }), { ...pool(["10.0.1.0/31"]), name: "q" }], {
      now: () => 0,
    });
  /** Both addresses of the first pool were in use, the second one was given back first. */
  const cooled = (whenCooling: "reuse" | "wait") => {
    const allocator = both(whenCooling);
    const pods = [0, 1].map(() => allocator.allocate({ pools: ["p"] }));
    for (const { addresses, sequence } of pods.reverse()) allocator.release(addresses, sequence);
    return allocator;
  };

  it("are given in the order in which they came back when there is nothing else, in a pool that says so", () => {
    const allocator = cooled("reuse");
    const next = (pools: string[]) => allocator.allocate({ pools }).addresses[0];
    expect(next(["p", "q"])).toBe("10.0.1.0");
    expect([next(["p"]), next(["p"])]).toEqual(["10.0.0.1", "10.0.0.0"]);
    expect(code(() => next(["p"]))).toBe(100);
  });

  it("are given to whom asks for them by name, in a pool that says so", () => {
    const take = (allocator: Allocator) => allocator.allocate({ pools: ["p"], addresses: asked("10.0.0.0") });
    expect(take(cooled("reuse")).addresses).toEqual(["10.0.0.0"]);
    expect(code(() => take(cooled("wait")))).toBe(11);
    expect(code(() => cooled("wait").allocate({ pools: ["p"] }))).toBe(11);
  });
});

describe("big ones", () => {
  const clock = (): AllocatorOptions & { ms: number } => ({
    ms: 0,
    now() {
      return this.ms;
    },
  });

  it("remember of a /64 only what is released within one cooldown, or 4096", () => {
    const time = clock();
    const allocator = new Allocator([pool(["2001:db8::/64"], { cooldown: 10 })], { now: () => time.ms });
    const seen = new Set<string>();
    for (let i = 0; i < 20_000; i++) {
      const { addresses, sequence } = allocator.allocate({ pools: ["p"] });
      seen.add(addresses[0]);
      allocator.release(addresses, sequence);
      time.ms++;
    }
    // Ten seconds of releases, and then the oldest one again and again.
    expect(seen.size).toBeLessThanOrEqual(10_002);
    expect(allocator.blocks()[0].cooling).toBeLessThanOrEqual(10_000);
  });

  it("find their way through tens of thousands of exclusions", () => {
    const exclude = Array.from({ length: 32_768 }, (_, i) => `10.0.${(2 * i) >> 8}.${(2 * i) & 255}`);
    const allocator = new Allocator([pool(["10.0.0.0/16"], { exclude })]);
    expect(allocator.blocks()[0].capacity).toBe(32_768);
    const first = Array.from({ length: 5 }, () => allocator.allocate({ pools: ["p"] }).addresses[0]);
    expect(first).toEqual(["10.0.0.1", "10.0.0.3", "10.0.0.5", "10.0.0.7", "10.0.0.9"]);
    for (let i = 5; i < 32_768; i++) allocator.allocate({ pools: ["p"] });
    expect(code(() => allocator.allocate({ pools: ["p"] }))).toBe(100);
    expect(code(() => allocator.allocate({ pools: ["p"], addresses: asked("10.0.255.254") }))).toBe(102);
  });
});
