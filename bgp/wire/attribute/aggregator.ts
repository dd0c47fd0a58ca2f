// AGGREGATOR (RFC 4271 §4.3 g, RFC 7606 §7.7) and AS4_AGGREGATOR (RFC 6793 §3): who aggregated, AS number and address.
// AS 0 makes either of them malformed (RFC 7607 §2).
import type { Reader } from "../reader.ts";
import { AS_TRANS, AttributeCode } from "../registry.ts";
import { type AttributeCodec, OPTIONAL_TRANSITIVE, writeAttributeHeader, wrongLength } from "./codec.ts";

function decodeAggregator(value: Reader, as4: boolean): { asn: number; address: number } | string {
  const length = as4 ? 8 : 6;
  if (value.remaining !== length) return wrongLength(value, String(length));
  const asn = as4 ? value.u32() : value.u16();
  return asn === 0 ? "AS 0" : { asn, address: value.u32() };
}

export const aggregator: AttributeCodec = {
  code: AttributeCode.AGGREGATOR,
  name: "AGGREGATOR",
  flags: OPTIONAL_TRANSITIVE,
  malformed: "discard",
  decode(value, draft, context) {
    const decoded = decodeAggregator(value, context.as4);
    if (typeof decoded === "string") return decoded;
    draft.aggregator = decoded;
    return null;
  },
  encode(writer, { aggregator: present }, { as4 }) {
    if (!present) return;
    writeAttributeHeader(writer, OPTIONAL_TRANSITIVE, AttributeCode.AGGREGATOR, as4 ? 8 : 6);
    if (as4) writer.u32(present.asn);
    else writer.u16(present.asn > 0xffff ? AS_TRANS : present.asn);
    writer.u32(present.address);
  },
};

export const as4Aggregator: AttributeCodec = {
  code: AttributeCode.AS4_AGGREGATOR,
  name: "AS4_AGGREGATOR",
  flags: OPTIONAL_TRANSITIVE,
  malformed: "discard",
  decode(value, draft) {
    const decoded = decodeAggregator(value, true);
    if (typeof decoded === "string") return decoded;
    draft.as4Aggregator = decoded;
    return null;
  },
  encode(writer, { aggregator: present }, { as4 }) {
    if (as4 || !present || present.asn <= 0xffff) return;
    writeAttributeHeader(writer, OPTIONAL_TRANSITIVE, AttributeCode.AS4_AGGREGATOR, 8);
    writer.u32(present.asn);
    writer.u32(present.address);
  },
};
