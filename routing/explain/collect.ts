// What the simulation needs of the kernel for one flow, read by netlink. In: a socket of its own, which is given up at once
// when a table turns out to be too long. Out: a snapshot, and the tables of which it does not have everything.
//
// A dump cannot be asked for a prefix: a table is read as a whole, and what the flow is not in is passed over. So that a
// table of a million routes is not read for one question, its own routes come from whoever keeps them (LearnedRoutes), and
// other tables are read up to a limit.
import type { Family } from "../../net/address.ts";
import { decodeAddress, encodeAddressDump } from "../netlink/address.ts";
import { RT_TABLE_LOCAL, RuleAction } from "../netlink/constants.ts";
import { NetlinkError } from "../netlink/error.ts";
import { decodeLink, encodeLinkDump } from "../netlink/link.ts";
import { decodeNextHop, encodeGetNextHop, type NextHop } from "../netlink/nexthop.ts";
import { encodeRouteDump, type Route, RouteReader, routeOf } from "../netlink/route.ts";
import { decodeRule, encodeRuleDump, type Rule } from "../netlink/rule.ts";
import type { NetlinkSocket } from "../netlink/socket.ts";
import { inPrefix } from "./address-match.ts";
import { mismatch } from "./rule-match.ts";
import { interfaceSettings, type ReadSetting } from "./settings.ts";
import { type Flow, type LinkState, LOOPBACK, type Snapshot } from "./types.ts";

/** Routes of a table that are read for one question, about 100 ms of work. */
const TABLE_LIMIT = 200_000;
/** Milliseconds of reading between two pauses. */
const SLICE = 4;

export interface LearnedRoutes {
  /** The routes in the table, as far as the address is in them; null: the table is short enough to be read. */
  covering(family: Family, table: number, address: Uint8Array): readonly Route[] | null;
}

export interface Collected {
  readonly snapshot: Snapshot;
  /** Tables of which routes may be missing: too long to be read, or, for ours, with routes of others in them. */
  readonly partial: readonly number[];
}

export interface CollectOptions {
  readonly open: () => NetlinkSocket;
  readonly learned: LearnedRoutes;
  readonly tableLimit?: number;
  /** Absent: from /proc/sys of the calling thread. */
  readonly read?: ReadSetting;
}

export async function collect(flow: Flow, options: CollectOptions): Promise<Collected> {
  const { open, learned, tableLimit = TABLE_LIMIT, read } = options;
  let socket = open();
  try {
    const { family } = flow;
    const rules = socket.dump((out) => encodeRuleDump(out, family), decodeRule);
    const links = new Map<number, LinkState>();
    for (const { ifindex, name, flags, group } of socket.dump(encodeLinkDump, decodeLink))
      links.set(ifindex, { ifindex, name, flags, group });
    const addresses = socket.dump((out) => encodeAddressDump(out), decodeAddress);
    const wanted = [flow.destination, flow.source ?? new Uint8Array(flow.destination.length)];
    const tables = new Map<number, readonly Route[]>();
    const partial: number[] = [];
    for (const table of tablesOf(rules, flow, links)) {
      const kept = wanted.map((address) => learned.covering(family, table, address));
      if (kept[0] && kept[1]) {
        tables.set(table, unique([...kept[0], ...kept[1]]));
        partial.push(table);
        continue;
      }
      const read = await readTable(socket, family, table, wanted, tableLimit);
      tables.set(table, read.routes);
      if (read.complete) continue;
      partial.push(table);
      // What is still to come of the dump is in its way.
      socket.close();
      socket = open();
    }
    const nextHops = readNextHops(socket, [...tables.values()].flat());
    const iif = links.get(flow.iif);
    const settings = iif ? interfaceSettings(family, iif.name, read) : null;
    return { snapshot: { rules, tables, nextHops, links, addresses, settings }, partial };
  } finally {
    socket.close();
  }
}

/** Tables that the flow, or the check of its source, may be looked up in. */
function tablesOf(rules: readonly Rule[], flow: Flow, links: ReadonlyMap<number, LinkState>): Set<number> {
  const made = { ...flow, iif: LOOPBACK };
  const named = rules.filter(
    (rule) => rule.action === RuleAction.toTable && (flow.iif !== 0 || mismatch(rule, made, links) === null),
  );
  // An address may be the host's own by a local route.
  return new Set([RT_TABLE_LOCAL, ...named.map(({ table }) => table)]);
}

async function readTable(
  socket: NetlinkSocket,
  family: Family,
  table: number,
  wanted: readonly Uint8Array[],
  limit: number,
): Promise<{ routes: Route[]; complete: boolean }> {
  const reader = new RouteReader();
  const routes: Route[] = [];
  let count = 0;
  const pass = socket.beginDump((out) => encodeRouteDump(out, family, table));
  try {
    for (let until = performance.now() + SLICE; ; ) {
      const done = pass.read((buffer, start, end) => {
        if (!reader.read(buffer, start, end) || reader.table !== table) return;
        count++;
        if (wanted.some((address) => inPrefix(address, reader.address, reader.length)))
          routes.push(routeOf(reader, buffer));
      });
      if (done) return { routes, complete: true };
      if (count > limit) return { routes, complete: false };
      if (performance.now() < until) continue;
      await new Promise((resolve) => setImmediate(resolve));
      until = performance.now() + SLICE;
    }
  } catch (error) {
    // A table that never had a route.
    if (error instanceof NetlinkError && error.code === "ENOENT") return { routes: [], complete: true };
    throw error;
  }
}

function readNextHops(socket: NetlinkSocket, routes: readonly Route[]): ReadonlyMap<number, NextHop> {
  const found = new Map<number, NextHop>();
  const read = (id: number): void => {
    if (id === 0 || found.has(id)) return;
    try {
      const object = socket.get((out) => encodeGetNextHop(out, id), decodeNextHop);
      if (!object) return;
      found.set(id, object);
      for (const member of object.group ?? []) read(member.id);
    } catch (error) {
      // Gone since.
      if (!(error instanceof NetlinkError)) throw error;
    }
  };
  for (const { nextHopId } of routes) read(nextHopId);
  return found;
}

function unique(routes: readonly Route[]): Route[] {
  return [
    ...new Map(routes.map((route) => [`${route.destination}/${route.length} ${route.priority}`, route])).values(),
  ];
}
