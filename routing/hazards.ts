// What in the host's own settings stands in the way of our rules and routes, while it lasts. Pure: what was read goes in, a
// list with a cure for each comes out. Nothing here is changed by us; where it is another program's, it stays.
//
// In: policy rules, foreign routes in our tables, settings below /proc/sys, systemd-networkd's configuration. Out: hazards
// of two severities: a `problem` loses packets, or takes our state away, now or at the next occasion; a `note` may be
// meant that way.
import { formatAddress } from "../net/address.ts";
import { formatPrefix, overlaps, type Prefix } from "../net/prefix.ts";
import type { DeadDefault } from "./dead-defaults.ts";
import { ruleText } from "./fib/views.ts";
import { RT_TABLE_LOCAL, RuleAction } from "./netlink/constants.ts";
import type { Rule } from "./netlink/rule.ts";
import { type NetworkdSettings, networkdDropIn } from "./networkd.ts";
import { sysctlName } from "./sysctl-name.ts";

export type HazardKind =
  /** A rule of another program decides before ours about traffic of our blocks. */
  | "rulePrecedes"
  /** A rule of another program leads into a table of ours. */
  | "ruleIntoTable"
  /** Another program has routes in a table of ours. */
  | "foreignRoutes"
  /** A default route in main that ends the lookup, before learned routes are asked. */
  | "defaultEndsLookup"
  | "rpFilterStrict"
  | "forwardingOff"
  | "ipv6Disabled"
  | "ipv6RouteLimit"
  /** IPv6 addresses of an uplink go when it goes down, and do not come back by themselves. */
  | "addressesLostOnDown"
  /** The kernel takes default routes from router advertisements on an uplink. */
  | "acceptRa"
  /** The kernel has had no room for a neighbour, perhaps a gateway of ours. */
  | "neighbourTableFull"
  /** systemd-networkd removes what it did not make. */
  | "networkd";

export interface Hazard {
  readonly kind: HazardKind;
  readonly severity: "problem" | "note";
  /** The rule, table, interface or setting; `kind` and `subject` together tell one hazard from another. */
  readonly subject: string;
  /** What is so and what follows from it. */
  readonly text: string;
  /** What to do. */
  readonly cure: string;
}

/** Routes of others in one table of ours. */
export interface ForeignRouteCount {
  readonly table: number;
  readonly count: number;
  /** There are more than that. */
  readonly more: boolean;
  /** One of them, for example `10.9.0.0/16 of protocol 99`. */
  readonly example: string;
}

/** A neighbour table that was too small a short time ago. */
export interface NeighbourOverflow {
  readonly family: 4 | 6;
  /** gc_thresh3. */
  readonly limit: number;
  /** Entries that could not be made, since it began. */
  readonly count: number;
  /** Seconds since the epoch: when it was found. */
  readonly since: number;
  /** Gateways of ours that it has no place for: `10.0.0.1 on eth1`. */
  readonly gateways: readonly string[];
}

export interface HazardInputs {
  /** Our protocol number. */
  readonly protocol: number;
  readonly localTable: number;
  /** Ids of tables with learned routes. */
  readonly tables: readonly number[];
  readonly blocks: readonly Prefix[];
  /** The priority of the last of our rules that pods depend on. */
  readonly lastPriority: number;
  /** All rules, in the kernel's order. */
  readonly rules: readonly Rule[];
  readonly foreignRoutes: readonly ForeignRouteCount[];
  /** Default routes in main that lead nowhere; none where they do no harm. */
  readonly deadDefaults: readonly DeadDefault[];
  readonly overflows: readonly NeighbourOverflow[];
  /** Names of interfaces that next hops are on. */
  readonly uplinks: readonly string[];
  /** IPv6 routes that are wanted. */
  readonly ipv6Routes: number;
  /** A setting below /proc/sys, such as net/ipv4/ip_forward, without the line's end; null: there is none. */
  readonly sysctl: (path: string) => string | null;
  /** Null: systemd-networkd does not run. */
  readonly networkd: NetworkdSettings | null;
}

/** Problems first, and always in the same order. */
export function findHazards(inputs: HazardInputs): Hazard[] {
  const found = [
    ...ruleHazards(inputs),
    ...routeHazards(inputs),
    ...deadDefaultHazards(inputs),
    ...forwardingHazards(inputs),
    ...reversePathHazards(inputs),
    ...ipv6Hazards(inputs),
    ...neighbourHazards(inputs),
    ...networkdHazards(inputs),
  ];
  return [...found.filter((one) => one.severity === "problem"), ...found.filter((one) => one.severity === "note")];
}

/** One line for people: what is so, and what to do. */
export function hazardText({ text, cure }: Hazard): string {
  return `${text}; ${cure}`;
}

function ruleHazards(inputs: HazardInputs): Hazard[] {
  const { protocol, localTable, tables, lastPriority } = inputs;
  const hazards: Hazard[] = [];
  const ours = new Set([localTable, ...tables]);
  for (const rule of inputs.rules) {
    if (rule.protocol === protocol || rule.priority === 0) continue;
    const subject = `IPv${rule.family} rule ${ruleText(rule)}`;
    const name = `${subject} of protocol ${rule.protocol}`;
    const remove = `remove it if it is not meant (ip -${rule.family} rule del ${deletion(rule)})`;
    if (rule.action === RuleAction.toTable && ours.has(rule.table)) {
      hazards.push({
        kind: "ruleIntoTable",
        severity: "problem",
        subject,
        text: `${name} leads into table ${rule.table}, which underlayd keeps`,
        cure: `${remove}; for the host's own traffic set host: true at the table instead`,
      });
      continue;
    }
    if (rule.priority > lastPriority) continue;
    const taken = takenOver(rule, inputs.blocks);
    if (taken === null) continue;
    hazards.push({
      kind: "rulePrecedes",
      // Only what is marked, or what more specific routes apply to: usually meant so.
      severity: !rule.invert && (rule.fwmark !== 0 || rule.suppressPrefixLength >= 0 || rule.more) ? "note" : "problem",
      subject,
      text: `${name} comes before ours and decides first about ${taken}`,
      cure: `give it a priority above ${lastPriority}, or ${remove}`,
    });
  }
  return hazards;
}

/** The traffic of our blocks that the rule decides about; null: none of it. */
function takenOver(rule: Rule, blocks: readonly Prefix[]): string | null {
  // Another look at the host's own addresses decides nothing that the first did not; a jump only skips.
  if (rule.action === RuleAction.toTable && rule.table === RT_TABLE_LOCAL) return null;
  if (rule.iif === "lo") return null; // packets of the host itself
  const family = blocks.filter((block) => block.family === rule.family);
  if (rule.invert) return family.length > 0 ? "all traffic but what it names" : null;
  const source = rule.source && selected(rule.source, rule.sourceLength);
  const destination = rule.destination && selected(rule.destination, rule.destinationLength);
  const matching = family.filter(
    (block) => (source ? overlaps(source, block) : false) || (destination ? overlaps(destination, block) : false),
  );
  if (matching.length > 0) return `traffic of ${matching.map(formatPrefix).slice(0, 3).join(", ")}`;
  if (source && destination) return null;
  if (family.length === 0) return null;
  if (source) return `traffic from ${formatPrefix(source)} to pods`;
  if (destination) return `traffic of pods to ${formatPrefix(destination)}`;
  return "all traffic of pods";
}

function selected(bytes: Uint8Array, length: number): Prefix {
  return { family: bytes.length === 4 ? 4 : 6, bytes, length };
}

/** Enough of the selectors for `ip rule del` to find it. */
function deletion(rule: Rule): string {
  const from = rule.source ? ` from ${formatAddress(rule.source)}/${rule.sourceLength}` : "";
  return `pref ${rule.priority}${from}${rule.action === RuleAction.toTable ? ` lookup ${rule.table}` : ""}`;
}

function routeHazards({ foreignRoutes, protocol }: HazardInputs): Hazard[] {
  return foreignRoutes
    .filter(({ count }) => count > 0)
    .map(({ table, count, more, example }) => ({
      kind: "foreignRoutes",
      severity: "problem",
      subject: `table ${table}`,
      text: `table ${table}, which underlayd keeps, has ${more ? "more than " : ""}${count} routes of other programs (${example})`,
      cure: `find out who writes them; they stay until removed by hand (ip route show table ${table}; ours are proto ${protocol})`,
    }));
}

function deadDefaultHazards({ deadDefaults }: HazardInputs): Hazard[] {
  return deadDefaults.map(({ family, text }) => ({
    kind: "defaultEndsLookup",
    severity: "problem",
    subject: `IPv${family} ${text}`,
    text:
      `table main has an IPv${family} route "${text}": the kernel ends there, because the host's own routes come first, and ` +
      "uses no learned route where main has no longer one",
    cure: `remove it (ip -${family} route del ${text}), or set hostRoutes: last at the tables`,
  }));
}

function forwardingHazards({ uplinks, blocks, sysctl }: HazardInputs): Hazard[] {
  const hazards: Hazard[] = [];
  const off = (subject: string, path: string, consequence: string) => {
    if (sysctl(path) !== "0") return;
    const key = sysctlName(path);
    hazards.push({
      kind: "forwardingOff",
      severity: "problem",
      subject,
      text: `${key} is 0: ${consequence}`,
      cure: `set it: sysctl -w ${key}=1`,
    });
  };
  const has = (family: number) => blocks.some((block) => block.family === family);
  if (has(4)) {
    off("IPv4", "net/ipv4/ip_forward", "pods' IPv4 packets are not forwarded");
    for (const name of uplinks)
      off(name, `net/ipv4/conf/${name}/forwarding`, `IPv4 packets that arrive on ${name} are not forwarded to pods`);
    off("new interfaces", "net/ipv4/conf/default/forwarding", "IPv4 packets of new pods are not forwarded");
  }
  if (has(6)) off("IPv6", "net/ipv6/conf/all/forwarding", "pods' IPv6 packets are not forwarded");
  return hazards;
}

/** With one uplink there is no other way for packets to come. */
function reversePathHazards({ uplinks, sysctl }: HazardInputs): Hazard[] {
  if (uplinks.length < 2) return [];
  const setting = (name: string) => sysctl(`net/ipv4/conf/${name}/rp_filter`);
  const all = setting("all");
  return uplinks.flatMap((name): Hazard[] => {
    // The kernel applies the larger of both values.
    if (Math.max(Number(all ?? 0), Number(setting(name) ?? 0)) !== 1) return [];
    const keys = [...(all === "1" ? ["all"] : []), ...(setting(name) === "1" ? [name] : [])];
    return [
      {
        kind: "rpFilterStrict",
        severity: "problem",
        subject: name,
        text:
          `net.ipv4.conf.${keys.join(" and ")}.rp_filter is 1 (strict): packets that arrive on ${name} are dropped when ` +
          "the way back is another uplink, as it may be with several of them",
        cure: `set 2 (loose), which wins over 1: sysctl -w ${sysctlName(`net/ipv4/conf/${name}/rp_filter`)}=2`,
      },
    ];
  });
}

function ipv6Hazards({ uplinks, blocks, ipv6Routes, sysctl }: HazardInputs): Hazard[] {
  const hazards: Hazard[] = [];
  const has6 = blocks.some((block) => block.family === 6);
  for (const name of has6 ? ["all", ...uplinks] : []) {
    if (sysctl(`net/ipv6/conf/${name}/disable_ipv6`) !== "1") continue;
    const key = sysctlName(`net/ipv6/conf/${name}/disable_ipv6`);
    hazards.push({
      kind: "ipv6Disabled",
      severity: "problem",
      subject: name,
      text: `${key} is 1: pods have IPv6 addresses that ${name === "all" ? "no interface" : name} carries packets for`,
      cure: `set it to 0 (sysctl -w ${key}=0), or give the pools no IPv6 blocks`,
    });
  }
  // Where it counts routes at all (before Linux 6.3) 4096 is usual.
  const limit = Number(sysctl("net/ipv6/route/max_size") ?? Number.NaN);
  if (limit > 0 && ipv6Routes > limit * 0.75)
    hazards.push({
      kind: "ipv6RouteLimit",
      severity: "problem",
      subject: "net.ipv6.route.max_size",
      text: `net.ipv6.route.max_size is ${limit}: there are ${ipv6Routes} IPv6 routes, and the kernel takes no more than that`,
      cure: `raise it: sysctl -w net.ipv6.route.max_size=${nextPowerOfTwo(ipv6Routes * 4)}`,
    });
  for (const name of uplinks) {
    const conf = (key: string) => sysctl(`net/ipv6/conf/${name}/${key}`);
    if (has6 && conf("keep_addr_on_down") === "0" && sysctl("net/ipv6/conf/all/keep_addr_on_down") === "0")
      hazards.push({
        kind: "addressesLostOnDown",
        severity: "note",
        subject: name,
        text: `${name} loses its IPv6 addresses, other than link-local ones, when it is set down, and has to be given them again`,
        cure: `keep them: sysctl -w ${sysctlName(`net/ipv6/conf/${name}/keep_addr_on_down`)}=1`,
      });
    const accepts = conf("accept_ra");
    // 1: as long as the interface does not forward; 2: always.
    if (accepts === "2" || (accepts === "1" && conf("forwarding") === "0"))
      hazards.push({
        kind: "acceptRa",
        severity: "note",
        subject: name,
        text: `the kernel takes default routes and addresses from router advertisements on ${name}`,
        cure: `unless this host needs that: sysctl -w ${sysctlName(`net/ipv6/conf/${name}/accept_ra`)}=0`,
      });
  }
  return hazards;
}

/** Many links alone make the IPv6 table overflow, with multicast entries that nobody misses: that is a note. */
function neighbourHazards({ overflows }: HazardInputs): Hazard[] {
  return overflows.map(({ family, limit, count, since, gateways }) => {
    const setting = `net.ipv${family}.neigh.default.gc_thresh`;
    const whom = gateways.length > 0 ? `, ${gateways.slice(0, 3).join(" and ")} among them` : "";
    return {
      kind: "neighbourTableFull",
      severity: family === 4 || gateways.length > 0 ? "problem" : "note",
      subject: `IPv${family}`,
      text:
        `the kernel's IPv${family} neighbour table is full: ${setting}3 is ${limit}, and ${count} times since ` +
        `${new Date(since * 1000).toISOString()} there was no room for a neighbour${whom}: packets to those are dropped`,
      cure:
        `raise the limit on the host (sysctl -w ${setting}3=${limit * 4} ${setting}2=${limit * 2}), and see who fills it: ` +
        `ip -${family} neigh, in each namespace`,
    };
  });
}

function networkdHazards({ networkd }: HazardInputs): Hazard[] {
  if (!networkd) return [];
  const removes = [
    ...(networkd.manageForeignRoutes ? ["ManageForeignRoutes"] : []),
    ...(networkd.manageForeignRoutingPolicyRules ? ["ManageForeignRoutingPolicyRules"] : []),
    ...(networkd.manageForeignNextHops ? ["ManageForeignNextHops"] : []),
  ];
  if (removes.length === 0) return [];
  return [
    {
      kind: "networkd",
      severity: "problem",
      subject: "systemd-networkd",
      text:
        "systemd-networkd runs and removes routes, rules and nexthops that it did not make " +
        `(${removes.map((key) => `${key}=yes`).join(", ")}), ours among them`,
      cure: `install networkd.conf.d/10-underlay.conf as ${networkdDropIn} and run: systemctl restart systemd-networkd`,
    },
  ];
}

function nextPowerOfTwo(value: number): number {
  return 2 ** Math.ceil(Math.log2(value));
}
