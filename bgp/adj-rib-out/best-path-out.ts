// One path per prefix, the best one, as BGP without ADD-PATH has it.
import { PagedUint32 } from "../../net/paged-array.ts";
import type { Subscription } from "../loc-rib/subscription.ts";
import {
  AdjRibOut,
  type AdjRibOutOptions,
  type Advertised,
  BATCH,
  BATCH_OCTETS,
  LONGEST_LOOK,
  STEP,
} from "./adj-rib-out.ts";

export class BestPathOut extends AdjRibOut {
  /** Prefix id -> outgoing set the peer was told. */
  readonly #advertised = new PagedUint32();
  #size = 0;

  constructor(options: AdjRibOutOptions) {
    super(options, "best");
  }

  override get size(): number {
    return this.#size;
  }

  override get paths(): number {
    return this.#size;
  }

  override next(from: number): number {
    return this.#advertised.next(from);
  }

  override advertised(id: number): readonly Advertised[] {
    const set = this.#advertised.get(id);
    if (set === 0) return [];
    const own = id === this.defaultId ? this.defaultRoute : null;
    return [{ pathId: null, set, source: own?.source ?? this.options.locRib.sourceOf(id) }];
  }

  protected override batch(subscription: Subscription): void {
    const { space, packer, sets } = this.options;
    space.groups.clear();
    let count = 0;
    let withdrawn = 0;
    let withdrawnMp = 0;
    let octets = 0;
    let looked = 0;
    let last = 0;
    let lastGroup = 0;
    while (count + withdrawn + withdrawnMp <= BATCH - STEP && octets < BATCH_OCTETS && looked < LONGEST_LOOK) {
      const taken = subscription.take(space.taken);
      if (taken === 0) break;
      looked += taken;
      for (let i = 0; i < taken; i++) {
        const id = space.taken[i];
        const set = this.#outgoing(id);
        const old = this.#advertised.get(id);
        const forced = this.forced.size !== 0 && this.forced.delete(id);
        if (set === old && !(forced && set !== 0)) continue;
        this.#remember(id, old, set);
        if (set === 0) {
          if (this.family === 4 && sets.isMp(old)) space.withdrawnMp[withdrawnMp++] = id;
          else space.withdrawn[withdrawn++] = id;
          continue;
        }
        if (set !== last) {
          last = set;
          const known = space.groups.get(set);
          if (known === undefined) {
            lastGroup = space.groups.size;
            space.groups.set(set, lastGroup);
            space.heads[lastGroup] = -1;
            octets += sets.attributeLengthOf(set);
          } else {
            lastGroup = known;
          }
        }
        space.ids[count] = id;
        space.next[count] = -1;
        if (space.heads[lastGroup] < 0) space.heads[lastGroup] = count;
        else space.next[space.tails[lastGroup]] = count;
        space.tails[lastGroup] = count++;
      }
    }
    if (count > 0 && !this.options.isWithinLimit()) return;
    if (withdrawn > 0) packer.withdraw(this.target, space.withdrawn, withdrawn);
    if (withdrawnMp > 0) packer.withdraw(this.mpTarget, space.withdrawnMp, withdrawnMp);
    for (const [set, group] of space.groups) packer.announce(this.target, sets, set, space, space.heads[group]);
  }

  /** What the peer should be told about a prefix now. */
  #outgoing(id: number): number {
    if (id === this.defaultId) return this.defaultRoute?.set ?? 0;
    const { locRib, peer } = this.options;
    const attributes = locRib.bestOf(id);
    if (attributes === 0) return 0;
    const source = locRib.sourceOf(id);
    if (!source || source.name === peer) return 0;
    return this.group.export(id, attributes, source);
  }

  #remember(id: number, old: number, set: number): void {
    if (old === set) return;
    const { sets } = this.options;
    if (set !== 0) sets.retain(set);
    if (old !== 0) sets.release(old);
    if (old === 0) this.#size++;
    else if (set === 0) this.#size--;
    // A prefix keeps its id while somebody has been told of it.
    const { prefixes } = this.options.locRib;
    if (old === 0) prefixes.retain(id);
    else if (set === 0) prefixes.release(id);
    this.#advertised.set(id, set);
  }

  protected override release(): boolean {
    let id = this.#advertised.next(0);
    for (let i = 0; i < BATCH && id >= 0; i++, id = this.#advertised.next(id)) {
      this.#remember(id, this.#advertised.get(id), 0);
    }
    return id >= 0;
  }
}
