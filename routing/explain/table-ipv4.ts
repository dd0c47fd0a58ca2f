// What one IPv4 table says to a flow (fib_table_lookup, fib_select_path and fib_select_default in the kernel). In: the
// routes of the table, at least those that the destination is in. Out: the route, and the hops that it may be sent by.
//
// The longest prefix wins; of one prefix the higher TOS, then the lower metric, then the place in the table. A route
// without a usable hop is passed over, except that one which uses a nexthop object takes with it all routes of the same
// network address, also shorter ones: they share a leaf of the kernel's trie.
//
// Known deviations: redirects and path MTU exceptions are not looked at. A gateway that was the host's own by a local route
// of the same table when its route was made is used as if there were none; a dump does not tell. Of several equal default
// routes the kernel takes the first whose gateway it does not believe dead: they are named as possible.
import { RouteType } from "../netlink/constants.ts";
import type { NextHop } from "../netlink/nexthop.ts";
import type { Route } from "../netlink/route.ts";
import { inPrefix } from "./address-match.ts";
import { good, hopsOf } from "./hops.ts";
import type { ErrorCode, Flow, Hop, Passed, TableResult } from "./types.ts";

const LEGACY_TOS = 0x1c;

/** What route types stand for; those that are not here lead somewhere. */
export const REJECTS = new Map<number, ErrorCode | "EAGAIN">([
  [RouteType.blackhole, "EINVAL"],
  [RouteType.unreachable, "EHOSTUNREACH"],
  [RouteType.prohibit, "EACCES"],
  [RouteType.throw, "EAGAIN"],
]);

export function lookupIpv4(routes: readonly Route[], nextHops: ReadonlyMap<number, NextHop>, flow: Flow): TableResult {
  const passed: Passed[] = [];
  const candidates = routes
    .filter((route) => inPrefix(flow.destination, route.destination, route.length))
    .sort((a, b) => b.length - a.length || b.tos - a.tos || a.priority - b.priority);
  let missedLeaf: Uint8Array | null = null;
  for (const route of candidates) {
    if (missedLeaf && sameLeaf(missedLeaf, route.destination)) {
      passed.push({
        route,
        why: "the kernel leaves the network's other routes out after one whose nexthop object is no use",
      });
      continue;
    }
    if (!tosMatches(route, flow)) {
      passed.push({ route, why: `it is for tos 0x${route.tos.toString(16)}` });
      continue;
    }
    const { hops, blackhole } = hopsOf(route, nextHops);
    const error = blackhole ? "EINVAL" : REJECTS.get(route.type);
    if (error !== undefined) return { kind: "reject", route, error, passed };
    const usable = hops.filter((hop) => good(hop, flow) === null);
    if (usable.length === 0) {
      passed.push({ route, why: hops.length > 0 ? good(hops[0], flow)! : "it has no next hop" });
      if (route.nextHopId !== 0) missedLeaf = route.destination;
      continue;
    }
    // With an interface insisted on, the first hop there is it; otherwise the hash chooses.
    const members = flow.oif !== 0 ? usable.slice(0, 1) : usable;
    const first = members[0];
    const instead = flow.oif === 0 && hops.length === 1 ? insteadOf(route, candidates, nextHops, flow) : [];
    return { kind: "found", route, first, members, instead, passed };
  }
  return { kind: "miss", passed };
}

function sameLeaf(a: Uint8Array, b: Uint8Array): boolean {
  return inPrefix(a, b, 32);
}

function tosMatches(route: Route, flow: Flow): boolean {
  return route.tos === 0 || route.tos === (flow.tos & LEGACY_TOS);
}

/** fib_select_default: other default routes that count as equal to the one found. */
function insteadOf(
  found: Route,
  candidates: readonly Route[],
  nextHops: ReadonlyMap<number, NextHop>,
  flow: Flow,
): { route: Route; hop: Hop }[] {
  if (found.length !== 0 || found.type !== RouteType.unicast) return [];
  const instead = [];
  let priority = found.priority;
  let tos = 0;
  for (const route of candidates) {
    if (route.length !== 0 || !tosMatches(route, flow)) continue;
    if (route.priority > priority && route.tos === tos) {
      if (tos !== 0) continue;
      break;
    }
    tos = route.tos;
    priority = route.priority;
    if (route.scope !== found.scope || route.type !== RouteType.unicast) continue;
    const [hop] = hopsOf(route, nextHops).hops;
    if (!hop?.gateway) continue;
    if (instead.length === 0 && route !== found) return [];
    instead.push({ route, hop });
  }
  return instead.slice(1);
}
