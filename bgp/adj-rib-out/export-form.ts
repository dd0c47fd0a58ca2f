// What BGP itself changes in a route on its way to the peers of an update group, around the export policy. In:
// attributes of a best path. Out: attributes as they are sent, or that they are not.
//
// Never: from iBGP to iBGP, except that a route reflector passes routes of clients to all and of others to clients (RFC
// 4456 §6); routes with OTC towards providers, peers and route servers (RFC 9234 §5).
// Towards another AS: RFC 4271 §5.1, RFC 4360 §6 (non-transitive extended communities stay), local-as and the forms of the
// AS path that people ask for. The policy sees the path without what is to be hidden; what it prepends is sent.
// Within our AS: LOCAL_PREF always (RFC 4271 §5.1.5); a reflected route gets our cluster id and keeps its next hop. Its
// ORIGINATOR_ID was set when it came in (ingress.ts).
import { type PolicyRoute, prependAsns } from "../policy/actions.ts";
import type { PathAttributes } from "../wire/path-attributes.ts";
import { Role, WellKnownCommunity } from "../wire/registry.ts";
import { removePrivateAsns, replaceAsn } from "./as-path-forms.ts";

/** What peers of a group have in common: plain values, which are the group's key. */
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
  /** An AS that goes behind localAsn (local-as); 0: none. */
  readonly nodeAsn: number;
  /** Of the neighbour, where a form of the path depends on it; 0: it does not. */
  readonly remoteAsn: number;
  readonly asOverride: boolean;
  readonly removePrivateAs: "no" | "only" | "all";
  readonly replacePrivateAs: boolean;
  readonly nextHopSelf: boolean | "force";
  readonly reflectorClient: boolean;
  readonly clusterId: number;
  /** Our role (RFC 9234); -1: none. */
  readonly role: number;
  readonly gracefulShutdown: boolean;
}

/** From whom a path comes, as far as it matters here. */
export const Origin = { LOCAL: 0, EBGP: 1, IBGP: 2, CLIENT: 3 } as const;
export const ORIGINS = 4;

const NONE: readonly number[] = [];
const NON_TRANSITIVE = 0x4000_0000;
/** Stands in NEXT_HOP until the packer knows whose address it is. */
const UNSPECIFIED = new Uint8Array(4);

export class ExportForm {
  readonly #facts: GroupFacts;
  readonly #marksOtc: boolean;
  readonly #keepsOtc: boolean;

  constructor(facts: GroupFacts) {
    const { ebgp, role } = facts;
    this.#facts = facts;
    this.#marksOtc = ebgp && (role === Role.PROVIDER || role === Role.PEER || role === Role.ROUTE_SERVER);
    this.#keepsOtc = ebgp && (role === Role.CUSTOMER || role === Role.PEER || role === Role.ROUTE_SERVER_CLIENT);
  }

  /** False: a path from there never goes to these peers. */
  passes(origin: number): boolean {
    const { ebgp, reflectorClient } = this.#facts;
    return origin !== Origin.IBGP || ebgp || reflectorClient;
  }

  /** As the export policy sees it; null: not for these peers. */
  before(attributes: PathAttributes): PathAttributes | null {
    const { ebgp } = this.#facts;
    if (!ebgp) return attributes;
    if (this.#keepsOtc && attributes.otc !== null) return null;
    const asPath = this.#hiding(attributes.asPath);
    const { extendedCommunities: all } = attributes;
    const stays = all.some(([high]) => (high & NON_TRANSITIVE) !== 0);
    if (asPath === attributes.asPath && !stays) return attributes;
    const extendedCommunities = stays ? all.filter(([high]) => (high & NON_TRANSITIVE) === 0) : all;
    return { ...attributes, asPath, extendedCommunities };
  }

  /** Whether our own address goes out as next hop. */
  isSelf({ nextHop }: PolicyRoute, origin: number): boolean {
    if (nextHop === "set" || nextHop === "unchanged") return false;
    const { ebgp, nextHopSelf } = this.#facts;
    if (nextHop === "self" || nextHop === "peer" || ebgp) return true;
    return nextHopSelf === "force" || (nextHopSelf && origin === Origin.EBGP);
  }

  /** As it is sent. `nextHop` null: ours; `localPref`: what the decision process went by. */
  after(route: PolicyRoute, origin: number, nextHop: Uint8Array | null, localPref: number): PathAttributes {
    const { ebgp, gracefulShutdown } = this.#facts;
    const sent = ebgp
      ? this.#towardsOtherAs(route, origin, nextHop)
      : this.#withinAs(route.attributes, origin, nextHop, localPref);
    if (!gracefulShutdown || sent.communities.includes(WellKnownCommunity.GRACEFUL_SHUTDOWN)) return sent;
    return { ...sent, communities: [...sent.communities, WellKnownCommunity.GRACEFUL_SHUTDOWN] };
  }

  /** RFC 4271 §5.1.2 b, §5.1.4, §5.1.5; RFC 4456 §8. */
  #towardsOtherAs({ attributes, medSet }: PolicyRoute, origin: number, nextHop: Uint8Array | null): PathAttributes {
    const { localAsn, nodeAsn } = this.#facts;
    return {
      ...attributes,
      nextHop: nextHop ?? UNSPECIFIED,
      asPath: prependAsns(attributes.asPath, nodeAsn === 0 ? [localAsn] : [localAsn, nodeAsn]),
      localPref: null,
      med: medSet || origin === Origin.LOCAL ? attributes.med : null,
      originatorId: null,
      clusterList: NONE,
      otc: this.#marksOtc ? (attributes.otc ?? localAsn) : attributes.otc,
    };
  }

  #withinAs(attributes: PathAttributes, origin: number, nextHop: Uint8Array | null, localPref: number): PathAttributes {
    const reflected = origin === Origin.IBGP || origin === Origin.CLIENT;
    return {
      ...attributes,
      localPref: attributes.localPref ?? localPref,
      nextHop: nextHop ?? UNSPECIFIED,
      clusterList: reflected ? [this.#facts.clusterId, ...attributes.clusterList] : attributes.clusterList,
    };
  }

  #hiding(path: PathAttributes["asPath"]): PathAttributes["asPath"] {
    const { remoteAsn, nodeAsn, localAsn, asOverride, removePrivateAs, replacePrivateAs } = this.#facts;
    const own = nodeAsn || localAsn;
    let result = path;
    if (removePrivateAs !== "no") {
      const replacement = replacePrivateAs ? own : null;
      result = removePrivateAsns(result, remoteAsn, { all: removePrivateAs === "all", replacement });
    }
    return asOverride ? replaceAsn(result, remoteAsn, own) : result;
  }
}
