// Over random policies that are made of each other, and random routes: what is remembered by class is what the statements say
// one by one, and the explanation is of that very decision. A second, plain reading of the semantics is the judge.
// biome-ignore-all lint/suspicious/noThenProperty: `then` is what a policy statement calls its decision.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { AttributeStore } from "../../../bgp/attribute-store.ts";
import { formatCommunity } from "../../../bgp/community-text.ts";
import { CompiledPolicy } from "../../../bgp/policy/compile.ts";
import { ImportFilter } from "../../../bgp/policy/filter.ts";
import { policyKey } from "../../../bgp/policy/key.ts";
import { tracePolicy } from "../../../bgp/policy/trace.ts";
import type { Policy, PolicyElement, PolicyMatch, PolicySet, PolicyStatement } from "../../../bgp/policy/types.ts";
import { emptyAttributes, type PathAttributes } from "../../../bgp/wire/path-attributes.ts";
import { contains, type Prefix, prefix } from "../../../net/prefix.ts";
import { Ipv4PrefixTable } from "../../../net/prefix-table.ts";

const prefixes = ["0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "10.1.1.0/24", "11.0.0.0/8"].map(prefix);
const peers = ["a", "b", "local"];

const ofPrefix = fc.tuple(fc.constantFrom(...prefixes), fc.nat(32), fc.nat(32)).map(([base, x, y]) => ({
  prefix: base,
  ge: Math.max(base.length, Math.min(x, y)),
  le: Math.max(base.length, x, y),
}));
const set = { name: "set", values: [{ prefix: prefix("10.1.0.0/16"), ge: 16, le: 24 }] };
const part = fc.oneof(fc.constant(null), fc.nat(3), fc.constant({ ge: 1, le: 2 }));
const pattern = fc.tuple(fc.constantFrom(1, null), part);
const community = fc.nat(3).map((low) => (1 << 16) + low);

/** Rarely: statements should match often. */
const some = <T>(value: fc.Arbitrary<T>) =>
  fc.oneof({ weight: 4, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: value });
const list = <T>(value: fc.Arbitrary<T>) => fc.array(value, { minLength: 1, maxLength: 2 });
const simple = {
  prefix: some(list(fc.oneof(ofPrefix, fc.constant(set)))),
  peer: some(list(fc.constantFrom(...peers))),
  community: some(
    fc.record({
      any: some(list(pattern)),
      all: some(list(pattern)),
      none: some(list(pattern)),
      exact: some(list(pattern)),
    }),
  ),
  med: some(fc.oneof(fc.constantFrom("none" as const, "any" as const), fc.constant({ ge: 1, le: 2 }))),
  asPathLength: some(fc.constant({ ge: 1, le: 2 })),
};
const change: fc.Arbitrary<PolicySet> = fc.record({
  med: some(fc.oneof(fc.nat(3), fc.constant(null), fc.constant({ add: 1 }))),
  weight: some(fc.nat(2)),
  localPref: some(fc.oneof(fc.nat(3), fc.constant({ add: -1 }))),
  community: some(fc.record({ add: some(list(community)), remove: some(list(pattern)) })),
  prepend: some(fc.constantFrom([7], { lastAs: 1 })),
});

/** Policies, each of which may refer to those before it. */
const policies: fc.Arbitrary<Policy[]> = fc
  .array(
    fc.array(
      fc.record({
        match: fc.record(simple),
        not: some(fc.record(simple)),
        asks: some(fc.nat(9)),
        set: change,
        apply: some(fc.array(fc.nat(9), { maxLength: 2 })),
        then: fc.constantFrom(...(["accept", "reject", "next", "return"] as const)),
      }),
      { maxLength: 4 },
    ),
    { minLength: 1, maxLength: 4 },
  )
  .map((drafts) => {
    const made: Policy[] = [];
    for (const [index, draft] of drafts.entries()) {
      const before = (at: number): PolicyElement => (index === 0 ? "default-route" : made[at % index]);
      const statements = draft.map(
        ({ match, not, asks, set: changes, apply, then }): PolicyStatement => ({
          match: clean({ ...match, not: not && clean(not), policy: asks === undefined ? undefined : [before(asks)] }),
          set: clean(changes),
          ...(apply && { apply: apply.map(before) }),
          then,
        }),
      );
      made.push({ name: `p${index}`, statements });
    }
    return made;
  });

function clean<T extends object>(value: T): T {
  return Object.fromEntries(Object.entries(value).filter(([, entry]) => entry !== undefined)) as T;
}

const routes = fc.record({
  prefix: fc.constantFrom(...prefixes),
  peer: fc.constantFrom(...peers),
  communities: fc.uniqueArray(community, { maxLength: 3 }),
  med: fc.option(fc.nat(3)),
  asns: fc.array(fc.constantFrom(1, 2, 3), { maxLength: 3 }),
});

const attributesOf = ({ communities, med, asns }: { communities: number[]; med: number | null; asns: number[] }) => ({
  ...emptyAttributes,
  communities,
  med,
  asPath: asns.length > 0 ? [{ type: 2 as const, asns }] : [],
  nextHop: Uint8Array.of(192, 0, 2, 1),
});

// The judge: the documentation's sentences, one by one.

interface Judged {
  attributes: PathAttributes;
  weight: number;
}

function judge(chain: readonly PolicyElement[], at: Prefix, peer: string, attributes: PathAttributes): Judged | null {
  const route: Judged = { attributes, weight: 0 };
  for (const element of chain) {
    const decision = decide(element, at, peer, route);
    if (decision !== "undecided") return decision === "accept" ? route : null;
  }
  return null;
}

function decide(element: PolicyElement, at: Prefix, peer: string, route: Judged): "accept" | "reject" | "undecided" {
  if (element === "default-route") return at.length === 0 ? "accept" : "undecided";
  if (element === "all") return "accept";
  if (typeof element === "string") throw new Error("not in this test");
  for (const { match, set: changes, apply = [], then } of element.statements) {
    if (!meets(match, at, peer, route)) continue;
    perform(changes, route);
    for (const other of apply) {
      const decision = decide(other, at, peer, route);
      if (decision !== "undecided") return decision;
    }
    if (then === "return") return "undecided";
    if (then !== "next") return then;
  }
  return "undecided";
}

function meets(match: PolicyMatch, at: Prefix, peer: string, route: Judged): boolean {
  const { prefix: wanted, peer: names, community: lists, med, asPathLength, policy, not } = match;
  const { communities, med: value, asPath } = route.attributes;
  if (wanted) {
    const ranges = wanted.flatMap((entry) => ("values" in entry ? entry.values : [entry]));
    if (!ranges.some((entry) => contains(entry.prefix, at) && at.length >= entry.ge && at.length <= entry.le))
      return false;
  }
  if (names && !names.includes(peer)) return false;
  if (lists) {
    const fits = (community: number, [high, low]: readonly unknown[]) =>
      ok(community >>> 16, high) && ok(community & 0xffff, low);
    const [any, all, none, exact] = [lists.any, lists.all, lists.none, lists.exact] as unknown as (
      | undefined
      | unknown[][]
    )[];
    if (any && !communities.some((c) => any.some((p) => fits(c, p)))) return false;
    if (all && !all.every((p) => communities.some((c) => fits(c, p)))) return false;
    if (none && communities.some((c) => none.some((p) => fits(c, p)))) return false;
    if (exact && !exact.every((p) => communities.some((c) => fits(c, p)))) return false;
    if (exact && !communities.every((c) => exact.some((p) => fits(c, p)))) return false;
  }
  if (med === "none" && value !== null) return false;
  if (med === "any" && value === null) return false;
  if (typeof med === "object" && (value === null || value < med.ge || value > med.le)) return false;
  const length = asPath.reduce((sum, { asns }) => sum + asns.length, 0);
  if (asPathLength && (length < asPathLength.ge || length > asPathLength.le)) return false;
  if (not && meets(not, at, peer, route)) return false;
  return !policy || policy.some((other) => decide(other, at, peer, { ...route }) === "accept");
}

function ok(value: number, wanted: unknown): boolean {
  if (wanted === null) return true;
  if (typeof wanted === "number") return value === wanted;
  const { ge, le } = wanted as { ge: number; le: number };
  return value >= ge && value <= le;
}

function perform(changes: PolicySet, route: Judged): void {
  const { attributes } = route;
  const relative = (value: number, by: number | { add: number }) =>
    typeof by === "number" ? by : Math.max(0, value + by.add);
  const next = { ...attributes };
  if (changes.weight !== undefined) route.weight = changes.weight;
  if (changes.localPref !== undefined) next.localPref = relative(attributes.localPref ?? 100, changes.localPref);
  if (changes.med === null) next.med = null;
  else if (changes.med !== undefined) next.med = relative(attributes.med ?? 0, changes.med);
  const { add = [], remove = [] } = changes.community ?? {};
  const left = attributes.communities.filter(
    (c) => !(remove as unknown as unknown[][]).some(([high, low]) => ok(c >>> 16, high) && ok(c & 0xffff, low)),
  );
  if (changes.community) next.communities = [...left, ...add.filter((c) => !left.includes(c))];
  const asns = attributes.asPath.flatMap((segment) => segment.asns);
  const front = changes.prepend && ("lastAs" in changes.prepend ? asns.slice(0, 1) : changes.prepend);
  if (front && front.length > 0) next.asPath = [{ type: 2, asns: [...front, ...asns] }];
  route.attributes = next;
}

const names = { community: formatCommunity, table: String };

describe("policies", () => {
  it("decide as documented, remembered or explained", () => {
    const addresses = { intern: () => 1, release: () => {} };
    fc.assert(
      fc.property(policies, fc.array(routes, { minLength: 1, maxLength: 12 }), (made, asked) => {
        const chain = { name: "chain", chain: made.slice(-2) };
        const compiled = new CompiledPolicy(chain);
        const table = new Ipv4PrefixTable();
        const store = new AttributeStore(addresses);
        const filters = new Map(
          peers.map((peer) => [peer, new ImportFilter(new CompiledPolicy(chain), table, peer, store)]),
        );
        // Twice: the second time from memory.
        for (const route of [...asked, ...asked]) {
          const attributes = attributesOf(route);
          const id = table.intern(route.prefix.bytes, 0, route.prefix.length);
          const expected = judge(chain.chain, route.prefix, route.peer, attributes);
          const routeClass = compiled.classify(table, id, route.peer);
          const verdict = compiled.verdictOf(routeClass);
          if (verdict !== "evaluate") expect(verdict).toBe(expected ? "accept" : "reject");
          const result = compiled.evaluate(routeClass, attributes);
          expect(result && { attributes: result.attributes, weight: result.weight }).toEqual(expected);

          const raw = store.intern(attributes, 4);
          const after = filters.get(route.peer)?.apply(raw, id) ?? 0;
          expect(after !== 0).toBe(expected !== null);
          if (expected)
            expect([store.attributes(after), store.weight[after]]).toEqual([expected.attributes, expected.weight]);

          const trace = tracePolicy(chain, { prefix: route.prefix, peer: route.peer, attributes }, names);
          expect(trace.verdict).toBe(expected ? "accept" : "reject");
          expect(trace.after?.med).toBe(expected ? String(expected.attributes.med ?? "none") : undefined);
          expect(trace.after?.weight).toBe(expected ? String(expected.weight) : undefined);
          // The changes that it tells lead from what was there to what came out.
          if (trace.after) expect(replay(trace)).toEqual(trace.after);
          const decided = trace.policies.findLast(({ decision }) => decision !== "undecided");
          expect(decided === undefined).toBe(trace.decidedBy === null);
        }
        expect(policyKey(structuredClone(chain))).toBe(policyKey(chain));
      }),
      { numRuns: 1000 },
    );
  });
});

type Trace = ReturnType<typeof tracePolicy>;

function replay(trace: Trace): Record<string, string> {
  const route: Record<string, string> = { ...trace.before };
  const walk = (steps: Trace["policies"]) => {
    for (const { statements } of steps)
      for (const { changes, applied } of statements) {
        for (const { attribute, from, to } of changes) {
          expect(route[attribute]).toBe(from);
          route[attribute] = to;
        }
        walk(applied);
      }
  };
  walk(trace.policies);
  return route;
}
