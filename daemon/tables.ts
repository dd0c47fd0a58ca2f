// Routing tables that come and go with the configuration: a RouteSync for each Loc-RIB, from the moment there is one until
// nothing is left in it. What the kernel is to have of a table beside learned routes (rules) is in the blocks' hands.
import type { LocRibView } from "../bgp/loc-rib/types.ts";
import type { Speaker } from "../bgp/speaker.ts";
import type { TableConfig } from "../config/types.ts";
import type { Log } from "../net/log.ts";
import { RouteSync } from "../routing/route-sync.ts";
import type { Fib } from "../routing/types.ts";

export interface TablesDependencies {
  readonly speaker: Pick<Speaker, "locRibs" | "addTable" | "retireTable">;
  readonly fib: Fib;
  /** False: nothing of it crosses to the worker; a route server holds and passes on. */
  readonly install: boolean;
  readonly log: Log;
}

export class Tables {
  readonly #deps: TablesDependencies;
  #present: readonly TableConfig[];
  #syncs: readonly { readonly table: number; readonly sync: RouteSync }[] = [];

  /** `tables` are those that the speaker has from its start. */
  constructor(tables: readonly TableConfig[], deps: TablesDependencies) {
    this.#deps = deps;
    this.#present = tables;
    this.#follow(deps.speaker.locRibs());
  }

  /** Before anything refers to them; those that are there already stay as they are. */
  add(tables: readonly TableConfig[]): void {
    const added = tables.filter(({ id }) => !this.#present.some((table) => table.id === id));
    for (const table of added) this.#follow(this.#deps.speaker.addTable(table));
    this.#present = [...this.#present, ...added];
  }

  /** When nothing refers to the others any more: they go as soon as they are empty. */
  keep(tables: readonly TableConfig[]): void {
    const gone = this.#present.filter(({ id }) => !tables.some((table) => table.id === id));
    this.#present = this.#present.filter((table) => !gone.includes(table));
    for (const { id, name } of gone)
      this.#deps.speaker.retireTable(id, () => {
        this.#deps.log.info({ table: name, id }, "table is gone");
        void this.#forget(id);
      });
  }

  /** Resolves when every change so far has been handed to the worker. */
  async settled(): Promise<void> {
    await Promise.all(this.#syncs.map(({ sync }) => sync.settled()));
  }

  /** From here on the kernel hears of nothing. */
  stop(): void {
    for (const { sync } of this.#syncs) sync.stop();
  }

  #follow(locRibs: readonly LocRibView[]): void {
    if (!this.#deps.install) return;
    const syncs = locRibs.map((locRib) => ({ table: locRib.table, sync: new RouteSync(locRib, this.#deps.fib) }));
    this.#syncs = [...this.#syncs, ...syncs];
  }

  /** The last withdrawals are on their way still. A table that is added meanwhile has syncs of its own. */
  async #forget(id: number): Promise<void> {
    const syncs = this.#syncs.filter(({ table }) => table === id);
    this.#syncs = this.#syncs.filter((entry) => !syncs.includes(entry));
    await Promise.all(syncs.map(({ sync }) => sync.settled()));
    for (const { sync } of syncs) sync.stop();
  }
}
