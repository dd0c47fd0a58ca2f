// Other programs and the host's own settings. What stands in the way of our rules and routes is found where they are kept
// (routing/hazards.ts); here each kind gets its place in the list.

import { overlaps, parsePrefix, prefix } from "../../net/prefix.ts";
import type { HazardKind } from "../../routing/hazards.ts";
import { routePrefix } from "../../routing/kernel-state.ts";
import { type Check, check, type Facts } from "../types.ts";
import { tableName } from "./kernel.ts";

type Named = Pick<Check, "id" | "title" | "cure">;

const hazards: Readonly<Record<HazardKind, Named>> = {
  rulePrecedes: {
    id: "foreign-rule-first",
    title: "Another program's policy rule is looked at before ours and decides about traffic of our blocks.",
    cure: "give it a priority behind ours, or remove it",
  },
  ruleIntoTable: {
    id: "foreign-rule-into-table",
    title: "Another program's policy rule leads into a table of ours.",
    cure: "remove it; for the host's own traffic set host: true at the table",
  },
  foreignRoutes: {
    id: "foreign-route",
    title: "Another program has routes in a table of ours. They are used like ours, and are never removed by us.",
    cure: "find out who writes them, and remove them by hand",
  },
  defaultEndsLookup: {
    id: "dead-default-first",
    title: "A default route in table main leads nowhere, and the kernel ends there before it asks learned routes.",
    cure: "remove it, or set hostRoutes: last at the tables",
  },
  rpFilterStrict: {
    id: "rp-filter-strict",
    title: "Strict reverse path filtering on one of several uplinks drops packets whose way back is another uplink.",
    cure: "sysctl -w net.ipv4.conf.INTERFACE.rp_filter=2",
  },
  forwardingOff: {
    id: "forwarding-off",
    title: "The kernel does not forward packets, on the whole node or on an uplink: pods are cut off.",
    cure: "set the forwarding setting to 1, and find out what sets it to 0",
  },
  ipv6Disabled: {
    id: "ipv6-disabled",
    title: "IPv6 is switched off where pods with IPv6 addresses need it.",
    cure: "set disable_ipv6 to 0, or give the pools no IPv6 blocks",
  },
  ipv6RouteLimit: {
    id: "ipv6-route-limit",
    title: "There are nearly as many IPv6 routes as this kernel takes at all.",
    cure: "raise net.ipv6.route.max_size",
  },
  addressesLostOnDown: {
    id: "ipv6-addresses-lost-on-down",
    title: "An uplink loses its IPv6 addresses when it is set down, and does not get them back by itself.",
    cure: "sysctl -w net.ipv6.conf.INTERFACE.keep_addr_on_down=1",
  },
  acceptRa: {
    id: "accept-ra",
    title: "The kernel takes default routes and addresses from router advertisements on an uplink.",
    cure: "unless this host needs that: sysctl -w net.ipv6.conf.INTERFACE.accept_ra=0",
  },
  neighbourTableFull: {
    id: "neighbour-table-full",
    title:
      "The kernel has no room for more neighbours (ARP, neighbour discovery): packets to those that are not in the table are dropped.",
    cure: "sysctl -w net.ipv4.neigh.default.gc_thresh3=4096, for IPv6 net.ipv6..., and find out who fills the table: ip neigh",
  },
  networkd: {
    id: "networkd-removes-foreign",
    title: "systemd-networkd removes rules, routes and nexthops that it did not make when it is restarted.",
    cure: "install the drop-in networkd.conf.d/10-underlay.conf, and restart systemd-networkd",
  },
};

const hazardChecks = (Object.entries(hazards) as [HazardKind, Named][]).map(([kind, named]) =>
  check({
    ...named,
    severity: "fault",
    needs: ["kernel"],
    settles: true,
    run: ({ kernel }) =>
      kernel.hazards
        .filter((hazard) => hazard.kind === kind)
        .map(({ subject, text, cure, severity }) => ({
          subject,
          text,
          cure,
          severity: severity === "problem" ? "fault" : "info",
        })),
  }),
);

export const foreignChecks: readonly Check[] = [
  ...hazardChecks,
  check({
    id: "foreign-next-hop",
    severity: "fault",
    title:
      "Another program's nexthop object has an id out of our range: one id less for us, and whoever deletes by range hits the other.",
    cure: "have the other program use other ids, or move routing.nextHopIds",
    needs: ["kernel", "config"],
    settles: true,
    *run({ kernel, config }) {
      const { base, count } = config.routing.nextHopIds;
      for (const { id, protocol } of kernel.state.nextHops)
        if (id >= base && id < base + count && protocol !== config.routing.protocol)
          yield {
            subject: `nexthop id ${id}`,
            text: `belongs to protocol ${protocol}, and is out of our range from ${base}`,
          };
    },
  }),
  check({
    id: "protocol-shared",
    severity: "fault",
    title:
      "Routes with our protocol number are in tables that are not ours: another program uses the number too, and takes our routes for its own.",
    cure: "give one of both another number: routing.protocol",
    needs: ["kernel", "config"],
    settles: true,
    *run({ kernel, config }) {
      const { first, count } = kernel.state.elsewhere;
      for (const route of first)
        yield {
          subject: `${routePrefix(route)} in table ${tableName(config, route.table)}`,
          text: `has our protocol number ${config.routing.protocol}, in a table that is not ours${count > 1 ? ` (${count} such routes)` : ""}`,
        };
    },
  }),
  check({
    id: "compat-mode",
    severity: "warning",
    title: "net.ipv4.nexthop_compat_mode is on: losing an uplink takes time for every route, instead of one message.",
    cure: "sysctl -w net.ipv4.nexthop_compat_mode=0",
    needs: ["kernel", "config"],
    *run(facts) {
      if (facts.config.routing.install && setting(facts, "net/ipv4/nexthop_compat_mode") === "1")
        yield { subject: "net.ipv4.nexthop_compat_mode", text: "is 1" };
    },
  }),
  check({
    id: "hash-policy",
    severity: "warning",
    title: "All flows between two hosts take the same uplink: the kernel hashes addresses only, without ports.",
    cure: "sysctl -w net.ipv4.fib_multipath_hash_policy=1 net.ipv6.fib_multipath_hash_policy=1",
    needs: ["kernel", "config"],
    *run(facts) {
      for (const family of facts.config.routing.install ? ["ipv4", "ipv6"] : [])
        if (setting(facts, `net/${family}/fib_multipath_hash_policy`) === "0")
          yield { subject: `net.${family}.fib_multipath_hash_policy`, text: "is 0: ports do not count" };
    },
  }),
  check({
    id: "protocol-unnamed",
    severity: "info",
    title: "iproute2 has no name for our protocol number: ip route shows a number.",
    cure: "echo '201 underlay' > /etc/iproute2/rt_protos.d/underlay.conf, with the number of routing.protocol",
    needs: ["system", "config"],
    *run({ system, config }) {
      const { protocol } = config.routing;
      if (system.protocolName === null)
        yield {
          subject: `protocol ${protocol}`,
          text: "has no name in /etc/iproute2/rt_protos",
          cure: `echo '${protocol} underlay' > /etc/iproute2/rt_protos.d/underlay.conf`,
        };
    },
  }),
  check({
    id: "bgp-port-shared",
    severity: "fault",
    title:
      "Another program on this host listens on the BGP port, or talks BGP to a neighbour of ours: two speakers take sessions from each other.",
    cure: "stop the other one, or have it speak to this one: a passive peer on a loopback address",
    needs: ["sockets"],
    settles: true,
    run: ({ sockets }) =>
      sockets.map(({ state, local, remote, owner }) => ({
        subject: owner,
        text: state === "listening" ? `listens on ${local}` : `is ${state} from ${local} to ${remote}`,
      })),
  }),
  check({
    id: "firewall-drops-pods",
    severity: "fault",
    title:
      "A firewall chain at the forward hook drops what no rule takes, and no rule of it names our blocks or pods' interfaces. Docker does that.",
    cure: "accept the blocks in both directions (iptables: -I FORWARD -s BLOCK -j ACCEPT and -d BLOCK), or make the policy accept",
    needs: ["firewall", "config", "kernel"],
    *run({ firewall, config, kernel }) {
      const hostEnds = kernel.state.links.filter(({ name }) => /^ul[0-9a-f]+$/.test(name)).map(({ name }) => name);
      hostEnds.push("ul*");
      for (const { name, family, rules } of firewall.dropping) {
        const concerned = blocksOf(config).filter(
          (block) => family === "inet" || (family === "ip6") === block.includes(":"),
        );
        if (family !== "inet" && family !== "ip" && family !== "ip6") continue;
        if (concerned.length === 0 || rules === null) continue;
        if (concerned.some((block) => names(rules, block)) || hostEnds.some((end) => rules.includes(`"${end}"`)))
          continue;
        yield {
          subject: name,
          text: `drops by default, and has no rule for ${concerned.join(", ")}`,
          // What is in a set was not read.
          ...(rules.includes('"@') && { severity: "warning" }),
        };
      }
    },
  }),
  check({
    id: "firewall-unread",
    severity: "info",
    title:
      "The firewall could not be read whole: the old iptables is in use beside nftables, or a table has too many rules.",
    cure: "look by hand: iptables-legacy -S FORWARD, nft list ruleset",
    needs: ["firewall"],
    *run({ firewall }) {
      if (firewall.legacy)
        yield { subject: "iptables", text: "the old iptables has rules in this namespace, which are not read" };
      for (const { name, rules } of firewall.dropping)
        if (rules === null)
          yield { subject: name, text: "drops by default, and its table has too many rules to be read" };
    },
  }),
];

/** Whether rules, as nft's JSON, have the block, a part of it, or a prefix around it. */
function names(rules: string, block: string): boolean {
  const own = prefix(block);
  const written = [...rules.matchAll(/"addr":\s*"([^"]+)",\s*"len":\s*(\d+)/g)].map(([, address, length]) =>
    parsePrefix(`${address}/${length}`),
  );
  return written.some((other) => typeof other !== "string" && overlaps(own, other));
}

export function blocksOf(config: Facts["config"]): string[] {
  return config.pools.flatMap(({ blocks }) => blocks);
}

function setting({ kernel }: Pick<Facts, "kernel">, path: string): string | null {
  return kernel.settings[path] ?? null;
}
