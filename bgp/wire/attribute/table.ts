// Every path attribute whose value we understand, by type code. What is not here passes through unread when it is
// optional and transitive. MP_REACH_NLRI and MP_UNREACH_NLRI carry routes, not attributes of routes: multiprotocol.ts.
import { aggregator, as4Aggregator } from "./aggregator.ts";
import { as4Path, asPath } from "./as-path.ts";
import { atomicAggregate } from "./atomic-aggregate.ts";
import type { AttributeCodec } from "./codec.ts";
import { communities, extendedCommunities, largeCommunities } from "./communities.ts";
import { localPref } from "./local-pref.ts";
import { med } from "./med.ts";
import { nextHop } from "./next-hop.ts";
import { origin } from "./origin.ts";
import { otc } from "./otc.ts";
import { clusterList, originatorId } from "./route-reflection.ts";

/** In ascending order of type, the order in which they are sent (RFC 4271 §5). */
export const attributeCodecs: readonly AttributeCodec[] = [
  origin,
  asPath,
  nextHop,
  med,
  localPref,
  atomicAggregate,
  aggregator,
  communities,
  originatorId,
  clusterList,
  extendedCommunities,
  as4Path,
  as4Aggregator,
  largeCommunities,
  otc,
];

export const codecByType: readonly (AttributeCodec | undefined)[] = Array.from({ length: 256 }, (_, code) =>
  attributeCodecs.find((codec) => codec.code === code),
);
