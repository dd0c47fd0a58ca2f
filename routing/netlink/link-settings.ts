// Settings of one interface (net.ipv4.conf.*, net.ipv6.conf.*) as link messages carry them, in IFLA_AF_SPEC. In one
// message with others they cost nothing; a file in /proc/sys costs 30 microseconds each. IPv4's can all be written this
// way; of IPv6's only how addresses are made up, the others can be read. A link cannot be created with them.
import { Attributes, LITTLE } from "./attribute.ts";
import { AF_INET, AF_INET6, AF_UNSPEC, LinkAttribute, MessageType } from "./constants.ts";
import type { MessageWriter } from "./message.ts";

const HEADER = 16;
const IFLA_INET_CONF = 1;
const IFLA_INET6_CONF = 2;
const IFLA_INET6_ADDR_GEN_MODE = 8;
/** Places in IFLA_INET6_CONF, an array of s32. */
const DEVCONF_ACCEPT_RA = 3;
const DEVCONF_DISABLE_IPV6 = 26;

/** IPV4_DEVCONF_* of linux/ip.h. */
export const Ipv4Setting = {
  forwarding: 1,
  proxyArp: 3,
  rpFilter: 8,
  arpFilter: 13,
  arpAnnounce: 18,
  arpIgnore: 19,
} as const;

export const AddressGeneration = { eui64: 0, none: 1 } as const;

export interface LinkSettings {
  /** Values by Ipv4Setting. */
  readonly ipv4?: readonly (readonly [setting: number, value: number])[];
  /** AddressGeneration. */
  readonly ipv6Addresses?: number;
}

export function encodeLinkSettings(out: MessageWriter, ifindex: number, { ipv4, ipv6Addresses }: LinkSettings): void {
  out.begin(MessageType.newLink, 0);
  out.u8(AF_UNSPEC);
  out.zeros(3);
  out.u32(ifindex);
  out.zeros(8);
  const families = out.beginNested(LinkAttribute.afSpec);
  if (ipv4 && ipv4.length > 0) {
    const family = out.beginNested(AF_INET);
    const conf = out.beginNested(IFLA_INET_CONF);
    for (const [setting, value] of ipv4) out.attributeU32(setting, value);
    out.endNested(conf);
    out.endNested(family);
  }
  if (ipv6Addresses !== undefined) {
    const family = out.beginNested(AF_INET6);
    out.attributeU8(IFLA_INET6_ADDR_GEN_MODE, ipv6Addresses);
    out.endNested(family);
  }
  out.endNested(families);
  out.end();
}

export interface Ipv6Settings {
  readonly acceptRa: number;
  readonly disabled: number;
}

const link = new Attributes(LinkAttribute.afSpec);
const families = new Attributes(AF_INET6);
const ipv6 = new Attributes(IFLA_INET6_ADDR_GEN_MODE);

/** Body of RTM_NEWLINK; null when it does not say. */
export function decodeIpv6Settings(buffer: Buffer, start: number, end: number): Ipv6Settings | null {
  link.parse(buffer, start + HEADER, end);
  const own = link.nested(LinkAttribute.afSpec, families)?.nested(AF_INET6, ipv6);
  if (!own || own.length(IFLA_INET6_CONF) < (DEVCONF_DISABLE_IPV6 + 1) * 4) return null;
  const values = own.start(IFLA_INET6_CONF);
  const value = (place: number) =>
    LITTLE ? buffer.readInt32LE(values + place * 4) : buffer.readInt32BE(values + place * 4);
  return { acceptRa: value(DEVCONF_ACCEPT_RA), disabled: value(DEVCONF_DISABLE_IPV6) };
}
