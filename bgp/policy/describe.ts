// Conditions and routes in words, for people who ask why a policy did what it did.
import { formatAddress } from "../../net/address.ts";
import { formatPrefix } from "../../net/prefix.ts";
import type { PolicyRoute } from "./actions.ts";
import { formatAsPath } from "./as-path-text.ts";
import { isNamedSet } from "./community-set.ts";
import { asPathLengthOf, type ConditionName, neighborAsOf, originAsOf } from "./conditions.ts";
import { ExtendedForm, formatExtendedCommunity, RAW } from "./extended-community.ts";
import type {
  CommunityMatch,
  CommunityPart,
  Elements,
  ExtendedCommunityPattern,
  PolicyElement,
  PolicyMatch,
  PrefixMatch,
  Range,
  ValueMatch,
} from "./types.ts";

/** What of a route is its own and not its attributes'. */
export interface Subject {
  /** As text. */
  readonly prefix: string;
  readonly family: 4 | 6;
  readonly peer: string;
}

/** Names for what the policy knows as numbers. */
export interface Names {
  readonly community: (value: number) => string;
  readonly table: (id: number) => string;
}

const originWords = ["igp", "egp", "incomplete"] as const;
/** Elements of a list that are shown. */
const SHOWN = 8;

/** A route in words; `none` where there is nothing. */
export interface RouteText {
  readonly origin: string;
  readonly asPath: string;
  readonly nextHop: string;
  readonly med: string;
  readonly localPref: string;
  readonly weight: string;
  readonly table: string;
  readonly community: string;
  readonly extendedCommunity: string;
  readonly largeCommunity: string;
}

export function routeText({ attributes, nextHop, weight, table }: PolicyRoute, names: Names): RouteText {
  const { communities, extendedCommunities, largeCommunities } = attributes;
  const list = (values: readonly string[]) => values.join(" ") || "none";
  const hop = nextHop === "peer" ? "peer-address" : nextHop;
  return {
    origin: originWords[attributes.origin],
    asPath: formatAsPath(attributes.asPath) || "none",
    nextHop: hop !== null && hop !== "set" ? hop : attributes.nextHop ? formatAddress(attributes.nextHop) : "none",
    med: String(attributes.med ?? "none"),
    localPref: String(attributes.localPref ?? "none"),
    weight: String(weight),
    table: table === 0 ? "the peer's own" : names.table(table),
    community: list(communities.map(names.community)),
    extendedCommunity: list(extendedCommunities.map(formatExtendedCommunity)),
    largeCommunity: list(largeCommunities.map((parts) => parts.join(":"))),
  };
}

/** What a condition wants. */
export function wantedText(name: ConditionName, match: PolicyMatch, names: Names): string {
  switch (name) {
    case "prefix":
      return listed(match.prefix, prefixText);
    case "family":
      return `ipv${match.family}`;
    case "peer":
      return listed(
        match.peer?.map((peer) => (isNamedSet(peer) ? `group ${peer.name}` : peer)),
        String,
      );
    case "community":
      return communityText(match.community, ([high, low]) =>
        typeof high === "number" && typeof low === "number"
          ? names.community(((high << 16) | low) >>> 0)
          : parts([high, low]),
      );
    case "extendedCommunity":
      return communityText(match.extendedCommunity, extendedText);
    case "largeCommunity":
      return communityText(match.largeCommunity, parts);
    case "asPath":
      return listed(match.asPath, String);
    case "asPathContains":
    case "neighborAs":
    case "originAs":
      return listed(match[name], String);
    case "asPathLength":
      return rangeText(match.asPathLength);
    case "nextHop":
      return listed(match.nextHop, formatPrefix);
    case "origin":
      return listed(match.origin, (origin) => originWords[origin]);
    case "med":
    case "localPref":
      return valueText(match[name]);
    case "policy":
      return `accepted by ${listed(match.policy, elementName)}`;
    case "not":
      return "not all of these";
  }
}

/** What the route has instead. */
export function actualText(name: ConditionName, route: PolicyRoute, subject: Subject, names: Names): string {
  const { asPath } = route.attributes;
  switch (name) {
    case "prefix":
      return subject.prefix;
    case "family":
      return `ipv${subject.family}`;
    case "peer":
      return subject.peer;
    case "asPathContains":
      return routeText(route, names).asPath;
    case "asPathLength":
      return String(asPathLengthOf(asPath));
    case "neighborAs":
      return String(neighborAsOf(asPath) || "none");
    case "originAs":
      return String(originAsOf(asPath) || "none");
    case "nextHop":
      return route.attributes.nextHop ? formatAddress(route.attributes.nextHop) : "none";
    case "policy":
    case "not":
      return "";
    default:
      return routeText(route, names)[name];
  }
}

const elementName = (element: PolicyElement): string => (typeof element === "string" ? element : element.name);

function listed<T>(elements: readonly T[] | undefined, text: (value: never) => string): string {
  if (!elements || elements.length === 0) return "nothing";
  const shown = elements
    .slice(0, SHOWN)
    .map((element) => (isNamedSet(element) ? `${element.name} (${element.values.length})` : text(element as never)));
  return `${shown.join(", ")}${elements.length > SHOWN ? ` and ${elements.length - SHOWN} more` : ""}`;
}

function communityText<P>(match: CommunityMatch<P> | undefined, text: (pattern: P) => string): string {
  const { any, all, none, exact } = match ?? {};
  const list = (elements: Elements<P>) => listed(elements, text as (value: never) => string);
  return [
    any && list(any),
    all && `all of ${list(all)}`,
    none && `none of ${list(none)}`,
    exact && `exactly ${list(exact)}`,
  ]
    .filter(Boolean)
    .join("; ");
}

function prefixText({ prefix, ge, le }: PrefixMatch): string {
  const bits = prefix.bytes.length * 8;
  if (ge === prefix.length && le === prefix.length) return formatPrefix(prefix);
  return `${formatPrefix(prefix)}${ge > prefix.length ? ` ge ${ge}` : ""}${le < bits || ge === prefix.length ? ` le ${le}` : ""}`;
}

function parts(pattern: readonly CommunityPart[]): string {
  return pattern.map(partText).join(":");
}

function partText(part: CommunityPart): string {
  if (part === null) return "*";
  return typeof part === "number" ? String(part) : `${part.ge}-${part.le}`;
}

const subtypeWords: Readonly<Record<number, string>> = { 2: "rt", 3: "ro", 4: "bandwidth" };

function extendedText([subtype, form, global, local]: ExtendedCommunityPattern): string {
  if (subtype === RAW) return formatExtendedCommunity([global as number, local as number]);
  const owner =
    form === ExtendedForm.IPV4 && typeof global === "number"
      ? [24, 16, 8, 0].map((shift) => (global >>> shift) & 255).join(".")
      : `${partText(global)}${form === ExtendedForm.AS4 && typeof global === "number" && global <= 0xffff ? "L" : ""}`;
  return `${subtypeWords[subtype as number]}:${owner}:${partText(local)}`;
}

function rangeText(range: Range | undefined): string {
  if (!range) return "nothing";
  return range.ge === range.le ? String(range.ge) : `${range.ge} to ${range.le}`;
}

function valueText(value: ValueMatch | undefined): string {
  return typeof value === "string" ? value : rangeText(value);
}
