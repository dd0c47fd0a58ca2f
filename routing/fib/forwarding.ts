// Whether the kernel forwards as it is wanted to: what the daemon may tell neighbours when it asks them to keep their
// routes (the F bit, RFC 4724 §3). In: what was found at start, routes that the kernel refused, doubts. Out: a short
// list, told when it changes; the main thread has no time to ask when an OPEN is due.
//
// Before the daemon has said what it wants, that is: learned routes of a family in a table were found, and each leads
// to a group with a next hop on a link that is up; and of the configuration's own rules and blackholes, all were there.
// Afterwards: the kernel has refused nothing of it, and no notification was lost that has not been made up for.
import type { Family } from "../../net/address.ts";
import type { FibStatus, ForwardingState } from "../types.ts";
import type { FibState } from "./state.ts";

const families: readonly Family[] = [4, 6];

export interface ForwardingSources {
  failed(): FibStatus["failed"];
  /** What is in the kernel has to be read anew. */
  inDoubt(): boolean;
}

export class Forwarding {
  readonly #state: FibState;
  readonly #sources: ForwardingSources;
  #adopted: ForwardingState["tables"] = [];
  #owned: readonly Family[] = [];
  #tables: readonly number[] = [];
  #settled = false;
  #told = "";

  constructor(state: FibState, sources: ForwardingSources) {
    this.#state = state;
    this.#sources = sources;
  }

  /** Looks at what a dump has found at start. */
  adopt(): void {
    const { routes, nextHops } = this.#state;
    const live = nextHops.liveGroups();
    this.#adopted = routes.tables().flatMap((table) => {
      let whole = table.staleCount > 0;
      for (let id = 0; id < table.top && whole; id++) if (table.isStale(id)) whole = live.has(table.kernel[id]);
      return whole ? [{ family: table.family, table: table.table }] : [];
    });
    this.update();
  }

  /** The configuration's own state has just been written; `found`: families where all of it was there before. */
  owned(found: readonly Family[], tables: readonly number[]): void {
    this.#owned = this.#settled ? families : found;
    this.#tables = tables;
    this.update();
  }

  /** What was found at start and not asked for is gone. */
  swept(): void {
    this.#adopted = [];
    this.update();
  }

  /** What was wanted is there, and what was not wanted is gone. */
  settle(): void {
    this.#settled = true;
    this.#owned = families;
    this.update();
  }

  update(): void {
    const { install, deps, stopped } = this.#state;
    if (!install || stopped) return;
    const state = this.#sources.inDoubt() ? { tables: [], owned: [] } : this.#now();
    const text = JSON.stringify(state);
    if (text === this.#told) return;
    this.#told = text;
    deps.forwarding(state);
  }

  #now(): ForwardingState {
    const all = this.#tables.flatMap((table) => families.map((family) => ({ family, table })));
    const refused = new Set(
      this.#sources.failed().map(({ prefix, table }) => `${prefix.includes(":") ? 6 : 4} ${table}`),
    );
    const tables = (this.#settled ? all : this.#adopted).filter(
      ({ family, table }) => !refused.has(`${family} ${table}`),
    );
    return { tables, owned: this.#owned };
  }
}
