// Whether a policy rule applies to a flow (fib_rule_match, fib4_rule_match, fib6_rule_match in the kernel), and if it does
// not, why. In: a rule, and the flow as the lookup sees it. Out: null for a match, words otherwise.
//
// Known deviations: a rule for a VRF (l3mdev) matches nothing, as there is none here; conditions on tunnel ids, flow
// labels and masks of ports are taken as not fulfilled, and it is said.
import { formatAddress } from "../../net/address.ts";
import type { Rule } from "../netlink/rule.ts";
import { inPrefix } from "./address-match.ts";
import type { Flow, LinkState } from "./types.ts";

/** Bits of the DS field that the old `tos` condition looks at in IPv4. */
const LEGACY_TOS = 0x1c;
const DSCP = 0xfc;

const hex = (value: number) => `0x${(value >>> 0).toString(16)}`;

/** `flow.iif` is an index here, 1 (`lo`) for a packet made on this host. Null: the rule applies. */
export function mismatch(rule: Rule, flow: Flow, links: ReadonlyMap<number, LinkState>): string | null {
  const why = condition(rule, flow, links);
  if (!rule.invert) return why;
  return why === null ? `it is for packets that are not like this one` : null;
}

function condition(rule: Rule, flow: Flow, links: ReadonlyMap<number, LinkState>): string | null {
  const nameOf = (ifindex: number) => links.get(ifindex)?.name ?? `if${ifindex}`;
  if (rule.iif !== null && rule.iif !== nameOf(flow.iif))
    return flow.iif === 1
      ? `the packet is made here, it does not arrive by ${rule.iif}`
      : `it arrives by ${nameOf(flow.iif)}`;
  if (rule.oif !== null && (flow.oif === 0 || rule.oif !== nameOf(flow.oif)))
    return `its sender does not insist on ${rule.oif}`;
  if (((rule.fwmark ^ flow.mark) & rule.fwmask) !== 0) return `its mark is ${hex(flow.mark)}`;
  if (rule.l3mdev) return "no VRF is involved";
  if (rule.unknown) return "it has conditions that are not looked at here";
  if (rule.uidRange && (flow.uid < rule.uidRange[0] || flow.uid > rule.uidRange[1]))
    return `its user id is ${flow.uid}`;
  const prefixes = rule.family === 4 ? addresses(rule, flow) : addresses6(rule, flow);
  if (prefixes !== null) return prefixes;
  const tos = rule.family === 4 ? flow.tos & LEGACY_TOS : flow.tos & DSCP;
  if (rule.tos !== 0 && rule.tos !== tos) return `its tos is ${hex(flow.tos)}`;
  if (rule.dscp !== null && rule.dscp !== (flow.tos & DSCP)) return `its DS field is ${hex(flow.tos)}`;
  if (rule.ipProtocol !== 0 && rule.ipProtocol !== flow.ipProtocol)
    return `its IP protocol is ${flow.ipProtocol || "not given"}`;
  const outside = (range: readonly [number, number] | null, port: number) =>
    range !== null && (port < range[0] || port > range[1]);
  if (outside(rule.sourcePorts, flow.sourcePort)) return `its source port is ${flow.sourcePort || "not given"}`;
  if (outside(rule.destinationPorts, flow.destinationPort))
    return `its destination port is ${flow.destinationPort || "not given"}`;
  return null;
}

function addresses(rule: Rule, flow: Flow): string | null {
  if (rule.source && !inPrefix(flow.source ?? new Uint8Array(4), rule.source, rule.sourceLength))
    return notFrom(rule, flow);
  return destination(rule, flow);
}

/** As long as its sender has not chosen a source, an IPv6 packet is from nowhere. */
function addresses6(rule: Rule, flow: Flow): string | null {
  const wrong = destination(rule, flow);
  if (wrong !== null) return wrong;
  if (rule.source && rule.sourceLength > 0 && !(flow.source && inPrefix(flow.source, rule.source, rule.sourceLength)))
    return notFrom(rule, flow);
  return null;
}

function destination(rule: Rule, flow: Flow): string | null {
  if (!rule.destination || inPrefix(flow.destination, rule.destination, rule.destinationLength)) return null;
  return `the destination is not in ${formatAddress(rule.destination)}/${rule.destinationLength}`;
}

function notFrom(rule: Rule, flow: Flow): string {
  const prefix = `${formatAddress(rule.source!)}/${rule.sourceLength}`;
  return flow.source ? `the source is not in ${prefix}` : `no source is chosen yet, so it is not in ${prefix}`;
}
