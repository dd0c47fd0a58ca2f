// UPDATE (RFC 4271 §4.3): where its three parts lie, without reading them. No allocation: this runs for every message.
//
//  | withdrawn length (2) | withdrawn routes | attributes length (2) | path attributes | NLRI to the end |
import type { Family } from "../../net/address.ts";
import { beginMpUnreach, endMultiprotocol } from "./attribute/multiprotocol.ts";
import { WireError } from "./error.ts";
import { beginMessage, endMessage } from "./message.ts";
import { AttributeCode, AttributeFlag, ErrorCode, MessageType, UpdateSubcode } from "./registry.ts";
import { Writer } from "./writer.ts";

export { type DecodedAttributes, decodeAttributes } from "./attribute/decode.ts";
export { encodeAttributes } from "./attribute/encode.ts";
export {
  beginMpReach,
  beginMpUnreach,
  endMultiprotocol,
  type MpReach,
  type MpUnreach,
} from "./attribute/multiprotocol.ts";

/** Offsets into the buffer; each end is exclusive. */
export interface UpdateLayout {
  withdrawnStart: number;
  withdrawnEnd: number;
  attributesStart: number;
  attributesEnd: number;
  nlriStart: number;
  nlriEnd: number;
}

/** Whole attributes, header included; -1 when there is none. */
export interface MpLayout {
  reachStart: number;
  reachEnd: number;
  unreachStart: number;
  unreachEnd: number;
  /** One of them is there twice, which calls for a reset (RFC 7606 §3 g): let decodeAttributes() see the whole list. */
  repeated?: boolean;
}

/** Divides the body buffer[start, end). Throws WireError 3/1 when the lengths do not fit (RFC 7606 §3 b, §4). */
export function layoutUpdate(buffer: Uint8Array, start: number, end: number, out: UpdateLayout): void {
  const withdrawnStart = start + 2;
  const withdrawnEnd = withdrawnStart + ((buffer[start] << 8) | buffer[start + 1]);
  if (end - start < 4 || withdrawnEnd + 2 > end) {
    throw malformed(`withdrawn routes of ${withdrawnEnd - withdrawnStart} bytes do not fit into ${end - start}`);
  }
  const attributesStart = withdrawnEnd + 2;
  const attributesEnd = attributesStart + ((buffer[withdrawnEnd] << 8) | buffer[withdrawnEnd + 1]);
  if (attributesEnd > end) {
    throw malformed(
      `path attributes of ${attributesEnd - attributesStart} bytes do not fit into ${end - attributesStart}`,
    );
  }
  out.withdrawnStart = withdrawnStart;
  out.withdrawnEnd = withdrawnEnd;
  out.attributesStart = attributesStart;
  out.attributesEnd = attributesEnd;
  out.nlriStart = attributesEnd;
  out.nlriEnd = end;
}

/** Finds the multiprotocol attributes by headers alone; stops without a word where the structure is broken. */
export function locateMultiprotocol(buffer: Uint8Array, start: number, end: number, out: MpLayout): void {
  out.reachStart = out.reachEnd = out.unreachStart = out.unreachEnd = -1;
  out.repeated = false;
  let at = start;
  while (at + 3 <= end) {
    const code = buffer[at + 1];
    const next =
      (buffer[at] & AttributeFlag.EXTENDED_LENGTH) !== 0
        ? at + 3 < end
          ? at + 4 + ((buffer[at + 2] << 8) | buffer[at + 3])
          : end + 1
        : at + 3 + buffer[at + 2];
    if (next > end) return;
    if (code === AttributeCode.MP_REACH_NLRI) {
      if (out.reachStart >= 0) out.repeated = true;
      else {
        out.reachStart = at;
        out.reachEnd = next;
      }
    } else if (code === AttributeCode.MP_UNREACH_NLRI) {
      if (out.unreachStart >= 0) out.repeated = true;
      else {
        out.unreachStart = at;
        out.unreachEnd = next;
      }
    }
    at = next;
  }
}

/** End-of-RIB of one family (RFC 4724 §2): an empty UPDATE, or one with an empty MP_UNREACH_NLRI. A whole message. */
export function encodeEndOfRib(family: Family): Uint8Array {
  const writer = new Writer(32);
  const start = beginMessage(writer, MessageType.UPDATE);
  writer.u16(0);
  const lengthAt = writer.offset;
  writer.u16(0);
  if (family === 6) {
    endMultiprotocol(writer, beginMpUnreach(writer, family));
    writer.patchU16(lengthAt, writer.offset - lengthAt - 2);
  }
  endMessage(writer, start);
  return writer.slice();
}

function malformed(text: string): WireError {
  return new WireError(text, ErrorCode.UPDATE_MESSAGE_ERROR, UpdateSubcode.MALFORMED_ATTRIBUTE_LIST);
}
