// NEXT_HOP (RFC 4271 §4.3 c, RFC 7606 §7.3): an IPv4 address that a packet could be sent to.
import { AttributeCode } from "../registry.ts";
import { type AttributeCodec, WELL_KNOWN, writeAttributeHeader, wrongLength } from "./codec.ts";

export const nextHop: AttributeCodec = {
  code: AttributeCode.NEXT_HOP,
  name: "NEXT_HOP",
  flags: WELL_KNOWN,
  malformed: "withdraw",
  decode(value, draft) {
    if (value.remaining !== 4) return wrongLength(value, "4");
    const address = value.bytes(4);
    if (address[0] === 0 || address[0] === 127 || address[0] >= 224)
      return `not a unicast address: ${address.join(".")}`;
    draft.nextHop = address;
    return null;
  },
  encode(writer, attributes) {
    if (attributes.nextHop?.length !== 4) return;
    writeAttributeHeader(writer, WELL_KNOWN, AttributeCode.NEXT_HOP, 4);
    writer.bytes(attributes.nextHop);
  },
};
