// Random policy rules and routes for a namespace with links of every condition, and random flows to ask about. Everything is
// plain data, so that a set that shows a disagreement can be made smaller piece by piece and printed as `ip` commands.
import { parseAddress } from "../../../net/address.ts";

export type Family = 4 | 6;

export interface RuleSet {
  readonly family: Family;
  readonly rules: readonly RandomRule[];
  readonly routes: readonly RandomRoute[];
  readonly flows: readonly RandomFlow[];
}

export interface RandomRule {
  readonly priority: number;
  readonly action: "table" | "goto" | "nop" | "blackhole" | "unreachable" | "prohibit";
  readonly table: number;
  readonly goto: number;
  readonly from: string | null;
  readonly to: string | null;
  readonly iif: string | null;
  readonly oif: string | null;
  readonly mark: readonly [number, number] | null;
  readonly tos: number;
  readonly uids: readonly [number, number] | null;
  readonly ipProtocol: number;
  readonly sourcePorts: readonly [number, number] | null;
  readonly destinationPorts: readonly [number, number] | null;
  readonly suppressPrefixLength: number | null;
  readonly suppressGroup: number | null;
  readonly invert: boolean;
}

export interface RandomHop {
  readonly device: string;
  readonly gateway: string | null;
  readonly weight: number;
}

export interface RandomRoute {
  readonly table: number;
  readonly prefix: string;
  /** IPv6 only. */
  readonly from: string | null;
  readonly type: "unicast" | "local" | "broadcast" | "blackhole" | "unreachable" | "prohibit" | "throw";
  readonly metric: number;
  readonly tos: number;
  readonly hops: readonly RandomHop[];
  /** 0: hops of its own. */
  readonly nextHopId: number;
  readonly source: string | null;
  readonly preference: number;
  readonly append: boolean;
}

export interface RandomFlow {
  readonly source: string | null;
  readonly destination: string;
  readonly iif: string | null;
  readonly oif: string | null;
  readonly mark: number;
  readonly tos: number;
  readonly uid: number;
  readonly ipProtocol: number;
  readonly sourcePort: number;
  readonly destinationPort: number;
}

/** Links of the namespace: three that carry traffic, two without carrier (the second one's routes are ignored), one down. */
export const DEVICES = ["up0", "up1", "up2", "dark", "ignored", "idle"] as const;
const NEXT_HOPS = { 4: [1, 2, 3, 4, 5, 6, 20, 21, 22, 23, 24], 6: [6, 7, 8, 9, 10, 30, 31, 32, 33] } as const;

export type Random = () => number;

/** mulberry32: numbers in [0, 1). */
export function random(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

const PREFIXES = {
  4: [
    "0.0.0.0/0",
    "10.0.0.0/8",
    "10.0.0.0/16",
    "10.0.0.0/24",
    "10.0.0.0/32",
    "10.0.0.1/32",
    "10.1.0.0/16",
    "10.1.2.0/24",
    "10.1.2.3/32",
    "192.0.1.0/24",
    "198.51.100.0/24",
  ],
  6: [
    "::/0",
    "2001:db8::/32",
    "2001:db8:a::/48",
    "2001:db8:a::/64",
    "2001:db8:a::/128",
    "2001:db8:a::1/128",
    "2001:db8:b::/48",
    "2001:db8:b:2::/64",
    "2001:db8:b:2::3/128",
    "2001:db8:0:1::/64",
    "fe80::/64",
    "3fff::/20",
  ],
};
const SOURCES = {
  4: ["10.0.0.0/8", "10.1.2.0/24", "192.0.0.0/24", "192.0.1.1/32", "0.0.0.0/1"],
  6: ["2001:db8:a::/48", "2001:db8:b:2::/64", "2001:db8::/64", "2001:db8:0:1::1/128", "::/1"],
};
const DESTINATIONS = {
  4: [
    "10.0.0.0",
    "10.0.0.1",
    "10.0.0.9",
    "10.0.7.7",
    "10.1.2.3",
    "10.1.2.4",
    "10.1.9.9",
    "10.9.9.9",
    "192.0.0.2",
    "192.0.1.1",
    "192.0.1.7",
    "192.0.1.255",
    "192.0.3.7",
    "192.0.4.7",
    "198.51.100.7",
    "203.0.113.9",
    "127.0.0.5",
  ],
  6: [
    "2001:db8:a::",
    "2001:db8:a::1",
    "2001:db8:a::9",
    "2001:db8:a:7::7",
    "2001:db8:b:2::3",
    "2001:db8:b:2::4",
    "2001:db8:b:9::9",
    "2001:db8:c::9",
    "2001:db8:0:1::1",
    "2001:db8:0:1::7",
    "2001:db8:0:3::7",
    "2001:db8:0:4::7",
    "3fff:0:1::7",
    "fe80::7",
    "2607::9",
  ],
};
const ODD_DESTINATIONS = {
  4: ["255.255.255.255", "224.0.0.5", "239.1.1.1", "0.0.0.0", "0.0.0.9"],
  6: ["ff02::5", "ff0e::5"],
};
const HOST = {
  4: ["192.0.0.1", "192.0.1.1", "192.0.2.1", "127.0.0.1"],
  6: ["2001:db8::1", "2001:db8:0:1::1", "2001:db8:0:2::1"],
};
const REMOTE = {
  4: [
    "10.0.0.77",
    "10.1.2.3",
    "192.0.0.9",
    "192.0.1.9",
    "198.51.100.9",
    "192.0.1.1",
    "0.0.0.0",
    "192.0.1.255",
    "127.0.0.1",
  ],
  6: ["2001:db8:a::77", "2001:db8:b:2::3", "2001:db8::9", "2001:db8:0:1::9", "3fff::9"],
};
const TABLES = [254, 254, 100, 101, 102, 5000];

export function randomSet(seed: number, family: Family): RuleSet {
  const next = random(seed);
  const chance = (p: number) => next() < p;
  const pick = <T>(values: readonly T[]): T => values[Math.floor(next() * values.length)];
  const some = <T>(p: number, make: () => T): T | null => (chance(p) ? make() : null);
  const many = <T>(most: number, make: () => T): T[] => Array.from({ length: 1 + Math.floor(next() * most) }, make);

  const rule = (): RandomRule => {
    const priority = 10 * (1 + Math.floor(next() * 8));
    const kind = next();
    const action =
      kind < 0.78
        ? "table"
        : kind < 0.86
          ? "goto"
          : kind < 0.9
            ? "nop"
            : kind < 0.93
              ? "blackhole"
              : kind < 0.97
                ? "unreachable"
                : "prohibit";
    const plain = chance(0.4);
    const condition = <T>(p: number, make: () => T): T | null => (plain ? null : some(p, make));
    return {
      priority,
      action,
      table: pick([...TABLES, 254, 255, 999]),
      goto: priority + 10 * (1 + Math.floor(next() * 4)),
      from: condition(0.4, () => pick(SOURCES[family])),
      to: condition(0.3, () => pick(PREFIXES[family].slice(1))),
      iif: condition(0.2, () => pick(["lo", "up0", "up1", "ghost"])),
      oif: condition(0.1, () => pick(["up0", "up1", "dark"])),
      mark: condition(0.25, () => [Math.floor(next() * 4), pick([0xffffffff, 1, 2])] as const),
      tos: condition(0.1, () => pick([0x10, 0x08])) ?? 0,
      uids: condition(0.1, () => pick([[0, 0] as const, [1000, 2000] as const])),
      ipProtocol: condition(0.1, () => pick([6, 17])) ?? 0,
      sourcePorts: condition(0.07, () => pick([[1000, 2000] as const, [53, 53] as const])),
      destinationPorts: condition(0.07, () => pick([[1000, 2000] as const, [53, 53] as const])),
      suppressPrefixLength:
        action === "table" ? some(0.25, () => pick(family === 4 ? [0, 8, 16, 24] : [0, 32, 48, 64])) : null,
      suppressGroup: action === "table" ? some(0.12, () => pick([0, 7])) : null,
      invert: chance(0.12),
    };
  };

  const hop = (): RandomHop => {
    const index = Math.floor(next() * 5);
    const bare = chance(0.25);
    const gateway =
      family === 4
        ? `192.0.${index}.${2 + Math.floor(next() * 2)}`
        : `2001:db8:0:${index}::${2 + Math.floor(next() * 2)}`;
    return { device: DEVICES[index], gateway: bare ? null : gateway, weight: pick([1, 1, 3, 10]) };
  };

  const route = (): RandomRoute => {
    const kind = next();
    const type =
      kind < 0.72
        ? "unicast"
        : kind < 0.78
          ? "throw"
          : kind < 0.83
            ? "blackhole"
            : kind < 0.88
              ? "unreachable"
              : kind < 0.92
                ? "prohibit"
                : kind < 0.97 || family === 6
                  ? "local"
                  : "broadcast";
    const object = type === "unicast" && chance(0.35) ? pick<number>(NEXT_HOPS[family]) : 0;
    const from = family === 6 && chance(0.15) && object === 0 ? pick(SOURCES[6]) : null;
    const hops =
      object !== 0
        ? []
        : type === "unicast"
          ? chance(0.3)
            ? many(2, hop).concat(hop())
            : [hop()]
          : type === "local" || type === "broadcast"
            ? [{ device: pick(["lo", "up1"]), gateway: null, weight: 1 }]
            : [];
    return {
      table: pick(TABLES),
      // A gateway that a local route of the same table has for the host's own is none, which a dump does not say.
      prefix: pick(
        type === "local" || type === "broadcast"
          ? PREFIXES[family].filter((each) => each !== "192.0.1.0/24")
          : PREFIXES[family],
      ),
      from,
      type,
      // A dump of IPv6 routes leaves out what lies between two that were joined to one ECMP route: keep others apart.
      metric: pick(
        family === 4
          ? [0, 0, 10, 20]
          : hops.every(({ gateway }) => gateway) && hops.length > 0
            ? [10, 10, 20, 30]
            : [5, 15, 15, 25],
      ),
      tos: family === 4 && chance(0.12) ? pick([0x10, 0x08]) : 0,
      hops,
      nextHopId: object,
      source: type === "unicast" ? some(0.15, () => pick(HOST[family])) : null,
      preference: family === 6 && chance(0.1) ? pick([1, 3]) : 0,
      append: chance(0.5),
    };
  };

  const flow = (): RandomFlow => {
    // What becomes of arriving multicast is decided by group memberships.
    const iif = some(0.3, () => pick(["up0", "up1", "up2", "dark", "ignored"]));
    return {
      source: iif
        ? pick(REMOTE[family])
        : (some(0.6, () => pick(HOST[family])) ?? some(0.1, () => pick(REMOTE[family]))),
      destination: !iif && chance(0.05) ? pick(ODD_DESTINATIONS[family]) : pick(DESTINATIONS[family]),
      iif,
      oif: iif ? null : some(0.15, () => pick(["up0", "up1", "up2", "dark", "ignored", "idle", "lo"])),
      mark: chance(0.5) ? 0 : Math.floor(next() * 4),
      tos: chance(0.8) ? 0 : pick([0x10, 0x08, 0x1c, 0xfc]),
      // A packet that arrives has no user.
      uid: iif || chance(0.7) ? 0 : pick([1000, 3000]),
      ipProtocol: chance(0.6) ? 0 : pick([6, 17]),
      sourcePort: chance(0.7) ? 0 : pick([53, 1500, 4000]),
      destinationPort: chance(0.7) ? 0 : pick([53, 1500, 4000]),
    };
  };
  return { family, rules: many(7, rule), routes: many(14, route), flows: many(8, flow) };
}

/** As `ip` commands, for people. */
export function describeSet({ family, rules, routes, flows }: RuleSet): string {
  const words = (values: (string | number | null | false)[]) =>
    values.filter((value) => value !== null && value !== false).join(" ");
  const lines = [
    ...routes.map((route) =>
      words([
        `ip -${family} route ${route.append ? "append" : "prepend"}`,
        route.type !== "unicast" && route.type,
        route.prefix,
        route.from && `from ${route.from}`,
        route.tos !== 0 && `tos 0x${route.tos.toString(16)}`,
        `table ${route.table} metric ${route.metric}`,
        route.nextHopId !== 0 && `nhid ${route.nextHopId}`,
        ...route.hops.map((hop) =>
          words([
            route.hops.length > 1 && "nexthop",
            hop.gateway && `via ${hop.gateway}`,
            `dev ${hop.device}`,
            route.hops.length > 1 && `weight ${hop.weight}`,
          ]),
        ),
        route.source && `src ${route.source}`,
        route.preference !== 0 && `pref ${route.preference === 1 ? "high" : "low"}`,
      ]),
    ),
    ...rules.map((rule) =>
      words([
        `ip -${family} rule add pref ${rule.priority}`,
        rule.invert && "not",
        `from ${rule.from ?? "all"}`,
        rule.to && `to ${rule.to}`,
        rule.iif && `iif ${rule.iif}`,
        rule.oif && `oif ${rule.oif}`,
        rule.mark && `fwmark ${rule.mark[0]}/0x${rule.mark[1].toString(16)}`,
        rule.tos !== 0 && `tos 0x${rule.tos.toString(16)}`,
        rule.uids && `uidrange ${rule.uids.join("-")}`,
        rule.ipProtocol !== 0 && `ipproto ${rule.ipProtocol}`,
        rule.sourcePorts && `sport ${rule.sourcePorts.join("-")}`,
        rule.destinationPorts && `dport ${rule.destinationPorts.join("-")}`,
        rule.action === "table" ? `lookup ${rule.table}` : rule.action === "goto" ? `goto ${rule.goto}` : rule.action,
        rule.suppressPrefixLength !== null && `suppress_prefixlength ${rule.suppressPrefixLength}`,
        rule.suppressGroup !== null && `suppress_ifgroup ${rule.suppressGroup}`,
      ]),
    ),
    ...flows.map((flow) => `ip -${family} ${flowWords(flow)}`),
  ];
  return lines.join("\n");
}

/** `route get ...`, as `ip` takes it. */
export function flowWords(flow: RandomFlow): string {
  return [
    `route get ${flow.destination}`,
    flow.source && `from ${flow.source}`,
    flow.iif && `iif ${flow.iif}`,
    flow.oif && `oif ${flow.oif}`,
    flow.mark !== 0 && `mark ${flow.mark}`,
    flow.tos !== 0 && `tos 0x${flow.tos.toString(16)}`,
    `uid ${flow.uid}`,
    flow.ipProtocol !== 0 && `ipproto ${flow.ipProtocol}`,
    flow.sourcePort !== 0 && `sport ${flow.sourcePort}`,
    flow.destinationPort !== 0 && `dport ${flow.destinationPort}`,
  ]
    .filter(Boolean)
    .join(" ");
}

export function addressOf(text: string): Uint8Array {
  return parseAddress(text)!;
}

export function prefixOf(text: string): { address: Uint8Array; length: number } {
  const [address, length] = text.split("/");
  return { address: addressOf(address), length: Number(length) };
}
