// A policy rule as a dump has it: from all lookup main, unless said otherwise.
import type { Rule } from "../../routing/netlink/rule.ts";

export function plainRule(changes: Partial<Rule> = {}): Rule {
  return {
    family: 4,
    priority: 0,
    source: null,
    sourceLength: 0,
    destination: null,
    destinationLength: 0,
    table: 254,
    action: 1,
    invert: false,
    protocol: 3,
    iif: null,
    oif: null,
    fwmark: 0,
    fwmask: 0,
    goto: 0,
    suppressPrefixLength: -1,
    suppressInterfaceGroup: -1,
    tos: 0,
    dscp: null,
    l3mdev: false,
    uidRange: null,
    ipProtocol: 0,
    sourcePorts: null,
    destinationPorts: null,
    unresolved: false,
    detached: false,
    unknown: false,
    more: false,
    ...changes,
  };
}
