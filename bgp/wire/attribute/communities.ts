// COMMUNITIES (RFC 1997, RFC 7606 §7.8), EXTENDED COMMUNITIES (RFC 4360, RFC 7606 §7.14) and LARGE_COMMUNITY (RFC 8092
// §3): lists of 4-, 8- and 12-octet values; an empty list is malformed. Large communities are sent once each, and
// redundant ones removed on receipt (RFC 8092 §3); for the others the RFCs leave repetition to the sender.
import { AttributeCode } from "../registry.ts";
import { type AttributeCodec, OPTIONAL_TRANSITIVE, writeAttributeHeader, wrongLength } from "./codec.ts";

export const communities: AttributeCodec = {
  code: AttributeCode.COMMUNITIES,
  name: "COMMUNITIES",
  flags: OPTIONAL_TRANSITIVE,
  malformed: "withdraw",
  decode(value, draft) {
    if (value.remaining === 0 || value.remaining % 4 !== 0) return wrongLength(value, "a multiple of 4");
    const list: number[] = [];
    while (value.remaining > 0) list.push(value.u32());
    draft.communities = list;
    return null;
  },
  encode(writer, { communities: list }) {
    if (list.length === 0) return;
    writeAttributeHeader(writer, OPTIONAL_TRANSITIVE, AttributeCode.COMMUNITIES, list.length * 4);
    for (const community of list) writer.u32(community);
  },
};

export const extendedCommunities: AttributeCodec = {
  code: AttributeCode.EXTENDED_COMMUNITIES,
  name: "EXTENDED COMMUNITIES",
  flags: OPTIONAL_TRANSITIVE,
  malformed: "withdraw",
  decode(value, draft) {
    if (value.remaining === 0 || value.remaining % 8 !== 0) return wrongLength(value, "a multiple of 8");
    const list: [number, number][] = [];
    while (value.remaining > 0) list.push([value.u32(), value.u32()]);
    draft.extendedCommunities = list;
    return null;
  },
  encode(writer, { extendedCommunities: list }) {
    if (list.length === 0) return;
    writeAttributeHeader(writer, OPTIONAL_TRANSITIVE, AttributeCode.EXTENDED_COMMUNITIES, list.length * 8);
    for (const [high, low] of list) {
      writer.u32(high);
      writer.u32(low);
    }
  },
};

export const largeCommunities: AttributeCodec = {
  code: AttributeCode.LARGE_COMMUNITIES,
  name: "LARGE_COMMUNITY",
  flags: OPTIONAL_TRANSITIVE,
  malformed: "withdraw",
  decode(value, draft) {
    if (value.remaining === 0 || value.remaining % 12 !== 0) return wrongLength(value, "a multiple of 12");
    const list: [number, number, number][] = [];
    while (value.remaining > 0) list.push([value.u32(), value.u32(), value.u32()]);
    draft.largeCommunities = withoutRepetition(list);
    return null;
  },
  encode(writer, { largeCommunities }) {
    const list = withoutRepetition(largeCommunities);
    if (list.length === 0) return;
    writeAttributeHeader(writer, OPTIONAL_TRANSITIVE, AttributeCode.LARGE_COMMUNITIES, list.length * 12);
    for (const parts of list) for (const part of parts) writer.u32(part);
  },
};

type LargeCommunity = readonly [number, number, number];

/** Each value once, where it came first; the same list when it has no repetition. */
function withoutRepetition(list: readonly LargeCommunity[]): readonly LargeCommunity[] {
  if (list.length < 2) return list;
  const once = new Map<string, LargeCommunity>();
  for (const community of list) {
    const key = community.join();
    if (!once.has(key)) once.set(key, community);
  }
  return once.size === list.length ? list : [...once.values()];
}
