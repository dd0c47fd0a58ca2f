// The RIB of a speaker: takes what sessions say (SessionHandler), holds what each peer said and what we use, and answers
// who asks. Peers are in peer-rib.ts, what they share in rib-core.ts.
import type { Family } from "../net/address.ts";
import type { Clock } from "../net/clock.ts";
import type { Log } from "../net/log.ts";
import type { Prefix } from "../net/prefix.ts";
import type { SpeakerEvent } from "./events.ts";
import type { LocRibView } from "./loc-rib/types.ts";
import type { RibMonitor, UpdateTap } from "./monitor/types.ts";
import type { NextHopResolver } from "./next-hop-resolver.ts";
import { Originated } from "./originated.ts";
import type { PeerFamily } from "./peer-family.ts";
import { PeerRib } from "./peer-rib.ts";
import { policyName } from "./policy/compile.ts";
import { RibCore } from "./rib-core.ts";
import { RouteEvents } from "./route-events.ts";
import type { RouteQuery } from "./route-query.ts";
import { RouteReader } from "./route-reader.ts";
import type {
  EstablishedSession,
  NotificationSeen,
  PeerOptions,
  PeerStatus,
  SessionDown,
  SessionHandler,
  SessionState,
} from "./session/types.ts";
import type { EstablishedInterface, OriginatedAttributes, SpeakerOptions, SpeakerPeer } from "./speaker-types.ts";
import type { Table } from "./tables.ts";
import type { Heard, PeerView, PrefixCounts, RouteView } from "./views.ts";
import { WireError } from "./wire/error.ts";
import type { PathAttributes } from "./wire/path-attributes.ts";
import { CeaseSubcode, ErrorCode } from "./wire/registry.ts";

export class Rib implements SessionHandler {
  readonly #core: RibCore;
  readonly #peers = new Map<string, PeerRib>();
  /** Nobody waits for what these would say. */
  readonly #disabled = new Set<string>();
  readonly #originated: Originated;
  readonly #events: RouteEvents;
  readonly #reader: RouteReader;
  #monitor: RibMonitor | null = null;
  #updateTap: UpdateTap | null = null;

  constructor(options: SpeakerOptions, dependencies: { clock: Clock; log: Log; resolver: NextHopResolver }) {
    this.#core = new RibCore(options, dependencies, () =>
      [...this.#peers].every(([name, peer]) => this.#disabled.has(name) || peer.converged),
    );
    this.#originated = new Originated(this.#core);
    for (const locRib of this.#core.locRibs) this.#originated.added(locRib);
    this.#events = new RouteEvents(dependencies.clock, this.#core.locRibs);
    this.#core.onEndOfRib = (peer, direction, family, prefixes) =>
      this.#events.emit({ type: "session", kind: "endOfRib", peer, direction, family, prefixes });
    this.#reader = new RouteReader(this.#core);
  }

  /** Throws RangeError when the peer's table is not configured or its policy does not compile. */
  addPeer(peer: SpeakerPeer): void {
    if (this.#peers.has(peer.name)) throw new RangeError(`peer ${peer.name} exists already`);
    this.#peers.set(peer.name, new PeerRib(peer, this.#core));
    this.#checkReflector();
  }

  removePeer(name: string): void {
    const peer = this.#peers.get(name);
    if (!peer) return;
    peer.remove();
    this.#peers.delete(name);
    this.#checkReflector();
    this.#monitor?.removed(peer);
    this.#core.convergence.check();
  }

  /** A peer that is kept down on purpose, also one that is yet to be added. */
  setDisabled(name: string, disabled: boolean): void {
    if (disabled) this.#disabled.add(name);
    else this.#disabled.delete(name);
    this.#core.convergence.check();
  }

  setPolicies(peer: SpeakerPeer): void {
    const rib = this.#peer(peer.name);
    rib.setPolicies(peer);
    this.#monitor?.optionsChanged(rib);
    this.#checkReflector();
  }

  /** RFC 4456: with the first client, and without the last one, routes from our AS are taken otherwise. */
  #checkReflector(): void {
    const peers = [...this.#peers.values()];
    const reflector = peers.some(({ options }) => options.routeReflectorClient);
    if (reflector === this.#core.reflector) return;
    this.#core.reflector = reflector;
    for (const peer of peers) peer.rulesChanged();
  }

  announceLocal(table: number, prefix: Prefix, attributes: Partial<OriginatedAttributes> = {}): void {
    this.#originated.announce(table, prefix, attributes);
  }

  withdrawLocal(table: number, prefix: Prefix): void {
    this.#originated.withdraw(table, prefix);
  }

  /** Peers with a session that have something left to hear. */
  untold(): string[] {
    return [...this.#peers.values()].filter((peer) => peer.untold).map(({ options }) => options.name);
  }

  /** Peers that are to be told of a prefix, by how far that has come; see PeerRib.heard. */
  heard(prefix: Prefix): Heard {
    const heard = { told: [] as string[], waiting: [] as string[], withheld: [] as string[] };
    for (const peer of this.#peers.values()) {
      const state = peer.heard(prefix);
      if (state) heard[state].push(peer.options.name);
    }
    return heard;
  }

  /** Called whenever a peer may have been told something. */
  set onProgress(listener: () => void) {
    this.#core.onProgress = listener;
  }

  /** Peers without a session that may still believe what they were told. */
  rememberers(): string[] {
    return [...this.#peers.values()].filter((peer) => peer.remembers).map(({ options }) => options.name);
  }

  locRibs(): readonly LocRibView[] {
    return this.#core.locRibs;
  }

  /** A further table. Returns its Loc-RIBs; none when it is there, which stays then even if it was to go. */
  addTable(table: Table): readonly LocRibView[] {
    const added = this.#core.tables.add(table);
    for (const locRib of added) this.#originated.added(locRib);
    this.#events.setLocRibs(this.#core.locRibs);
    return added;
  }

  /** Takes a table away as soon as nothing is in it and nobody feeds it; then calls back. */
  retireTable(id: number, gone: () => void): void {
    this.#core.tables.retire(id, (locRibs) => {
      for (const locRib of locRibs) this.#originated.removed(locRib);
      this.#events.setLocRibs(this.#core.locRibs);
      gone();
    });
    this.#core.touched();
  }

  /** A peer's session status together with what the RIB knows of it. */
  peerView(status: PeerStatus): PeerView {
    const peer = this.#peer(status.name);
    const count = (of: (family: Family) => number): PrefixCounts => ({
      ipv4: of(4),
      ipv6: of(6),
      total: of(4) + of(6),
    });
    const part = (family: Family) => peer.families.get(family) as PeerFamily;
    const received = count((family) => part(family).received);
    const accepted = count((family) => part(family).accepted);
    const advertised = count((family) => part(family).advertised);
    const { lastError, lastErrorAt } = peer.errors.newest(status);
    return {
      ...status,
      lastError,
      lastErrorAt,
      history: peer.errors.history(status.history),
      lastErrorAge: lastErrorAt === null ? null : Math.floor((this.#core.clock.now() - lastErrorAt) / 1000),
      received: received.total,
      accepted: accepted.total,
      advertised: advertised.total,
      prefixes: { received, accepted, advertised },
      paths: {
        received: count((family) => part(family).receivedPaths),
        accepted: count((family) => part(family).acceptedPaths),
        advertised: count((family) => part(family).advertisedPaths),
      },
      import: policyName(peer.options.import),
      export: policyName(peer.options.export),
      defaultOriginate: defaultOriginated(peer),
      table: this.#core.locRib(peer.options.table, 4).tableName,
      pathsIgnored: part(4).pathsIgnored + part(6).pathsIgnored,
      stale: part(4).stale + part(6).stale,
      helper: peer.staleRoutes.view,
      errors: {
        treatedAsWithdrawn: peer.errors.treatedAsWithdrawn,
        attributesDiscarded: peer.errors.attributesDiscarded,
        prefixesDropped: peer.errors.prefixesDropped,
      },
    };
  }

  routes(query: RouteQuery = {}): Iterable<RouteView> {
    return this.#reader.routes(query);
  }

  received(peer: string, query: RouteQuery = {}): Iterable<RouteView> {
    return this.#reader.received(this.#peer(peer), query);
  }

  /** The paths that a peer has announced for a prefix, as its import policy sees them. Throws RangeError: no such peer. */
  policyInputs(peer: string, prefix: Prefix): PathAttributes[] {
    return this.#peer(peer).families.get(prefix.family)?.policyInputs(prefix) ?? [];
  }

  advertised(peer: string, query: RouteQuery = {}): Iterable<RouteView> {
    return this.#reader.advertised(this.#peer(peer), query);
  }

  /** Tells about sessions, and about every UPDATE when there is a tap. */
  setMonitor(monitor: RibMonitor, tap: UpdateTap | null): void {
    this.#monitor = monitor;
    this.#updateTap = tap;
  }

  /** For those who monitor. */
  get core(): RibCore {
    return this.#core;
  }

  get peers(): readonly PeerRib[] {
    return [...this.#peers.values()];
  }

  /** Routes kept although the peer's session is down. */
  staleCount(name: string): number {
    let count = 0;
    for (const part of this.#peers.get(name)?.families.values() ?? []) count += part.stale;
    return count;
  }

  /** What is held, for metrics and leak tests. */
  memory(): { prefixes: number; attributeSets: number; outgoingSets: number; updateGroups: number } {
    const { prefixes, store, sets, groups } = this.#core;
    return {
      prefixes: prefixes[4].size + prefixes[6].size,
      attributeSets: store.size,
      outgoingSets: sets.size,
      updateGroups: groups.size,
    };
  }

  /** Prefixes that a peer has been told. */
  advertisedCount(name: string): number {
    let count = 0;
    for (const { adjRibOut } of this.#peer(name).families.values()) count += adjRibOut?.size ?? 0;
    return count;
  }

  /** Prefixes with a best path, by table. */
  tableCounts(): { readonly table: string; readonly ipv4: number; readonly ipv6: number }[] {
    const counts = new Map<string, { table: string; ipv4: number; ipv6: number }>();
    for (const { tableName, family, size } of this.#core.locRibs) {
      const known = counts.get(tableName) ?? { table: tableName, ipv4: 0, ipv6: 0 };
      known[family === 4 ? "ipv4" : "ipv6"] += size;
      counts.set(tableName, known);
    }
    return [...counts.values()];
  }

  counts(): PrefixCounts {
    const count = { 4: 0, 6: 0 };
    for (const locRib of this.#core.locRibs) count[locRib.family] += locRib.size;
    return { ipv4: count[4], ipv6: count[6], total: count[4] + count[6] };
  }

  onEvent(listener: (event: SpeakerEvent) => void): () => void {
    return this.#events.listen(listener);
  }

  /** While we are restarting, End-of-RIB for routes of others has to wait. */
  setRestarting(restarting: boolean): void {
    this.#core.restarting = restarting;
    if (!restarting) for (const peer of this.#peers.values()) peer.restarted();
  }

  tableOf(peer: string): number {
    return this.#peer(peer).options.table;
  }

  abortRestart(peer: string, reason: string): void {
    this.#peers.get(peer)?.staleRoutes.abort(reason);
  }

  onConverged(listener: () => void, deferral: number): void {
    this.#core.convergence.wait(listener, deferral);
  }

  stop(): void {
    this.#events.stop();
    this.#core.stop();
  }

  // SessionHandler

  established(session: EstablishedSession): void {
    const peer = this.#peers.get(session.peer.name);
    if (!peer) return;
    peer.established(session);
    this.#monitor?.established(peer, session);
  }

  update(session: EstablishedSession, buffer: Uint8Array, start: number, end: number): void {
    const peer = this.#of(session);
    if (!peer) return;
    this.#updateTap?.(peer, session, buffer, start, end);
    try {
      peer.update(buffer, start, end);
    } catch (error) {
      if (error instanceof WireError) throw error;
      this.#core.log.error({ err: error, peer: session.peer.name }, "internal error while reading an UPDATE");
      session.reset(ErrorCode.CEASE, CeaseSubcode.OUT_OF_RESOURCES, new Uint8Array(0), "internal error");
    }
  }

  routeRefresh(session: EstablishedSession, family: Family): void {
    this.#of(session)?.routeRefresh(family);
  }

  refreshMarker(session: EstablishedSession, family: Family, marker: "begin" | "end"): void {
    this.#of(session)?.refreshMarker(family, marker);
  }

  writable(session: EstablishedSession): void {
    this.#of(session)?.writable();
  }

  down(session: EstablishedSession, down: SessionDown): void {
    const peer = this.#of(session);
    if (!peer) return;
    peer.down(down);
    this.#monitor?.down(peer, session, down);
  }

  stateChanged(peer: PeerOptions, from: SessionState, to: SessionState, reason: string): void {
    const known = this.#peers.get(peer.name);
    const counted = known && (from === "Established" || to === "Established");
    const prefixes = counted ? { prefixes: totals(known) } : {};
    this.#events.emit({ type: "session", kind: "state", peer: peer.name, from, to, reason, ...prefixes });
    if (known) this.#monitor?.stateChanged(known, from, to);
  }

  notification(peer: PeerOptions, { sent, code, subcode }: NotificationSeen, text: string): void {
    const direction = sent ? "sent" : "received";
    this.#events.emit({ type: "session", kind: "notification", peer: peer.name, direction, code, subcode, text });
  }

  establishedInterfaces(): EstablishedInterface[] {
    const sessions = [...this.#peers.values()].flatMap(({ session }) => session ?? []);
    const known = sessions.filter(({ negotiated }) => negotiated.ifindex !== 0);
    return known.map(({ peer, negotiated: { ifindex, localAddress } }) => ({ peer: peer.name, ifindex, localAddress }));
  }

  /** The peer, when this is its present session. */
  #of(session: EstablishedSession): PeerRib | null {
    const peer = this.#peers.get(session.peer.name);
    return peer?.session === session ? peer : null;
  }

  #peer(name: string): PeerRib {
    const peer = this.#peers.get(name);
    if (!peer) throw new RangeError(`no peer "${name}"; there are: ${[...this.#peers.keys()].join(", ") || "none"}`);
    return peer;
  }
}

function totals({ families }: PeerRib): { received: number; accepted: number; advertised: number } {
  const sum = { received: 0, accepted: 0, advertised: 0 };
  for (const { received, accepted, advertised } of families.values()) {
    sum.received += received;
    sum.accepted += accepted;
    sum.advertised += advertised;
  }
  return sum;
}

function defaultOriginated({ options, families }: PeerRib): PeerView["defaultOriginate"] {
  const wanted = options.defaultOriginate;
  if (!wanted) return null;
  const of = (family: Family): boolean | null => {
    if (!wanted.families.includes(family)) return null;
    const adjRibOut = families.get(family)?.adjRibOut;
    const route = adjRibOut?.defaultRoute;
    return route ? (adjRibOut?.advertised(route.id).length ?? 0) > 0 : false;
  };
  return { ipv4: of(4), ipv6: of(6) };
}
