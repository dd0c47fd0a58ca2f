// An explanation in names and words instead of numbers: what the API answers, but for what only the daemon knows (why a rule
// or route of ours is there), which is filled in there.
import { formatAddress } from "../../net/address.ts";
import { ruleText } from "../fib/views.ts";
import type { Route } from "../netlink/route.ts";
import { hopsOf } from "./hops.ts";
import type { LiveExplanation } from "./live.ts";
import { protocolName, typeName } from "./names.ts";
import { goesSomewhere } from "./simulate.ts";
import type { Hop, LinkState, Passed, Step, Verdict } from "./types.ts";

export interface HopView {
  readonly gateway: string | null;
  readonly interface: string;
  readonly weight: number;
}

export interface ExplainedRoute {
  readonly prefix: string;
  /** IPv6: only for packets from there; null: from anywhere. */
  readonly from: string | null;
  readonly table: string;
  readonly type: string;
  /** `underlay`, `kernel`, `bird` ..., or a number. */
  readonly protocol: string;
  readonly metric: number;
  readonly tos: number;
  /** 0: it has next hops of its own. */
  readonly nextHopId: number;
  readonly nextHops: readonly HopView[];
  /** Why it is there, for routes of ours. */
  readonly because: readonly string[];
}

export interface ExplainedStep {
  readonly priority: number;
  /** As `ip rule` prints it. */
  readonly rule: string;
  readonly protocol: string;
  readonly outcome: Step["outcome"];
  readonly why: string | null;
  /** What the table had; null: nothing, or no table was asked. */
  readonly route: ExplainedRoute | null;
  readonly passed: readonly { readonly route: ExplainedRoute; readonly why: string }[];
  /** Why the rule is there, for rules of ours. */
  readonly because: readonly string[];
}

export interface ExplainedVerdict {
  /** `ENETUNREACH` ...; null: the packet goes somewhere. */
  readonly error: string | null;
  readonly why: string | null;
  readonly type: string;
  readonly rule: string | null;
  readonly table: string | null;
  readonly route: ExplainedRoute | null;
  readonly nextHops: readonly HopView[];
  readonly source: string | null;
}

export interface KernelWord {
  readonly error: string | null;
  readonly type: string | null;
  readonly table: string | null;
  readonly nextHops: readonly HopView[];
  readonly source: string | null;
  /** The route that it went by. */
  readonly route: string | null;
}

export interface ExplainedFlow {
  readonly source: string | null;
  readonly destination: string;
  /** Null: made on this host. */
  readonly iif: string | null;
  readonly oif: string | null;
  readonly mark: number;
  readonly tos: number;
  readonly uid: number;
  readonly ipProtocol: number;
  readonly sourcePort: number;
  readonly destinationPort: number;
}

export interface ExplainView {
  readonly flow: ExplainedFlow;
  /** What was assumed beyond what was asked, and what may be missing. */
  readonly notes: readonly string[];
  readonly steps: readonly ExplainedStep[];
  /** More than one when it cannot be known from outside. */
  readonly verdicts: readonly ExplainedVerdict[];
  /** The way back that the source of an arriving packet was checked by. */
  readonly reverse: readonly ExplainedStep[];
  /** Why the packet is dropped although there is a route. */
  readonly refusal: string | null;
  readonly goesSomewhere: boolean;
  /** What the kernel itself says. */
  readonly kernel: KernelWord;
  /** How that differs; null: it does not. */
  readonly difference: string | null;
}

export interface Names {
  /** Our protocol number. */
  readonly protocol: number;
  /** `main`, `fabric`, or the number. */
  table(id: number): string;
  /** Why a route of ours is there. */
  routeBecause(route: Route): readonly string[];
  ruleBecause(step: Step): readonly string[];
}

export function explainView(
  live: LiveExplanation,
  flow: ExplainedFlow,
  notes: readonly string[],
  names: Names,
): ExplainView {
  const writer = new Writer(live, names);
  const { explanation, answer, difference, partial } = live;
  const unread = partial.map(
    (table) => `table ${names.table(table)} is large: routes of other programs in it were not all looked at`,
  );
  return {
    flow,
    notes: [...notes, ...unread],
    steps: explanation.steps.map((step) => writer.step(step)),
    verdicts: explanation.verdicts.map((verdict) => writer.verdict(verdict)),
    reverse: explanation.reverse.map((step) => writer.step(step)),
    refusal: explanation.refusal?.why ?? null,
    goesSomewhere: goesSomewhere(explanation),
    kernel: writer.answer(answer),
    difference,
  };
}

class Writer {
  readonly #links: ReadonlyMap<number, LinkState>;
  readonly #nextHops: LiveExplanation["nextHops"];
  readonly #names: Names;

  constructor({ links, nextHops }: LiveExplanation, names: Names) {
    this.#links = links;
    this.#nextHops = nextHops;
    this.#names = names;
  }

  step(step: Step): ExplainedStep {
    const { rule, outcome, why, result } = step;
    return {
      priority: rule.priority,
      rule: ruleText(rule),
      protocol: protocolName(rule.protocol, this.#names.protocol),
      outcome,
      why,
      route: result && result.kind !== "miss" ? this.route(result.route) : null,
      passed: result?.passed.map((passed) => this.#passed(passed)) ?? [],
      because: this.#names.ruleBecause(step),
    };
  }

  verdict({ error, why, type, rule, table, route, members, source }: Verdict): ExplainedVerdict {
    return {
      error,
      why,
      type: typeName(type),
      rule: rule && ruleText(rule),
      table: table === 0 ? null : this.#names.table(table),
      route: route && this.route(route),
      nextHops: members.map((hop) => this.#hop(hop)),
      source: source && formatAddress(source),
    };
  }

  answer({ error, decision, match }: LiveExplanation["answer"]): KernelWord {
    return {
      error: error?.code ?? null,
      type: decision && typeName(decision.type),
      table: decision && decision.table !== 0 ? this.#names.table(decision.table) : null,
      nextHops: decision?.hops.map((hop) => this.#hop(hop)) ?? [],
      source: decision?.preferredSource ? formatAddress(decision.preferredSource) : null,
      route: match && `${formatAddress(match.destination)}/${match.length}`,
    };
  }

  route(route: Route): ExplainedRoute {
    const { hops } = hopsOf(route, this.#nextHops);
    return {
      prefix: `${formatAddress(route.destination)}/${route.length}`,
      from: route.source && `${formatAddress(route.source)}/${route.sourceLength}`,
      table: this.#names.table(route.table),
      type: typeName(route.type),
      protocol: protocolName(route.protocol, this.#names.protocol),
      metric: route.priority,
      tos: route.tos,
      nextHopId: route.nextHopId,
      nextHops: hops.map((hop) => this.#hop(hop)),
      because: this.#names.routeBecause(route),
    };
  }

  #passed({ route, why }: Passed): ExplainedStep["passed"][number] {
    return { route: this.route(route), why };
  }

  #hop({ ifindex, gateway, weight }: Hop): HopView {
    return {
      gateway: gateway && formatAddress(gateway),
      interface: this.#links.get(ifindex)?.name ?? `if${ifindex}`,
      weight,
    };
  }
}
