// What a start finds: the store's attachments and the host ends of the kernel, brought together. The kernel has the
// last word: an address belongs to the pod whose cable is there.
//
//   both                       the pod goes on
//   only stored                its ADD never ended well, its pod is gone, or the host was booted: released, to the back of the queue
//   only a link                the store was lost, damaged or older: taken back into the books from the link's alias, or from the
//                              host's routes where somebody has changed that
//   a link without either      an ADD that a crash cut short: removed
//
// Nothing of it is written one by one: the store makes all of it last at once, and before that nobody is answered.
import type { Log } from "../net/log.ts";
import { type AliasContent, decodeAlias, isAliasOf } from "./attach/alias.ts";
import type { Attaching } from "./attach/attacher.ts";
import type { FoundPod, HostLink } from "./attach/messages.ts";
import { type Attachment, aliasOf, followRequest, hostRoutes, NO_LINK } from "./attachment.ts";
import type { Allocator } from "./ipam/allocator.ts";
import { releaseBy } from "./ipam/delegate.ts";
import { removal } from "./ipam/forget.ts";
import { type PodRecord, podKey } from "./ipam/records.ts";
import type { Found, Store } from "./ipam/store.ts";
import { allSharedSources } from "./siblings.ts";
import type { PodRoutes } from "./types.ts";

export interface RecoveryParts {
  readonly store: Store;
  readonly allocator: Pick<Allocator, "continueFrom" | "nextSequence" | "adopt" | "restoreReleased" | "covers">;
  readonly attacher: Pick<Attaching, "find" | "mark" | "detach">;
  readonly routes: PodRoutes;
  readonly log: Log;
  /** Has another plugin give back what it has allocated. Absent: by calling it. */
  readonly giveBack?: (record: PodRecord) => Promise<void>;
}

export interface Recovered {
  readonly kept: readonly Attachment[];
  /** What ADDs cut short have left, and could not be removed yet: their addresses are nobody else's until then. */
  readonly strays: readonly PodRecord[];
  /** Those of `kept` whose routes the kernel has refused. */
  readonly unrouted: readonly Attachment[];
}

/**
 * The attachments that go on. `hostLinks` lists the host ends of pods once the store has been read; `boot` is the one
 * that the host is in now.
 */
export async function recover(
  parts: RecoveryParts,
  found: Found,
  boot: string | null,
  hostLinks: () => Promise<readonly HostLink[]>,
): Promise<Recovered> {
  const { store, allocator, log } = parts;
  const booted = found.boot !== null && boot !== null && found.boot !== boot;
  if (booted && store.pods.size > 0)
    log.info({ pods: store.pods.size }, "the host was booted: its pods are gone with it, their addresses are free");
  allocator.continueFrom(store.lastSequence);
  const links = new Map((await hostLinks()).map((link) => [link.name, link]));
  const kept: Attachment[] = [];
  const strays: PodRecord[] = [];
  for (const [key, record] of [...store.pods]) {
    const link = links.get(record.hostInterface);
    const attachment = link && (await matched(parts, record, link));
    if (link && (attachment || isUnfinished(link))) links.delete(record.hostInterface);
    if (attachment) kept.push(attachment);
    else if (link && isUnfinished(link) && !(await removeStray(parts, link))) strays.push(record);
    else {
      store.drop(removal(key));
      giveBack(parts, record);
      if (!booted) log.info({ key, addresses: record.addresses }, "allocation without a pod released");
    }
  }
  kept.push(...(await adoptLinks(parts, [...links.values()], strays)));
  for (const record of [...kept.map((attachment) => attachment.record), ...strays])
    if (!allocator.adopt(record))
      log.error(
        { key: podKey(record), addresses: record.addresses },
        "an address has two owners, both with an interface",
      );
  store.keepReleased(allocator.restoreReleased(store.released));
  await store.settle();
  const unrouted = await restoreRoutes(parts, kept);
  reportOutside(parts, kept);
  return { kept, strays, unrouted };
}

/** What another plugin has allocated for a pod that is gone; nobody waits for it. */
function giveBack({ log, giveBack }: RecoveryParts, record: PodRecord): void {
  const { ipam } = record;
  if (!ipam) return;
  const done = giveBack ? giveBack(record) : releaseBy(ipam, record);
  done.catch((error: Error) =>
    log.warn({ key: podKey(record), error: error.message }, "addresses stay allocated until their DEL or a GC"),
  );
}

/** Null: the link is not the one of this record. */
async function matched(
  { attacher, log }: RecoveryParts,
  record: PodRecord,
  link: HostLink,
): Promise<Attachment | null> {
  const { ifindex } = link;
  if (isAliasOf(link.alias, record)) return { record, ifindex };
  if (decodeAlias(link.alias) !== null || isUnfinished(link)) return null;
  // Its name is a hash of the owner's.
  log.warn(
    { hostInterface: link.name, alias: link.alias },
    "the alias of a pod's interface was changed; it is set again",
  );
  await attacher.mark(ifindex, aliasOf(record)).catch((error: Error) => {
    log.error({ hostInterface: link.name, error: error.message }, "cannot set the alias of a pod's interface");
  });
  return { record, ifindex };
}

/**
 * An ADD that was cut short, and acknowledged to nobody. One that got as far as its routes and no further looks like a
 * pod whose alias somebody has cleared, and is kept as one: its runtime has been told of a failure, and sends a DEL.
 */
function isUnfinished(link: HostLink): boolean {
  return link.alias === null && link.routes.length === 0;
}

/** False: it is still there. */
async function removeStray({ attacher, log }: RecoveryParts, { name, ifindex }: HostLink): Promise<boolean> {
  try {
    await attacher.detach({ hostInterface: name, ifindex });
    return true;
  } catch (error) {
    log.error({ hostInterface: name, error: (error as Error).message }, "cannot remove what an ADD cut short has left");
    return false;
  }
}

/** Interfaces that the store does not know: the store was lost or replaced, the pods may be alive. */
async function adoptLinks(
  parts: RecoveryParts,
  links: readonly HostLink[],
  strays: PodRecord[],
): Promise<Attachment[]> {
  const { store, allocator, attacher, log } = parts;
  const lost: HostLink[] = [];
  for (const link of links) {
    if (isUnfinished(link)) {
      if (await removeStray(parts, link)) continue;
      const addresses = link.neighbours.map(({ address }) => address);
      const record = { sequence: allocator.nextSequence(), ...recordOf(link, { addresses }, undefined) };
      store.adopt(record);
      strays.push(record);
    } else if (decodeAlias(link.alias) || link.routes.length > 0) lost.push(link);
    else log.error({ hostInterface: link.name, alias: link.alias }, "a pod's interface does not say its addresses");
  }
  if (lost.length === 0) return [];
  for (const link of lost) allocator.continueFrom(decodeAlias(link.alias)?.sequence ?? 0);
  const pods = await attacher.find(lost).catch((error: Error) => {
    log.error({ error: error.message }, "the namespaces of pods cannot be looked for");
    return [];
  });
  const byIndex = new Map(pods.map((pod) => [pod.hostIfindex, pod]));
  return lost.map((link) => {
    const pod = byIndex.get(link.ifindex);
    const named = { sequence: allocator.nextSequence(), ...recordOf(link, decodeAlias(link.alias), pod) };
    // Two interfaces of one name: the one that the store knows keeps it.
    const record = store.pods.has(podKey(named)) ? { ...named, network: "", containerId: link.name } : named;
    store.adopt(record);
    const { addresses, containerId, netns } = record;
    log.warn(
      { hostInterface: link.name, containerId, addresses, netns },
      "pod recovered from its interface, the store had lost it",
    );
    return { record, ifindex: link.ifindex };
  });
}

/** Where its owner's name is lost, its DEL finds it by that of its interface (cni/attachment.ts). */
function recordOf(link: HostLink, alias: AliasContent | null, pod: FoundPod | undefined): PodRecord {
  const content: AliasContent = alias ?? { addresses: link.routes };
  const { network = "", containerId = link.name, ifname, pool = "", addresses, mac, sequence } = content;
  return {
    network,
    containerId,
    ifname: ifname ?? pod?.ifname ?? "",
    pool,
    addresses,
    netns: pod?.netns ?? "",
    netnsId: pod?.netnsId ?? "",
    hostInterface: link.name,
    mac: mac ?? pod?.mac ?? link.neighbours[0]?.mac ?? "",
    pod: null,
    ...(sequence ? { sequence } : {}),
  };
}

/** One after the other: whoever wants a pod attached meanwhile does not wait for all of them. Never rejects. */
export async function followAll(attacher: Attaching, kept: readonly Attachment[]): Promise<void> {
  for (const { record, ifindex } of kept) {
    if (record.netns === "" || ifindex === NO_LINK) continue;
    await attacher.follow(followRequest(record), ifindex).catch(() => undefined);
  }
}

/**
 * All in one go; when the kernel refuses, one by one, so that a pod that just went does not take others along. Returns
 * the refused.
 */
export async function restoreRoutes(
  { routes, log }: Pick<RecoveryParts, "routes" | "log">,
  kept: readonly Attachment[],
): Promise<readonly Attachment[]> {
  if (kept.length === 0) return [];
  const shared = allSharedSources(kept);
  if (shared.length > 0) await routes.allowSources?.(shared);
  try {
    await routes.addPodRoutes(kept.flatMap(hostRoutes));
    return [];
  } catch (error) {
    log.debug({ error: (error as Error).message }, "pods' routes refused, trying one by one");
  }
  const refused: Attachment[] = [];
  for (const attachment of kept) {
    try {
      await routes.addPodRoutes(hostRoutes(attachment));
    } catch (error) {
      refused.push(attachment);
      const { hostInterface, addresses, containerId } = attachment.record;
      log.error(
        { hostInterface, addresses, containerId, error: (error as Error).message },
        "a pod cannot be reached: the kernel refuses its routes",
      );
    }
  }
  return refused;
}

/** Pods from before a change of the pools: they go on, but nobody announces their addresses any more. */
function reportOutside({ allocator, log }: RecoveryParts, kept: readonly Attachment[]): void {
  for (const { record } of kept) {
    const outside = record.addresses.filter((address) => !allocator.covers(address));
    if (outside.length === 0) continue;
    log.warn(
      { containerId: record.containerId, ifname: record.ifname, pod: record.pod, addresses: outside },
      "a pod has addresses that are in no configured block: other nodes cannot reach it, recreate it or restore the block",
    );
  }
}
