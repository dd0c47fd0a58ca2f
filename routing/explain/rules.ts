// The walk over the policy rules (fib_rules_lookup in the kernel). In: a snapshot, and the flow as the lookup sees it.
// Out: what each rule that was looked at did, and what came of it in the end.
//
// A walk can have more than one end: an IPv6 rule with suppress_ifgroup sees the member that the hash chose, and with
// members of both kinds it cannot be known from outside whether the route is suppressed. See also cached().
import { RouteType, RuleAction } from "../netlink/constants.ts";
import type { Route } from "../netlink/route.ts";
import type { Rule } from "../netlink/rule.ts";
import { hopsOf } from "./hops.ts";
import { mismatch } from "./rule-match.ts";
import { lookupIpv4 } from "./table-ipv4.ts";
import { lookupIpv6 } from "./table-ipv6.ts";
import type { ErrorCode, Flow, Hop, Snapshot, Step, TableResult } from "./types.ts";

/** How the walk ends, before what the kernel makes of it for output or input. */
export type End =
  | {
      readonly kind: "route";
      readonly rule: Rule;
      readonly route: Route;
      readonly first: Hop;
      readonly members: readonly Hop[];
    }
  | {
      readonly kind: "error";
      readonly rule: Rule | null;
      readonly route: Route | null;
      readonly error: ErrorCode;
      readonly why: string;
    };

export interface Walk {
  readonly steps: readonly Step[];
  /** Never empty; several when it cannot be known. */
  readonly ends: readonly End[];
}

const ACTIONS = new Map<number, { error: ErrorCode; why: string }>([
  [RuleAction.unreachable, { error: "ENETUNREACH", why: "the rule says unreachable" }],
  [RuleAction.prohibit, { error: "EACCES", why: "the rule says prohibit" }],
]);
const DROP = { error: "EINVAL", why: "the rule drops it (blackhole)" } as const;

/** `flow.iif`: the index of the interface that it arrives by, LOOPBACK for one made here. `strict`: see lookupIpv6. */
export function walkRules(snapshot: Snapshot, flow: Flow, oif: number, strict: boolean): Walk {
  const steps: Step[] = [];
  const ends: End[] = [];
  const { rules } = snapshot;
  const step = (rule: Rule, outcome: Step["outcome"], why: string | null = null, result: TableResult | null = null) =>
    steps.push({ rule, outcome, why, result });
  for (let i = 0; i < rules.length; i++) {
    const rule = rules[i];
    const why = mismatch(rule, flow, snapshot.links);
    if (why !== null) {
      step(rule, "noMatch", why);
      continue;
    }
    if (rule.action === RuleAction.goto) {
      const target = rule.unresolved ? -1 : rules.findIndex((other) => other.priority === rule.goto);
      if (target <= i) {
        step(rule, "nop", `there is no rule ${rule.goto}`);
        continue;
      }
      step(rule, "goto");
      i = target - 1;
      continue;
    }
    if (rule.action === RuleAction.nop) {
      step(rule, "nop");
      continue;
    }
    if (rule.action !== RuleAction.toTable) {
      step(rule, "decided");
      ends.push({ kind: "error", rule, route: null, ...(ACTIONS.get(rule.action) ?? DROP) });
      return { steps, ends };
    }
    const routes = snapshot.tables.get(rule.table) ?? [];
    const result =
      flow.family === 4
        ? lookupIpv4(routes, snapshot.nextHops, flow)
        : lookupIpv6(routes, snapshot.nextHops, flow, oif, strict);
    if (result.kind === "miss") {
      step(rule, "miss", null, result);
      continue;
    }
    if (result.kind === "reject") {
      if (result.error === "EAGAIN") {
        step(rule, "throw", null, result);
        continue;
      }
      step(rule, "decided", null, result);
      ends.push({ kind: "error", rule, route: result.route, error: result.error, why: rejection(result.route) });
      return { steps, ends };
    }
    const { route, first } = result;
    const suppressed = suppression(rule, result, snapshot);
    if (suppressed.why !== null && suppressed.members.length === 0) {
      step(rule, "suppressed", suppressed.why, result);
      continue;
    }
    ends.push({ kind: "route", rule, route, first, members: suppressed.members });
    for (const { route: other, hop } of result.instead)
      ends.push({ kind: "route", rule, route: other, first: hop, members: [hop] });
    step(rule, suppressed.why === null ? "decided" : "partlySuppressed", suppressed.why, result);
    if (suppressed.why === null) return { steps, ends };
  }
  ends.push({ kind: "error", rule: null, route: null, error: "ENETUNREACH", why: "no rule leads to a route" });
  return { steps, ends };
}

function rejection(route: Route): string {
  if (route.type === RouteType.unreachable) return "the route says unreachable";
  if (route.type === RouteType.prohibit) return "the route says prohibit";
  return "the route drops it (blackhole)";
}

interface Suppression {
  /** Null: the route is taken as it is. */
  readonly why: string | null;
  /** With which members it may be taken nevertheless. */
  readonly members: readonly Hop[];
}

function suppression(rule: Rule, result: TableResult & { kind: "found" }, snapshot: Snapshot): Suppression {
  const { route, members } = result;
  const group = rule.suppressInterfaceGroup;
  const inGroup = (hop: Hop | undefined) =>
    group !== -1 && hop !== undefined && snapshot.links.get(hop.ifindex)?.group === group;
  const unwanted = `the rule does not want interfaces of group ${group}`;
  if (route.length <= rule.suppressPrefixLength) {
    const why = `the rule does not want routes of length ${rule.suppressPrefixLength} or less`;
    return { why, members: cached(rule, route) ? members.filter((hop) => !inGroup(hop)) : [] };
  }
  if (rule.family === 4) {
    // The first hop of the route, usable or not, before the hash has chosen.
    const [first] = hopsOf(route, snapshot.nextHops).hops;
    return inGroup(first) ? { why: unwanted, members: [] } : { why: null, members };
  }
  const left = members.filter((hop) => !inGroup(hop));
  if (left.length < members.length) return { why: unwanted, members: left };
  return cached(rule, route)
    ? {
        why: "the kernel may take it for another route of the same nexthop object, of a length that the rule does not want",
        members,
      }
    : { why: null, members };
}

/**
 * Whether the length that a rule with suppress_prefixlength sees may be another route's: for IPv6 the kernel caches, on
 * each CPU, one result per next hop of a nexthop object, whichever route it was first used by.
 */
function cached(rule: Rule, route: Route): boolean {
  return rule.family === 6 && rule.suppressPrefixLength >= 0 && route.nextHopId !== 0;
}
