// Which block is claimed next: contiguous within a rack, racks apart, around what is taken or excluded, and without
// counting what an IPv6 CIDR has.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { chooseBlock, type RackRange, type TakenBlock } from "../../../../cni/blocks/choose.ts";
import { checkPool, clash, formatPool, parsePool } from "../../../../cni/blocks/pools.ts";
import { tail } from "../../../../cni/blocks/space.ts";
import type { ClusterPool } from "../../../../cni/blocks/types.ts";
import { contains, overlaps, prefix } from "../../../../net/prefix.ts";

const pool: ClusterPool = {
  name: "default",
  cidrs: ["10.0.0.0/22", "10.1.0.0/24", "2001:db8::/48"],
  blockSize: { 4: 28, 6: 122 },
  exclude: [],
  rackSize: { 4: 26 },
  racks: {},
  lend: 0,
  maxBlocks: 20,
};

/** Claims one after the other, as etcd would have it. */
class Claims {
  readonly taken: TakenBlock[] = [];
  readonly ranges: RackRange[] = [];
  readonly pool: ClusterPool;

  constructor(over: Partial<ClusterPool> = {}) {
    this.pool = { ...pool, ...over };
  }

  claim(node: string, rack: string | null, family: 4 | 6 = 4, attempt = 0, random = 0.5): string | null {
    const snapshot = { pool: this.pool, family, taken: this.taken, ranges: this.ranges };
    const choice = chooseBlock({ node, rack, attempt, random }, snapshot);
    if (!choice) return null;
    for (const { prefix: other } of this.taken) expect(overlaps(prefix(other), prefix(choice.prefix))).toBe(false);
    this.taken.push({ prefix: choice.prefix, node, rack });
    const known = this.ranges.findIndex((range) => range.prefix === choice.range?.prefix);
    if (known >= 0) this.ranges.splice(known, 1);
    if (choice.range) this.ranges.push({ prefix: choice.range.prefix, rack, modRevision: this.taken.length });
    return choice.prefix;
  }

  /** Prefixes of racks' ranges with the racks that have blocks in them. */
  racksIn(length: number): Map<string, Set<string | null>> {
    const racks = new Map<string, Set<string | null>>();
    for (const { prefix: block, rack } of this.taken)
      for (const { prefix: range } of this.ranges)
        if (contains(prefix(range), prefix(block)) && prefix(range).length === length)
          racks.set(range, (racks.get(range) ?? new Set()).add(rack));
    return racks;
  }
}

describe("a rack", () => {
  it("fills one range after the other, from its beginning", () => {
    const claims = new Claims();
    const first = [0, 1, 2, 3].map((i) => claims.claim(`n${i}`, "r1"));
    const range = claims.ranges[0].prefix;
    expect(first.every((block) => contains(prefix(range), prefix(block!)))).toBe(true);
    expect([...first].sort()).toEqual(first);
    claims.claim("n4", "r1");
    expect(claims.ranges).toHaveLength(2);
  });

  it("has its ranges for itself until there is nothing else", () => {
    const claims = new Claims({ cidrs: ["10.0.0.0/24"] });
    for (let i = 0; i < 5; i++) for (const rack of ["r1", "r2"]) claims.claim(`${rack}-${i}`, rack);
    expect([...claims.racksIn(26).values()].every((racks) => racks.size === 1)).toBe(true);
    expect(claims.racksIn(26).size).toBe(4);
    // 16 blocks in all; a third rack finds no range of its own.
    expect(claims.claim("r3-0", "r3")).not.toBeNull();
    for (let i = 0; i < 5; i++) expect(claims.claim(`r1-${i}`, "r1")).not.toBeNull();
    expect(claims.claim("r1-9", "r1")).toBeNull();
  });

  it("begins in the range that is meant for it, and keeps out of others'", () => {
    const claims = new Claims({ racks: { r1: ["10.1.0.0/24"], r2: ["10.0.0.0/22"] } });
    expect(claims.claim("n1", "r1")).toBe("10.1.0.0/28");
    for (let i = 0; i < 15; i++) expect(claims.claim(`n${i}`, "r1")).toMatch(/^10\.1\.0\./);
    // Its own are full, and so is what is nobody's: then somebody else's.
    expect(claims.claim("n99", "r1")).toMatch(/^10\.0\./);
  });

  it("takes a range over whose blocks have all gone", () => {
    const claims = new Claims({ cidrs: ["10.0.0.0/26"] });
    claims.claim("n1", "r1");
    claims.taken.length = 0;
    expect(claims.claim("n2", "r2")).toBe("10.0.0.0/28");
    expect(claims.ranges).toMatchObject([{ prefix: "10.0.0.0/26", rack: "r2" }]);
  });
});

describe("any node", () => {
  it("gets blocks side by side, and keeps out of racks' ranges", () => {
    const claims = new Claims({ cidrs: ["10.0.0.0/24"] });
    claims.claim("n1", "r1");
    const [range] = claims.ranges;
    const mine = [0, 1, 2].map(() => claims.claim("n2", null)!);
    expect(mine.some((block) => overlaps(prefix(block), prefix(range.prefix)))).toBe(false);
    expect(new Set(mine.map((block) => block.split(".")[2])).size).toBe(1);
  });

  it("gets none that is excluded as a whole, and every one that is not, whatever it begins with", () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ node: fc.nat(9), rack: fc.constantFrom(null, "a", "b"), attempt: fc.nat(2) }), {
          minLength: 30,
          maxLength: 30,
        }),
        fc.double({ min: 0, max: 0.999, noNaN: true }),
        (claimers, random) => {
          const claims = new Claims({
            cidrs: ["10.0.0.0/24", "10.0.2.0/25"],
            exclude: ["10.0.0.32-10.0.0.70", "10.0.2.5"],
          });
          const got = claimers.map(({ node, rack, attempt }) => claims.claim(`n${node}`, rack, 4, attempt, random));
          // 24 blocks, two of them excluded as a whole.
          expect(got.filter((block) => block !== null)).toHaveLength(22);
          expect(got).not.toContain("10.0.0.32/28");
          expect(got).not.toContain("10.0.0.48/28");
        },
      ),
      { numRuns: 200 },
    );
  });

  it("finds its way in a /48 of which half is excluded", () => {
    const claims = new Claims({ exclude: ["2001:db8::/49"] });
    for (let i = 0; i < 40; i++) {
      const block = claims.claim(`n${i}`, i % 2 ? "r1" : null, 6);
      expect(contains(prefix("2001:db8:0:8000::/49"), prefix(block!))).toBe(true);
    }
  });

  it("goes around blocks of another size", () => {
    const claims = new Claims({ cidrs: ["10.0.0.0/26"] });
    claims.taken.push(
      { prefix: "10.0.0.0/27", node: "x", rack: null },
      { prefix: "10.0.0.33/32", node: null, rack: null },
    );
    expect(claims.claim("n1", null)).toBe("10.0.0.48/28");
    expect(claims.claim("n1", null)).toBeNull();
  });
});

describe("a pool", () => {
  it("is checked, whatever somebody has written into etcd", () => {
    expect(checkPool(pool)).toBeNull();
    expect(parsePool(formatPool(pool))).toMatchObject(pool);
    const wrong: [Partial<Record<keyof ClusterPool, unknown>>, RegExp][] = [
      [{ cidrs: [] }, /no CIDRs/],
      [{ cidrs: ["10.0.0.1/24"] }, /"10\.0\.0\.1\/24" is no canonical prefix/],
      [{ cidrs: ["10.0.0.0/24", "10.0.0.128/25"] }, /10\.0\.0\.128\/25 overlaps 10\.0\.0\.0\/24/],
      [{ blockSize: { 4: 20, 6: 122 } }, /blockSize for IPv4 has to be a prefix length from 22/],
      [{ blockSize: null }, /blockSize/],
      [{ rackSize: { 4: 30 } }, /rackSize/],
      [{ exclude: ["x"] }, /exclude "x"/],
      [{ racks: { r1: ["10.0.0.0"] } }, /rack r1: "10\.0\.0\.0" is no prefix/],
      [{ lend: -1 }, /lend/],
      [{ maxBlocks: 0 }, /maxBlocks/],
    ];
    for (const [over, words] of wrong) expect(checkPool({ ...pool, ...over } as ClusterPool)).toMatch(words);
    fc.assert(fc.property(fc.json(), (text) => parsePool(text) === null || checkPool(parsePool(text)!) === null));
    expect(clash({ ...pool, name: "other" }, [pool])).toMatch(/of pool other overlaps .* of pool default/);
    expect(clash(pool, [pool])).toBeNull();
  });

  it("lends the end of a block, a quarter at most", () => {
    expect(tail("10.0.0.0/28", 2)).toBe("10.0.0.14-10.0.0.15");
    expect(tail("10.0.0.0/28", 100)).toBe("10.0.0.12-10.0.0.15");
    expect(tail("10.0.0.0/31", 4)).toBeNull();
    expect(tail("2001:db8::/64", 4)).toBe("2001:db8::ffff:ffff:ffff:fffc-2001:db8::ffff:ffff:ffff:ffff");
    expect(tail("10.0.0.0/28", 0)).toBeNull();
  });
});
