// The conditions of a statement. Those on the route's key (prefix, family, peer) are apart from those on attributes,
// because attributes are shared by many routes: key tests are answered once per route, as bits of its class; attribute tests
// once per class and attribute set (compile.ts).
import { sameBytes } from "../../net/address.ts";
import { maskBytes, type Prefix } from "../../net/prefix.ts";
import type { PrefixTable } from "../../net/prefix-table.ts";
import type { AsSegment, PathAttributes } from "../wire/path-attributes.ts";
import { AsPathExpression } from "./as-path-expression.ts";
import { AS_CONFED_SEQUENCE, AS_CONFED_SET, AS_SEQUENCE, AS_SET, formatAsPath } from "./as-path-text.ts";
import {
  anyOf,
  each,
  extendedPatternParts,
  isNamedSet,
  largeParts,
  type Parts,
  standardParts,
} from "./community-set.ts";
import { PrefixSet, prefixSetOf } from "./prefix-set.ts";
import type {
  CommunityMatch,
  CommunityPart,
  Elements,
  NamedSet,
  PolicyMatch,
  PrefixMatch,
  ValueMatch,
} from "./types.ts";

export type KeyTest = (table: PrefixTable, id: number, peer: string) => boolean;
export type AttributeTest = (attributes: PathAttributes) => boolean;

/** A condition's name in the configuration. */
export type ConditionName = keyof PolicyMatch;

export function keyTests({ prefix, family, peer }: PolicyMatch): [ConditionName, KeyTest][] {
  const tests: [ConditionName, KeyTest][] = [];
  if (family !== undefined) tests.push(["family", (table) => table.family === family]);
  if (peer) {
    const from = compilePeers(peer);
    tests.push(["peer", (_table, _id, name) => from(name)]);
  }
  if (prefix) {
    const [set, ...others] = compilePrefixes(prefix);
    // Nearly always one; this runs for every route.
    if (others.length === 0) tests.push(["prefix", (table, id) => set.has(table, id)]);
    else tests.push(["prefix", (table, id) => set.has(table, id) || others.some((other) => other.has(table, id))]);
  }
  return tests;
}

/** A peer out of a listen range is called GROUP/ADDRESS, and no other has a slash in its name. */
function compilePeers(elements: NonNullable<PolicyMatch["peer"]>): (name: string) => boolean {
  const names = new Set(elements.flatMap((element) => (isNamedSet(element) ? element.values : [element])));
  if (![...names].some((name) => name.endsWith("/"))) return (name) => names.has(name);
  return (name) => names.has(name) || names.has(name.slice(0, name.indexOf("/") + 1));
}

function compilePrefixes(elements: NonNullable<PolicyMatch["prefix"]>): PrefixSet[] {
  const sets = elements.flatMap((element) => (isNamedSet(element) ? [prefixSetOf(element)] : []));
  const inPlace = elements.filter((element): element is PrefixMatch => !isNamedSet(element));
  return inPlace.length > 0 ? [new PrefixSet(inPlace), ...sets] : sets;
}

export function attributeTests(match: PolicyMatch): [ConditionName, AttributeTest][] {
  const tests: [ConditionName, AttributeTest][] = [];
  const add = (name: ConditionName, test: AttributeTest) => tests.push([name, test]);
  const { origin, med, localPref, asPathContains, asPathLength, neighborAs, originAs, nextHop, asPath } = match;
  if (origin) add("origin", (attributes) => origin.includes(attributes.origin));
  if (med) add("med", (attributes) => valueFits(attributes.med, med));
  if (localPref) add("localPref", (attributes) => valueFits(attributes.localPref, localPref));
  if (match.community) {
    const test = communityTest(match.community, standardParts);
    add("community", ({ communities }) => test(communities));
  }
  if (match.extendedCommunity) {
    const test = communityTest(match.extendedCommunity, extendedPatternParts);
    add("extendedCommunity", ({ extendedCommunities }) => test(extendedCommunities));
  }
  if (match.largeCommunity) {
    const test = communityTest(match.largeCommunity, largeParts);
    add("largeCommunity", ({ largeCommunities }) => test(largeCommunities));
  }
  if (asPathContains)
    add("asPathContains", ({ asPath: path }) =>
      path.some(({ asns }) => asPathContains.some((asn) => asns.includes(asn))),
    );
  if (asPathLength)
    add("asPathLength", ({ asPath: path }) => {
      const length = asPathLengthOf(path);
      return length >= asPathLength.ge && length <= asPathLength.le;
    });
  if (neighborAs) add("neighborAs", ({ asPath: path }) => neighborAs.includes(neighborAsOf(path)));
  if (originAs) add("originAs", ({ asPath: path }) => originAs.includes(originAsOf(path)));
  if (nextHop) {
    const prefixes = nextHop.flatMap((element) =>
      isNamedSet(element) ? element.values.map(({ prefix }) => prefix) : [element],
    );
    add("nextHop", ({ nextHop: address }) => address !== null && prefixes.some((prefix) => isWithin(address, prefix)));
  }
  if (asPath) add("asPath", asPathTest(asPath));
  return tests;
}

function isWithin(address: Uint8Array, { bytes, length }: Prefix): boolean {
  return address.length === bytes.length && sameBytes(maskBytes(address, length), bytes);
}

function valueFits(value: number | null, wanted: ValueMatch): boolean {
  if (wanted === "none") return value === null;
  if (value === null) return false;
  return wanted === "any" || (value >= wanted.ge && value <= wanted.le);
}

function communityTest<T, P extends readonly CommunityPart[]>(
  { any, all, none, exact }: CommunityMatch<P>,
  parts: Parts<T>,
): (communities: readonly T[]) => boolean {
  const tests: ((communities: readonly T[]) => boolean)[] = [];
  const hasAll = (elements: Elements<P>) => {
    const wanted = each<T, P>(elements, parts);
    tests.push((communities) => wanted.every((test) => communities.some(test)));
  };
  if (any) {
    const test = anyOf<T, P>(any, parts);
    tests.push((communities) => communities.some(test));
  }
  if (none) {
    const test = anyOf<T, P>(none, parts);
    tests.push((communities) => !communities.some(test));
  }
  if (all) hasAll(all);
  if (exact) {
    const test = anyOf<T, P>(exact, parts);
    tests.push((communities) => communities.every(test));
    hasAll(exact);
  }
  return (communities) => tests.every((test) => test(communities));
}

const expressions = new WeakMap<NamedSet<string>, AsPathExpression[]>();

function expressionsOf(set: NamedSet<string>): AsPathExpression[] {
  let known = expressions.get(set);
  if (!known) {
    known = set.values.map((source) => new AsPathExpression(source));
    expressions.set(set, known);
  }
  return known;
}

function asPathTest(elements: Elements<string>): AttributeTest {
  const all = elements.flatMap((element) =>
    isNamedSet(element) ? expressionsOf(element) : [new AsPathExpression(element)],
  );
  return ({ asPath }) => {
    const text = formatAsPath(asPath);
    return all.some((expression) => expression.test(text));
  };
}

/** RFC 4271 §9.1.2.2 a, RFC 5065 §5.3. */
export function asPathLengthOf(path: readonly AsSegment[]): number {
  let length = 0;
  for (const { type, asns } of path) {
    if (type === AS_SEQUENCE) length += asns.length;
    else if (type === AS_SET) length += 1;
  }
  return length;
}

const isConfederation = ({ type }: AsSegment) => type === AS_CONFED_SEQUENCE || type === AS_CONFED_SET;

/** 0: the route comes from our own AS, or begins with a set. */
export function neighborAsOf(path: readonly AsSegment[]): number {
  const first = path.find((segment) => !isConfederation(segment));
  return first?.type === AS_SEQUENCE ? (first.asns[0] ?? 0) : 0;
}

/** 0: our own AS, or one of a set. */
export function originAsOf(path: readonly AsSegment[]): number {
  const last = path.at(-1);
  return last?.type === AS_SEQUENCE ? (last.asns.at(-1) ?? 0) : 0;
}
