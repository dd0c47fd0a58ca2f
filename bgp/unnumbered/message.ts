// Neighbor Discovery messages (RFC 4861 §4.1-4.4) as far as finding a neighbour needs them. Pure: what is sent is built
// here without its checksum, which the kernel fills in; what arrives is judged here (§6.1.1, §6.1.2, §7.1.2) except for the
// checksum, which the kernel has verified.
//
// In: ICMPv6 octets with source address and hop limit. Out: a Message, or in a few words why the packet is ignored.
// Of options only the link-layer address is read; prefixes, MTU and all else in an advertisement are for hosts.
import { isLinkLocal } from "../../net/address.ts";

export const NdType = {
  ROUTER_SOLICITATION: 133,
  ROUTER_ADVERTISEMENT: 134,
  NEIGHBOR_SOLICITATION: 135,
  NEIGHBOR_ADVERTISEMENT: 136,
} as const;

/** Only what was sent with it has not passed a router. */
export const ND_HOP_LIMIT = 255;

const SOURCE_LINK_LAYER_ADDRESS = 1;
const ETHERNET_ADDRESS = 6;

export type Message =
  | {
      readonly kind: "routerAdvertisement";
      /** Seconds that a host may use the sender as default router; 0: not at all. */
      readonly lifetime: number;
      /** Ethernet address, null: not said. */
      readonly mac: Uint8Array | null;
    }
  | { readonly kind: "routerSolicitation"; readonly mac: Uint8Array | null }
  | { readonly kind: "neighborAdvertisement"; readonly target: Uint8Array };

export interface Packet {
  readonly bytes: Uint8Array;
  readonly length: number;
  /** 16 bytes. */
  readonly source: Uint8Array;
  readonly hopLimit: number;
}

/** Octets before the options. */
const fixedLengths: Readonly<Record<number, number>> = {
  [NdType.ROUTER_SOLICITATION]: 8,
  [NdType.ROUTER_ADVERTISEMENT]: 16,
  [NdType.NEIGHBOR_ADVERTISEMENT]: 24,
};

export function decodeMessage({ bytes, length, source, hopLimit }: Packet): Message | string {
  if (hopLimit !== ND_HOP_LIMIT) return `hop limit ${hopLimit} is not 255: it was forwarded by a router`;
  if (length < 4) return "is cut short";
  const type = bytes[0];
  const fixed = fixedLengths[type];
  if (fixed === undefined) return `type ${type} is not of use here`;
  if (bytes[1] !== 0) return `code ${bytes[1]} is not 0`;
  if (length < fixed) return "is cut short";
  const options = readOptions(bytes, fixed, length);
  if (typeof options === "string") return options;
  const { mac } = options;
  switch (type) {
    case NdType.ROUTER_ADVERTISEMENT:
      if (!isLinkLocal(source)) return "source is not a link-local address";
      return { kind: "routerAdvertisement", lifetime: (bytes[6] << 8) | bytes[7], mac };
    case NdType.ROUTER_SOLICITATION:
      if (mac && source.every((octet) => octet === 0)) return "link-layer address without a source address";
      return { kind: "routerSolicitation", mac };
    default:
      if (bytes[8] === 0xff) return "target is a multicast address";
      return { kind: "neighborAdvertisement", target: bytes.slice(8, 24) };
  }
}

/**
 *  0                   1                   2                   3
 * |     Type      |    Length     |              ...              |   Length in units of 8 octets, never 0 (§4.6)
 */
function readOptions(bytes: Uint8Array, start: number, end: number): { mac: Uint8Array | null } | string {
  let mac: Uint8Array | null = null;
  for (let at = start; at < end; ) {
    if (at + 2 > end) return "options are cut short";
    const length = bytes[at + 1] * 8;
    if (length === 0) return "an option has length 0";
    if (at + length > end) return "options are cut short";
    if (bytes[at] === SOURCE_LINK_LAYER_ADDRESS && length === 8) mac = bytes.slice(at + 2, at + 8);
    at += length;
  }
  return { mac };
}

/**
 * |     Type      |     Code      |          Checksum             |
 * | Cur Hop Limit |M|O|  Reserved |       Router Lifetime         |
 * |                         Reachable Time                        |
 * |                          Retrans Timer                        |
 * |   Options ...
 *
 * Lifetime 0 and everything else unspecified: no host takes us for its default router, or anything from us.
 */
export function encodeRouterAdvertisement(mac: Uint8Array): Uint8Array {
  return build(NdType.ROUTER_ADVERTISEMENT, 16, mac);
}

export function encodeRouterSolicitation(mac: Uint8Array): Uint8Array {
  return build(NdType.ROUTER_SOLICITATION, 8, mac);
}

/** Asks whoever has `target` to say so. */
export function encodeNeighborSolicitation(target: Uint8Array, mac: Uint8Array): Uint8Array {
  const bytes = build(NdType.NEIGHBOR_SOLICITATION, 24, mac);
  bytes.set(target, 8);
  return bytes;
}

function build(type: number, fixed: number, mac: Uint8Array): Uint8Array {
  const option = mac.length === ETHERNET_ADDRESS ? 8 : 0;
  const bytes = new Uint8Array(fixed + option);
  bytes[0] = type;
  if (option > 0) {
    bytes[fixed] = SOURCE_LINK_LAYER_ADDRESS;
    bytes[fixed + 1] = option / 8;
    bytes.set(mac, fixed + 2);
  }
  return bytes;
}

export const ALL_NODES = multicast(1);
export const ALL_ROUTERS = multicast(2);

function multicast(last: number): Uint8Array {
  const bytes = new Uint8Array(16);
  bytes.set([0xff, 0x02]);
  bytes[15] = last;
  return bytes;
}

/** Where a Neighbor Solicitation for `target` goes (RFC 4291 §2.7.1). */
export function solicitedNode(target: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(16);
  bytes.set([0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff]);
  bytes.set(target.subarray(13), 13);
  return bytes;
}
