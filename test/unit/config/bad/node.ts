// The node, its pools and its tables.
import { type Bad, pool } from "./case.ts";

export const badNode: readonly Bad[] = [
  // ===== node =====
  { name: "no AS number", whole: "node: { routerId: 10.0.0.1 }\n", says: ["1:1 node.asn: is missing"] },
  { name: "no node", whole: "log: {}\n", says: ["1:1 node: is missing"] },
  {
    name: "AS numbers",
    whole: "node: { asn: abc, routerId: 10.0.0.1 }\n",
    says: ['1:14 node.asn: "abc" is not an AS number'],
    hints: ["a number from 1 to 4294967295"],
  },
  { name: "AS 0", whole: "node: { asn: 0, routerId: 10.0.0.1 }\n", says: ["1:14 node.asn: 0 is not an AS number"] },
  {
    name: "AS too large",
    whole: "node: { asn: 4294967296, routerId: 10.0.0.1 }\n",
    says: ["1:14 node.asn: 4294967296 is not an AS number"],
  },
  {
    name: "AS_TRANS",
    whole: "node: { asn: 23456, routerId: 10.0.0.1 }\n",
    says: ["1:14 node.asn: 23456 is AS_TRANS, which no router has as its own (RFC 6793)"],
  },
  {
    name: "asdot",
    whole: 'node: { asn: "1.10", routerId: 10.0.0.1 }\n',
    says: ['1:14 node.asn: "1.10" is not an AS number'],
    hints: ["write it as a plain number: 65546"],
  },
  {
    name: "router id zero",
    whole: "node: { asn: 1, routerId: 0.0.0.0 }\n",
    says: ["1:27 node.routerId: 0.0.0.0 cannot be a router id (RFC 6286)"],
  },
  {
    name: "router id IPv6",
    whole: 'node: { asn: 1, routerId: "::1" }\n',
    says: ['1:27 node.routerId: "::1" is not a router id'],
  },
  {
    name: "router id number",
    whole: "node: { asn: 1, routerId: 1 }\n",
    says: ["1:27 node.routerId: 1 is not a router id"],
  },

  // ===== pools =====
  {
    name: "host bits",
    top: pool("10.244.1.5/26"),
    says: ['4:13 pools.default.blocks: "10.244.1.5/26" has bits set after the prefix length'],
    hints: ["the prefix is 10.244.1.0/26"],
  },
  {
    name: "host bits, IPv6, in a list",
    top: pool('[10.244.1.0/26, "2001:db8::1/64"]'),
    says: ['4:29 pools.default.blocks[1]: "2001:db8::1/64" has bits set after the prefix length'],
    hints: ["the prefix is 2001:db8::/64"],
  },
  {
    name: "no length",
    top: pool("10.244.1.0"),
    says: ['4:13 pools.default.blocks: "10.244.1.0" is not a block'],
    hints: ["10.244.1.0/32"],
  },
  {
    name: "a netmask",
    top: pool("10.244.1.0/255.255.255.192"),
    says: ['4:13 pools.default.blocks: "10.244.1.0/255.255.255.192" is not a block'],
    hints: ["write 10.244.1.0/26"],
  },
  {
    name: "length too large",
    top: pool("10.244.1.0/33"),
    says: ['4:13 pools.default.blocks: "10.244.1.0/33" is not a block'],
    hints: ["at most 32"],
  },
  {
    name: "IPv4 in IPv6 notation",
    top: pool('"::ffff:10.0.0.0/120"'),
    says: ['4:13 pools.default.blocks: "::ffff:10.0.0.0/120" is an IPv4 prefix in IPv6 notation'],
  },
  {
    name: "multicast",
    top: pool("224.0.0.0/24"),
    says: ['4:13 pools.default.blocks: "224.0.0.0/24" is multicast or reserved'],
  },
  { name: "link-local", top: pool('"fe80::/64"'), says: ['4:13 pools.default.blocks: "fe80::/64" is link-local'] },
  {
    name: "everything",
    top: pool("0.0.0.0/0"),
    says: ['4:13 pools.default.blocks: "0.0.0.0/0" is the whole address space'],
  },
  { name: "no block", top: pool("[]"), says: ["4:13 pools.default.blocks: the list is empty"] },
  { name: "a number", top: pool("[7]"), says: ["4:14 pools.default.blocks[0]: 7 is not a block"] },
  {
    name: "overlap within a pool",
    top: pool("[10.244.0.0/16, 10.244.1.0/26]"),
    says: ["4:29 pools.default.blocks[1]: 10.244.1.0/26 overlaps with 10.244.0.0/16 (pool default, line 4)"],
  },
  {
    name: "overlap across pools",
    top: "pools:\n  a:\n    blocks:\n      - 10.1.0.0/24\n      - 10.0.0.0/24\n  b:\n    blocks: 10.0.0.0/23\n",
    says: ["8:13 pools.b.blocks: 10.0.0.0/23 overlaps with 10.0.0.0/24 (pool a, line 6)"],
  },
  {
    name: "a block twice",
    top: pool("[10.0.0.0/24, 10.0.0.0/24]"),
    says: ["4:27 pools.default.blocks[1]: 10.0.0.0/24 is there twice (pool default, line 4)"],
  },
  {
    name: "exclusion outside",
    top: pool("10.0.0.0/24", "    exclude: [10.0.0.1, 10.0.1.1]\n"),
    says: ["5:25 pools.default.exclude[1]: 10.0.1.1 is not inside of any block of this pool"],
    hints: ["10.0.0.0/24"],
  },
  {
    name: "exclusion over the edge",
    top: pool("10.0.0.0/24", "    exclude: 10.0.0.250-10.0.1.2\n"),
    says: ["5:14 pools.default.exclude: 10.0.0.250-10.0.1.2 is not inside of any block of this pool"],
  },
  {
    name: "exclusion backwards",
    top: pool("10.0.0.0/24", "    exclude: 10.0.0.9-10.0.0.2\n"),
    says: ['5:14 pools.default.exclude: "10.0.0.9-10.0.0.2" ends before it begins'],
    hints: ["10.0.0.2-10.0.0.9"],
  },
  {
    name: "exclusion nonsense",
    top: pool("10.0.0.0/24", "    exclude: [first]\n"),
    says: ['5:15 pools.default.exclude[0]: "first" is not an address, a range or a prefix'],
  },
  {
    name: "reserved outside",
    top: pool("10.0.0.0/24", "    reserve: [10.0.0.1, 10.0.1.1]\n"),
    says: ["5:25 pools.default.reserve[1]: 10.0.1.1 is not inside of any block of this pool"],
  },
  {
    name: "reserved and excluded",
    top: pool(
      "10.0.0.0/24",
      "    exclude: [10.0.0.16/28, 10.0.0.4-10.0.0.6]\n    reserve: [10.0.0.3-10.0.0.4, 10.0.0.17, 10.0.0.5]\n",
    ),
    says: [
      "6:34 pools.default.reserve[1]: 10.0.0.17 is excluded as well: nobody gets it",
      "6:45 pools.default.reserve[2]: 10.0.0.5 is excluded as well: nobody gets it",
    ],
    hints: ["out of exclude", "out of exclude"],
  },
  {
    name: "a cooldown of a day",
    top: pool("10.0.0.0/24", "    cooldown: 1d\n"),
    says: ['5:15 pools.default.cooldown: "1d" is outside of 0 to 3600 seconds'],
  },
  {
    name: "sticky by nonsense, for ever",
    top: pool("10.0.0.0/24", "    sticky: { by: podname, for: 0 }\n"),
    says: [
      '5:19 pools.default.sticky.by: "podname" is not one of pod-name, request',
      "5:33 pools.default.sticky.for: 0 is outside of 1 to 2592000 seconds",
    ],
    hints: ["did you mean pod-name?"],
  },
  {
    name: "warnAt without a percent sign",
    top: pool("10.0.0.0/24", "    warnAt: 0.9\n"),
    says: ["5:13 pools.default.warnAt: 0.9 is not a percentage"],
    hints: ["90%"],
  },
  {
    name: "warnAt beyond all",
    top: pool("10.0.0.0/24", "    warnAt: 101%\n"),
    says: ["5:13 pools.default.warnAt: 101% is outside of 1% to 100%"],
  },
  {
    name: "for namespaces that cannot be",
    top: pool("10.0.0.0/24", "    for: { namespaces: [web-*, Kube] }\n"),
    says: ['5:32 pools.default.for.namespaces[1]: "Kube" is not a namespace, or pattern with `*`'],
  },
  {
    name: "unknown table",
    top: pool("10.0.0.0/24", "    table: fabrik\n"),
    says: ['5:12 pools.default.table: there is no table "fabrik"'],
    hints: ["did you mean fabric?"],
  },

  // ===== tables =====
  {
    name: "main as table",
    top: "tables: { fabric: { id: 254 } }\n",
    says: ["2:25 tables.fabric.id: table 254 is the host's main table"],
  },
  {
    name: "table 0",
    top: "tables: { fabric: { id: 0 } }\n",
    says: ["2:25 tables.fabric.id: 0 is outside of 1 to 4294967295"],
  },
  {
    name: "duplicate table id",
    top: "tables:\n  a: { id: 7100 }\n  b: { id: 7100 }\n",
    says: ["4:12 tables.b.id: table 7100 is a already (line 3)"],
  },
  {
    name: "local table clash",
    top: "tables: { fabric: { id: 7000 } }\n",
    says: ["2:25 tables.fabric.id: table 7000 is the local table already (routing.localTable)"],
  },
  {
    name: "local table is main",
    top: "routing: { localTable: 254 }\n",
    says: ["2:24 routing.localTable: table 254 is the host's main table"],
  },
  {
    name: "table called main",
    top: "tables: { main: { id: 7100 } }\n",
    says: ["2:11 tables.main: this name is taken"],
  },
  {
    name: "no table to take",
    top: "tables: { a: { id: 1 }, b: { id: 2 } }\npools: { p: { blocks: 10.0.0.0/24 } }\n",
    says: ["3:10 pools.p.table: is missing: there is no table called fabric to take"],
  },
  { name: "no table at all", top: "tables: {}\n", says: ["2:9 tables: there is no table"] },
];
