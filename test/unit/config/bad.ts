// Configurations that are refused: what is written, and what the person is told.
// `top` is put after a good node section, which takes line 1; `whole` stands by itself.

export interface Bad {
  readonly name: string;
  readonly whole?: string;
  readonly top?: string;
  /** Every problem as `line:column path: message`, in order. */
  readonly says: readonly string[];
  /** Parts of the hints, in the same order. */
  readonly hints?: readonly (string | null)[];
}

export const NODE = "node: { name: n1, asn: 65101, routerId: 10.0.0.11 }\n";

const peer = (lines: string) =>
  `peers:\n  tor-a:\n    address: 192.0.2.1\n    asn: 65001\n    import: all\n    export: blocks\n${lines}`;
const pool = (blocks: string, rest = "") => `pools:\n  default:\n    blocks: ${blocks}\n${rest}`;
const policy = (statement: string) => `policies:\n  p:\n    - ${statement}\n`;

export const bad: readonly Bad[] = [
  // ===== the text =====
  { name: "empty", whole: "", says: ["is empty"], hints: ["docs/configuration.md"] },
  { name: "only a comment", whole: "# nothing\n", says: ["is empty"] },
  { name: "null", whole: "null\n", says: ["is empty"] },
  { name: "a word", whole: "hello\n", says: ['1:1 "hello" is not a map'] },
  { name: "a list", whole: "- a\n", says: ["1:1 a list is not a map"] },
  {
    name: "binary",
    whole: "node:\n  \u0000\u0001",
    says: ["2:3 is not text: there is a control character or a byte that is not UTF-8 here"],
  },
  {
    name: "a byte that is not UTF-8",
    whole: "a: \ufffd\n",
    says: ["1:4 is not text: there is a control character or a byte that is not UTF-8 here"],
  },
  {
    name: "tabs",
    whole: "node:\n\tasn: 1\n",
    says: ["2:1 there is a tab in the indentation"],
    hints: ["spaces"],
  },
  { name: "an open bracket", whole: "node: [1, 2\n", says: [/is not YAML|indentation|missing/.source] },
  { name: "two documents", whole: `${NODE}---\na: 1\n`, says: ["2:1 a second YAML document begins here"] },
  {
    name: "a key twice",
    top: "log: {}\nlog: {}\n",
    says: ["3:1 log: is written twice"],
    hints: ["line 2"],
  },
  {
    name: "a peer twice",
    top: `${peer("")}  tor-a:\n    address: 192.0.2.2\n`,
    says: ["8:3 peers.tor-a: is written twice"],
    hints: ["line 3"],
  },
  {
    name: "an alias without anchor",
    top: "log: *nowhere\n",
    says: ["2:6 log: there is no anchor &nowhere before this alias"],
  },
  {
    name: "an alias within itself",
    top: "log: &a { level: *a }\n",
    says: ["2:18 log.level: the alias *a stands for something that contains it"],
  },
  {
    name: "sizes that are none, or too small, or too large",
    top: "history: { size: 64MB }\n",
    says: ['2:18 history.size: "64MB" is not a size'],
    hints: ["64MiB"],
  },
  {
    name: "a size too small",
    top: "history: { size: 1000 }\n",
    says: ["2:18 history.size: 1000 is outside of 1MiB to 64GiB"],
  },
  {
    name: "a size too large",
    top: "history: { size: 65GiB }\n",
    says: ['2:18 history.size: "65GiB" is outside of 1MiB to 64GiB'],
  },
  { name: "a merge of a word", top: "log: { <<: info }\n", says: ["2:12 log.<<: only a map can be merged"] },
  { name: "a list as key", top: "? [a]\n: b\n", says: ["2:3 a key must be a single word"] },

  // ===== keys =====
  {
    name: "an unknown section",
    top: "peer: {}\n",
    says: ["2:1 peer: is not a known key"],
    hints: ["did you mean peers?"],
  },
  {
    name: "an unknown key, misspelled",
    top: peer("    holdtime: 9s\n"),
    says: ["8:5 peers.tor-a.holdtime: is not a known key"],
    hints: ["did you mean holdTime?"],
  },
  {
    name: "a key of another router",
    top: peer("    remote-as: 65001\n    md5: x\n"),
    says: ["8:5 peers.tor-a.remote-as: is not a known key", "9:5 peers.tor-a.md5: is not a known key"],
    hints: ["it is called asn here", "it is called password here"],
  },
  {
    name: "a feature that is somewhere else, and one that is not there",
    top: "mrt: true\nmonitoring:\n  bmp:\n    noc: { address: 192.0.2.1, port: 11019, mirroring: true }\n",
    says: ["2:1 mrt: is not a known key", "5:45 monitoring.bmp.noc.mirroring: is not a known key"],
    hints: ["it is called monitoring here", "Route Mirroring is not part of this version"],
  },
  {
    name: "BMP collectors",
    top: `monitoring:
  bmp:
    noport: { address: 192.0.2.1 }
    "bad name": { address: "fe80::1", port: 0, statistics: never }
    view: { address: 192.0.2.2, port: 1790, adjRibIn: [pre-policy, prepolicy], locRib: maybe }
    empty:
`,
    says: [
      "4:5 monitoring.bmp.noport.port: is missing",
      "5:45 monitoring.bmp.bad name.port: 0 is outside of 1 to 65535",
      '5:60 monitoring.bmp.bad name.statistics: "never" is not a duration',
      '6:68 monitoring.bmp.view.adjRibIn[1]: "prepolicy" is not one of pre-policy, post-policy',
      '6:88 monitoring.bmp.view.locRib: "maybe" is neither true nor false',
      "7:11 monitoring.bmp.empty: is missing",
    ],
  },
  {
    name: "BMP collectors that do not go together",
    top: `monitoring:
  bmp:
    "bad name": { address: "fe80::1", port: 11019 }
    a: { address: 192.0.2.1, port: 1790, localAddress: "2001:db8::1" }
    b: { address: 192.0.2.1, port: 1790, adjRibIn: [pre-policy, pre-policy] }
`,
    says: [
      '4:5 monitoring.bmp.bad name: "bad name" is not a name',
      "4:28 monitoring.bmp.bad name.address: fe80::1 is a link-local address",
      "5:56 monitoring.bmp.a.localAddress: 2001:db8::1 is not of the same family as the collector's address",
      "6:36 monitoring.bmp.b.port: 192.0.2.1 port 1790 is collector a already (line 5)",
      "6:52 monitoring.bmp.b.adjRibIn: names a view twice",
    ],
  },
  {
    name: "MRT files",
    top: "monitoring:\n  mrt: { directory: mrt, updates: { interval: 0s, keep: 0 }, tables: yes }\n",
    says: [
      '3:21 monitoring.mrt.directory: "mrt" is not an absolute path',
      '3:47 monitoring.mrt.updates.interval: "0s" is outside of 1 to 86400 seconds',
      "3:57 monitoring.mrt.updates.keep: 0 is outside of 1 to 100000",
      '3:70 monitoring.mrt.tables: "yes" is neither false nor a map',
    ],
  },
  {
    name: "BFD faster than a thread can keep up with, and in the wrong unit",
    top: peer("    bfd: { interval: 10ms, multiplier: 0 }\n"),
    says: [
      '8:22 peers.tor-a.bfd.interval: "10ms" is outside of 50 ms to 60000 ms',
      "8:40 peers.tor-a.bfd.multiplier: 0 is outside of 1 to 255",
    ],
  },
  {
    name: "a BFD interval without a unit",
    top: peer("    bfd: { interval: 300 }\n"),
    says: ["8:22 peers.tor-a.bfd.interval: 300 is outside of 50 ms to 60000 ms"],
    hints: ["a plain number is seconds; write 300ms"],
  },
  {
    name: "BFD that is neither on nor off",
    top: peer("    bfd: 300ms\n"),
    says: ['8:10 peers.tor-a.bfd: "300ms" is neither true nor false nor a map'],
  },
  {
    name: "a local AS that is none",
    top: peer("    localAsn: 0\n"),
    says: ["8:15 peers.tor-a.localAsn: 0 is not an AS number"],
  },
  {
    name: "a local AS without its number",
    top: peer("    localAsn: { noprepend: true }\n"),
    says: ["8:5 peers.tor-a.localAsn.asn: is missing", "8:17 peers.tor-a.localAsn.noprepend: is not a known key"],
    hints: [null, "did you mean noPrepend?"],
  },
  {
    name: "the node's own AS as local AS",
    top: peer("    localAsn: { asn: 65101 }\n"),
    says: ["8:22 peers.tor-a.localAsn.asn: 65101 is the node's own AS number"],
  },
  {
    name: "the neighbour's AS as local AS",
    top: peer("    localAsn: 65001\n"),
    says: ["8:15 peers.tor-a.localAsn: does not make a session within one AS"],
  },
  {
    name: "loops beyond reason, and in words",
    top: peer("    allowAsIn: 11\n").concat(
      "  tor-b: { address: 192.0.2.2, asn: 65001, import: all, export: all, allowAsIn: often }\n",
    ),
    says: [
      "8:16 peers.tor-a.allowAsIn: 11 is outside of 0 to 10",
      '9:81 peers.tor-b.allowAsIn: "often" is neither a number nor origin',
    ],
  },
  {
    name: "private AS numbers removed in an unknown way",
    top: peer("    removePrivateAs: everything\n    nextHopSelf: yes\n"),
    says: [
      '8:22 peers.tor-a.removePrivateAs: "everything" is not one of true, false, replace, all, replace-all',
      '9:18 peers.tor-a.nextHopSelf: "yes" is not one of true, false, force',
    ],
  },
  {
    name: "keys for the own AS with a neighbour in another",
    top: peer("    nextHopSelf: true\n    routeReflectorClient: true\n"),
    says: [
      "8:5 peers.tor-a.nextHopSelf: is for neighbours in our own AS",
      "9:5 peers.tor-a.routeReflectorClient: is for neighbours in our own AS",
    ],
  },
  {
    name: "keys for other ASes with a neighbour in the own",
    top: "peers:\n  rr:\n    address: 192.0.2.1\n    asn: internal\n    asOverride: true\n    role: peer\n    removePrivateAs: all\n    enforceFirstAs: true\n",
    says: [
      "6:5 peers.rr.asOverride: is for neighbours in another AS",
      "7:5 peers.rr.role: is for neighbours in another AS",
      "8:5 peers.rr.removePrivateAs: is for neighbours in another AS",
      "9:5 peers.rr.enforceFirstAs: is for neighbours in another AS",
    ],
  },
  {
    name: "a role that there is not, and one that is required without our own",
    top: peer("    role: upstream\n").concat(
      "  tor-b: { address: 192.0.2.2, asn: 65001, import: all, export: all, requireRole: true }\n",
    ),
    says: [
      '8:11 peers.tor-a.role: "upstream" is not one of provider, route-server, route-server-client, customer, peer',
      "9:83 peers.tor-b.requireRole: needs a role of our own",
    ],
  },
  {
    name: "prefix limits that limit nothing, and one that never comes into play",
    top: peer(
      "    maxPrefixes: { action: drop, restartAfter: 5m, limit: 10 }\n    maxPrefixesOut: { restartAfter: 5m }\n",
    ),
    says: [
      "8:48 peers.tor-a.maxPrefixes.restartAfter: never comes into play: action drop does not end the session",
      "9:21 peers.tor-a.maxPrefixesOut: limits nothing",
    ],
  },
  {
    name: "prefix limits of other kinds",
    top: peer("    maxPrefixes: many\n    maxPrefixesOut: { limit: 0, warnAt: 75 }\n"),
    says: [
      '8:18 peers.tor-a.maxPrefixes: "many" is not a whole number',
      "9:30 peers.tor-a.maxPrefixesOut.limit: 0 is outside of 1 to 4294967295",
      "9:33 peers.tor-a.maxPrefixesOut.warnAt: is not a known key",
    ],
  },
  {
    name: "what there is no choice about",
    top: "bgp: { bestPath: { deterministicMed: true, compareRouterId: true } }\n",
    says: [
      "2:20 bgp.bestPath.deterministicMed: is not a known key",
      "2:44 bgp.bestPath.compareRouterId: is not a known key",
    ],
    hints: ["it always is", "always compared"],
  },
  {
    name: "more paths than a group can have",
    top: "bgp: { maxPathsIbgp: 257 }\n",
    says: ["2:22 bgp.maxPathsIbgp: 257 is outside of 1 to 256"],
  },
  {
    name: "a cluster id that is a number",
    top: "bgp: { clusterId: 7 }\n",
    says: ["2:19 bgp.clusterId: 7 is not a router id"],
  },
  {
    name: "a direction of ADD-PATH that does not exist",
    top: peer("    addPath: tx\n"),
    says: ['8:14 peers.tor-a.addPath: "tx" is not one of receive, send, both, false, nor a map'],
    hints: ["the map has receive, send and limit"],
  },
  {
    name: "a word of ADD-PATH with a slip",
    top: peer("    addPath: recieve\n"),
    says: ['8:14 peers.tor-a.addPath: "recieve" is not one of receive, send, both, false, nor a map'],
    hints: ["did you mean receive?"],
  },
  {
    name: "ADD-PATH in the terms of another router",
    top: peer("    addPath: { send: best, limit: 0, sendMax: 2 }\n"),
    says: [
      '8:22 peers.tor-a.addPath.send: "best" is not a choice of paths',
      "8:35 peers.tor-a.addPath.limit: 0 is outside of 1 to 255",
      "8:38 peers.tor-a.addPath.sendMax: is not a known key",
    ],
    hints: ["a number of best paths from 1 to 255"],
  },
  {
    name: "ADD-PATH in no direction",
    top: peer("    addPath: { receive: false }\n"),
    says: ["8:14 peers.tor-a.addPath: neither receives nor sends"],
  },
  {
    name: "an unknown key deep inside",
    top: policy("{ set: { community: { plus: no-export } }, then: accept }"),
    says: ["4:29 policies.p[0].set.community.plus: is not a known key"],
    hints: ["known here: replace, remove, add"],
  },
  {
    name: "an unknown key beside false",
    top: peer("    gracefulRestart: { tme: 10s }\n"),
    says: ["8:24 peers.tor-a.gracefulRestart.tme: is not a known key"],
    hints: ["did you mean time?"],
  },
  {
    name: "a peer without anything",
    top: "peers:\n  tor-a:\n",
    says: ["3:3 peers.tor-a.asn: is missing"],
  },
  {
    name: "a name with a space",
    top: "pools:\n  my pool:\n    blocks: 10.0.0.0/24\n",
    says: ['3:3 pools.my pool: "my pool" is not a name'],
  },
  { name: "a section that is a word", top: "log: debug\n", says: ['2:6 log: "debug" is not a map'] },
  { name: "peers as a list", top: "peers:\n  - address: 192.0.2.1\n", says: ["3:3 peers: a list is not a map"] },
  {
    name: "a policy as a map",
    top: "policies:\n  p: { then: accept }\n",
    says: ["3:6 policies.p: a map is not a list"],
  },

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

  // ===== peers =====
  {
    name: "AS as a word",
    top: "peers:\n  t:\n    address: 192.0.2.1\n    asn: abc\n",
    says: ['5:10 peers.t.asn: "abc" is not an AS number'],
  },
  {
    name: "address with a zone",
    top: 'peers:\n  t: { address: "fe80::1%eth1", asn: 1 }\n',
    says: ['3:17 peers.t.address: "fe80::1%eth1" is not an IP address'],
    hints: ["write fe80::1 here, and interface: eth1 beside it"],
  },
  {
    name: "address with a length",
    top: "peers:\n  t: { address: 192.0.2.1/24, asn: 1 }\n",
    says: ['3:17 peers.t.address: "192.0.2.1/24" is not an IP address'],
  },
  {
    name: "multicast address",
    top: "peers:\n  t: { address: 224.0.0.5, asn: 1 }\n",
    says: ['3:17 peers.t.address: "224.0.0.5" is not an address that a router can have'],
  },
  {
    name: "a host name",
    top: "peers:\n  t: { address: tor-a.example, asn: 1 }\n",
    says: ['3:17 peers.t.address: "tor-a.example" is not an IP address'],
  },
  {
    name: "link-local without interface",
    top: 'peers:\n  t: { address: "fe80::1", asn: 65101 }\n',
    says: ["3:17 peers.t.address: fe80::1 is a link-local address, which needs an interface"],
  },
  {
    name: "interface name too long",
    top: 'peers:\n  t: { address: "fe80::1", interface: a234567890123456, asn: 65101 }\n',
    says: ['3:39 peers.t.interface: "a234567890123456" is not an interface name'],
  },
  {
    name: "same address twice",
    top: "peers:\n  a: { address: 192.0.2.1, asn: 65101 }\n  b: { address: 192.0.2.1, asn: 65101 }\n",
    says: ["4:17 peers.b.address: 192.0.2.1 is the address of peer a too (line 3)"],
  },
  {
    name: "same link-local address on one interface",
    top: 'peers:\n  a: { address: "fe80::1", interface: e0, asn: 65101 }\n  b: { address: "fe80:0::1", interface: e0, asn: 65101 }\n',
    says: ["4:17 peers.b.address: fe80::1%e0 is the address of peer a too (line 3)"],
  },
  // ===== peers without an address =====
  {
    name: "neither address nor interface",
    top: "peers:\n  t: { asn: 65101 }\n",
    says: ["3:3 peers.t.address: is missing"],
    hints: ["interface: eth1 to find the neighbour there"],
  },
  {
    name: "what does not go together with a missing address",
    top: "peers:\n  t: { interface: e0, asn: 65101, multihop: 2, localAddress: 192.0.2.9, extendedNextHop: false }\n",
    says: [
      "3:45 peers.t.multihop: does not go together with a missing address: the neighbour is found on the interface, by its link-local address",
      "3:62 peers.t.localAddress: does not go together with a missing address: the neighbour is found on the interface, by its link-local address",
      "3:90 peers.t.extendedNextHop: IPv4 routes need it on a session without IPv4 addresses (RFC 8950)",
    ],
    hints: ["remove it, or add address", "own link-local address", "families: [ipv6]"],
  },
  {
    name: "two peers without an address on one interface",
    top: "peers:\n  a: { interface: e0, asn: 65101 }\n  b: { interface: e0, asn: 65101 }\n",
    says: ["4:19 peers.b.interface: e0 is the interface of peer a too (line 3)"],
    hints: ["one peer without an address"],
  },
  {
    name: "a link-local address beside a peer without an address",
    top: 'peers:\n  a: { interface: e0, asn: 65101 }\n  b: { interface: e0, address: "fe80::1", asn: 65101 }\n',
    says: ["3:19 peers.a.interface: peer b has a link-local address on e0 already (line 4)"],
  },
  {
    name: "router advertisements for a peer with an address",
    top: peer("    routerAdvertisements: true\n"),
    says: ["8:5 peers.tor-a.routerAdvertisements: is for peers without an address"],
  },
  {
    name: "address in a block",
    top: `${pool("192.0.2.0/24")}${peer("")}`,
    says: ["7:14 peers.tor-a.address: 192.0.2.1 is inside of block 192.0.2.0/24 (pool default, line 4)"],
  },
  {
    name: "hold time of 2 s",
    top: peer("    holdTime: 2s\n"),
    says: ["8:15 peers.tor-a.holdTime: a hold time of 2 s is not allowed (RFC 4271)"],
  },
  {
    name: "hold time nonsense",
    top: peer("    holdTime: soon\n"),
    says: ['8:15 peers.tor-a.holdTime: "soon" is not a duration'],
  },
  {
    name: "hold time with a fraction",
    top: peer("    holdTime: 3500ms\n"),
    says: ['8:15 peers.tor-a.holdTime: "3500ms" is not a whole number of seconds'],
  },
  {
    name: "hold time too large",
    top: peer("    holdTime: 1d\n"),
    says: ['8:15 peers.tor-a.holdTime: "1d" is outside of 0 to 65535 seconds'],
  },
  {
    name: "restart time too large",
    top: peer("    gracefulRestart: { time: 2h }\n"),
    says: ['8:30 peers.tor-a.gracefulRestart.time: "2h" is outside of 1 to 4095 seconds'],
  },
  {
    name: "long-lived stale time that is none",
    top: peer("    gracefulRestart: { longLived: long }\n"),
    says: ['8:35 peers.tor-a.gracefulRestart.longLived: "long" is not a duration'],
    hints: ["write 90s, 2m, 1h, or a number of seconds"],
  },
  {
    name: "long-lived stale time beyond its 24 bits",
    top: peer("    gracefulRestart: { longLived: 200d }\n"),
    says: ['8:35 peers.tor-a.gracefulRestart.longLived: "200d" is outside of 1 to 16777215 seconds'],
  },
  {
    name: "stale time of 0",
    top: peer("    gracefulRestart: { staleTime: 0 }\n"),
    says: ["8:35 peers.tor-a.gracefulRestart.staleTime: 0 is outside of 1 to 86400 seconds"],
  },
  {
    name: "partial deployment towards another AS",
    top: peer("    gracefulRestart: { longLived: 1d, partialDeployment: true }\n"),
    says: ["8:58 peers.tor-a.gracefulRestart.partialDeployment: is for neighbours in our own AS (RFC 9494 §4.6)"],
    hints: ["remove it, or set asn: internal"],
  },
  {
    name: "restart neither nor",
    top: peer("    gracefulRestart: yes\n"),
    says: ['8:22 peers.tor-a.gracefulRestart: "yes" is neither false nor a map'],
  },
  {
    name: "GTSM and multihop that do not agree",
    top: peer("    ttlSecurity: 2\n    multihop: 3\n"),
    says: ["8:18 peers.tor-a.ttlSecurity: 2 hops here, and 3 in multihop"],
    hints: ["write ttlSecurity: true beside multihop"],
  },
  {
    name: "GTSM over more hops than a TTL has",
    top: peer("    ttlSecurity: 255\n"),
    says: ["8:18 peers.tor-a.ttlSecurity: 255 is neither true, false nor a number of hops"],
  },
  {
    name: "a word for a truth",
    top: peer("    passive: yes\n"),
    says: ['8:14 peers.tor-a.passive: "yes" is neither true nor false'],
  },
  {
    name: "passive without listener",
    top: `bgp: { listenPort: false }\n${peer("    passive: true\n")}`,
    says: ["9:14 peers.tor-a.passive: a passive peer needs a listener"],
  },
  {
    name: "families",
    top: peer("    families: [ipv4, ipv5]\n"),
    says: ['8:22 peers.tor-a.families[1]: "ipv5" is not one of ipv4, ipv6'],
    hints: ["did you mean ipv4?"],
  },
  { name: "no family", top: peer("    families: []\n"), says: ["8:15 peers.tor-a.families: the list is empty"] },
  {
    name: "a family twice",
    top: peer("    families: [ipv4, ipv4]\n"),
    says: ["8:15 peers.tor-a.families: names a family twice"],
  },
  {
    name: "local address of the other family",
    top: peer('    localAddress: "2001:db8::1"\n'),
    says: ["8:19 peers.tor-a.localAddress: 2001:db8::1 is not of the same family as the peer's address"],
  },
  {
    name: "undefined policy",
    top: "peers:\n  t: { address: 192.0.2.1, asn: 1, import: fabrik-in, export: blocks }\npolicies:\n  fabric-in: [{ then: accept }]\n",
    says: ['3:44 peers.t.import: there is no policy "fabrik-in"'],
    hints: ["did you mean fabric-in?"],
  },
  {
    name: "blocks as import",
    top: "peers:\n  t: { address: 192.0.2.1, asn: 1, import: blocks, export: blocks }\n",
    says: ['3:44 peers.t.import: "blocks" is for export'],
  },
  {
    name: "a peer called local",
    top: "peers:\n  local: { address: 192.0.2.1, asn: 65101 }\n",
    says: ["3:3 peers.local: this name is taken"],
  },
  {
    name: "a secret in the file",
    top: peer("    password: secret\n"),
    says: ['8:15 peers.tor-a.password: "secret" is not a map'],
  },
  { name: "a port", top: peer("    port: 70000\n"), says: ["8:11 peers.tor-a.port: 70000 is outside of 1 to 65535"] },

  // ===== policies =====
  { name: "no outcome", top: policy("match: { family: ipv4 }"), says: ["4:7 policies.p[0].then: is missing"] },
  {
    name: "unknown outcome",
    top: policy("then: permit"),
    says: ['4:13 policies.p[0].then: "permit" is not one of accept, reject, next, return'],
  },
  {
    name: "range backwards",
    top: policy("{ match: { prefix: 10.0.0.0/16 le 8 }, then: accept }"),
    says: ['4:26 policies.p[0].match.prefix: "10.0.0.0/16 le 8" matches no prefix: 16 to 8'],
  },
  {
    name: "range with host bits",
    top: policy("{ match: { prefix: [10.0.0.1/8 le 24] }, then: accept }"),
    says: ['4:27 policies.p[0].match.prefix[0]: "10.0.0.1/8" has bits set after the prefix length'],
  },
  {
    name: "range nonsense",
    top: policy("{ match: { prefix: 10.0.0.0/8 to 24 }, then: accept }"),
    says: ['4:26 policies.p[0].match.prefix: "10.0.0.0/8 to 24" is not a prefix with a range of lengths'],
  },
  {
    name: "community too large",
    top: policy("{ match: { community: 65536:1 }, then: accept }"),
    says: ['4:29 policies.p[0].match.community: "65536:1" is not a community'],
  },
  {
    name: "pattern as value",
    top: policy('{ set: { community: { add: "65001:*" } }, then: accept }'),
    says: ['4:34 policies.p[0].set.community.add: "65001:*" is not a community'],
    hints: ["match and remove only"],
  },
  {
    name: "large community short",
    top: policy("{ match: { largeCommunity: 65001:1 }, then: accept }"),
    says: ['4:34 policies.p[0].match.largeCommunity: "65001:1" is not a large community'],
  },
  {
    name: "a regular expression",
    top: policy('{ match: { asPath: "65001(" }, then: accept }'),
    says: ['4:26 policies.p[0].match.asPath: "65001(" is not a regular expression: a ) is missing'],
  },
  {
    name: "an unknown peer",
    top: policy("{ match: { peer: tor-z }, then: accept }"),
    says: ['4:24 policies.p[0].match.peer: there is no peer "tor-z"'],
  },
  {
    name: "prefixes of the other family",
    top: policy("{ match: { family: ipv6, prefix: 10.0.0.0/8 }, then: accept }"),
    says: ["4:40 policies.p[0].match.prefix: matches nothing: no prefix is of family ipv6"],
  },
  {
    name: "prepend nothing",
    top: policy("{ set: { prepend: 0 }, then: accept }"),
    says: ["4:25 policies.p[0].set.prepend: 0 cannot be prepended"],
  },
  {
    name: "local preference",
    top: policy("{ set: { localPref: -1 }, then: accept }"),
    says: ["4:27 policies.p[0].set.localPref: -1 is outside of 0 to 4294967295"],
  },
  {
    name: "next hop",
    top: policy("{ set: { nextHop: me }, then: accept }"),
    says: ['4:25 policies.p[0].set.nextHop: "me" is not an IP address'],
  },
  {
    name: "a built-in name",
    top: "policies: { all: [{ then: accept }] }\n",
    says: ["2:13 policies.all: this name is built in"],
  },

  // ===== the daemon =====
  {
    name: "a foreign protocol number",
    top: "routing: { protocol: 186 }\n",
    says: ["2:22 routing.protocol: 186 is the number of FRR bgpd"],
  },
  {
    name: "rules out of order",
    top: "routing: { rulePriority: { local: 2000 } }\n",
    says: ["2:26 routing.rulePriority: 2000, 1005, 1010, 1090 are not in the order local < hostRoutes < block < host"],
  },
  {
    name: "a pool announced in a table that is not there",
    top: "pools: { p: { blocks: [10.244.1.0/26], announceIn: [storage] } }\n",
    says: ['2:53 pools.p.announceIn[0]: there is no table "storage"'],
  },
  {
    name: "rules without room between them",
    top: "routing: { rulePriority: { host: 1012 } }\n",
    says: ["2:26 routing.rulePriority: between block (1010) and host (1012) there are not two numbers"],
  },
  {
    name: "rules behind main's",
    top: "routing: { rulePriority: { host: 32765 } }\ntables: { a: { id: 1, host: true }, b: { id: 2, host: true } }\n",
    says: ["2:26 routing.rulePriority: tables with host: true take priorities up to 32767, beyond main's 32766"],
  },
  {
    name: "API for everybody",
    top: "api: { listen: 0.0.0.0:7180 }\n",
    says: ['2:16 api.listen: "0.0.0.0:7180" is not a loopback address, and this listener asks for no password'],
  },
  {
    name: "API port only",
    top: "api: { listen: 7180 }\n",
    says: ["2:16 api.listen: 7180 is not an address and a port"],
  },
  {
    name: "a relative path",
    top: "paths: { state: lib }\n",
    says: ['2:17 paths.state: "lib" is not an absolute path'],
  },
  {
    name: "a long socket path",
    top: `paths: { run: /${"r".repeat(100)} }\n`,
    says: [`2:15 paths.run: the socket's path is longer than 107 bytes: /${"r".repeat(100)}/underlayd.sock`],
  },
  { name: "a small MTU", top: "cni: { mtu: 576 }\n", says: ["2:13 cni.mtu: 576 is outside of 1280 to 65535"] },
  {
    name: "a log level",
    top: "log: { level: warning }\n",
    says: ['2:15 log.level: "warning" is not one of debug, info, warn, error'],
    hints: ["did you mean warn?"],
  },
  {
    name: "listening on link-local",
    top: 'bgp: { listenAddresses: ["fe80::1"] }\n',
    says: ["2:26 bgp.listenAddresses[0]: a link-local address cannot be listened on by itself"],
  },

  // ===== all at once =====
  {
    name: "several faults of several kinds",
    top: "log: { level: loud }\npools:\n  a: { blocks: 10.0.0.0/24 }\n  b: { blocks: 10.0.0.0/25 }\n  c: { blocks: 10.1 }\npeers:\n  t: { address: x, asn: 1 }\n",
    says: [
      '2:15 log.level: "loud" is not one of debug, info, warn, error',
      "5:16 pools.b.blocks: 10.0.0.0/25 overlaps with 10.0.0.0/24 (pool a, line 4)",
      "6:16 pools.c.blocks: 10.1 is not a block",
      '8:17 peers.t.address: "x" is not an IP address',
    ],
  },

  // ===== policies: sets, communities, composition =====
  {
    name: "sets that are not there",
    top: policy(
      "{ match: { prefix: bogon, community: { none: [custmers] }, asPath: [transit], nextHop: nowhere, largeCommunity: l, extendedCommunity: e }, then: accept }",
    ).replace("policies:", "prefixSets: { bogons: [10.0.0.0/8] }\ncommunitySets: { customers: '65001:*' }\npolicies:"),
    says: [
      '6:26 policies.p[0].match.prefix: there is no prefix set "bogon"',
      '6:53 policies.p[0].match.community.none[0]: there is no community set "custmers"',
      '6:75 policies.p[0].match.asPath[0]: there is no AS path set "transit"',
      '6:94 policies.p[0].match.nextHop: there is no prefix set "nowhere"',
      '6:119 policies.p[0].match.largeCommunity: there is no large community set "l"',
      '6:141 policies.p[0].match.extendedCommunity: there is no extended community set "e"',
    ],
    hints: ["did you mean bogons?", "did you mean customers?", "there are none", "there are: bogons"],
  },
  {
    name: "a well-known community, misspelled",
    top: policy("{ match: { community: no-exprt }, then: accept }"),
    says: ['4:29 policies.p[0].match.community: there is no community set "no-exprt"'],
    hints: ["did you mean no-export?"],
  },
  {
    name: "names that values look like",
    top: "prefixSets: { 10a: 10.0.0.0/8 }\ncommunitySets: { no-export: 65001:1 }\n",
    says: [
      "2:15 prefixSets.10a: the name of a set begins with a letter",
      "3:18 communitySets.no-export: this is the name of a well-known community",
    ],
  },
  { name: "an empty set", top: "prefixSets: { a: [] }\n", says: ["2:18 prefixSets.a: the list is empty"] },
  {
    name: "a set within a set",
    top: "prefixSets: { a: [b], b: [10.0.0.0/8] }\n",
    says: ['2:19 prefixSets.a[0]: "b" is not a prefix'],
  },
  {
    name: "policies that apply each other",
    top: `policies:
  a: [{ apply: b }]
  b: [{ match: { policy: c }, then: accept }]
  c: [{ match: { not: { policy: [default-route, a] } }, then: accept }]
`,
    says: ["5:49 policies.c[0].match.not.policy[1]: leads back to policy a: a -> b -> c -> a"],
  },
  {
    name: "a policy that applies itself, and one that is not there",
    top: "policies:\n  a: [{ apply: [a, other] }]\n",
    says: [
      "3:17 policies.a[0].apply[0]: leads back to policy a: a -> a",
      '3:20 policies.a[0].apply[1]: there is no policy "other"',
    ],
  },
  {
    name: "policies that grow by applying",
    top: `policies:\n  p0: [{ then: accept }]\n${Array.from({ length: 15 }, (_, i) => `  p${i + 1}: [{ apply: [p${i}, p${i}] }, { apply: p${i} }]\n`).join("")}`,
    says: Array.from(
      { length: 7 },
      (_, i) => `${12 + i}:3 policies.p${9 + i}: with the policies that it applies it has more than 20000 statements`,
    ),
  },
  {
    name: "policies that apply others too deep",
    top: `policies:\n  p0: [{ then: accept }]\n${Array.from({ length: 17 }, (_, i) => `  p${i + 1}: [{ apply: p${i} }]\n`).join("")}`,
    says: ["20:3 policies.p17: policies apply each other more than 16 levels deep"],
  },
  {
    name: "no decision",
    top: policy("{ match: { community: no-export } }"),
    says: ["4:7 policies.p[0].then: is missing"],
    hints: ["accept, reject, or next"],
  },
  {
    name: "a key of a community condition",
    top: policy("{ match: { community: { nonee: [no-export] } }, then: accept }"),
    says: ["4:38 policies.p[0].match.community.nonee: is not a known key"],
    hints: ["did you mean none?"],
  },
  {
    name: "an empty community condition",
    top: policy("{ match: { largeCommunity: {} }, then: accept }"),
    says: ["4:34 policies.p[0].match.largeCommunity: the map is empty"],
  },
  {
    name: "extended communities",
    top: policy(
      '{ set: { extendedCommunity: { add: ["rt:65001", "rt:65001:*", "xx:1:1", "rt:4200000001:70000", "bandwidth:4200000001:1", "0x12", "rt:10.0.0.1:65536"] } }, then: accept }',
    ),
    says: [
      '4:43 policies.p[0].set.extendedCommunity.add[0]: "rt:65001" is not an extended community',
      '4:55 policies.p[0].set.extendedCommunity.add[1]: "rt:65001:*" is not an extended community',
      '4:69 policies.p[0].set.extendedCommunity.add[2]: "xx:1:1" is not an extended community',
      '4:79 policies.p[0].set.extendedCommunity.add[3]: "rt:4200000001:70000" is not an extended community',
      '4:102 policies.p[0].set.extendedCommunity.add[4]: "bandwidth:4200000001:1" is not an extended community',
      '4:128 policies.p[0].set.extendedCommunity.add[5]: "0x12" is not an extended community',
      '4:136 policies.p[0].set.extendedCommunity.add[6]: "rt:10.0.0.1:65536" is not an extended community',
    ],
    hints: ["rt:65001:100", "match and remove only"],
  },
  {
    name: "community ranges",
    top: policy('{ match: { community: ["65001:200-100", "65001:1-70000"] }, then: accept }'),
    says: [
      '4:30 policies.p[0].match.community[0]: "65001:200-100" is not a community',
      '4:47 policies.p[0].match.community[1]: "65001:1-70000" is not a community',
    ],
  },
  {
    name: "a relative change with a sign",
    top: policy("{ set: { localPref: +10 }, then: accept }"),
    says: ["4:27 policies.p[0].set.localPref: +10 has a plus sign"],
    hints: ["{ add: 10 }"],
  },
  {
    name: "relative changes that are none",
    top: policy("{ set: { localPref: { plus: 10 }, med: { add: 1, subtract: 1 } }, then: accept }"),
    says: [
      "4:27 policies.p[0].set.localPref: a map is not a LOCAL_PREF",
      "4:46 policies.p[0].set.med: a map is not a MED",
    ],
    hints: ["{ add: 10 } or { subtract: 10 }", "none to remove it"],
  },
  {
    name: "ranges of numbers",
    top: policy("{ match: { asPathLength: { ge: 5, le: 2 }, med: { gt: 1 }, localPref: some }, then: accept }"),
    says: [
      "4:32 policies.p[0].match.asPathLength: 5 to 2 is an empty range",
      "4:55 policies.p[0].match.med: there is no gt",
      '4:77 policies.p[0].match.localPref: "some" is not a LOCAL_PREF',
    ],
  },
  {
    name: "a weight that is too high",
    top: policy("{ set: { weight: 70000 }, then: accept }"),
    says: ["4:24 policies.p[0].set.weight: 70000 is outside of 0 to 65535"],
  },
  {
    name: "a table that is not there, in a policy",
    top: policy("{ set: { table: storge }, then: accept }"),
    says: ['4:23 policies.p[0].set.table: there is no table "storge"'],
  },
  {
    name: "an empty list of policies",
    top: "peers:\n  t: { address: 192.0.2.1, asn: 65001, import: [default-route, all], export: [] }\n",
    says: ["3:78 peers.t.export: the list is empty"],
  },
  {
    name: "a list of policies, one for the other direction",
    top: "peers:\n  t: { address: 192.0.2.1, asn: 65001, import: [blocks, nothing], export: blocks }\n",
    says: ['3:49 peers.t.import[0]: "blocks" is for export', '3:57 peers.t.import[1]: there is no policy "nothing"'],
  },
  {
    name: "communities of pools and peers",
    top: `pools: { a: { blocks: 10.0.0.0/24, communities: ["65001:*", rt:1, 1:2:3:4] } }\n${peer('    communities: { add: "65001:*", remove: nothing }\n')}`,
    says: [
      '2:50 pools.a.communities[0]: "65001:*" is not a community',
      '2:61 pools.a.communities[1]: "rt:1" is not an extended community',
      '2:67 pools.a.communities[2]: "1:2:3:4" is not a community',
      '9:25 peers.tor-a.communities.add: "65001:*" is not a community',
      '9:44 peers.tor-a.communities.remove: "nothing" is not a community',
    ],
  },
];
