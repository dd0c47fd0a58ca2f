// A peer's keys about its routes -> the rules that the speaker goes by.
import type { RouteRules } from "../bgp/route-rules.ts";
import type { CommonKeys } from "./check-peers.ts";
import type { ParsedPeer } from "./schema.ts";

/** What a peer takes over from the whole. */
export interface RuleDefaults {
  readonly asn: number;
  readonly internal: boolean;
  readonly allowAsSets: boolean;
}

/** The AS of the session. */
export function sessionAsn({ localAsn }: Pick<ParsedPeer, "localAsn">, nodeAsn: number): number {
  return typeof localAsn === "object" ? localAsn.asn : (localAsn ?? nodeAsn);
}

export function buildRules(peer: CommonKeys, { asn, internal, allowAsSets }: RuleDefaults): RouteRules {
  const other = sessionAsn(peer, asn) !== asn;
  const { noPrepend, replaceAs } =
    typeof peer.localAsn === "object" ? peer.localAsn : { noPrepend: false, replaceAs: false };
  const routeServer = peer.role === ROUTE_SERVER_CLIENT;
  return {
    prependReceived: other && !noPrepend,
    hideNodeAsn: other && replaceAs,
    allowAsIn: peer.allowAsIn,
    enforceFirstAs: !internal && (peer.enforceFirstAs ?? !routeServer),
    allowAsSets: peer.allowAsSets ?? allowAsSets,
    allowMartians: peer.allowMartians,
    asOverride: peer.asOverride,
    removePrivateAs: peer.removePrivateAs,
    nextHopSelf: peer.nextHopSelf,
    routeReflectorClient: peer.routeReflectorClient,
    gracefulShutdown: peer.gracefulShutdown,
    honorGracefulShutdown: peer.honorGracefulShutdown,
  };
}

/** RFC 9234 §4.1: our role towards a route server, which is not in the paths that it passes on. */
const ROUTE_SERVER_CLIENT = 2;
