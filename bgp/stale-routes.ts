// What becomes of a neighbour's routes when its session ends: the helper of RFC 4724 §4.2, with RFC 8538 and RFC 9494.
// In: ends and beginnings of sessions, End-of-RIB, time. Out: marks in the Adj-RIBs-In; the owner withdraws what is
// doomed.
//
//   lost ------> stale ---restart time---> long-lived stale ---its time---> gone
//                  |    (or gone at once)         |
//             back, F bit set            back, F bit set
//                  +---------> announced again <--+    the rest goes at End-of-RIB, or after staleTime
//
// A neighbour that is lost again before its End-of-RIB: what was stale already goes (RFC 4724 §4.2), or stays where
// both sides set the N bit (RFC 8538), but never longer than one restart time and one staleTime from the first loss.
// The long-lived stale time runs from its first start to End-of-RIB, whatever happens meanwhile.
import type { Family } from "../net/address.ts";
import type { Clock, Timer } from "../net/clock.ts";
import type { Log } from "../net/log.ts";
import type { Negotiated } from "./session/types.ts";

/** One family of the neighbour: all its Adj-RIBs-In. */
export interface StaleFamily {
  readonly family: Family;
  readonly stale: number;
  readonly longLived: number;
  markStale(before: "keep" | "doom"): void;
  markLongLived(): void;
  doomStale(): void;
  doomLongLived(): void;
  doomAll(): void;
  /** Has everything decided again. */
  revisit(): void;
}

export interface StaleRoutesOwner {
  readonly peer: string;
  readonly families: ReadonlyMap<Family, StaleFamily>;
  readonly clock: Clock;
  readonly log: Log;
  /** GracefulRestartOptions.staleTime, seconds. */
  staleTime(): number;
  /** Something is doomed. */
  purge(): void;
}

export type HelperPhase = "restarting" | "refreshing" | "long-lived";

/** Of the longest that stale routes may stay. */
export interface HelperView {
  readonly phase: HelperPhase;
  /** Seconds. */
  readonly left: number;
}

type Restart = NonNullable<Negotiated["gracefulRestart"]>;

interface Countdown {
  readonly timer: Timer;
  readonly end: number;
}

export class StaleRoutes {
  readonly #owner: StaleRoutesOwner;
  /** Until the neighbour is back, or, when it is, until it has announced what it still has. */
  #countdown: (Countdown & { readonly phase: "restarting" | "refreshing" }) | null = null;
  readonly #longLived = new Map<Family, Countdown>();
  /** When what is stale goes however often the neighbour comes and goes; null: nothing is stale. */
  #bound: number | null = null;

  constructor(owner: StaleRoutesOwner) {
    this.#owner = owner;
  }

  get count(): number {
    let count = 0;
    for (const { stale } of this.#owner.families.values()) count += stale;
    return count;
  }

  get view(): HelperView | null {
    const now = this.#owner.clock.now();
    const seconds = (end: number) => Math.max(0, Math.ceil((end - now) / 1000));
    if (this.count === 0) return null;
    if (this.#countdown) return { phase: this.#countdown.phase, left: seconds(this.#countdown.end) };
    const ends = [...this.#longLived.values()].map(({ end }) => end);
    return ends.length === 0 ? null : { phase: "long-lived", left: seconds(Math.max(...ends)) };
  }

  /** The session has ended. `restart`: what was agreed on; null: nothing is kept. */
  lost(restart: Restart | null): void {
    const { families, log, peer } = this.#owner;
    this.#stopCountdown();
    for (const part of families.values()) {
      const { family } = part;
      if (restart?.families.has(family) || restart?.longLived.has(family)) {
        part.markStale(restart.notification ? "keep" : "doom");
        // Where others have the route too, theirs is better now.
        part.revisit();
      } else {
        part.doomAll();
        this.#stopLongLived(family);
      }
    }
    const routes = this.count;
    if (restart && routes > 0) {
      log.info({ peer, routes, seconds: restart.time }, "keeping routes of a restarting peer");
      const now = this.#owner.clock.now();
      this.#bound ??= now + (restart.time + this.#owner.staleTime()) * 1000;
      this.#start("restarting", Math.min(restart.time * 1000, this.#bound - now), () => this.#stayedAway(restart));
    }
    this.#owner.purge();
  }

  /** The neighbour is back. Families that are not negotiated are the owner's affair. */
  established({ gracefulRestart }: Pick<Negotiated, "gracefulRestart">): void {
    this.#stopCountdown();
    for (const part of this.#owner.families.values()) {
      const { family } = part;
      // A neighbour that has lost its forwarding state must not be sent traffic for its old routes (RFC 4724 §4.2).
      const kept = gracefulRestart?.families.get(family) ?? false;
      const longKept = gracefulRestart?.longLived.get(family)?.forwarding ?? false;
      if (!kept && (!longKept || part.longLived < part.stale)) part.doomStale();
      else if (!longKept) part.doomLongLived();
      if (part.longLived === 0) this.#stopLongLived(family);
    }
    const routes = this.count;
    this.#owner.purge();
    if (routes === 0) {
      this.#bound = null;
      return;
    }
    const staleTime = this.#owner.staleTime() * 1000;
    const left = this.#bound === null ? staleTime : this.#bound - this.#owner.clock.now();
    this.#start("refreshing", Math.min(staleTime, left), () => this.drop("no End-of-RIB within the stale time"));
  }

  endOfRib(family: Family): void {
    this.#owner.families.get(family)?.doomStale();
    this.#stopLongLived(family);
    this.#owner.purge();
    if (this.count > 0) return;
    this.#stopCountdown();
    this.#bound = null;
  }

  /** Packets to the neighbour do not arrive: its restart is not graceful (RFC 5882 §4.3.1). */
  abort(reason: string): void {
    if (this.#countdown?.phase !== "refreshing") this.drop(reason);
  }

  /** Stale routes go now. */
  drop(reason: string): void {
    const { families, log, peer } = this.#owner;
    const routes = this.count;
    this.close();
    if (routes === 0) return;
    log.warn({ peer, routes, reason }, "graceful restart ended: stale routes withdrawn");
    for (const part of families.values()) part.doomStale();
    this.#owner.purge();
  }

  /** The owner has doomed everything. */
  close(): void {
    this.#stopCountdown();
    this.#bound = null;
    for (const family of [...this.#longLived.keys()]) this.#stopLongLived(family);
  }

  /** RFC 9494 §4.2: the restart time is over, and another begins for the families that have one. */
  #stayedAway(restart: Restart): void {
    const { families, log, peer } = this.#owner;
    this.#countdown = null;
    this.#bound = null;
    let dropped = 0;
    for (const part of families.values()) {
      if (part.stale === 0) continue;
      const staleTime = restart.longLived.get(part.family)?.staleTime ?? 0;
      const before = part.stale;
      if (staleTime === 0) part.doomStale();
      else this.#begin(part, staleTime);
      dropped += before - part.stale;
    }
    if (dropped > 0) log.warn({ peer, routes: dropped }, "graceful restart timed out: stale routes withdrawn");
    this.#owner.purge();
  }

  #begin(part: StaleFamily, staleTime: number): void {
    const { clock, log, peer } = this.#owner;
    const { family } = part;
    part.markLongLived();
    part.revisit();
    if (this.#longLived.has(family)) return;
    const ms = staleTime * 1000;
    const timer = clock.after(ms, () => {
      this.#longLived.delete(family);
      if (part.longLived === 0) return;
      log.warn({ peer, family, routes: part.longLived }, "long-lived stale time over: stale routes withdrawn");
      part.doomLongLived();
      this.#owner.purge();
    });
    this.#longLived.set(family, { timer, end: clock.now() + ms });
    log.warn(
      { peer, family, routes: part.longLived, seconds: staleTime },
      "peer stays away: its routes are kept as a last resort",
    );
  }

  #start(phase: "restarting" | "refreshing", ms: number, over: () => void): void {
    const { clock } = this.#owner;
    const delay = Math.max(0, ms);
    this.#countdown = { phase, timer: clock.after(delay, over), end: clock.now() + delay };
  }

  #stopCountdown(): void {
    this.#countdown?.timer.cancel();
    this.#countdown = null;
  }

  #stopLongLived(family: Family): void {
    this.#longLived.get(family)?.timer.cancel();
    this.#longLived.delete(family);
  }
}
