// Attributes of routes that are kept for a neighbour that has been away for long: the same, with LLGR_STALE (RFC 9494
// §4.2), so that everything behind the import, the decision here and at the neighbours that we pass them on to, sees
// what they are. In: an attribute id after policy. Out: that of its variant, made once.
import type { Family } from "../../net/address.ts";
import type { AttributeStore } from "../attribute-store.ts";
import { WellKnownCommunity } from "../wire/registry.ts";

export class LongLivedVariants {
  readonly #store: AttributeStore;
  readonly #family: Family;
  readonly #variants = new Map<number, number>();
  #listening = false;

  constructor(store: AttributeStore, family: Family) {
    this.#store = store;
    this.#family = family;
  }

  of(id: number): number {
    if (this.#store.isLongLivedStale(id)) return id;
    const known = this.#variants.get(id);
    if (known !== undefined) return known;
    const attributes = this.#store.attributes(id);
    const communities = [...attributes.communities, WellKnownCommunity.LLGR_STALE];
    const variant = this.#store.intern({ ...attributes, communities }, this.#family, this.#store.weight[id]);
    this.#store.retain(variant);
    this.#variants.set(id, variant);
    if (!this.#listening) this.#store.onFreed((freed) => this.#freed(freed));
    this.#listening = true;
    return variant;
  }

  #freed(id: number): void {
    const variant = this.#variants.get(id);
    if (variant === undefined) return;
    this.#variants.delete(id);
    this.#store.release(variant);
  }
}
