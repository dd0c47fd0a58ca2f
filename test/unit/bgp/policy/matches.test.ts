// What conditions hold of which routes, actions of every kind, and policies that are made of policies. The words are
// those of a configuration file, so that what an operator writes is what is tested.
import { describe, expect, it } from "vitest";
import { CompiledPolicy } from "../../../../bgp/policy/compile.ts";
import { formatExtendedCommunity } from "../../../../bgp/policy/extended-community.ts";
import type { ImportPolicy } from "../../../../bgp/policy/types.ts";
import { emptyAttributes, type PathAttributes } from "../../../../bgp/wire/path-attributes.ts";
import { extendedCommunity } from "../../../../config/community-scalars.ts";
import { parseConfig } from "../../../../config/load.ts";
import { Refusal } from "../../../../config/scalar.ts";
import { prefix } from "../../../../net/prefix.ts";
import { Ipv4PrefixTable, Ipv6PrefixTable } from "../../../../net/prefix-table.ts";
import { address } from "../support.ts";

const tables = { 4: new Ipv4PrefixTable(), 6: new Ipv6PrefixTable() };

/** The import policy of peer `t`; `text` is everything but node and peers. */
function load(text: string, chain = "p"): ImportPolicy {
  const top = `node: { name: n, asn: 65101, routerId: 10.0.0.1 }\ntables: { fabric: { id: 7100 }, storage: { id: 7200 } }\n`;
  const peers = `peers:\n  t: { address: 192.0.2.1, asn: 65001, import: ${chain}, export: none }\n`;
  return parseConfig(top + peers + text, "f").config.peers[0].import;
}

function run(policy: ImportPolicy, attributes: Partial<PathAttributes> = {}, text = "10.1.0.0/16", peer = "t") {
  const compiled = new CompiledPolicy(policy);
  const { family, bytes, length } = prefix(text);
  const table = tables[family];
  const routeClass = compiled.classify(table, table.intern(bytes, 0, length), peer);
  return compiled.evaluate(routeClass, { ...emptyAttributes, ...attributes });
}

const path = (...asns: number[]) => [{ type: 2 as const, asns }];
const rt = (text: string) => {
  const parsed = extendedCommunity.parse(text);
  if (parsed instanceof Refusal) throw new Error(parsed.message);
  return parsed;
};
const community = (text: string) => {
  const [high, low] = text.split(":").map(Number);
  return ((high << 16) | low) >>> 0;
};

describe("extended communities", () => {
  it.each([
    ["rt:65001:1", 0x0002fde9, 1],
    ["rt:65001:4294967295", 0x0002fde9, 0xffffffff],
    ["ro:65001:1", 0x0003fde9, 1],
    ["soo:65001:1", 0x0003fde9, 1],
    ["rt:4200000001:7", 0x0202fa56, 0xea010007],
    ["rt:65001L:7", 0x02020000, 0xfde90007],
    ["rt:10.0.0.1:7", 0x01020a00, 0x00010007],
    ["lb:65001:12500000", 0x4004fde9, 0x4b3ebc20],
    ["0x0002fde900000001", 0x0002fde9, 1],
    ["0xffffffffffffffff", 0xffffffff, 0xffffffff],
  ])("%s is %i %i on the wire", (text, high, low) => {
    expect(rt(text)).toEqual([high, low]);
  });

  it.each([
    "rt:65001:1",
    "ro:65001:1",
    "rt:4200000001:7",
    "rt:65001L:7",
    "rt:10.0.0.1:7",
    "bandwidth:65001:12500000",
    "bandwidth:65001:1.5",
  ])("%s reads as it is written", (text) => expect(formatExtendedCommunity(rt(text))).toBe(text));

  it.each([
    [[0x4002fde9, 1], "0x4002fde900000001"],
    [[0x030b0000, 0], "0x030b000000000000"],
  ] as const)("%j is shown as %s, which can be written again", (value, text) => {
    expect(formatExtendedCommunity(value)).toBe(text);
    expect(rt(text)).toEqual(value);
  });
});

describe("conditions", () => {
  const route: Partial<PathAttributes> = {
    asPath: path(65001, 65002, 65003),
    communities: [community("65001:100"), community("65001:150"), 0xffffff01],
    extendedCommunities: [rt("rt:65001:100"), rt("lb:65001:12500000"), rt("ro:10.0.0.1:5")],
    largeCommunities: [
      [65001, 1, 2],
      [65001, 7, 7],
    ],
    nextHop: address("192.0.2.9"),
    med: 50,
  };
  it.each([
    ["community: 65001:100", true],
    ["community: no-export", true],
    ["community: blackhole", false],
    ["community: 65001:100-149", true],
    ["community: 65001:101-149", false],
    ["community: 65001-65009:150", true],
    ["community: '*:150'", true],
    ["community: { all: [65001:100, no-export] }", true],
    ["community: { all: [65001:100, blackhole] }", false],
    ["community: { none: [blackhole, 65002:*] }", true],
    ["community: { none: [blackhole, 65001:*] }", false],
    ["community: { any: [65001:100], none: [blackhole] }", true],
    ["community: { exact: [65001:100-150, no-export] }", true],
    ["community: { exact: [65001:100-150] }", false],
    ["community: { exact: [65001:100-150, no-export, blackhole] }", false],
    ["community: { exact: [] }", false],
    ["community: customers", true],
    ["community: { none: [customers] }", false],
    ["community: { all: [customers, no-export] }", true],
    ["extendedCommunity: rt:65001:100", true],
    ["extendedCommunity: rt:65001L:100", false],
    ["extendedCommunity: 'rt:*:100'", true],
    ["extendedCommunity: 'rt:65000-65010:*'", true],
    ["extendedCommunity: 'ro:10.0.0.1:*'", true],
    ["extendedCommunity: 'ro:65001:*'", false],
    ["extendedCommunity: 'lb:*:*'", true],
    ["extendedCommunity: 'lb:*:10000000-20000000'", true],
    ["extendedCommunity: 'lb:*:20000000-30000000'", false],
    ["extendedCommunity: '0x0002fde900000064'", true],
    ["extendedCommunity: { all: ['rt:*:*', 'ro:*:*'] }", true],
    ["extendedCommunity: targets", true],
    ["largeCommunity: 65001:1:2", true],
    ["largeCommunity: '65001:*:5-9'", true],
    ["largeCommunity: '65001:*:8-9'", false],
    ["largeCommunity: { none: fabric }", false],
    ["asPath: transit", true],
    ["asPath: [_65009_, transit]", true],
    ["asPath: _65009_", false],
    ["asPathLength: 3", true],
    ["asPathLength: { ge: 4 }", false],
    ["asPathLength: { ge: 2, le: 3 }", true],
    ["neighborAs: [65001, 65009]", true],
    ["neighborAs: 65002", false],
    ["originAs: 65003", true],
    ["originAs: 65001", false],
    ["med: any", true],
    ["med: none", false],
    ["med: { le: 49 }", false],
    ["med: 50", true],
    ["localPref: none", true],
    ["localPref: any", false],
    ["prefix: [192.0.2.0/24, ours]", true],
    ["prefix: ours", true],
    ["nextHop: routers", true],
    ["nextHop: ours", false],
    ["not: { community: blackhole }", true],
    ["not: { community: 65001:100, med: 50 }", false],
    ["not: { community: 65001:100, med: 51 }", true],
    ["not: { prefix: ours }", false],
    ["not: { prefix: routers }", true],
    ["policy: only-ten", true],
    ["policy: [default-route, only-ten]", true],
    ["policy: default-route", false],
    ["not: { policy: only-ten }", false],
  ])("%s: %s", (match, holds) => {
    const policy = load(`
prefixSets: { ours: [10.0.0.0/8 le 24], routers: 192.0.2.0/24 }
communitySets: { customers: ["65001:100", "65003:*"] }
extendedCommunitySets: { targets: ["rt:65001:1-200"] }
largeCommunitySets: { fabric: ["65001:*:*"] }
asPathSets: { transit: ["_65002_", "^65009_"] }
policies:
  only-ten: [{ match: { prefix: [10.0.0.0/8 le 32] }, set: { med: 1 }, then: accept }, { then: reject }]
  p: [{ match: { ${match} }, then: accept }]
`);
    const result = run(policy, route);
    expect(result !== null).toBe(holds);
    // Conditions change nothing.
    if (result) expect(result.attributes.med).toBe(50);
  });

  it("finds one of 10,000 prefixes and of 10,000 communities without trying them all", () => {
    const prefixes = Array.from({ length: 10_000 }, (_, i) => `20.${i >> 8}.${i & 255}.0/24`);
    const communities = Array.from({ length: 10_000 }, (_, i) => `65001:${i}`);
    const policy = load(`
prefixSets: { many: [${prefixes}] }
communitySets: { many: [${communities}] }
policies:
  p: [{ match: { prefix: many, community: many }, then: accept }]
`);
    const compiled = new CompiledPolicy(policy);
    const hit = { ...emptyAttributes, communities: [community("65001:9999")] };
    const miss = { ...emptyAttributes, communities: [community("65002:1")] };
    const ids = Array.from({ length: 65536 }, (_, i) => tables[4].intern(Uint8Array.of(20, i >> 8, i & 255, 0), 0, 24));
    const started = performance.now();
    let accepted = 0;
    for (const id of ids) {
      const routeClass = compiled.classify(tables[4], id, "t");
      if (compiled.evaluate(routeClass, hit)) accepted++;
      if (compiled.evaluate(routeClass, miss)) accepted++;
    }
    expect(accepted).toBe(10_000);
    // Trying all would be 65,536 x 10,000 comparisons and more.
    expect(performance.now() - started).toBeLessThan(5000);
  });
});

describe("actions", () => {
  it.each<[string, Partial<PathAttributes>, Partial<PathAttributes>]>([
    ["localPref: { add: 50 }", {}, { localPref: 150 }],
    ["localPref: { subtract: 50 }", { localPref: 20 }, { localPref: 0 }],
    ["localPref: { add: 50 }", { localPref: 4294967290 }, { localPref: 4294967295 }],
    ["med: { add: 5 }", { med: 7 }, { med: 12 }],
    ["med: { subtract: 5 }", {}, { med: 0 }],
    ["med: none", { med: 7 }, { med: null }],
    ["prepend: 2", { asPath: path(1) }, { asPath: path(65101, 65101, 1) }],
    ["prepend: { lastAs: 2 }", { asPath: path(7, 8) }, { asPath: path(7, 7, 7, 8) }],
    ["prepend: { lastAs: 2 }", {}, { asPath: [] }],
    ["removeAs: private", { asPath: path(1, 64512, 4200000000, 2) }, { asPath: path(1, 2) }],
    ["removeAs: [1, 2], prepend: [9]", { asPath: path(1, 3, 2) }, { asPath: path(9, 3) }],
    [
      "extendedCommunity: { replace: [], add: [rt:65001:1] }",
      { extendedCommunities: [rt("ro:1:1")] },
      { extendedCommunities: [rt("rt:65001:1")] },
    ],
    [
      "extendedCommunity: { remove: ['rt:*:*'], add: ['lb:65101:1000'] }",
      { extendedCommunities: [rt("rt:65001:1"), rt("rt:10.0.0.1:2"), rt("ro:1:1")] },
      { extendedCommunities: [rt("ro:1:1"), rt("lb:65101:1000")] },
    ],
    [
      "community: { remove: [mine, no-export], add: [blackhole] }",
      { communities: [community("65101:1"), community("65102:1"), 0xffffff01] },
      { communities: [community("65102:1"), 0xffff029a] },
    ],
    ["largeCommunity: { remove: '*:*:*' }", { largeCommunities: [[1, 2, 3]] }, { largeCommunities: [] }],
  ])("%s", (set, before, after) => {
    const used = "{ match: { community: mine }, set: { med: 99 }, then: accept }, ";
    const policy = load(
      `communitySets: { mine: "65101:*" }\npolicies:\n  p: [${set.includes("mine") ? "" : used}{ set: { ${set} }, then: accept }]\n`,
    );
    expect(run(policy, before)?.attributes).toEqual({ ...emptyAttributes, ...before, ...after });
  });

  it("weight and table stay outside of the attributes", () => {
    const policy = load(
      "policies:\n  p: [{ set: { weight: 7, table: storage, nextHop: peer-address }, then: accept }]\n",
    );
    expect(run(policy)).toMatchObject({ weight: 7, table: 7200, nextHop: "peer", attributes: emptyAttributes });
    expect(new CompiledPolicy(policy).tables).toEqual([7200]);
  });
});

describe("policies made of policies", () => {
  const common = `
policies:
  bogons: [{ match: { prefix: [192.168.0.0/16 le 32] }, then: reject }]
  mark: [{ set: { community: { add: ["65101:1"] } }, then: next }]
  early: [{ match: { med: 1 }, then: return }, { set: { med: 5 }, then: next }]
  ten: [{ match: { prefix: [10.0.0.0/8 le 32] }, then: accept }]
  p:
    - { apply: [bogons, mark] }
    - { match: { peer: other }, apply: ten, then: reject }
    - { apply: early }
    - { apply: ten, set: { localPref: 200 } }
    - { set: { localPref: 50 }, then: accept }
`.replace("p:\n", "p:\n");
  const withOther = (text: string) => text.replace("peer: other", "peer: t2");
  const load2 = (chain = "p") =>
    parseConfig(
      `node: { name: n, asn: 65101, routerId: 10.0.0.1 }\npeers:\n  t: { address: 192.0.2.1, asn: 65001, import: ${chain}, export: none }\n  t2: { address: 192.0.2.2, asn: 65001, import: none, export: none }\n${withOther(common)}`,
      "f",
    ).config.peers[0].import;

  it("what an applied policy rejects is rejected", () => {
    expect(run(load2(), {}, "192.168.1.0/24")).toBeNull();
  });
  it("what it accepts is accepted, with all changes so far", () => {
    expect(run(load2())?.attributes).toMatchObject({ communities: [community("65101:1")], med: 5, localPref: 200 });
  });
  it("what it leaves undecided goes on with its caller", () => {
    expect(run(load2(), {}, "11.0.0.0/8")?.attributes).toMatchObject({ med: 5, localPref: 50 });
  });
  it("return leaves one policy, not all", () => {
    expect(run(load2(), { med: 1 }, "11.0.0.0/8")?.attributes).toMatchObject({ med: 1, localPref: 50 });
  });
  it("then decides what the applied policy did not", () => {
    expect(run(load2(), {}, "11.0.0.0/8", "t2")).toBeNull();
    expect(run(load2(), {}, "10.0.0.0/8", "t2")?.attributes.localPref).toBeNull();
  });

  it.each([
    ["[bogons, mark, ten]", "10.1.0.0/16", { communities: [community("65101:1")] }],
    ["[bogons, mark, ten]", "11.0.0.0/8", null],
    ["[bogons, mark, ten]", "192.168.0.0/16", null],
    ["[mark, default-route, ten]", "0.0.0.0/0", { communities: [community("65101:1")] }],
    ["[default-route]", "10.0.0.0/8", null],
    ["[early, all]", "11.0.0.0/8", { med: 5 }],
  ])("a peer's list %s on %s: %j", (chain, text, expected) => {
    const result = run(load2(chain), {}, text)?.attributes ?? null;
    if (expected) expect(result).toMatchObject(expected);
    else expect(result).toBeNull();
  });
});
