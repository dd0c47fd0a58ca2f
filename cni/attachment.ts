// One attachment: a pod's interface, as it was asked for and as it is; and what follows from its record.
import { randomFillSync } from "node:crypto";
import { parseAddress } from "../net/address.ts";
import { type Prefix, prefix } from "../net/prefix.ts";
import { type Given, identityAsked, keepAsked } from "./allocation.ts";
import { encodeAlias } from "./attach/alias.ts";
import { formatMac } from "./attach/gateway.ts";
import type { FollowRequest } from "./attach/messages.ts";
import { hostName } from "./host-name.ts";
import type { Delegate, Delegated } from "./ipam/delegate.ts";
import { type PodRecord, podKey } from "./ipam/records.ts";
import { isOwnNamespace } from "./namespace.ts";
import type { JsonObject } from "./protocol/json.ts";
import { type PodRequest, parseMac } from "./protocol/pod-request.ts";
import type { PodView } from "./types.ts";

/** In place of an interface's index. */
export const NO_LINK = 0;

export interface AttachmentId {
  readonly network: string;
  readonly containerId: string;
  readonly ifname: string;
}

export interface NewAttachment extends AttachmentId {
  /** In order of preference, as the allocator's choosePools() has them. */
  readonly pools: readonly string[];
  readonly netns: string;
  readonly netnsId: string;
  readonly mtu: number;
  readonly request: PodRequest;
  /**
   * Told of what it will be while disk and kernel are at it: time for what comes after. Must not throw; again with
   * another name.
   */
  readonly onPlanned?: (planned: Pick<Attachment, "record" | "dns">) => void;
  /** Another plugin gives the addresses. */
  readonly delegation?: { readonly delegate: Delegate; readonly allocate: () => Promise<Delegated> };
}

export interface Attachment {
  readonly record: PodRecord;
  /** Of the host end; 0: somebody deleted it. */
  readonly ifindex: number;
  /** That came with the addresses. */
  readonly dns?: JsonObject;
}

/** What the store is to keep of it. */
export function newRecord(wanted: NewAttachment, allocation: Given, mac: Uint8Array, hostInterface: string): PodRecord {
  // In the host's own namespace a default route would be the host's.
  const routes = isOwnNamespace(wanted.netnsId) ? [] : allocation.given?.routes;
  const [keep, identity] = [keepAsked(wanted), identityAsked(wanted)];
  return {
    network: wanted.network,
    containerId: wanted.containerId,
    ifname: wanted.ifname,
    pool: allocation.pool,
    addresses: allocation.addresses,
    sequence: allocation.sequence,
    netns: wanted.netns,
    netnsId: wanted.netnsId,
    hostInterface,
    mac: formatMac(mac),
    pod: wanted.request.pod,
    ...(keep !== undefined && { keep }),
    ...(identity !== undefined && { identity }),
    ...(wanted.delegation && { ipam: wanted.delegation.delegate }),
    ...(routes && { routes }),
  };
}

export function aliasOf(record: PodRecord): string {
  return encodeAlias(record);
}

/** Recovered from an interface whose alias had no room for its owner. */
function isAnonymous(record: PodRecord): boolean {
  return record.network === "";
}

/** How many names of a key are tried where the host has others of the same name. */
export const NAME_ATTEMPTS = 5;

/** The record of an attachment; of one that lost its name, by that of its interface, which is a hash of it. */
export function recordOf(pods: ReadonlyMap<string, PodRecord>, id: AttachmentId): PodRecord | undefined {
  const record = pods.get(podKey(id));
  if (record) return record;
  const anonymous = [...pods.values()].filter(isAnonymous);
  if (anonymous.length === 0) return undefined;
  const names = new Set(
    Array.from({ length: NAME_ATTEMPTS + 1 }, (_, attempt) => hostName(podKey(id), attempt, () => false)),
  );
  return anonymous.find(({ hostInterface }) => names.has(hostInterface));
}

export function bytesOf(record: PodRecord): Uint8Array[] {
  return record.addresses.map((address) => parseAddress(address)!);
}

/** What the pod reaches through its interface. */
export function destinationsOf({ addresses, routes }: PodRecord): Prefix[] {
  return (routes ?? defaultRoutes(addresses)).map(prefix);
}

/** Everything, in each family of the addresses. */
export function defaultRoutes(addresses: readonly string[]): string[] {
  return [...new Set(addresses.map((address) => (address.includes(":") ? "::/0" : "0.0.0.0/0")))];
}

/** What the attach worker has to know of a pod from before, to follow its MAC. */
export function followRequest(record: PodRecord): FollowRequest {
  const { netns, netnsId, ifname, hostInterface, mac } = record;
  return { netns, netnsId, ifname, hostInterface, mac: parseMac(mac), addresses: bytesOf(record) };
}

export function hostRoutes({ record, ifindex }: Attachment): { address: Uint8Array; ifindex: number }[] {
  return bytesOf(record).map((address) => ({ address, ifindex }));
}

export function podView(record: PodRecord): PodView {
  const { network, containerId, ifname, addresses, pool, netns, hostInterface, pod } = record;
  return { network, containerId, ifname, addresses, pool, ipam: record.ipam?.type ?? null, netns, hostInterface, pod };
}

const random = new Uint8Array(1024);
let used = random.length;

/** Locally administered, unicast. Random: a pod that comes again is another station. */
export function randomMac(): Uint8Array {
  if (used + 6 > random.length) {
    // Many at once: the way to the random number generator takes longer than all of them.
    randomFillSync(random);
    used = 0;
  }
  const mac = random.slice(used, used + 6);
  used += 6;
  mac[0] = (mac[0] & 0xfe) | 0x02;
  return mac;
}
