// The `set` part of a statement: attributes in, changed attributes out.
import type { AsSegment, PathAttributes } from "../wire/path-attributes.ts";
import { AS_SEQUENCE } from "./as-path-text.ts";
import { matchesCommunity, matchesLargeCommunity } from "./conditions.ts";
import type { CommunityChange, PolicySet } from "./types.ts";

/** What a policy made of a route. */
export interface PolicyRoute {
  readonly attributes: PathAttributes;
  /** Set by a policy: `self` our own address, `unchanged` as received; null: not mentioned, or an address in the attributes. */
  readonly nextHop: "self" | "unchanged" | "set" | null;
  /** A policy set or removed the MED: it is sent as it is now (RFC 4271 §5.1.4). */
  readonly medSet: boolean;
}

/** Longest segment that the one-octet count allows (RFC 4271 §4.3 b). */
const LONGEST_SEGMENT = 255;

export function applySet(route: PolicyRoute, set: PolicySet): PolicyRoute {
  let { attributes, nextHop, medSet } = route;
  if (set.localPref !== undefined) attributes = { ...attributes, localPref: set.localPref };
  if (set.origin !== undefined) attributes = { ...attributes, origin: set.origin };
  if (set.med !== undefined) {
    attributes = { ...attributes, med: set.med };
    medSet = true;
  }
  if (set.community) {
    const communities = changeSet(attributes.communities, set.community, matchesCommunity, (value) => value);
    attributes = { ...attributes, communities };
  }
  if (set.largeCommunity) {
    const largeCommunities = changeSet(attributes.largeCommunities, set.largeCommunity, matchesLargeCommunity, String);
    attributes = { ...attributes, largeCommunities };
  }
  if (set.prepend) attributes = { ...attributes, asPath: prependAsns(attributes.asPath, set.prepend) };
  if (set.nextHop instanceof Uint8Array) {
    attributes = { ...attributes, nextHop: set.nextHop, linkLocalNextHop: null };
    nextHop = "set";
  } else if (set.nextHop !== undefined) {
    nextHop = set.nextHop;
  }
  return { attributes, nextHop, medSet };
}

/** `asns` in front of the path, the first one outermost (RFC 4271 §5.1.2 b). */
export function prependAsns(path: readonly AsSegment[], asns: readonly number[]): readonly AsSegment[] {
  if (asns.length === 0) return path;
  const joins = path.length > 0 && path[0].type === AS_SEQUENCE;
  const joined = joins ? asns.concat(path[0].asns) : asns;
  const rest = joins ? 1 : 0;
  // Nearly always: one segment with room. This runs for every attribute set that is announced.
  if (joined.length <= LONGEST_SEGMENT && path.length === rest) return [{ type: AS_SEQUENCE, asns: joined }];
  const segments: AsSegment[] = [];
  // The full segments are the last ones, so that the next prepend finds room in front.
  for (let end = joined.length; end > 0; end -= LONGEST_SEGMENT) {
    segments.unshift({ type: AS_SEQUENCE, asns: joined.slice(Math.max(0, end - LONGEST_SEGMENT), end) });
  }
  return segments.concat(path.slice(rest));
}

/** Replace, then remove, then add; values that are there already are not added twice. */
function changeSet<T, Pattern>(
  values: readonly T[],
  { replace, remove, add }: CommunityChange<T, Pattern>,
  matches: (value: T, pattern: Pattern) => boolean,
  key: (value: T) => unknown,
): readonly T[] {
  let result = replace ?? values;
  if (remove) result = result.filter((value) => !remove.some((pattern) => matches(value, pattern)));
  if (!add) return result;
  const known = new Set(result.map(key));
  return [...result, ...add.filter((value) => !known.has(key(value)))];
}
