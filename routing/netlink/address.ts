// RTM_*ADDR: struct ifaddrmsg { family u8, prefixlen u8, flags u8, scope u8, index u32 } and IFA_* attributes.
import { Attributes, LITTLE } from "./attribute.ts";
import { AddressAttribute, AF_INET, AF_INET6, Flag, MessageType, Scope } from "./constants.ts";
import type { MessageWriter } from "./message.ts";

const HEADER = 8;

export interface InterfaceAddress {
  readonly ifindex: number;
  /** Our own address: 4 or 16 bytes, network order. */
  readonly local: Uint8Array;
  /** The other end of a point-to-point address; the same as `local` otherwise. */
  readonly peer: Uint8Array;
  readonly length: number;
  readonly scope: number;
  /** IFA_F_*. */
  readonly flags: number;
}

export interface AddressSpec {
  readonly ifindex: number;
  readonly address: Uint8Array;
  readonly length: number;
  /** IFA_F_*, for example AddressFlag.noDad for an IPv6 address that is usable at once. */
  readonly flags?: number;
  /** RT_SCOPE_*; universe when absent. */
  readonly scope?: number;
}

/** EEXIST when the address is there. */
export function encodeNewAddress(out: MessageWriter, spec: AddressSpec): void {
  out.begin(MessageType.newAddress, Flag.create | Flag.exclusive);
  out.u8(spec.address.length === 4 ? AF_INET : AF_INET6);
  out.u8(spec.length);
  out.u8((spec.flags ?? 0) & 0xff);
  out.u8(spec.scope ?? Scope.universe);
  out.u32(spec.ifindex);
  out.attributeBytes(AddressAttribute.local, spec.address);
  out.attributeBytes(AddressAttribute.address, spec.address);
  if (spec.flags) out.attributeU32(AddressAttribute.flags, spec.flags);
  out.end();
}

/** `family` 0 for both; `ifindex` 0 for all interfaces (the kernel filters, given strict checking). */
export function encodeAddressDump(out: MessageWriter, family = 0, ifindex = 0): void {
  out.begin(MessageType.getAddress, Flag.dump);
  out.u8(family);
  out.zeros(3);
  out.u32(ifindex);
  out.end();
}

const attributes = new Attributes(AddressAttribute.routePriority);

/** Body of RTM_NEWADDR or RTM_DELADDR; null when it is not one of an IP address. */
export function decodeAddress(buffer: Buffer, start: number, end: number): InterfaceAddress | null {
  if (end - start < HEADER) return null;
  attributes.parse(buffer, start + HEADER, end);
  const peer = attributes.address(AddressAttribute.address);
  const local = attributes.address(AddressAttribute.local) ?? peer;
  if (!local) return null;
  return {
    ifindex: LITTLE ? buffer.readUInt32LE(start + 4) : buffer.readUInt32BE(start + 4),
    local,
    peer: peer ?? local,
    length: buffer[start + 1],
    scope: buffer[start + 3],
    flags: attributes.u32(AddressAttribute.flags, buffer[start + 2]),
  };
}
