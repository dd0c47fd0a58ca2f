// When blocks of a shared pool are claimed and given back.
import { describe, expect, it } from "vitest";
import { demand, type SharedBlock } from "../../../../daemon/shared/demand.ts";

const limits = { maxBlocks: 4, releaseAfter: 1000 };
let n = 0;
const block = (capacity: number | null, used: number, emptySince: number | null = null): SharedBlock => {
  n = (n + 1) % 8;
  return { prefix: `10.0.${n}.0/26`, capacity, free: capacity === null ? null : capacity - used, emptySince };
};
const idle = { claim: false, release: null, wait: null };

describe("demand", () => {
  it("claims the first block, and one more before the pool runs dry", () => {
    expect(demand([], limits, 0).claim).toBe(true);
    expect(demand([block(64, 55)], limits, 0)).toEqual(idle);
    expect(demand([block(64, 56)], limits, 0).claim).toBe(true);
    expect(demand([block(64, 64), block(64, 57)], limits, 0).claim).toBe(true);
    expect(demand([block(4, 2)], limits, 0)).toEqual(idle);
    expect(demand([block(4, 3)], limits, 0).claim).toBe(true);
    expect(demand([block(1, 1), block(1, 0)], limits, 0).claim).toBe(true);
  });

  it("counts on no address that cools down", () => {
    // Of the 24 that are not in use.
    expect(demand([{ ...block(64, 40), free: 9 }], limits, 0)).toEqual(idle);
    expect(demand([{ ...block(64, 40), free: 8 }], limits, 0).claim).toBe(true);
    expect(demand([block(64, 3), { ...block(64, 0, 0), free: 60 }], limits, 999).wait).toBe(1);
  });

  it("claims no more than is allowed, and nothing with a block of more addresses than can be used up", () => {
    const full = [block(64, 64), block(64, 64), block(64, 64), block(64, 64)];
    expect(demand(full, limits, 0)).toEqual(idle);
    expect(demand([block(null, 100_000)], limits, 0)).toEqual(idle);
  });

  it("gives back what has been empty for long enough, the latest first, never the last", () => {
    const blocks = [block(64, 3), block(64, 0, 500), block(64, 0, 0)];
    expect(demand(blocks, limits, 400)).toEqual({ claim: false, release: null, wait: 600 });
    expect(demand(blocks, limits, 1000).release).toBe(blocks[2].prefix);
    expect(demand([blocks[0], blocks[1]], limits, 1500).release).toBe(blocks[1].prefix);
    expect(demand([block(64, 0, 0)], limits, 9e9)).toEqual(idle);
    expect(demand([block(null, 0, 0), block(null, 0, 0)], limits, 9e9).release).not.toBeNull();
  });

  it("gives nothing back that would soon be claimed again", () => {
    // 16 left without the second one: a quarter of a block.
    expect(demand([block(64, 48), block(64, 0, 0)], limits, 9e9)).toEqual(idle);
    expect(demand([block(64, 47), block(64, 0, 0)], limits, 9e9).release).not.toBeNull();
  });

  it("has room between claiming and giving back, whatever the size", () => {
    for (const size of [1, 2, 3, 4, 8, 16, 64, 256])
      for (let used = 0; used <= size; used++) {
        const one = [block(size, used)];
        if (!demand(one, limits, 0).claim) continue;
        const two = [...one, block(size, 0, 0)];
        expect(demand(two, limits, 9e9).release, `${size} ${used}`).toBeNull();
        // One pod less does not change it.
        if (used > 0)
          expect(demand([block(size, used - 1), two[1]], limits, 9e9).release, `${size} ${used}`).toBeNull();
      }
  });
});
