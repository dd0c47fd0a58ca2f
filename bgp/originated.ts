// Our own routes in the Loc-RIBs. In: prefixes of a table, and further tables whose neighbours are told of them. Out: a
// source of local paths in each Loc-RIB concerned, one per table that they come from, so that a prefix that two tables
// have for a while stays until both have withdrawn it.
import type { Family } from "../net/address.ts";
import type { Prefix } from "../net/prefix.ts";
import { AdjRibIn } from "./adj-rib-in/adj-rib-in.ts";
import type { LocRib } from "./loc-rib/loc-rib.ts";
import type { RouteSource } from "./loc-rib/source.ts";
import { CompiledPolicy, LOCAL_PEER } from "./policy/compile.ts";
import { ImportFilter } from "./policy/filter.ts";
import type { RibCore } from "./rib-core.ts";
import type { OriginatedAttributes } from "./speaker-types.ts";
import { emptyAttributes } from "./wire/path-attributes.ts";

export class Originated {
  readonly #core: RibCore;
  /** By the table that the routes come from. */
  readonly #sources = new Map<LocRib, Map<number, RouteSource>>();

  constructor(core: RibCore) {
    this.#core = core;
  }

  /** Throws RangeError when the table is not configured; further ones that are not are left out. */
  announce(table: number, prefix: Prefix, { tables = [], ...attributes }: Partial<OriginatedAttributes>): void {
    this.#core.locRib(table, prefix.family);
    const set = this.#core.store.intern({ ...emptyAttributes, ...attributes }, prefix.family);
    for (const locRib of this.#locRibs(prefix.family)) {
      if (locRib.table !== table && !tables.includes(locRib.table)) {
        this.#withdrawFrom(locRib, table, prefix);
        continue;
      }
      const source = this.#source(locRib, table);
      const id = locRib.prefixes.intern(prefix.bytes, 0, prefix.length);
      if (source.adjRibIn.announce(id, set)) locRib.update(source, id);
    }
    this.#core.touched();
  }

  withdraw(table: number, prefix: Prefix): void {
    for (const locRib of this.#locRibs(prefix.family)) this.#withdrawFrom(locRib, table, prefix);
    this.#core.touched();
  }

  /** There is another Loc-RIB: our own routes are its first source. */
  added(locRib: LocRib): void {
    this.#source(locRib, locRib.table);
  }

  /** A Loc-RIB without routes has gone. */
  removed(locRib: LocRib): void {
    for (const { filter } of this.#sources.get(locRib)?.values() ?? []) filter.close();
    this.#sources.delete(locRib);
  }

  #locRibs(family: Family): readonly LocRib[] {
    return this.#core.locRibs.filter((locRib) => locRib.family === family);
  }

  #withdrawFrom(locRib: LocRib, table: number, prefix: Prefix): void {
    const source = this.#sources.get(locRib)?.get(table);
    if (!source) return;
    const id = locRib.prefixes.find(prefix.bytes, 0, prefix.length);
    if (id !== 0 && source.adjRibIn.withdraw(id)) locRib.update(source, id);
  }

  #source(locRib: LocRib, table: number): RouteSource {
    const known = this.#sources.get(locRib) ?? new Map<number, RouteSource>();
    this.#sources.set(locRib, known);
    let source = known.get(table);
    if (!source) {
      source = this.#newSource(locRib, table);
      known.set(table, source);
      locRib.addSource(source);
    }
    return source;
  }

  #newSource(locRib: LocRib, table: number): RouteSource {
    const { store, nextHops, routerId } = this.#core;
    const { prefixes } = locRib;
    // The last thing that the decision process looks at: it has to differ between two sources.
    const address = new Uint8Array(4);
    if (table !== locRib.table) new DataView(address.buffer).setUint32(0, table);
    return {
      name: LOCAL_PEER,
      local: true,
      adjRibIn: new AdjRibIn(prefixes, store),
      pathIds: null,
      filter: new ImportFilter(new CompiledPolicy("all"), prefixes, LOCAL_PEER, store),
      session: { ebgp: false, reflectorClient: false, routerId, address, nextHops: nextHops.view(0, []) },
    };
  }
}
