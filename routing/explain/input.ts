// A packet that arrives by an interface (ip_route_input_slow, __mkroute_input and fib_validate_source; ip6_route_input).
//
// IPv4 checks the source with a lookup of the way back: an answer to it must not be for this host, nor (rp_filter) leave by
// another interface. IPv6 has no such check in the routing code.
//
// Known deviations: that the namespace has, or has had, rules besides the kernel's own is taken as given, as it is wherever
// ours are; multicast, which group memberships decide on, is not followed.
import { formatAddress, isLinkLocal } from "../../net/address.ts";
import { RouteType } from "../netlink/constants.ts";
import { isLimitedBroadcast, isLoopback, isMulticast, isZero } from "./address-match.ts";
import { refused } from "./refusal.ts";
import { type End, walkRules } from "./rules.ts";
import { checkSource, type SourceCheck } from "./source-check.ts";
import { needsInterface } from "./strict.ts";
import {
  type Explanation,
  type Flow,
  type Hop,
  type InterfaceSettings,
  LOOPBACK,
  type Refusal,
  type Snapshot,
  type Step,
  type Verdict,
} from "./types.ts";

const toHost: Hop = { ifindex: LOOPBACK, gateway: null, weight: 1, flags: 0 };

/** `snapshot.settings` must be those of the interface `flow.iif`. */
export function explainInput(snapshot: Snapshot, flow: Flow): Explanation {
  const { settings } = snapshot;
  if (!settings) throw new RangeError("the settings of the interface that the packet arrives by are missing");
  const link = snapshot.links.get(flow.iif);
  if (!link) return refused("ENODEV", `there is no interface with index ${flow.iif}`);
  return flow.family === 4 ? ipv4(snapshot, flow, settings) : ipv6(snapshot, flow, settings);
}

function verdictOf(flow: Flow, end: End): Verdict {
  const { rule, route } = end;
  const common = { type: route?.type ?? 0, rule, table: route?.table ?? 0, route, source: flow.source };
  if (end.kind === "error") return { ...common, error: end.error, why: end.why, members: [] };
  return { ...common, error: null, why: null, members: end.members };
}

function ipv6(snapshot: Snapshot, flow: Flow, settings: InterfaceSettings): Explanation {
  const { steps, ends } = walkRules(snapshot, flow, flow.iif, needsInterface(flow.destination));
  const verdicts = ends.map((end): Verdict => {
    const verdict = verdictOf(flow, end);
    const local = verdict.type === RouteType.local || verdict.type === RouteType.anycast;
    return local ? { ...verdict, members: [toHost] } : verdict;
  });
  const forwarded = verdicts.some(({ error, type }) => error === null && type === RouteType.unicast);
  return { steps, verdicts, reverse: [], refusal: forwarded ? notForwarded(snapshot, flow, settings) : null };
}

/** ip6_forward, which the kernel asks only when the packet is there. */
function notForwarded(snapshot: Snapshot, flow: Flow, settings: InterfaceSettings): Refusal | null {
  const name = snapshot.links.get(flow.iif)?.name;
  if (!settings.forwarding)
    return { why: `net.ipv6.conf.${name}.forwarding is 0: the packet is not forwarded`, answered: false };
  if (flow.source && isLinkLocal(flow.source))
    return { why: `a packet from ${formatAddress(flow.source)} is not forwarded`, answered: false };
  return null;
}

function ipv4(snapshot: Snapshot, flow: Flow, settings: InterfaceSettings): Explanation {
  const { destination, iif } = flow;
  const source = flow.source ?? new Uint8Array(4);
  const name = snapshot.links.get(iif)!.name;
  const martian = (address: Uint8Array, what: string) =>
    refused("EINVAL", `${formatAddress(address)} must not arrive as a ${what} (martian)`);
  if (isMulticast(source) || isLimitedBroadcast(source)) return martian(source, "source");
  if (isLimitedBroadcast(destination) || (isZero(source) && isZero(destination)))
    return broadcast(snapshot, flow, [], [], settings);
  if (isZero(source)) return martian(source, "source");
  if (isZero(destination)) return martian(destination, "destination");
  if (!settings.routeLocalnet) {
    if (isLoopback(destination)) return martian(destination, "destination");
    if (isLoopback(source)) return martian(source, "source");
  }
  // The kernel takes the user of a packet that arrives as root.
  const { steps, ends } = walkRules(snapshot, { ...flow, uid: 0 }, 0, false);
  const off = `net.ipv4.conf.${name}.forwarding is 0: the packet is not forwarded`;
  const [end] = ends;
  if (end.kind === "route" && end.route.type === RouteType.local) {
    const verdict = { ...verdictOf(flow, end), members: [toHost] };
    return { steps, verdicts: [verdict], ...checkSource(snapshot, flow, settings, 0) };
  }
  if (end.kind === "route" && end.route.type === RouteType.broadcast && !settings.broadcastForwarding)
    return broadcast(snapshot, flow, steps, ends, settings);
  const verdicts = ends.map((each): Verdict => {
    const verdict = verdictOf(flow, each);
    if (!settings.forwarding) return { ...verdict, error: "EHOSTUNREACH", why: off, members: [] };
    if (verdict.error !== null || verdict.type === RouteType.unicast || verdict.type === RouteType.broadcast)
      return verdict;
    return {
      ...verdict,
      error: "EINVAL",
      why: "the kernel does not forward to such a destination (martian)",
      members: [],
    };
  });
  return { steps, ...checkMembers(snapshot, flow, settings, verdicts) };
}

/** The member that the packet leaves by plays a part in the check, through rules with `iif`: some may pass, others not. */
function checkMembers(
  snapshot: Snapshot,
  flow: Flow,
  settings: InterfaceSettings,
  verdicts: readonly Verdict[],
): Omit<Explanation, "steps"> {
  const checks = new Map<number, SourceCheck>();
  for (const { ifindex } of verdicts.flatMap(({ members }) => members))
    if (!checks.has(ifindex)) checks.set(ifindex, checkSource(snapshot, flow, settings, ifindex));
  const all = [...checks.values()];
  const refusals = all.filter(({ refusal }) => refusal !== null);
  const [shown = { reverse: [], refusal: null }] = refusals.length > 0 ? refusals : all;
  if (refusals.length === all.length) return { verdicts, ...shown };
  const passing = verdicts.map((verdict) => ({
    ...verdict,
    members: verdict.members.filter(({ ifindex }) => checks.get(ifindex)!.refusal === null),
  }));
  const left = passing.filter(({ error, members }) => error !== null || members.length > 0);
  if (refusals.length === 0) return { verdicts: left, ...shown };
  const why = `${shown.refusal!.why}, if the packet is to leave by certain members of the route`;
  const refused: Verdict = { ...verdicts[0], error: "EINVAL", why, members: [] };
  return { verdicts: [...left, refused], reverse: shown.reverse, refusal: null };
}

function broadcast(
  snapshot: Snapshot,
  flow: Flow,
  steps: readonly Step[],
  ends: readonly End[],
  settings: InterfaceSettings,
): Explanation {
  const route = ends[0]?.route ?? null;
  const verdict: Verdict = {
    error: null,
    why: null,
    type: RouteType.broadcast,
    rule: ends[0]?.rule ?? null,
    table: route?.table ?? 0,
    route,
    members: [toHost],
    source: flow.source,
  };
  const checked =
    !flow.source || isZero(flow.source)
      ? { reverse: [], refusal: null }
      : checkSource(snapshot, { ...flow, destination: new Uint8Array(4) }, settings, 0);
  return { steps, verdicts: [verdict], ...checked };
}
