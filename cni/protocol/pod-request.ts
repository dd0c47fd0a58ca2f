// What is asked for one pod: addresses, MAC and pool. Each may come from several places; the first that names it counts:
//
//   runtimeConfig   ips, mac                                 capabilities of the plugin
//   args.cni        ips, mac, pool, sticky                   the conventions' arguments
//   annotations     underlay.dev/{addresses,mac,pool,sticky} of the pod: the capability io.kubernetes.cri.pod-annotations,
//                                                            or args.cni.annotations
//   CNI_ARGS        IP, MAC, POOL, STICKY
//   conflist        pool                                     (NetworkConfig.pools; not looked at here)
//
// Deviation from the conventions: CNI_ARGS count for what `args` does not name, also when there are `args`.
import { parseAddress, unmapped } from "../../net/address.ts";
import { parseCniArgs, podName } from "./args.ts";
import type { NetworkConfig } from "./config.ts";
import { CniError, CniErrorCode } from "./error.ts";
import { field, type JsonObject, namesField, objectField, show, textField, textsField } from "./json.ts";

export const annotationNames = {
  addresses: "underlay.dev/addresses",
  mac: "underlay.dev/mac",
  pool: "underlay.dev/pool",
  sticky: "underlay.dev/sticky",
} as const;

export const ANNOTATIONS_CAPABILITY = "io.kubernetes.cri.pod-annotations";

export interface PodRequest {
  /** At most one per family. */
  readonly addresses: readonly Uint8Array[];
  readonly mac: Uint8Array | null;
  /** In order of preference; none: those of the conflist. */
  readonly pools: readonly string[];
  /** Is it to find its addresses again? A name: under which, instead of the pod's own. Null: as the pool has it. */
  readonly sticky: boolean | string | null;
  /** namespace/name, when the caller gave one. */
  readonly pod: string | null;
}

/** A value, and who says so. */
interface Said<T> {
  readonly value: T;
  readonly by: string;
}

/** Throws 4 for CNI_ARGS, 6 for what cannot be decoded, 7 for what makes no sense. */
export function parsePodRequest(config: NetworkConfig, cniArgs: string): PodRequest {
  const args = parseCniArgs(cniArgs);
  const runtime = objectField(config.raw, "runtimeConfig");
  const conventions = objectField(objectField(config.raw, "args"), "cni");
  const annotation = annotationsOf(runtime, conventions);
  const arg = (key: string): Said<string> | null => said(args.get(key), `CNI_ARGS ${key}`);

  const addresses =
    said(textsField(runtime, "ips", "runtimeConfig.ips"), "runtimeConfig.ips") ??
    said(textsField(conventions, "ips", "args.cni.ips"), "args.cni.ips") ??
    listed(annotation(annotationNames.addresses)) ??
    listed(arg("IP"));
  const mac =
    said(textField(runtime, "mac"), "runtimeConfig.mac") ??
    said(textField(conventions, "mac"), "args.cni.mac") ??
    annotation(annotationNames.mac) ??
    arg("MAC");
  const pools =
    said(namesField(conventions, "pool", "args.cni.pool"), "args.cni.pool") ??
    listed(annotation(annotationNames.pool)) ??
    listed(arg("POOL"));
  const sticky =
    said(textField(conventions, "sticky"), "args.cni.sticky") ?? annotation(annotationNames.sticky) ?? arg("STICKY");
  return {
    addresses: addresses ? parseAddresses(addresses) : [],
    mac: mac ? parseMac(mac.value, mac.by) : null,
    pools: (pools?.value ?? []).map((name) => name.trim()),
    sticky: sticky && parseSticky(sticky),
    pod: podName(args),
  };
}

/** Six bytes in the usual notations with `:` or `-`; unicast only. Throws 7; `by` says where it comes from. */
export function parseMac(mac: string, by = "the result"): Uint8Array {
  const bytes = /^[0-9a-f]{2}([:-][0-9a-f]{2}){5}$/i.test(mac)
    ? Uint8Array.from(mac.split(/[:-]/), (part) => Number.parseInt(part, 16))
    : null;
  if (!bytes || (bytes[0] & 1) === 1 || bytes.every((byte) => byte === 0))
    throw invalid(`requested MAC "${mac}" (${by}) is not a unicast Ethernet address`);
  return bytes;
}

function parseSticky({ value, by }: Said<string>): boolean | string {
  const word = value.toLowerCase();
  if (word === "true" || word === "false") return word === "true";
  if (/^[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?$/.test(value)) return value;
  throw invalid(`${by}: ${show(value)} is neither true nor false nor a name`);
}

/** Names match without regard to case: runtimes have changed it on the way. */
function annotationsOf(runtime: JsonObject, conventions: JsonObject): (name: string) => Said<string> | null {
  const sources = [objectField(runtime, ANNOTATIONS_CAPABILITY), objectField(conventions, "annotations")];
  return (name) => {
    for (const source of sources) {
      const value = field(source, name) ?? null;
      if (value === null || value === "") continue;
      if (typeof value === "string") return { value: value.trim(), by: `annotation ${name}` };
      throw new CniError(CniErrorCode.decode, `annotation ${name} must be a string, not ${show(value)}`);
    }
    return null;
  };
}

/** Several in one text: with commas between them, or as a JSON list. */
function listed(text: Said<string> | null): Said<readonly string[]> | null {
  if (!text) return null;
  const { value, by } = text;
  if (!value.startsWith("[")) return { value: value.split(","), by };
  let list: unknown;
  try {
    list = JSON.parse(value);
  } catch {
    list = null;
  }
  if (Array.isArray(list) && list.every((entry) => typeof entry === "string")) return { value: list, by };
  throw invalid(`${by}: ${show(value)} is neither a list with commas nor a JSON list of texts`);
}

function said<T>(value: T | null | undefined, by: string): Said<T> | null {
  return value === null || value === undefined || value === "" ? null : { value, by };
}

/** `ip` or `ip/prefix`; the pod always gets the host prefix, so the length is only checked. */
function parseAddresses({ value: ips, by }: Said<readonly string[]>): Uint8Array[] {
  const addresses: Uint8Array[] = [];
  for (const ip of ips) {
    const match = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(ip.trim());
    const written = match && parseAddress(match[1]);
    if (!written || (match[2] !== undefined && Number(match[2]) > written.length * 8))
      throw invalid(`requested address "${ip}" (${by}) is not an IP address or CIDR`);
    const bytes = unmapped(written);
    // podman says each twice when it attaches a container anew.
    if (addresses.some((other) => Buffer.compare(other, bytes) === 0)) continue;
    if (addresses.some((other) => other.length === bytes.length))
      throw invalid(`requested addresses [${ips.join(", ")}] (${by}): one address per family is possible`);
    addresses.push(bytes);
  }
  return addresses;
}

function invalid(message: string): CniError {
  return new CniError(CniErrorCode.invalidConfig, message);
}
