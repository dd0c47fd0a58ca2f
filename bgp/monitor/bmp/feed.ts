// One RIB view of one family on its way to one station: an Adj-RIB-In before or after policy, or a Loc-RIB. Takes dirty
// prefixes, and writes what the station should know of them now: replace semantics, as Adj-RIB-Out has them (RFC 7854 §5
// calls it state compression). What is remembered of what the station was told is one bit per prefix.
import { DirtySet } from "../../../net/dirty-set.ts";
import { PagedUint32 } from "../../../net/paged-array.ts";
import type { PrefixTable } from "../../../net/prefix-table.ts";
import type { AttributeStore } from "../../attribute-store.ts";
import type { AttributeOctets } from "../attribute-octets.ts";
import type { BmpPeer } from "./messages.ts";
import type { PathList, PrefixChains, RouteMonitoringWriter } from "./route-monitoring.ts";

/** Prefixes that one batch looks at, and octets of attributes in it, at most. */
const BATCH = 2048;
const BATCH_OCTETS = 64 * 1024;
const STEP = 64;
/** Milliseconds: a change that waited longer has no time any more, the prefix may have changed since. */
const PROMPT = 1000;

/** Scratch space of a batch; batches run one after another. */
export class FeedSpace implements PrefixChains {
  readonly taken = new Uint32Array(STEP);
  ids = new Uint32Array(BATCH);
  pathIds = new Uint32Array(BATCH);
  next = new Int32Array(BATCH);
  withdrawn: PathList = { ids: new Uint32Array(BATCH), pathIds: new Uint32Array(BATCH) };
  /** Attribute set -> index into heads and tails. */
  readonly groups = new Map<number, number>();
  heads = new Int32Array(BATCH);
  tails = new Int32Array(BATCH);

  /**
   * Makes room for so many paths of every prefix of a batch; `withdrawn` and `ids` take both a path that changes its
   * number.
   */
  ensure(lanes: number): void {
    const length = BATCH * lanes;
    if (this.ids.length >= length) return;
    this.ids = new Uint32Array(length);
    this.pathIds = new Uint32Array(length);
    this.next = new Int32Array(length);
    this.withdrawn = { ids: new Uint32Array(length), pathIds: new Uint32Array(length) };
    this.heads = new Int32Array(length);
    this.tails = new Int32Array(length);
  }
}

/** Where a feed reads. */
export interface FeedSource {
  readonly prefixes: PrefixTable;
  /** How many paths a prefix can have; more than one only with ADD-PATH (RFC 7911). */
  readonly lanes: number;
  /** The attribute set that the view has for a prefix now, 0: none. */
  setOf(id: number, lane: number): number;
  /** The path identifier it came with; null: prefixes have no path identifiers. */
  readonly pathIdOf: ((id: number, lane: number) => number) | null;
  /** About how many prefixes there are. */
  readonly size: number;
  /** For the initial dump: a function that returns the first prefix from `from` on that may be there, or -1. */
  walk(): (from: number) => number;
  /** Follows what changes from now on; `again`: everything may be different. */
  follow(wake: () => void, again: () => void): FeedSubscription;
}

export interface FeedSubscription {
  readonly pending: number;
  take(out: Uint32Array): number;
  close(): void;
}

export type FeedView = "prePolicy" | "postPolicy" | "locRib";

export interface FeedOptions {
  readonly peer: BmpPeer;
  readonly source: FeedSource;
  /** How AS numbers are written. */
  readonly as4: boolean;
  readonly store: AttributeStore;
  readonly octets: AttributeOctets;
  readonly space: FeedSpace;
  /** Milliseconds since 1970. */
  readonly wallTime: () => number;
  readonly wake: () => void;
}

/** What the station has of one lane. */
interface Told {
  /** Prefixes that it has a route for. They keep their ids meanwhile. */
  readonly prefixes: DirtySet;
  /** By prefix, with ADD-PATH. */
  readonly pathIds: PagedUint32;
}

export class Feed {
  readonly #options: FeedOptions;
  readonly #subscription: FeedSubscription;
  readonly #told: Told[] = [];
  readonly #walk: (from: number) => number;
  /** Where the initial dump, or another one, goes on, and how many prefixes it has had; -1: it has had all. */
  #walkAt = 0;
  #walked = 0;
  #dumped = false;
  /** When the oldest change that waits came about. */
  #changedAt = 0;

  constructor(options: FeedOptions) {
    this.#options = options;
    this.#walk = options.source.walk();
    this.#subscription = options.source.follow(
      () => {
        this.#changedAt = options.wallTime();
        options.wake();
      },
      () => {
        this.#walkAt = 0;
        this.#walked = 0;
        options.wake();
      },
    );
  }

  /** About how many prefixes the station has yet to hear of. */
  get pending(): number {
    const rest = this.#walkAt < 0 ? 0 : Math.max(0, this.#options.source.size - this.#walked);
    return this.#subscription.pending + rest;
  }

  /** Something is to be written: changes, or the end of the initial dump. */
  get due(): boolean {
    return this.#subscription.pending > 0 || this.#walkAt >= 0 || !this.#dumped;
  }

  /** A batch. */
  write(writer: RouteMonitoringWriter): void {
    const { peer, source, space, octets, as4 } = this.#options;
    const { prefixes, pathIdOf } = source;
    const withdrawn = this.#take();
    const time = this.#time();
    writer.addPath = pathIdOf !== null;
    if (withdrawn > 0) writer.withdraw(peer, time, prefixes, space.withdrawn, withdrawn);
    for (const [set, group] of space.groups) {
      octets.read(set, prefixes.family, as4);
      writer.announce(peer, time, prefixes, octets, space, space.heads[group]);
    }
    if (this.#subscription.pending > 0 || this.#walkAt >= 0 || this.#dumped) return;
    this.#dumped = true;
    writer.endOfRib(peer, prefixes.family);
  }

  /** Takes no further changes; `release` gives back the rest. */
  close(): void {
    this.#subscription.close();
  }

  /** After `close`, in slices. True: there is more. */
  release(): boolean {
    const { prefixes } = this.#options.source;
    const { taken } = this.#options.space;
    for (let rounds = BATCH / STEP; rounds > 0; rounds--) {
      const told = this.#told.find((candidate) => candidate.prefixes.size > 0);
      if (!told) return false;
      const count = told.prefixes.take(taken);
      for (let i = 0; i < count; i++) prefixes.release(taken[i]);
    }
    return true;
  }

  /**
   * Sorts what is to be said about dirty prefixes by attribute set into the space; returns how many paths are to be
   * withdrawn.
   */
  #take(): number {
    const { source, space, store } = this.#options;
    const { pathIdOf } = source;
    const lanes = Math.max(source.lanes, this.#told.length);
    space.ensure(lanes);
    space.groups.clear();
    while (this.#told.length < lanes) this.#told.push({ prefixes: new DirtySet(), pathIds: new PagedUint32() });
    let count = 0;
    let withdrawn = 0;
    let octets = 0;
    let last = 0;
    let lastGroup = 0;
    for (let looked = 0; looked <= BATCH - STEP && octets < BATCH_OCTETS; ) {
      const taken = this.#subscription.take(space.taken) || this.#takeWalked(space.taken);
      if (taken === 0) break;
      looked += taken;
      for (let i = 0; i < taken; i++) {
        const id = space.taken[i];
        for (let lane = 0; lane < lanes; lane++) {
          const set = source.setOf(id, lane);
          const pathId = pathIdOf !== null && set !== 0 ? pathIdOf(id, lane) : 0;
          if (this.#remember(this.#told[lane], id, set !== 0, pathId, withdrawn)) withdrawn++;
          if (set === 0) continue;
          if (set !== last) {
            last = set;
            const known = space.groups.get(set);
            lastGroup = known ?? space.groups.size;
            if (known === undefined) {
              space.groups.set(set, lastGroup);
              space.heads[lastGroup] = -1;
              octets += store.octets(set).length;
            }
          }
          space.ids[count] = id;
          space.pathIds[count] = pathId;
          space.next[count] = -1;
          if (space.heads[lastGroup] < 0) space.heads[lastGroup] = count;
          else space.next[space.tails[lastGroup]] = count;
          space.tails[lastGroup] = count++;
        }
      }
    }
    return withdrawn;
  }

  /** The next prefixes of the initial dump. */
  #takeWalked(out: Uint32Array): number {
    let count = 0;
    while (count < out.length && this.#walkAt >= 0) {
      const id = this.#walk(this.#walkAt);
      this.#walkAt = id < 0 ? -1 : id + 1;
      if (id >= 0) out[count++] = id;
    }
    this.#walked += count;
    return count;
  }

  /** Notes what the station has from now on. True: a path is to be withdrawn, and stands at withdrawn[at]. */
  #remember(told: Told, id: number, present: boolean, pathId: number, at: number): boolean {
    const { source, space } = this.#options;
    const known = told.prefixes.has(id);
    const gone = known && (!present || told.pathIds.get(id) !== pathId);
    if (gone) {
      space.withdrawn.ids[at] = id;
      space.withdrawn.pathIds[at] = told.pathIds.get(id);
    }
    if (present && !known) {
      told.prefixes.add(id);
      source.prefixes.retain(id);
    } else if (known && !present) {
      told.prefixes.delete(id);
      source.prefixes.release(id);
    }
    told.pathIds.set(id, pathId);
    return gone;
  }

  /** 0, for "not known", in the initial dump and for what has waited. */
  #time(): number {
    if (!this.#dumped || this.#walkAt >= 0) return 0;
    return this.#options.wallTime() - this.#changedAt < PROMPT ? this.#changedAt : 0;
  }
}
