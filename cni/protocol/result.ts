// The result of an ADD in one internal shape (that of 1.1.0), and its text in each specification version.
// Only fields of the requested version are written. `prevResult` comes in the version of the configuration.
import { parseAddress, unmapped } from "../../net/address.ts";
import { readDns } from "./config.ts";
import { CniError, CniErrorCode } from "./error.ts";
import { field, isObject, type JsonObject } from "./json.ts";
import { atLeast, type CniVersion, isSupported } from "./version.ts";

export interface ResultInterface {
  readonly name: string;
  readonly mac?: string;
  readonly mtu?: number;
  readonly sandbox?: string;
  readonly socketPath?: string;
  readonly pciID?: string;
}

export interface ResultIp {
  /** CIDR with host bits kept. */
  readonly address: string;
  readonly gateway?: string;
  /** Index into interfaces; 0 is an index, absent is not. */
  readonly interface?: number;
}

export interface ResultRoute {
  readonly dst: string;
  readonly gw?: string;
  readonly mtu?: number;
  readonly advmss?: number;
  readonly priority?: number;
  readonly table?: number;
  readonly scope?: number;
}

export interface CniResult {
  readonly interfaces: readonly ResultInterface[];
  readonly ips: readonly ResultIp[];
  readonly routes: readonly ResultRoute[];
  readonly dns: JsonObject;
}

/** `ours` appended to what earlier plugins of the chain reported. */
export function appendResult(previous: CniResult, ours: CniResult): CniResult {
  const base = previous.interfaces.length;
  return {
    interfaces: [...previous.interfaces, ...ours.interfaces],
    ips: [
      ...previous.ips,
      ...ours.ips.map((ip) => (ip.interface === undefined ? ip : { ...ip, interface: ip.interface + base })),
    ],
    routes: [...previous.routes, ...ours.routes],
    dns: Object.keys(previous.dns).length > 0 ? previous.dns : ours.dns,
  };
}

export function formatResult(result: CniResult, version: CniVersion): string {
  return `${JSON.stringify(atLeast(version, "0.3.0") ? modern(result, version) : old(result, version))}\n`;
}

function familyOf(cidr: string): 4 | 6 {
  if (!cidr.includes(":")) return 4;
  const bytes = parseAddress(cidr.split("/")[0]);
  return bytes && unmapped(bytes).length === 4 ? 4 : 6;
}

/** 0.3.0 and later: lists; `ips[].version` up to 0.4.0; MTU and route attributes from 1.1.0. */
function modern(result: CniResult, version: CniVersion): object {
  const newest = atLeast(version, "1.1.0");
  const versioned = !atLeast(version, "1.0.0");
  return {
    cniVersion: version,
    interfaces: result.interfaces.map(({ name, mac, sandbox, ...rest }) => ({
      name,
      mac,
      ...(newest ? rest : {}),
      sandbox,
    })),
    ips: result.ips.map((ip) => ({
      ...(versioned ? { version: String(familyOf(ip.address)) } : {}),
      interface: ip.interface,
      address: ip.address,
      gateway: ip.gateway,
    })),
    routes: result.routes.map(({ dst, gw, ...rest }) => ({ dst, gw, ...(newest ? rest : {}) })),
    dns: result.dns,
  };
}

/** 0.1.0 and 0.2.0: the first address of each family, with the routes of that family. */
function old(result: CniResult, version: CniVersion): object {
  const part = (family: 4 | 6) => {
    const ip = result.ips.find((candidate) => familyOf(candidate.address) === family);
    if (!ip) return undefined;
    const routes = result.routes
      .filter((route) => familyOf(route.dst) === family)
      .map(({ dst, gw }) => (gw === undefined ? { dst } : { dst, gw }));
    return { ip: ip.address, gateway: ip.gateway, routes };
  };
  return { cniVersion: version, ip4: part(4), ip6: part(6), dns: result.dns };
}

/** Reads prevResult; a result of another major shape than `version` is refused with code 6. */
export function parsePrevResult(value: unknown, version: CniVersion): CniResult {
  if (!isObject(value)) throw undecodable("must be an object");
  const own = field(value, "cniVersion") ?? version;
  if (typeof own !== "string" || !isSupported(own)) throw undecodable(`has cniVersion ${JSON.stringify(own)}`);
  const listed = atLeast(version, "0.3.0");
  if (listed !== atLeast(own, "0.3.0"))
    throw undecodable(`is in version ${own}, which cannot stand in a ${version} configuration`);
  return listed ? parseModern(value) : parseOld(value);
}

function parseModern(value: JsonObject): CniResult {
  const interfaces = objects(value, "interfaces").map((entry): ResultInterface => {
    const name = optional<string>(entry, "name", "string");
    if (name === undefined) throw undecodable("has an interface without a name");
    return defined({
      name,
      mac: optional(entry, "mac", "string"),
      mtu: optional(entry, "mtu", "number"),
      sandbox: optional(entry, "sandbox", "string"),
      socketPath: optional(entry, "socketPath", "string"),
      pciID: optional(entry, "pciID", "string"),
    });
  });
  const ips = objects(value, "ips").map((entry): ResultIp => {
    const index = optional<number>(entry, "interface", "number");
    if (index !== undefined && (!Number.isInteger(index) || index < 0 || index >= interfaces.length))
      throw undecodable(`has an address of interface ${index}, which is not in its list`);
    return defined({
      address: cidr(field(entry, "address")),
      gateway: optional(entry, "gateway", "string"),
      interface: index,
    });
  });
  return { interfaces, ips, routes: routesOf(value), dns: dnsOf(value) };
}

function parseOld(value: JsonObject): CniResult {
  const ips: ResultIp[] = [];
  const routes: ResultRoute[] = [];
  for (const key of ["ip4", "ip6"]) {
    const part = field(value, key) ?? null;
    if (part === null) continue;
    if (!isObject(part)) throw undecodable(`has an ${key} that is no object`);
    ips.push(defined({ address: cidr(field(part, "ip")), gateway: optional(part, "gateway", "string") }));
    routes.push(...routesOf(part));
  }
  return { interfaces: [], ips, routes, dns: dnsOf(value) };
}

function routesOf(value: JsonObject): ResultRoute[] {
  return objects(value, "routes").map(
    (entry): ResultRoute =>
      defined({
        dst: cidr(field(entry, "dst")),
        gw: optional(entry, "gw", "string"),
        mtu: optional(entry, "mtu", "number"),
        advmss: optional(entry, "advmss", "number"),
        priority: optional(entry, "priority", "number"),
        table: optional(entry, "table", "number"),
        scope: optional(entry, "scope", "number"),
      }),
  );
}

function dnsOf(value: JsonObject): JsonObject {
  const dns = field(value, "dns") ?? {};
  if (!isObject(dns)) throw undecodable("has a dns that is no object");
  return readDns(dns);
}

function objects(value: JsonObject, key: string): JsonObject[] {
  const entries = field(value, key) ?? [];
  if (!Array.isArray(entries) || !entries.every(isObject)) throw undecodable(`has ${key} that is no list of objects`);
  return entries;
}

function optional<T extends string | number>(entry: JsonObject, key: string, type: "string" | "number"): T | undefined {
  const value = field(entry, key) ?? undefined;
  if (value !== undefined && typeof value !== type) throw undecodable(`has a ${key} that is no ${type}`);
  return value as T | undefined;
}

function cidr(value: unknown): string {
  const match = typeof value === "string" ? /^([^/]+)\/(\d{1,3})$/.exec(value) : null;
  const bytes = match && parseAddress(match[1]);
  if (!bytes || Number(match[2]) > bytes.length * 8)
    throw undecodable(`has ${JSON.stringify(value)} where a CIDR belongs`);
  return value as string;
}

/** Without the keys whose value is undefined, so that results compare and print alike. */
function defined<T extends object>(object: T): T {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as T;
}

function undecodable(what: string): CniError {
  return new CniError(CniErrorCode.decode, `prevResult ${what}`);
}
