// stdin -> the network configuration, as far as this plugin reads it (specification section 1, plus the conventions for
// `args`, `runtimeConfig` and CNI_ARGS). Unknown keys are left alone; keys that we know and cannot honour are refused.
import { isIdentifier } from "./environment.ts";
import { CniError, CniErrorCode } from "./error.ts";
import { field, isObject, type JsonObject, namesField, objectField, show, textField, textsField } from "./json.ts";
import { type CniVersion, requireSupported } from "./version.ts";

export interface NetworkConfig {
  readonly cniVersion: CniVersion;
  readonly name: string;
  /** In order of preference; none: not said. */
  readonly pools: readonly string[];
  /** Null: not said. */
  readonly mtu: number | null;
  readonly dns: JsonObject;
  /** As it came; undefined when absent. */
  readonly prevResult: unknown;
  /** GC: what is alive; null when the caller gave no list. */
  readonly validAttachments: readonly { readonly containerId: string; readonly ifname: string }[] | null;
  readonly raw: JsonObject;
}

/** The caller's `cniVersion`, for error objects; null when it cannot be read. */
export function peekVersion(stdin: Uint8Array): string | null {
  try {
    const value: unknown = JSON.parse(Buffer.from(stdin).toString("utf8"));
    if (!isObject(value)) return null;
    const version = field(value, "cniVersion") ?? "";
    return typeof version === "string" ? version || "0.1.0" : null;
  } catch {
    return null;
  }
}

/**
 * Throws 6 for what cannot be decoded, 7 for what makes no sense, 1 for a version that we do not speak. What a verb may
 * need beyond the name is read, and complained about, when it is asked for: a DEL must not fail for a setting it does
 * not need.
 */
export function parseConfig(stdin: Uint8Array): NetworkConfig {
  const raw = decode(stdin);
  const version = field(raw, "cniVersion") ?? "";
  if (typeof version !== "string") throw bad(CniErrorCode.decode, `cniVersion must be a string, not ${show(version)}`);
  const name = field(raw, "name") ?? "";
  if (name === "") throw bad(CniErrorCode.invalidConfig, "missing network name");
  if (typeof name !== "string") throw bad(CniErrorCode.decode, `name must be a string, not ${show(name)}`);
  if (!isIdentifier(name)) throw bad(CniErrorCode.invalidConfig, "invalid characters found in network name", name);
  return {
    cniVersion: requireSupported(version || "0.1.0"),
    name,
    get pools() {
      return namesField(raw, "pool") ?? [];
    },
    get mtu() {
      return mtuOf(raw);
    },
    get dns() {
      return dnsOf(raw);
    },
    get prevResult() {
      return field(raw, "prevResult") ?? undefined;
    },
    get validAttachments() {
      return attachmentsOf(raw);
    },
    raw,
  };
}

/** Capabilities that somebody else has to act on, and whom to declare them for. */
const othersCapabilities: readonly (readonly [key: string, advice: string, wanted: (value: unknown) => boolean])[] = [
  ["portMappings", "chain the portmap plugin and declare the capability there", isGiven],
  ["bandwidth", "chain the bandwidth plugin and declare the capability there", limitsBandwidth],
  ["ipRanges", "name a pool instead, or set an ipam type", isGiven],
  ["deviceID", "take the capability away", isGiven],
  ["infinibandGUID", "take the capability away", isGiven],
];

/** Settings that an ADD cannot honour are refused with code 2, naming key and value; nothing else looks at them. */
export function refuseUnsupported(config: NetworkConfig): void {
  if (field(config.raw, "ipMasq") === true)
    throw bad(CniErrorCode.unsupportedField, '"ipMasq": true is not supported: pods are routed, never translated');
  const runtime = objectField(config.raw, "runtimeConfig");
  for (const [key, advice, wanted] of othersCapabilities) {
    const value = field(runtime, key);
    if (!wanted(value)) continue;
    throw bad(
      CniErrorCode.unsupportedField,
      `runtimeConfig "${key}": ${show(value)} is not handled by underlay: ${advice}`,
    );
  }
}

function isGiven(value: unknown): boolean {
  if (value === undefined || value === null || value === "") return false;
  return Array.isArray(value) ? value.length > 0 : !isObject(value) || Object.keys(value).length > 0;
}

/** Bursts without a rate limit nothing: containerd sends them for every pod. */
function limitsBandwidth(value: unknown): boolean {
  if (!isObject(value)) return isGiven(value);
  return ["ingressRate", "egressRate"].some((key) => Boolean(field(value, key)));
}

function decode(stdin: Uint8Array): JsonObject {
  if (stdin.length === 0) throw bad(CniErrorCode.decode, "no network configuration on stdin");
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(stdin).toString("utf8"));
  } catch (error) {
    throw bad(CniErrorCode.decode, `network configuration is not JSON: ${(error as Error).message}`);
  }
  if (!isObject(value))
    throw bad(CniErrorCode.decode, `network configuration must be a JSON object, not ${show(value)}`);
  return value;
}

/** What the result's `dns` says: the runtime's wishes (capability `dns`), else the configuration's. */
function dnsOf(raw: JsonObject): JsonObject {
  const wished = objectField(objectField(raw, "runtimeConfig"), "dns");
  const dns = readDns(wished, { nameservers: "servers", domain: "domain", search: "searches", options: "options" });
  return Object.keys(dns).length > 0 ? dns : readDns(objectField(raw, "dns"));
}

/** Without what is empty. Throws 6. */
export function readDns(
  from: JsonObject,
  names = { nameservers: "nameservers", domain: "domain", search: "search", options: "options" },
): JsonObject {
  const dns = {
    nameservers: textsField(from, names.nameservers, `dns ${names.nameservers}`),
    domain: textField(from, names.domain),
    search: textsField(from, names.search, `dns ${names.search}`),
    options: textsField(from, names.options, `dns ${names.options}`),
  };
  return Object.fromEntries(Object.entries(dns).filter(([, value]) => value !== null));
}

function mtuOf(raw: JsonObject): number | null {
  const mtu = field(raw, "mtu") ?? 0;
  if (mtu === 0) return null;
  if (typeof mtu === "number" && Number.isInteger(mtu) && mtu >= 68 && mtu <= 65535) return mtu;
  throw bad(CniErrorCode.invalidConfig, `"mtu": ${show(mtu)} must be between 68 and 65535 (1280 with IPv6)`);
}

/** The current key or the one of older libcni; null as a value means that nothing is alive. */
function attachmentsOf(raw: JsonObject): NetworkConfig["validAttachments"] {
  const key = ["cni.dev/valid-attachments", "cni.dev/attachments"].find((name) => field(raw, name) !== undefined);
  if (!key) return null;
  const value = field(raw, key) ?? [];
  if (!Array.isArray(value)) throw bad(CniErrorCode.decode, `${key} must be a list, not ${show(value)}`);
  return value.map((entry: unknown) => {
    const containerId = isObject(entry) ? field(entry, "containerID") : undefined;
    const ifname = isObject(entry) ? field(entry, "ifname") : undefined;
    if (typeof containerId !== "string" || typeof ifname !== "string")
      throw bad(CniErrorCode.decode, `${key}: each entry needs containerID and ifname, not ${show(entry)}`);
    return { containerId, ifname };
  });
}

function bad(code: number, message: string, details = ""): CniError {
  return new CniError(code, message, details);
}
