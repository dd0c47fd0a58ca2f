// What somebody asks about a policy, in words: which one, and about which route. Read by the daemon (from a query) and by
// underlayctl (from its options) alike. Throws RangeError with a message for the person.
import type { ExportPolicy, ImportPolicy, PolicyElement } from "../bgp/policy/types.ts";
import type { AsSegment, Origin, PathAttributes } from "../bgp/wire/path-attributes.ts";
import { parseAddress } from "../net/address.ts";
import type { Prefix } from "../net/prefix.ts";
import { originatedAttributes } from "./build-policies.ts";
import { builtIns } from "./built-in-policies.ts";
import { type AnyCommunity, anyCommunity } from "./community-scalars.ts";
import { Refusal, suggestion } from "./scalar.ts";
import { MAX_U32, readPrefix } from "./scalars.ts";
import type { Config } from "./types.ts";

/** One of `policy`, `import` and `export`; the rest describes the route. */
export interface PolicyRequest {
  /** A name, or several with commas between them: a chain. */
  readonly policy?: string;
  /** A peer, or a group that listens: its import policy. */
  readonly import?: string;
  /** A peer, or a group that listens: its export policy. */
  readonly export?: string;
  readonly prefix: string;
  /** Who the route comes from. */
  readonly peer?: string;
  /** A peer: the route is the one that it has announced. */
  readonly received?: string;
  readonly asPath?: string;
  readonly communities?: readonly string[];
  readonly nextHop?: string;
  readonly origin?: string;
  readonly med?: string;
  readonly localPref?: string;
}

/** Keys of a request that describe a route, and so are not for one that is received. */
export const routeKeys = ["asPath", "communities", "nextHop", "origin", "med", "localPref"] as const;

type Policies = Pick<Config, "policies" | "peers" | "peerGroups">;

export function requestedPolicy(config: Policies, request: PolicyRequest): ImportPolicy | ExportPolicy {
  const given = [request.policy, request.import, request.export].filter((value) => value !== undefined);
  if (given.length !== 1)
    throw new RangeError("say which policy: by name, or as the import or the export policy of a peer");
  if (request.import !== undefined) return peerOf(config, request.import).import;
  if (request.export !== undefined) return peerOf(config, request.export).export;
  const names = (request.policy ?? "").split(",").map((name) => name.trim());
  const chain = names.map((name) => policyOf(config, name));
  return chain.length === 1 ? (chain[0] as ImportPolicy) : { name: names.join(", "), chain };
}

function policyOf({ policies }: Policies, name: string): PolicyElement {
  const found = policies.find((policy) => policy.name === name);
  if (found) return found;
  if (builtIns.includes(name)) return name as PolicyElement;
  throw new RangeError(unknown("policy", name, [...policies.map((policy) => policy.name), ...builtIns]));
}

/** A peer, or a group that listens: for the peers that come out of it, also under the name of one. */
function peerOf({ peers, peerGroups }: Policies, name: string): Config["peers" | "peerGroups"][number] {
  const [group] = name.split("/");
  const found = peers.find((peer) => peer.name === name) ?? peerGroups.find((entry) => entry.name === group);
  if (found) return found;
  throw new RangeError(
    unknown(
      "peer",
      name,
      [...peers, ...peerGroups].map((entry) => entry.name),
    ),
  );
}

function unknown(kind: string, name: string, names: readonly string[]): string {
  const hint = suggestion(name, names) ?? (names.length > 0 ? `there are ${names.join(", ")}` : "there are none");
  return `there is no ${kind} ${JSON.stringify(name)}; ${hint}`;
}

/** Where the route comes from: as said, or as the question implies. */
export function requestedPeer({ peer, received, import: imports, export: exports }: PolicyRequest): string {
  return peer ?? received ?? imports ?? (exports !== undefined ? "local" : "-");
}

export function requestedPrefix({ prefix }: PolicyRequest): Prefix {
  const parsed = readPrefix(prefix, "a prefix");
  if (parsed instanceof Refusal) throw refused(parsed);
  return parsed;
}

/** A route that is described and not received. */
export function describedAttributes(request: PolicyRequest): PathAttributes {
  const { asPath = "", communities = [], nextHop, origin = "igp", med, localPref } = request;
  const parsed = communities.flatMap((text) => text.split(/[\s,]+/).filter(Boolean)).map(communityOf);
  return {
    origin: originOf(origin),
    asPath: asPathOf(asPath),
    nextHop: nextHop === undefined ? null : addressOf(nextHop),
    linkLocalNextHop: null,
    med: med === undefined ? null : numberOf(med, "MED"),
    localPref: localPref === undefined ? null : numberOf(localPref, "LOCAL_PREF"),
    atomicAggregate: false,
    aggregator: null,
    originatorId: null,
    clusterList: [],
    otc: null,
    unknown: [],
    ...originatedAttributes(parsed),
  };
}

function communityOf(text: string): AnyCommunity {
  const parsed = anyCommunity.parse(text);
  if (parsed instanceof Refusal) throw refused(parsed);
  return parsed;
}

function originOf(text: string): Origin {
  const origin = ["igp", "egp", "incomplete"].indexOf(text);
  if (origin < 0) throw new RangeError(`${JSON.stringify(text)} is not an origin; write igp, egp or incomplete`);
  return origin as Origin;
}

function addressOf(text: string): Uint8Array {
  const parsed = parseAddress(text);
  if (!parsed) throw new RangeError(`${JSON.stringify(text)} is not a next hop; write an address`);
  return parsed;
}

function numberOf(text: string, what: string): number {
  const value = /^\d{1,10}$/.test(text) ? Number(text) : -1;
  if (value < 0 || value > MAX_U32)
    throw new RangeError(`${JSON.stringify(text)} is not a ${what}; write a number from 0 to ${MAX_U32}`);
  return value;
}

/** `65001 65002 {65003,65004}`, as it is shown. */
function asPathOf(text: string): AsSegment[] {
  const segments: { type: 1 | 2; asns: number[] }[] = [];
  for (const word of text.match(/\{[^}]*\}|[^\s{]+/g) ?? []) {
    const inSet = word.startsWith("{");
    const asns = word
      .replace(/[{}]/g, "")
      .split(/[\s,]+/)
      .map(asnOf);
    const last = segments.at(-1);
    if (!inSet && last?.type === 2) last.asns.push(...asns);
    else segments.push({ type: inSet ? 1 : 2, asns });
  }
  return segments;
}

function asnOf(text: string): number {
  const asn = /^\d{1,10}$/.test(text) ? Number(text) : 0;
  if (asn < 1 || asn > MAX_U32)
    throw new RangeError(
      `${JSON.stringify(text)} is not an AS number; write an AS path like "65001 65002 {65003,65004}"`,
    );
  return asn;
}

function refused({ message, hint }: Refusal): RangeError {
  return new RangeError(hint ? `${message}: ${hint}` : message);
}
