// Rules and routes as people read them, straight from a dump.
import { formatAddress } from "../../net/address.ts";
import { RouteType, RuleAction } from "../netlink/constants.ts";
import { NetlinkError } from "../netlink/error.ts";
import { decodeNextHop, encodeGetNextHop, type NextHop } from "../netlink/nexthop.ts";
import type { Route, RouteHop } from "../netlink/route.ts";
import type { Rule } from "../netlink/rule.ts";
import type { NetlinkSocket } from "../netlink/socket.ts";
import type { KernelRoute, KernelRule } from "../types.ts";

const TABLE_NAMES = new Map([
  [253, "default"],
  [254, "main"],
  [255, "local"],
]);

const ACTIONS = new Map<number, string>([
  [RuleAction.blackhole, "blackhole"],
  [RuleAction.unreachable, "unreachable"],
  [RuleAction.prohibit, "prohibit"],
]);

function block(address: Uint8Array | null, length: number): string | null {
  return address ? `${formatAddress(address)}/${length}` : null;
}

/** As `ip rule` prints it. */
export function ruleText(rule: Rule): string {
  const words = [`${rule.priority}:`];
  if (rule.invert) words.push("not");
  words.push(`from ${block(rule.source, rule.sourceLength) ?? "all"}`);
  if (rule.destination) words.push(`to ${block(rule.destination, rule.destinationLength)}`);
  if (rule.fwmark !== 0 || rule.fwmask !== 0)
    words.push(
      `fwmark 0x${rule.fwmark.toString(16)}${rule.fwmask >>> 0 === 0xffffffff ? "" : `/0x${rule.fwmask.toString(16)}`}`,
    );
  if (rule.iif) words.push(`iif ${rule.iif}`);
  if (rule.oif) words.push(`oif ${rule.oif}`);
  if (rule.tos !== 0) words.push(`tos 0x${rule.tos.toString(16)}`);
  if (rule.dscp !== null) words.push(`dscp ${rule.dscp >>> 2}`);
  if (rule.uidRange) words.push(`uidrange ${rule.uidRange.join("-")}`);
  if (rule.ipProtocol !== 0) words.push(`ipproto ${rule.ipProtocol}`);
  if (rule.sourcePorts) words.push(`sport ${range(rule.sourcePorts)}`);
  if (rule.destinationPorts) words.push(`dport ${range(rule.destinationPorts)}`);
  if (rule.l3mdev) words.push("l3mdev");
  if (rule.unknown) words.push("...");
  if (rule.action === RuleAction.goto) words.push(`goto ${rule.goto}`);
  else if (rule.action === RuleAction.nop) words.push("nop");
  else if (rule.action !== RuleAction.toTable) words.push(ACTIONS.get(rule.action) ?? `action ${rule.action}`);
  else words.push(`lookup ${TABLE_NAMES.get(rule.table) ?? rule.table}`);
  if (rule.suppressPrefixLength >= 0) words.push(`suppress_prefixlength ${rule.suppressPrefixLength}`);
  if (rule.suppressInterfaceGroup >= 0) words.push(`suppress_ifgroup ${rule.suppressInterfaceGroup}`);
  return words.join(" ");
}

function range([first, last]: readonly [number, number]): string {
  return first === last ? `${first}` : `${first}-${last}`;
}

export function ruleView(rule: Rule, ours: boolean): KernelRule {
  return {
    family: rule.family,
    priority: rule.priority,
    from: block(rule.source, rule.sourceLength),
    to: block(rule.destination, rule.destinationLength),
    table: rule.table,
    protocol: rule.protocol,
    ours,
    text: ruleText(rule),
  };
}

/** The hops of a route, its own or those of its nexthop object: with nexthop_compat_mode=0 a dump has the id only. */
function hopsOf(route: Route, nextHops: ReadonlyMap<number, NextHop>): Omit<RouteHop, "flags">[] {
  if (route.nextHopId === 0 || route.hops.length > 0) return [...route.hops];
  const object = nextHops.get(route.nextHopId);
  return (object?.group ?? [{ id: route.nextHopId, weight: 1 }]).flatMap(({ id, weight }) => {
    const single = nextHops.get(id);
    return single ? [{ ifindex: single.ifindex, gateway: single.gateway, weight }] : [];
  });
}

export function routeView(
  route: Route,
  nextHops: ReadonlyMap<number, NextHop>,
  nameOf: (ifindex: number) => string,
): KernelRoute {
  const type =
    route.type === RouteType.unicast
      ? "unicast"
      : route.type === RouteType.blackhole
        ? "blackhole"
        : route.type === RouteType.unreachable
          ? "unreachable"
          : "other";
  return {
    prefix: `${formatAddress(route.destination)}/${route.length}`,
    table: route.table,
    type,
    nextHops:
      type === "unicast"
        ? hopsOf(route, nextHops).map((hop) => ({
            gateway: hop.gateway ? formatAddress(hop.gateway) : null,
            interface: hop.ifindex ? nameOf(hop.ifindex) : null,
            weight: hop.weight,
          }))
        : [],
  };
}

/** The hops that a nexthop object of the kernel stands for; none when it is gone. */
export function membersOf(socket: NetlinkSocket, id: number): Omit<RouteHop, "flags">[] {
  const read = (object: number): NextHop | null => {
    try {
      return socket.get((out) => encodeGetNextHop(out, object), decodeNextHop);
    } catch (error) {
      if (error instanceof NetlinkError && error.code === "ENOENT") return null;
      throw error;
    }
  };
  return (read(id)?.group ?? [{ id, weight: 1 }]).flatMap(({ id: member, weight }) => {
    const single = read(member);
    return single ? [{ ifindex: single.ifindex, gateway: single.gateway, weight }] : [];
  });
}
