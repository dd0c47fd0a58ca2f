// rtnetlink numbers (linux/netlink.h, rtnetlink.h, if_link.h, if_addr.h, fib_rules.h, nexthop.h, neighbour.h), by the
// kernel's names without the parts that are the same in each: MessageType.newRoute is RTM_NEWROUTE.

export const AF_UNSPEC = 0;
export const AF_INET = 2;
export const AF_INET6 = 10;
export const AF_NETLINK = 16;

export const MessageType = {
  noop: 1,
  error: 2,
  done: 3,
  overrun: 4,
  newLink: 16,
  delLink: 17,
  getLink: 18,
  newAddress: 20,
  delAddress: 21,
  getAddress: 22,
  newRoute: 24,
  delRoute: 25,
  getRoute: 26,
  newNeighbour: 28,
  delNeighbour: 29,
  getNeighbour: 30,
  newRule: 32,
  delRule: 33,
  getRule: 34,
  getNeighbourTable: 66,
  newNetconf: 80,
  getNamespaceId: 90,
  newNextHop: 104,
  delNextHop: 105,
  getNextHop: 106,
} as const;

export const Flag = {
  request: 0x1,
  multi: 0x2,
  ack: 0x4,
  dumpInterrupted: 0x10,
  /** In an acknowledgement: the request is not repeated (NETLINK_CAP_ACK). */
  capped: 0x100,
  /** In an acknowledgement: attributes with the kernel's words follow. */
  ackAttributes: 0x200,
  dump: 0x300,
  replace: 0x100,
  exclusive: 0x200,
  create: 0x400,
  append: 0x800,
} as const;

/** Multicast groups (RTNLGRP_*), for NETLINK_ADD_MEMBERSHIP. */
export const Group = {
  link: 1,
  neighbour: 3,
  ipv4Address: 5,
  ipv4Route: 7,
  ipv4Rule: 8,
  ipv6Address: 9,
  ipv6Route: 11,
  ipv6Rule: 19,
  ipv4Netconf: 24,
  ipv6Netconf: 25,
  nextHop: 32,
} as const;

export const LinkFlag = { up: 0x1, loopback: 0x8, running: 0x40, lowerUp: 0x10000 } as const;

export const LinkAttribute = {
  address: 1,
  name: 3,
  mtu: 4,
  link: 5,
  master: 10,
  operState: 16,
  linkInfo: 18,
  alias: 20,
  afSpec: 26,
  group: 27,
  netnsFd: 28,
  extMask: 29,
  txQueues: 31,
  rxQueues: 32,
  netnsId: 37,
  infoKind: 1,
  infoData: 2,
  vethPeer: 1,
} as const;

export const NamespaceAttribute = { id: 1, fd: 3 } as const;

export const AddressAttribute = { address: 1, local: 2, label: 3, flags: 8, routePriority: 9 } as const;

export const AddressFlag = {
  noDad: 0x2,
  optimistic: 0x4,
  dadFailed: 0x8,
  tentative: 0x40,
  permanent: 0x80,
  noPrefixRoute: 0x200,
} as const;

export const RouteAttribute = {
  destination: 1,
  source: 2,
  iif: 3,
  oif: 4,
  gateway: 5,
  priority: 6,
  preferredSource: 7,
  multipath: 9,
  table: 15,
  mark: 16,
  via: 18,
  preference: 20,
  expires: 23,
  uid: 25,
  ipProtocol: 27,
  sourcePort: 28,
  destinationPort: 29,
  nextHopId: 30,
} as const;

export const RouteType = {
  unicast: 1,
  local: 2,
  broadcast: 3,
  anycast: 4,
  multicast: 5,
  blackhole: 6,
  unreachable: 7,
  prohibit: 8,
  throw: 9,
} as const;

/** RTM_F_*: what an answer to RTM_GETROUTE is to say. */
export const RouteFlag = {
  /** The table that decided. */
  lookupTable: 0x1000,
  /** The route as it is in the table, instead of what comes of it for this flow. */
  fibMatch: 0x2000,
} as const;

export const Scope = { universe: 0, link: 253, host: 254 } as const;

export const NextHopFlag = { dead: 1, onlink: 4, linkDown: 16 } as const;

export const RuleAttribute = {
  destination: 1,
  source: 2,
  iif: 3,
  goto: 4,
  priority: 6,
  fwmark: 10,
  tunnelId: 12,
  suppressInterfaceGroup: 13,
  suppressPrefixLength: 14,
  table: 15,
  fwmask: 16,
  oif: 17,
  l3mdev: 19,
  uidRange: 20,
  protocol: 21,
  ipProtocol: 22,
  sourcePorts: 23,
  destinationPorts: 24,
  dscp: 25,
  flowLabel: 26,
  flowLabelMask: 27,
  sourcePortMask: 28,
  destinationPortMask: 29,
  dscpMask: 30,
} as const;

export const RuleAction = { toTable: 1, goto: 2, nop: 3, blackhole: 6, unreachable: 7, prohibit: 8 } as const;
export const RuleFlag = { invert: 0x2, unresolved: 0x4, iifDetached: 0x8, oifDetached: 0x10 } as const;

export const NextHopAttribute = { id: 1, group: 2, groupType: 3, blackhole: 4, oif: 5, gateway: 6 } as const;

export const NeighbourAttribute = { destination: 1, linkAddress: 2 } as const;
export const NeighbourTableAttribute = { limit: 4, config: 5, statistics: 7 } as const;
/** NUD_*. */
export const NeighbourState = {
  incomplete: 0x1,
  reachable: 0x2,
  stale: 0x4,
  delay: 0x8,
  probe: 0x10,
  failed: 0x20,
  noarp: 0x40,
  permanent: 0x80,
} as const;
/** NTF_*. */
export const NeighbourFlag = { use: 0x1 } as const;

export const NetconfAttribute = { ifindex: 1, forwarding: 2, rpFilter: 3 } as const;

export const RT_TABLE_COMPAT = 252;
export const RT_TABLE_DEFAULT = 253;
export const RT_TABLE_MAIN = 254;
export const RT_TABLE_LOCAL = 255;
