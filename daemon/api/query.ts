// The query part of a request -> a filter, strictly: a parameter that we do not know would silently filter nothing.

import type { PolicyRequest } from "../../config/policy-request.ts";
import { parseAddress } from "../../net/address.ts";
import { formatPrefix, maskBytes, parsePrefix } from "../../net/prefix.ts";
import type { ExplainRequest } from "../explain.ts";
import { ApiError, type RouteFilter } from "./types.ts";

/** Seconds that a drain may wait. */
const LONGEST_WAIT = 3600;
const families: Readonly<Record<string, 4 | 6>> = { "4": 4, "6": 6, ipv4: 4, ipv6: 6 };
const booleans: Readonly<Record<string, boolean>> = { "": true, "1": true, true: true, "0": false, false: false };

/** `?prefix=&table=&family=&best=`. Throws ApiError 400. */
export function routeFilter(query: URLSearchParams): RouteFilter {
  only(query, ["prefix", "table", "family", "best"]);
  const filter: { -readonly [K in keyof RouteFilter]: RouteFilter[K] } = {};
  const prefix = query.get("prefix");
  if (prefix !== null) filter.prefix = addressOrPrefix(prefix);
  const table = query.get("table");
  if (table !== null) filter.table = table;
  const family = familyParameter(query);
  if (family !== null) filter.family = family;
  const best = query.get("best");
  if (best !== null) filter.best = oneOf(booleans, best, "best", "true or false");
  return filter;
}

/** `?prefix=`: an address or a prefix. Throws ApiError 400. */
export function prefixParameter(query: URLSearchParams): string {
  only(query, ["prefix"]);
  const prefix = query.get("prefix");
  if (!prefix) throw new ApiError(400, "prefix= is missing: an address or a prefix");
  return prefix;
}

const explainKeys = [
  "source",
  "destination",
  "mark",
  "iif",
  "oif",
  "tos",
  "uid",
  "ipProtocol",
  "sourcePort",
  "destinationPort",
] as const;

/** What is asked about a packet. Throws ApiError 400. */
export function explainRequest(query: URLSearchParams): ExplainRequest {
  only(query, explainKeys);
  const entries = explainKeys.flatMap((key) => (query.has(key) ? [[key, query.get(key)]] : []));
  const { source, destination, ...more } = Object.fromEntries(entries) as Partial<ExplainRequest>;
  if (!destination) throw new ApiError(400, "destination= is missing: where the packet is to go");
  if (!source) throw new ApiError(400, "source= is missing: where the packet comes from, or any");
  return { ...more, source, destination };
}

const policyKeys = [
  "policy",
  "import",
  "export",
  "prefix",
  "peer",
  "received",
  "asPath",
  "nextHop",
  "origin",
  "med",
  "localPref",
] as const;

/** What is asked about a policy; `community` may be there several times. Throws ApiError 400. */
export function policyRequest(query: URLSearchParams): PolicyRequest {
  only(query, [...policyKeys, "community"]);
  const entries = policyKeys.flatMap((key) => (query.has(key) ? [[key, query.get(key)]] : []));
  const request = Object.fromEntries(entries) as Partial<PolicyRequest>;
  if (request.prefix === undefined) throw new ApiError(400, "prefix= is missing: the route's prefix");
  const communities = query.getAll("community");
  return { ...request, prefix: request.prefix, ...(communities.length > 0 && { communities }) };
}

/** `?peer=` of a request that does something to one. Throws ApiError 400. */
export function peerName(query: URLSearchParams): string {
  const peer = query.get("peer") ?? "";
  if (peer === "") throw new ApiError(400, "?peer= must be the name of a peer");
  return peer;
}

export function familyParameter(query: URLSearchParams): 4 | 6 | null {
  const family = query.get("family");
  return family === null ? null : oneOf(families, family, "family", "ipv4 or ipv6");
}

/** Not given: false. Throws ApiError 400. */
export function booleanParameter(query: URLSearchParams, name: string): boolean {
  const value = query.get(name);
  return value !== null && oneOf(booleans, value, name, "true or false");
}

/** `?wait=`, seconds -> milliseconds; null: not given. Throws ApiError 400. */
export function waitParameter(query: URLSearchParams): number | null {
  const wait = query.get("wait");
  if (wait === null) return null;
  const seconds = /^\d+(\.\d+)?$/.test(wait) ? Number(wait) : Number.NaN;
  if (!(seconds <= LONGEST_WAIT)) throw new ApiError(400, `wait=${wait}: write seconds, 0 to ${LONGEST_WAIT}`);
  return Math.round(seconds * 1000);
}

/** Throws ApiError 400 when there is another parameter than these. */
export function only(query: URLSearchParams, names: readonly string[]): void {
  for (const name of query.keys()) {
    if (names.includes(name)) continue;
    throw new ApiError(400, `unknown parameter ${name}; there is ${names.join(", ") || "none"}`);
  }
}

function oneOf<T>(values: Readonly<Record<string, T>>, value: string, name: string, wanted: string): T {
  if (!Object.hasOwn(values, value)) throw new ApiError(400, `${name}=${value}: write ${wanted}`);
  return values[value];
}

function addressOrPrefix(text: string): string {
  if (parseAddress(text)) return text;
  const parsed = parsePrefix(text);
  if (typeof parsed !== "string") return text;
  const [head, length] = text.split("/");
  const bytes = parseAddress(head);
  const hint =
    parsed === "hostBits" && bytes
      ? `; did you mean ${formatPrefix({ family: bytes.length === 4 ? 4 : 6, bytes: maskBytes(bytes, Number(length)), length: Number(length) })}?`
      : "";
  throw new ApiError(400, `${text} is neither an address nor a prefix${hint}`);
}
