// What a policy does to a route, statement by statement. In: a policy and a route. Out: every policy that was entered, every
// statement that was tried, which of its conditions held and what the route had instead, what each change made of it, and
// the verdict. The policy is run as always (program.ts); this listens.
// biome-ignore-all lint/suspicious/noThenProperty: `then` is what a policy statement calls its decision.

import { formatPrefix, type Prefix } from "../../net/prefix.ts";
import { Ipv4PrefixTable, Ipv6PrefixTable } from "../../net/prefix-table.ts";
import type { PathAttributes } from "../wire/path-attributes.ts";
import { type PolicyRoute, untouched } from "./actions.ts";
import { CompiledPolicy, policyName } from "./compile.ts";
import { actualText, type Names, type RouteText, routeText, type Subject, wantedText } from "./describe.ts";
import { type Block, type CompiledStatement, type Condition, Decision, type PolicyObserver } from "./program.ts";
import type { ExportPolicy, ImportPolicy } from "./types.ts";

export interface PolicyTrace {
  readonly policy: string;
  readonly prefix: string;
  readonly peer: string;
  readonly verdict: "accept" | "reject";
  /** Null: nobody decided, and what nobody accepts is rejected. */
  readonly decidedBy: { readonly policy: string; readonly statement: number } | null;
  readonly before: RouteText;
  /** Null: rejected. */
  readonly after: RouteText | null;
  readonly policies: readonly PolicyStep[];
  /** What is done to everything that is accepted: a peer's `communities`. */
  readonly afterwards: readonly AttributeChange[];
}

export interface PolicyStep {
  readonly policy: string;
  readonly decision: "accept" | "reject" | "undecided";
  readonly statements: readonly StatementStep[];
}

export interface StatementStep {
  /** From 1 on, as they stand in the file. */
  readonly statement: number;
  readonly matched: boolean;
  readonly conditions: readonly ConditionStep[];
  readonly changes: readonly AttributeChange[];
  readonly applied: readonly PolicyStep[];
  /** Null: not matched, or an applied policy has decided. */
  readonly then: "accept" | "reject" | "next" | "return" | null;
}

export interface ConditionStep {
  readonly condition: string;
  readonly holds: boolean;
  readonly wanted: string;
  readonly actual: string;
  /** Of `not`. */
  readonly conditions: readonly ConditionStep[];
  /** Of `policy`. */
  readonly policies: readonly PolicyStep[];
}

export interface AttributeChange {
  readonly attribute: string;
  readonly from: string;
  readonly to: string;
}

export interface TracedRoute {
  readonly prefix: Prefix;
  /** `local`: a route of our own. */
  readonly peer: string;
  readonly attributes: PathAttributes;
}

/** Throws RangeError when the policy does not compile. */
export function tracePolicy(policy: ImportPolicy | ExportPolicy, route: TracedRoute, names: Names): PolicyTrace {
  const { prefix, peer, attributes } = route;
  const table = prefix.family === 4 ? new Ipv4PrefixTable() : new Ipv6PrefixTable();
  const id = table.intern(prefix.bytes, 0, prefix.length);
  const subject = { prefix: formatPrefix(prefix), family: prefix.family, peer };
  const tracer = new Tracer(subject, names);
  const result = new CompiledPolicy(policy).explain(table, id, peer, attributes, tracer);
  return {
    policy: policyName(policy),
    prefix: subject.prefix,
    peer,
    verdict: result ? "accept" : "reject",
    decidedBy: tracer.decidedBy,
    before: routeText(untouched(attributes), names),
    after: result && routeText(result, names),
    policies: tracer.policies,
    afterwards: tracer.afterwards,
  };
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] extends readonly (infer E)[] ? E[] : T[K] };

class Tracer implements PolicyObserver {
  readonly policies: PolicyStep[] = [];
  readonly afterwards: AttributeChange[] = [];
  decidedBy: PolicyTrace["decidedBy"] = null;
  readonly #subject: Subject;
  readonly #names: Names;
  /** Where policies that are entered now belong, innermost last. */
  readonly #lists: PolicyStep[][] = [this.policies];
  readonly #policies: Mutable<PolicyStep>[] = [];
  readonly #statements: Mutable<StatementStep>[] = [];
  readonly #sources: CompiledStatement[] = [];
  readonly #conditions: Mutable<ConditionStep>[] = [];
  /** Where conditions that begin now belong: to a statement, or within another condition. */
  readonly #owners: { readonly conditions: ConditionStep[] }[] = [];
  /** Conditions that ask policies are around: what is decided there decides nothing. */
  #asking = 0;

  constructor(subject: Subject, names: Names) {
    this.#subject = subject;
    this.#names = names;
  }

  beginPolicy({ name }: Block): void {
    const step: Mutable<PolicyStep> = { policy: name, decision: "undecided", statements: [] };
    this.#lists.at(-1)?.push(step);
    this.#policies.push(step);
  }

  endPolicy(decision: Decision): void {
    const step = this.#policies.pop();
    if (!step) return;
    step.decision = decision === Decision.ACCEPT ? "accept" : decision === Decision.REJECT ? "reject" : "undecided";
    const last = step.statements.at(-1);
    if (decision === Decision.UNDECIDED || this.#asking > 0 || !last || last.then === null) return;
    this.decidedBy ??= { policy: step.policy, statement: last.statement };
  }

  beginStatement(source: CompiledStatement): void {
    const policy = this.#policies.at(-1);
    const step: Mutable<StatementStep> = {
      statement: (policy?.statements.length ?? 0) + 1,
      matched: false,
      conditions: [],
      changes: [],
      applied: [],
      then: null,
    };
    policy?.statements.push(step);
    this.#statements.push(step);
    this.#owners.push(step);
    this.#sources.push(source);
    this.#lists.push(step.applied);
  }

  endStatement(matched: boolean): void {
    const step = this.#statements.pop();
    const source = this.#sources.pop();
    this.#lists.pop();
    this.#owners.pop();
    if (!step || !source) return;
    step.matched = matched;
    const decided = step.applied.some(({ decision }) => decision !== "undecided");
    step.then = matched && !decided ? source.source.then : null;
  }

  beginCondition({ name, match }: Condition, route: PolicyRoute): void {
    const step: Mutable<ConditionStep> = {
      condition: name,
      holds: false,
      wanted: wantedText(name, match, this.#names),
      actual: actualText(name, route, this.#subject, this.#names),
      conditions: [],
      policies: [],
    };
    this.#owners.at(-1)?.conditions.push(step);
    this.#owners.push(step);
    this.#conditions.push(step);
    this.#lists.push(step.policies);
    if (name === "policy") this.#asking++;
  }

  endCondition(holds: boolean): void {
    const step = this.#conditions.pop();
    this.#lists.pop();
    this.#owners.pop();
    if (!step) return;
    step.holds = holds;
    if (step.condition === "policy") this.#asking--;
  }

  changed(before: PolicyRoute, after: PolicyRoute): void {
    const [old, now] = [routeText(before, this.#names), routeText(after, this.#names)];
    const changes = this.#statements.at(-1)?.changes ?? this.afterwards;
    for (const attribute of Object.keys(now) as (keyof RouteText)[])
      if (old[attribute] !== now[attribute]) changes.push({ attribute, from: old[attribute], to: now[attribute] });
  }
}
