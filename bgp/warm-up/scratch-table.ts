// UPDATEs that nobody sent: as many kinds of attributes and lengths of prefixes, of both families, as a table from
// outside has, so that the code compiled for them fits what comes later.
import type { Family } from "../../net/address.ts";
import { beginMessage, endMessage } from "../wire/message.ts";
import { emptyAttributes } from "../wire/path-attributes.ts";
import { Afi, AttributeCode, AttributeFlag, MessageType, Safi } from "../wire/registry.ts";
import { encodeAttributes } from "../wire/update.ts";
import { Writer } from "../wire/writer.ts";

/** UPDATEs per table. */
export const UPDATES = 800;
/** Prefixes per UPDATE at most. */
const LONGEST = 24;

/** UPDATEs of both families; the attributes differ from round to round, the prefixes do not. */
export function scratchTable(round: number, asn: number): Uint8Array {
  const writer = new Writer(1 << 18);
  let state = 1;
  const next = (below: number) => {
    state = (Math.imul(state, 0x915f_77f5) + 1) | 0;
    return (state >>> 8) % below;
  };
  for (let i = 0; i < UPDATES; i++) {
    const family: Family = next(4) === 0 ? 6 : 4;
    const count = 1 + next(LONGEST);
    const hops = Array.from({ length: 1 + next(5) }, () => 1 + next(400_000));
    const attributes = {
      ...emptyAttributes,
      asPath: [{ type: 2 as const, asns: [asn, 1 + round, ...hops] }],
      communities: Array.from({ length: next(4) }, () => 0x8000_0000 + next(0xffff)),
      med: next(3) === 0 ? next(1000) : null,
      nextHop: Uint8Array.of(192, 0, 2, asn & 255),
    };
    const start = beginMessage(writer, MessageType.UPDATE);
    writer.u16(0);
    const lengthAt = writer.offset;
    writer.u16(0);
    if (family === 6) beginReach(writer, asn);
    const reachEnd = writer.offset;
    if (family === 6) {
      for (let j = 0; j < count; j++) writePrefix(writer, 0x2001_0000 + next(0xffff), 32 + next(17), next(0xffff));
      writer.patchU16(lengthAt + 4, writer.offset - reachEnd + REACH_VALUE);
    }
    encodeAttributes(writer, attributes, { as4: true }, family === 4);
    writer.patchU16(lengthAt, writer.offset - lengthAt - 2);
    if (family === 4)
      for (let j = 0; j < count; j++)
        writePrefix(writer, (1 + next(222)) * 0x1_00_0000 + next(0xff_ffff), 16 + next(9), 0);
    endMessage(writer, start);
  }
  return writer.slice();
}

/** Octets of MP_REACH_NLRI before its prefixes. */
const REACH_VALUE = 21;

function beginReach(writer: Writer, asn: number): void {
  writer.u8(AttributeFlag.OPTIONAL | AttributeFlag.EXTENDED_LENGTH);
  writer.u8(AttributeCode.MP_REACH_NLRI);
  writer.u16(0);
  writer.u16(Afi.IPV6);
  writer.u8(Safi.UNICAST);
  writer.u8(16);
  writer.bytes(ipv6(asn & 255));
  writer.u8(0);
}

function writePrefix(writer: Writer, high: number, length: number, low: number): void {
  writer.u8(length);
  for (let bits = 0; bits < length; bits += 8)
    writer.u8(bits < 32 ? (high >>> (24 - bits)) & 255 : (low >>> (bits === 32 ? 8 : 0)) & 255);
}

function ipv6(host: number): Uint8Array {
  return Uint8Array.of(0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, host);
}
