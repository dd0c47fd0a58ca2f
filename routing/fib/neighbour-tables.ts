// Whether the kernel has room for neighbours. Nothing is notified when it has not, so its counters are read at each look
// for hazards. In: the counters. Out: tables that overflowed, until it has not happened for a minute.
import type { Clock } from "../../net/clock.ts";
import type { NeighbourOverflow } from "../hazards.ts";
import { type NeighbourTable, readNeighbourTable } from "../netlink/neighbour-table.ts";

const LASTING_MS = 60_000;

interface Seen {
  overflows: number;
  /** Of the counter, when this row of overflows began. */
  before: number;
  /** Of the clock. */
  last: number;
  /** Seconds since the epoch. */
  since: number;
}

export class NeighbourTables {
  readonly #clock: Clock;
  /** Milliseconds since 1970. */
  readonly #wallClock: () => number;
  readonly #read: (family: 4 | 6) => NeighbourTable | null;
  readonly #seen = new Map<4 | 6, Seen>();

  constructor(clock: Clock, wallClock: () => number, read = readNeighbourTable) {
    this.#clock = clock;
    this.#wallClock = wallClock;
    this.#read = read;
  }

  /** What happened before the first look is not told. */
  look(): Omit<NeighbourOverflow, "gateways">[] {
    const overflowing: Omit<NeighbourOverflow, "gateways">[] = [];
    for (const family of [4, 6] as const) {
      const table = this.#table(family);
      if (!table) continue;
      const now = this.#clock.now();
      const seen = this.#seen.get(family);
      if (!seen) {
        const { overflows: count } = table;
        this.#seen.set(family, { overflows: count, before: count, last: Number.NEGATIVE_INFINITY, since: 0 });
        continue;
      }
      if (table.overflows > seen.overflows) {
        if (now - seen.last >= LASTING_MS) {
          seen.before = seen.overflows;
          seen.since = Math.floor(this.#wallClock() / 1000);
        }
        seen.last = now;
        seen.overflows = table.overflows;
      }
      if (now - seen.last < LASTING_MS)
        overflowing.push({ family, limit: table.limit, count: seen.overflows - seen.before, since: seen.since });
    }
    return overflowing;
  }

  /** Null where there is no such table, or no answer: the next look will have one. */
  #table(family: 4 | 6): NeighbourTable | null {
    try {
      return this.#read(family);
    } catch {
      return null;
    }
  }
}
