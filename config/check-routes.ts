// A peer's keys about its routes: what goes together and what does not.
import { sessionAsn } from "./build-rules.ts";
import type { Check } from "./check.ts";
import { type CommonKeys, isInternal } from "./check-peers.ts";
import { checkLimits } from "./limits.ts";
import type { Path } from "./source.ts";

/** Keys that say something about neighbours in another AS only, and in our own only. */
const externalKeys = ["enforceFirstAs", "asOverride", "removePrivateAs", "role"] as const;
const internalKeys = ["nextHopSelf", "routeReflectorClient"] as const;

export function checkRoutes(check: Check, path: Path, peer: CommonKeys): void {
  const at = (key: string) => [...path, key];
  checkLimits(check, path, peer);
  const own = check.parsed.node?.asn;
  if (own === undefined) return;
  checkLocalAsn(check, at("localAsn"), peer, own);
  const internal = isInternal(peer, own);
  for (const key of internal ? externalKeys : internalKeys)
    if (peer[key])
      check.problem(
        at(key),
        `is for neighbours in ${internal ? "another AS" : "our own AS"}`,
        `this one is in ${internal ? "our own" : "another"}; remove it`,
        "key",
      );
  if (peer.requireRole && peer.role === undefined)
    check.problem(at("requireRole"), "needs a role of our own", "add role: customer (or what we are to the neighbour)");
}

function checkLocalAsn(check: Check, path: Path, peer: CommonKeys, own: number): void {
  if (peer.localAsn === undefined) return;
  const asn = sessionAsn(peer, own);
  const where = typeof peer.localAsn === "object" ? [...path, "asn"] : path;
  if (asn === own) check.problem(where, `${asn} is the node's own AS number`, "leave localAsn away");
  else if (peer.asn === "internal" || peer.asn === asn)
    check.problem(where, "does not make a session within one AS", "localAsn is for neighbours in another AS");
}
