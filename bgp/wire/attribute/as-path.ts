// AS_PATH (RFC 4271 §4.3 b, RFC 7606 §7.2) and AS4_PATH (RFC 6793 §3), which share their encoding.
//
//  | segment type (1 octet) | number of ASes (1 octet) | ASes, two or four octets each | ...
//
// AS 0 is malformed (RFC 7607 §2), confederation segments are from a neighbour in another AS (RFC 5065 §5). Towards a
// neighbour without four-octet numbers, AS_TRANS stands in, and AS4_PATH carries the truth (RFC 6793 §4.2.2).
import { type AsSegment, AsSegmentType } from "../path-attributes.ts";
import type { Reader } from "../reader.ts";
import { AS_TRANS, AttributeCode } from "../registry.ts";
import type { Writer } from "../writer.ts";
import { type AttributeCodec, OPTIONAL_TRANSITIVE, WELL_KNOWN, writeAttributeHeader } from "./codec.ts";

const MAX_SEGMENT = 255;

function isConfederation(segment: AsSegment): boolean {
  return segment.type === AsSegmentType.AS_CONFED_SEQUENCE || segment.type === AsSegmentType.AS_CONFED_SET;
}

/** The segments, or what is malformed. */
function decodeSegments(value: Reader, as4: boolean): AsSegment[] | string {
  const segments: AsSegment[] = [];
  while (value.remaining > 0) {
    const type = value.u8();
    const count = value.u8();
    if (type < AsSegmentType.AS_SET || type > AsSegmentType.AS_CONFED_SET) return `unknown segment type ${type}`;
    if (count === 0) return "segment without AS numbers";
    if (value.remaining < count * (as4 ? 4 : 2)) return "segment reaches past the end";
    const asns: number[] = [];
    for (let i = 0; i < count; i++) {
      const asn = as4 ? value.u32() : value.u16();
      if (asn === 0) return "AS 0";
      asns.push(asn);
    }
    segments.push({ type: type as AsSegmentType, asns });
  }
  return value.overrun ? "segment reaches past the end" : segments;
}

function encodeSegments(
  writer: Writer,
  flags: number,
  code: number,
  segments: readonly AsSegment[],
  as4: boolean,
): void {
  let length = 0;
  for (const { asns } of segments) length += 2 * Math.ceil(asns.length / MAX_SEGMENT) + asns.length * (as4 ? 4 : 2);
  writeAttributeHeader(writer, flags, code, length);
  for (const { type, asns } of segments) {
    for (let from = 0; from < asns.length; from += MAX_SEGMENT) {
      const count = Math.min(MAX_SEGMENT, asns.length - from);
      writer.u8(type);
      writer.u8(count);
      for (let i = from; i < from + count; i++) {
        if (as4) writer.u32(asns[i]);
        else writer.u16(asns[i] > 0xffff ? AS_TRANS : asns[i]);
      }
    }
  }
}

export const asPath: AttributeCodec = {
  code: AttributeCode.AS_PATH,
  name: "AS_PATH",
  flags: WELL_KNOWN,
  malformed: "withdraw",
  decode(value, draft, context) {
    const segments = decodeSegments(value, context.as4);
    if (typeof segments === "string") return segments;
    if (context.ebgp && segments.some(isConfederation)) return "confederation segment from another AS";
    draft.asPath = segments;
    return null;
  },
  encode(writer, attributes, { as4 }) {
    encodeSegments(writer, WELL_KNOWN, AttributeCode.AS_PATH, attributes.asPath, as4);
  },
};

export const as4Path: AttributeCodec = {
  code: AttributeCode.AS4_PATH,
  name: "AS4_PATH",
  flags: OPTIONAL_TRANSITIVE,
  malformed: "discard",
  decode(value, draft) {
    const segments = decodeSegments(value, true);
    if (typeof segments === "string") return segments;
    if (segments.length === 0) return "no AS numbers";
    draft.as4Path = segments.filter((segment) => !isConfederation(segment));
    return null;
  },
  encode(writer, attributes, { as4 }) {
    if (as4) return;
    const segments = attributes.asPath.filter((segment) => !isConfederation(segment));
    if (!segments.some((segment) => segment.asns.some((asn) => asn > 0xffff))) return;
    encodeSegments(writer, OPTIONAL_TRANSITIVE, AttributeCode.AS4_PATH, segments, true);
  },
};

/** ASes as RFC 6793 §4.2.3 counts them: a set as one, confederation segments as none. */
function countAses(segments: readonly AsSegment[]): number {
  let count = 0;
  for (const { type, asns } of segments) {
    if (type === AsSegmentType.AS_SEQUENCE) count += asns.length;
    else if (type === AsSegmentType.AS_SET) count += 1;
  }
  return count;
}

/** The path of a two-octet neighbour with its AS4_PATH put in place (RFC 6793 §4.2.3). */
export function mergeAs4Path(path: readonly AsSegment[], truth: readonly AsSegment[]): readonly AsSegment[] {
  let missing = countAses(path) - countAses(truth);
  if (missing < 0) return path;
  const merged: AsSegment[] = [];
  for (const segment of path) {
    if (missing === 0 && !isConfederation(segment)) break;
    if (segment.type === AsSegmentType.AS_SEQUENCE && segment.asns.length > missing) {
      merged.push({ type: segment.type, asns: segment.asns.slice(0, missing) });
      missing = 0;
      break;
    }
    merged.push(segment);
    missing -= countAses([segment]);
  }
  const [first, ...rest] = truth;
  const last = merged.at(-1);
  const joins =
    first?.type === AsSegmentType.AS_SEQUENCE &&
    last?.type === AsSegmentType.AS_SEQUENCE &&
    last.asns.length + first.asns.length <= MAX_SEGMENT;
  if (!joins) return [...merged, ...truth];
  return [...merged.slice(0, -1), { type: first.type, asns: [...last.asns, ...first.asns] }, ...rest];
}
