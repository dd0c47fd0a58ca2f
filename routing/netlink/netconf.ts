// RTM_NEWNETCONF: struct netconfmsg { family u8 } and NETCONFA_* attributes. The kernel tells of changed settings of an
// interface this way, whoever wrote them.
import { Attributes } from "./attribute.ts";
import { AF_INET, AF_INET6, NetconfAttribute } from "./constants.ts";

const HEADER = 4;

/** In place of an interface's index. */
export const NetconfIndex = { all: -1, default: -2 } as const;

export interface Netconf {
  readonly family: 4 | 6;
  /** Or one of NetconfIndex. */
  readonly ifindex: number;
  /** Null: the message does not say. */
  readonly forwarding: number | null;
  readonly rpFilter: number | null;
}

const attributes = new Attributes(NetconfAttribute.rpFilter);

/** Body of RTM_NEWNETCONF; null when it is neither of IPv4 nor of IPv6. */
export function decodeNetconf(buffer: Buffer, start: number, end: number): Netconf | null {
  if (end - start < HEADER) return null;
  const family = buffer[start];
  if (family !== AF_INET && family !== AF_INET6) return null;
  attributes.parse(buffer, start + HEADER, end);
  const value = (type: number) => (attributes.has(type) ? attributes.u32(type) | 0 : null);
  return {
    family: family === AF_INET ? 4 : 6,
    ifindex: value(NetconfAttribute.ifindex) ?? 0,
    forwarding: value(NetconfAttribute.forwarding),
    rpFilter: value(NetconfAttribute.rpFilter),
  };
}
