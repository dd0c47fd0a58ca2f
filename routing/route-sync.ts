// One Loc-RIB -> the fib worker. In: dirty prefix ids, drained in slices of one turn of the event loop each. Out: columns of
// route changes, and definitions of the next-hop sets that they refer to.
//
// A set is defined before the first route that uses it is sent, and removed after everything that was waiting when it
// was released has been sent. Set ids of several Loc-RIBs meet in one worker, so each gets ids of its own there.
import type { LocRibSubscription, LocRibView } from "../bgp/loc-rib/types.ts";
import type { Fib } from "./types.ts";

/** Prefixes per turn: about 2 ms, and enough for the kernel's preference for scattered order. */
const SLICE = 8192;

/** What a worker is told of learned routes. */
export type RouteSink = Pick<Fib, "apply" | "onDrain" | "setNextHopSet" | "removeNextHopSet">;

/** Takes everything and keeps nothing: for running the code that feeds a worker. */
export const nowhere: RouteSink = {
  apply: () => true,
  onDrain: () => () => undefined,
  setNextHopSet: () => undefined,
  removeNextHopSet: () => undefined,
};

/** Next id per worker, shared by all that feed it. */
const nextSetId = new WeakMap<RouteSink, number>();

function allocateSetId(fib: RouteSink): number {
  const id = nextSetId.get(fib) ?? 1;
  nextSetId.set(fib, id + 1);
  return id;
}

export class RouteSync {
  readonly #locRib: LocRibView;
  readonly #fib: RouteSink;
  readonly #subscription: LocRibSubscription;
  readonly #ignoreDrain: () => void;
  readonly #ids = new Uint32Array(SLICE);
  /** Set id of the Loc-RIB -> set id at the worker. */
  readonly #sets = new Map<number, number>();
  #released: number[] = [];
  #scheduled = false;
  #blocked = false;
  #stopped = false;
  #settled: (() => void)[] = [];

  constructor(locRib: LocRibView, fib: RouteSink) {
    this.#locRib = locRib;
    this.#fib = fib;
    this.#ignoreDrain = fib.onDrain(() => {
      this.#blocked = false;
      this.#schedule();
    });
    locRib.onNextHopSetChanged((set) => this.#setChanged(set));
    locRib.onNextHopSetReleased((set) => {
      this.#released.push(set);
      this.#schedule();
    });
    this.#subscription = locRib.subscribe(() => this.#schedule());
    if (this.#subscription.pending > 0) this.#schedule();
  }

  /** Resolves when every change so far has been handed to the worker. */
  settled(): Promise<void> {
    if (this.#stopped) return Promise.resolve();
    return new Promise((resolve) => {
      this.#settled.push(resolve);
      this.#schedule();
    });
  }

  stop(): void {
    this.#stopped = true;
    this.#subscription.close();
    this.#ignoreDrain();
    this.#resolveSettled();
  }

  #schedule(): void {
    if (this.#scheduled || this.#blocked || this.#stopped) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      if (!this.#stopped) this.#drain();
    });
  }

  #drain(): void {
    const count = this.#subscription.take(this.#ids);
    if (count > 0) this.#blocked = !this.#send(count);
    if (this.#subscription.pending > 0) {
      this.#schedule();
      return;
    }
    this.#removeReleased();
    this.#resolveSettled();
  }

  #send(count: number): boolean {
    const { family, table } = this.#locRib;
    const size = family === 4 ? 4 : 16;
    const addresses = new Uint8Array(count * size);
    const lengths = new Uint8Array(count);
    const nextHopSets = new Uint32Array(count);
    for (let i = 0; i < count; i++) {
      const id = this.#ids[i];
      lengths[i] = this.#locRib.readPrefix(id, addresses, i * size);
      const set = this.#locRib.nextHopSetOf(id);
      if (set !== 0) nextHopSets[i] = this.#sets.get(set) ?? this.#define(set);
    }
    return this.#fib.apply({ family, table, count, addresses, lengths, nextHopSets });
  }

  #define(set: number): number {
    const id = allocateSetId(this.#fib);
    this.#sets.set(set, id);
    this.#fib.setNextHopSet(id, this.#locRib.nextHopSetMembers(set));
    return id;
  }

  #setChanged(set: number): void {
    const id = this.#sets.get(set);
    if (id !== undefined && !this.#stopped) this.#fib.setNextHopSet(id, this.#locRib.nextHopSetMembers(set));
  }

  #removeReleased(): void {
    const released = this.#released;
    this.#released = [];
    for (const set of released) {
      const id = this.#sets.get(set);
      if (id === undefined) continue;
      this.#sets.delete(set);
      this.#fib.removeNextHopSet(id);
    }
  }

  #resolveSettled(): void {
    const settled = this.#settled;
    this.#settled = [];
    for (const resolve of settled) resolve();
  }
}
