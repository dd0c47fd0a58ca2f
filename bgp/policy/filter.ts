// An import policy applied to one peer's routes of one family: raw attribute id in, attribute id after policy out. The
// policy runs once per attribute set and class of prefixes; every further route with that set is two array accesses.
// `nextHop: self` and `unchanged` say something to neighbours, so they change nothing here. A policy may send routes to
// another table than the peer's own: each Loc-RIB has a filter that takes what is meant for it.
import type { Family } from "../../net/address.ts";
import { DirtySet } from "../../net/dirty-set.ts";
import { PagedUint32 } from "../../net/paged-array.ts";
import type { PrefixTable } from "../../net/prefix-table.ts";
import type { AttributeStore } from "../attribute-store.ts";
import type { Ineligible, Ingress } from "../ingress.ts";
import type { PathAttributes } from "../wire/path-attributes.ts";
import { untouched } from "./actions.ts";
import type { CompiledPolicy } from "./compile.ts";

/** Remembered instead of an id. Ids never get that high. */
const REJECTED = 0xffff_ffff;

/** Whose routes these are, and where they go. */
export interface ImportTarget {
  /** Kernel table of the Loc-RIB behind this filter, and the one that routes go to unless a policy says otherwise. */
  readonly table: number;
  readonly ownTable: number;
  /** The neighbour's, for `nextHop: peer-address`. */
  readonly address: () => Uint8Array;
}

export class ImportFilter {
  readonly policy: CompiledPolicy;
  readonly #prefixes: PrefixTable;
  readonly #family: Family;
  readonly #peer: string;
  readonly #store: AttributeStore;
  readonly #ingress: Ingress | null;
  readonly #onIneligible: (reason: Ineligible, prefix: number) => void;
  /** Martians that were told of. */
  readonly #told = new DirtySet();
  readonly #target: ImportTarget | null;
  /** The Loc-RIB behind is not the peer's own. */
  readonly #elsewhere: boolean;
  /** Per class of the policy: raw id -> id after policy, or REJECTED; 0: not evaluated yet. */
  readonly #results: (PagedUint32 | undefined)[] = [];
  readonly #forget: () => void;

  /** `onIneligible` is called once per attribute set, or per prefix if that is why. */
  constructor(
    policy: CompiledPolicy,
    prefixes: PrefixTable,
    peer: string,
    store: AttributeStore,
    ingress: Ingress | null = null,
    onIneligible: (reason: Ineligible, prefix: number) => void = () => {},
    target: ImportTarget | null = null,
  ) {
    this.#target = target;
    this.#elsewhere = target !== null && target.table !== target.ownTable;
    this.policy = policy;
    this.#prefixes = prefixes;
    this.#family = prefixes.family;
    this.#peer = peer;
    this.#store = store;
    this.#ingress = ingress;
    this.#onIneligible = onIneligible;
    this.#forget = store.onFreed((id) => this.#freed(id));
  }

  /** The attribute set after policy, 0: rejected, or not eligible whatever the policy. */
  apply(attributes: number, prefix: number): number {
    if (this.#ingress?.refuses(this.#prefixes, prefix)) {
      if (this.#told.add(prefix)) this.#onIneligible("martian", prefix);
      return 0;
    }
    const routeClass = this.policy.classify(this.#prefixes, prefix, this.#peer);
    const verdict = this.policy.verdictOf(routeClass);
    // Nothing is said about a table: the peer's own.
    if (verdict === "accept" && this.#elsewhere) return 0;
    if (verdict === "accept" && !this.#isNotable(attributes)) return attributes;
    if (verdict === "reject") return 0;
    let results = this.#results[routeClass];
    if (results === undefined) {
      results = new PagedUint32();
      while (this.#results.length <= routeClass) this.#results.push(undefined);
      this.#results[routeClass] = results;
    }
    let result = results.get(attributes);
    if (result === 0) {
      result = this.#evaluate(routeClass, attributes, prefix);
      // A set that points at itself would never be freed.
      if (result !== REJECTED && result !== attributes) this.#store.retain(result);
      results.set(attributes, result);
    }
    return result === REJECTED ? 0 : result;
  }

  /** Why a route cannot be used whatever the policy; null: it can. */
  ineligible(attributes: number, prefix: number): Ineligible | null {
    return this.#ingress?.refuses(this.#prefixes, prefix) ? "martian" : this.#ineligible(attributes);
  }

  #ineligible(attributes: number): Ineligible | null {
    if (!this.#ingress || !this.#isNotable(attributes)) return null;
    return this.#ingress.check(this.#store.attributes(attributes));
  }

  /** A set as the policy sees it. */
  input(attributes: number): PathAttributes {
    const received = this.#store.attributes(attributes);
    return this.#ingress?.before(received) ?? received;
  }

  /** Gives back what it remembers; not to be used afterwards. */
  close(): void {
    this.#forget();
    this.reset();
  }

  /** Forgets what it remembers: the neighbour has another address. */
  reset(): void {
    for (const results of this.#results) {
      results?.forEach((id, result) => {
        if (result !== REJECTED && result !== id) this.#store.release(result);
      });
    }
    this.#results.length = 0;
  }

  #evaluate(routeClass: number, id: number, prefix: number): number {
    const attributes = this.#store.attributes(id);
    const ineligible = this.#ineligible(id);
    if (ineligible) {
      this.#onIneligible(ineligible, prefix);
      return REJECTED;
    }
    const before = this.#ingress?.before(attributes) ?? attributes;
    const accepted = this.policy.verdictOf(routeClass) === "accept";
    const route = accepted ? untouched(before) : this.policy.evaluate(routeClass, before);
    if (!route) return REJECTED;
    const target = this.#target;
    if (target && (route.table || target.ownTable) !== target.table) return REJECTED;
    const chosen =
      route.nextHop === "peer" && target ? this.#via(target.address(), route.attributes) : route.attributes;
    const result = this.#ingress?.after(chosen) ?? chosen;
    if (result === attributes && route.weight === 0) return id;
    return this.#store.intern(result, this.#family, route.weight);
  }

  #isNotable(id: number): boolean {
    const ingress = this.#ingress;
    if (ingress === null) return false;
    const { firstAs } = ingress;
    return ingress.always || this.#store.isNotable(id) || (firstAs !== 0 && this.#store.neighborAs[id] !== firstAs);
  }

  /** An IPv6 route cannot have an IPv4 next hop. */
  #via(address: Uint8Array, attributes: PathAttributes): PathAttributes {
    if (this.#family === 6 && address.length === 4) return attributes;
    return { ...attributes, nextHop: address, linkLocalNextHop: null };
  }

  #freed(id: number): void {
    for (const results of this.#results) {
      const result = results?.get(id) ?? 0;
      if (result === 0) continue;
      results?.set(id, 0);
      if (result !== REJECTED && result !== id) this.#store.release(result);
    }
  }
}
