// Addresses kept for pods that may come again, in one pool: which pod's, and since when. The oldest goes first: when its time
// is over, when there are more than the limit, or when somebody needs an address and there is no other.
import type { Released } from "./release-queue.ts";

export interface StickyOptions {
  /** `pod-name`: of every pod that has a name; `request`: of those that ask for it. */
  readonly by: "pod-name" | "request";
  /** Seconds after a pod's end. */
  readonly for: number;
  /** Most pods that addresses are kept for. */
  readonly limit: number;
}

export interface Reservation {
  readonly identity: string;
  readonly since: number;
  readonly entries: readonly Released[];
}

export class Reservations {
  /** Oldest first. */
  #byIdentity = new Map<string, Reservation>();
  #newest = Number.NEGATIVE_INFINITY;

  get size(): number {
    return this.#byIdentity.size;
  }

  get(identity: string): Reservation | undefined {
    return this.#byIdentity.get(identity);
  }

  /** Oldest first. */
  all(): Iterable<Reservation> {
    return this.#byIdentity.values();
  }

  /**
   * Adds an address to what is kept for its identity. Returns the reservation that it takes the place of: of an earlier
   * pod of the same identity.
   */
  keep(entry: Released & { readonly identity: string }): Reservation | null {
    const { identity, sequence } = entry;
    const former = this.#byIdentity.get(identity);
    const same = former?.entries[0].sequence === sequence;
    const entries = same ? [...former.entries.filter(({ address }) => address !== entry.address), entry] : [entry];
    // What it has already keeps its place.
    if (!same) this.#byIdentity.delete(identity);
    this.#byIdentity.set(identity, { identity, since: entry.since, entries });
    if (!same && entry.since < this.#newest) this.#sort();
    this.#newest = Math.max(this.#newest, entry.since);
    return former && !same ? former : null;
  }

  delete(identity: string): void {
    this.#byIdentity.delete(identity);
  }

  /** Takes out and returns those that are over at `now` (milliseconds), and the oldest beyond the limit. */
  expire(now: number, options: StickyOptions): Reservation[] {
    const over: Reservation[] = [];
    for (const reservation of this.#byIdentity.values()) {
      const inTime = reservation.since + options.for * 1000 > now;
      if (inTime && this.#byIdentity.size <= options.limit) break;
      this.#byIdentity.delete(reservation.identity);
      over.push(reservation);
    }
    return over;
  }

  /** Only when one came back that is older than others: after an allocation was undone. */
  #sort(): void {
    this.#byIdentity = new Map([...this.#byIdentity].sort(([, a], [, b]) => a.since - b.since));
  }
}

/** Whether a pool keeps an address for the pod that gave it back. */
export function isKept(
  entry: Released,
  options: StickyOptions | null,
  now: number,
): entry is Released & { identity: string } {
  if (!options || entry.identity === null || entry.keep === null) return false;
  if (options.by === "request" && entry.keep !== "asked") return false;
  return entry.since + options.for * 1000 > now;
}
