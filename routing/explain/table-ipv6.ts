// What one IPv6 table says to a flow (fib6_table_lookup, rt6_select, find_rr_leaf and fib6_select_path in the kernel). In:
// the routes of the table, at least those that the destination is in. Out: the route, and the hops it may be sent by.
//
// The longest destination prefix wins, within it the longest source prefix. Of one such node the lowest metric is looked at
// first; among equals, and among all higher metrics together when the lowest has nothing usable, the score decides (the
// interface that is insisted on or, for a packet that arrives, the one that it arrives by; then the router's preference),
// then the place in the table. Members of an ECMP route count apart here, and the hash chooses among them afterwards.
//
// Known deviations: redirects and path MTU exceptions, expired routes, and, on a host that does not forward, failed
// neighbours and the round robin among routers (RFC 4861 §6.3.6) are not looked at.
import type { NextHop } from "../netlink/nexthop.ts";
import type { Route } from "../netlink/route.ts";
import { inPrefix } from "./address-match.ts";
import { hopsOf, unusable } from "./hops.ts";
import { REJECTS } from "./table-ipv4.ts";
import { type Flow, type Hop, LOOPBACK, type Passed, type TableResult } from "./types.ts";

/** RTA_PREF -> 1 low, 2 medium, 3 high. */
const PREFERENCES = [2, 3, 2, 1];

interface Match {
  readonly route: Route;
  /** Null: a route of a nexthop object that drops everything. */
  readonly hop: Hop | null;
}

/**
 * `oif`: the interface that the sender insists on, or that the packet arrives by; 0: neither. `strict`: only it will do
 * (RT6_LOOKUP_F_IFACE).
 */
export function lookupIpv6(
  routes: readonly Route[],
  nextHops: ReadonlyMap<number, NextHop>,
  flow: Flow,
  oif: number,
  strict: boolean,
): TableResult {
  const passed: Passed[] = [];
  for (const node of nodes(routes, flow)) {
    const match = select(node, nextHops, oif, strict, passed);
    if (!match) continue;
    const { route, hop } = match;
    const error = hop === null ? "EINVAL" : REJECTS.get(route.type);
    if (error !== undefined) return { kind: "reject", route, error, passed };
    const members = membersOf(route, hop!, nextHops, oif, strict);
    return { kind: "found", route, first: hop!, members, instead: [], passed };
  }
  return { kind: "miss", passed };
}

/**
 * Routes of one destination and source prefix each, in the order in which the kernel comes by them. On its way down it
 * leaves a destination out where there are routes for certain sources and the source is none of them, also its routes for
 * every source (fib6_node_lookup_1); on the way back up, from a node without a usable route, it does not.
 */
function nodes(routes: readonly Route[], flow: Flow): Route[][] {
  const source = flow.source ?? new Uint8Array(16);
  const here = routes.filter((route) => inPrefix(flow.destination, route.destination, route.length));
  const lengths = [...new Set(here.map((route) => route.length))].sort((a, b) => b - a);
  let down = true;
  return lengths.flatMap((length) => {
    const same = here.filter((route) => route.length === length);
    const fits = same.filter(
      (route) => route.sourceLength === 0 || inPrefix(source, route.source!, route.sourceLength),
    );
    const sources = [...new Set(fits.map((route) => route.sourceLength))].sort((a, b) => b - a);
    const specific = same.some((route) => route.sourceLength > 0);
    if (down && length > 0 && specific && (sources[0] ?? 0) === 0) return [];
    down = false;
    return sources.map((sourceLength) => fits.filter((route) => route.sourceLength === sourceLength));
  });
}

/** find_rr_leaf: the routes of the lowest metric first, then all the others. */
function select(
  node: readonly Route[],
  nextHops: ReadonlyMap<number, NextHop>,
  oif: number,
  strict: boolean,
  passed: Passed[],
): Match | null {
  const sorted = [...node].sort((a, b) => a.priority - b.priority);
  const lowest = sorted.filter((route) => route.priority === sorted[0].priority);
  return (
    best(lowest, nextHops, oif, strict, passed) ?? best(sorted.slice(lowest.length), nextHops, oif, strict, passed)
  );
}

function best(
  routes: readonly Route[],
  nextHops: ReadonlyMap<number, NextHop>,
  oif: number,
  strict: boolean,
  passed: Passed[],
): Match | null {
  let found: Match | null = null;
  let highest = -1;
  for (const route of routes) {
    const { hops, blackhole } = routesHops(route, nextHops);
    if (blackhole) return { route, hop: null };
    let why: string | null = null;
    for (const hop of hops) {
      why = unusable(hop);
      if (why !== null) continue;
      const score = scoreOf(route, hop, oif, strict);
      if (score < 0) why = "it is on another interface";
      if (score <= highest) continue;
      highest = score;
      found = { route, hop };
      // The members of a nexthop group are asked only until one will do; those of an ECMP route are routes of their own.
      if (route.nextHopId !== 0) break;
    }
    if (found?.route !== route) passed.push({ route, why: why ?? "one of the same metric is preferred" });
  }
  return found;
}

/** A route that rejects is on `lo`. */
function routesHops(route: Route, nextHops: ReadonlyMap<number, NextHop>) {
  const { hops, blackhole } = hopsOf(route, nextHops);
  if (hops.length > 0 || !REJECTS.has(route.type)) return { hops, blackhole };
  return { hops: [{ ifindex: LOOPBACK, gateway: null, weight: 1, flags: 0 }], blackhole };
}

/** rt6_score_route, for a router; negative: not to be used. */
function scoreOf(route: Route, hop: Hop, oif: number, strict: boolean): number {
  const onIt = oif === 0 || hop.ifindex === oif;
  if (!onIt && strict) return -1;
  return (onIt ? 2 : 0) | (PREFERENCES[route.preference & 3] << 2);
}

/** fib6_select_path. */
function membersOf(
  route: Route,
  first: Hop,
  nextHops: ReadonlyMap<number, NextHop>,
  oif: number,
  strict: boolean,
): readonly Hop[] {
  const { hops } = hopsOf(route, nextHops);
  if (hops.length <= 1) return [first];
  if (route.nextHopId !== 0) return hops; // the hash alone decides, whatever was insisted on
  const usable = hops.filter((hop) => unusable(hop) === null);
  const fit = usable.filter((hop) => scoreOf(route, hop, oif, strict) >= 0);
  return fit.length > 0 ? fit : [first];
}
