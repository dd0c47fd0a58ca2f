// Peers that get the same routes in the same form share the work: export policy, what BGP itself changes on the way out
// (RFC 4271 §5.1, §9.1.3), encoding. In: a best path. Out: the id of its outgoing attributes, or 0: not announced. The
// answer for an attribute set is remembered; only prefix-dependent policies look at each route.
//
// Not to be announced by anybody: routes from iBGP to iBGP (RFC 4271 §9.2), NO_ADVERTISE, and to other ASes NO_EXPORT and
// NO_EXPORT_SUBCONFED (RFC 1997), long-lived stale routes to peers that do not know them (RFC 9494). Third-party next hops (§5.1.3, 2) are not used: towards another AS it is always us.
import type { Family } from "../../net/address.ts";
import { PagedUint32 } from "../../net/paged-array.ts";
import type { PrefixTable } from "../../net/prefix-table.ts";
import type { AttributeStore } from "../attribute-store.ts";
import type { RouteSource } from "../loc-rib/source.ts";
import { type PolicyRoute, prependAsns } from "../policy/actions.ts";
import type { CompiledPolicy } from "../policy/compile.ts";
import type { PathAttributes } from "../wire/path-attributes.ts";
import { WellKnownCommunity } from "../wire/registry.ts";
import { encodeAttributes } from "../wire/update.ts";
import { Writer } from "../wire/writer.ts";
import { NextHopForm, type OutgoingSets } from "./outgoing-sets.ts";

/** What peers of a group have in common. */
export interface GroupFacts {
  readonly ebgp: boolean;
  readonly as4: boolean;
  readonly localAsn: number;
  readonly extendedNextHop: boolean;
  readonly maxMessage: number;
  /** How our own address goes out as next hop: in NEXT_HOP, in MP_REACH_NLRI, or we have none on the session. */
  readonly self: "attribute" | "mp" | "none";
  /** What becomes of long-lived stale routes (RFC 9494 §4.3, §4.6). */
  readonly longLived: "send" | "withhold" | "last resort";
}

/** Why routes that the policy accepts cannot be announced. */
export type ExportProblem = "no address of ours" | "next hop of the other family" | "attributes too long";

const REJECTED = 0xffff_ffff;
const NONE: readonly number[] = [];
/** Stands in NEXT_HOP until the packer knows whose address it is. */
const UNSPECIFIED = new Uint8Array(4);
/** Header, both lengths, MP_REACH_NLRI with a 32-octet next hop, and one IPv6 prefix. */
const LONGEST_OVERHEAD = 23 + 4 + 5 + 32 + 17;

/** From whom a path comes, as far as it matters here. */
const Origin = { LOCAL: 0, EBGP: 1, IBGP: 2 } as const;

export class UpdateGroup {
  readonly facts: GroupFacts;
  readonly policy: CompiledPolicy;
  readonly sets: OutgoingSets;
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
    const origin = source.local ? Origin.LOCAL : source.session.ebgp ? Origin.EBGP : Origin.IBGP;
    if (origin === Origin.IBGP && !this.facts.ebgp) return 0;
    const routeClass = this.policy.classify(this.#prefixes, prefix, source.name);
    if (this.policy.verdictOf(routeClass) === "reject") return 0;
    const variant = routeClass * 3 + origin;
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
    if (this.#store.isHidden(id, ebgp)) return 0;
    const longLived = this.#store.isLongLivedStale(id);
    if (longLived && this.facts.longLived === "withhold") return 0;
    const attributes = this.#store.attributes(id);
    const route =
      this.policy.verdictOf(routeClass) === "accept"
        ? { attributes, nextHop: null, medSet: false }
        : this.policy.evaluate(routeClass, attributes);
    if (!route) return 0;

    const nextHop = this.#isSelf(route) ? null : route.attributes.nextHop;
    if (!nextHop && self === "none") return this.#refuse("no address of ours");
    let outgoing = ebgp
      ? this.#towardsOtherAs(route, origin, nextHop)
      : withinAs(route.attributes, this.#store.localPref[id], nextHop);
    if (longLived && this.facts.longLived === "last resort") outgoing = asLastResort(outgoing);
    if (nextHop) return this.#encodeFixed(outgoing, nextHop);
    return this.#encode(self === "attribute" ? NextHopForm.SELF : NextHopForm.MP_SELF, outgoing, null);
  }

  #isSelf(route: PolicyRoute): boolean {
    if (route.nextHop === "set" || route.nextHop === "unchanged") return false;
    return route.nextHop === "self" || this.facts.ebgp;
  }

  /** RFC 4271 §5.1.2 b, §5.1.4, §5.1.5; RFC 4456 §8. */
  #towardsOtherAs({ attributes, medSet }: PolicyRoute, origin: number, nextHop: Uint8Array | null): PathAttributes {
    return {
      ...attributes,
      nextHop: nextHop ?? UNSPECIFIED,
      asPath: prependAsns(attributes.asPath, [this.facts.localAsn]),
      localPref: null,
      med: medSet || origin === Origin.LOCAL ? attributes.med : null,
      originatorId: null,
      clusterList: NONE,
    };
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

/** RFC 4271 §5.1.5: every route to a peer in our AS has a LOCAL_PREF. */
function withinAs(attributes: PathAttributes, localPref: number, nextHop: Uint8Array | null): PathAttributes {
  return { ...attributes, localPref: attributes.localPref ?? localPref, nextHop: nextHop ?? UNSPECIFIED };
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
