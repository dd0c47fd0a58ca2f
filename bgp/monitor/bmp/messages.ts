// BMP messages (RFC 7854 §4, RFC 9069): values in, octets out, into a Writer that whoever sends owns. Pure.
//
//  common header   | version 3 (1) | message length (4) | type (1) |
//  per-peer header | type (1) | flags (1) | distinguisher (8) | address (16) | AS (4) | BGP id (4) | seconds (4) | microseconds (4) |
//
// Route Monitoring is begun and ended here; the UPDATE in between is written by route-monitoring.ts.
import type { Handshake, SessionDown } from "../../session/types.ts";
import { encodeNotification } from "../../wire/notification.ts";
import type { Writer } from "../../wire/writer.ts";

const VERSION = 3;

export const BmpType = {
  ROUTE_MONITORING: 0,
  STATISTICS_REPORT: 1,
  PEER_DOWN: 2,
  PEER_UP: 3,
  INITIATION: 4,
  TERMINATION: 5,
} as const;

/** `LOCAL`: told apart by the distinguisher where the address is not enough. */
export const PeerType = { GLOBAL: 0, LOCAL: 2, LOC_RIB: 3 } as const;

/** Of types GLOBAL and LOCAL, and for LOC_RIB its only one. */
export const PeerFlag = { IPV6: 0x80, POST_POLICY: 0x40, AS2: 0x20, LOC_RIB_FILTERED: 0x80 } as const;

export const InformationType = { STRING: 0, SYS_DESCR: 1, SYS_NAME: 2, TABLE_NAME: 3 } as const;

export const StatisticsType = {
  ADJ_RIB_IN: 7,
  LOC_RIB: 8,
  ADJ_RIB_IN_OF_FAMILY: 9,
  LOC_RIB_OF_FAMILY: 10,
  PREFIXES_TREATED_AS_WITHDRAWN: 12,
} as const;

const PeerDownReason = {
  LOCAL_NOTIFICATION: 1,
  LOCAL_NO_NOTIFICATION: 2,
  REMOTE_NOTIFICATION: 3,
  REMOTE_NO_NOTIFICATION: 4,
  NO_LONGER_MONITORED: 5,
} as const;
/** RFC 4271 §8.1.1: ManualStop is event 2. */
const MANUAL_STOP = 2;
const ADMINISTRATIVELY_CLOSED = 0;
const TERMINATION_REASON = 1;

/** Who a message is about. */
export interface BmpPeer {
  readonly type: number;
  readonly flags: number;
  /** The low half of the distinguisher; the high one is 0. */
  readonly distinguisher: number;
  /** 4 or 16 octets. */
  readonly address: Uint8Array;
  readonly asn: number;
  readonly routerId: number;
}

export interface Information {
  readonly type: number;
  readonly text: string;
}

/** A 32-bit counter, or a 64-bit gauge, of all families or of one. */
export interface Statistic {
  readonly type: number;
  readonly value: number;
  readonly afi?: number;
}

/** Returns where the message starts, for `end`. */
export function begin(writer: Writer, type: number): number {
  const start = writer.offset;
  writer.u8(VERSION);
  writer.u32(0);
  writer.u8(type);
  return start;
}

export function end(writer: Writer, start: number): void {
  const length = writer.offset - start;
  writer.patchU16(start + 1, length >>> 16);
  writer.patchU16(start + 3, length & 0xffff);
}

/** `time`: milliseconds since 1970, 0 when it is not known. */
export function writePeerHeader(writer: Writer, peer: BmpPeer, time: number): void {
  writer.u8(peer.type);
  writer.u8(peer.flags);
  writer.u32(0);
  writer.u32(peer.distinguisher);
  writeAddress(writer, peer.address);
  writer.u32(peer.asn);
  writer.u32(peer.routerId);
  writer.u32(Math.floor(time / 1000));
  writer.u32(Math.floor((time % 1000) * 1000));
}

/** §4.3. */
export function writeInitiation(writer: Writer, information: readonly Information[]): void {
  const start = begin(writer, BmpType.INITIATION);
  for (const entry of information) writeInformation(writer, entry);
  end(writer, start);
}

/** §4.5. */
export function writeTermination(writer: Writer, text: string): void {
  const start = begin(writer, BmpType.TERMINATION);
  writeInformation(writer, { type: InformationType.STRING, text });
  writer.u16(TERMINATION_REASON);
  writer.u16(2);
  writer.u16(ADMINISTRATIVELY_CLOSED);
  end(writer, start);
}

/** §4.10. */
export function writePeerUp(
  writer: Writer,
  peer: BmpPeer,
  time: number,
  localAddress: Uint8Array,
  { sentOpen, receivedOpen, localPort, remotePort }: Handshake,
  information: readonly Information[],
): void {
  const start = begin(writer, BmpType.PEER_UP);
  writePeerHeader(writer, peer, time);
  writeAddress(writer, localAddress);
  writer.u16(localPort);
  writer.u16(remotePort);
  writer.bytes(sentOpen);
  writer.bytes(receivedOpen);
  for (const entry of information) writeInformation(writer, entry);
  end(writer, start);
}

/** §4.9. Null: the session goes on, but is not monitored any more. */
export function writePeerDown(
  writer: Writer,
  peer: BmpPeer,
  time: number,
  down: Pick<SessionDown, "notification" | "local"> | null,
): void {
  const start = begin(writer, BmpType.PEER_DOWN);
  writePeerHeader(writer, peer, time);
  if (down === null) {
    writer.u8(PeerDownReason.NO_LONGER_MONITORED);
  } else if (down.notification) {
    const { sent, code, subcode, data } = down.notification;
    writer.u8(sent ? PeerDownReason.LOCAL_NOTIFICATION : PeerDownReason.REMOTE_NOTIFICATION);
    writer.bytes(encodeNotification(code, subcode, data));
  } else if (down.local) {
    writer.u8(PeerDownReason.LOCAL_NO_NOTIFICATION);
    writer.u16(MANUAL_STOP);
  } else {
    writer.u8(PeerDownReason.REMOTE_NO_NOTIFICATION);
  }
  end(writer, start);
}

/** §4.8. */
export function writeStatistics(writer: Writer, peer: BmpPeer, time: number, statistics: readonly Statistic[]): void {
  const start = begin(writer, BmpType.STATISTICS_REPORT);
  writePeerHeader(writer, peer, time);
  writer.u32(statistics.length);
  for (const { type, value, afi } of statistics) {
    writer.u16(type);
    if (type === StatisticsType.PREFIXES_TREATED_AS_WITHDRAWN) {
      writer.u16(4);
      writer.u32(value >>> 0);
      continue;
    }
    writer.u16(afi === undefined ? 8 : 11);
    if (afi !== undefined) {
      writer.u16(afi);
      writer.u8(1);
    }
    writer.u32(Math.floor(value / 0x1_0000_0000));
    writer.u32(value >>> 0);
  }
  end(writer, start);
}

/** IPv4 addresses fill the last four octets (§4.2). */
function writeAddress(writer: Writer, address: Uint8Array): void {
  if (address.length === 4) {
    writer.u32(0);
    writer.u32(0);
    writer.u32(0);
  }
  writer.bytes(address);
}

/** §4.4; lengths beyond 65535 octets do not come about. */
function writeInformation(writer: Writer, { type, text }: Information): void {
  const octets = new TextEncoder().encode(text);
  writer.u16(type);
  writer.u16(octets.length);
  writer.bytes(octets);
}
