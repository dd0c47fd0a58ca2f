// Routes as the API and the CLI show them, made one by one from the RIB's columns while somebody iterates.
import { formatAddress, formatIpv4 } from "../net/address.ts";
import type { PrefixTable } from "../net/prefix-table.ts";
import type { AdjRibOut, Advertised } from "./adj-rib-out/adj-rib-out.ts";
import { NextHopForm, type OutgoingSets } from "./adj-rib-out/outgoing-sets.ts";
import type { AttributeStore } from "./attribute-store.ts";
import { formatCommunities } from "./community-text.ts";
import type { LocRib } from "./loc-rib/loc-rib.ts";
import type { PathStatus } from "./loc-rib/source.ts";
import { formatAsPath } from "./policy/as-path-text.ts";
import { LOCAL_PEER } from "./policy/compile.ts";
import type { RouteView } from "./views.ts";
import type { PathAttributes } from "./wire/path-attributes.ts";
import { decodeAttributes } from "./wire/update.ts";

const originNames = ["igp", "egp", "incomplete"] as const;
const rejections: Readonly<Record<NonNullable<PathStatus["rejected"]>, string>> = {
  policy: "import policy",
  "next hop": "unresolved next hop",
  "AS loop": "AS loop",
  "originated here": "originated here (ORIGINATOR_ID)",
  "cluster loop": "cluster loop (CLUSTER_LIST)",
  "first AS": "path does not begin with the neighbour's AS",
  AS_SET: "AS_SET in the path",
  "route leak": "route leak (OTC)",
  martian: "not a valid destination (martian)",
};
const addressBytes = { 4: new Uint8Array(4), 6: new Uint8Array(16) };

export function formatPrefixId(table: PrefixTable, id: number): string {
  const bytes = addressBytes[table.family];
  const length = table.read(id, bytes, 0);
  return `${formatAddress(bytes)}/${length}`;
}

/** A path in the Loc-RIB, or one of an Adj-RIB-In with its fate. */
export function pathView(locRib: LocRib, store: AttributeStore, id: number, path: PathStatus): RouteView {
  const { source, rejected } = path;
  const attributes = store.attributes(path.attributes || path.raw);
  return {
    prefix: formatPrefixId(locRib.prefixes, id),
    peer: source.name,
    pathId: source.pathIds === null ? null : source.pathIds.get(id),
    ...attributesView(
      attributes,
      source.local || source.session.ebgp ? attributes.localPref : (attributes.localPref ?? 100),
    ),
    weight: store.weight[path.attributes],
    best: path.best,
    multipath: path.multipath,
    installed: path.used && locRib.nextHopSetOf(id) !== 0,
    table: locRib.tableName,
    rejected: rejected && rejections[rejected],
    stale: path.stale,
  };
}

/** A route as it was sent to a peer. */
export function advertisedView(
  locRib: LocRib,
  sets: OutgoingSets,
  adjRibOut: AdjRibOut,
  id: number,
  { pathId, set, source }: Advertised,
): RouteView {
  const attributes = outgoingAttributes(sets, adjRibOut, set);
  return {
    prefix: formatPrefixId(locRib.prefixes, id),
    peer: source?.name ?? LOCAL_PEER,
    pathId,
    ...attributesView(attributes, attributes.localPref),
    weight: 0,
    best: locRib.bestOf(id) !== 0 && (pathId === null || locRib.sourceOf(id) === source),
    multipath: false,
    installed: locRib.nextHopSetOf(id) !== 0,
    table: locRib.tableName,
    rejected: null,
    stale: false,
  };
}

/** Decodes what goes out, with our own address where the set leaves the next hop open. */
function outgoingAttributes(sets: OutgoingSets, { ownNextHop, family }: AdjRibOut, set: number): PathAttributes {
  const self = ownNextHop.form === "none" ? null : ownNextHop.address;
  const buffer = new Uint8Array(sets.attributeLengthOf(set));
  sets.copy(set, buffer, 0, self);
  const context = { as4: sets.as4Of(set), ebgp: false, families: [family], extendedNextHop: true, maxMessage: 65535 };
  const { attributes } = decodeAttributes(buffer, 0, buffer.length, context, false);
  if (!attributes) throw new Error(`outgoing attribute set ${set} does not decode`);
  const form = sets.formOf(set);
  if (form === NextHopForm.MP_SELF && self) return { ...attributes, nextHop: self.slice(0, 16) };
  return form === NextHopForm.MP_FIXED ? { ...attributes, nextHop: sets.nextHopOf(set).slice() } : attributes;
}

type AttributeFields = Pick<
  RouteView,
  "nextHops" | "asPath" | "origin" | "localPref" | "med" | "communities" | "originatorId" | "clusterList" | "otc"
>;

function attributesView(attributes: PathAttributes, localPref: number | null): AttributeFields {
  const { nextHop, linkLocalNextHop } = attributes;
  const nextHops = [nextHop, linkLocalNextHop].filter((address) => address !== null).map(formatAddress);
  return {
    nextHops: [...new Set(nextHops)],
    asPath: formatAsPath(attributes.asPath),
    origin: originNames[attributes.origin],
    localPref,
    med: attributes.med,
    communities: formatCommunities(attributes),
    originatorId: attributes.originatorId === null ? null : formatIpv4(attributes.originatorId),
    clusterList: attributes.clusterList.map(formatIpv4),
    otc: attributes.otc,
  };
}
