// ORIGINATOR_ID and CLUSTER_LIST (RFC 4456 §8, RFC 7606 §7.9 and §7.10): router identifiers, within one AS only.
import { AttributeCode } from "../registry.ts";
import { type AttributeCodec, OPTIONAL_NON_TRANSITIVE, writeAttributeHeader, wrongLength } from "./codec.ts";

export const originatorId: AttributeCodec = {
  code: AttributeCode.ORIGINATOR_ID,
  name: "ORIGINATOR_ID",
  flags: OPTIONAL_NON_TRANSITIVE,
  malformed: "withdraw",
  internalOnly: true,
  decode(value, draft) {
    if (value.remaining !== 4) return wrongLength(value, "4");
    draft.originatorId = value.u32();
    return null;
  },
  encode(writer, attributes) {
    if (attributes.originatorId === null) return;
    writeAttributeHeader(writer, OPTIONAL_NON_TRANSITIVE, AttributeCode.ORIGINATOR_ID, 4);
    writer.u32(attributes.originatorId);
  },
};

export const clusterList: AttributeCodec = {
  code: AttributeCode.CLUSTER_LIST,
  name: "CLUSTER_LIST",
  flags: OPTIONAL_NON_TRANSITIVE,
  malformed: "withdraw",
  internalOnly: true,
  decode(value, draft) {
    if (value.remaining === 0 || value.remaining % 4 !== 0) return wrongLength(value, "a multiple of 4");
    const list: number[] = [];
    while (value.remaining > 0) list.push(value.u32());
    draft.clusterList = list;
    return null;
  },
  encode(writer, { clusterList: list }) {
    if (list.length === 0) return;
    writeAttributeHeader(writer, OPTIONAL_NON_TRANSITIVE, AttributeCode.CLUSTER_LIST, list.length * 4);
    for (const id of list) writer.u32(id);
  },
};
