// What is taken away again and again. In: every repair, with what was repaired and who had changed it. Out: a fight when it
// has been repaired so often within so short a time, until it has been left alone for as long.

import type { Clock } from "../../net/clock.ts";
import type { Culprit, Fight } from "../types.ts";
import { culpritText } from "./culprit.ts";

/** Repairs within the window that make a fight. */
const REPAIRS = 5;
const WINDOW_MS = 60_000;
const SUBJECTS = 256;

interface Entry {
  subject: string;
  by: Culprit | null;
  /** Of the first of this row of repairs. */
  began: number;
  since: number;
  last: number;
  repairs: number;
  told: boolean;
}

export interface FightEvents {
  began(fight: Fight): void;
  ended(fight: Fight): void;
}

export class Fights {
  readonly #clock: Clock;
  readonly #wallClock: () => number;
  readonly #events: FightEvents;
  /** The one repaired last comes last. */
  readonly #entries = new Map<string, Entry>();

  /** `wallClock`: milliseconds since 1970. */
  constructor(clock: Clock, wallClock: () => number, events: FightEvents) {
    this.#clock = clock;
    this.#wallClock = wallClock;
    this.#events = events;
  }

  /** Something was put back, once, however much of it. */
  repaired(subject: string, by: Culprit | null): void {
    this.expire();
    const now = this.#clock.now();
    const known = this.#entries.get(subject);
    // A few times in an hour is no fight.
    const current = known && (known.told || now - known.began < WINDOW_MS);
    const entry = current ? known : this.#create(subject, now);
    this.#entries.delete(subject);
    this.#entries.set(subject, entry);
    entry.repairs++;
    entry.last = now;
    // The latest one that has a name.
    if (by && (by.name || !entry.by?.name)) entry.by = by;
    if (entry.told || entry.repairs < REPAIRS) return;
    entry.told = true;
    this.#events.began(viewOf(entry));
  }

  /** To be called now and then. */
  expire(): void {
    const now = this.#clock.now();
    for (const [subject, entry] of this.#entries) {
      if (now - entry.last < WINDOW_MS) break;
      this.#entries.delete(subject);
      if (entry.told) this.#events.ended(viewOf(entry));
    }
  }

  list(): Fight[] {
    return [...this.#entries.values()].filter((entry) => entry.told).map(viewOf);
  }

  #create(subject: string, now: number): Entry {
    const oldest = this.#entries.keys().next();
    if (this.#entries.size >= SUBJECTS && !oldest.done) this.#entries.delete(oldest.value);
    const since = Math.floor(this.#wallClock() / 1000);
    return { subject, by: null, began: now, since, last: now, repairs: 0, told: false };
  }
}

function viewOf({ subject, by, since, repairs }: Entry): Fight {
  return { subject, by, since, repairs };
}

/** One line for people: what, by whom, since when, and what to do. */
export function fightText({ subject, by, since, repairs }: Fight): string {
  return (
    `${subject} has been changed or deleted again and again since ${new Date(since * 1000).toISOString()}, by ` +
    `${culpritText(by)}, and put back ${repairs} times: packets are lost in between. Have that program leave alone ` +
    "what has our protocol number"
  );
}
