// Peers that get the same routes in the same form share the work: export policy, what BGP itself changes on the way out
// (export-form.ts), encoding. In: a best path. Out: the id of its outgoing attributes, or 0: not announced. The
// answer for an attribute set is remembered; only prefix-dependent policies look at each route.
//
// Not to be announced by anybody: NO_ADVERTISE, and to other ASes NO_EXPORT and NO_EXPORT_SUBCONFED (RFC 1997); long-lived
// stale routes to peers that do not know them (RFC 9494). Third-party next hops (RFC 4271 §5.1.3, 2) are not used: towards
// another AS it is always us.
import type { Family } from "../../net/address.ts";
import { PagedUint32 } from "../../net/paged-array.ts";
import type { PrefixTable } from "../../net/prefix-table.ts";
import type { AttributeStore } from "../attribute-store.ts";
import type { RouteSource } from "../loc-rib/source.ts";
import { untouched } from "../policy/actions.ts";
import type { CompiledPolicy } from "../policy/compile.ts";
import type { PathAttributes } from "../wire/path-attributes.ts";
import { WellKnownCommunity } from "../wire/registry.ts";
import { encodeAttributes } from "../wire/update.ts";
import { Writer } from "../wire/writer.ts";
import { ExportForm, type GroupFacts, ORIGINS, Origin } from "./export-form.ts";
import { NextHopForm, type OutgoingSets } from "./outgoing-sets.ts";

/** Why routes that the policy accepts cannot be announced. */
export type ExportProblem = "no address of ours" | "next hop of the other family" | "attributes too long";

const REJECTED = 0xffff_ffff;
/** Header, both lengths, MP_REACH_NLRI with a 32-octet next hop, and one IPv6 prefix with a path identifier. */
const LONGEST_OVERHEAD = 23 + 4 + 5 + 32 + 17 + 4;

export class UpdateGroup {
  readonly facts: GroupFacts;
  readonly policy: CompiledPolicy;
  readonly sets: OutgoingSets;
  readonly #form: ExportForm;
  readonly #prefixes: PrefixTable;
  readonly #store: AttributeStore;
  readonly #problem: (problem: ExportProblem) => void;
  readonly #writer = new Writer();
  /** Per class of the policy and origin: attribute id -> outgoing id or REJECTED. */
  readonly #results: (PagedUint32 | undefined)[] = [];
  readonly #forget: () => void;

  constructor(
    facts: GroupFacts,
    policy: CompiledPolicy,
    prefixes: PrefixTable,
    store: AttributeStore,
    sets: OutgoingSets,
    problem: (problem: ExportProblem) => void,
  ) {
    this.facts = facts;
    this.#form = new ExportForm(facts);
    this.policy = policy;
    this.sets = sets;
    this.#prefixes = prefixes;
    this.#store = store;
    this.#problem = problem;
    this.#forget = store.onFreed((id) => this.#freed(id));
  }

  get family(): Family {
    return this.#prefixes.family;
  }

  /** The outgoing attribute set of a best path, 0: not announced. */
  export(prefix: number, attributes: number, source: RouteSource): number {
    const origin = originOf(source);
    if (!this.#form.passes(origin)) return 0;
    const routeClass = this.policy.classify(this.#prefixes, prefix, source.name);
    if (this.policy.verdictOf(routeClass) === "reject") return 0;
    const variant = routeClass * ORIGINS + origin;
    let results = this.#results[variant];
    if (results === undefined) {
      results = new PagedUint32();
      while (this.#results.length <= variant) this.#results.push(undefined);
      this.#results[variant] = results;
    }
    let result = results.get(attributes);
    if (result === 0) {
      result = this.#evaluate(routeClass, origin, attributes) || REJECTED;
      if (result !== REJECTED) this.sets.retain(result);
      results.set(attributes, result);
    }
    return result === REJECTED ? 0 : result;
  }

  /** Whether the policy accepts a route that comes to it like this; for those who ask why. */
  accepts(prefix: number, attributes: PathAttributes, source: RouteSource): boolean {
    const routeClass = this.policy.classify(this.#prefixes, prefix, source.name);
    const verdict = this.policy.verdictOf(routeClass);
    if (verdict !== "evaluate") return verdict === "accept";
    return this.policy.evaluate(routeClass, attributes) !== null;
  }

  /** Gives back what it remembers; not to be used afterwards. */
  close(): void {
    this.#forget();
    for (const results of this.#results) {
      results?.forEach((_, result) => {
        if (result !== REJECTED) this.sets.release(result);
      });
    }
    this.#results.length = 0;
  }

  #freed(id: number): void {
    for (const results of this.#results) {
      const result = results?.get(id) ?? 0;
      if (result === 0) continue;
      results?.set(id, 0);
      if (result !== REJECTED) this.sets.release(result);
    }
  }

  #evaluate(routeClass: number, origin: number, id: number): number {
    const { ebgp, self } = this.facts;
    // Communities on routes of our own are for those who receive them (RFC 1997: "all routes received").
    if (origin !== Origin.LOCAL && this.#store.isHidden(id, ebgp)) return 0;
    const longLived = this.#store.isLongLivedStale(id);
    if (longLived && this.facts.longLived === "withhold") return 0;
    const attributes = this.#form.before(this.#store.attributes(id));
    if (!attributes) return 0;
    const route =
      this.policy.verdictOf(routeClass) === "accept"
        ? untouched(attributes)
        : this.policy.evaluate(routeClass, attributes);
    if (!route) return 0;

    const nextHop = this.#form.isSelf(route, origin) ? null : route.attributes.nextHop;
    if (!nextHop && self === "none") return this.#refuse("no address of ours");
    let outgoing = this.#form.after(route, origin, nextHop, this.#store.localPref[id]);
    if (longLived && this.facts.longLived === "last resort") outgoing = asLastResort(outgoing);
    if (nextHop) return this.#encodeFixed(outgoing, nextHop);
    return this.#encode(self === "attribute" ? NextHopForm.SELF : NextHopForm.MP_SELF, outgoing, null);
  }

  #encodeFixed(attributes: PathAttributes, nextHop: Uint8Array): number {
    if (this.family === 4 && nextHop.length === 4) return this.#encode(NextHopForm.FIXED, attributes, null);
    if (nextHop.length === 16 && (this.family === 6 || this.facts.extendedNextHop))
      return this.#encode(NextHopForm.MP_FIXED, attributes, nextHop);
    return this.#refuse("next hop of the other family");
  }

  #encode(form: NextHopForm, attributes: PathAttributes, nextHop: Uint8Array | null): number {
    const writer = this.#writer;
    writer.reset();
    const { as4, maxMessage } = this.facts;
    encodeAttributes(writer, attributes, { as4 }, form === NextHopForm.SELF || form === NextHopForm.FIXED);
    if (writer.offset + LONGEST_OVERHEAD > maxMessage) return this.#refuse("attributes too long");
    return this.sets.intern(form, as4, writer, nextHop);
  }

  #refuse(problem: ExportProblem): 0 {
    this.#problem(problem);
    return 0;
  }
}

export function originOf({ local, session }: RouteSource): number {
  if (local) return Origin.LOCAL;
  if (session.ebgp) return Origin.EBGP;
  return session.reflectorClient ? Origin.CLIENT : Origin.IBGP;
}

/** RFC 9494 §4.6: within our AS, to a peer that would not know LLGR_STALE. */
function asLastResort(attributes: PathAttributes): PathAttributes {
  const { communities } = attributes;
  const { NO_EXPORT } = WellKnownCommunity;
  return {
    ...attributes,
    localPref: 0,
    communities: communities.includes(NO_EXPORT) ? communities : [...communities, NO_EXPORT],
  };
}
