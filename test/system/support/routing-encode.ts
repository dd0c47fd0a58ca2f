// Rules, routes and nexthop objects of every kind as netlink messages: more than the daemon itself ever writes.
import { LITTLE } from "../../../routing/netlink/attribute.ts";
import {
  AF_INET,
  AF_INET6,
  Flag,
  MessageType,
  NextHopAttribute,
  RouteAttribute,
  RouteType,
  RuleAction,
  RuleAttribute,
} from "../../../routing/netlink/constants.ts";
import type { MessageWriter } from "../../../routing/netlink/message.ts";
import { addressOf, type Family, prefixOf, type RandomRoute, type RandomRule } from "./routing-sets.ts";

const PROTOCOL = 99;
const INVERT = 2;
const ACTIONS = { table: RuleAction.toTable, goto: 2, nop: 3, blackhole: 6, unreachable: 7, prohibit: 8 } as const;

const af = (family: Family) => (family === 4 ? AF_INET : AF_INET6);

function pair([first, last]: readonly [number, number], size: 2 | 4): Buffer {
  const bytes = Buffer.alloc(size * 2);
  for (const [value, at] of [
    [first, 0],
    [last, size],
  ])
    if (LITTLE) bytes.writeUIntLE(value, at, size);
    else bytes.writeUIntBE(value, at, size);
  return bytes;
}

/** Takes away one rule of this priority. */
export function encodeRuleRemoval(out: MessageWriter, family: Family, priority: number): void {
  out.begin(MessageType.delRule, 0);
  out.u8(af(family));
  out.zeros(11);
  out.attributeU32(RuleAttribute.priority, priority);
  out.attributeU8(RuleAttribute.protocol, PROTOCOL);
  out.end();
}

export function encodeRule(out: MessageWriter, family: Family, rule: RandomRule): void {
  const from = rule.from === null ? null : prefixOf(rule.from);
  const to = rule.to === null ? null : prefixOf(rule.to);
  out.begin(MessageType.newRule, Flag.create);
  out.u8(af(family));
  out.u8(to?.length ?? 0);
  out.u8(from?.length ?? 0);
  out.u8(rule.tos);
  out.u8(0);
  out.u8(0);
  out.u8(0);
  out.u8(ACTIONS[rule.action]);
  out.u32(rule.invert ? INVERT : 0);
  if (to) out.attributeBytes(RuleAttribute.destination, to.address);
  if (from) out.attributeBytes(RuleAttribute.source, from.address);
  out.attributeU32(RuleAttribute.priority, rule.priority);
  out.attributeU8(RuleAttribute.protocol, PROTOCOL);
  if (rule.action === "table") out.attributeU32(RuleAttribute.table, rule.table);
  if (rule.action === "goto") out.attributeU32(RuleAttribute.goto, rule.goto);
  if (rule.iif) out.attributeText(RuleAttribute.iif, rule.iif);
  if (rule.oif) out.attributeText(RuleAttribute.oif, rule.oif);
  if (rule.mark) {
    out.attributeU32(RuleAttribute.fwmark, rule.mark[0]);
    out.attributeU32(RuleAttribute.fwmask, rule.mark[1]);
  }
  if (rule.uids) out.attributeBytes(RuleAttribute.uidRange, pair(rule.uids, 4));
  if (rule.ipProtocol) out.attributeU8(RuleAttribute.ipProtocol, rule.ipProtocol);
  if (rule.sourcePorts) out.attributeBytes(RuleAttribute.sourcePorts, pair(rule.sourcePorts, 2));
  if (rule.destinationPorts) out.attributeBytes(RuleAttribute.destinationPorts, pair(rule.destinationPorts, 2));
  if (rule.suppressPrefixLength !== null)
    out.attributeU32(RuleAttribute.suppressPrefixLength, rule.suppressPrefixLength);
  if (rule.suppressGroup !== null) out.attributeU32(RuleAttribute.suppressInterfaceGroup, rule.suppressGroup);
  out.end();
}

/** `ifindex` of a device by its name. `remove` takes away whatever has the route's prefix, metric and type. */
export function encodeRandomRoute(
  out: MessageWriter,
  family: Family,
  route: RandomRoute,
  remove: boolean,
  ifindex: (device: string) => number,
): void {
  const { address, length } = prefixOf(route.prefix);
  const from = route.from === null ? null : prefixOf(route.from);
  const type = RouteType[route.type];
  out.begin(
    remove ? MessageType.delRoute : MessageType.newRoute,
    remove ? 0 : Flag.create | (route.append ? Flag.append : 0),
  );
  out.u8(af(family));
  out.u8(length);
  out.u8(from?.length ?? 0);
  out.u8(route.tos);
  out.u8(0);
  out.u8(PROTOCOL);
  const direct = route.hops.length === 1 && route.hops[0].gateway === null;
  const bare = type === RouteType.unicast && direct;
  out.u8(remove ? 255 : type === RouteType.local ? 254 : bare || type === RouteType.broadcast ? 253 : 0);
  out.u8(type);
  out.u32(0);
  if (length > 0) out.attributeBytes(RouteAttribute.destination, address);
  if (from) out.attributeBytes(RouteAttribute.source, from.address);
  out.attributeU32(RouteAttribute.table, route.table);
  if (route.metric) out.attributeU32(RouteAttribute.priority, route.metric);
  if (!remove) {
    if (route.source) out.attributeBytes(RouteAttribute.preferredSource, addressOf(route.source));
    if (route.preference) out.attributeU8(RouteAttribute.preference, route.preference);
    if (route.nextHopId) out.attributeU32(RouteAttribute.nextHopId, route.nextHopId);
    if (route.hops.length === 1) {
      const [hop] = route.hops;
      out.attributeU32(RouteAttribute.oif, ifindex(hop.device));
      if (hop.gateway) out.attributeBytes(RouteAttribute.gateway, addressOf(hop.gateway));
    } else if (route.hops.length > 1) {
      const nest = out.beginNested(RouteAttribute.multipath);
      for (const hop of route.hops) {
        // struct rtnexthop { len u16, flags u8, hops u8, ifindex s32 } and attributes
        const gateway = hop.gateway === null ? null : addressOf(hop.gateway);
        out.u16(8 + (gateway ? 4 + gateway.length : 0));
        out.u8(0);
        out.u8(hop.weight - 1);
        out.u32(ifindex(hop.device));
        if (gateway) out.attributeBytes(RouteAttribute.gateway, gateway);
      }
      out.endNested(nest);
    }
  }
  out.end();
}

/** A next hop that may lack a gateway, or drop everything. */
export function encodeRandomNextHop(
  out: MessageWriter,
  id: number,
  family: Family,
  ifindex: number,
  gateway: string | null,
): void {
  out.begin(MessageType.newNextHop, Flag.create | Flag.replace);
  out.u8(af(family));
  out.u8(0);
  out.u8(PROTOCOL);
  out.u8(0);
  out.u32(0);
  out.attributeU32(NextHopAttribute.id, id);
  if (ifindex === 0) out.attributeBytes(NextHopAttribute.blackhole, new Uint8Array(0));
  else {
    out.attributeU32(NextHopAttribute.oif, ifindex);
    if (gateway) out.attributeBytes(NextHopAttribute.gateway, addressOf(gateway));
  }
  out.end();
}
