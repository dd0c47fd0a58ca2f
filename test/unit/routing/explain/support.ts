// Snapshots and flows in a few words, for the vectors of the simulation.
import { parseAddress } from "../../../../net/address.ts";
import type { Flow, InterfaceSettings, LinkState, Snapshot } from "../../../../routing/explain/types.ts";
import type { NextHop } from "../../../../routing/netlink/nexthop.ts";
import type { Route, RouteHop } from "../../../../routing/netlink/route.ts";
import type { Rule } from "../../../../routing/netlink/rule.ts";
import { plainRule } from "../../../support/rule.ts";

export const bytes = (text: string) => parseAddress(text)!;

function split(text: string): { address: Uint8Array; length: number } {
  const [address, length] = text.split("/");
  return { address: bytes(address), length: Number(length) };
}

/** lo is 1; up0 (2), up1 (3, group 7) and up2 (4) are up; dark (5) has no carrier. */
const NAMES = ["lo", "up0", "up1", "up2", "dark"];
export const index = (name: string) => NAMES.indexOf(name) + 1;

export const links: ReadonlyMap<number, LinkState> = new Map(
  NAMES.map((name, i) => [
    i + 1,
    { ifindex: i + 1, name, flags: name === "dark" ? 0x1 : 0x10041, group: name === "up1" ? 7 : 0 },
  ]),
);

/** `via 192.0.0.2 dev up0 weight 3`, with `dead` or `linkdown` where it is. */
export function hop(text: string): RouteHop {
  const word = (name: string) => new RegExp(`\\b${name} (\\S+)`).exec(text)?.[1];
  const gateway = word("via");
  return {
    ifindex: index(word("dev") ?? "lo"),
    gateway: gateway ? bytes(gateway) : null,
    weight: Number(word("weight") ?? 1),
    flags: (/\bdead\b/.test(text) ? 1 : 0) | (/\blinkdown\b/.test(text) ? 16 : 0),
  };
}

/** Hops as hop() takes them. */
export function route(prefix: string, hops: readonly string[], more: Partial<Route> & { from?: string } = {}): Route {
  const { address, length } = split(prefix);
  const source = more.from ? split(more.from) : null;
  return {
    family: address.length === 4 ? 4 : 6,
    table: 254,
    destination: address,
    length,
    source: source?.address ?? null,
    sourceLength: source?.length ?? 0,
    tos: 0,
    type: 1,
    scope: 0,
    protocol: 3,
    priority: 0,
    nextHopId: 0,
    hops: hops.map(hop),
    preferredSource: null,
    preference: 0,
    ...more,
  };
}

export function rule(priority: number, more: Partial<Rule> & { from?: string; to?: string } = {}): Rule {
  const from = more.from ? split(more.from) : null;
  const to = more.to ? split(more.to) : null;
  return plainRule({
    priority,
    source: from?.address ?? null,
    sourceLength: from?.length ?? 0,
    destination: to?.address ?? null,
    destinationLength: to?.length ?? 0,
    ...more,
  });
}

export const settings: InterfaceSettings = {
  forwarding: true,
  rpFilter: 0,
  acceptLocal: false,
  routeLocalnet: false,
  sourceValidMark: false,
  sendRedirects: true,
  broadcastForwarding: false,
};

export interface World {
  readonly rules?: readonly Rule[];
  readonly routes?: readonly Route[];
  /** Nexthop objects: a hop as text, `blackhole`, or the ids of a group. */
  readonly nextHops?: Readonly<Record<number, string | readonly number[]>>;
  readonly settings?: Partial<InterfaceSettings>;
}

/** The host is 192.0.0.1/24 and 2001:db8::1/64 on up0, 192.0.1.1/24 and 2001:db8:1::1/64 on up1, 192.0.2.1/24 on up2. */
export function snapshot(family: 4 | 6, world: World): Snapshot {
  const tables = new Map<number, Route[]>();
  const own = ["192.0.0.1/24", "2001:db8::1/64"].map((text) => ({ ...split(text), name: "up0" }));
  own.push(...["192.0.1.1/24", "2001:db8:1::1/64"].map((text) => ({ ...split(text), name: "up1" })));
  own.push({ ...split("192.0.2.1/24"), name: "up2" }, { ...split("127.0.0.1/8"), name: "lo" });
  const local = own
    .filter(({ address }) => address.length === (family === 4 ? 4 : 16))
    .map(({ address, name }) => ({
      ...route(family === 4 ? "0.0.0.0/32" : "::/128", [`dev ${name}`], { table: 255, type: 2, scope: 254 }),
      destination: address,
    }));
  for (const each of [...local, ...(world.routes ?? [])])
    tables.set(each.table, [...(tables.get(each.table) ?? []), each]);
  const nextHops = new Map<number, NextHop>();
  for (const [id, what] of Object.entries(world.nextHops ?? {})) {
    const blackhole = what === "blackhole";
    const base = { id: Number(id), protocol: 3, flags: 0, ifindex: 0, gateway: null, blackhole, group: null };
    if (typeof what === "string") nextHops.set(base.id, blackhole ? base : { ...base, ...pick(hop(what)) });
    else nextHops.set(base.id, { ...base, group: what.map((member) => ({ id: member, weight: 1 })) });
  }
  return {
    rules: (world.rules ?? [rule(0, { table: 255 }), rule(32766)]).map((each) => ({ ...each, family })),
    tables,
    nextHops,
    links,
    addresses: own.map(({ address, length, name }) => ({
      ifindex: index(name),
      local: address,
      peer: address,
      length,
      scope: name === "lo" ? 254 : 0,
      flags: 0x80,
    })),
    settings: { ...settings, ...world.settings },
  };
}

function pick({ ifindex, gateway, flags }: RouteHop) {
  return { ifindex, gateway, flags };
}

export function flow(destination: string, more: Partial<Omit<Flow, "source">> & { source?: string } = {}): Flow {
  const address = bytes(destination);
  return {
    family: address.length === 4 ? 4 : 6,
    destination: address,
    iif: 0,
    oif: 0,
    mark: 0,
    tos: 0,
    uid: 0,
    ipProtocol: 0,
    sourcePort: 0,
    destinationPort: 0,
    ...more,
    source: more.source ? bytes(more.source) : null,
  };
}
