// Policies as programs: what `compile` makes of the data, how it is run on a route, and what can be said about a run before
// the attributes are known. In: key bits (the answers of the key tests for a class of routes) and a route. Out: the decision
// and the changed route. A run tells an observer, if there is one, each thing it does: that is how a policy is explained, by
// the code that decides and not by a second one.
import { prefix } from "../../net/prefix.ts";
import { type Action, compileSet, type PolicyRoute } from "./actions.ts";
import { type AttributeTest, attributeTests, type ConditionName, type KeyTest, keyTests } from "./conditions.ts";
import type { BuiltIn, Policy, PolicyElement, PolicyMatch, PolicyStatement } from "./types.ts";

/** Name of the origin of our own routes, in `match: { peer: [local] }` too. */
export const LOCAL_PEER = "local";

export interface Block {
  readonly name: string;
  readonly statements: readonly CompiledStatement[];
}

export interface CompiledStatement {
  readonly source: PolicyStatement;
  readonly conditions: readonly Condition[];
  readonly action: Action | null;
  readonly apply: readonly Block[];
}

export type Condition = {
  readonly name: ConditionName;
  readonly match: PolicyMatch;
} & (
  | { readonly kind: "key"; readonly key: number }
  | { readonly kind: "attribute"; readonly test: AttributeTest }
  | { readonly kind: "not"; readonly conditions: readonly Condition[] }
  | { readonly kind: "policy"; readonly blocks: readonly Block[] }
);

/** What a run tells. Begins and ends are properly nested. */
export interface PolicyObserver {
  beginPolicy(block: Block): void;
  endPolicy(decision: Decision): void;
  beginStatement(statement: CompiledStatement): void;
  endStatement(matched: boolean): void;
  beginCondition(condition: Condition, route: PolicyRoute): void;
  endCondition(holds: boolean): void;
  changed(before: PolicyRoute, after: PolicyRoute): void;
}

/** Undecided: the caller goes on. As bits, because before a run several are possible. */
export const Decision = { ACCEPT: 1, REJECT: 2, UNDECIDED: 4 } as const;
export type Decision = (typeof Decision)[keyof typeof Decision];

/** Answers of key tests, by key: not asked yet, no, yes. */
export const KeyBit = { UNKNOWN: 0, NO: 1, YES: 2 } as const;

export class Compiler {
  /** Tests by the number that conditions know them by. */
  readonly keys: KeyTest[] = [];
  /** Tables that statements send routes to. */
  readonly tables = new Set<number>();
  readonly #blocks = new Map<PolicyElement, Block>();

  /** Throws RangeError when an AS path expression is wrong. */
  block(element: PolicyElement): Block {
    let block = this.#blocks.get(element);
    if (!block) {
      const { name, statements } = typeof element === "string" ? builtIn(element) : element;
      block = { name, statements: statements.map((statement) => this.#statement(statement)) };
      this.#blocks.set(element, block);
    }
    return block;
  }

  #statement(source: PolicyStatement): CompiledStatement {
    const { match, set, apply = [], then } = source;
    if (set.table !== undefined) this.tables.add(set.table);
    return {
      source,
      conditions: this.#conditions(match),
      // Nobody sees what becomes of a route that is rejected at once.
      action: then === "reject" && apply.length === 0 ? null : compileSet(set),
      apply: apply.map((element) => this.block(element)),
    };
  }

  #conditions(match: PolicyMatch): Condition[] {
    const conditions: Condition[] = [];
    for (const [name, test] of keyTests(match))
      conditions.push({ name, match, kind: "key", key: this.keys.push(test) - 1 });
    for (const [name, test] of attributeTests(match)) conditions.push({ name, match, kind: "attribute", test });
    const { not } = match;
    if (not) conditions.push({ name: "not", match: not, kind: "not", conditions: this.#conditions(not) });
    if (match.policy)
      conditions.push({
        name: "policy",
        match,
        kind: "policy",
        blocks: match.policy.map((other) => this.block(other)),
      });
    return conditions;
  }
}

/** One run over one route. */
export class Run {
  route: PolicyRoute;
  readonly #bits: Uint8Array;
  readonly #observer: PolicyObserver | null;

  constructor(route: PolicyRoute, bits: Uint8Array, observer: PolicyObserver | null) {
    this.route = route;
    this.#bits = bits;
    this.#observer = observer;
  }

  /** Policies one after another. */
  chain(blocks: readonly Block[]): Decision {
    for (const block of blocks) {
      this.#observer?.beginPolicy(block);
      const decision = this.#block(block);
      this.#observer?.endPolicy(decision);
      if (decision !== Decision.UNDECIDED) return decision;
    }
    return Decision.UNDECIDED;
  }

  change(action: Action): void {
    const before = this.route;
    this.route = action(before);
    this.#observer?.changed(before, this.route);
  }

  #block({ statements }: Block): Decision {
    for (const statement of statements) {
      this.#observer?.beginStatement(statement);
      const matched = this.#all(statement.conditions);
      const decision = matched ? this.#then(statement) : null;
      this.#observer?.endStatement(matched);
      if (decision !== null) return decision;
    }
    return Decision.UNDECIDED;
  }

  /** Null: the next statement. */
  #then({ source, action, apply }: CompiledStatement): Decision | null {
    if (action) this.change(action);
    const decision = this.chain(apply);
    if (decision !== Decision.UNDECIDED) return decision;
    switch (source.then) {
      case "accept":
        return Decision.ACCEPT;
      case "reject":
        return Decision.REJECT;
      case "return":
        return Decision.UNDECIDED;
      case "next":
        return null;
    }
  }

  /** An observer is told of every condition, also after one that does not hold. */
  #all(conditions: readonly Condition[]): boolean {
    let all = true;
    for (const condition of conditions) {
      this.#observer?.beginCondition(condition, this.route);
      const holds = this.#holds(condition);
      this.#observer?.endCondition(holds);
      all &&= holds;
      if (!holds && !this.#observer) break;
    }
    return all;
  }

  #holds(condition: Condition): boolean {
    switch (condition.kind) {
      case "key":
        return this.#bits[condition.key] === KeyBit.YES;
      case "attribute":
        return condition.test(this.route.attributes);
      case "not":
        return !this.#all(condition.conditions);
      case "policy": {
        const before = this.route;
        const accepted = condition.blocks.some((block) => {
          const decision = this.chain([block]);
          this.route = before;
          return decision === Decision.ACCEPT;
        });
        return accepted;
      }
    }
  }
}

/** Three-valued truth, and a fourth: a key test has to be asked first. */
const Truth = { NO: 0, YES: 1, ATTRIBUTES: 2, ASK: 3 } as const;
type Truth = (typeof Truth)[keyof typeof Truth];

/** What a run can come to when no more than the key bits is known. */
export class Prospect {
  readonly #bits: Uint8Array;
  /** The key test that has to be answered first; -1: none. Nothing else counts then. */
  ask = -1;
  /** Decision bits that are possible. */
  decisions = 0;
  /** The route may be changed on the way. */
  changes = false;

  constructor(blocks: readonly Block[], bits: Uint8Array) {
    this.#bits = bits;
    this.decisions = this.#chain(blocks);
  }

  #chain(blocks: readonly Block[]): number {
    let decisions = 0;
    for (const block of blocks) {
      const own = this.#block(block);
      decisions |= own & ~Decision.UNDECIDED;
      if (this.ask >= 0 || (own & Decision.UNDECIDED) === 0) return decisions;
    }
    return decisions | Decision.UNDECIDED;
  }

  #block({ statements }: Block): number {
    let decisions = 0;
    for (const { source, conditions, action, apply } of statements) {
      const matches = this.#all(conditions);
      if (matches === Truth.ASK) return decisions;
      if (matches === Truth.NO) continue;
      if (action) this.changes = true;
      const applied = this.#chain(apply);
      if (this.ask >= 0) return decisions;
      decisions |= applied & ~Decision.UNDECIDED;
      const goesOn = (applied & Decision.UNDECIDED) !== 0;
      if (goesOn && source.then === "accept") decisions |= Decision.ACCEPT;
      if (goesOn && source.then === "reject") decisions |= Decision.REJECT;
      if (goesOn && source.then === "return") decisions |= Decision.UNDECIDED;
      if (matches === Truth.YES && !(goesOn && source.then === "next")) return decisions;
    }
    return decisions | Decision.UNDECIDED;
  }

  #all(conditions: readonly Condition[]): Truth {
    let all: Truth = Truth.YES;
    for (const condition of conditions) {
      const truth = this.#truth(condition);
      if (truth === Truth.ASK || truth === Truth.NO) return truth;
      if (truth === Truth.ATTRIBUTES) all = truth;
    }
    return all;
  }

  #truth(condition: Condition): Truth {
    switch (condition.kind) {
      case "key": {
        const bit = this.#bits[condition.key];
        if (bit !== KeyBit.UNKNOWN) return bit === KeyBit.YES ? Truth.YES : Truth.NO;
        this.ask = condition.key;
        return Truth.ASK;
      }
      case "attribute":
        return Truth.ATTRIBUTES;
      case "not": {
        const inner = this.#all(condition.conditions);
        return inner === Truth.YES ? Truth.NO : inner === Truth.NO ? Truth.YES : inner;
      }
      case "policy":
        return this.#accepts(condition.blocks);
    }
  }

  #accepts(blocks: readonly Block[]): Truth {
    const { changes } = this;
    let any: Truth = Truth.NO;
    for (const block of blocks) {
      const decisions = this.#block(block);
      if (this.ask >= 0) return Truth.ASK;
      if (decisions === Decision.ACCEPT && any === Truth.NO) any = Truth.YES;
      else if ((decisions & Decision.ACCEPT) !== 0) any = Truth.ATTRIBUTES;
      if (any === Truth.YES) break;
    }
    // What the policy in a condition changes is forgotten.
    this.changes = changes;
    return any;
  }
}

function builtIn(name: BuiltIn): Policy {
  // biome-ignore lint/suspicious/noThenProperty: `then` is what a policy statement calls its decision.
  const accept = (match: PolicyMatch): Policy => ({ name, statements: [{ match, set: {}, then: "accept" }] });
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
