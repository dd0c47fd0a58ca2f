// RTM_*LINK: struct ifinfomsg { family u8, pad u8, type u16, index s32, flags u32, change u32 } and IFLA_* attributes.
import { Attributes, LITTLE } from "./attribute.ts";
import { AF_UNSPEC, Flag, LinkAttribute, LinkFlag, MessageType } from "./constants.ts";
import type { MessageWriter } from "./message.ts";

const HEADER = 16;

export interface Link {
  readonly ifindex: number;
  readonly name: string;
  /** IFF_*. */
  readonly flags: number;
  readonly mtu: number;
  /** Hardware address; empty for links without one. */
  readonly mac: Uint8Array;
  /** Interface group, 0 by default. */
  readonly group: number;
  readonly alias: string | null;
  /** `veth`, `bridge` ...; null for a physical device. */
  readonly kind: string | null;
  /** Index of the lower device or of a veth's other end (in its own namespace); 0 when there is none. */
  readonly peerIndex: number;
  /** Number by which this namespace knows the one of the other end; null: it is this one. */
  readonly peerNamespace: number | null;
  /** IF_OPER_* (RFC 2863). */
  readonly operState: number;
  /** Index of the bridge or bond this link belongs to; 0 when it is free. */
  readonly master: number;
}

/** One end of a veth pair to be made. */
export interface VethEnd {
  readonly name: string;
  readonly mac?: Uint8Array;
  readonly mtu?: number;
  readonly group?: number;
  readonly alias?: string;
  /** Descriptor of the namespace this end is created in; absent: the socket's own. */
  readonly netnsFd?: number;
  /**
   * How many queues it can have in each direction. Absent: one per processor, of which the kernel then takes all but
   * one out of use, and waits for that; what they would be for is `ethtool -L`.
   */
  readonly queues?: number;
}

/** How a message names a link. */
export type LinkSelector = { readonly ifindex: number } | { readonly name: string };

export interface LinkChange {
  readonly up?: boolean;
  readonly rename?: string;
  readonly alias?: string;
  readonly group?: number;
  readonly mtu?: number;
  readonly mac?: Uint8Array;
  /** 0 releases the link from its master. */
  readonly master?: number;
  /** Moves the link to this namespace. */
  readonly netnsFd?: number;
}

/** Able to carry packets: administratively up, with carrier. The kernel keeps nexthop objects only on such links. */
export function carriesTraffic(flags: number): boolean {
  return (flags & LinkFlag.up) !== 0 && (flags & LinkFlag.lowerUp) !== 0;
}

function header(out: MessageWriter, ifindex: number, flags: number, change: number): void {
  out.u8(AF_UNSPEC);
  out.u8(0);
  out.u16(0);
  out.u32(ifindex);
  out.u32(flags);
  out.u32(change);
}

function selector(out: MessageWriter, link: LinkSelector): void {
  if ("name" in link) out.attributeText(LinkAttribute.name, link.name);
}

function indexOf(link: LinkSelector): number {
  return "ifindex" in link ? link.ifindex : 0;
}

/** All links, without statistics of virtual functions. */
export function encodeLinkDump(out: MessageWriter): void {
  out.begin(MessageType.getLink, Flag.dump);
  header(out, 0, 0, 0);
  out.end();
}

export function encodeGetLink(out: MessageWriter, link: LinkSelector): void {
  out.begin(MessageType.getLink, 0);
  header(out, indexOf(link), 0, 0);
  selector(out, link);
  out.end();
}

function vethEnd(out: MessageWriter, end: VethEnd): void {
  out.attributeText(LinkAttribute.name, end.name);
  if (end.mac) out.attributeBytes(LinkAttribute.address, end.mac);
  if (end.mtu !== undefined) out.attributeU32(LinkAttribute.mtu, end.mtu);
  if (end.group !== undefined) out.attributeU32(LinkAttribute.group, end.group);
  if (end.alias !== undefined) out.attributeText(LinkAttribute.alias, end.alias);
  if (end.netnsFd !== undefined) out.attributeU32(LinkAttribute.netnsFd, end.netnsFd);
  if (end.queues === undefined) return;
  out.attributeU32(LinkAttribute.txQueues, end.queues);
  out.attributeU32(LinkAttribute.rxQueues, end.queues);
}

/** `up` raises the near end. The far end cannot be created up (ENOTCONN): raise it from inside its namespace. */
export function encodeNewVeth(out: MessageWriter, end: VethEnd, peer: VethEnd, up: boolean): void {
  const flags = up ? LinkFlag.up : 0;
  out.begin(MessageType.newLink, Flag.create | Flag.exclusive);
  header(out, 0, flags, flags);
  vethEnd(out, end);
  const info = out.beginNested(LinkAttribute.linkInfo);
  out.attributeText(LinkAttribute.infoKind, "veth");
  const data = out.beginNested(LinkAttribute.infoData);
  const far = out.beginNested(LinkAttribute.vethPeer);
  header(out, 0, 0, 0);
  vethEnd(out, peer);
  out.endNested(far);
  out.endNested(data);
  out.endNested(info);
  out.end();
}

/** Changes an existing link. A rename needs the link selected by index. */
export function encodeSetLink(out: MessageWriter, link: LinkSelector, change: LinkChange): void {
  out.begin(MessageType.newLink, 0);
  const mask = change.up === undefined ? 0 : LinkFlag.up;
  header(out, indexOf(link), change.up ? LinkFlag.up : 0, mask);
  if (change.rename !== undefined) out.attributeText(LinkAttribute.name, change.rename);
  else selector(out, link);
  if (change.mac) out.attributeBytes(LinkAttribute.address, change.mac);
  if (change.mtu !== undefined) out.attributeU32(LinkAttribute.mtu, change.mtu);
  if (change.master !== undefined) out.attributeU32(LinkAttribute.master, change.master);
  if (change.group !== undefined) out.attributeU32(LinkAttribute.group, change.group);
  if (change.alias !== undefined) out.attributeText(LinkAttribute.alias, change.alias);
  if (change.netnsFd !== undefined) out.attributeU32(LinkAttribute.netnsFd, change.netnsFd);
  out.end();
}

export function encodeDelLink(out: MessageWriter, link: LinkSelector): void {
  out.begin(MessageType.delLink, 0);
  header(out, indexOf(link), 0, 0);
  selector(out, link);
  out.end();
}

/** Deletes every link of an interface group in one message; the group must not be 0. */
export function encodeDelLinkGroup(out: MessageWriter, group: number): void {
  out.begin(MessageType.delLink, 0);
  header(out, 0, 0, 0);
  out.attributeU32(LinkAttribute.group, group);
  out.end();
}

const attributes = new Attributes(LinkAttribute.netnsId);
const info = new Attributes(LinkAttribute.infoData);

/** Body of RTM_NEWLINK or RTM_DELLINK; null when it is too short to be one. */
export function decodeLink(buffer: Buffer, start: number, end: number): Link | null {
  if (end - start < HEADER) return null;
  attributes.parse(buffer, start + HEADER, end);
  return {
    ifindex: LITTLE ? buffer.readInt32LE(start + 4) : buffer.readInt32BE(start + 4),
    flags: LITTLE ? buffer.readUInt32LE(start + 8) : buffer.readUInt32BE(start + 8),
    name: attributes.text(LinkAttribute.name) ?? "",
    mtu: attributes.u32(LinkAttribute.mtu),
    mac: attributes.bytes(LinkAttribute.address) ?? new Uint8Array(0),
    group: attributes.u32(LinkAttribute.group),
    alias: attributes.text(LinkAttribute.alias),
    kind: attributes.nested(LinkAttribute.linkInfo, info)?.text(LinkAttribute.infoKind) ?? null,
    peerIndex: attributes.u32(LinkAttribute.link),
    peerNamespace: attributes.has(LinkAttribute.netnsId) ? attributes.u32(LinkAttribute.netnsId) | 0 : null,
    operState: attributes.bytes(LinkAttribute.operState)?.[0] ?? 0,
    master: attributes.u32(LinkAttribute.master),
  };
}
