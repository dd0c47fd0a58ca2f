// The routes we use: one family in one routing table (RFC 4271 §3.2). In: "source S changed prefix P". Out: per prefix
// the best path and the set of next hops to forward to, and to each consumer the ids that changed: a bitmap, so that a
// consumer that is slow, or away, costs one bit per prefix and finds the present state when it comes.
//
// Columns by prefix id, nothing per path: the paths of a prefix are read from the Adj-RIBs-In that have it when
// there is a decision to make. One accepted path, the ordinary case, needs no decision.
import type { Family } from "../../net/address.ts";
import { DirtySet } from "../../net/dirty-set.ts";
import { PagedRows } from "../../net/paged-array.ts";
import type { PrefixTable } from "../../net/prefix-table.ts";
import type { AttributeStore } from "../attribute-store.ts";
import type { BestPathOptions } from "./best-path-options.ts";
import { bestFirst, type Candidate, decide } from "./decision.ts";
import { LongLivedVariants } from "./long-lived-variants.ts";
import { type IdSource, NextHopSets } from "./next-hop-sets.ts";
import type { NextHops } from "./next-hops.ts";
import { pathStatuses } from "./path-status.ts";
import type { PathSelection, PathStatus, RouteSource } from "./source.ts";
import { type Interest, Subscription } from "./subscription.ts";
import type { LocRibSubscription, LocRibView, ResolvedMember } from "./types.ts";
import { walkPaths } from "./walk.ts";
import { Weights } from "./weights.ts";

/** Of a prefix: the best path's attributes after policy; the slot of the next-hop set; both of the rest in 16 bits each. */
const Column = { BEST: 0, SLOT: 1, SOURCE_AND_PATHS: 2 } as const;
/** Index of the best path's source, above the number of accepted paths. */
const SOURCE_SHIFT = 16;
const PATHS_MASK = 0xffff;

const NONE = new DirtySet();

interface SourceState {
  readonly source: RouteSource;
  /** Prefixes whose path the policy accepts. */
  readonly accepted: DirtySet;
}

export class LocRib implements LocRibView {
  readonly table: number;
  /** What people call the table. */
  tableName: string;
  readonly prefixes: PrefixTable;
  readonly #store: AttributeStore;
  readonly #nextHops: NextHops;
  readonly #sets: NextHopSets;
  readonly options: BestPathOptions;
  readonly #weights = new Weights();
  readonly #longLived: LongLivedVariants;
  /** Index 0 stays empty: no best path. */
  readonly #sources: (SourceState | null)[] = [null];
  readonly #indexes = new Map<RouteSource, number>();
  /** By prefix id, see Column. */
  readonly #rows = new PagedRows(3);
  #subscriptions: readonly Subscription[] = [];
  /** Those with interest in paths that are not used too. */
  #pathSubscriptions: readonly Subscription[] = [];
  readonly #candidates: Candidate[] = [];
  #size = 0;

  constructor(
    table: { readonly name: string; readonly id: number },
    prefixes: PrefixTable,
    store: AttributeStore,
    nextHops: NextHops,
    setIds: IdSource,
    options: BestPathOptions,
  ) {
    this.table = table.id;
    this.tableName = table.name;
    this.prefixes = prefixes;
    this.#store = store;
    this.#nextHops = nextHops;
    this.#sets = new NextHopSets(nextHops, setIds);
    this.options = options;
    this.#longLived = new LongLivedVariants(store, prefixes.family);
  }

  get family(): Family {
    return this.prefixes.family;
  }

  /** Prefixes with a best path. */
  get size(): number {
    return this.#size;
  }

  /** No further source can be told from the others. */
  get full(): boolean {
    return this.#sources.length > PATHS_MASK && !this.#sources.includes(null, 1);
  }

  addSource(source: RouteSource): void {
    const state = { source, accepted: new DirtySet() };
    let index = this.#sources.indexOf(null, 1);
    if (index < 0) index = this.#sources.push(null) - 1;
    this.#sources[index] = state;
    this.#indexes.set(source, index);
  }

  /** The source has withdrawn everything. */
  removeSource(source: RouteSource): void {
    const index = this.#indexes.get(source);
    if (index === undefined) return;
    this.#indexes.delete(source);
    this.#sources[index] = null;
  }

  /** Prefixes of the source that its policy accepts; to be read, not changed. */
  acceptedFrom(source: RouteSource): DirtySet {
    return this.#sources[this.#indexes.get(source) ?? 0]?.accepted ?? NONE;
  }

  /** The path of `source` for a prefix has changed, come or gone: decide again. */
  update(source: RouteSource, id: number): void {
    const index = this.#indexes.get(source) as number;
    const { accepted } = this.#sources[index] as SourceState;
    const attributes = this.#imported(source, id);
    let change = 0;
    if (attributes !== 0) change = accepted.add(id) ? 1 : 0;
    else if (accepted.delete(id)) change = -1;
    else return;
    const page = this.#rows.page(id);
    const at = this.#rows.offset(id) + Column.SOURCE_AND_PATHS;
    page[at] += change;
    const paths = page[at] & PATHS_MASK;
    if (this.#pathSubscriptions.length !== 0) this.#pathsChanged(id);
    if (paths === 0) this.#settle(id, 0, 0, 0);
    else if (paths === 1 && attributes !== 0) this.#decideAlone(source, index, id, attributes);
    else this.#decide(id);
  }

  /** Decides again after something around the prefix has changed: next hops, policies. */
  revisit(id: number): void {
    let paths = 0;
    for (const state of this.#sources) {
      if (!state) continue;
      if (this.#imported(state.source, id) !== 0) {
        state.accepted.add(id);
        paths++;
      } else {
        state.accepted.delete(id);
      }
    }
    const page = this.#rows.page(id);
    const at = this.#rows.offset(id) + Column.SOURCE_AND_PATHS;
    page[at] = ((page[at] & ~PATHS_MASK) | paths) >>> 0;
    this.#pathsChanged(id);
    this.#decide(id);
  }

  /** Everybody who may have paths here. */
  get sources(): RouteSource[] {
    return this.#sources.filter((state) => state !== null).map((state) => state.source);
  }

  /** Attribute id of the best path, 0: none. */
  bestOf(id: number): number {
    return this.#rows.get(id, Column.BEST);
  }

  sourceOf(id: number): RouteSource | null {
    return this.#sources[this.#sourceIndex(id)]?.source ?? null;
  }

  /** Prefixes with a path from any source, in order. */
  walk(): (from: number) => number {
    return walkPaths(this.#sources);
  }

  /** All paths of a prefix, best first, unused last. */
  pathsOf(id: number): PathStatus[] {
    const eligible = this.#collect(id);
    const used = decide(this.#candidates, eligible, this.#store, this.options);
    const order = this.#candidates.slice(0, eligible).map((candidate) => candidate.source);
    return pathStatuses(id, this.sources, order, used, {
      imported: (source) => this.#imported(source, id),
      nextHopOf: (source, attributes) => this.#nextHopOf(source, attributes),
    });
  }

  /** Paths of a prefix that can be used, for consumers that take several; valid until the next decision. */
  select(id: number, selection: PathSelection): readonly Candidate[] {
    const count = this.#collect(id);
    if (selection === "ordered") return bestFirst(this.#candidates.slice(0, count), this.#store, this.options);
    const all = selection === "all";
    return this.#candidates.slice(0, all ? count : decide(this.#candidates, count, this.#store, this.options));
  }

  /** A number for the source while it is here, from 1 on. */
  indexOf(source: RouteSource): number {
    return this.#indexes.get(source) ?? 0;
  }

  sourceAt(index: number): RouteSource | null {
    return this.#sources[index]?.source ?? null;
  }

  /** Next hops of the forwarding set, resolved. */
  forwardingOf(id: number): readonly ResolvedMember[] {
    return this.#sets.members(this.nextHopSetOf(id));
  }

  /** Subscribes to a kind of change; `present`: all prefixes with a route of that kind are dirty at the start. */
  watch(interest: Interest, wake: () => void, present = true): Subscription {
    const subscription = new Subscription(interest, wake, (closed) => {
      this.#subscriptions = this.#subscriptions.filter((other) => other !== closed);
      this.#pathSubscriptions = this.#pathSubscriptions.filter((other) => other !== closed);
    });
    if (present) this.mark(subscription, 0, this.prefixes.limit);
    if (interest === "paths") this.#pathSubscriptions = [...this.#pathSubscriptions, subscription];
    else this.#subscriptions = [...this.#subscriptions, subscription];
    return subscription;
  }

  /** Makes present prefixes dirty for one consumer, ids from `from` up to `to`: who has time does it piece by piece. */
  mark(subscription: Subscription, from: number, to: number): void {
    const all = subscription.interest !== "local";
    for (let id = from; id < to; id++)
      if (this.bestOf(id) !== 0 && (all || this.#isLocal(this.#sourceIndex(id)))) subscription.add(id);
  }

  /** Whether some consumer has yet to see the prefix, so that its id must not be given to another. */
  isAwaited(id: number): boolean {
    const awaits = ({ dirty }: Subscription) => dirty.has(id);
    return this.bestOf(id) !== 0 || this.#subscriptions.some(awaits) || this.#pathSubscriptions.some(awaits);
  }

  // LocRibView

  subscribe(wake: () => void): LocRibSubscription {
    return this.watch("forwarding", wake);
  }

  readPrefix(id: number, out: Uint8Array, offset: number): number {
    return this.prefixes.read(id, out, offset);
  }

  nextHopSetOf(id: number): number {
    return this.#sets.idOf(this.#rows.get(id, Column.SLOT));
  }

  nextHopSetMembers(set: number): readonly ResolvedMember[] {
    return this.#sets.members(set);
  }

  onNextHopSetChanged(listener: (set: number) => void): void {
    this.#sets.onChanged(listener);
  }

  onNextHopSetReleased(listener: (set: number) => void): void {
    this.#sets.onReleased(listener);
  }

  // Upkeep, called by the owner

  /** Next hops resolve to something else now; tells who forwards by them at once. */
  nextHopsChanged(nextHops: ReadonlySet<number>): void {
    this.#sets.nextHopsChanged(nextHops);
  }

  /** Sets without a prefix that wait for `sweep`. */
  get garbage(): number {
    return this.#sets.garbage;
  }

  sweep(): void {
    this.#sets.sweep();
  }

  /** Attributes after policy, 0: no path, not eligible, or rejected. */
  #imported(source: RouteSource, id: number): number {
    const raw = source.adjRibIn.get(id);
    if (raw === 0) return 0;
    const attributes = source.filter.apply(raw, id);
    return attributes !== 0 && source.adjRibIn.isLongLived(id) ? this.#longLived.of(attributes) : attributes;
  }

  #pathsChanged(id: number): void {
    for (const subscription of this.#pathSubscriptions) subscription.add(id);
  }

  #sourceIndex(id: number): number {
    return this.#rows.get(id, Column.SOURCE_AND_PATHS) >>> SOURCE_SHIFT;
  }

  #isLocal(index: number): boolean {
    return this.#sources[index]?.source.local ?? false;
  }

  #nextHopOf(source: RouteSource, attributes: number): number {
    return source.local ? 0 : source.session.nextHops.idOf(this.#store.nextHop[attributes]);
  }

  #decideAlone(source: RouteSource, index: number, id: number, attributes: number): void {
    if (source.local) {
      this.#settle(id, attributes, index, 0);
      return;
    }
    const nextHop = source.session.nextHops.idOf(this.#store.nextHop[attributes]);
    if (this.#nextHops.usable(nextHop)) this.#settle(id, attributes, index, this.#sets.slotOfOne(nextHop));
    else this.#settle(id, 0, 0, 0);
  }

  #decide(id: number): void {
    const eligible = this.#collect(id);
    if (eligible === 0) {
      this.#settle(id, 0, 0, 0);
      return;
    }
    const used = decide(this.#candidates, eligible, this.#store, this.options);
    const [best] = this.#candidates;
    this.#settle(id, best.attributes, this.#indexes.get(best.source) as number, this.#slotOf(best, used));
  }

  /** The next-hop set of the first `used` candidates. */
  #slotOf(best: Candidate, used: number): number {
    if (best.source.local) return 0;
    if (used === 1) return this.#sets.slotOfOne(best.nextHop);
    const nextHops: number[] = [];
    for (let i = 0; i < used; i++) nextHops.push(this.#candidates[i].nextHop);
    return this.#sets.slotOf(nextHops, this.options.linkBandwidth ? this.#weightsOf(used) : null);
  }

  /** Of the first `used` candidates; null: all alike. */
  #weightsOf(used: number): readonly number[] | null {
    const { bandwidth } = this.#store;
    if (bandwidth[this.#candidates[0].attributes] === 0) return null;
    const bandwidths: number[] = [];
    for (let i = 0; i < used; i++) bandwidths.push(bandwidth[this.#candidates[i].attributes]);
    return this.#weights.of(bandwidths);
  }

  /** Puts the eligible paths of a prefix into #candidates, returns how many. */
  #collect(id: number): number {
    let count = 0;
    for (let index = 1; index < this.#sources.length; index++) {
      const state = this.#sources[index];
      if (!state?.accepted.has(id)) continue;
      const { source } = state;
      const attributes = this.#imported(source, id);
      if (attributes === 0) continue;
      const nextHop = this.#nextHopOf(source, attributes);
      if (!source.local && !this.#nextHops.usable(nextHop)) continue;
      const stale = source.adjRibIn.isStale(id);
      const pathId = source.pathIds === null ? 0 : source.pathIds.get(id);
      const candidate = this.#candidates[count];
      if (candidate) {
        candidate.source = source;
        candidate.attributes = attributes;
        candidate.nextHop = nextHop;
        candidate.stale = stale;
        candidate.pathId = pathId;
      } else {
        this.#candidates.push({ source, attributes, nextHop, stale, pathId });
      }
      count++;
    }
    return count;
  }

  /** Takes over the result of a decision and tells who is interested in the difference. */
  #settle(id: number, attributes: number, index: number, slot: number): void {
    const page = this.#rows.page(id);
    const row = this.#rows.offset(id);
    const oldAttributes = page[row + Column.BEST];
    const oldSlot = page[row + Column.SLOT];
    const oldIndex = page[row + Column.SOURCE_AND_PATHS] >>> SOURCE_SHIFT;
    if (attributes === oldAttributes && index === oldIndex && slot === oldSlot) return;
    if (attributes !== oldAttributes) {
      if (attributes !== 0) this.#store.retain(attributes);
      if (oldAttributes !== 0) this.#store.release(oldAttributes);
      page[row + Column.BEST] = attributes;
    }
    if (slot !== oldSlot) {
      this.#sets.retain(slot);
      this.#sets.release(oldSlot);
      page[row + Column.SLOT] = slot;
    }
    if (index !== oldIndex) {
      const paths = page[row + Column.SOURCE_AND_PATHS] & PATHS_MASK;
      page[row + Column.SOURCE_AND_PATHS] = ((index << SOURCE_SHIFT) | paths) >>> 0;
      if (oldIndex === 0) this.#size++;
      else if (index === 0) this.#size--;
    }
    const bestChanged = attributes !== oldAttributes || index !== oldIndex;
    for (const subscription of this.#subscriptions) {
      const { interest } = subscription;
      if (
        interest === "best"
          ? bestChanged
          : interest === "forwarding"
            ? slot !== oldSlot
            : bestChanged && (this.#isLocal(index) || this.#isLocal(oldIndex))
      ) {
        subscription.add(id);
      }
    }
  }
}
