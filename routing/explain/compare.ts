// The simulation against the kernel's own answer to RTM_GETROUTE: null when they agree, otherwise what differs.
import { formatAddress, sameBytes } from "../../net/address.ts";
import type { Route } from "../netlink/route.ts";
import type { Explanation, Flow, Hop, Verdict } from "./types.ts";

/** What the kernel says of the flow. */
export interface KernelAnswer {
  /** Its refusal. */
  readonly error: { readonly code: string; readonly text: string } | null;
  /** The decision for this flow: its type, table, device, gateway and source. Null when it refused. */
  readonly decision: Route | null;
  /** The route in the table that it comes from; null where there is none, as for a limited broadcast. */
  readonly match: Route | null;
}

export function disagreement(explanation: Explanation, flow: Flow, answer: KernelAnswer): string | null {
  const { verdicts, refusal } = explanation;
  if (refusal?.answered)
    return answer.error ? null : `the packet should be refused (${refusal.why}), the kernel lets it pass`;
  const differences = verdicts.map((verdict) => difference(verdict, flow, answer));
  return differences.includes(null) ? null : differences[0];
}

function difference(verdict: Verdict, flow: Flow, { error, decision, match }: KernelAnswer): string | null {
  if (verdict.error !== null) {
    if (!error) return `${verdict.error} expected (${verdict.why}), the kernel has a route`;
    return error.code === verdict.error ? null : `${verdict.error} expected, the kernel says ${error.code}`;
  }
  if (error || !decision) return `a route expected, the kernel says ${error?.text ?? "nothing"}`;
  if (decision.type !== verdict.type) return `type ${verdict.type} expected, the kernel says ${decision.type}`;
  // For IPv6 the kernel may name another route of the same next hop: it caches one result per nexthop object and CPU.
  const anonymous = flow.family === 6 && (verdict.route === null || verdict.route.nextHopId !== 0);
  if (decision.table !== verdict.table && !anonymous)
    return `table ${verdict.table} expected, the kernel says ${decision.table}`;
  const [hop] = decision.hops;
  if (!verdict.members.some((member) => sameHop(member, hop))) {
    const expected = verdict.members.map(hopText).join(" or ");
    return `next hop ${expected} expected, the kernel says ${hop ? hopText(hop) : "none"}`;
  }
  const { source } = verdict;
  if (
    !anonymous &&
    flow.source === null &&
    flow.iif === 0 &&
    source &&
    !(decision.preferredSource && sameBytes(decision.preferredSource, source))
  )
    return `source ${formatAddress(source)} expected, the kernel says ${decision.preferredSource ? formatAddress(decision.preferredSource) : "none"}`;
  if (match && verdict.route && !anonymous && !sameRoute(match, verdict.route))
    return `route ${routeText(verdict.route)} expected, the kernel says ${routeText(match)}`;
  return null;
}

function sameHop(a: Hop, b: Hop | undefined): boolean {
  if (!b || a.ifindex !== b.ifindex) return false;
  return a.gateway === null ? b.gateway === null : b.gateway !== null && sameBytes(a.gateway, b.gateway);
}

function hopText({ gateway, ifindex }: Hop): string {
  return `${gateway ? `${formatAddress(gateway)} on ` : ""}interface ${ifindex}`;
}

function sameRoute(a: Route, b: Route): boolean {
  return (
    a.length === b.length &&
    sameBytes(a.destination, b.destination) &&
    a.sourceLength === b.sourceLength &&
    a.priority === b.priority &&
    a.tos === b.tos &&
    a.protocol === b.protocol
  );
}

function routeText(route: Route): string {
  return `${formatAddress(route.destination)}/${route.length} metric ${route.priority} tos ${route.tos}`;
}
