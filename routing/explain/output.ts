// A packet that is made on this host (ip_route_output_key_hash_rcu and __mkroute_output, ip6_route_output_flags).
//
// Known deviation: route_localnet of the interface that a packet leaves by is taken as off.
import { formatAddress } from "../../net/address.ts";
import { LinkFlag, RouteType, Scope } from "../netlink/constants.ts";
import { isLimitedBroadcast, isLocalMulticast, isLoopback, isMulticast, isZero } from "./address-match.ts";
import { refused } from "./refusal.ts";
import { type End, walkRules } from "./rules.ts";
import { ownerOf, selectAddress, sourceOf } from "./source-address.ts";
import { needsInterface } from "./strict.ts";
import { type Explanation, type Flow, type Hop, LOOPBACK, type Snapshot, type Verdict } from "./types.ts";

export function explainOutput(snapshot: Snapshot, flow: Flow): Explanation {
  return flow.family === 4 ? ipv4(snapshot, flow) : ipv6(snapshot, flow);
}

function ipv6(snapshot: Snapshot, flow: Flow): Explanation {
  const strict = needsInterface(flow.destination) || (flow.oif !== 0 && flow.source === null);
  const { steps, ends } = walkRules(snapshot, { ...flow, iif: LOOPBACK }, flow.oif, strict);
  const verdicts = ends.map((end): Verdict => {
    if (end.kind === "error") return failed(end);
    const { rule, route } = end;
    const local = route.type === RouteType.local || route.type === RouteType.anycast;
    const members = local ? [toHost] : end.members;
    // A dump has one source for all members of an ECMP route, which may have one each.
    const source = flow.source ?? (route.hops.length <= 1 ? route.preferredSource : null);
    return { error: null, why: null, type: route.type, rule, table: route.table, route, members, source };
  });
  const foreign = flow.source !== null && ownerOf(snapshot, flow.source) === 0;
  const refusal = foreign ? { why: notOurs(flow.source!), answered: false } : null;
  return { steps, verdicts, reverse: [], refusal };
}

const toHost: Hop = { ifindex: LOOPBACK, gateway: null, weight: 1, flags: 0 };

function notOurs(source: Uint8Array): string {
  return `${formatAddress(source)} is not an address of this host, so a packet made here cannot come from it; one that is forwarded arrives by an interface`;
}

function failed(end: End & { kind: "error" }): Verdict {
  const { rule, route, error, why } = end;
  return { error, why, type: route?.type ?? 0, rule, table: route?.table ?? 0, route, members: [], source: null };
}

/** A verdict that no lookup was needed for. */
function direct(flow: Flow, verdict: Partial<Verdict>): Explanation {
  const base = { error: null, why: null, type: 0, rule: null, table: 0, route: null, members: [], source: null };
  return { steps: [], verdicts: [made(flow, { ...base, ...verdict })], reverse: [], refusal: null };
}

function onLink(ifindex: number): Hop {
  return { ifindex, gateway: null, weight: 1, flags: 0 };
}

function ipv4(snapshot: Snapshot, given: Flow): Explanation {
  let { source } = given;
  const { destination, oif } = given;
  const multicast = isMulticast(destination);
  const type = multicast ? RouteType.multicast : RouteType.broadcast;
  if (source) {
    if (isMulticast(source) || isLimitedBroadcast(source) || isZero(source))
      return refused("EINVAL", `${formatAddress(source)} cannot be a source`);
    const owner = ownerOf(snapshot, source);
    if (oif === 0 && (multicast || isLimitedBroadcast(destination)))
      return owner === 0
        ? refused("ENETUNREACH", notOurs(source))
        : direct(given, { type, members: [onLink(owner)], source });
    if (owner === 0) return refused("ENETUNREACH", notOurs(source));
  }
  if (oif !== 0) {
    const link = snapshot.links.get(oif);
    if (!link) return refused("ENODEV", `there is no interface with index ${oif}`);
    if (!(link.flags & LinkFlag.up)) return refused("ENETUNREACH", `${link.name} is down`);
    if (isLocalMulticast(destination) || isLimitedBroadcast(destination)) {
      source ??= selectAddress(snapshot, oif, null, Scope.link);
      return direct(given, { type, members: [onLink(oif)], source });
    }
    if (!source && multicast) source = selectAddress(snapshot, oif, null, Scope.universe);
    else if (!source && isZero(destination)) source = selectAddress(snapshot, oif, null, Scope.host);
  }
  if (isZero(destination)) {
    source ??= Uint8Array.of(127, 0, 0, 1);
    return direct({ ...given, destination: source }, { type: RouteType.local, members: [toHost], source });
  }
  const { steps, ends } = walkRules(snapshot, { ...given, source, iif: LOOPBACK }, oif, false);
  const verdicts = ends.map((end) => outcome(snapshot, { ...given, source }, end));
  return { steps, verdicts, reverse: [], refusal: null };
}

function outcome(snapshot: Snapshot, flow: Flow, end: End): Verdict {
  const { oif, source, destination } = flow;
  if (end.kind === "error") {
    if (oif === 0) return failed(end);
    // Nothing leads there, but its sender insists on an interface: the kernel takes the destination as a neighbour on it.
    const from = source ?? selectAddress(snapshot, oif, null, Scope.link);
    const type = isMulticast(destination) ? RouteType.multicast : RouteType.unicast;
    return made(flow, {
      ...failed(end),
      error: null,
      why: null,
      type,
      members: [onLink(oif)],
      source: from,
      route: null,
      table: 0,
    });
  }
  const { rule, route, first, members } = end;
  const found = { error: null, why: null, type: route.type, rule, table: route.table, route };
  if (route.type === RouteType.local)
    return made(flow, { ...found, members: [toHost], source: source ?? route.preferredSource ?? destination });
  const from =
    source ?? (members.length === 1 || route.preferredSource ? sourceOf(snapshot, route, members[0] ?? first) : null);
  return made(flow, { ...found, members, source: from });
}

/** __mkroute_output: what the kernel makes of broadcast, multicast and senseless addresses. */
function made(flow: Flow, verdict: Verdict): Verdict {
  const { destination } = flow;
  const { source, members, route } = verdict;
  const plain = members.map((hop) => ({ ...hop, gateway: null }));
  const wrong = (why: string): Verdict => ({ ...verdict, error: "EINVAL", why, members: [] });
  if (source && isLoopback(source) && members.some(({ ifindex }) => ifindex !== LOOPBACK))
    return wrong(`${formatAddress(source)} must not leave the host`);
  if (isLimitedBroadcast(destination)) return { ...verdict, type: RouteType.broadcast, members: plain };
  if (isMulticast(destination))
    return { ...verdict, type: RouteType.multicast, members: route && route.length < 4 ? plain : members };
  if (isZero(destination)) return wrong(`${formatAddress(destination)} cannot be a destination`);
  return verdict.type === RouteType.broadcast ? { ...verdict, members: plain } : verdict;
}
