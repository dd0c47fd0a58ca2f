// Only to Customer (RFC 9234 §5): the AS whose routes may only go to customers from here on.
import { AttributeCode } from "../registry.ts";
import { type AttributeCodec, OPTIONAL_TRANSITIVE, writeAttributeHeader, wrongLength } from "./codec.ts";

export const otc: AttributeCodec = {
  code: AttributeCode.OTC,
  name: "OTC",
  flags: OPTIONAL_TRANSITIVE,
  malformed: "withdraw",
  decode(value, draft) {
    if (value.remaining !== 4) return wrongLength(value, "4");
    draft.otc = value.u32();
    return null;
  },
  encode(writer, attributes) {
    if (attributes.otc === null) return;
    writeAttributeHeader(writer, OPTIONAL_TRANSITIVE, AttributeCode.OTC, 4);
    writer.u32(attributes.otc);
  },
};
