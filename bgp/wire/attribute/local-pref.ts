// LOCAL_PREF (RFC 4271 §4.3 e, RFC 7606 §7.5): an unsigned 32-bit preference, within one AS only.
import { AttributeCode } from "../registry.ts";
import { type AttributeCodec, WELL_KNOWN, writeAttributeHeader, wrongLength } from "./codec.ts";

export const localPref: AttributeCodec = {
  code: AttributeCode.LOCAL_PREF,
  name: "LOCAL_PREF",
  flags: WELL_KNOWN,
  malformed: "withdraw",
  internalOnly: true,
  decode(value, draft) {
    if (value.remaining !== 4) return wrongLength(value, "4");
    draft.localPref = value.u32();
    return null;
  },
  encode(writer, attributes) {
    if (attributes.localPref === null) return;
    writeAttributeHeader(writer, WELL_KNOWN, AttributeCode.LOCAL_PREF, 4);
    writer.u32(attributes.localPref);
  },
};
