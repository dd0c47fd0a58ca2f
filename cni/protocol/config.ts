// stdin -> the network configuration, as far as this plugin reads it (specification section 1, plus the conventions for
// `args`, `runtimeConfig` and CNI_ARGS). Unknown keys are left alone; keys that we know and cannot honour are refused.
import { parseAddress } from "../../net/address.ts";
import { parseCniArgs, podName } from "./args.ts";
import { isIdentifier } from "./environment.ts";
import { CniError, CniErrorCode } from "./error.ts";
import { field, isObject, type JsonObject } from "./json.ts";
import { type CniVersion, requireSupported } from "./version.ts";

export interface NetworkConfig {
  readonly cniVersion: CniVersion;
  readonly name: string;
  /** Null: not said. */
  readonly pool: string | null;
  readonly mtu: number | null;
  readonly dns: JsonObject;
  /** As it came; undefined when absent. */
  readonly prevResult: unknown;
  /** GC: what is alive; null when the caller gave no list. */
  readonly validAttachments: readonly { readonly containerId: string; readonly ifname: string }[] | null;
  readonly raw: JsonObject;
}

/** What the caller asks for one pod. */
export interface PodRequest {
  /** At most one per family. */
  readonly addresses: readonly Uint8Array[];
  readonly mac: Uint8Array | null;
  readonly pod: string | null;
}

/** The caller's `cniVersion`, for error objects; null when it cannot be read. */
export function peekVersion(stdin: Uint8Array): string | null {
  try {
    const value: unknown = JSON.parse(Buffer.from(stdin).toString("utf8"));
    if (!isObject(value)) return null;
    const version = value.cniVersion ?? "";
    return typeof version === "string" ? version || "0.1.0" : null;
  } catch {
    return null;
  }
}

/** Throws 6 for what cannot be decoded, 7 for what makes no sense, 1 for a version that we do not speak. */
export function parseConfig(stdin: Uint8Array): NetworkConfig {
  const raw = decode(stdin);
  const version = raw.cniVersion ?? "";
  if (typeof version !== "string") throw bad(CniErrorCode.decode, `cniVersion must be a string, not ${show(version)}`);
  const name = raw.name ?? "";
  if (name === "") throw bad(CniErrorCode.invalidConfig, "missing network name");
  if (typeof name !== "string") throw bad(CniErrorCode.decode, `name must be a string, not ${show(name)}`);
  if (!isIdentifier(name)) throw bad(CniErrorCode.invalidConfig, "invalid characters found in network name", name);
  const cniVersion = requireSupported(version || "0.1.0");
  return {
    cniVersion,
    name,
    pool: text(raw, "pool"),
    mtu: mtuOf(raw),
    dns: isObject(raw.dns) ? raw.dns : {},
    prevResult: raw.prevResult ?? undefined,
    validAttachments: attachmentsOf(raw),
    raw,
  };
}

/** Settings that an ADD cannot honour are refused with code 2, naming key and value; nothing else looks at them. */
export function refuseUnsupported(config: NetworkConfig): void {
  if (config.raw.ipMasq === true)
    throw bad(CniErrorCode.unsupportedField, '"ipMasq": true is not supported: pods are routed, never translated');
  const runtime = objectOf(config.raw, "runtimeConfig");
  for (const [key, plugin] of [
    ["portMappings", "portmap"],
    ["bandwidth", "bandwidth"],
  ]) {
    const value = field(runtime, key);
    if (value === undefined || value === null || (Array.isArray(value) && value.length === 0)) continue;
    if (isObject(value) && Object.values(value).every((entry) => !entry)) continue;
    throw bad(
      CniErrorCode.unsupportedField,
      `runtimeConfig "${key}": ${show(value)} is not handled by underlay: chain the ${plugin} plugin and declare the capability there`,
    );
  }
}

/** Addresses: runtimeConfig.ips, else args.cni.ips, else CNI_ARGS IP. MAC in the same order. Throws 4 or 7. */
export function parsePodRequest(config: NetworkConfig, cniArgs: string): PodRequest {
  const args = parseCniArgs(cniArgs);
  const runtime = objectOf(config.raw, "runtimeConfig");
  const conventions = objectOf(objectOf(config.raw, "args"), "cni");
  const fromArgs = args.get("IP");
  const ips =
    list(runtime, "ips", "runtimeConfig.ips") ??
    list(conventions, "ips", "args.cni.ips") ??
    (fromArgs ? fromArgs.split(",") : []);
  const mac =
    text(runtime, "mac") || text(conventions, "mac") || (args.get("MAC") ? (args.get("MAC") as string) : null);
  return { addresses: parseAddresses(ips), mac: mac ? parseMac(mac) : null, pod: podName(args) };
}

/** `ip` or `ip/prefix`; the pod always gets the host prefix, so the length is only checked. */
function parseAddresses(ips: readonly string[]): Uint8Array[] {
  const addresses: Uint8Array[] = [];
  for (const ip of ips) {
    const match = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(ip.trim());
    const bytes = match && parseAddress(match[1]);
    if (!bytes || (match[2] !== undefined && Number(match[2]) > bytes.length * 8))
      throw bad(CniErrorCode.invalidConfig, `requested address "${ip}" is not an IP address or CIDR`);
    if (addresses.some((other) => other.length === bytes.length))
      throw bad(
        CniErrorCode.invalidConfig,
        `requested addresses [${ips.join(", ")}]: one address per family is possible`,
      );
    addresses.push(bytes);
  }
  return addresses;
}

/** Six bytes in the usual notations with `:` or `-`; unicast only. */
export function parseMac(mac: string): Uint8Array {
  const bytes = /^[0-9a-f]{2}([:-][0-9a-f]{2}){5}$/i.test(mac)
    ? Uint8Array.from(mac.split(/[:-]/), (part) => Number.parseInt(part, 16))
    : null;
  if (!bytes || (bytes[0] & 1) === 1 || bytes.every((byte) => byte === 0))
    throw bad(CniErrorCode.invalidConfig, `requested MAC "${mac}" is not a unicast Ethernet address`);
  return bytes;
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

function mtuOf(raw: JsonObject): number | null {
  const mtu = raw.mtu ?? 0;
  if (mtu === 0) return null;
  if (typeof mtu === "number" && Number.isInteger(mtu) && mtu >= 68 && mtu <= 65535) return mtu;
  throw bad(CniErrorCode.invalidConfig, `"mtu": ${show(mtu)} must be between 68 and 65535 (1280 with IPv6)`);
}

/** The current key or the one of older libcni; null as a value means that nothing is alive. */
function attachmentsOf(raw: JsonObject): NetworkConfig["validAttachments"] {
  const key = ["cni.dev/valid-attachments", "cni.dev/attachments"].find((name) => Object.hasOwn(raw, name));
  if (!key) return null;
  const value = raw[key] ?? [];
  if (!Array.isArray(value)) throw bad(CniErrorCode.decode, `${key} must be a list, not ${show(value)}`);
  return value.map((entry: unknown) => {
    const containerId = isObject(entry) ? field(entry, "containerID") : undefined;
    const ifname = isObject(entry) ? field(entry, "ifname") : undefined;
    if (typeof containerId !== "string" || typeof ifname !== "string")
      throw bad(CniErrorCode.decode, `${key}: each entry needs containerID and ifname, not ${show(entry)}`);
    return { containerId, ifname };
  });
}

function objectOf(parent: JsonObject, key: string): JsonObject {
  const value = field(parent, key) ?? {};
  if (isObject(value)) return value;
  throw bad(CniErrorCode.decode, `"${key}" must be an object, not ${show(value)}`);
}

function text(parent: JsonObject, key: string): string | null {
  const value = field(parent, key) ?? null;
  if (value === null || typeof value === "string") return value || null;
  throw bad(CniErrorCode.decode, `"${key}" must be a string, not ${show(value)}`);
}

function list(parent: JsonObject, key: string, name: string): string[] | null {
  const value = field(parent, key) ?? null;
  if (value === null) return null;
  if (!Array.isArray(value) || value.some((entry) => typeof entry !== "string"))
    throw bad(CniErrorCode.decode, `${name} must be a list of strings, not ${show(value)}`);
  return value.length > 0 ? value : null;
}

function show(value: unknown): string {
  try {
    const json = JSON.stringify(value) ?? String(value);
    return json.length > 200 ? `${json.slice(0, 200)}...` : json;
  } catch {
    return "a value nested too deeply to print";
  }
}

function bad(code: number, message: string, details = ""): CniError {
  return new CniError(code, message, details);
}
