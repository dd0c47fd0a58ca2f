// Path attributes: values -> bytes, in ascending order of type with lengths and flags made anew. Attributes we do not
// understand pass with the partial bit set, those that came with it keep it (RFC 4271 §5).
import type { PathAttributes } from "../path-attributes.ts";
import { AttributeCode, AttributeFlag } from "../registry.ts";
import type { Writer } from "../writer.ts";
import { type EncodeOptions, writeAttributeHeader } from "./codec.ts";
import { attributeCodecs } from "./table.ts";

/** Everything but MP_REACH_NLRI and MP_UNREACH_NLRI; NEXT_HOP only when `includeNextHop`. */
export function encodeAttributes(
  writer: Writer,
  attributes: PathAttributes,
  options: EncodeOptions,
  includeNextHop: boolean,
): void {
  const unknown =
    attributes.unknown.length > 1 ? [...attributes.unknown].sort((a, b) => a.code - b.code) : attributes.unknown;
  let next = 0;
  for (const codec of attributeCodecs) {
    while (next < unknown.length && unknown[next].code < codec.code) encodeUnknown(writer, unknown[next++]);
    if (codec.code === AttributeCode.NEXT_HOP && !includeNextHop) continue;
    const at = writer.offset;
    codec.encode(writer, attributes, options);
    if (writer.offset > at && attributes.partial?.includes(codec.code)) writer.buffer[at] |= AttributeFlag.PARTIAL;
  }
  while (next < unknown.length) encodeUnknown(writer, unknown[next++]);
}

function encodeUnknown(writer: Writer, { flags, code, value }: PathAttributes["unknown"][number]): void {
  writeAttributeHeader(writer, flags | AttributeFlag.PARTIAL, code, value.length);
  writer.bytes(value);
}
