// What BGP itself says about routes of one neighbour before and after import policy. In: the attributes of a set, as
// received. Out: why its routes cannot be used, or what they are from here on.
//
// - our AS in the path, our router id as originator, our cluster in the list: a loop (RFC 4271 §9.1.2, RFC 4456 §8)
// - a path from another AS that does not begin with it (RFC 4271 §6.3; treated as RFC 7606 §7.2 says, not a reset)
// - AS_SET and AS_CONFED_SET (RFC 9774)
// - route leaks by role and OTC (RFC 9234 §5)
// - GRACEFUL_SHUTDOWN from another AS: LOCAL_PREF 0, whatever the policy said (RFC 8326 §4.2)
// - prefixes that can be nobody's destination (martians.ts)
//
// The routes stay in the Adj-RIB-In as ineligible, which is as good as withdrawn and shows the operator what came.
// All but the last depends on the set and the neighbour alone. Few sets ask for it: the store marks them when they come.
import type { PrefixTable } from "../net/prefix-table.ts";
import { isMartian } from "./martians.ts";
import { prependAsns } from "./policy/actions.ts";
import type { RouteRules } from "./route-rules.ts";
import { type AsSegment, AsSegmentType, type PathAttributes } from "./wire/path-attributes.ts";
import { Role, WellKnownCommunity } from "./wire/registry.ts";

/** Why a route cannot be used, whatever the policy. */
export type Ineligible =
  | "AS loop"
  | "originated here"
  | "cluster loop"
  | "first AS"
  | "AS_SET"
  | "route leak"
  | "martian";

export interface IngressFacts {
  readonly ebgp: boolean;
  /** Of the session. */
  readonly localAsn: number;
  readonly nodeAsn: number;
  readonly remoteAsn: number;
  readonly routerId: number;
  readonly remoteRouterId: number;
  readonly clusterId: number;
  /** Our role on the session (RFC 9234), null: none. */
  readonly role: number | null;
  /** We reflect routes: those from our own AS need to say who brought them in. */
  readonly reflector: boolean;
  readonly rules: RouteRules;
}

export class Ingress {
  /** Every set has to be looked at. */
  readonly always: boolean;
  /** The AS that paths have to begin with; 0: any. */
  readonly firstAs: number;
  readonly #facts: IngressFacts;
  readonly #leakFrom: (otc: number | null) => boolean;
  readonly #marksOtc: boolean;

  constructor(facts: IngressFacts) {
    const { ebgp, remoteAsn, reflector, role, rules } = facts;
    this.#facts = facts;
    this.firstAs = ebgp && rules.enforceFirstAs ? remoteAsn : 0;
    const roles = ebgp ? role : null;
    if (roles === Role.PROVIDER || roles === Role.ROUTE_SERVER) this.#leakFrom = (otc) => otc !== null;
    else if (roles === Role.PEER) this.#leakFrom = (otc) => otc !== null && otc !== remoteAsn;
    else this.#leakFrom = () => false;
    this.#marksOtc = roles === Role.CUSTOMER || roles === Role.PEER || roles === Role.ROUTE_SERVER_CLIENT;
    this.always = roles !== null || rules.gracefulShutdown || (ebgp && rules.prependReceived) || (!ebgp && reflector);
  }

  check({ asPath, originatorId, clusterList, otc }: PathAttributes): Ineligible | null {
    const { localAsn, nodeAsn, routerId, clusterId, rules } = this.#facts;
    if (originatorId === routerId) return "originated here";
    if (clusterList.includes(clusterId)) return "cluster loop";
    if (loops(asPath, localAsn, rules.allowAsIn) || (nodeAsn !== localAsn && loops(asPath, nodeAsn, rules.allowAsIn)))
      return "AS loop";
    if (this.firstAs !== 0 && !beginsWith(asPath, this.firstAs)) return "first AS";
    if (!rules.allowAsSets && asPath.some(isSet)) return "AS_SET";
    return this.#leakFrom(otc) ? "route leak" : null;
  }

  /** Whether a prefix cannot be used, with whatever attributes. */
  refuses(prefixes: PrefixTable, id: number): boolean {
    return !this.#facts.rules.allowMartians && isMartian(prefixes, id);
  }

  /** Before the import policy sees it. */
  before(attributes: PathAttributes): PathAttributes {
    const { ebgp, localAsn, remoteAsn, remoteRouterId, reflector, rules } = this.#facts;
    let result = attributes;
    if (this.#marksOtc && result.otc === null) result = { ...result, otc: remoteAsn };
    if (ebgp && rules.prependReceived) result = { ...result, asPath: prependAsns(result.asPath, [localAsn]) };
    // The same as comparing router ids in the decision process, and what we tell when we reflect it (RFC 4456 §8, §9).
    if (!ebgp && reflector && result.originatorId === null) result = { ...result, originatorId: remoteRouterId };
    return result;
  }

  /** After the import policy. */
  after(attributes: PathAttributes): PathAttributes {
    const { ebgp, rules } = this.#facts;
    const { communities } = attributes;
    const marked = communities.includes(WellKnownCommunity.GRACEFUL_SHUTDOWN);
    if (rules.gracefulShutdown) {
      const marks = marked ? communities : [...communities, WellKnownCommunity.GRACEFUL_SHUTDOWN];
      return { ...attributes, communities: marks, localPref: 0 };
    }
    if (marked && ebgp && rules.honorGracefulShutdown && attributes.localPref !== 0)
      return { ...attributes, localPref: 0 };
    return attributes;
  }
}

function isSet({ type }: AsSegment): boolean {
  return type === AsSegmentType.AS_SET || type === AsSegmentType.AS_CONFED_SET;
}

function loops(path: readonly AsSegment[], asn: number, allowed: number | "origin"): boolean {
  let count = 0;
  for (const { asns } of path) for (const other of asns) if (other === asn) count++;
  if (count === 0) return false;
  if (allowed !== "origin") return count > allowed;
  return count > trailing(path, asn);
}

/** How often the path ends with an AS, repeated or not. */
function trailing(path: readonly AsSegment[], asn: number): number {
  let count = 0;
  for (let i = path.length - 1; i >= 0; i--) {
    const { type, asns } = path[i];
    if (type !== AsSegmentType.AS_SEQUENCE) return count;
    for (let j = asns.length - 1; j >= 0; j--) {
      if (asns[j] !== asn) return count;
      count++;
    }
  }
  return count;
}

function beginsWith(path: readonly AsSegment[], asn: number): boolean {
  const [first] = path;
  return first !== undefined && first.type === AsSegmentType.AS_SEQUENCE && first.asns[0] === asn;
}
