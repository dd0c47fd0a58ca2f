// Best-path changes for those who watch: at most one event per table and family every 100 ms, with the first prefixes and
// the count of all, whatever the rate. Costs nothing while nobody watches.
import { formatAddress } from "../net/address.ts";
import type { Clock, Timer } from "../net/clock.ts";
import type { RouteChange, RouteEvent, SpeakerEvent } from "./events.ts";
import type { LocRib } from "./loc-rib/loc-rib.ts";
import type { Subscription } from "./loc-rib/subscription.ts";
import { formatPrefixId } from "./route-views.ts";

/** Milliseconds. */
const INTERVAL = 100;
/** Prefixes named in one event. */
const SAMPLE = 64;

export class RouteEvents {
  readonly #clock: Clock;
  #locRibs: readonly LocRib[];
  readonly #listeners = new Set<(event: SpeakerEvent) => void>();
  readonly #sample = new Uint32Array(SAMPLE);
  #subscriptions: { locRib: LocRib; subscription: Subscription }[] = [];
  #timer: Timer | null = null;

  constructor(clock: Clock, locRibs: readonly LocRib[]) {
    this.#clock = clock;
    this.#locRibs = locRibs;
  }

  listen(listener: (event: SpeakerEvent) => void): () => void {
    if (this.#listeners.size === 0) this.#open();
    this.#listeners.add(listener);
    return () => {
      if (this.#listeners.delete(listener) && this.#listeners.size === 0) this.stop();
    };
  }

  emit(event: SpeakerEvent): void {
    for (const listener of this.#listeners) listener(event);
  }

  /** Tables have come or gone. */
  setLocRibs(locRibs: readonly LocRib[]): void {
    this.#locRibs = locRibs;
    if (this.#listeners.size > 0) this.#open();
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = null;
    for (const { subscription } of this.#subscriptions) subscription.close();
    this.#subscriptions = [];
  }

  #open(): void {
    const wake = () => {
      this.#timer ??= this.#clock.after(INTERVAL, () => this.#report());
    };
    const before = new Map(this.#subscriptions.map((entry) => [entry.locRib, entry]));
    this.#subscriptions = this.#locRibs.map(
      (locRib) => before.get(locRib) ?? { locRib, subscription: locRib.watch("best", wake, false) },
    );
    for (const { locRib, subscription } of before.values()) if (!this.#locRibs.includes(locRib)) subscription.close();
  }

  #report(): void {
    this.#timer = null;
    for (const { locRib, subscription } of this.#subscriptions) {
      const count = subscription.pending;
      if (count === 0) continue;
      const named = subscription.take(this.#sample);
      subscription.dirty.clear();
      const changes = Array.from(this.#sample.subarray(0, named), (id) => change(locRib, id));
      const event: RouteEvent = { type: "route", table: locRib.tableName, family: locRib.family, count, changes };
      this.emit(event);
    }
  }
}

function change(locRib: LocRib, id: number): RouteChange {
  return {
    prefix: formatPrefixId(locRib.prefixes, id),
    peer: locRib.sourceOf(id)?.name ?? null,
    nextHops: locRib.forwardingOf(id).map(({ gateway }) => formatAddress(gateway)),
  };
}
