// biome-ignore-all lint/suspicious/noThenProperty: `then` is what a policy statement calls its decision.
import { describe, expect, it } from "vitest";
import { prependAsns } from "../../../../bgp/policy/actions.ts";
import { AsPathExpression } from "../../../../bgp/policy/as-path-expression.ts";
import { formatAsPath } from "../../../../bgp/policy/as-path-text.ts";
import { CompiledPolicy } from "../../../../bgp/policy/compile.ts";
import type {
  ExportPolicy,
  ImportPolicy,
  PolicyMatch,
  PolicySet,
  PolicyStatement,
  PrefixMatch,
} from "../../../../bgp/policy/types.ts";
import { emptyAttributes, type PathAttributes } from "../../../../bgp/wire/path-attributes.ts";
import { prefix } from "../../../../net/prefix.ts";
import { Ipv4PrefixTable, Ipv6PrefixTable } from "../../../../net/prefix-table.ts";
import { address } from "../support.ts";

const tables = { 4: new Ipv4PrefixTable(), 6: new Ipv6PrefixTable() };

/** What the policy makes of a route; null: rejected. */
function run(
  policy: ImportPolicy | ExportPolicy,
  text: string,
  attributes: Partial<PathAttributes> = {},
  peer = "tor-a",
): PathAttributes | null {
  const compiled = new CompiledPolicy(policy);
  const { family, bytes, length } = prefix(text);
  const table = tables[family];
  const routeClass = compiled.classify(table, table.intern(bytes, 0, length), peer);
  const all = { ...emptyAttributes, ...attributes };
  const verdict = compiled.verdictOf(routeClass);
  const route = compiled.evaluate(routeClass, all);
  if (verdict === "reject") expect(route).toBeNull();
  if (verdict === "accept") expect(route?.attributes).toBe(all);
  return route?.attributes ?? null;
}

const statements = (...list: PolicyStatement[]) => ({ name: "test", statements: list });
const accept = (match: PolicyMatch, set: PolicySet = {}): PolicyStatement => ({ match, set, then: "accept" });

/** `10.0.0.0/8 ge 9 le 26`. */
function prefixMatch(text: string): PrefixMatch {
  const [, base, ge, le] = /^(\S+)(?: ge (\d+))?(?: le (\d+))?$/.exec(text) ?? [];
  const parsed = prefix(base);
  const longest = ge ? parsed.bytes.length * 8 : parsed.length;
  return { prefix: parsed, ge: Number(ge ?? parsed.length), le: Number(le ?? longest) };
}

const path = (...asns: number[]) => [{ type: 2 as const, asns }];

describe("built-in policies", () => {
  it.each<[ImportPolicy | ExportPolicy, string, string, boolean]>([
    ["all", "10.0.0.0/8", "tor-a", true],
    ["none", "10.0.0.0/8", "tor-a", false],
    ["default-route", "0.0.0.0/0", "tor-a", true],
    ["default-route", "::/0", "tor-a", true],
    ["default-route", "0.0.0.0/1", "tor-a", false],
    ["default-route", "10.0.0.0/8", "tor-a", false],
    ["blocks", "10.244.1.0/26", "local", true],
    ["blocks", "10.244.1.0/26", "tor-a", false],
  ])("%s %s from %s: %s", (policy, text, peer, accepted) => {
    expect(run(policy, text, {}, peer) !== null).toBe(accepted);
  });
});

describe("conditions", () => {
  const a = {
    asPath: path(65001, 65002),
    communities: [0xfde9_0064],
    origin: 0 as const,
    nextHop: address("192.0.2.1"),
  };
  it.each<[string, PolicyMatch, string, Partial<PathAttributes>, boolean]>([
    ["prefix exact", { prefix: [prefixMatch("10.1.0.0/16")] }, "10.1.0.0/16", a, true],
    ["prefix exact, longer", { prefix: [prefixMatch("10.1.0.0/16")] }, "10.1.1.0/24", a, false],
    ["prefix exact, shorter", { prefix: [prefixMatch("10.1.0.0/16")] }, "10.0.0.0/8", a, false],
    ["prefix le", { prefix: [prefixMatch("10.0.0.0/8 le 26")] }, "10.1.1.64/26", a, true],
    ["prefix le, too long", { prefix: [prefixMatch("10.0.0.0/8 le 26")] }, "10.1.1.64/27", a, false],
    ["prefix le, outside", { prefix: [prefixMatch("10.0.0.0/8 le 26")] }, "11.0.0.0/26", a, false],
    ["prefix ge", { prefix: [prefixMatch("10.0.0.0/8 ge 24")] }, "10.1.1.0/24", a, true],
    ["prefix ge, too short", { prefix: [prefixMatch("10.0.0.0/8 ge 24")] }, "10.1.0.0/23", a, false],
    ["everything", { prefix: [prefixMatch("0.0.0.0/0 le 32")] }, "10.1.0.0/23", a, true],
    [
      "two ranges of one prefix",
      { prefix: [prefixMatch("10.0.0.0/8"), prefixMatch("10.0.0.0/8 ge 30")] },
      "10.9.9.8/30",
      a,
      true,
    ],
    ["IPv6 prefix", { prefix: [prefixMatch("2001:db8::/32 le 64")] }, "2001:db8:1::/48", a, true],
    ["IPv6 prefix, other", { prefix: [prefixMatch("2001:db8::/32 le 64")] }, "2001:db9::/48", a, false],
    ["IPv6 long", { prefix: [prefixMatch("2001:db8:1:2:3::/80 ge 100")] }, "2001:db8:1:2:3:4:5:0/112", a, true],
    ["family", { family: 6 }, "10.0.0.0/8", a, false],
    ["family 6", { family: 6 }, "::/0", a, true],
    ["community", { community: { any: [[65001, 100]] } }, "10.0.0.0/8", a, true],
    ["community any value", { community: { any: [[65001, null]] } }, "10.0.0.0/8", a, true],
    ["community other", { community: { any: [[65002, null]] } }, "10.0.0.0/8", a, false],
    [
      "large community",
      { largeCommunity: { any: [[1, null, 3]] } },
      "10.0.0.0/8",
      { largeCommunities: [[1, 2, 3]] },
      true,
    ],
    [
      "large community other",
      { largeCommunity: { any: [[1, null, 4]] } },
      "10.0.0.0/8",
      { largeCommunities: [[1, 2, 3]] },
      false,
    ],
    ["AS path", { asPath: ["^65001_"] }, "10.0.0.0/8", a, true],
    ["AS path other", { asPath: ["^65002_", "_65001$"] }, "10.0.0.0/8", a, false],
    ["AS path contains", { asPathContains: [7, 65002] }, "10.0.0.0/8", a, true],
    ["AS path contains not", { asPathContains: [7] }, "10.0.0.0/8", a, false],
    ["next hop", { nextHop: [prefix("192.0.2.0/24")] }, "10.0.0.0/8", a, true],
    ["next hop other", { nextHop: [prefix("198.51.100.0/24")] }, "10.0.0.0/8", a, false],
    ["next hop of our own routes", { nextHop: [prefix("0.0.0.0/0")] }, "10.0.0.0/8", {}, false],
    ["peer", { peer: ["tor-b", "tor-a"] }, "10.0.0.0/8", a, true],
    ["peer other", { peer: ["tor-b"] }, "10.0.0.0/8", a, false],
    ["origin", { origin: [0, 2] }, "10.0.0.0/8", a, true],
    ["origin other", { origin: [1] }, "10.0.0.0/8", a, false],
    [
      "all conditions",
      { origin: [0], community: { any: [[65001, 100]] }, prefix: [prefixMatch("10.0.0.0/8")] },
      "10.0.0.0/8",
      a,
      true,
    ],
    [
      "one condition fails",
      { origin: [1], community: { any: [[65001, 100]] }, prefix: [prefixMatch("10.0.0.0/8")] },
      "10.0.0.0/8",
      a,
      false,
    ],
  ])("%s", (_, match, text, attributes, expected) => {
    expect(run(statements(accept(match)), text, attributes) !== null).toBe(expected);
  });
});

describe("statements", () => {
  const reject: PolicyStatement = { match: {}, set: {}, then: "reject" };
  const next = (match: PolicyMatch, set: PolicySet): PolicyStatement => ({ match, set, then: "next" });
  it.each<[string, PolicyStatement[], Partial<PathAttributes> | null]>([
    ["none decides: rejected", [next({}, { med: 1 })], null],
    ["the first decisive one wins", [reject, accept({})], null],
    ["next sets and goes on", [next({}, { med: 1 }), accept({}, { localPref: 2 })], { med: 1, localPref: 2 }],
    [
      "later conditions see what was set",
      [next({}, { community: { add: [1] } }), accept({ community: { any: [[0, 1]] } })],
      { communities: [1] },
    ],
    [
      "prefix statements before others",
      [{ match: { prefix: [prefixMatch("10.0.0.0/8")] }, set: {}, then: "reject" }, accept({})],
      null,
    ],
    [
      "a prefix statement that does not match",
      [{ match: { prefix: [prefixMatch("11.0.0.0/8")] }, set: {}, then: "reject" }, accept({})],
      {},
    ],
  ])("%s", (_, list, expected) => {
    const result = run(statements(...list), "10.0.0.0/8");
    if (expected) expect(result).toEqual({ ...emptyAttributes, ...expected });
    else expect(result).toBeNull();
  });
});

describe("actions", () => {
  it.each<[string, PolicySet, Partial<PathAttributes>, Partial<PathAttributes>]>([
    ["local preference", { localPref: 200 }, {}, { localPref: 200 }],
    ["MED", { med: 7 }, {}, { med: 7 }],
    ["MED removed", { med: null }, { med: 7 }, { med: null }],
    ["origin", { origin: 2 }, {}, { origin: 2 }],
    ["community added, not twice", { community: { add: [1, 2] } }, { communities: [2, 3] }, { communities: [2, 3, 1] }],
    [
      "community removed",
      { community: { remove: [[0, null]] } },
      { communities: [2, 0x10003] },
      { communities: [0x10003] },
    ],
    ["community replaced", { community: { replace: [9] } }, { communities: [2] }, { communities: [9] }],
    [
      "large community",
      { largeCommunity: { add: [[1, 2, 3]], remove: [[4, null, null]] } },
      {
        largeCommunities: [
          [4, 5, 6],
          [1, 2, 3],
        ],
      },
      { largeCommunities: [[1, 2, 3]] },
    ],
    ["prepend", { prepend: [65000, 65000] }, { asPath: path(1) }, { asPath: path(65000, 65000, 1) }],
    ["prepend to nothing", { prepend: [65000] }, {}, { asPath: path(65000) }],
    [
      "prepend before a set",
      { prepend: [65000] },
      { asPath: [{ type: 1, asns: [1, 2] }] },
      {
        asPath: [
          { type: 2, asns: [65000] },
          { type: 1, asns: [1, 2] },
        ],
      },
    ],
    [
      "next hop",
      { nextHop: address("192.0.2.9") },
      { nextHop: address("192.0.2.1") },
      { nextHop: address("192.0.2.9") },
    ],
  ])("%s", (_, set, before, after) => {
    expect(run(statements(accept({}, set)), "10.0.0.0/8", before)).toEqual({ ...emptyAttributes, ...before, ...after });
  });

  it("a segment holds 255 ASes, the full one stays behind", () => {
    const long = path(...Array.from({ length: 255 }, () => 1));
    expect(prependAsns(long, [7, 8]).map(({ asns }) => asns.length)).toEqual([2, 255]);
  });
});

describe("AS path expressions", () => {
  const empty = "";
  it.each<[string, string, boolean]>([
    ["^$", empty, true],
    ["^$", "65001", false],
    [".*", empty, true],
    ["65001", "165001 2", true],
    ["_65001_", "165001 2", false],
    ["_65001_", "65001", true],
    ["_65001_", "1 65001 2", true],
    ["^65001_", "65001 2", true],
    ["^65001_", "65001", true],
    ["_2$", "65001 2", true],
    ["_2$", "65001 12", false],
    ["_65003_", "65001 {65002,65003}", true],
    ["{65002,65003}", "65001 {65002,65003}", true],
    ["^6500[12]( [0-9]+)*$", "65002 1 2 3", true],
    ["^6500[12]( [0-9]+)*$", "65003 1 2 3", false],
    ["^[^ ]+$", "65001", true],
    ["^[^ ]+$", "65001 2", false],
    ["^(1|2|33) ", "33 4", true],
    ["^\\d+ \\d+$", "1 22", true],
    ["^1?2+3*$", "22", true],
    ["a|", "x", true],
  ])("%s on %j: %s", (expression, text, expected) => {
    expect(new AsPathExpression(expression).test(text)).toBe(expected);
  });

  it.each([
    ["(1", "missing )"],
    ["1)", "unbalanced )"],
    ["[1", "missing ]"],
    ["*1", "nothing before * to repeat"],
    ["1\\", "\\ at the end"],
    ["1".repeat(257), "longer than 256 characters"],
  ])("%s is refused: %s", (expression, message) => {
    expect(() => new AsPathExpression(expression)).toThrow(message);
  });

  it("needs linear time where backtracking needs exponential", () => {
    const expression = new AsPathExpression("^(((1+)+)+ ?)+$");
    const started = performance.now();
    expect(expression.test(`${"1".repeat(8000)}x`)).toBe(false);
    expect(performance.now() - started).toBeLessThan(1000);
  });

  it("agrees with the language's own expressions", () => {
    const texts = ["", "1", "12", "1 2", "2 1 1", "3 {1,2}", "1 1 1 1", "21 12 1"];
    for (const source of [
      "1",
      "^1",
      "2$",
      "1 2?",
      "(1|2)+ 1",
      "^(1 )*1$",
      "[12]{0}|",
      ".*2.*",
      "^[^1]+$",
      "(1(2|)|3 )",
    ]) {
      const expression = new AsPathExpression(source);
      const own = new RegExp(source.replaceAll("{", "\\{").replaceAll("}", "\\}"));
      expect(texts.map((text) => expression.test(text))).toEqual(texts.map((text) => own.test(text)));
    }
  });
});

describe("formatAsPath", () => {
  it("writes paths as routers do", () => {
    expect(
      formatAsPath([
        { type: 3, asns: [1, 2] },
        { type: 4, asns: [3] },
        { type: 2, asns: [4, 5] },
        { type: 1, asns: [6, 7] },
      ]),
    ).toBe("(1 2) ({3}) 4 5 {6,7}");
  });
});
