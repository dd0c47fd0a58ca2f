// The text itself, and keys: what is no YAML, no map, or not known.
import { type Bad, NODE, peer, policy } from "./case.ts";

export const badText: readonly Bad[] = [
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
];
