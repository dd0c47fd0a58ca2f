// RTM_*NEIGH: struct ndmsg { family u8, pad 3, ifindex s32, state u16, flags u8, type u8 } and NDA_* attributes.
import { Attributes, LITTLE } from "./attribute.ts";
import {
  AF_INET,
  AF_INET6,
  Flag,
  MessageType,
  NeighbourAttribute,
  NeighbourFlag,
  NeighbourState,
} from "./constants.ts";
import type { MessageWriter } from "./message.ts";

const HEADER = 12;

export interface Neighbour {
  readonly ifindex: number;
  readonly address: Uint8Array;
  /** Empty while unresolved. */
  readonly mac: Uint8Array;
  /** NUD_*. */
  readonly state: number;
}

export interface NeighbourSpec {
  readonly ifindex: number;
  readonly address: Uint8Array;
  readonly mac?: Uint8Array;
  /** NUD_*; permanent when absent. */
  readonly state?: number;
}

/** Creates or replaces. */
export function encodeNewNeighbour(out: MessageWriter, spec: NeighbourSpec): void {
  out.begin(MessageType.newNeighbour, Flag.create | Flag.replace);
  out.u8(spec.address.length === 4 ? AF_INET : AF_INET6);
  out.zeros(3);
  out.u32(spec.ifindex);
  out.u16(spec.state ?? NeighbourState.permanent);
  out.u16(0);
  out.attributeBytes(NeighbourAttribute.destination, spec.address);
  if (spec.mac) out.attributeBytes(NeighbourAttribute.linkAddress, spec.mac);
  out.end();
}

/** Has the kernel ask the neighbour whether it is there, as for a packet to it; its entry is otherwise left as it is. */
export function encodeProbeNeighbour(out: MessageWriter, ifindex: number, address: Uint8Array): void {
  out.begin(MessageType.newNeighbour, Flag.create);
  out.u8(address.length === 4 ? AF_INET : AF_INET6);
  out.zeros(3);
  out.u32(ifindex);
  out.u16(0);
  out.u8(NeighbourFlag.use);
  out.u8(0);
  out.attributeBytes(NeighbourAttribute.destination, address);
  out.end();
}

/** Asks for one entry. */
export function encodeGetNeighbour(out: MessageWriter, ifindex: number, address: Uint8Array): void {
  out.begin(MessageType.getNeighbour, 0);
  out.u8(address.length === 4 ? AF_INET : AF_INET6);
  out.zeros(3);
  out.u32(ifindex);
  out.zeros(4);
  out.attributeBytes(NeighbourAttribute.destination, address);
  out.end();
}

export function encodeNeighbourDump(out: MessageWriter, family = 0): void {
  out.begin(MessageType.getNeighbour, Flag.dump);
  out.u8(family);
  out.zeros(HEADER - 1);
  out.end();
}

const attributes = new Attributes(NeighbourAttribute.linkAddress);

/** Body of RTM_NEWNEIGH or RTM_DELNEIGH; null when it is not one of an IP address. */
export function decodeNeighbour(buffer: Buffer, start: number, end: number): Neighbour | null {
  if (end - start < HEADER) return null;
  attributes.parse(buffer, start + HEADER, end);
  const address = attributes.address(NeighbourAttribute.destination);
  if (!address) return null;
  return {
    ifindex: LITTLE ? buffer.readInt32LE(start + 4) : buffer.readInt32BE(start + 4),
    address,
    mac: attributes.bytes(NeighbourAttribute.linkAddress) ?? new Uint8Array(0),
    state: LITTLE ? buffer.readUInt16LE(start + 8) : buffer.readUInt16BE(start + 8),
  };
}
