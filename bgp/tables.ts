// The routing tables of a speaker: a Loc-RIB for each table and family. In: tables that come and go with the
// configuration. Out: the Loc-RIBs there are. A table that is to go stays until nothing is left in it: until its peers
// have been taken away or feed other tables, its blocks are withdrawn, and whoever forwards by it has heard of all
// that.
import type { Family } from "../net/address.ts";
import type { LocRib } from "./loc-rib/loc-rib.ts";

export interface Table {
  readonly name: string;
  readonly id: number;
}

export class Tables {
  readonly #make: (table: Table) => LocRib[];
  #locRibs: readonly LocRib[] = [];
  /** Table id -> what to do when it has gone. */
  readonly #retiring = new Map<number, (locRibs: readonly LocRib[]) => void>();

  constructor(tables: readonly Table[], make: (table: Table) => LocRib[]) {
    this.#make = make;
    for (const table of tables) this.add(table);
  }

  get locRibs(): readonly LocRib[] {
    return this.#locRibs;
  }

  /** Some table waits to go. */
  get areRetiring(): boolean {
    return this.#retiring.size > 0;
  }

  /** Throws RangeError for a table that is not configured. */
  locRib(table: number, family: Family): LocRib {
    const locRib = this.#locRibs.find((candidate) => candidate.table === table && candidate.family === family);
    if (!locRib) throw new RangeError(`table ${table} is not configured`);
    return locRib;
  }

  /** Returns the new Loc-RIBs: none when the table is there, which stays then even if it was to go. */
  add(table: Table): readonly LocRib[] {
    this.#retiring.delete(table.id);
    const known = this.#locRibs.filter((locRib) => locRib.table === table.id);
    for (const locRib of known) locRib.tableName = table.name;
    if (known.length > 0) return [];
    const added = this.#make(table);
    this.#locRibs = [...this.#locRibs, ...added];
    return added;
  }

  /** Nobody is to use the table any more; `gone` is called when nobody does. */
  retire(id: number, gone: (locRibs: readonly LocRib[]) => void): void {
    this.#retiring.set(id, gone);
  }

  /** Lets go of tables that are empty by now. */
  release(): void {
    for (const [id, gone] of [...this.#retiring]) {
      const locRibs = this.#locRibs.filter(({ table }) => table === id);
      if (!locRibs.every(isEmpty)) continue;
      this.#retiring.delete(id);
      this.#locRibs = this.#locRibs.filter(({ table }) => table !== id);
      gone(locRibs);
    }
  }
}

function isEmpty({ size, garbage, sources }: LocRib): boolean {
  return size === 0 && garbage === 0 && sources.every(({ local, adjRibIn }) => local && adjRibIn.size === 0);
}
