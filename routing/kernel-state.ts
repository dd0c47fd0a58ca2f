// The kernel's own tables at one moment, as far as they are our business: read for `underlayctl doctor`, by the fib worker
// while it goes on writing, or by the CLI where no daemon runs. In: a netlink socket that nobody else uses meanwhile.
// Out: plain data. Long dumps are read in slices; other programs' routes in the host's tables are never looked at.
import { type Family, formatAddress } from "../net/address.ts";
import { decodeAddress, encodeAddressDump, type InterfaceAddress } from "./netlink/address.ts";
import { NetlinkError } from "./netlink/error.ts";
import { decodeLink, encodeLinkDump, type Link } from "./netlink/link.ts";
import { decodeNeighbour, encodeNeighbourDump, type Neighbour } from "./netlink/neighbour.ts";
import { decodeNextHop, encodeNextHopDump, type NextHop } from "./netlink/nexthop.ts";
import { decodeRoute, encodeRouteDump, type Route, RouteReader } from "./netlink/route.ts";
import { decodeRule, encodeRuleDump, type Rule } from "./netlink/rule.ts";
import type { NetlinkSocket } from "./netlink/socket.ts";

/** RTM_F_CLONED: an entry of a route cache. */
const CLONED = 0x200;
const SLICE_MS = 4;

/** The first of many, and how many there are. */
export class Sample<T> {
  static readonly limit = 20;
  readonly first: T[] = [];
  count = 0;

  /** The item is only made when it is kept. */
  add(make: () => T): void {
    if (this.count++ < Sample.limit) this.first.push(make());
  }
}

/** As it crosses a thread boundary. */
export interface Sampled<T> {
  readonly first: readonly T[];
  readonly count: number;
}

export interface KernelState {
  readonly rules: readonly Rule[];
  readonly links: readonly Link[];
  readonly addresses: readonly InterfaceAddress[];
  readonly neighbours: readonly Neighbour[];
  readonly nextHops: readonly NextHop[];
  /** All of the local table, whoever made them. */
  readonly local: readonly Route[];
  /** Ours in tables with learned routes, other than learned ones. */
  readonly fixed: readonly Route[];
  /** Of others, in tables with learned routes. */
  readonly foreign: Sampled<Route>;
  /** With our protocol number in tables that are not ours. */
  readonly elsewhere: Sampled<Route>;
  /** Learned routes of ours. */
  readonly learned: number;
}

export interface KernelStateOptions {
  readonly protocol: number;
  readonly localTable: number;
  /** Tables with learned routes. */
  readonly tables: readonly number[];
  /** Told of each learned route; the reader is used again. */
  readonly learned?: (reader: RouteReader) => void;
  readonly isLearned: (reader: RouteReader) => boolean;
}

/** Rejects with the kernel's refusal. */
export async function readKernel(socket: NetlinkSocket, options: KernelStateOptions): Promise<KernelState> {
  const { protocol, localTable, tables } = options;
  const local: Route[] = [];
  const fixed: Route[] = [];
  const foreign = new Sample<Route>();
  const elsewhere = new Sample<Route>();
  let learned = 0;
  for (const family of [4, 6] as const) {
    await dumpRoutes(socket, family, localTable, 0, (reader, route) => {
      if (reader.table === localTable) local.push(route());
    });
    for (const table of tables)
      await dumpRoutes(socket, family, table, 0, (reader, route) => {
        if (reader.table !== table) return;
        if (reader.protocol !== protocol) foreign.add(route);
        else if (!options.isLearned(reader)) fixed.push(route());
        else {
          learned++;
          options.learned?.(reader);
        }
      });
    await dumpRoutes(socket, family, 0, protocol, (reader, route) => {
      if (reader.protocol === protocol && reader.table !== localTable && !tables.includes(reader.table))
        elsewhere.add(route);
    });
  }
  return {
    local,
    fixed,
    foreign,
    elsewhere,
    learned,
    rules: ([4, 6] as const).flatMap((family) => socket.dump((out) => encodeRuleDump(out, family), decodeRule)),
    links: socket.dump(encodeLinkDump, decodeLink),
    addresses: socket.dump((out) => encodeAddressDump(out), decodeAddress),
    neighbours: socket.dump((out) => encodeNeighbourDump(out), decodeNeighbour),
    nextHops: socket.dump(encodeNextHopDump, decodeNextHop),
  };
}

type TakeRoute = (reader: RouteReader, route: () => Route) => void;

/** One pass, in slices: what changes under way may be missed or told twice. A table that never had a route is empty. */
async function dumpRoutes(
  socket: NetlinkSocket,
  family: Family,
  table: number,
  protocol: number,
  take: TakeRoute,
): Promise<void> {
  const reader = new RouteReader();
  try {
    const pass = socket.beginDump((out) => encodeRouteDump(out, family, table, protocol));
    const handler = (buffer: Buffer, start: number, end: number) => {
      if (!reader.read(buffer, start, end) || reader.flags & CLONED) return;
      take(reader, () => decodeRoute(buffer, start, end)!);
    };
    for (let since = performance.now(); !pass.read(handler); ) {
      if (performance.now() - since < SLICE_MS) continue;
      await new Promise((resolve) => setImmediate(resolve));
      since = performance.now();
    }
  } catch (error) {
    if (!(error instanceof NetlinkError) || error.code !== "ENOENT") throw error;
  }
}

/** `10.1.0.0/16` */
export function routePrefix(route: Pick<Route, "destination" | "length">): string {
  return `${formatAddress(route.destination)}/${route.length}`;
}
