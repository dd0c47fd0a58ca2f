// A policy as a function, prepared once. In: a policy as data. Out: `classify`, which looks at what differs from route to
// route (prefix, family, peer), and `evaluate`, which looks at the attributes that many routes share: the result of
// the second depends on nothing but class and attributes, so that a filter can remember it (filter.ts).
//
// Statements are tried in order; the first that says accept or reject decides; when none does, the route is
// rejected (RFC 8212 is the habit of the whole: what nobody allows is not allowed).
//
// Classes are the leaves of a tree of key tests, grown as routes come: a test is asked only where its answer can matter, so
// that a route that the first statement decides is asked one test and not all.
import type { PrefixTable } from "../../net/prefix-table.ts";
import type { PathAttributes } from "../wire/path-attributes.ts";
import { WellKnownCommunity } from "../wire/registry.ts";
import { type Action, compileSet, type PolicyRoute, untouched } from "./actions.ts";
import { type Block, Compiler, Decision, KeyBit, type PolicyObserver, Prospect, Run } from "./program.ts";
import type { BuiltIn, ExportPolicy, ImportPolicy, PolicyElement } from "./types.ts";

export { LOCAL_PEER } from "./program.ts";

/** `accept` and `reject` do not even need the attributes. */
export type ClassVerdict = "accept" | "reject" | "evaluate";

interface RouteClass {
  readonly bits: Uint8Array;
  readonly verdict: ClassVerdict;
}

/** A test to be asked, or a class. */
interface Node {
  readonly key: number;
  readonly bits: Uint8Array;
  readonly class: number;
  no: Node | null;
  yes: Node | null;
}

export class CompiledPolicy {
  readonly name: string;
  /** The built-in it is, null for one of the configuration, whatever its name, and for a chain. */
  readonly builtIn: BuiltIn | null;
  /** Kernel tables that it may send routes to. */
  readonly tables: readonly number[];
  readonly #compiler = new Compiler();
  readonly #chain: readonly Block[];
  readonly #onAccept: Action | null;
  readonly #classes: RouteClass[] = [];
  readonly #root: Node;

  /** Throws RangeError when an AS path expression is wrong. */
  constructor(policy: ImportPolicy | ExportPolicy) {
    const elements = chainOf(policy);
    this.name = policyName(policy);
    this.builtIn = elements.length === 1 && typeof elements[0] === "string" ? elements[0] : null;
    this.#chain = elements.map((element) => this.#compiler.block(element));
    this.tables = [...this.#compiler.tables];
    const last = typeof policy === "object" && "chain" in policy ? policy.onAccept : undefined;
    this.#onAccept = last ? compileSet(last) : null;
    this.#root = this.#node(new Uint8Array(this.#compiler.keys.length));
  }

  /** A small number that stands for everything the policy wants to know about the route's key. */
  classify(table: PrefixTable, id: number, peer: string): number {
    let node = this.#root;
    while (node.key >= 0) {
      if (this.#compiler.keys[node.key](table, id, peer)) node = node.yes ??= this.#answered(node, KeyBit.YES);
      else node = node.no ??= this.#answered(node, KeyBit.NO);
    }
    return node.class;
  }

  verdictOf(routeClass: number): ClassVerdict {
    return this.#classes[routeClass].verdict;
  }

  /** Null: rejected. */
  evaluate(routeClass: number, attributes: PathAttributes): PolicyRoute | null {
    return this.#run(this.#classes[routeClass].bits, attributes, null);
  }

  /**
   * As `evaluate`, with an observer that is told every step; it sees all conditions of a statement, so every key test is
   * answered beforehand.
   */
  explain(
    table: PrefixTable,
    id: number,
    peer: string,
    attributes: PathAttributes,
    observer: PolicyObserver,
  ): PolicyRoute | null {
    const bits = Uint8Array.from(this.#compiler.keys, (test) => (test(table, id, peer) ? KeyBit.YES : KeyBit.NO));
    return this.#run(bits, attributes, observer);
  }

  #run(bits: Uint8Array, attributes: PathAttributes, observer: PolicyObserver | null): PolicyRoute | null {
    const run = new Run(untouched(attributes), bits, observer);
    if (run.chain(this.#chain) !== Decision.ACCEPT) return null;
    if (this.#onAccept) run.change(this.#onAccept);
    return withLongLivedMark(run.route, attributes);
  }

  #answered(node: Node, bit: number): Node {
    const bits = node.bits.slice();
    bits[node.key] = bit;
    return this.#node(bits);
  }

  #node(bits: Uint8Array): Node {
    const prospect = new Prospect(this.#chain, bits);
    if (prospect.ask >= 0) return { key: prospect.ask, bits, class: -1, no: null, yes: null };
    let verdict: ClassVerdict = "evaluate";
    if ((prospect.decisions & Decision.ACCEPT) === 0) verdict = "reject";
    else if (prospect.decisions === Decision.ACCEPT && !prospect.changes && !this.#onAccept) verdict = "accept";
    return { key: -1, bits, class: this.#classes.push({ bits, verdict }) - 1, no: null, yes: null };
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

function chainOf(policy: ImportPolicy | ExportPolicy): readonly PolicyElement[] {
  return typeof policy === "object" && "chain" in policy ? policy.chain : [policy];
}

/** `common-in, tor-in` for a chain. */
export function policyName(policy: ImportPolicy | ExportPolicy): string {
  return typeof policy === "string" ? policy : policy.name;
}
