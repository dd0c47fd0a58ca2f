// Routes of other programs in our tables: counted, told as a hazard, never touched. In: notifications, and now and then a
// dump of our tables, because routes go with their link in silence. Out: how many per table, and one of them.
import { formatAddress } from "../../net/address.ts";
import type { Timer } from "../../net/clock.ts";
import type { ForeignRouteCount } from "../hazards.ts";
import { NetlinkError } from "../netlink/error.ts";
import { encodeRouteDump, RouteReader } from "../netlink/route.ts";
import { NetlinkSocket } from "../netlink/socket.ts";
import type { FibState } from "./state.ts";

/** Per table; of more than that, only that it is more is known until they are counted again. */
const REMEMBERED = 1000;
const RECOUNT_MS = { first: 1000, again: 30_000 };
const SLICE_MS = 4;

export class ForeignRoutes {
  readonly #state: FibState;
  readonly #changed: () => void;
  readonly #tables = new Map<number, Map<string, string>>();
  readonly #overflowed = new Set<number>();
  #timer: Timer | null = null;
  #running = false;
  #lastCount = Number.NEGATIVE_INFINITY;

  /** `changed` is called when the number of routes in a table changes from or to none. */
  constructor(state: FibState, changed: () => void) {
    this.#state = state;
    this.#changed = changed;
  }

  /** The tables that are ours; new ones are counted soon. */
  set tables(ids: readonly number[]) {
    for (const id of this.#tables.keys()) if (!ids.includes(id)) this.#tables.delete(id);
    for (const id of ids) {
      if (this.#tables.has(id)) continue;
      this.#tables.set(id, new Map());
      this.recount();
    }
  }

  /** Whether there are any. */
  get any(): boolean {
    for (const routes of this.#tables.values()) if (routes.size > 0) return true;
    return false;
  }

  counts(): ForeignRouteCount[] {
    return [...this.#tables].map(([table, routes]) => ({
      table,
      count: routes.size,
      more: this.#overflowed.has(table),
      example: routes.values().next().value ?? "",
    }));
  }

  /** A route that is not ours was added or deleted. Returns whether its table is one of ours. */
  notified(reader: RouteReader, deleted: boolean): boolean {
    const routes = this.#tables.get(reader.table);
    if (!routes) return false;
    const empty = routes.size === 0;
    if (!deleted) this.#add(reader.table, routes, reader);
    else if (routes.delete(keyOf(reader)) && this.#overflowed.has(reader.table)) this.recount();
    if (empty !== (routes.size === 0)) this.#changed();
    return true;
  }

  /** What is known may be wrong: soon, but not often, they are counted from a dump. */
  recount(): void {
    if (this.#timer || this.#state.stopped) return;
    const { clock } = this.#state.deps;
    const delay = Math.max(RECOUNT_MS.first, this.#lastCount + RECOUNT_MS.again - clock.now());
    this.#timer = clock.after(delay, () => {
      this.#timer = null;
      void this.#count();
    });
  }

  stop(): void {
    this.#timer?.cancel();
  }

  #add(table: number, routes: Map<string, string>, reader: RouteReader): void {
    const key = keyOf(reader);
    if (routes.size < REMEMBERED || routes.has(key)) routes.set(key, textOf(reader));
    else this.#overflowed.add(table);
  }

  async #count(): Promise<void> {
    if (this.#running) return this.recount();
    this.#running = true;
    const socket = new NetlinkSocket();
    try {
      for (const table of [...this.#tables.keys()]) await this.#countTable(socket, table);
      if (!this.#state.stopped) this.#changed();
    } catch (error) {
      if (!this.#state.stopped) this.#state.problem(`foreign routes could not be counted: ${(error as Error).message}`);
    } finally {
      this.#running = false;
      this.#lastCount = this.#state.deps.clock.now();
      socket.close();
    }
  }

  async #countTable(socket: NetlinkSocket, table: number): Promise<void> {
    const { clock } = this.#state.deps;
    const { protocol } = this.#state.ownership;
    const reader = new RouteReader();
    const found = new Map<string, string>();
    this.#overflowed.delete(table);
    const take = (buffer: Buffer, start: number, end: number) => {
      if (buffer[start + 5] === protocol || !reader.read(buffer, start, end) || reader.table !== table) return;
      this.#add(table, found, reader);
    };
    for (const family of [4, 6] as const) {
      try {
        const pass = socket.beginDump((out) => encodeRouteDump(out, family, table));
        let since = clock.now();
        while (!pass.read(take)) {
          if (clock.now() - since < SLICE_MS) continue;
          await new Promise((resolve) => setImmediate(resolve));
          if (this.#state.stopped) return;
          since = clock.now();
        }
      } catch (error) {
        // A table that never had a route is an error to the kernel.
        if (!(error instanceof NetlinkError) || error.code !== "ENOENT") throw error;
      }
    }
    if (this.#tables.has(table)) this.#tables.set(table, found);
  }
}

function keyOf({ family, address, length, priority, tos }: RouteReader): string {
  return `${family} ${address.subarray(0, family === 4 ? 4 : 16)}/${length} ${priority} ${tos}`;
}

function textOf({ family, address, length, protocol }: RouteReader): string {
  return `${formatAddress(address.subarray(0, family === 4 ? 4 : 16))}/${length} of protocol ${protocol}`;
}
