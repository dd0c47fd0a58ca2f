// Keys of a policy's statements, and of the named sets that they refer to.
import * as z from "zod";
import type { Origin } from "../../bgp/wire/path-attributes.ts";
import * as communities from "../community-scalars.ts";
import * as policy from "../policy-scalars.ts";
import { integer, list, listOrMap, one, word } from "../scalar.ts";
import * as s from "../scalars.ts";
import { family, otherwise } from "./common.ts";

const origin = word<Origin>({ igp: 0, egp: 1, incomplete: 2 });
const { orReference } = communities;

const communityKeys = {
  any: "The route has one of these.",
  all: "It has all of these.",
  none: "It has none of these.",
  exact: "It has all of these and no other; an empty list: it has none at all.",
};

const conditions = {
  prefix: list(
    orReference(policy.prefixMatch),
    "Prefixes, with `ge` and `le` a range of lengths: `10.0.0.0/8 le 26`; and names of `prefixSets`.",
  ).optional(),
  family: one(family, "Address family.").optional(),
  community: listOrMap(
    orReference(communities.communityPattern),
    communityKeys,
    "The route has one of these communities; `65001:*` and `65001:100-199` are many; and names of `communitySets`.",
  ).optional(),
  extendedCommunity: listOrMap(
    orReference(communities.extendedCommunityPattern),
    communityKeys,
    "As `community`, for extended communities: `rt:65001:100`, `ro:10.0.0.1:*`, `bandwidth:*:*`, `0x0002fde900000064`; and names of `extendedCommunitySets`.",
  ).optional(),
  largeCommunity: listOrMap(
    orReference(communities.largeCommunityPattern),
    communityKeys,
    "As `community`, for large communities: `65101:1:*`; and names of `largeCommunitySets`.",
  ).optional(),
  asPath: list(
    policy.asPathElement,
    "Regular expressions over the AS path, written with single spaces; `_` is a boundary: `^65001_`. There are `. [ ] ( ) | * + ? ^ $ \\d`; braces are literal. And names of `asPathSets`.",
  ).optional(),
  asPathContains: list(s.asn, "The AS path contains one of these.").optional(),
  asPathLength: one(
    policy.range("length", 65535),
    "Length of the AS path, as the decision process counts it (a set is 1).",
  ).optional(),
  neighborAs: list(s.asn, "The first AS of the path is one of these: the neighbour that told us.").optional(),
  originAs: list(s.asn, "The last AS of the path is one of these: where the route comes from.").optional(),
  nextHop: list(
    orReference(policy.nextHopMatch),
    "The next hop is one of these addresses, within one of these prefixes, or within a prefix of one of these `prefixSets`.",
  ).optional(),
  peer: list(
    s.name,
    "The route comes from one of these peers, or from a peer of one of these `peerGroups` (out of a listen range too); `local` is this node itself.",
  ).optional(),
  origin: list(origin, "Origin.").optional(),
  med: one(policy.valueMatch("MED"), "The MED: present, absent, or a value.").optional(),
  localPref: one(
    policy.valueMatch("LOCAL_PREF"),
    "LOCAL_PREF: present, absent, or a value. A route from another AS has none until a policy sets it.",
  ).optional(),
  policy: list(
    s.name,
    "One of these policies accepts the route (a built-in one, or one of `policies`); what they change is forgotten.",
  ).optional(),
};

const match = z
  .strictObject({
    ...conditions,
    not: z
      .strictObject(conditions)
      .optional()
      .describe("Conditions as above that must not all hold: with one of them, it must not hold."),
  })
  .describe("Conditions that must all hold; of a list, one element suffices. Without conditions: every route.");

const change = <T, P>(value: Parameters<typeof list<T>>[0], pattern: Parameters<typeof list<P>>[0], what: string) =>
  z
    .strictObject({
      replace: list(value, "These instead of all that are there; an empty list: none.").optional(),
      remove: list(pattern, "Take these away; `*`, ranges and names of sets stand for many.").optional(),
      add: list(value, "Add these, after the others.").optional(),
    })
    .describe(`Changes ${what}: first replace, then remove, then add.`);

const set = z
  .strictObject({
    weight: one(
      integer("number", 0, 65535),
      "Preferred before everything else, the higher the better; known to this node only. Without: 0.",
    ).optional(),
    localPref: one(
      policy.numberOrChange("LOCAL_PREF"),
      "LOCAL_PREF: the higher one is preferred. `{ add: 10 }` and `{ subtract: 10 }` change what is there (100 where there is none).",
    ).optional(),
    med: one(
      policy.med,
      "MED: the lower one is preferred; `none` removes it; `{ add: 10 }` and `{ subtract: 10 }` change what is there (0 where there is none).",
    ).optional(),
    community: change(communities.community, orReference(communities.communityPattern), "communities").optional(),
    extendedCommunity: change(
      communities.extendedCommunity,
      orReference(communities.extendedCommunityPattern),
      "extended communities",
    ).optional(),
    largeCommunity: change(
      communities.largeCommunity,
      orReference(communities.largeCommunityPattern),
      "large communities",
    ).optional(),
    removeAs: list(
      policy.removedAs,
      "Takes these AS numbers out of the path; `private`: all private ones (RFC 6996). Before `prepend`.",
    ).optional(),
    prepend: one(
      policy.prepend,
      "Lengthens the AS path: so many times our own AS, or these AS numbers, the first one outermost, or with `{ lastAs: 2 }` the path's own first AS again.",
    ).optional(),
    nextHop: one(
      policy.nextHop,
      "`self`: our address. `unchanged`: as received, towards other ASes too. `peer-address`: on import, the neighbour's address; on export, ours. Or an address.",
    ).optional(),
    origin: one(origin, "Origin.").optional(),
    table: one(s.name, "On import: the route goes to this table instead of the peer's own.").optional(),
  })
  .describe("Changes to a route that matches, in this order.");

export const statement = z
  .strictObject({
    match: match.prefault({}),
    set: set.prefault({}),
    apply: list(
      s.name,
      "Policies that are put in here, after `set`: what one of them decides is decided; otherwise `then` follows.",
    ).optional(),
    // biome-ignore lint/suspicious/noThenProperty: the key's name in the file; the object is never awaited
    then: one(
      word({ accept: "accept" as const, reject: "reject" as const, next: "next" as const, return: "return" as const }),
      "`accept` or `reject` decide; `next` keeps the changes and goes on with the next statement; `return` keeps them and leaves this policy: whoever applied it goes on, or the next policy of the peer's list.",
    )
      .optional()
      .meta(otherwise("`next` with `apply`, else required")),
  })
  .describe("One statement.");

export const statements = z
  .array(statement)
  .describe(
    "Statements in order. The first one that matches and accepts or rejects decides; a route that none decides is rejected.",
  );

export const sets = {
  prefixSets: list(policy.prefixMatch, "Prefixes, with `ge` and `le` ranges of lengths.", { nonEmpty: true }),
  communitySets: list(communities.communityPattern, "Communities, `*` and ranges for parts.", { nonEmpty: true }),
  extendedCommunitySets: list(communities.extendedCommunityPattern, "Extended communities, `*` and ranges for parts.", {
    nonEmpty: true,
  }),
  largeCommunitySets: list(communities.largeCommunityPattern, "Large communities, `*` and ranges for parts.", {
    nonEmpty: true,
  }),
  asPathSets: list(policy.asPathExpression, "Regular expressions over the AS path.", { nonEmpty: true }),
} as const;

/** A policy by name, or several, one after another. */
export const policyChain = (description: string) => list(s.name, description, { nonEmpty: true });

/** What is done to the communities of everything that is sent to a peer. */
export const sentCommunities = z
  .strictObject({
    remove: list(
      communities.anyCommunityPattern,
      "Take these away from every route that is sent; `*` and ranges for parts.",
    ).optional(),
    add: list(communities.anyCommunity, "Add these to every route that is sent.").optional(),
  })
  .describe("Communities of any kind, changed on everything that is sent to the neighbour, after its export policy.");

export const originatedCommunities = list(
  communities.anyCommunity,
  "Communities of any kind that the blocks are announced with.",
);
