import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { codecByType } from "../../../../bgp/wire/attribute/table.ts";
import { Framer } from "../../../../bgp/wire/framer.ts";
import { message } from "../../../../bgp/wire/message.ts";
import { writeNlri } from "../../../../bgp/wire/nlri.ts";
import { emptyAttributes, type PathAttributes } from "../../../../bgp/wire/path-attributes.ts";
import { MessageType } from "../../../../bgp/wire/registry.ts";
import {
  beginMpReach,
  beginMpUnreach,
  decodeAttributes,
  encodeAttributes,
  endMultiprotocol,
  locateMultiprotocol,
  type MpReach,
  type MpUnreach,
} from "../../../../bgp/wire/update.ts";
import { Writer } from "../../../../bgp/wire/writer.ts";
import { maskBytes } from "../../../../net/prefix.ts";
import { toHex } from "../../../support/hex.ts";
import { readPrefixes } from "../../../support/wire.ts";

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
  largeCommunities: fc.uniqueArray(fc.tuple(u32, u32, u32), { maxLength: 40, selector: (parts) => parts.join() }),
  originatorId: fc.option(u32),
  clusterList: fc.array(u32, { maxLength: 80 }),
  otc: fc.option(u32),
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
  // Towards a two-octet neighbour, AS4_PATH and AS4_AGGREGATOR carry what the fields cannot hold (RFC 6793).
  it.each([true, false])("come back from the wire as they were sent, as4 %s", (as4) => {
    fc.assert(
      fc.property(attributes, (sent) => {
        const writer = new Writer();
        encodeAttributes(writer, sent, { as4 }, true);
        const decoded = decodeAttributes(writer.buffer, 0, writer.offset, { ...context, as4 }, true);
        expect(decoded.errors).toEqual([]);
        expect(decoded.attributes).toEqual(sent);
      }),
    );
  });
});

describe("multiprotocol routes", () => {
  const family = fc.constantFrom(4 as const, 6 as const);
  const address = fc.uint8Array({ minLength: 16, maxLength: 16 });
  const prefixOf = (of: 4 | 6) =>
    fc
      .tuple(
        fc.uint8Array({ minLength: of === 4 ? 4 : 16, maxLength: of === 4 ? 4 : 16 }),
        fc.integer({ min: 0, max: of === 4 ? 32 : 128 }),
      )
      .map(([bytes, length]) => ({ family: of, bytes: maskBytes(bytes, length), length }));
  const routes = family.chain((of) => fc.tuple(fc.constant(of), fc.array(prefixOf(of), { maxLength: 50 })));

  it("come back from MP_REACH_NLRI and MP_UNREACH_NLRI, with one next hop or two", () => {
    fc.assert(
      fc.property(
        routes,
        routes,
        address,
        fc.boolean(),
        ([reachFamily, reachable], [unreachFamily, gone], bytes, two) => {
          const nextHop = Uint8Array.of(0x20, 1, ...bytes.subarray(2));
          const linkLocal = two ? Uint8Array.of(0xfe, 0x80, ...bytes.subarray(2)) : null;
          const writer = new Writer();
          const reachAt = beginMpReach(writer, reachFamily, nextHop, linkLocal);
          for (const { bytes, length } of reachable) writeNlri(writer, bytes, length);
          endMultiprotocol(writer, reachAt);
          const unreachAt = beginMpUnreach(writer, unreachFamily);
          for (const { bytes, length } of gone) writeNlri(writer, bytes, length);
          endMultiprotocol(writer, unreachAt);
          encodeAttributes(writer, emptyAttributes, { as4: true }, false);
          const extended = { ...context, extendedNextHop: true };
          const decoded = decodeAttributes(writer.buffer, 0, writer.offset, extended, false);
          expect(decoded.errors).toEqual([]);
          expect(decoded.attributes).toEqual({ ...emptyAttributes, nextHop, linkLocalNextHop: linkLocal });
          const { mpReach, mpUnreach } = decoded as { mpReach: MpReach; mpUnreach: MpUnreach };
          expect([mpReach.family, mpUnreach.family]).toEqual([reachFamily, unreachFamily]);
          expect(readPrefixes(writer.buffer, mpReach.nlriStart, mpReach.nlriEnd, reachFamily)).toEqual(reachable);
          expect(readPrefixes(writer.buffer, mpUnreach.nlriStart, mpUnreach.nlriEnd, unreachFamily)).toEqual(gone);
          const found = { reachStart: 0, reachEnd: 0, unreachStart: 0, unreachEnd: 0 };
          locateMultiprotocol(writer.buffer, 0, writer.offset, found);
          expect([found.reachEnd, found.unreachEnd]).toEqual([mpReach.nlriEnd, mpUnreach.nlriEnd]);
        },
      ),
    );
  });
});

describe("framer", () => {
  it("gives the same messages however the stream is cut", () => {
    const body = fc.uint8Array({ minLength: 4, maxLength: 300 });
    fc.assert(
      fc.property(
        fc.array(body, { maxLength: 10 }),
        fc.array(fc.nat(200), { minLength: 1, maxLength: 30 }),
        (bodies, cuts) => {
          const stream = Buffer.concat(bodies.map((bytes) => message(MessageType.UPDATE, bytes)));
          const framer = new Framer();
          const read: Uint8Array[] = [];
          for (let at = 0, turn = 0; at < stream.length; turn++) {
            const next = Math.min(stream.length, at + Math.max(1, cuts[turn % cuts.length]));
            framer.push(stream.subarray(at, next));
            while (framer.next()) read.push(framer.buffer.slice(framer.start, framer.end));
            at = next;
          }
          expect(read.map(toHex)).toEqual(bodies.map(toHex));
          expect(framer.buffered).toBe(0);
        },
      ),
    );
  });
});
