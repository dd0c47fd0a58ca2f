// Decoders take what the kernel sends, but must survive anything: no throw, no endless loop, no reading past the end.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decodeAddress } from "../../../../routing/netlink/address.ts";
import { Attributes } from "../../../../routing/netlink/attribute.ts";
import { decodeLink } from "../../../../routing/netlink/link.ts";
import { MessageWriter, messageView, readMessage } from "../../../../routing/netlink/message.ts";
import { decodeNeighbour } from "../../../../routing/netlink/neighbour.ts";
import { decodeNextHop, encodeNewGroup } from "../../../../routing/netlink/nexthop.ts";
import { decodeRoute } from "../../../../routing/netlink/route.ts";
import { decodeRule } from "../../../../routing/netlink/rule.ts";

const decoders = [decodeAddress, decodeLink, decodeNeighbour, decodeNextHop, decodeRoute, decodeRule];

/** Random attributes with lengths that are often wrong, after a header of 16 bytes. */
const bodies = fc
  .tuple(
    fc.constantFrom(0, 2, 10),
    fc.uint8Array({ minLength: 15, maxLength: 15 }),
    fc.array(
      fc.record({
        type: fc.integer({ min: 0, max: 40 }),
        length: fc.integer({ min: 0, max: 40 }),
        payload: fc.uint8Array({ maxLength: 36 }),
      }),
      { maxLength: 8 },
    ),
  )
  .map(([family, header, attributes]) =>
    Buffer.concat([
      Buffer.of(family),
      header,
      ...attributes.map(({ type, length, payload }) => Buffer.concat([Buffer.of(length, 0, type, 0), payload])),
    ]),
  );

describe("malformed input", () => {
  it("never throws", () => {
    fc.assert(
      fc.property(bodies, fc.nat(64), (body, cut) => {
        const end = Math.max(0, body.length - cut);
        for (const decode of decoders) decode(body, 0, end);
      }),
      { numRuns: 3000 },
    );
  });

  it("cut off anywhere leaves what was whole", () => {
    const out = new MessageWriter();
    encodeNewGroup(out, 5, 201, [
      { id: 1, weight: 1 },
      { id: 2, weight: 1 },
    ]);
    for (let end = 16; end <= out.length; end++) {
      const nextHop = decodeNextHop(out.buffer, 16, end);
      if (end < 24) expect(nextHop).toBeNull();
      else if (end < 32) expect(nextHop).toMatchObject({ id: 0, group: null });
      else if (end < out.length) expect(nextHop).toMatchObject({ id: 5, group: null });
      else expect(nextHop?.group).toHaveLength(2);
    }
  });

  it("ends the walk over messages", () => {
    const view = messageView();
    for (const length of [0, 1, 15, 17, 0xffffffff]) {
      const buffer = Buffer.alloc(16);
      buffer.writeUInt32LE(length, 0);
      expect(readMessage(buffer, 0, 16, view)).toBe(-1);
    }
    expect(readMessage(Buffer.alloc(3), 0, 3, view)).toBe(-1);
  });

  it("counts an attribute too short for its type as absent", () => {
    const attributes = new Attributes(4).parse(Buffer.from([5, 0, 1, 0, 9, 0, 0, 0, 4, 0, 2, 0]), 0, 12);
    expect([
      attributes.u32(1, 7),
      attributes.u8(1),
      attributes.u8(2, 3),
      attributes.address(1),
      attributes.text(2),
    ]).toEqual([7, 9, 3, null, ""]);
  });
});
