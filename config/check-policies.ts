// Policies and sets: names that are there and used, statements that can be reached and mean something, no policy that
// leads to itself.

import { builtIns } from "./built-in-policies.ts";
import type { Check } from "./check.ts";
import { Reference, SET_NAME, wellKnownCommunities } from "./community-scalars.ts";
import { membersOf, OWN_ROUTES } from "./peer-groups.ts";
import type { sets } from "./schema/policy.ts";
import type { ParsedStatement } from "./schema.ts";
import type { Path } from "./source.ts";

/** Levels of policies that apply others: evaluation goes that deep. */
const MAX_LEVELS = 16;
/** Statements of a policy with all that it applies: one route may be compared with every one of them. */
const MAX_STATEMENTS = 20_000;

type SetKind = keyof typeof sets;
const kindWords: Readonly<Record<SetKind, string>> = {
  prefixSets: "prefix set",
  communitySets: "community set",
  extendedCommunitySets: "extended community set",
  largeCommunitySets: "large community set",
  asPathSets: "AS path set",
};

type Conditions = Omit<ParsedStatement["match"], "not">;

export function checkPolicies(check: Check): void {
  checkSetNames(check);
  for (const [name, statements] of check.parsed.policies) {
    const path = ["policies", name];
    if (builtIns.includes(name)) check.problem(path, "this name is built in", "choose another one", "key");
    if (statements.length === 0) check.warning(path, "has no statement and rejects every route", null, "key");
    let decided: number | null = null;
    for (const [index, statement] of statements.entries()) {
      checkStatement(check, [...path, index], statement);
      if (decided !== null) {
        const line = check.line([...path, decided]);
        check.warning([...path, index], `is never reached: the statement in line ${line} decides every route`);
        decided = null;
        break;
      }
      const always = Object.values(statement.match).every((condition) => condition === undefined);
      if (always && statement.then !== undefined && statement.then !== "next") decided = index;
    }
  }
  checkCalls(check);
}

/** What nobody refers to; after all references have been checked. */
export function checkUnused(check: Check): void {
  for (const name of check.names.policies)
    if (!check.isUsed("policy", name) && !builtIns.includes(name))
      check.warning(["policies", name], "is used by no peer and no policy", null, "key");
  for (const kind of Object.keys(kindWords) as SetKind[])
    for (const name of check.names[kind])
      if (!check.isUsed(kindWords[kind], name)) check.warning([kind, name], "is used by no policy", null, "key");
}

function checkSetNames(check: Check): void {
  for (const kind of Object.keys(kindWords) as SetKind[])
    for (const name of check.names[kind]) {
      if (Object.hasOwn(wellKnownCommunities, name))
        check.problem([kind, name], "this is the name of a well-known community", "choose another one", "key");
      else if (!SET_NAME.test(name))
        check.problem([kind, name], "the name of a set begins with a letter", "so that no value looks like it", "key");
    }
}

function checkStatement(check: Check, path: Path, { match, set, apply, then }: ParsedStatement): void {
  const { not, ...conditions } = match;
  checkConditions(check, [...path, "match"], conditions);
  if (not) checkConditions(check, [...path, "match", "not"], not);
  for (const kind of ["community", "extendedCommunity", "largeCommunity"] as const)
    checkReferences(check, [...path, "set", kind, "remove"], `${kind}Sets`, set[kind]?.remove);
  if (set.table !== undefined) check.tableName([...path, "set"], set.table);
  for (const [index, name] of (apply ?? []).entries())
    check.reference([...path, "apply", index], name, "policy", [...builtIns, ...check.names.policies]);
  if (then === undefined && !apply)
    check.problem([...path, "then"], "is missing", "accept, reject, or next to go on with the next statement");
  if (then === "reject" && !apply && Object.values(set).some((change) => change !== undefined))
    check.warning(
      [...path, "set"],
      "changes a route that is rejected",
      "remove set, or did you mean then: accept?",
      "key",
    );
}

function checkConditions(check: Check, path: Path, match: Conditions): void {
  for (const [index, peer] of (match.peer ?? []).entries()) checkPeer(check, [...path, "peer", index], peer);
  for (const [index, name] of (match.policy ?? []).entries())
    check.reference([...path, "policy", index], name, "policy", [...builtIns, ...check.names.policies]);
  checkReferences(check, [...path, "prefix"], "prefixSets", match.prefix);
  checkReferences(check, [...path, "nextHop"], "prefixSets", match.nextHop);
  checkReferences(check, [...path, "asPath"], "asPathSets", match.asPath);
  for (const kind of ["community", "extendedCommunity", "largeCommunity"] as const) {
    const lists = match[kind];
    if (!lists) continue;
    for (const key of ["any", "all", "none", "exact"] as const) {
      const list = lists[key];
      // A list by itself stands at the condition's own place.
      const place = [...path, kind, key];
      checkReferences(check, check.isWritten(place) ? place : [...path, kind], `${kind}Sets`, list);
    }
  }
  if (match.family === undefined || !match.prefix) return;
  const { family } = match;
  if (match.prefix.every((entry) => !(entry instanceof Reference) && entry.prefix.family !== family))
    check.problem([...path, "prefix"], `matches nothing: no prefix is of family ipv${family}`);
}

/** A peer, or a peer group with whoever is in it. */
function checkPeer(check: Check, path: Path, name: string): void {
  const { peers, peerGroups } = check.names;
  if (name === OWN_ROUTES) return;
  check.reference(path, name, peerGroups.length > 0 ? "peer or peer group" : "peer", [...peers, ...peerGroups]);
  if (peers.includes(name) && peerGroups.includes(name))
    check.warning(
      path,
      `${name} is the name of a peer and of a peer group: the peer is meant`,
      "give the group another name to mean all that are in it",
    );
  else if (check.parsed.peerGroups.has(name) && membersOf(name, check.parsed).length === 0)
    check.warning(path, `matches nothing: peer group ${name} has neither peers nor listen ranges`);
}

function checkReferences(check: Check, path: Path, kind: SetKind, list: readonly unknown[] | undefined): void {
  for (const [index, element] of (list ?? []).entries())
    if (element instanceof Reference)
      check.reference([...path, index], element.name, kindWords[kind], check.names[kind], hintsFor(kind));
}

/** Words that may have been meant instead of a set. */
const hintsFor = (kind: SetKind) => (kind === "communitySets" ? Object.keys(wellKnownCommunities) : []);

/** Every place where a policy refers to another one. */
function* callsOf(name: string, statements: readonly ParsedStatement[]): Generator<{ path: Path; callee: string }> {
  for (const [index, { match, apply }] of statements.entries()) {
    const path = ["policies", name, index];
    for (const [at, callee] of (apply ?? []).entries()) yield { path: [...path, "apply", at], callee };
    for (const [at, callee] of (match.policy ?? []).entries()) yield { path: [...path, "match", "policy", at], callee };
    for (const [at, callee] of (match.not?.policy ?? []).entries())
      yield { path: [...path, "match", "not", "policy", at], callee };
  }
}

interface Extent {
  readonly levels: number;
  readonly statements: number;
}

function checkCalls(check: Check): void {
  const known = new Map<string, Extent>();
  const open: string[] = [];
  const visit = (name: string): Extent => {
    const before = known.get(name);
    const statements = check.parsed.policies.get(name);
    if (before || !statements) return before ?? { levels: 0, statements: 0 };
    open.push(name);
    let levels = 0;
    let count = statements.length;
    for (const { path, callee } of callsOf(name, statements)) {
      if (open.includes(callee)) {
        const cycle = [...open.slice(open.indexOf(callee)), callee].join(" -> ");
        check.problem(path, `leads back to policy ${callee}: ${cycle}`, "a policy must not apply itself");
        continue;
      }
      // Deeper than this nothing is worth knowing, and recursion has an end.
      const inner = open.length > MAX_LEVELS ? { levels: MAX_LEVELS, statements: 0 } : visit(callee);
      levels = Math.max(levels, inner.levels + 1);
      count += inner.statements;
    }
    open.pop();
    const extent = { levels, statements: Math.min(count, MAX_STATEMENTS + 1) };
    known.set(name, extent);
    if (levels > MAX_LEVELS)
      check.problem(["policies", name], `policies apply each other more than ${MAX_LEVELS} levels deep`, null, "key");
    else if (count > MAX_STATEMENTS)
      check.problem(
        ["policies", name],
        `with the policies that it applies it has more than ${MAX_STATEMENTS} statements`,
        "a route may be compared with every one of them",
        "key",
      );
    return extent;
  };
  for (const name of check.parsed.policies.keys()) visit(name);
}
