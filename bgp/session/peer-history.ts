// What went wrong with a neighbour, for the operator who comes later: distinct events with how often and when first and last.
// In: an event of one kind, in words. Out: the last ones. Bounded, whatever a neighbour thinks of: so many at most, of so
// many characters, and a kind that comes in many words pushes out its own kind.
import type { Clock } from "../../net/clock.ts";
import type { PeerEvent } from "./types.ts";

/** Distinct events that are kept. */
const MOST = 10;
const LONGEST = 500;

interface Entry {
  readonly kind: PeerEvent["kind"];
  text: string;
  count: number;
  readonly first: number;
  last: number;
  /** By the clock. */
  at: number;
}

export class PeerHistory {
  readonly #clock: Clock;
  readonly #wallTime: () => number;
  /** The one that happened last comes last. */
  readonly #entries = new Map<string, Entry>();

  /** `wallTime`: milliseconds since 1970. */
  constructor(clock: Clock, wallTime: () => number = Date.now) {
    this.#clock = clock;
    this.#wallTime = wallTime;
  }

  /** Events of the same `key` are one, in the words of the last. */
  add(kind: PeerEvent["kind"], text: string, key: string = text): void {
    const words = text.length > LONGEST ? `${text.slice(0, LONGEST)}...` : text;
    const id = `${kind} ${key.slice(0, LONGEST)}`;
    const [at, last] = [this.#clock.now(), Math.floor(this.#wallTime() / 1000)];
    const known = this.#entries.get(id);
    if (known) {
      this.#entries.delete(id);
      this.#entries.set(id, { ...known, text: words, count: known.count + 1, last, at });
      return;
    }
    if (this.#entries.size >= MOST) this.#drop(kind);
    this.#entries.set(id, { kind, text: words, count: 1, first: last, last, at });
  }

  /** The last one first. */
  get events(): PeerEvent[] {
    const now = this.#clock.now();
    return [...this.#entries.values()]
      .reverse()
      .map(({ at, ...entry }) => ({ ...entry, age: Math.floor((now - at) / 1000) }));
  }

  /** The oldest of the kind that has most, counting one more of `coming`. */
  #drop(coming: PeerEvent["kind"]): void {
    const counts = new Map([[coming, 1]]);
    for (const { kind } of this.#entries.values()) counts.set(kind, (counts.get(kind) ?? 0) + 1);
    const [[most]] = [...counts].sort(([, a], [, b]) => b - a);
    for (const [id, { kind }] of this.#entries)
      if (kind === most) {
        this.#entries.delete(id);
        return;
      }
  }
}
