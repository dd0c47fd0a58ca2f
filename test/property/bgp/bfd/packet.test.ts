// Whatever arrives on the port: it is a control packet that reads and writes the same, or it is discarded with a reason.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CONTROL_LENGTH, decodeControl, discards, encodeControl } from "../../../../bgp/bfd/packet.ts";

const plausible = fc
  .tuple(fc.integer({ min: 0x20, max: 0x3f }), fc.nat(255), fc.nat(255), fc.integer({ min: 20, max: 40 }))
  .chain((head) => fc.uint8Array({ maxLength: 60 }).map((rest) => Uint8Array.of(...head, ...rest)));

describe("any bytes as a control packet", () => {
  it("are taken or discarded, never thrown over", () => {
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 80 }), plausible), (bytes) => {
        const packet = decodeControl(bytes, bytes.length);
        if (typeof packet === "string") {
          expect(discards).toContain(packet);
          return;
        }
        const written = new Uint8Array(CONTROL_LENGTH);
        encodeControl(packet, written);
        const expected = bytes.slice(0, CONTROL_LENGTH);
        // Bytes may follow what we know of the packet.
        expected[3] = CONTROL_LENGTH;
        expect(written).toEqual(expected);
      }),
      { numRuns: 2_000 },
    );
  });
});
