// Routes that exist because of the configuration (blackholes, last resorts) or a pod, not because of a peer. Few, so an
// object each. In: what is wanted, what a dump or notification says. Out: netlink requests, failures in the kernel's words.
import { constants } from "node:os";
import { formatAddress } from "../../net/address.ts";
import { Flag, RouteType } from "../netlink/constants.ts";
import { NetlinkError } from "../netlink/error.ts";
import { encodeDelRoute, encodeNewRoute, type Route, type RouteReader, type RouteSpec } from "../netlink/route.ts";
import type { NetlinkSocket } from "../netlink/socket.ts";
import { dumpTable } from "../netlink/table-dump.ts";
import { LAST_RESORT_METRIC, METRIC, type Ownership } from "../ownership.ts";
import type { FibStatus } from "../types.ts";

/** Who wants a route: the configuration, a pod, or nobody (found in the kernel with our number). */
export type Purpose = "owned" | "pod" | "stray";

interface Entry {
  spec: RouteSpec;
  purpose: Purpose;
  wanted: boolean;
  installed: boolean;
  /** Perhaps dropped by the kernel in silence: to be written once more. */
  suspect: boolean;
  seen: boolean;
  /** Why it is not in the kernel, in its words; null: it is, nobody asked so far, or its link is down. */
  error: string | null;
}

interface WriteFailure {
  readonly entry: Entry;
  /** It was in the kernel before. */
  readonly known: boolean;
  readonly error: NetlinkError;
}

export class StaticRoutes {
  readonly #socket: NetlinkSocket;
  readonly #ownership: Ownership;
  readonly #entries = new Map<string, Entry>();

  constructor(socket: NetlinkSocket, ownership: Ownership) {
    this.#socket = socket;
    this.#ownership = ownership;
  }

  /** Found at start and not wanted by anybody so far; a pod's route goes with its veth and is not counted. */
  get stale(): number {
    let count = 0;
    for (const entry of this.#entries.values()) if (!entry.wanted && entry.purpose !== "pod") count++;
    return count;
  }

  /** Has the kernel keep these; throws the first refusal, having tried all. Those refused are forgotten. */
  add(specs: readonly RouteSpec[], purpose: Purpose): void {
    // A link that is down gets its routes when it comes up.
    const failures = this.#put(specs, purpose).filter(({ error }) => error.code !== "ENETDOWN");
    for (const { entry, known } of failures) if (!known) this.#entries.delete(keyOf(entry.spec));
    if (failures.length > 0) throw failures[0].error;
  }

  /** Pods' routes that the kernel has been given already. */
  keep(specs: readonly RouteSpec[]): void {
    for (const spec of specs)
      this.#entries.set(keyOf(spec), {
        spec,
        purpose: "pod",
        wanted: true,
        installed: true,
        suspect: false,
        seen: true,
        error: null,
      });
  }

  #put(specs: readonly RouteSpec[], purpose: Purpose): WriteFailure[] {
    const pending: Entry[] = [];
    for (const spec of specs) {
      const key = keyOf(spec);
      const known = this.#entries.get(key);
      const same = known && sameRoute(known.spec, spec);
      const installed = known?.installed ?? false;
      const entry: Entry = { spec, purpose, wanted: true, installed, suspect: false, seen: true, error: null };
      this.#entries.set(key, entry);
      if (!same || !installed || known.suspect) pending.push(entry);
    }
    return this.#write(pending);
  }

  /** Those that are not in the kernel. */
  missing(specs: readonly RouteSpec[]): RouteSpec[] {
    return specs.filter((spec) => {
      const known = this.#entries.get(keyOf(spec));
      return !known?.installed || !sameRoute(known.spec, spec);
    });
  }

  /** Routes that are not there are fine. */
  remove(specs: readonly RouteSpec[]): void {
    for (const spec of specs) {
      const entry = this.#entries.get(keyOf(spec));
      if (isOthers(spec, entry)) continue;
      this.#delete(entry?.spec ?? spec);
      this.#entries.delete(keyOf(spec));
    }
  }

  /** Nobody wants these any more, and the kernel is about to drop them with their link. */
  forget(specs: readonly RouteSpec[]): void {
    for (const spec of specs) if (!isOthers(spec, this.#entries.get(keyOf(spec)))) this.#entries.delete(keyOf(spec));
  }

  /** The configuration's routes are exactly these: adds, then removes what it wanted before. Those refused stay wanted. */
  setOwned(specs: readonly RouteSpec[]): { removeOld(): void } {
    this.#put(specs, "owned");
    const keep = new Set(specs.map(keyOf));
    const old = [...this.#entries].filter(([key, entry]) => entry.purpose === "owned" && !keep.has(key));
    return { removeOld: () => this.remove(old.map(([, entry]) => entry.spec)) };
  }

  /** Prefixes of blackholes that are in the kernel. */
  blackholes(): string[] {
    const entries = [...this.#entries.values()].filter(
      ({ purpose, installed, spec }) => purpose === "owned" && installed && spec.type === RouteType.blackhole,
    );
    return entries.map(({ spec }) => prefixText(spec));
  }

  /** Routes that are wanted and were refused. */
  get refusals(): number {
    let count = 0;
    for (const entry of this.#entries.values()) if (!entry.installed && entry.error !== null) count++;
    return count;
  }

  /** Why the kernel does not have a route that is wanted, in its words; null: it has, or nobody asked it so far. */
  refusal(spec: RouteSpec): string | null {
    const entry = this.#entries.get(keyOf(spec));
    return entry && !entry.installed ? entry.error : null;
  }

  /** Removes what nobody wants. Returns how many routes went. */
  sweep(): number {
    const old = [...this.#entries.values()].filter((entry) => !entry.wanted && entry.purpose !== "pod");
    this.remove(old.map((entry) => entry.spec));
    return old.length;
  }

  /** What the configuration wants and is not among these; and those with our number that nobody wants. */
  compare(routes: readonly Route[]): { missing: RouteSpec[]; strays: Route[] } {
    const ours = new Map<string, Route>();
    for (const route of routes) if (this.#ownership.ownsProtocol(route.protocol)) ours.set(keyOf(specOf(route)), route);
    const missing: RouteSpec[] = [];
    for (const [key, { spec, wanted, purpose }] of this.#entries) {
      if (!wanted) continue;
      const route = ours.get(key);
      if (purpose === "owned" && (!route || !sameRoute(spec, specOf(route)))) missing.push(spec);
      ours.delete(key);
    }
    return { missing, strays: [...ours.values()] };
  }

  beginDump(): void {
    for (const entry of this.#entries.values()) entry.seen = false;
  }

  /** A route of ours that is not a learned one. */
  found(route: Route): void {
    const spec = specOf(route);
    const key = keyOf(spec);
    const known = this.#entries.get(key);
    if (!known) {
      const purpose = this.#purposeOf(route);
      this.#entries.set(key, {
        spec,
        purpose,
        wanted: false,
        installed: true,
        suspect: false,
        seen: true,
        error: null,
      });
      return;
    }
    if (known.seen) return;
    known.seen = true;
    known.installed = sameRoute(known.spec, spec);
  }

  /** What the dump did not show is gone. Returns how many wanted routes that concerns. */
  endDump(): number {
    let lost = 0;
    for (const [key, entry] of this.#entries) {
      if (entry.seen) continue;
      if (!entry.wanted) this.#entries.delete(key);
      else if (entry.installed) {
        entry.installed = false;
        lost++;
      }
    }
    return lost;
  }

  /** A notification said that the kernel has no such route any more. Its name when it was wanted. */
  deleted(reader: RouteReader): string | null {
    const key = keyOfReader(reader);
    const entry = this.#entries.get(key);
    if (!entry) return null;
    if (!entry.wanted) {
      this.#entries.delete(key);
      return null;
    }
    entry.installed = false;
    return describeRoute(entry.spec);
  }

  /** Somebody's route of this prefix, table and metric has come or gone. True when one of ours is wanted there. */
  suspectRoute(reader: RouteReader): boolean {
    const entry = this.#entries.get(keyOfReader(reader));
    if (!entry?.wanted) return false;
    entry.suspect = true;
    return true;
  }

  /** Wanted routes that the kernel refused. */
  failed(): FibStatus["failed"] {
    return [...this.#entries.values()].flatMap(({ wanted, spec, error }) =>
      wanted && error !== null ? [{ prefix: prefixText(spec), table: spec.table, error }] : [],
    );
  }

  /** Whether the link is a pod's. */
  isPodLink(ifindex: number): boolean {
    for (const { spec, purpose } of this.#entries.values()) if (spec.oif === ifindex && purpose === "pod") return true;
    return false;
  }

  /** The kernel drops routes of a link that loses its carrier or an address, in silence. */
  suspect(ifindex: number): void {
    for (const entry of this.#entries.values()) if (entry.spec.oif === ifindex) entry.suspect = true;
  }

  /** IPv6 blackholes are kept on the loopback device and go with it. */
  suspectOwned(): void {
    for (const entry of this.#entries.values()) if (entry.purpose === "owned") entry.suspect = true;
  }

  /** The link is gone, and so are the pods behind it. */
  linkRemoved(ifindex: number): void {
    for (const [key, entry] of this.#entries) if (entry.spec.oif === ifindex) this.#entries.delete(key);
  }

  /** Puts back what is wanted and missing; `usable` tells whether a link can have routes. Returns count and problems. */
  restore(usable: (ifindex: number) => boolean): { restored: number; problems: string[] } {
    const missing = [...this.#entries.values()].filter(
      ({ wanted, installed, suspect, spec }) =>
        wanted && (!installed || suspect) && (spec.oif === undefined || usable(spec.oif)),
    );
    const lost = missing.filter((entry) => !entry.installed).length;
    const before = new Map(missing.map((entry) => [entry, entry.error]));
    const failures = this.#write(missing);
    return {
      restored: lost - failures.filter(({ known }) => !known).length,
      // Each is told once, however often it is tried again.
      problems: failures.filter(({ entry }) => entry.error !== before.get(entry)).map(({ error }) => error.message),
    };
  }

  /**
   * Writes entries in one go; idempotent for those of ours that are there already. NLM_F_REPLACE takes whatever has the
   * prefix and metric, so it is used only for what is known to be ours.
   */
  #write(entries: readonly Entry[]): WriteFailure[] {
    const failures: WriteFailure[] = [];
    for (let from = 0; from < entries.length; from += 256) {
      const slice = entries.slice(from, from + 256);
      const known = slice.map((entry) => entry.installed);
      const { out } = this.#socket;
      out.reset();
      for (const { installed, suspect, spec } of slice)
        encodeNewRoute(out, Flag.create | (installed && !suspect ? Flag.replace : Flag.exclusive), spec);
      const refused = new Map(this.#socket.flush().map((failure) => [failure.index, failure]));
      const present = new Map<string, Map<string, RouteSpec>>();
      slice.forEach((entry, i) => {
        const failure = refused.get(i);
        entry.suspect = false;
        entry.error = null;
        entry.installed = !failure || (failure.errno === constants.errno.EEXIST && this.#isOurs(entry.spec, present));
        if (entry.installed || !failure) return;
        const foreign = failure.errno === constants.errno.EEXIST;
        const text = foreign ? `EEXIST: a route of another program with this prefix and metric is there` : failure.text;
        const error = new NetlinkError(`route ${describeRoute(entry.spec)}`, failure.errno, text);
        if (error.code !== "ENETDOWN" || entry.purpose === "owned") entry.error = text;
        failures.push({ entry, known: known[i], error });
      });
    }
    return failures;
  }

  /** After EEXIST: whether the route there is ours; one of ours that differs is replaced. `present`: dumps made for this. */
  #isOurs(spec: RouteSpec, present: Map<string, Map<string, RouteSpec>>): boolean {
    const where = `${spec.family} ${spec.table}`;
    let routes = present.get(where);
    if (!routes) {
      const { protocol } = this.#ownership;
      const dumped = dumpTable(this.#socket, spec.family, spec.table, { protocol });
      const ours = dumped.filter((route) => this.#ownership.ownsProtocol(route.protocol) && route.table === spec.table);
      routes = new Map(ours.map(specOf).map((route) => [keyOf(route), route]));
      present.set(where, routes);
    }
    const there = routes.get(keyOf(spec));
    if (!there) return false;
    if (sameRoute(there, spec)) return true;
    // A delete that names our protocol removes our own route only; for a moment the next less specific one applies.
    try {
      this.#socket.request((out) => encodeDelRoute(out, { ...spec, type: 0, scope: 255, oif: undefined }));
      this.#socket.request((out) => encodeNewRoute(out, Flag.create | Flag.exclusive, spec));
      return true;
    } catch (error) {
      if (error instanceof NetlinkError) return false;
      throw error;
    }
  }

  #delete(spec: RouteSpec): void {
    try {
      this.#socket.request((out) => encodeDelRoute(out, spec), `route ${describeRoute(spec)}`);
    } catch (error) {
      if (!(error instanceof NetlinkError) || !["ESRCH", "ENODEV", "ENOENT"].includes(error.code)) throw error;
    }
  }

  #purposeOf(route: Route): Purpose {
    const { localTable } = this.#ownership;
    const inBlock = route.type === RouteType.blackhole || route.type === RouteType.throw;
    if (route.priority === LAST_RESORT_METRIC && inBlock && route.table === localTable) return "owned";
    const host = route.length === route.destination.length * 8;
    return host && route.table === localTable && route.priority === METRIC && route.hops.length > 0 ? "pod" : "stray";
  }
}

/** True for a route of ours that a peer taught us. */
export function isLearned(reader: RouteReader, localTable: number): boolean {
  return (
    reader.table !== localTable &&
    reader.type === RouteType.unicast &&
    reader.tos === 0 &&
    reader.priority === METRIC &&
    reader.nextHopId !== 0
  );
}

/** Another link has the route by now. */
function isOthers(spec: RouteSpec, entry: Entry | undefined): boolean {
  return spec.oif !== undefined && spec.oif !== 0 && entry?.wanted === true && entry.spec.oif !== spec.oif;
}

function keyOf(spec: RouteSpec): string {
  return `${spec.family} ${spec.table} ${spec.destination?.join(".") ?? ""}/${spec.length} ${spec.priority ?? 0}`;
}

function keyOfReader(reader: RouteReader): string {
  const bytes = reader.length === 0 ? "" : reader.address.subarray(0, reader.family === 4 ? 4 : 16).join(".");
  return `${reader.family} ${reader.table} ${bytes}/${reader.length} ${reader.priority}`;
}

function specOf(route: Route): RouteSpec {
  const loopback = route.type !== RouteType.unicast;
  return {
    family: route.family,
    table: route.table,
    destination: route.length === 0 ? null : route.destination,
    length: route.length,
    type: route.type,
    scope: route.scope,
    protocol: route.protocol,
    priority: route.priority,
    oif: loopback ? undefined : route.hops[0]?.ifindex,
  };
}

function sameRoute(a: RouteSpec, b: RouteSpec): boolean {
  return (a.type ?? RouteType.unicast) === (b.type ?? RouteType.unicast) && (a.oif ?? 0) === (b.oif ?? 0);
}

function prefixText(spec: RouteSpec): string {
  const address = spec.destination ? formatAddress(spec.destination) : spec.family === 4 ? "0.0.0.0" : "::";
  return `${address}/${spec.length}`;
}

/** `10.244.1.0/26 in table 7000` */
export function describeRoute(spec: RouteSpec): string {
  return `${prefixText(spec)} in table ${spec.table}`;
}
