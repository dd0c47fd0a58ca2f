// What one peer said about one family: prefix id -> attribute id, as received, before any policy (RFC 4271 §3.2), so that a
// new policy can be applied without asking the peer again.
//
// Three marks per prefix serve what happens when a session ends. `stale`: kept for a restarting neighbour (RFC 4724
// §4.2) and still believed. `longLived`: stale for so long that it is a last resort only (RFC 9494). `doomed`: to be
// withdrawn, not believed any more, waiting for a slice of time; a neighbour that comes back meanwhile simply
// overwrites. Dooming a million routes is a bitmap, withdrawing them is many slices.
import { DirtySet } from "../../net/dirty-set.ts";
import { PagedUint32 } from "../../net/paged-array.ts";
import type { PrefixTable } from "../../net/prefix-table.ts";
import type { AttributeStore } from "../attribute-store.ts";

export class AdjRibIn {
  readonly prefixes: PrefixTable;
  readonly #store: AttributeStore;
  readonly #attributes = new PagedUint32();
  readonly #stale = new DirtySet();
  /** Some of those in #stale. */
  readonly #longLived = new DirtySet();
  readonly #doomed = new DirtySet();
  /** Announced since the neighbour began to send everything again (RFC 7313); null: it is not doing so. */
  #refreshed: DirtySet | null = null;
  /** Entries, the doomed ones included. */
  #entries = 0;

  constructor(prefixes: PrefixTable, store: AttributeStore) {
    this.prefixes = prefixes;
    this.#store = store;
  }

  /** Prefixes the peer announces. */
  get size(): number {
    return this.#entries - this.#doomed.size;
  }

  get stale(): number {
    return this.#stale.size;
  }

  get longLived(): number {
    return this.#longLived.size;
  }

  get doomed(): number {
    return this.#doomed.size;
  }

  /** The attribute set announced for the prefix, 0: none. */
  get(id: number): number {
    if (this.#doomed.size !== 0 && this.#doomed.has(id)) return 0;
    return this.#attributes.get(id);
  }

  isStale(id: number): boolean {
    return this.#stale.size !== 0 && this.#stale.has(id);
  }

  isLongLived(id: number): boolean {
    return this.#longLived.size !== 0 && this.#longLived.has(id);
  }

  /** True when something changed. */
  announce(id: number, attributes: number): boolean {
    let changed = false;
    if (this.#stale.size !== 0) {
      changed = this.#stale.delete(id);
      if (changed && this.#longLived.size !== 0) this.#longLived.delete(id);
    }
    if (this.#doomed.size !== 0 && this.#doomed.delete(id)) changed = true;
    if (this.#refreshed) this.#refreshed.add(id);
    const old = this.#attributes.get(id);
    if (old === attributes) return changed;
    this.#store.retain(attributes);
    this.#attributes.set(id, attributes);
    if (old === 0) {
      this.#entries++;
      this.prefixes.retain(id);
    } else {
      this.#store.release(old);
    }
    return true;
  }

  /** True when the prefix was there. */
  withdraw(id: number): boolean {
    const old = this.#attributes.get(id);
    if (old === 0) return false;
    this.#stale.delete(id);
    this.#longLived.delete(id);
    this.#doomed.delete(id);
    this.#attributes.set(id, 0);
    this.#entries--;
    this.#store.release(old);
    this.prefixes.release(id);
    return true;
  }

  /** Everything is kept as stale; `before`: what becomes of what was stale already, apart from the long-lived. */
  markStale(before: "keep" | "doom"): void {
    if (before === "doom") {
      for (let id = this.#stale.next(0); id >= 0; id = this.#stale.next(id + 1))
        if (!this.#longLived.has(id)) this.#doomed.add(id);
      this.#stale.clear();
    }
    this.#attributes.forEach((id) => {
      if (!this.#doomed.has(id)) this.#stale.add(id);
    });
  }

  /** All that is stale is a last resort from now on, or goes, if it asks for that (NO_LLGR, RFC 9494 §4.2). */
  markLongLived(): void {
    for (let id = this.#stale.next(0); id >= 0; id = this.#stale.next(id + 1)) {
      if (this.#store.refusesLongLived(this.#attributes.get(id))) {
        this.#stale.delete(id);
        this.#longLived.delete(id);
        this.#doomed.add(id);
      } else {
        this.#longLived.add(id);
      }
    }
  }

  /** What has not been announced again since `markStale` goes. */
  doomStale(): void {
    for (let id = this.#stale.next(0); id >= 0; id = this.#stale.next(id + 1)) this.#doomed.add(id);
    this.#stale.clear();
    this.#longLived.clear();
  }

  doomLongLived(): void {
    for (let id = this.#longLived.next(0); id >= 0; id = this.#longLived.next(id + 1)) {
      this.#stale.delete(id);
      this.#doomed.add(id);
    }
    this.#longLived.clear();
  }

  doomAll(): void {
    this.#stale.clear();
    this.#longLived.clear();
    this.#attributes.forEach((id) => {
      this.#doomed.add(id);
    });
  }

  /** The neighbour begins to send everything again (BoRR, RFC 7313 §4). What it said before is believed meanwhile. */
  beginRefresh(): void {
    if (this.#refreshed) this.#refreshed.clear();
    else this.#refreshed = new DirtySet();
  }

  /** What has not been announced since `beginRefresh` goes (EoRR). Returns how many. */
  endRefresh(): number {
    const refreshed = this.#refreshed;
    if (!refreshed) return 0;
    this.#refreshed = null;
    const before = this.#doomed.size;
    this.#attributes.forEach((id) => {
      if (!refreshed.has(id)) this.#doomed.add(id);
    });
    return this.#doomed.size - before;
  }

  /** The session has ended before the refresh was over. */
  abandonRefresh(): void {
    this.#refreshed = null;
  }

  /** Moves up to out.length doomed prefixes into `out`; the caller withdraws them. Returns how many. */
  takeDoomed(out: Uint32Array): number {
    return this.#doomed.take(out);
  }

  /** The first announced prefix from `from` on, or -1. */
  next(from: number): number {
    let id = this.#attributes.next(from);
    while (id >= 0 && this.#doomed.has(id)) id = this.#attributes.next(id + 1);
    return id;
  }
}
