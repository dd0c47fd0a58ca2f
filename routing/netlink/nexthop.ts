// RTM_*NEXTHOP: struct nhmsg { family u8, scope u8, protocol u8, resvd u8, flags u32 } and NHA_* attributes. A group is
// an array of struct nexthop_grp { id u32, weight-1 u8, weight_high u8, resvd u16 }.
import { Attributes, LITTLE } from "./attribute.ts";
import { AF_INET, AF_INET6, AF_UNSPEC, Flag, MessageType, NextHopAttribute, NextHopFlag } from "./constants.ts";
import type { MessageWriter } from "./message.ts";

const HEADER = 8;
const GROUP_ENTRY = 8;

export interface GroupMember {
  readonly id: number;
  /** 1 to 256. */
  readonly weight: number;
}

export interface NextHop {
  readonly id: number;
  readonly protocol: number;
  /** RTNH_F_*. */
  readonly flags: number;
  readonly ifindex: number;
  readonly gateway: Uint8Array | null;
  readonly blackhole: boolean;
  /** Null for a single next hop. */
  readonly group: readonly GroupMember[] | null;
}

function header(out: MessageWriter, family: number, protocol: number, flags: number): void {
  out.u8(family);
  out.u8(0);
  out.u8(protocol);
  out.u8(0);
  out.u32(flags);
}

/**
 * Creates or, unless `flags` say otherwise, replaces a next hop. RTNH_F_ONLINK: that the gateway is on this link was
 * decided by the caller; without it the kernel looks the gateway up through all rules and may find a learned route
 * instead of the connected one.
 */
export function encodeNewNextHop(
  out: MessageWriter,
  id: number,
  protocol: number,
  ifindex: number,
  gateway: Uint8Array,
  flags: number = Flag.create | Flag.replace,
): void {
  out.begin(MessageType.newNextHop, flags);
  header(out, gateway.length === 4 ? AF_INET : AF_INET6, protocol, NextHopFlag.onlink);
  out.attributeU32(NextHopAttribute.id, id);
  out.attributeU32(NextHopAttribute.oif, ifindex);
  out.attributeBytes(NextHopAttribute.gateway, gateway);
  out.end();
}

/** Creates or, unless `flags` say otherwise, replaces a group; a group replaces a group only, never a single next hop. */
export function encodeNewGroup(
  out: MessageWriter,
  id: number,
  protocol: number,
  members: readonly GroupMember[],
  flags: number = Flag.create | Flag.replace,
): void {
  out.begin(MessageType.newNextHop, flags);
  header(out, AF_UNSPEC, protocol, 0);
  out.attributeU32(NextHopAttribute.id, id);
  const bytes = Buffer.alloc(members.length * GROUP_ENTRY);
  members.forEach((member, i) => {
    if (LITTLE) bytes.writeUInt32LE(member.id, i * GROUP_ENTRY);
    else bytes.writeUInt32BE(member.id, i * GROUP_ENTRY);
    bytes[i * GROUP_ENTRY + 4] = member.weight - 1;
  });
  out.attributeBytes(NextHopAttribute.group, bytes);
  out.end();
}

/** Deletes a next hop or group, and with it every route that uses it. */
export function encodeDelNextHop(out: MessageWriter, id: number): void {
  out.begin(MessageType.delNextHop, 0);
  header(out, AF_UNSPEC, 0, 0);
  out.attributeU32(NextHopAttribute.id, id);
  out.end();
}

export function encodeGetNextHop(out: MessageWriter, id: number): void {
  out.begin(MessageType.getNextHop, 0);
  header(out, AF_UNSPEC, 0, 0);
  out.attributeU32(NextHopAttribute.id, id);
  out.end();
}

export function encodeNextHopDump(out: MessageWriter): void {
  out.begin(MessageType.getNextHop, Flag.dump);
  header(out, AF_UNSPEC, 0, 0);
  out.end();
}

const attributes = new Attributes(NextHopAttribute.gateway);

/** Body of RTM_NEWNEXTHOP or RTM_DELNEXTHOP; null when it is too short to be one. */
export function decodeNextHop(buffer: Buffer, start: number, end: number): NextHop | null {
  if (end - start < HEADER) return null;
  attributes.parse(buffer, start + HEADER, end);
  let group: GroupMember[] | null = null;
  if (attributes.has(NextHopAttribute.group)) {
    group = [];
    const from = attributes.start(NextHopAttribute.group);
    const until = from + attributes.length(NextHopAttribute.group);
    for (let at = from; at + GROUP_ENTRY <= until; at += GROUP_ENTRY)
      group.push({ id: LITTLE ? buffer.readUInt32LE(at) : buffer.readUInt32BE(at), weight: buffer[at + 4] + 1 });
  }
  return {
    id: attributes.u32(NextHopAttribute.id),
    protocol: buffer[start + 2],
    flags: LITTLE ? buffer.readUInt32LE(start + 4) : buffer.readUInt32BE(start + 4),
    ifindex: attributes.u32(NextHopAttribute.oif),
    gateway: attributes.address(NextHopAttribute.gateway),
    blackhole: attributes.has(NextHopAttribute.blackhole),
    group,
  };
}
