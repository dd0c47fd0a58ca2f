// One family of one peer: what it announces, in lanes, and the Loc-RIBs that this goes to; what it was told. In: ranges of
// checked NLRI, and what becomes of the session. Out: updates to the Loc-RIBs.
//
// Without ADD-PATH there is one lane, and the loops over NLRI touch nothing else; with it, see peer-paths.ts.
import { type Family, sameBytes } from "../net/address.ts";
import { DirtySet } from "../net/dirty-set.ts";
import type { Prefix } from "../net/prefix.ts";
import type { PrefixTable } from "../net/prefix-table.ts";
import { AdjRibIn } from "./adj-rib-in/adj-rib-in.ts";
import type { AdjRibInWatches } from "./adj-rib-in/watch.ts";
import type { AdjRibOut } from "./adj-rib-out/adj-rib-out.ts";
import type { Ineligible, Ingress } from "./ingress.ts";
import { Lane, type Outlet } from "./lane.ts";
import type { LocRib } from "./loc-rib/loc-rib.ts";
import type { SourceSession } from "./loc-rib/source.ts";
import { PeerPaths } from "./peer-paths.ts";
import { CompiledPolicy } from "./policy/compile.ts";
import { ImportFilter, type ImportTarget } from "./policy/filter.ts";
import type { RibCore } from "./rib-core.ts";
import { formatPrefixId } from "./route-views.ts";
import type { SpeakerPeer } from "./speaker-types.ts";
import type { StaleFamily } from "./stale-routes.ts";
import { PATH_ID_LENGTH } from "./wire/nlri.ts";
import type { PathAttributes } from "./wire/path-attributes.ts";

export class PeerFamily implements StaleFamily {
  readonly family: Family;
  readonly #peer: string;
  readonly #onIneligible: (reason: Ineligible, prefix: number) => void;
  readonly #core: RibCore;
  readonly #prefixes: PrefixTable;
  #session: SourceSession;
  #ingress: Ingress | null = null;
  #outlets: readonly Outlet[];
  /** Loc-RIBs that are fed no more, until they have let go of what they had. */
  #leaving: readonly Outlet[] = [];
  #lanes: readonly Lane[];
  /** Present while the session has path identifiers. */
  #paths: PeerPaths | null = null;
  /** Paths beyond the limit of a prefix, since the start. */
  pathsIgnored = 0;
  adjRibOut: AdjRibOut | null = null;
  /** The session has sent its whole table. */
  converged = false;
  /** Those who follow what the peer announces; null: nobody. */
  watches: AdjRibInWatches | null = null;

  /** `onIneligible` is told a prefix that the reason goes for, perhaps among others. */
  constructor(
    family: Family,
    peer: SpeakerPeer,
    core: RibCore,
    onIneligible: (reason: Ineligible, prefix: string) => void,
  ) {
    this.family = family;
    this.#peer = peer.name;
    this.#onIneligible = (reason, prefix) => onIneligible(reason, formatPrefixId(this.#prefixes, prefix));
    this.#core = core;
    this.#prefixes = core.prefixes[family];
    const nextHops = core.nextHops.view(0, []);
    const address = peer.address ?? new Uint8Array(16);
    this.#session = { ebgp: true, reflectorClient: false, routerId: 0, address, nextHops };
    this.#outlets = this.#outletsOf(peer);
    this.#lanes = [this.#newLane()];
  }

  /** The peer's own table: what it is told comes from there. */
  get locRib(): LocRib {
    return this.#outlets[0].locRib;
  }

  /** At least one. */
  get lanes(): readonly Lane[] {
    return this.#lanes;
  }

  /** Prefixes the peer announces. */
  get received(): number {
    return this.#paths === null ? this.#lanes[0].adjRibIn.size : this.#paths.size;
  }

  /** Paths the peer announces: with ADD-PATH there may be several per prefix. */
  get receivedPaths(): number {
    return this.#sum((lane) => lane.adjRibIn.size);
  }

  /** Prefixes with a path that the policy accepts. */
  get accepted(): number {
    const sets = this.#lanes.flatMap(({ feeds }) => feeds.map(({ locRib, source }) => locRib.acceptedFrom(source)));
    return DirtySet.unionSize(sets);
  }

  get acceptedPaths(): number {
    return this.#sum(({ feeds }) => DirtySet.unionSize(feeds.map(({ locRib, source }) => locRib.acceptedFrom(source))));
  }

  get advertised(): number {
    return this.adjRibOut?.size ?? 0;
  }

  get advertisedPaths(): number {
    return this.adjRibOut?.paths ?? 0;
  }

  /** Paths kept for a restarting neighbour. */
  get stale(): number {
    return this.#sum((lane) => lane.adjRibIn.stale);
  }

  /** Of these, the ones that are a last resort only. */
  get longLived(): number {
    return this.#sum((lane) => lane.adjRibIn.longLived);
  }

  /** The paths announced for a prefix, as the import policy sees them. */
  policyInputs({ bytes, length }: Prefix): PathAttributes[] {
    const id = this.#prefixes.find(bytes, 0, length);
    const [{ filter }] = this.#outlets;
    const raw = id === 0 ? [] : this.#lanes.map(({ adjRibIn }) => adjRibIn.get(id));
    return raw.filter((attributes) => attributes !== 0).map((attributes) => filter.input(attributes));
  }

  /** A session has come up; `pathLimit`: it has path identifiers, and so many paths of a prefix are kept at most. */
  open(session: SourceSession, pathLimit: number | null): void {
    if (!sameBytes(session.address, this.#session.address)) for (const { filter } of this.#outlets) filter.reset();
    this.#session = session;
    for (const lane of this.#lanes) lane.setSession(session);
    if (pathLimit === null && this.#paths === null) return;
    if (pathLimit === null || this.#paths === null) {
      // Paths with and without identifiers cannot be told to be the same.
      this.doomAll();
      for (const lane of this.#lanes) lane.setPathIds(pathLimit !== null);
    }
    const owner = { lanes: () => this.#lanes, addLane: () => this.#addLane() };
    this.#paths = pathLimit === null ? null : new PeerPaths(this.#prefixes, owner, pathLimit, this.#ignored);
    this.#paths?.recount();
  }

  /** Another import policy, or other rules before and after it. */
  setImport(peer: SpeakerPeer, ingress: Ingress | null): void {
    this.#ingress = ingress;
    this.setOutlets(this.#outletsOf(peer));
  }

  /** Has the routes go elsewhere, or through other filters. The first is the peer's own table and stays the same. */
  setOutlets(outlets: readonly Outlet[]): void {
    const before = [...this.#outlets, ...this.#leaving];
    const gone = before.filter(({ locRib }) => !outlets.some((outlet) => outlet.locRib === locRib));
    const none = new CompiledPolicy("none");
    this.#outlets = outlets;
    this.#leaving = gone.map(({ locRib }) => ({ locRib, filter: this.#filter(none) }));
    for (const outlet of [...this.#outlets, ...this.#leaving]) {
      for (const lane of this.#lanes) lane.setOutlet(outlet);
    }
    for (const { filter } of before) filter.close();
    this.watches?.filterChanged();
    this.revisit();
  }

  /** Has the Loc-RIBs decide again about everything that the peer announces. */
  revisit(): void {
    for (const { feeds } of this.#lanes) {
      for (const { locRib, source } of feeds) this.#core.revisit(locRib, source);
    }
  }

  announce(buffer: Uint8Array, start: number, end: number, attributes: number): void {
    if (this.#paths !== null) {
      this.#paths.announce(buffer, start, end, attributes);
      this.watches?.addNlri(this.#prefixes, buffer, start, end, true);
      return;
    }
    const [lane] = this.#lanes;
    const { adjRibIn, feeds } = lane;
    const [{ locRib, source }] = feeds;
    const alone = feeds.length === 1;
    const prefixes = this.#prefixes;
    for (let at = start; at < end; ) {
      const length = buffer[at++];
      const id = prefixes.intern(buffer, at, length);
      at += (length + 7) >>> 3;
      if (!adjRibIn.announce(id, attributes)) continue;
      if (alone) locRib.update(source, id);
      else lane.update(id);
    }
    this.watches?.addNlri(prefixes, buffer, start, end, false);
  }

  /**
   * As `announce`, but of prefixes that are not there yet only as many as there is room for; returns how many were left
   * out.
   */
  announceWithin(buffer: Uint8Array, start: number, end: number, attributes: number, room: () => number): number {
    const prefixes = this.#prefixes;
    let dropped = 0;
    for (let at = start; at < end; ) {
      const from = at;
      if (this.#paths !== null) at += PATH_ID_LENGTH;
      const length = buffer[at++];
      const id = prefixes.find(buffer, at, length);
      at += (length + 7) >>> 3;
      const known = id !== 0 && this.#lanes.some((lane) => lane.has(id));
      if (known || room() > 0) this.announce(buffer, from, at, attributes);
      else dropped++;
    }
    return dropped;
  }

  withdraw(buffer: Uint8Array, start: number, end: number): void {
    if (this.#paths !== null) {
      this.#paths.withdraw(buffer, start, end);
      this.watches?.addNlri(this.#prefixes, buffer, start, end, true);
      return;
    }
    const [lane] = this.#lanes;
    const { adjRibIn, feeds } = lane;
    const [{ locRib, source }] = feeds;
    const alone = feeds.length === 1;
    const prefixes = this.#prefixes;
    for (let at = start; at < end; ) {
      const length = buffer[at++];
      const id = prefixes.find(buffer, at, length);
      at += (length + 7) >>> 3;
      if (id === 0 || !adjRibIn.withdraw(id)) continue;
      if (alone) locRib.update(source, id);
      else lane.update(id);
    }
    this.watches?.addNlri(prefixes, buffer, start, end, false);
  }

  /** Keeps everything for a neighbour that restarts (RFC 4724 §4.2). */
  markStale(before: "keep" | "doom"): void {
    for (const { adjRibIn } of this.#lanes) adjRibIn.markStale(before);
    this.#paths?.recount();
  }

  markLongLived(): void {
    for (const { adjRibIn } of this.#lanes) adjRibIn.markLongLived();
  }

  /** What has not been announced again since goes. */
  doomStale(): void {
    for (const { adjRibIn } of this.#lanes) adjRibIn.doomStale();
    this.#paths?.recount();
  }

  doomLongLived(): void {
    for (const { adjRibIn } of this.#lanes) adjRibIn.doomLongLived();
    this.#paths?.recount();
  }

  doomAll(): void {
    for (const { adjRibIn } of this.#lanes) adjRibIn.doomAll();
    this.#paths?.recount();
  }

  /** RFC 7313 §4; see AdjRibIn. A lane that is new since has nothing from before. */
  beginRefresh(): void {
    for (const { adjRibIn } of this.#lanes) adjRibIn.beginRefresh();
  }

  endRefresh(): number {
    const routes = this.#sum(({ adjRibIn }) => adjRibIn.endRefresh());
    this.#paths?.recount();
    return routes;
  }

  abandonRefresh(): void {
    for (const { adjRibIn } of this.#lanes) adjRibIn.abandonRefresh();
  }

  /** Withdraws some of what is doomed; false: nothing more to do. */
  purge(batch: Uint32Array): boolean {
    let more = false;
    for (const lane of this.#lanes) {
      const { adjRibIn } = lane;
      const count = adjRibIn.takeDoomed(batch);
      for (let i = 0; i < count; i++) {
        adjRibIn.withdraw(batch[i]);
        lane.update(batch[i]);
        this.watches?.add(batch[i]);
      }
      more ||= adjRibIn.doomed > 0;
      if (count > 0) this.#core.touched();
    }
    if (!more && this.#paths === null && this.#lanes.length > 1) this.#dropLanes();
    for (const outlet of this.#leaving) if (!this.#release(outlet)) more = true;
    return more;
  }

  /** Everything is withdrawn: leaves the Loc-RIBs. */
  close(): void {
    for (const { locRib, filter } of [...this.#outlets, ...this.#leaving]) {
      for (const lane of this.#lanes) lane.removeOutlet(locRib);
      filter.close();
    }
  }

  /** Leaves a Loc-RIB once it has no path from here any more. */
  #release(outlet: Outlet): boolean {
    const { locRib, filter } = outlet;
    for (const { feeds } of this.#lanes) {
      for (const feed of feeds) if (feed.locRib === locRib && locRib.acceptedFrom(feed.source).size > 0) return false;
    }
    for (const lane of this.#lanes) lane.removeOutlet(locRib);
    filter.close();
    this.#leaving = this.#leaving.filter((other) => other !== outlet);
    return true;
  }

  /** The peer's own table, and those that its import policy may send routes to. */
  #outletsOf({ import: imports, table: own }: SpeakerPeer): Outlet[] {
    const policy = new CompiledPolicy(imports);
    return [own, ...policy.tables.filter((table) => table !== own)].map((table) => ({
      locRib: this.#core.locRib(table, this.family),
      filter: this.#filter(policy, { table, ownTable: own, address: () => this.#session.address }),
    }));
  }

  #filter(policy: CompiledPolicy, target: ImportTarget | null = null): ImportFilter {
    const { store } = this.#core;
    return new ImportFilter(policy, this.#prefixes, this.#peer, store, this.#ingress, this.#onIneligible, target);
  }

  #newLane(): Lane {
    const outlets = [...this.#outlets, ...this.#leaving];
    const adjRibIn = new AdjRibIn(this.#prefixes, this.#core.store);
    return new Lane(this.#peer, adjRibIn, this.#session, outlets, this.#paths !== null);
  }

  #addLane(): Lane | null {
    if (this.#lanes[0].feeds.some(({ locRib }) => locRib.full)) return null;
    const lane = this.#newLane();
    this.#lanes = [...this.#lanes, lane];
    return lane;
  }

  /** All but the first are empty, and stay so without path identifiers. */
  #dropLanes(): void {
    const [first, ...others] = this.#lanes;
    for (const lane of others) for (const { locRib } of lane.feeds) lane.removeOutlet(locRib);
    this.#lanes = [first];
  }

  readonly #ignored = (id: number, pathId: number): void => {
    if (this.pathsIgnored++ > 0) return;
    const fields = { peer: this.#peer, prefix: formatPrefixId(this.#prefixes, id), pathId, limit: this.#lanes.length };
    this.#core.log.warn(fields, "more paths of a prefix than addPath.limit: further ones are ignored");
  };

  #sum(of: (lane: Lane) => number): number {
    let sum = 0;
    for (const lane of this.#lanes) sum += of(lane);
    return sum;
  }
}
