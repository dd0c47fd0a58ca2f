// MRT records (RFC 6396, RFC 8050): values in, octets out, into a Writer that whoever sends owns. Pure.
//
//  | timestamp, seconds (4) | type (2) | subtype (2) | length (4) | with BGP4MP_ET: microseconds (4) | message ... |
import type { Family } from "../../../net/address.ts";
import type { SessionState } from "../../session/types.ts";
import { Afi, AS_TRANS, AttributeCode, AttributeFlag } from "../../wire/registry.ts";
import type { Writer } from "../../wire/writer.ts";

const Type = { TABLE_DUMP_V2: 13, BGP4MP: 16, BGP4MP_ET: 17 } as const;

const TableDumpSubtype = {
  PEER_INDEX_TABLE: 1,
  RIB_IPV4_UNICAST: 2,
  RIB_IPV6_UNICAST: 4,
  RIB_IPV4_UNICAST_ADDPATH: 8,
  RIB_IPV6_UNICAST_ADDPATH: 10,
} as const;

const Bgp4mpSubtype = {
  STATE_CHANGE: 0,
  MESSAGE: 1,
  MESSAGE_AS4: 4,
  STATE_CHANGE_AS4: 5,
  MESSAGE_ADDPATH: 8,
  MESSAGE_AS4_ADDPATH: 9,
} as const;

/** RFC 6396 §4.4.1, from RFC 4271 §8.2.2. */
const stateNumbers: Readonly<Record<SessionState, number>> = {
  Idle: 1,
  Connect: 2,
  Active: 3,
  OpenSent: 4,
  OpenConfirm: 5,
  Established: 6,
};

const PeerFlag = { IPV6: 1, AS4: 2 } as const;

/** Who a message is from. */
export interface MrtSession {
  readonly remoteAsn: number;
  readonly localAsn: number;
  readonly ifindex: number;
  /** Of one family. */
  readonly remoteAddress: Uint8Array;
  readonly localAddress: Uint8Array;
  readonly as4: boolean;
}

export interface MrtPeer {
  readonly routerId: number;
  /** 4 or 16 octets. */
  readonly address: Uint8Array;
  readonly asn: number;
}

/** Times are milliseconds since 1970; `extended`: microseconds go with them. */
export interface RecordTime {
  readonly time: number;
  readonly extended: boolean;
}

/** A whole BGP message as it arrived. `addPath`: its prefixes have path identifiers. */
export function writeMessage(
  writer: Writer,
  at: RecordTime,
  session: MrtSession,
  message: Uint8Array,
  addPath: boolean,
): void {
  const { MESSAGE, MESSAGE_AS4, MESSAGE_ADDPATH, MESSAGE_AS4_ADDPATH } = Bgp4mpSubtype;
  const subtype = addPath ? (session.as4 ? MESSAGE_AS4_ADDPATH : MESSAGE_ADDPATH) : session.as4 ? MESSAGE_AS4 : MESSAGE;
  const start = beginBgp4mp(writer, at, subtype, session);
  writer.bytes(message);
  end(writer, start);
}

export function writeStateChange(
  writer: Writer,
  at: RecordTime,
  session: MrtSession,
  from: SessionState,
  to: SessionState,
): void {
  const subtype = session.as4 ? Bgp4mpSubtype.STATE_CHANGE_AS4 : Bgp4mpSubtype.STATE_CHANGE;
  const start = beginBgp4mp(writer, at, subtype, session);
  writer.u16(stateNumbers[from]);
  writer.u16(stateNumbers[to]);
  end(writer, start);
}

/** RFC 6396 §4.3.1; RIB entries refer to the peers by their place in the list. */
export function writePeerIndexTable(
  writer: Writer,
  time: number,
  routerId: number,
  viewName: string,
  peers: readonly MrtPeer[],
): void {
  const start = begin(writer, { time, extended: false }, Type.TABLE_DUMP_V2, TableDumpSubtype.PEER_INDEX_TABLE);
  const name = new TextEncoder().encode(viewName);
  writer.u32(routerId);
  writer.u16(name.length);
  writer.bytes(name);
  writer.u16(peers.length);
  for (const { routerId: id, address, asn } of peers) {
    writer.u8(PeerFlag.AS4 | (address.length === 16 ? PeerFlag.IPV6 : 0));
    writer.u32(id);
    writer.bytes(address);
    writer.u32(asn);
  }
  end(writer, start);
}

/** The RIB record of one prefix: `begin`, an `add` for each path, `end`. */
export class RibRecord {
  readonly #writer: Writer;
  #start = 0;
  #countAt = 0;
  #withIds = false;
  entries = 0;

  constructor(writer: Writer) {
    this.#writer = writer;
  }

  /** RFC 6396 §4.3.2, RFC 8050 §4; `address` has at least the octets that `length` bits need. */
  begin(time: number, family: Family, withIds: boolean, sequence: number, address: Uint8Array, length: number): void {
    const { RIB_IPV4_UNICAST, RIB_IPV6_UNICAST, RIB_IPV4_UNICAST_ADDPATH, RIB_IPV6_UNICAST_ADDPATH } = TableDumpSubtype;
    const plain = family === 4 ? RIB_IPV4_UNICAST : RIB_IPV6_UNICAST;
    const addPath = family === 4 ? RIB_IPV4_UNICAST_ADDPATH : RIB_IPV6_UNICAST_ADDPATH;
    const writer = this.#writer;
    this.#withIds = withIds;
    this.#start = begin(writer, { time, extended: false }, Type.TABLE_DUMP_V2, withIds ? addPath : plain);
    writer.u32(sequence);
    writer.u8(length);
    writer.bytes(address.subarray(0, (length + 7) >>> 3));
    this.#countAt = writer.offset;
    writer.u16(0);
    this.entries = 0;
  }

  /** §4.3.4: AS numbers have four octets; of MP_REACH_NLRI there is the next hop alone. */
  add(peer: number, originated: number, pathId: number, octets: Uint8Array, nextHop: Uint8Array | null): void {
    const writer = this.#writer;
    writer.u16(peer);
    writer.u32(Math.floor(originated / 1000));
    if (this.#withIds) writer.u32(pathId);
    writer.u16(octets.length + (nextHop ? nextHop.length + 4 : 0));
    if (nextHop) {
      writer.u8(AttributeFlag.OPTIONAL);
      writer.u8(AttributeCode.MP_REACH_NLRI);
      writer.u8(nextHop.length + 1);
      writer.u8(nextHop.length);
      writer.bytes(nextHop);
    }
    writer.bytes(octets);
    this.entries++;
  }

  end(): void {
    this.#writer.patchU16(this.#countAt, this.entries);
    end(this.#writer, this.#start);
  }
}

function beginBgp4mp(writer: Writer, at: RecordTime, subtype: number, session: MrtSession): number {
  const { remoteAsn, localAsn, ifindex, remoteAddress, localAddress, as4 } = session;
  const start = begin(writer, at, at.extended ? Type.BGP4MP_ET : Type.BGP4MP, subtype);
  for (const asn of [remoteAsn, localAsn]) {
    if (as4) writer.u32(asn);
    else writer.u16(asn > 0xffff ? AS_TRANS : asn);
  }
  writer.u16(ifindex);
  writer.u16(remoteAddress.length === 4 ? Afi.IPV4 : Afi.IPV6);
  writer.bytes(remoteAddress);
  writer.bytes(localAddress);
  return start;
}

function begin(writer: Writer, { time, extended }: RecordTime, type: number, subtype: number): number {
  writer.u32(Math.floor(time / 1000));
  writer.u16(type);
  writer.u16(subtype);
  const start = writer.offset;
  writer.u32(0);
  if (extended) writer.u32(Math.floor((time % 1000) * 1000));
  return start;
}

/** Fills in the length of the record whose length field is at `start`. */
function end(writer: Writer, start: number): void {
  const length = writer.offset - start - 4;
  writer.patchU16(start, length >>> 16);
  writer.patchU16(start + 2, length & 0xffff);
}
