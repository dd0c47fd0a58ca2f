// Policies: statements, sets, communities, composition.
import { type Bad, peer, policy } from "./case.ts";

export const badPolicies: readonly Bad[] = [
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
