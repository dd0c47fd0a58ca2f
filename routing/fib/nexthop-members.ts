// What next-hop sets and groups consist of, as text that can be compared. In: gateways on interfaces, members of
// groups. Out: a key per gateway; the canonical form of a group, which is the same for the same members in any order.
import type { GroupMember } from "../netlink/nexthop.ts";
import type { NextHopMember } from "../types.ts";

const MAX_WEIGHT = 256;

export function hopKey(ifindex: number, gateway: Uint8Array): string {
  return `${ifindex}|${gateway.join(".")}`;
}

export function canonical(members: readonly GroupMember[]): string {
  return members
    .map(({ id, weight }) => `${id},${weight}`)
    .sort()
    .join("/");
}

/** Nexthop ids of the members of a group in canonical form; null: no group. */
export function idsOf(members: string | null): number[] {
  return members ? members.split("/").map((member) => Number.parseInt(member, 10)) : [];
}

/** The kernel refuses the same object twice in a group: weights of equal members are added up. */
export function unique(members: readonly NextHopMember[]): NextHopMember[] {
  const byKey = new Map<string, NextHopMember>();
  for (const member of members) {
    const key = hopKey(member.ifindex, member.gateway);
    const weight = Math.min(MAX_WEIGHT, member.weight + (byKey.get(key)?.weight ?? 0));
    byKey.set(key, { ...member, weight });
  }
  return [...byKey.values()];
}
