// What a peer's configuration says about its routes beside policies: AS path habits, next hops, reflection, prefix
// limits. Pure data; ingress.ts and export-form.ts apply it.

export interface RouteRules {
  /** The session's AS is not the node's (local-as): it goes in front of received paths too. */
  readonly prependReceived: boolean;
  /** With such a session AS: the node's own stays out of what is sent. */
  readonly hideNodeAsn: boolean;
  /** How often an AS of ours may be in a received path; `origin`: at its far end only, however often. */
  readonly allowAsIn: number | "origin";
  /** A path from another AS has to begin with it (RFC 4271 §6.3). */
  readonly enforceFirstAs: boolean;
  /** RFC 9774. */
  readonly allowAsSets: boolean;
  /** Prefixes that can be nobody's destination are taken like others (martians.ts). */
  readonly allowMartians: boolean;
  /** The neighbour's AS in what is sent is written as ours. */
  readonly asOverride: boolean;
  /** Private AS numbers (RFC 6996) in what is sent; null: they stay. */
  readonly removePrivateAs: RemovePrivateAs | null;
  /** Within our AS: we are the next hop of routes from other ASes; `force`: of reflected ones too. */
  readonly nextHopSelf: boolean | "force";
  /** RFC 4456. */
  readonly routeReflectorClient: boolean;
  /** RFC 8326: the session is about to end; everything is sent and taken as the last choice. */
  readonly gracefulShutdown: boolean;
  /** RFC 8326 §4.2, for routes from other ASes. */
  readonly honorGracefulShutdown: boolean;
}

export interface RemovePrivateAs {
  /** In every path; otherwise only where there are private ones alone. */
  readonly all: boolean;
  /** Our AS in their place. */
  readonly replace: boolean;
}

export const plainRules: RouteRules = {
  prependReceived: false,
  hideNodeAsn: false,
  allowAsIn: 0,
  enforceFirstAs: false,
  allowAsSets: false,
  allowMartians: false,
  asOverride: false,
  removePrivateAs: null,
  nextHopSelf: false,
  routeReflectorClient: false,
  gracefulShutdown: false,
  honorGracefulShutdown: true,
};

/** Of something that has more to say, the rules alone. */
export function rulesOf(rules: RouteRules): RouteRules {
  const keys = Object.keys(plainRules) as (keyof RouteRules)[];
  return Object.fromEntries(keys.map((key) => [key, rules[key]])) as unknown as RouteRules;
}
