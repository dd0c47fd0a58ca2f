import { describe, expect, it } from "vitest";
import { mergeAs4Path } from "../../../../bgp/wire/attribute/as-path.ts";
import type { WireContext } from "../../../../bgp/wire/context.ts";
import { WireError } from "../../../../bgp/wire/error.ts";
import { type AsSegment, emptyAttributes, type PathAttributes } from "../../../../bgp/wire/path-attributes.ts";
import { decodeAttributes, encodeAttributes } from "../../../../bgp/wire/update.ts";
import { Writer } from "../../../../bgp/wire/writer.ts";
import { hex, toHex } from "../../../support/hex.ts";
import { type AttributeVector, attributeVectors, BASE } from "../../../vectors/attributes.ts";

const context = (vector: Partial<AttributeVector>): WireContext => ({
  as4: !vector.as2,
  ebgp: !vector.ibgp,
  families: [4, 6],
  extendedNextHop: false,
  maxMessage: 4096,
});

function decode(vector: Pick<AttributeVector, "bytes" | "as2" | "ibgp" | "noNlri">) {
  const bytes = hex(vector.bytes);
  return decodeAttributes(bytes, 0, bytes.length, context(vector), !vector.noNlri);
}

describe("decoding path attributes (RFC 4271 §6.3, RFC 7606)", () => {
  it.each(attributeVectors)("$name: $action", (vector) => {
    if (vector.action === "reset") {
      const error = catchWireError(() => decode(vector));
      expect(error.action).toBe("reset");
      expect(error.subcode).toBe(vector.subcode);
      return;
    }
    const decoded = decode(vector);
    expect(decoded.action).toBe(vector.action);
    if (vector.subcode !== undefined) expect(decoded.errors[0].subcode).toBe(vector.subcode);
    if (vector.action === "withdraw") expect(decoded.attributes).toBeNull();
    if (vector.value) expect(decoded.attributes).toMatchObject(vector.value);
  });

  it("takes the strongest of several actions, in whatever order they come", () => {
    const discard = "40 06 01 00";
    const withdraw = "c0 08 00";
    expect(decode({ bytes: `${BASE} ${discard} ${withdraw}` }).action).toBe("withdraw");
    expect(decode({ bytes: `${BASE} ${withdraw} ${discard}` }).action).toBe("withdraw");
  });

  it("describes a bounded number of faults, and still finds the strongest", () => {
    const repeated = "40 01 01 00 ".repeat(1000);
    const discarded = decode({ bytes: `${BASE} ${repeated}` });
    expect(discarded.errors.length).toBe(16);
    expect(discarded.action).toBe("discard");
    const withdrawn = decode({ bytes: `${BASE} ${repeated} c0 08 00` });
    expect(withdrawn.errors.map(({ action }) => action).lastIndexOf("withdraw")).toBe(16);
    expect(withdrawn.action).toBe("withdraw");
  });

  it("reads next hop and routes of MP_REACH_NLRI", () => {
    const { attributes, mpReach } = decode({
      bytes: `80 0e 2a 0002 01 20 20010db8000000000000000000000001 fe800000000000000000000000000001 00 20 20010db8 40 01 01 00 40 02 00`,
      noNlri: true,
    });
    expect(toHex(attributes?.nextHop as Uint8Array)).toBe("20010db8000000000000000000000001");
    expect(toHex(attributes?.linkLocalNextHop as Uint8Array)).toBe("fe800000000000000000000000000001");
    expect(mpReach).toMatchObject({ family: 6, nlriStart: 40, nlriEnd: 45 });
  });

  it("takes IPv4 routes over an IPv6 next hop when it was negotiated (RFC 8950)", () => {
    const bytes = hex("40 01 01 00 40 02 00 80 0e 17 0001 01 10 20010db8000000000000000000000001 00 08 0a");
    const decoded = decodeAttributes(bytes, 0, bytes.length, { ...context({}), extendedNextHop: true }, false);
    expect(decoded.mpReach?.family).toBe(4);
    expect(decoded.attributes?.nextHop?.length).toBe(16);
  });

  it("survives every cut and every changed byte of every vector", () => {
    for (const vector of attributeVectors) {
      const bytes = hex(vector.bytes);
      const attempt = (input: Uint8Array, hasNlri: boolean) => {
        try {
          decodeAttributes(input, 0, input.length, context(vector), hasNlri);
        } catch (error) {
          expect(error).toBeInstanceOf(WireError);
        }
      };
      for (let cut = 0; cut < bytes.length; cut++) attempt(bytes.subarray(0, cut), true);
      for (let at = 0; at < bytes.length; at++) {
        for (const value of [0, 1, 0x7f, 0x80, 0xff, bytes[at] ^ 0x10, bytes[at] + 1, bytes[at] - 1]) {
          const changed = Uint8Array.from(bytes);
          changed[at] = value;
          attempt(changed, true);
          attempt(changed, false);
        }
      }
    }
  });
});

describe("AS_PATH and AS4_PATH become one (RFC 6793 §4.2.3)", () => {
  const sequence = (...asns: number[]): AsSegment => ({ type: 2, asns });
  const set = (...asns: number[]): AsSegment => ({ type: 1, asns });
  const confed = (...asns: number[]): AsSegment => ({ type: 3, asns });
  it.each<[string, AsSegment[], AsSegment[], AsSegment[]]>([
    ["same length", [sequence(1, 23456)], [sequence(1, 70000)], [sequence(1, 70000)]],
    ["two-octet ASes in front", [sequence(1, 2, 23456)], [sequence(70000)], [sequence(1, 2, 70000)]],
    ["longer truth is ignored", [sequence(1)], [sequence(1, 70000)], [sequence(1)]],
    ["a set counts one", [sequence(1), set(2, 23456)], [set(2, 70000)], [sequence(1), set(2, 70000)]],
    ["a set in front", [set(1, 2), sequence(23456)], [sequence(70000)], [set(1, 2), sequence(70000)]],
    ["confederation in front", [confed(9), sequence(1, 23456)], [sequence(70000)], [confed(9), sequence(1, 70000)]],
    ["confederation only in front", [confed(9), sequence(23456)], [sequence(70000)], [confed(9), sequence(70000)]],
    ["path split in two segments", [sequence(1), sequence(23456)], [sequence(70000)], [sequence(1, 70000)]],
    ["both empty", [], [], []],
  ])("%s", (_name, path, truth, merged) => expect(mergeAs4Path(path, truth)).toEqual(merged));

  it("joins no more ASes than a segment holds", () => {
    const long = Array.from({ length: 255 }, (_, i) => i + 1);
    const merged = mergeAs4Path([sequence(...long), sequence(23456)], [sequence(70000)]);
    expect(merged).toEqual([sequence(...long), sequence(70000)]);
  });
});

describe("encoding path attributes", () => {
  it("sends ascending types with lengths and flags made anew, and the partial bit on what it does not know", () => {
    const writer = new Writer(1);
    encodeAttributes(
      writer,
      {
        ...emptyAttributes,
        asPath: [{ type: 2, asns: [65001] }],
        nextHop: Uint8Array.of(10, 0, 0, 1),
        communities: [0xfde90064],
        unknown: [
          { flags: 0xd0, code: 99, value: Uint8Array.of(1) },
          { flags: 0xc0, code: 11, value: new Uint8Array(0) },
        ],
      },
      { as4: true },
      true,
    );
    expect(toHex(writer.slice())).toBe(toHex(hex(`${BASE} c0 08 04 fde90064 e0 0b 00 e0 63 01 01`)));
  });

  it("speaks two-octet AS numbers with AS_TRANS, AS4_PATH and AS4_AGGREGATOR (RFC 6793 §4.2.2)", () => {
    const writer = new Writer();
    const attributes = {
      ...emptyAttributes,
      asPath: [{ type: 2 as const, asns: [65001, 70000] }],
      aggregator: { asn: 70000, address: 1 },
    };
    encodeAttributes(writer, attributes, { as4: false }, false);
    expect(toHex(writer.slice())).toBe(
      toHex(
        hex(
          "40 01 01 00 40 02 06 02 02 fde9 5ba0 c0 07 06 5ba0 00000001 c0 11 0a 02 02 0000fde9 00011170 c0 12 08 00011170 00000001",
        ),
      ),
    );
  });

  it("keeps the partial bit that an attribute came with, and sends a large community once", () => {
    const received = decode({ bytes: `${BASE} e0 08 04 fde90064 c0 20 0c 0000fde9 00000001 00000002` });
    const attributes = received.attributes as PathAttributes;
    const writer = new Writer();
    const largeCommunities = [...attributes.largeCommunities, ...attributes.largeCommunities];
    encodeAttributes(writer, { ...attributes, largeCommunities }, { as4: true }, true);
    expect(toHex(writer.slice())).toBe(toHex(hex(`${BASE} e0 08 04 fde90064 c0 20 0c 0000fde9 00000001 00000002`)));
  });

  it("sends no AS4_PATH when only confederation segments would be in it", () => {
    const writer = new Writer();
    encodeAttributes(writer, { ...emptyAttributes, asPath: [{ type: 3, asns: [70000] }] }, { as4: false }, false);
    expect(toHex(writer.slice())).toBe(toHex(hex("40 01 01 00 40 02 04 03 01 5ba0")));
  });

  it("splits a path of more than 255 ASes", () => {
    const writer = new Writer();
    const asns = Array.from({ length: 300 }, (_, i) => i + 1);
    encodeAttributes(writer, { ...emptyAttributes, asPath: [{ type: 2, asns }] }, { as4: true }, false);
    const decoded = decodeAttributes(writer.buffer, 0, writer.offset, context({}), false);
    expect(decoded.attributes?.asPath.map((segment) => segment.asns.length)).toEqual([255, 45]);
    expect(decoded.attributes?.asPath.flatMap((segment) => segment.asns)).toEqual(asns);
  });
});

function catchWireError(run: () => unknown): WireError {
  try {
    run();
  } catch (error) {
    if (error instanceof WireError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}
