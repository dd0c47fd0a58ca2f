// What a pod may not do, as nftables rules: the same few for all pods, whatever there are. A pod's packets are those
// that come in over a veth whose name begins as our host ends' do. Nothing else is looked at, and nothing here knows an
// address: the source has to be one that our own routes lead back to over that very interface.
//
//   table inet: prerouting, before connection tracking and reassembly. What is checked for every packet is in the network
//               header, which every fragment has. ICMP types are in the first fragment, without which there is no message.
//   table arp:  what a pod asks the host; the answers to what the host asks pass.
//
// A link-local source is nobody's: it would make the host look for a neighbour per address that a pod makes up. Pods do
// not need one: their gateway has a permanent entry, and neighbours are asked for from the pod's own address.
import {
  Compare,
  HOOK_ARP_IN,
  HOOK_PREROUTING,
  Meta,
  PayloadBase,
  PRIORITY_FILTER,
  PRIORITY_RAW,
  Register,
} from "../netlink/nftables/constants.ts";
import { accept, drop, type Expression, goTo } from "../netlink/nftables/expression.ts";
import type { TableSpec } from "../netlink/nftables/message.ts";

export const TABLE = "underlay";
/** Marks a table as ours. As nft(8) writes comments: type 0, length, text with its zero. */
const COMMENT = Buffer.from("kept by underlayd\0");
export const USER_DATA = Uint8Array.of(0, COMMENT.length, ...COMMENT);

/** Why packets are dropped; names of counters. */
export const dropReasons = ["source", "loopback", "multicast", "options", "redirect", "advertisement", "arp"] as const;
export type DropReason = (typeof dropReasons)[number];

/** `interface . source address` of pods with several interfaces: their other addresses. */
export const siblingSets = { 4: "siblings4", 6: "siblings6" } as const;

/** Of nft(8)'s types, six bits each: interface index, IPv4 and IPv6 address. */
const IFINDEX = 20;
const IPV4_ADDRESS = 7;
const IPV6_ADDRESS = 8;

const NFPROTO_IPV4 = 2;
const IPPROTO_ICMP = 1;
const IPPROTO_ICMPV6 = 58;
const IPV6_ROUTING_HEADER = 43;
const ICMP_REDIRECT = 5;
const ROUTER_ADVERTISEMENT = 134;
const NEIGHBOUR_SOLICITATION = 135;
const ICMPV6_REDIRECT = 137;
const ARP_REPLY = 2;

const meta = (key: number): Expression => ({ kind: "meta", key });
const network = (offset: number, length: number, register?: number): Expression => ({
  kind: "payload",
  base: PayloadBase.network,
  offset,
  length,
  ...(register !== undefined && { register }),
});
const is = (...value: number[]): Expression => ({ kind: "compare", operation: Compare.equal, value });
const isNot = (...value: number[]): Expression => ({ kind: "compare", operation: Compare.notEqual, value });
const counted = (counter: DropReason): Expression[] => [{ kind: "count", counter }, drop];

/** Bytes of an interface's name, padded with zeros; and of its kind. */
const NAME_LENGTH = 16;

/**
 * From a pod: `prefix` is how the names of host ends begin, all of which are as long as a name can be. An uplink's is
 * shorter.
 */
function fromPod(prefix: string): Expression[] {
  const kind = Buffer.alloc(NAME_LENGTH);
  kind.write("veth");
  const last = Array.from({ length: NAME_LENGTH }, (_, i) => (i === NAME_LENGTH - 2 ? 0xff : 0));
  return [
    meta(Meta.iifName),
    is(...Buffer.from(prefix)),
    { kind: "mask", mask: last },
    isNot(...last.map(() => 0)),
    meta(Meta.iifKind),
    is(...kind),
  ];
}

const protocol = (number: number): Expression[] => [meta(Meta.l4Proto), is(number)];
const icmpType: Expression = { kind: "payload", base: PayloadBase.transport, offset: 0, length: 1 };
const ownSource: Expression[] = [{ kind: "reversePath" }, is(1), accept];

const pods4: Expression[][] = [
  // 224.0.0.0/4 and what is above it, broadcast too.
  [network(16, 1), { kind: "compare", operation: Compare.greaterOrEqual, value: [224] }, ...counted("multicast")],
  // With route_localnet the kernel would take them to what listens on loopback alone.
  [network(16, 1), is(127), ...counted("loopback")],
  // Source routes, and whatever else makes the host do more than forward.
  [
    network(0, 1),
    { kind: "mask", mask: [0x0f] },
    { kind: "compare", operation: Compare.greater, value: [5] },
    ...counted("options"),
  ],
  [...protocol(IPPROTO_ICMP), icmpType, is(ICMP_REDIRECT), ...counted("redirect")],
  ownSource,
  [meta(Meta.iif), network(12, 4, Register.secondWord), { kind: "lookup", set: siblingSets[4] }, accept],
  counted("source"),
];

const pods6: Expression[][] = [
  [...protocol(IPPROTO_ICMPV6), goTo("icmp6")],
  [network(24, 1), is(0xff), ...counted("multicast")],
  [goTo("source6")],
];

const icmp6: Expression[][] = [
  [icmpType, is(ROUTER_ADVERTISEMENT), ...counted("advertisement")],
  [icmpType, is(ICMPV6_REDIRECT), ...counted("redirect")],
  // Neighbours are asked for by multicast: that alone passes.
  [network(24, 1), is(0xff), icmpType, isNot(NEIGHBOUR_SOLICITATION), ...counted("multicast")],
  [goTo("source6")],
];

const source6: Expression[][] = [
  [network(8, 2), { kind: "mask", mask: [0xff, 0xc0] }, is(0xfe, 0x80), ...counted("source")],
  [{ kind: "extensionHeader", type: IPV6_ROUTING_HEADER }, is(1), ...counted("options")],
  ownSource,
  [meta(Meta.iif), network(8, 16, Register.secondWord), { kind: "lookup", set: siblingSets[6] }, accept],
  counted("source"),
];

/** `prefix`: how the names of pods' host ends begin. */
export function inetTable(prefix: string): TableSpec {
  const key = (address: number) => (IFINDEX << 6) | address;
  return {
    family: "inet",
    name: TABLE,
    userData: USER_DATA,
    counters: dropReasons.filter((reason) => reason !== "arp"),
    sets: [
      { name: siblingSets[4], keyType: key(IPV4_ADDRESS), keyLength: 8 },
      { name: siblingSets[6], keyType: key(IPV6_ADDRESS), keyLength: 20 },
    ],
    chains: [
      {
        name: "prerouting",
        hook: { number: HOOK_PREROUTING, priority: PRIORITY_RAW },
        rules: [[...fromPod(prefix), goTo("pods")]],
      },
      { name: "pods", hook: null, rules: [[meta(Meta.nfProto), is(NFPROTO_IPV4), goTo("pods4")], [goTo("pods6")]] },
      { name: "pods4", hook: null, rules: pods4 },
      { name: "pods6", hook: null, rules: pods6 },
      { name: "icmp6", hook: null, rules: icmp6 },
      { name: "source6", hook: null, rules: source6 },
    ],
  };
}

export function arpTable(prefix: string): TableSpec {
  return {
    family: "arp",
    name: TABLE,
    userData: USER_DATA,
    counters: ["arp"],
    sets: [],
    chains: [
      {
        name: "input",
        hook: { number: HOOK_ARP_IN, priority: PRIORITY_FILTER },
        rules: [[...fromPod(prefix), network(6, 2), isNot(0, ARP_REPLY), ...counted("arp")]],
      },
    ],
  };
}
