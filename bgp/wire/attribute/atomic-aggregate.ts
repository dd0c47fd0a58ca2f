// ATOMIC_AGGREGATE (RFC 4271 §4.3 f, RFC 7606 §7.6): no value; its presence is the information.
import { AttributeCode } from "../registry.ts";
import { type AttributeCodec, WELL_KNOWN, writeAttributeHeader, wrongLength } from "./codec.ts";

export const atomicAggregate: AttributeCodec = {
  code: AttributeCode.ATOMIC_AGGREGATE,
  name: "ATOMIC_AGGREGATE",
  flags: WELL_KNOWN,
  malformed: "discard",
  decode(value, draft) {
    if (value.remaining !== 0) return wrongLength(value, "0");
    draft.atomicAggregate = true;
    return null;
  },
  encode(writer, attributes) {
    if (attributes.atomicAggregate) writeAttributeHeader(writer, WELL_KNOWN, AttributeCode.ATOMIC_AGGREGATE, 0);
  },
};
