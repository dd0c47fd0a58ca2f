// The ways out of a route: its own hops, or those of the nexthop object that it uses.
import { NextHopFlag } from "../netlink/constants.ts";
import type { NextHop } from "../netlink/nexthop.ts";
import type { Route } from "../netlink/route.ts";
import type { Flow, Hop } from "./types.ts";

export interface Hops {
  readonly hops: readonly Hop[];
  /** The nexthop object drops everything. */
  readonly blackhole: boolean;
}

export function hopsOf(route: Route, nextHops: ReadonlyMap<number, NextHop>): Hops {
  if (route.nextHopId === 0) return { hops: route.hops, blackhole: false };
  const object = nextHops.get(route.nextHopId);
  const members = (object?.group ?? [{ id: route.nextHopId, weight: 1 }]).flatMap(({ id, weight }) => {
    const single = nextHops.get(id);
    return single ? [{ single, weight }] : [];
  });
  return {
    hops: members.map(({ single: { ifindex, gateway, flags }, weight }) => ({ ifindex, gateway, weight, flags })),
    // A group has a blackhole only as its single member.
    blackhole: members.length === 1 && members[0].single.blackhole,
  };
}

/** Null: usable. The dead flag of a dump takes in ignore_routes_with_linkdown. */
export function unusable(hop: Hop): string | null {
  if (!(hop.flags & NextHopFlag.dead)) return null;
  return hop.flags & NextHopFlag.linkDown ? "its link is down" : "it is dead";
}

/** fib_lookup_good_nhc. */
export function good(hop: Hop, flow: Flow): string | null {
  return unusable(hop) ?? (flow.oif !== 0 && flow.oif !== hop.ifindex ? "it is on another interface" : null);
}
