// A policy as a function, prepared once. In: a policy as data. Out: `classify`, which looks at what differs from route to
// route (prefix, family, peer), and `evaluate`, which looks at the attributes that many routes share: the result of
// the second depends on nothing but class and attributes, so that a filter can remember it (filter.ts).
//
// Statements are tried in order; the first that says accept or reject decides; when none does, the route is
// rejected (RFC 8212 is the habit of the whole: what nobody allows is not allowed).
// biome-ignore-all lint/suspicious/noThenProperty: `then` is what a policy statement calls its decision.
import type { Family } from "../../net/address.ts";
import { prefix } from "../../net/prefix.ts";
import type { PrefixTable } from "../../net/prefix-table.ts";
import type { PathAttributes } from "../wire/path-attributes.ts";
import { WellKnownCommunity } from "../wire/registry.ts";
import { applySet, type PolicyRoute } from "./actions.ts";
import { type AttributeCondition, attributeCondition } from "./conditions.ts";
import { PrefixSet } from "./prefix-set.ts";
import type { ExportPolicy, ImportPolicy, Policy, PolicySet, PolicyStatement } from "./types.ts";

/** Name of the origin of our own routes, in `match: { peer: [local] }` too. */
export const LOCAL_PEER = "local";

type BuiltIn = Exclude<ImportPolicy | ExportPolicy, Policy>;
type KeyCondition = (table: PrefixTable, id: number, peer: string) => boolean;

interface CompiledStatement {
  readonly key: KeyCondition | null;
  readonly attributes: AttributeCondition | null;
  readonly set: PolicySet | null;
  readonly then: PolicyStatement["then"];
}

/** `accept` and `reject` do not even need the attributes. */
export type ClassVerdict = "accept" | "reject" | "evaluate";

interface RouteClass {
  readonly statements: readonly CompiledStatement[];
  readonly verdict: ClassVerdict;
}

export class CompiledPolicy {
  readonly name: string;
  /** The built-in it is, null for one of the configuration, whatever its name. */
  readonly builtIn: BuiltIn | null;
  readonly #statements: readonly CompiledStatement[];
  readonly #keyed: readonly CompiledStatement[];
  readonly #classes: RouteClass[] = [];
  readonly #classIds = new Map<string, number>();
  /** Without conditions on the key there is one class, and nothing to look up. */
  readonly #single: boolean;

  /** Throws RangeError when an AS path expression is wrong. */
  constructor(policy: ImportPolicy | ExportPolicy) {
    this.name = policyName(policy);
    this.builtIn = typeof policy === "string" ? policy : null;
    const { statements } = typeof policy === "string" ? builtIn(policy) : policy;
    this.#statements = statements.map(compileStatement);
    this.#keyed = this.#statements.filter((statement) => statement.key !== null);
    this.#single = this.#keyed.length === 0;
    if (this.#single) this.#classFor("");
  }

  /** A small number that stands for everything the policy wants to know about the route's key. */
  classify(table: PrefixTable, id: number, peer: string): number {
    if (this.#single) return 0;
    let key = "";
    for (const statement of this.#keyed) key += statement.key?.(table, id, peer) ? "1" : "0";
    return this.#classFor(key);
  }

  verdictOf(routeClass: number): ClassVerdict {
    return this.#classes[routeClass].verdict;
  }

  /** Null: rejected. */
  evaluate(routeClass: number, attributes: PathAttributes): PolicyRoute | null {
    let route: PolicyRoute = { attributes, nextHop: null, medSet: false };
    for (const statement of this.#classes[routeClass].statements) {
      if (statement.attributes && !statement.attributes(route.attributes)) continue;
      if (statement.then === "reject") return null;
      if (statement.set) route = applySet(route, statement.set);
      if (statement.then === "accept") return withLongLivedMark(route, attributes);
    }
    return null;
  }

  #classFor(key: string): number {
    const known = this.#classIds.get(key);
    if (known !== undefined) return known;
    const keyed = new Map(this.#keyed.map((statement, index) => [statement, key[index] === "1"]));
    const statements: CompiledStatement[] = [];
    for (const statement of this.#statements) {
      if (keyed.get(statement) === false) continue;
      statements.push(statement);
      if (!statement.attributes && statement.then !== "next") break;
    }
    const first = statements[0];
    let verdict: ClassVerdict = "evaluate";
    if (!statements.some((statement) => statement.then === "accept")) verdict = "reject";
    else if (!first.attributes && first.then === "accept" && !first.set) verdict = "accept";
    const id = this.#classes.push({ statements, verdict }) - 1;
    this.#classIds.set(key, id);
    return id;
  }
}

/** Nobody takes LLGR_STALE off a route (RFC 9494 §4.3). */
function withLongLivedMark(route: PolicyRoute, before: PathAttributes): PolicyRoute {
  const { communities } = route.attributes;
  if (communities === before.communities || !before.communities.includes(WellKnownCommunity.LLGR_STALE)) return route;
  if (communities.includes(WellKnownCommunity.LLGR_STALE)) return route;
  return {
    ...route,
    attributes: { ...route.attributes, communities: [...communities, WellKnownCommunity.LLGR_STALE] },
  };
}

export function policyName(policy: ImportPolicy | ExportPolicy): string {
  return typeof policy === "string" ? policy : policy.name;
}

function compileStatement({ match, set, then }: PolicyStatement): CompiledStatement {
  return {
    key: keyCondition(match.prefix && new PrefixSet(match.prefix), match.family, match.peer),
    attributes: attributeCondition(match),
    set: Object.values(set).some((value) => value !== undefined) ? set : null,
    then,
  };
}

function keyCondition(
  prefixes: PrefixSet | undefined,
  family: Family | undefined,
  peers: readonly string[] | undefined,
): KeyCondition | null {
  if (!prefixes && family === undefined && !peers) return null;
  return (table, id, peer) =>
    (family === undefined || table.family === family) &&
    (!peers || peers.includes(peer)) &&
    (!prefixes || prefixes.has(table, id));
}

function builtIn(name: BuiltIn): Policy {
  const accept = (match: PolicyStatement["match"]): Policy => ({
    name,
    statements: [{ match, set: {}, then: "accept" }],
  });
  switch (name) {
    case "all":
      return accept({});
    case "blocks":
      return accept({ peer: [LOCAL_PEER] });
    case "default-route":
      return accept({
        prefix: [
          { prefix: prefix("0.0.0.0/0"), ge: 0, le: 0 },
          { prefix: prefix("::/0"), ge: 0, le: 0 },
        ],
      });
    case "none":
      return { name, statements: [] };
  }
}
