// MULTI_EXIT_DISC (RFC 4271 §4.3 d, RFC 7606 §7.4): an unsigned 32-bit metric.
import { AttributeCode } from "../registry.ts";
import { type AttributeCodec, OPTIONAL_NON_TRANSITIVE, writeAttributeHeader, wrongLength } from "./codec.ts";

export const med: AttributeCodec = {
  code: AttributeCode.MULTI_EXIT_DISC,
  name: "MULTI_EXIT_DISC",
  flags: OPTIONAL_NON_TRANSITIVE,
  malformed: "withdraw",
  decode(value, draft) {
    if (value.remaining !== 4) return wrongLength(value, "4");
    draft.med = value.u32();
    return null;
  },
  encode(writer, attributes) {
    if (attributes.med === null) return;
    writeAttributeHeader(writer, OPTIONAL_NON_TRANSITIVE, AttributeCode.MULTI_EXIT_DISC, 4);
    writer.u32(attributes.med);
  },
};
