// What all peers of a speaker share: prefixes and attributes by id, Loc-RIBs, next hops, update groups, the time slices;
// and the upkeep of it: deciding again when next hops or policies change, giving back ids that nobody uses.
import type { Family } from "../net/address.ts";
import type { Clock, Timer } from "../net/clock.ts";
import { DirtySet } from "../net/dirty-set.ts";
import type { Log } from "../net/log.ts";
import { Ipv4PrefixTable, Ipv6PrefixTable, type PrefixTable } from "../net/prefix-table.ts";
import { Slices, type SliceTask } from "../net/slices.ts";
import { UpdateReader } from "./adj-rib-in/update-reader.ts";
import { BatchSpace } from "./adj-rib-out/adj-rib-out.ts";
import { OutgoingSets } from "./adj-rib-out/outgoing-sets.ts";
import { Packer } from "./adj-rib-out/packer.ts";
import { PathSpace } from "./adj-rib-out/paths-out.ts";
import { UpdateGroups } from "./adj-rib-out/update-groups.ts";
import { AttributeStore } from "./attribute-store.ts";
import { Convergence } from "./convergence.ts";
import { LocRib } from "./loc-rib/loc-rib.ts";
import { NextHops, type NextHopView } from "./loc-rib/next-hops.ts";
import type { RouteSource } from "./loc-rib/source.ts";
import type { NextHopResolver } from "./next-hop-resolver.ts";
import type { SpeakerOptions } from "./speaker-types.ts";
import { Tables } from "./tables.ts";

/** Milliseconds from a change to the sweep of what it left behind. */
const SWEEP_DELAY = 1000;
/** Prefixes per slice that are decided again. */
const REVISIT_BATCH = 1024;
/** Prefix ids per slice that are looked at for it. */
const REVISIT_MARKED = 8192;

export class RibCore {
  readonly routerId: number;
  /** The node's AS. */
  readonly asn: number;
  readonly clusterId: number;
  /** Some peer is our client (RFC 4456). */
  reflector = false;
  readonly clock: Clock;
  readonly log: Log;
  readonly slices: Slices;
  readonly prefixes: { readonly 4: PrefixTable; readonly 6: PrefixTable } = {
    4: new Ipv4PrefixTable(),
    6: new Ipv6PrefixTable(),
  };
  readonly nextHops: NextHops;
  readonly store: AttributeStore;
  readonly reader: UpdateReader;
  readonly sets = new OutgoingSets();
  readonly groups: UpdateGroups;
  readonly packer = new Packer();
  readonly space = new BatchSpace();
  #pathSpace: PathSpace | null = null;
  readonly convergence: Convergence;
  /** End-of-RIB was sent to a peer, or received from it. */
  onEndOfRib: (peer: string, direction: "sent" | "received", family: Family, prefixes: number) => void = () => {};
  /** A peer may have been told something. */
  onProgress: () => void = () => {};
  readonly tables: Tables;
  readonly #revisits = new WeakMap<LocRib, Revisit>();
  readonly #sweep: Sweep;
  /** From our start until what neighbours have for us has arrived, when state of ours was kept over a restart. */
  restarting = false;
  #sweepTimer: Timer | null = null;
  #stopped = false;

  constructor(
    options: SpeakerOptions,
    dependencies: { readonly clock: Clock; readonly log: Log; readonly resolver: NextHopResolver },
    isConverged: () => boolean,
  ) {
    const { clock, log, resolver } = dependencies;
    this.routerId = options.routerId;
    this.asn = options.asn;
    this.clusterId = options.clusterId;
    this.clock = clock;
    this.log = log;
    this.slices = new Slices(clock, (error) => log.error({ err: error }, "internal error in the RIB"));
    this.nextHops = new NextHops(resolver);
    this.store = new AttributeStore(this.nextHops, options.bestPath.missingMedWorst ? 0xffff_ffff : 0);
    this.reader = new UpdateReader(this.store);
    this.groups = new UpdateGroups(this.store, this.sets, options, (peer, { family }, problem) => {
      log.warn({ peer, family, problem }, `some IPv${family} routes are not announced: ${problem}`);
    });
    this.convergence = new Convergence(clock, isConverged);
    const setIds = { next: 1 };
    const families = [4, 6] as const;
    this.tables = new Tables(options.tables, (table) =>
      families.map(
        (family) => new LocRib(table, this.prefixes[family], this.store, this.nextHops, setIds, options.bestPath),
      ),
    );
    this.#sweep = new Sweep(this);
    resolver.onChange(() => this.#resolverChanged());
  }

  /** Scratch space for peers that are sent several paths per prefix. */
  get pathSpace(): PathSpace {
    this.#pathSpace ??= new PathSpace();
    return this.#pathSpace;
  }

  get locRibs(): readonly LocRib[] {
    return this.tables.locRibs;
  }

  /** Throws RangeError for a table that is not configured. */
  locRib(table: number, family: Family): LocRib {
    return this.tables.locRib(table, family);
  }

  /** Decides again about every prefix that the source announces. */
  revisit(locRib: LocRib, source: RouteSource): void {
    const task = this.#revisits.get(locRib) ?? new Revisit(locRib);
    this.#revisits.set(locRib, task);
    task.add(source);
    this.slices.schedule(task);
  }

  /**
   * A neighbour is lost, and its routes are withdrawn from now on: those who forward to it and to others have that repaired
   * at once. Returns what to give to `withdrawn`.
   */
  lost(view: NextHopView, gateway: Uint8Array): ReadonlySet<number> {
    const avoided = this.nextHops.avoid(view, gateway);
    if (avoided.size > 0) for (const locRib of this.locRibs) locRib.nextHopsChanged(avoided);
    return avoided;
  }

  /** The lost neighbour's routes are withdrawn. */
  withdrawn(avoided: ReadonlySet<number>): void {
    if (avoided.size === 0) return;
    // Sets that only its routes had are not told: consumers may not have moved all their routes yet.
    for (const locRib of this.locRibs) locRib.sweep();
    this.nextHops.avoidNoLonger(avoided);
    for (const locRib of this.locRibs) locRib.nextHopsChanged(avoided);
  }

  /** Something has changed: ids may have become free. */
  touched(): void {
    if (this.#sweepTimer || this.#stopped) return;
    this.#sweepTimer = this.clock.after(SWEEP_DELAY, () => {
      this.#sweepTimer = null;
      this.#sweep.start();
      this.slices.schedule(this.#sweep);
    });
  }

  stop(): void {
    this.#stopped = true;
    this.slices.stop();
    this.#sweepTimer?.cancel();
    this.convergence.stop();
  }

  #resolverChanged(): void {
    if (this.#stopped) return;
    const { changed, views } = this.nextHops.refresh();
    if (changed.size === 0) return;
    for (const locRib of this.locRibs) {
      // First tell who forwards by these next hops: that repairs the traffic of all their routes at once.
      locRib.nextHopsChanged(changed);
      for (const source of locRib.sources) if (views.has(source.session.nextHops)) this.revisit(locRib, source);
    }
    this.touched();
  }
}

class Revisit implements SliceTask {
  readonly #locRib: LocRib;
  /** Sources whose prefixes are to be marked, and from which on. */
  readonly #marking = new Set<RouteSource>();
  #at = 0;
  readonly #dirty = new DirtySet();
  readonly #batch = new Uint32Array(REVISIT_BATCH);

  constructor(locRib: LocRib) {
    this.#locRib = locRib;
  }

  /** What has been decided since the last time is decided again too. */
  add(source: RouteSource): void {
    this.#marking.add(source);
    this.#at = 0;
  }

  step(): boolean {
    if (this.#marking.size > 0 && this.#dirty.size < REVISIT_BATCH) this.#mark();
    const count = this.#dirty.take(this.#batch);
    for (let i = 0; i < count; i++) this.#locRib.revisit(this.#batch[i]);
    return this.#dirty.size > 0 || this.#marking.size > 0;
  }

  /** Marks the next prefixes, of all sources at once: what several of them have is decided about once. */
  #mark(): void {
    const to = this.#at + REVISIT_MARKED;
    let last = true;
    for (const { adjRibIn } of this.#marking) {
      let id = adjRibIn.next(this.#at);
      for (; id >= 0 && id < to; id = adjRibIn.next(id + 1)) this.#dirty.add(id);
      if (id >= 0) last = false;
    }
    this.#at = to;
    if (last) this.#marking.clear();
  }
}

/** Gives back ids that nobody uses: outgoing sets, attribute sets, prefixes, next-hop sets. One round over what there is. */
class Sweep implements SliceTask {
  readonly #core: RibCore;
  #rounds = 0;

  constructor(core: RibCore) {
    this.#core = core;
  }

  start(): void {
    // Each step takes 256 of everything; what has to stay must not keep it running.
    this.#rounds = Math.ceil(this.#garbage / 256);
  }

  step(): boolean {
    const { store, sets, prefixes, locRibs, tables } = this.#core;
    store.sweep();
    sets.sweep();
    for (const table of [prefixes[4], prefixes[6]])
      table.sweep((id) => locRibs.some((locRib) => locRib.prefixes === table && locRib.isAwaited(id)));
    for (const locRib of locRibs) locRib.sweep();
    if (--this.#rounds > 0) return true;
    tables.release();
    // Freed attribute sets leave outgoing sets behind, and so on.
    if (this.#garbage > 0 || tables.areRetiring) this.#core.touched();
    return false;
  }

  get #garbage(): number {
    const { store, sets, prefixes, locRibs } = this.#core;
    let most = Math.max(store.garbage, sets.garbage, prefixes[4].garbage, prefixes[6].garbage);
    for (const locRib of locRibs) most = Math.max(most, locRib.garbage);
    return most;
  }
}
