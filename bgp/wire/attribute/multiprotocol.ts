// MP_REACH_NLRI and MP_UNREACH_NLRI (RFC 4760 §3, §4; next hops RFC 2545 §3, RFC 8950 §3; errors RFC 7606 §7.11, §7.12).
//
//  MP_REACH    | AFI (2) | SAFI (1) | next hop length (1) | next hop | reserved (1) | NLRI ...
//  MP_UNREACH  | AFI (2) | SAFI (1) | withdrawn NLRI ...
//
// The NLRI is checked here, read by the RIB. A family that was not negotiated has `family` null and is passed over.
import { type Family, isLinkLocal } from "../../../net/address.ts";
import type { WireContext } from "../context.ts";
import { WireError } from "../error.ts";
import { checkNlri, receivesPathIds } from "../nlri.ts";
import { Afi, AttributeCode, AttributeFlag, ErrorCode, Safi, UpdateSubcode } from "../registry.ts";
import type { Writer } from "../writer.ts";

export interface MpReach {
  readonly family: Family | null;
  readonly afi: number;
  readonly safi: number;
  /** 4 or 16 bytes. */
  readonly nextHop: Uint8Array;
  readonly linkLocalNextHop: Uint8Array | null;
  readonly nlriStart: number;
  readonly nlriEnd: number;
}

export interface MpUnreach {
  readonly family: Family | null;
  readonly afi: number;
  readonly safi: number;
  readonly nlriStart: number;
  readonly nlriEnd: number;
}

const noBytes = new Uint8Array(0);

function familyOf(afi: number, safi: number, context: WireContext): Family | null {
  if (safi !== Safi.UNICAST) return null;
  const family = afi === Afi.IPV4 ? 4 : afi === Afi.IPV6 ? 6 : null;
  return family !== null && context.families.includes(family) ? family : null;
}

function malformed(text: string, attribute: number): WireError {
  return new WireError(text, ErrorCode.UPDATE_MESSAGE_ERROR, UpdateSubcode.OPTIONAL_ATTRIBUTE_ERROR, { attribute });
}

/** The value of MP_REACH_NLRI is buffer[start, end). Throws WireError; `unusable` says why the next hop cannot be used. */
export function decodeMpReach(
  buffer: Uint8Array,
  start: number,
  end: number,
  context: WireContext,
): { reach: MpReach; unusable: string | null } {
  const fail = (text: string) => malformed(`MP_REACH_NLRI: ${text}`, AttributeCode.MP_REACH_NLRI);
  if (end - start < 5) throw fail(`length ${end - start}`);
  const afi = (buffer[start] << 8) | buffer[start + 1];
  const safi = buffer[start + 2];
  const nextHopLength = buffer[start + 3];
  const nextHopStart = start + 4;
  const nlriStart = nextHopStart + nextHopLength + 1;
  if (nlriStart > end) throw fail(`next hop length ${nextHopLength} reaches past the end`);
  const family = familyOf(afi, safi, context);
  if (family === null) {
    const reach = { family, afi, safi, nextHop: noBytes, linkLocalNextHop: null, nlriStart, nlriEnd: end };
    return { reach, unusable: null };
  }
  const allowed =
    nextHopLength === 4
      ? family === 4
      : (nextHopLength === 16 || nextHopLength === 32) && (family === 6 || context.extendedNextHop);
  if (!allowed) throw fail(`next hop of ${nextHopLength} bytes for IPv${family}`);
  checkNlri(buffer, nlriStart, end, family === 4 ? 32 : 128, receivesPathIds(context, family));

  let nextHop = buffer.slice(nextHopStart, nextHopStart + Math.min(nextHopLength, 16));
  let linkLocalNextHop = nextHopLength === 32 ? buffer.slice(nextHopStart + 16, nextHopStart + 32) : null;
  if (linkLocalNextHop && !isLinkLocal(linkLocalNextHop)) linkLocalNextHop = null;
  // Speakers without a global address send an unspecified first half, or the link-local address twice.
  if (linkLocalNextHop && nextHop.every((byte) => byte === 0)) nextHop = linkLocalNextHop;
  const reach = { family, afi, safi, nextHop, linkLocalNextHop, nlriStart, nlriEnd: end };
  return { reach, unusable: isUnicast(nextHop) ? null : "the next hop is not a unicast address" };
}

function isUnicast(address: Uint8Array): boolean {
  if (address.length === 4) return address[0] !== 0 && address[0] !== 127 && address[0] < 224;
  if (address[0] === 0xff) return false;
  return !address.subarray(0, 15).every((byte) => byte === 0) || address[15] > 1;
}

/** The value of MP_UNREACH_NLRI is buffer[start, end). Throws WireError. */
export function decodeMpUnreach(buffer: Uint8Array, start: number, end: number, context: WireContext): MpUnreach {
  if (end - start < 3) throw malformed(`MP_UNREACH_NLRI: length ${end - start}`, AttributeCode.MP_UNREACH_NLRI);
  const afi = (buffer[start] << 8) | buffer[start + 1];
  const safi = buffer[start + 2];
  const family = familyOf(afi, safi, context);
  if (family !== null) checkNlri(buffer, start + 3, end, family === 4 ? 32 : 128, receivesPathIds(context, family));
  return { family, afi, safi, nlriStart: start + 3, nlriEnd: end };
}

/**
 * Begins an MP_REACH_NLRI up to its NLRI, with a two-octet length left open; returns the offset for
 * endMultiprotocol(). The next hop is 4, 16, or with a link-local address 32 bytes.
 */
export function beginMpReach(
  writer: Writer,
  family: Family,
  nextHop: Uint8Array,
  linkLocalNextHop: Uint8Array | null,
): number {
  const at = begin(writer, AttributeCode.MP_REACH_NLRI, family);
  writer.u8(nextHop.length + (linkLocalNextHop?.length ?? 0));
  writer.bytes(nextHop);
  if (linkLocalNextHop) writer.bytes(linkLocalNextHop);
  writer.u8(0);
  return at;
}

/** As beginMpReach, for MP_UNREACH_NLRI. */
export function beginMpUnreach(writer: Writer, family: Family): number {
  return begin(writer, AttributeCode.MP_UNREACH_NLRI, family);
}

/** Fills in the length of the attribute that `at` belongs to; everything written since is its value. */
export function endMultiprotocol(writer: Writer, at: number): void {
  writer.patchU16(at, writer.offset - at - 2);
}

function begin(writer: Writer, code: number, family: Family): number {
  writer.u8(AttributeFlag.OPTIONAL | AttributeFlag.EXTENDED_LENGTH);
  writer.u8(code);
  const at = writer.offset;
  writer.u16(0);
  writer.u16(family === 4 ? Afi.IPV4 : Afi.IPV6);
  writer.u8(Safi.UNICAST);
  return at;
}
