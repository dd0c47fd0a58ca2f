// What we told one peer about one family (RFC 4271 §3.2), and the work of telling it more: takes dirty prefixes from the
// Loc-RIB, compares what should be announced with what was, and sends the difference, packed by attributes.
//
// The peer sets the pace: while its socket is full nothing is taken, changes of the same prefix fold into one bit, and
// what it gets afterwards is the present state. A slow peer costs no memory and sees no history.
import type { Family } from "../../net/address.ts";
import { DirtySet } from "../../net/dirty-set.ts";
import { PagedUint32 } from "../../net/paged-array.ts";
import type { Slices, SliceTask } from "../../net/slices.ts";
import type { LocRib } from "../loc-rib/loc-rib.ts";
import type { Subscription } from "../loc-rib/subscription.ts";
import { Afi, RefreshSubtype, Safi } from "../wire/registry.ts";
import { encodeRouteRefresh } from "../wire/route-refresh.ts";
import { encodeEndOfRib } from "../wire/update.ts";
import type { OutgoingSets } from "./outgoing-sets.ts";
import { NextHopForm } from "./outgoing-sets.ts";
import type { OwnNextHop } from "./own-next-hop.ts";
import type { Packer, PackerTarget, PrefixChains } from "./packer.ts";
import type { UpdateGroup } from "./update-group.ts";

/** Prefixes, and octets of attributes, that one batch sends at most: what a full socket cannot stop any more. */
const BATCH = 8192;
/** Prefixes that one batch looks at, most of them perhaps nothing that the peer is to be told. */
const LONGEST_LOOK = 2 * BATCH;
const BATCH_OCTETS = 256 * 1024;
const STEP = 256;

/** Scratch space of a batch; batches run one after another, so all Adj-RIBs-Out share it. */
export class BatchSpace implements PrefixChains {
  readonly taken = new Uint32Array(STEP);
  readonly ids = new Uint32Array(BATCH);
  readonly next = new Int32Array(BATCH);
  readonly withdrawn = new Uint32Array(BATCH);
  readonly withdrawnMp = new Uint32Array(BATCH);
  /** Outgoing set -> index into heads and tails. */
  readonly groups = new Map<number, number>();
  readonly heads = new Int32Array(BATCH);
  readonly tails = new Int32Array(BATCH);
}

export interface AdjRibOutOptions {
  readonly peer: string;
  readonly locRib: LocRib;
  readonly group: UpdateGroup;
  readonly sets: OutgoingSets;
  readonly ownNextHop: OwnNextHop;
  readonly maxMessage: number;
  /** What is sent for a refresh goes between BoRR and EoRR (RFC 7313). */
  readonly enhancedRefresh: boolean;
  readonly packer: Packer;
  readonly space: BatchSpace;
  readonly slices: Slices;
  /** As EstablishedSession.send. */
  readonly send: (messages: Uint8Array) => boolean;
  /** We have restarted, and what others have for us has not arrived yet. */
  readonly isRestarting: () => boolean;
}

export class AdjRibOut implements SliceTask {
  readonly #options: AdjRibOutOptions;
  #group: UpdateGroup;
  #subscription: Subscription | null;
  /** Prefix id -> outgoing set the peer was told. */
  readonly #advertised = new PagedUint32();
  /** To be sent even though the peer was told before (RFC 2918). */
  readonly #forced = new DirtySet();
  readonly #target: PackerTarget;
  readonly #mpTarget: PackerTarget;
  #size = 0;
  #blocked = false;
  #closed = false;
  #endOfRibSent = false;
  /** Where the pass that marks announced prefixes for a refresh goes on; -1: no refresh under way. */
  #refreshAt = -1;
  /** A refresh was begun and has not been sent to its end. */
  #refreshing = false;
  /** Asked for while one was under way: one more pass, however often. */
  #refreshAgain = false;

  constructor(options: AdjRibOutOptions) {
    this.#options = options;
    const { locRib, ownNextHop: own, maxMessage, send } = options;
    const target = {
      prefixes: locRib.prefixes,
      maxMessage,
      selfAttribute: own.form === "attribute" ? own.address : null,
      selfMp: own.form === "mp" ? own.address : null,
      send: (messages: Uint8Array) => {
        if (!this.#closed && !send(messages)) this.#blocked = true;
      },
    };
    this.#target = { ...target, mpWithdraw: locRib.family === 6 };
    this.#mpTarget = { ...target, mpWithdraw: true };
    this.#group = options.group;
    this.#subscription = this.#subscribe();
    this.#schedule();
  }

  get family(): Family {
    return this.#options.locRib.family;
  }

  /** Prefixes announced to the peer. */
  get size(): number {
    return this.#size;
  }

  /** Changes the peer has yet to hear of. */
  get pending(): number {
    return this.#subscription?.pending ?? 0;
  }

  get group(): UpdateGroup {
    return this.#group;
  }

  get ownNextHop(): OwnNextHop {
    return this.#options.ownNextHop;
  }

  /** The outgoing set the peer was told for a prefix, 0: none. */
  get(id: number): number {
    return this.#advertised.get(id);
  }

  /** The first announced prefix from `from` on, or -1. */
  next(from: number): number {
    return this.#advertised.next(from);
  }

  /** After a restart End-of-RIB had to wait; see #awaitsOthers. */
  restarted(): void {
    this.#schedule();
  }

  /** The socket takes more. */
  writable(): void {
    this.#blocked = false;
    this.#schedule();
  }

  /** Sends everything again (RFC 2918), at the pace of the peer: it can ask faster than it reads. */
  refresh(): void {
    this.#refreshAgain = true;
    this.#schedule();
  }

  /** Another policy: the peer is told the difference. */
  setGroup(group: UpdateGroup): void {
    this.#subscription?.close();
    this.#group = group;
    // Even a policy that announces nothing has to take back what was announced before.
    const subscription = this.#subscribe() ?? this.#options.locRib.watch("local", () => this.#schedule(), false);
    this.#subscription = subscription;
    this.#advertised.forEach((id) => {
      subscription.add(id);
    });
    this.#schedule();
  }

  /** The session is gone. What is remembered of it is released in slices. */
  close(): void {
    this.#closed = true;
    this.#subscription?.close();
    this.#subscription = null;
    this.#schedule();
  }

  step(): boolean {
    if (this.#closed) return this.#release();
    if (this.#blocked) return false;
    const { packer } = this.#options;
    this.#beginRefresh();
    this.#markRefresh();
    this.#batch();
    packer.flush(this.#target);
    this.#endRefresh();
    if (this.#blocked) return false;
    if (this.pending > 0 || this.#refreshAt >= 0) return true;
    if (!this.#endOfRibSent && !this.#awaitsOthers) {
      this.#endOfRibSent = true;
      this.#target.send(encodeEndOfRib(this.family));
    }
    return this.#mayBeginRefresh;
  }

  /** A marked one has to wait for End-of-RIB (RFC 7313 §4): until then everything is on its way anyway. */
  get #mayBeginRefresh(): boolean {
    if (!this.#refreshAgain || this.#refreshing || this.#blocked) return false;
    return this.#endOfRibSent || !this.#options.enhancedRefresh;
  }

  #beginRefresh(): void {
    if (!this.#mayBeginRefresh) return;
    this.#refreshAgain = false;
    this.#refreshing = true;
    this.#refreshAt = this.#subscription ? 0 : -1;
    this.#sendMarker(RefreshSubtype.BEGIN);
  }

  #endRefresh(): void {
    if (!this.#refreshing || this.#refreshAt >= 0 || this.#forced.size > 0 || this.#blocked) return;
    this.#refreshing = false;
    this.#sendMarker(RefreshSubtype.END);
  }

  #sendMarker(subtype: number): void {
    if (!this.#options.enhancedRefresh) return;
    this.#target.send(encodeRouteRefresh(this.family === 4 ? Afi.IPV4 : Afi.IPV6, Safi.UNICAST, subtype));
  }

  /**
   * End-of-RIB tells a neighbour that kept our routes over our restart to drop what was not announced again (RFC 4724
   * §4.1): routes that we pass on are complete only when they have arrived. Our own are there from the start.
   */
  get #awaitsOthers(): boolean {
    const { builtIn } = this.#group.policy;
    return builtIn !== "blocks" && builtIn !== "none" && this.#options.isRestarting();
  }

  #subscribe(): Subscription | null {
    const { builtIn } = this.#group.policy;
    if (builtIn === "none") return null;
    return this.#options.locRib.watch(builtIn === "blocks" ? "local" : "best", () => this.#schedule());
  }

  #schedule(): void {
    this.#options.slices.schedule(this);
  }

  /** Marks the next announced prefixes to be sent again. */
  #markRefresh(): void {
    const subscription = this.#subscription;
    if (this.#refreshAt < 0 || !subscription) return;
    let id = this.#advertised.next(this.#refreshAt);
    for (let marked = 0; marked < BATCH && id >= 0; marked++, id = this.#advertised.next(id + 1)) {
      this.#forced.add(id);
      subscription.add(id);
    }
    this.#refreshAt = id;
  }

  /** Takes a batch of dirty prefixes, sorts it by what is to be sent, and packs it. */
  #batch(): void {
    const { space, packer, sets } = this.#options;
    const subscription = this.#subscription;
    if (!subscription) return;
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
        const forced = this.#forced.size !== 0 && this.#forced.delete(id);
        if (set === old && !(forced && set !== 0)) continue;
        this.#remember(id, old, set);
        if (set === 0) {
          if (this.family === 4 && isMp(sets, old)) space.withdrawnMp[withdrawnMp++] = id;
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
    if (withdrawn > 0) packer.withdraw(this.#target, space.withdrawn, withdrawn);
    if (withdrawnMp > 0) packer.withdraw(this.#mpTarget, space.withdrawnMp, withdrawnMp);
    for (const [set, group] of space.groups) packer.announce(this.#target, sets, set, space, space.heads[group]);
  }

  /** What the peer should be told about a prefix now. */
  #outgoing(id: number): number {
    const { locRib, peer } = this.#options;
    const attributes = locRib.bestOf(id);
    if (attributes === 0) return 0;
    const source = locRib.sourceOf(id);
    if (!source || source.name === peer) return 0;
    return this.#group.export(id, attributes, source);
  }

  #remember(id: number, old: number, set: number): void {
    if (old === set) return;
    const { sets } = this.#options;
    if (set !== 0) sets.retain(set);
    if (old !== 0) sets.release(old);
    if (old === 0) this.#size++;
    else if (set === 0) this.#size--;
    // A prefix keeps its id while somebody has been told of it.
    const { prefixes } = this.#options.locRib;
    if (old === 0) prefixes.retain(id);
    else if (set === 0) prefixes.release(id);
    this.#advertised.set(id, set);
  }

  #release(): boolean {
    let id = this.#advertised.next(0);
    for (let i = 0; i < BATCH && id >= 0; i++, id = this.#advertised.next(id)) {
      this.#remember(id, this.#advertised.get(id), 0);
    }
    return id >= 0;
  }
}

function isMp(sets: OutgoingSets, set: number): boolean {
  const form = sets.formOf(set);
  return form === NextHopForm.MP_SELF || form === NextHopForm.MP_FIXED;
}
