// The `set` part of a statement: a route in, the changed route out. Compiled, because removals of communities go by
// hashed sets.
import type { AsSegment, PathAttributes } from "../wire/path-attributes.ts";
import { AS_SEQUENCE } from "./as-path-text.ts";
import { anyOf, extendedPatternParts, largeParts, type Parts, standardParts } from "./community-set.ts";
import type { CommunityChange, CommunityPart, PolicySet, Range, Relative } from "./types.ts";

/** What a policy made of a route. */
export interface PolicyRoute {
  readonly attributes: PathAttributes;
  /**
   * Set by a policy: `self` our own address, `unchanged` as received, `peer` the neighbour's; null: not mentioned, or an
   * address in the attributes.
   */
  readonly nextHop: "self" | "unchanged" | "peer" | "set" | null;
  /** A policy set or removed the MED: it is sent as it is now (RFC 4271 §5.1.4). */
  readonly medSet: boolean;
  /** Compared before LOCAL_PREF, never sent. */
  readonly weight: number;
  /** Kernel table id; 0: the peer's own. */
  readonly table: number;
}

export type Action = (route: PolicyRoute) => PolicyRoute;

export function untouched(attributes: PathAttributes): PolicyRoute {
  return { attributes, nextHop: null, medSet: false, weight: 0, table: 0 };
}

const MAX_U32 = 0xffff_ffff;
/** What a relative change starts from where there is none (RFC 4271 §9.1.1 leaves it to us; 100 is everybody's habit). */
const DEFAULT_LOCAL_PREF = 100;
/** Longest segment that the one-octet count allows (RFC 4271 §4.3 b). */
const LONGEST_SEGMENT = 255;

/** Null when nothing is changed. */
export function compileSet(set: PolicySet): Action | null {
  const { origin, localPref, med, weight, table, prepend, removeAs, nextHop } = set;
  const actions: Action[] = [];
  const attribute = (change: (attributes: PathAttributes) => Partial<PathAttributes>) =>
    actions.push((route) => ({ ...route, attributes: { ...route.attributes, ...change(route.attributes) } }));

  if (weight !== undefined) actions.push((route) => ({ ...route, weight }));
  if (table !== undefined) actions.push((route) => ({ ...route, table }));
  if (origin !== undefined) attribute(() => ({ origin }));
  if (localPref !== undefined)
    attribute((attributes) => ({ localPref: changed(attributes.localPref ?? DEFAULT_LOCAL_PREF, localPref) }));
  if (med !== undefined)
    actions.push((route) => {
      const value = med === null ? null : changed(route.attributes.med ?? 0, med);
      return { ...route, medSet: true, attributes: { ...route.attributes, med: value } };
    });
  if (set.community) {
    const change = communityChange<number, readonly CommunityPart[]>(set.community, standardParts, (value) => value);
    attribute(({ communities }) => ({ communities: change(communities) }));
  }
  if (set.extendedCommunity) {
    const change = communityChange(set.extendedCommunity, extendedPatternParts, String);
    attribute(({ extendedCommunities }) => ({ extendedCommunities: change(extendedCommunities) }));
  }
  if (set.largeCommunity) {
    const change = communityChange(set.largeCommunity, largeParts, String);
    attribute(({ largeCommunities }) => ({ largeCommunities: change(largeCommunities) }));
  }
  if (removeAs) attribute(({ asPath }) => ({ asPath: withoutAsns(asPath, removeAs) }));
  if (prepend) attribute(({ asPath }) => ({ asPath: prependAsns(asPath, prepended(asPath, prepend)) }));
  if (nextHop instanceof Uint8Array)
    actions.push((route) => ({
      ...route,
      nextHop: "set",
      attributes: { ...route.attributes, nextHop, linkLocalNextHop: null },
    }));
  else if (nextHop !== undefined) actions.push((route) => ({ ...route, nextHop }));

  if (actions.length === 0) return null;
  return (route) => actions.reduce((result, action) => action(result), route);
}

function changed(value: number, change: number | Relative): number {
  return typeof change === "number" ? change : Math.min(MAX_U32, Math.max(0, value + change.add));
}

function prepended(path: readonly AsSegment[], prepend: NonNullable<PolicySet["prepend"]>): readonly number[] {
  if (!("lastAs" in prepend)) return prepend;
  const [first] = path;
  return first?.type === AS_SEQUENCE && first.asns.length > 0
    ? new Array<number>(prepend.lastAs).fill(first.asns[0])
    : [];
}

function withoutAsns(path: readonly AsSegment[], removed: readonly (number | Range)[]): readonly AsSegment[] {
  const stays = (asn: number) =>
    !removed.some((part) => (typeof part === "number" ? part === asn : asn >= part.ge && asn <= part.le));
  if (path.every(({ asns }) => asns.every(stays))) return path;
  return path.flatMap(({ type, asns }) => {
    const left = asns.filter(stays);
    return left.length > 0 ? [{ type, asns: left }] : [];
  });
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
function communityChange<T, P extends readonly CommunityPart[]>(
  { replace, remove, add }: CommunityChange<T, P>,
  parts: Parts<T>,
  key: (value: T) => unknown,
): (values: readonly T[]) => readonly T[] {
  const removed = remove && anyOf<T, P>(remove, parts);
  return (values) => {
    let result = replace ?? values;
    if (removed) result = result.filter((value) => !removed(value));
    if (!add) return result;
    const known = new Set(result.map(key));
    return [...result, ...add.filter((value) => !known.has(key(value)))];
  };
}
