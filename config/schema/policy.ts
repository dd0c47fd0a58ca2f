// Keys of a policy's statements.
import * as z from "zod";
import type { Origin } from "../../bgp/wire/path-attributes.ts";
import * as policy from "../policy-scalars.ts";
import { list, one, word } from "../scalar.ts";
import * as s from "../scalars.ts";
import { family, u32 } from "./common.ts";

const origin = word<Origin>({ igp: 0, egp: 1, incomplete: 2 });

const match = z
  .strictObject({
    prefix: list(policy.prefixMatch, "Prefixes; with `ge` and `le` a range of lengths: `10.0.0.0/8 le 26`.").optional(),
    family: one(family, "Address family.").optional(),
    community: list(
      policy.communityPattern,
      "The route has one of these communities; `65001:*` is any of that AS.",
    ).optional(),
    largeCommunity: list(policy.largeCommunityPattern, "The route has one of these large communities.").optional(),
    asPath: list(
      policy.asPathExpression,
      "Regular expressions over the AS path, written with single spaces; `_` is a boundary: `^65001_`. There are `. [ ] ( ) | * + ? ^ $ \\d`; braces are literal.",
    ).optional(),
    asPathContains: list(s.asn, "The AS path contains one of these.").optional(),
    nextHop: list(
      policy.nextHopMatch,
      "The next hop is one of these addresses, or within one of these prefixes.",
    ).optional(),
    peer: list(s.name, "The route comes from one of these peers; `local` is this node itself.").optional(),
    origin: list(origin, "Origin.").optional(),
  })
  .describe("Conditions that must all hold; of a list, one element suffices. Without conditions: every route.");

const change = <T, P>(value: Parameters<typeof list<T>>[0], pattern: Parameters<typeof list<P>>[0], what: string) =>
  z
    .strictObject({
      replace: list(value, "These instead of all that are there.").optional(),
      remove: list(pattern, "Take these away; `*` stands for any part.").optional(),
      add: list(value, "Add these, after the others.").optional(),
    })
    .describe(`Changes ${what}: first replace, then remove, then add.`);

const set = z
  .strictObject({
    localPref: one(u32, "LOCAL_PREF: the higher one is preferred.").optional(),
    med: one(policy.med, "MED: the lower one is preferred; `none` removes it.").optional(),
    community: change(policy.community, policy.communityPattern, "communities").optional(),
    largeCommunity: change(policy.largeCommunity, policy.largeCommunityPattern, "large communities").optional(),
    prepend: one(
      policy.prepend,
      "Lengthens the AS path: so many times our own AS, or these AS numbers, the first one outermost.",
    ).optional(),
    nextHop: one(policy.nextHop, "The next hop told to the neighbour.").optional(),
    origin: one(origin, "Origin.").optional(),
  })
  .describe("Changes to a route that matches.");

export const statement = z
  .strictObject({
    match: match.prefault({}),
    set: set.prefault({}),
    // biome-ignore lint/suspicious/noThenProperty: the key's name in the file; the object is never awaited
    then: one(
      word({ accept: "accept" as const, reject: "reject" as const, next: "next" as const }),
      "`accept` or `reject` decide; `next` keeps the changes and goes on with the next statement.",
    ),
  })
  .describe("One statement.");

export const statements = z
  .array(statement)
  .describe(
    "Statements in order. The first one that matches and accepts or rejects decides; a route that none decides is rejected.",
  );
