// Answers queries for routes: iterators that walk the RIB's columns, so that a million routes are shown without ever being
// in memory at once. The RIB may change between two steps; each step shows the state of its moment.
import type { Lane } from "./lane.ts";
import type { LocRib } from "./loc-rib/loc-rib.ts";
import type { PathStatus } from "./loc-rib/source.ts";
import type { PeerFamily } from "./peer-family.ts";
import type { PeerRib } from "./peer-rib.ts";
import type { RibCore } from "./rib-core.ts";
import { type ParsedTarget, parseTarget, type RouteQuery } from "./route-query.ts";
import { advertisedView, pathView } from "./route-views.ts";
import type { RouteView } from "./views.ts";

/** Whether a prefix has a route in the view that is asked about. */
type Present = (id: number) => boolean;

export class RouteReader {
  readonly #core: RibCore;

  constructor(core: RibCore) {
    this.#core = core;
  }

  routes(query: RouteQuery): Iterable<RouteView> {
    const target = this.#target(query);
    const locRibs = this.#core.locRibs.filter((locRib) => this.#selects(query, target, locRib));
    return this.#routes(locRibs, query, target);
  }

  received(peer: PeerRib, query: RouteQuery): Iterable<RouteView> {
    return this.#received(this.#parts(peer, query), query, this.#target(query));
  }

  advertised(peer: PeerRib, query: RouteQuery): Iterable<RouteView> {
    return this.#advertised(this.#parts(peer, query), query, this.#target(query));
  }

  *#routes(locRibs: readonly LocRib[], query: RouteQuery, target: ParsedTarget | null): Generator<RouteView> {
    for (const locRib of locRibs) {
      for (const id of this.#ids(locRib, target, locRib.walk(), (id) => locRib.bestOf(id) !== 0)) {
        for (const path of locRib.pathsOf(id))
          if (shown(query, path)) yield pathView(locRib, this.#core.store, id, path);
      }
    }
  }

  *#received(parts: readonly PeerFamily[], query: RouteQuery, target: ParsedTarget | null): Generator<RouteView> {
    for (const { lanes, locRib } of parts) {
      for (const id of this.#ids(locRib, target, nextOf(lanes), (id) => lanes.some((lane) => lane.has(id)))) {
        for (const lane of lanes) {
          const found = lane.has(id) ? statusOf(lane, id) : null;
          if (found && (!query.best || found.path.used)) yield pathView(found.locRib, this.#core.store, id, found.path);
        }
      }
    }
  }

  *#advertised(parts: readonly PeerFamily[], query: RouteQuery, target: ParsedTarget | null): Generator<RouteView> {
    for (const { locRib, adjRibOut } of parts) {
      if (!adjRibOut) continue;
      const next = (from: number) => adjRibOut.next(from);
      for (const id of this.#ids(locRib, target, next, (id) => adjRibOut.advertised(id).length > 0)) {
        if (query.best && locRib.bestOf(id) === 0) continue;
        for (const told of adjRibOut.advertised(id)) yield advertisedView(locRib, this.#core.sets, adjRibOut, id, told);
      }
    }
  }

  /** All ids in order, or the one that the target means. */
  *#ids(locRib: LocRib, target: ParsedTarget | null, next: Next, present: Present): Generator<number> {
    if (target) {
      const id = find(locRib, target, present);
      if (id !== 0) yield id;
      return;
    }
    for (let id = next(0); id >= 0; id = next(id + 1)) yield id;
  }

  #target({ prefix, table }: RouteQuery): ParsedTarget | null {
    if (table !== undefined && !this.#core.locRibs.some((locRib) => locRib.tableName === table)) {
      const names = new Set(this.#core.locRibs.map((locRib) => locRib.tableName));
      throw new RangeError(`no table "${table}"; there are: ${[...names].join(", ")}`);
    }
    return prefix === undefined ? null : parseTarget(prefix);
  }

  #parts(peer: PeerRib, query: RouteQuery): PeerFamily[] {
    const target = this.#target(query);
    return [...peer.families.values()].filter(({ locRib }) => this.#selects(query, target, locRib));
  }

  #selects(query: RouteQuery, target: ParsedTarget | null, locRib: LocRib): boolean {
    return (
      (query.table === undefined || query.table === locRib.tableName) &&
      (query.family === undefined || query.family === locRib.family) &&
      (target === null || target.prefix.family === locRib.family)
    );
  }
}

/** The first id from a position on, or -1. */
type Next = (from: number) => number;

/** Goes through what any lane has. */
function nextOf(lanes: readonly Lane[]): Next {
  if (lanes.length === 1) return (from) => lanes[0].adjRibIn.next(from);
  return (from) => {
    const found = lanes.map(({ adjRibIn }) => adjRibIn.next(from)).filter((id) => id >= 0);
    return found.length === 0 ? -1 : Math.min(...found);
  };
}

/** A path in the Loc-RIB that takes it, or else in the peer's own. */
function statusOf({ feeds }: Lane, id: number): { locRib: LocRib; path: PathStatus } | null {
  let first = null;
  for (const { locRib, source } of feeds) {
    const path = locRib.pathsOf(id).find((candidate) => candidate.source === source);
    if (!path) continue;
    first ??= { locRib, path };
    if (path.attributes !== 0) return { locRib, path };
  }
  return first;
}

/** What a policy has rejected or a loop is not shown among the routes of a table, only among those received. */
function shown(query: RouteQuery, path: PathStatus): boolean {
  return query.best ? path.used : path.attributes !== 0;
}

/** The id of the exact prefix, or of the longest one with a route that contains it; 0: none. */
function find({ prefixes }: LocRib, { prefix, longestMatch }: ParsedTarget, present: Present): number {
  for (let length = prefix.length; length >= 0; length--) {
    const id = prefixes.find(prefix.bytes, 0, length);
    if (id !== 0 && (present(id) || !longestMatch)) return id;
    if (!longestMatch) return 0;
  }
  return 0;
}
