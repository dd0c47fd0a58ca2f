// Several paths per prefix (ADD-PATH, RFC 7911): all that can be used, those in use, or the best few. A path's identifier
// is the number of its source in the Loc-RIB: the same as long as the path is announced, and no two paths of a prefix
// share one. Paths are announced, replaced and withdrawn each by itself; nothing goes back to the peer it came from.
import { PagedUint32 } from "../../net/paged-array.ts";
import type { Subscription } from "../loc-rib/subscription.ts";
import type { AddPathOptions } from "../session/types.ts";
import {
  AdjRibOut,
  type AdjRibOutOptions,
  type Advertised,
  BATCH,
  BATCH_OCTETS,
  BatchSpace,
  LONGEST_LOOK,
} from "./adj-rib-out.ts";

export type SentPaths = NonNullable<AddPathOptions["send"]>;

/** As BatchSpace, with a path identifier beside each prefix. */
export class PathSpace extends BatchSpace {
  readonly pathIds = new Uint32Array(BATCH);
  readonly withdrawnPathIds = new Uint32Array(BATCH);
  readonly withdrawnMpPathIds = new Uint32Array(BATCH);
  /** By path identifier: the outgoing set that the prefix at hand should have; 0 between two prefixes. */
  readonly wanted: number[] = [];
}

export class PathsOut extends AdjRibOut {
  readonly #space: PathSpace;
  readonly #send: SentPaths;
  /** By path identifier: prefix id -> outgoing set the peer was told. */
  readonly #columns: (PagedUint32 | undefined)[] = [];
  /** Prefix id -> paths the peer was told. */
  readonly #told = new PagedUint32();
  #size = 0;
  #paths = 0;
  // Of the batch at hand.
  #count = 0;
  #withdrawn = 0;
  #withdrawnMp = 0;
  #octets = 0;

  constructor(options: AdjRibOutOptions, space: PathSpace, send: SentPaths) {
    super(options, "paths");
    this.#space = space;
    this.#send = send;
  }

  override get size(): number {
    return this.#size;
  }

  override get paths(): number {
    return this.#paths;
  }

  override next(from: number): number {
    return this.#told.next(from);
  }

  override advertised(id: number): readonly Advertised[] {
    const told: Advertised[] = [];
    for (const [pathId, column] of this.#columns.entries()) {
      const set = column?.get(id) ?? 0;
      if (set !== 0) told.push({ pathId, set, source: this.options.locRib.sourceAt(pathId) });
    }
    return told;
  }

  protected override batch(subscription: Subscription): void {
    const { packer, sets } = this.options;
    const space = this.#space;
    space.groups.clear();
    this.#count = this.#withdrawn = this.#withdrawnMp = this.#octets = 0;
    for (let looked = 0; looked < LONGEST_LOOK && this.#octets < BATCH_OCTETS && !this.#full; looked++) {
      if (subscription.take(space.taken, 1) === 0) break;
      const id = space.taken[0];
      if (!this.#compare(id)) {
        subscription.add(id);
        break;
      }
    }
    if (!this.options.isWithinLimit()) return;
    if (this.#withdrawn > 0) packer.withdraw(this.target, space.withdrawn, this.#withdrawn, space.withdrawnPathIds);
    if (this.#withdrawnMp > 0)
      packer.withdraw(this.mpTarget, space.withdrawnMp, this.#withdrawnMp, space.withdrawnMpPathIds);
    for (const [set, group] of space.groups) packer.announce(this.target, sets, set, space, space.heads[group]);
  }

  protected override release(): boolean {
    let id = this.#told.next(0);
    for (let i = 0; i < BATCH && id >= 0; i++, id = this.#told.next(id)) {
      for (const { pathId, set } of this.advertised(id)) this.#remember(id, pathId as number, set, 0);
    }
    return id >= 0;
  }

  get #full(): boolean {
    return this.#count + this.#withdrawn + this.#withdrawnMp >= BATCH;
  }

  /**
   * Puts the difference between what a prefix should have and what the peer was told into the batch; false: there is
   * more, for the next one.
   */
  #compare(id: number): boolean {
    const { wanted } = this.#space;
    const end = Math.max(this.#want(id), this.#told.get(id) === 0 ? 0 : this.#columns.length);
    const used = this.#count + this.#withdrawn + this.#withdrawnMp;
    if (used > 0 && used + end > BATCH) {
      wanted.fill(0);
      return false;
    }
    const forced = this.forced.size !== 0 && this.forced.delete(id);
    let complete = true;
    for (let pathId = 1; pathId < end; pathId++) {
      const set = wanted[pathId] ?? 0;
      if (set !== 0) wanted[pathId] = 0;
      const old = this.#columns[pathId]?.get(id) ?? 0;
      if (set === old && !(forced && set !== 0)) continue;
      if (this.#full) {
        complete = false;
        continue;
      }
      this.#remember(id, pathId, old, set);
      if (set === 0) this.#addWithdrawn(id, pathId, old);
      else this.#add(id, pathId, set);
    }
    return complete;
  }

  /** Fills `wanted` with what the peer should be told about a prefix now; returns the end of what is filled. */
  #want(id: number): number {
    const { locRib, peer } = this.options;
    const { wanted } = this.#space;
    const most = typeof this.#send === "number" ? this.#send : Number.POSITIVE_INFINITY;
    if (id === this.defaultId && this.defaultRoute) {
      const { set, source } = this.defaultRoute;
      const pathId = locRib.indexOf(source);
      while (wanted.length <= pathId) wanted.push(0);
      wanted[pathId] = set;
      return pathId + 1;
    }
    let end = 0;
    let count = 0;
    for (const { source, attributes } of locRib.select(id, typeof this.#send === "number" ? "ordered" : this.#send)) {
      if (source.name === peer) continue;
      const set = this.group.export(id, attributes, source);
      if (set === 0) continue;
      const pathId = locRib.indexOf(source);
      while (wanted.length <= pathId) wanted.push(0);
      wanted[pathId] = set;
      if (pathId >= end) end = pathId + 1;
      if (++count >= most) break;
    }
    return end;
  }

  #add(id: number, pathId: number, set: number): void {
    const space = this.#space;
    let group = space.groups.get(set);
    if (group === undefined) {
      group = space.groups.size;
      space.groups.set(set, group);
      space.heads[group] = -1;
      this.#octets += this.options.sets.attributeLengthOf(set);
    }
    const at = this.#count++;
    space.ids[at] = id;
    space.pathIds[at] = pathId;
    space.next[at] = -1;
    if (space.heads[group] < 0) space.heads[group] = at;
    else space.next[space.tails[group]] = at;
    space.tails[group] = at;
  }

  #addWithdrawn(id: number, pathId: number, old: number): void {
    const space = this.#space;
    if (this.family === 4 && this.options.sets.isMp(old)) {
      space.withdrawnMpPathIds[this.#withdrawnMp] = pathId;
      space.withdrawnMp[this.#withdrawnMp++] = id;
    } else {
      space.withdrawnPathIds[this.#withdrawn] = pathId;
      space.withdrawn[this.#withdrawn++] = id;
    }
  }

  #remember(id: number, pathId: number, old: number, set: number): void {
    if (old === set) return;
    const { sets, locRib } = this.options;
    while (this.#columns.length <= pathId) this.#columns.push(undefined);
    const column = this.#columns[pathId] ?? new PagedUint32();
    this.#columns[pathId] = column;
    column.set(id, set);
    if (set !== 0) sets.retain(set);
    if (old !== 0) sets.release(old);
    if (old !== 0 && set !== 0) return;
    const told = this.#told.get(id) + (set === 0 ? -1 : 1);
    this.#told.set(id, told);
    this.#paths += set === 0 ? -1 : 1;
    // A prefix keeps its id while somebody has been told of it.
    if (told === 0) {
      this.#size--;
      locRib.prefixes.release(id);
    } else if (told === 1 && set !== 0) {
      this.#size++;
      locRib.prefixes.retain(id);
    }
  }
}
