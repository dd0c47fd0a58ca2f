// ORIGIN (RFC 4271 §4.3 a, RFC 7606 §7.1): one octet, 0 IGP, 1 EGP, 2 INCOMPLETE.
import type { Origin } from "../path-attributes.ts";
import { AttributeCode } from "../registry.ts";
import { type AttributeCodec, WELL_KNOWN, writeAttributeHeader, wrongLength } from "./codec.ts";

export const origin: AttributeCodec = {
  code: AttributeCode.ORIGIN,
  name: "ORIGIN",
  flags: WELL_KNOWN,
  malformed: "withdraw",
  decode(value, draft) {
    if (value.remaining !== 1) return wrongLength(value, "1");
    const code = value.u8();
    if (code > 2) return `undefined value ${code}`;
    draft.origin = code as Origin;
    return null;
  },
  encode(writer, attributes) {
    writeAttributeHeader(writer, WELL_KNOWN, AttributeCode.ORIGIN, 1);
    writer.u8(attributes.origin);
  },
};
