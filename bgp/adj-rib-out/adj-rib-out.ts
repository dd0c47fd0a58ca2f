// What we told one peer about one family (RFC 4271 §3.2), and the work of telling it more: takes dirty prefixes from the
// Loc-RIB, compares what should be announced with what was, and sends the difference, packed by attributes. Here is when
// that is done; what is remembered and compared differs: the best path in best-path-out.ts, several in paths-out.ts.
//
// The peer sets the pace: while its socket is full nothing is taken, changes of the same prefix fold into one bit, and
// what it gets afterwards is the present state. A slow peer costs no memory and sees no history.
import type { Family } from "../../net/address.ts";
import { DirtySet } from "../../net/dirty-set.ts";
import type { Slices, SliceTask } from "../../net/slices.ts";
import type { LocRib } from "../loc-rib/loc-rib.ts";
import type { RouteSource } from "../loc-rib/source.ts";
import type { Interest, Subscription } from "../loc-rib/subscription.ts";
import { Afi, RefreshSubtype, Safi } from "../wire/registry.ts";
import { encodeRouteRefresh } from "../wire/route-refresh.ts";
import { encodeEndOfRib } from "../wire/update.ts";
import type { DefaultRoute } from "./default-route.ts";
import type { OutgoingSets } from "./outgoing-sets.ts";
import type { OwnNextHop } from "./own-next-hop.ts";
import type { Packer, PackerTarget, PrefixChains } from "./packer.ts";
import type { UpdateGroup } from "./update-group.ts";

/** Prefixes, and octets of attributes, that one batch sends at most: what a full socket cannot stop any more. */
export const BATCH = 8192;
/** Prefixes that one batch looks at, most of them perhaps nothing that the peer is to be told. */
export const LONGEST_LOOK = 2 * BATCH;
/** Prefix ids that one step looks at to find what is there. */
const MARKED = 2 * BATCH;
export const BATCH_OCTETS = 256 * 1024;
export const STEP = 256;

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
  /** End-of-RIB is not to be sent yet; `restarted()` when it may be. */
  readonly holdsEndOfRib: () => boolean;
  /** Asked before a batch goes out that `size` counts already; false: the session has been ended instead. */
  readonly isWithinLimit: () => boolean;
  /** End-of-RIB is on its way, after so many prefixes. */
  readonly onEndOfRib?: (prefixes: number) => void;
  /** Something may have been sent, or nothing is left to be. */
  readonly onProgress?: () => void;
}

/** A route that the peer was told. */
export interface Advertised {
  /** Null without ADD-PATH. */
  readonly pathId: number | null;
  /** Outgoing set. */
  readonly set: number;
  readonly source: RouteSource | null;
}

export abstract class AdjRibOut implements SliceTask {
  protected readonly options: AdjRibOutOptions;
  #group: UpdateGroup;
  #subscription: Subscription | null;
  #defaultRoute: DefaultRoute | null = null;
  /** Prefix of the default route that is originated for this peer alone; 0: none is. */
  protected defaultId = 0;
  /** To be sent even though the peer was told before (RFC 2918). */
  protected readonly forced = new DirtySet();
  protected readonly target: PackerTarget;
  /** For what is withdrawn by MP_UNREACH_NLRI. */
  protected readonly mpTarget: PackerTarget;
  readonly #interest: Interest;
  #blocked = false;
  #closed = false;
  #endOfRibSent = false;
  /** Where the pass goes on that marks what is there and what was announced, for a first or another policy; -1: done. */
  #presentAt = -1;
  /** Where the pass that marks announced prefixes for a refresh goes on; -1: no refresh under way. */
  #refreshAt = -1;
  /** A refresh was begun and has not been sent to its end. */
  #refreshing = false;
  /** Asked for while one was under way: one more pass, however often. */
  #refreshAgain = false;

  /** `interest`: in what changes, unless only our own routes are announced. */
  constructor(options: AdjRibOutOptions, interest: Interest) {
    this.options = options;
    this.#interest = interest;
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
    this.target = { ...target, mpWithdraw: locRib.family === 6 };
    this.mpTarget = { ...target, mpWithdraw: true };
    this.#group = options.group;
    this.#subscription = this.#subscribe();
    if (this.#subscription) this.#presentAt = 0;
    this.#schedule();
  }

  get family(): Family {
    return this.options.locRib.family;
  }

  /** Prefixes announced to the peer. */
  abstract get size(): number;
  /** As size, but each path counts. */
  abstract get paths(): number;
  /** The first announced prefix from `from` on, or -1. */
  abstract next(from: number): number;
  /** What the peer was told about a prefix. */
  abstract advertised(id: number): readonly Advertised[];
  /** Takes a batch of dirty prefixes, sorts it by what is to be sent, and packs it. */
  protected abstract batch(subscription: Subscription): void;
  /** Lets go of some of what is remembered; false: nothing is left. */
  protected abstract release(): boolean;

  /** Changes the peer has yet to hear of. */
  get pending(): number {
    return this.#subscription?.pending ?? 0;
  }

  /** All that there is to say has been given to the socket, End-of-RIB too, and the socket takes more. */
  get told(): boolean {
    return this.#endOfRibSent && this.idle;
  }

  /** Nothing waits to be given to the socket, and the socket takes more. */
  get idle(): boolean {
    return this.pending === 0 && this.#presentAt < 0 && !this.#blocked;
  }

  /** The peer was told of this prefix, and its socket has taken that. */
  hasTold(id: number): boolean {
    return !this.#blocked && this.advertised(id).length > 0;
  }

  get group(): UpdateGroup {
    return this.#group;
  }

  get ownNextHop(): OwnNextHop {
    return this.options.ownNextHop;
  }

  /** End-of-RIB had to wait, for the end of our own restart (see #awaitsOthers) or for a while of the neighbour's. */
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
    this.#subscription = this.#subscribe() ?? this.#watchOwn();
    if (this.defaultId !== 0) this.#subscription.add(this.defaultId);
    this.#presentAt = 0;
    this.#schedule();
  }

  /** The default route that is originated for this peer alone, null: none. */
  get defaultRoute(): DefaultRoute | null {
    return this.#defaultRoute;
  }

  /** Another one, or none any more: the peer is told the difference. */
  setDefaultRoute(route: DefaultRoute | null): void {
    if (this.#closed) return;
    this.#subscription ??= this.#watchOwn();
    this.#defaultRoute = route;
    const id = route?.id ?? this.defaultId;
    this.defaultId = route?.id ?? 0;
    if (route)
      route.onChange = () => {
        this.#subscription?.add(id);
        // End-of-RIB may have waited for it.
        this.#schedule();
      };
    this.#subscription.add(id);
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
    if (this.#closed) return this.release();
    if (this.#blocked) return false;
    const more = this.#send();
    this.options.onProgress?.();
    return more;
  }

  #send(): boolean {
    const { packer } = this.options;
    this.#markPresent();
    this.#beginRefresh();
    this.#markRefresh();
    if (this.#subscription) this.batch(this.#subscription);
    packer.flush(this.target);
    this.#endRefresh();
    if (this.#blocked) return false;
    if (this.pending > 0 || this.#presentAt >= 0 || this.#refreshAt >= 0) return true;
    if (!this.#endOfRibSent && !this.#awaitsOthers && !this.options.holdsEndOfRib()) {
      this.#endOfRibSent = true;
      this.target.send(encodeEndOfRib(this.family));
      this.options.onEndOfRib?.(this.size);
    }
    return this.#mayBeginRefresh;
  }

  /** A marked one has to wait for End-of-RIB (RFC 7313 §4): until then everything is on its way anyway. */
  get #mayBeginRefresh(): boolean {
    if (!this.#refreshAgain || this.#refreshing || this.#blocked) return false;
    return this.#endOfRibSent || !this.options.enhancedRefresh;
  }

  #beginRefresh(): void {
    if (!this.#mayBeginRefresh) return;
    this.#refreshAgain = false;
    this.#refreshing = true;
    this.#refreshAt = this.#subscription ? 0 : -1;
    this.#sendMarker(RefreshSubtype.BEGIN);
  }

  #endRefresh(): void {
    if (!this.#refreshing || this.#refreshAt >= 0 || this.forced.size > 0 || this.#blocked) return;
    this.#refreshing = false;
    this.#sendMarker(RefreshSubtype.END);
  }

  #sendMarker(subtype: number): void {
    if (!this.options.enhancedRefresh) return;
    this.target.send(encodeRouteRefresh(this.family === 4 ? Afi.IPV4 : Afi.IPV6, Safi.UNICAST, subtype));
  }

  /**
   * End-of-RIB tells a neighbour that kept our routes over our restart to drop what was not announced again (RFC 4724
   * §4.1): routes that we pass on are complete only when they have arrived. Our own are there from the start.
   */
  get #awaitsOthers(): boolean {
    const route = this.#defaultRoute;
    if (route && !route.settled) return true;
    const { builtIn } = this.#group.policy;
    const own = (builtIn === "blocks" || builtIn === "none") && !route?.conditional;
    return !own && this.options.isRestarting();
  }

  #subscribe(): Subscription | null {
    const { builtIn } = this.#group.policy;
    if (builtIn === "none") return null;
    return this.options.locRib.watch(builtIn === "blocks" ? "local" : this.#interest, () => this.#schedule(), false);
  }

  /** For those who are told nothing of the Loc-RIB, or no more. */
  #watchOwn(): Subscription {
    return this.options.locRib.watch("local", () => this.#schedule(), false);
  }

  #schedule(): void {
    this.options.slices.schedule(this);
  }

  /** Marks the next prefixes that are there, or that the peer was told of. */
  #markPresent(): void {
    const subscription = this.#subscription;
    if (this.#presentAt < 0 || !subscription) return;
    const { locRib } = this.options;
    const from = this.#presentAt;
    const to = Math.min(from + MARKED, locRib.prefixes.limit);
    locRib.mark(subscription, from, to);
    for (let id = this.next(from); id >= 0 && id < to; id = this.next(id + 1)) subscription.add(id);
    this.#presentAt = to < locRib.prefixes.limit ? to : -1;
  }

  /** Marks the next announced prefixes to be sent again. */
  #markRefresh(): void {
    const subscription = this.#subscription;
    if (this.#refreshAt < 0 || !subscription) return;
    let id = this.next(this.#refreshAt);
    for (let marked = 0; marked < BATCH && id >= 0; marked++, id = this.next(id + 1)) {
      this.forced.add(id);
      subscription.add(id);
    }
    this.#refreshAt = id;
  }
}
