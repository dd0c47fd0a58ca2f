// What a start finds: the store's attachments and the host ends of the kernel, brought together.
//
//   both          the pod goes on
//   only stored   its ADD never ended well, or its pod is gone: released
//   only a link   the store was lost or replaced: taken back into the books from the link's alias
import type { Log } from "../net/log.ts";
import { decodeAlias, isOurAlias } from "./attach/alias.ts";
import type { Attacher } from "./attach/attacher.ts";
import type { HostLink } from "./attach/messages.ts";
import { type Attachment, aliasOf, hostRoutes } from "./attachment.ts";
import type { Allocator } from "./ipam/allocator.ts";
import { forget } from "./ipam/forget.ts";
import type { PodRecord } from "./ipam/records.ts";
import type { Store } from "./ipam/store.ts";
import type { PodRoutes } from "./types.ts";

export interface RecoveryParts {
  readonly store: Store;
  readonly allocator: Allocator;
  readonly attacher: Attacher;
  readonly routes: PodRoutes;
  readonly log: Log;
}

/** The attachments that go on. `hostLinks` lists the host ends of pods once the store has been read. */
export async function recover(
  parts: RecoveryParts,
  hostLinks: () => Promise<readonly HostLink[]>,
): Promise<Attachment[]> {
  const { store, allocator, log } = parts;
  for (const [key, record] of store.pods) {
    if (allocator.adopt(record.addresses, record.pool)) continue;
    log.error({ key, addresses: record.addresses }, "an address has two owners in the allocation store");
  }
  const links = new Map((await hostLinks()).map((link) => [link.name, link]));
  const kept: Attachment[] = [];
  for (const [key, record] of [...store.pods]) {
    const link = links.get(record.hostInterface);
    links.delete(record.hostInterface);
    if (link?.alias === aliasOf(record)) kept.push({ record, ifindex: link.ifindex });
    else await dropUnfinished(parts, key, record, link);
  }
  for (const link of links.values()) {
    const recovered = await adoptLink(parts, link);
    if (recovered) kept.push(recovered);
  }
  store.keepReleased(allocator.restoreReleased(store.released));
  await restoreRoutes(parts, kept);
  reportOutside(parts, kept);
  return kept;
}

/** All in one go; when the kernel refuses, one by one, so that a pod that just went does not take others along. */
async function restoreRoutes({ routes, log }: RecoveryParts, kept: readonly Attachment[]): Promise<void> {
  if (kept.length === 0) return;
  try {
    await routes.addPodRoutes(kept.flatMap(hostRoutes));
    return;
  } catch (error) {
    log.debug({ error: (error as Error).message }, "pods' routes refused, trying one by one");
  }
  for (const attachment of kept) {
    try {
      await routes.addPodRoutes(hostRoutes(attachment));
    } catch (error) {
      const { hostInterface, addresses, containerId } = attachment.record;
      log.error(
        { hostInterface, addresses, containerId, error: (error as Error).message },
        "a pod cannot be reached: the kernel refuses its routes",
      );
    }
  }
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

/** An allocation without a complete interface: its ADD never ended well, or its pod is gone. */
async function dropUnfinished(
  parts: RecoveryParts,
  key: string,
  record: PodRecord,
  link: HostLink | undefined,
): Promise<void> {
  const { attacher, log } = parts;
  const mine = link && (link.alias === null || link.alias === aliasOf(record));
  if (link && mine) await attacher.detach({ hostInterface: link.name, ifindex: link.ifindex });
  await forget(parts, record);
  log.info({ key, addresses: record.addresses }, "allocation without a pod released");
}

/** An interface that the store does not know: the store was lost or replaced, the pod may be alive. */
async function adoptLink({ store, allocator, log }: RecoveryParts, link: HostLink): Promise<Attachment | null> {
  if (!isOurAlias(link.alias)) return null;
  const content = decodeAlias(link.alias);
  if (!content) {
    log.error({ hostInterface: link.name, alias: link.alias }, "a pod's interface does not say its addresses");
    return null;
  }
  if (!allocator.adopt(content.addresses, content.pool)) {
    log.error({ hostInterface: link.name, ...content }, "a pod unknown to the store has an address in use");
    return null;
  }
  // Without a name no DEL will find it; it leaves the books when its interface vanishes.
  const { network = "", containerId = link.name, ifname = "", pool = "", addresses } = content;
  const record: PodRecord = {
    network,
    containerId,
    ifname,
    pool,
    addresses,
    netns: "",
    netnsId: "",
    hostInterface: link.name,
    mac: "",
    pod: null,
  };
  await store.commit({ op: "add", pod: record }).catch(() => undefined);
  log.warn({ hostInterface: link.name, addresses }, "pod recovered from its interface, the store had lost it");
  return { record, ifindex: link.ifindex };
}
