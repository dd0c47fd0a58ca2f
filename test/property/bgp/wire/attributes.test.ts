import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { codecByType } from "../../../../bgp/wire/attribute/table.ts";
import { emptyAttributes, type PathAttributes } from "../../../../bgp/wire/path-attributes.ts";
import { decodeAttributes, encodeAttributes } from "../../../../bgp/wire/update.ts";
import { Writer } from "../../../../bgp/wire/writer.ts";

const u32 = fc.integer({ min: 0, max: 0xffffffff });
const asn = fc.integer({ min: 1, max: 0xffffffff });
const segment = fc.record({
  type: fc.constantFrom(1 as const, 2 as const),
  asns: fc.array(asn, { minLength: 1, maxLength: 255 }),
});
const isUnknown = (code: number) => codecByType[code] === undefined && code !== 14 && code !== 15;

const attributes: fc.Arbitrary<PathAttributes> = fc.record({
  origin: fc.constantFrom(0 as const, 1 as const, 2 as const),
  asPath: fc.array(segment, { maxLength: 4 }),
  nextHop: fc.tuple(fc.integer({ min: 1, max: 126 }), u32).map(([a, b]) => Uint8Array.of(a, b >>> 24, b >>> 16, b)),
  linkLocalNextHop: fc.constant(null),
  med: fc.option(u32),
  localPref: fc.option(u32),
  atomicAggregate: fc.boolean(),
  aggregator: fc.option(fc.record({ asn, address: u32 })),
  communities: fc.array(u32, { maxLength: 100 }),
  extendedCommunities: fc.array(fc.tuple(u32, u32), { maxLength: 40 }),
  largeCommunities: fc.array(fc.tuple(u32, u32, u32), { maxLength: 40 }),
  originatorId: fc.option(u32),
  clusterList: fc.array(u32, { maxLength: 80 }),
  unknown: fc
    .uniqueArray(
      fc.record({
        flags: fc.constantFrom(0xe0),
        code: fc.integer({ min: 1, max: 255 }).filter(isUnknown),
        value: fc.uint8Array({ maxLength: 300 }),
      }),
      { selector: (entry) => entry.code, maxLength: 4 },
    )
    .map((list) => list.sort((a, b) => a.code - b.code)),
});

const context = { as4: true, ebgp: false, families: [4, 6] as const, extendedNextHop: false, maxMessage: 4096 };

describe("path attributes", () => {
  it("come back from the wire as they were sent", () => {
    fc.assert(
      fc.property(attributes, (sent) => {
        const writer = new Writer();
        encodeAttributes(writer, sent, { as4: true }, true);
        const decoded = decodeAttributes(writer.buffer, 0, writer.offset, context, true);
        expect(decoded.errors).toEqual([]);
        expect(decoded.attributes).toEqual(sent);
      }),
    );
  });

  it("come back from a two-octet neighbour with every four-octet number in its place", () => {
    const sequenceOnly = fc.array(asn, { minLength: 1, maxLength: 100 });
    fc.assert(
      fc.property(sequenceOnly, fc.option(asn), (asns, aggregatorAsn) => {
        const aggregator = aggregatorAsn === null ? null : { asn: aggregatorAsn, address: 1 };
        const sent: PathAttributes = { ...emptyAttributes, asPath: [{ type: 2, asns }], aggregator };
        const writer = new Writer();
        encodeAttributes(writer, sent, { as4: false }, false);
        const decoded = decodeAttributes(writer.buffer, 0, writer.offset, { ...context, as4: false }, false);
        expect(decoded.errors).toEqual([]);
        expect(decoded.attributes?.aggregator).toEqual(aggregator);
        expect(decoded.attributes?.asPath.flatMap((path) => path.asns)).toEqual(asns);
      }),
    );
  });
});
