// Where the addresses of a new attachment come from: the pools, with what the pod keeps from elsewhere; or another plugin.
import { formatAddress, parseAddress } from "../net/address.ts";
import type { Log } from "../net/log.ts";
import type { NewAttachment } from "./attachment.ts";
import type { Allocation, Allocator } from "./ipam/allocator.ts";
import { type Delegated, releaseBy } from "./ipam/delegate.ts";
import type { Exceptions } from "./ipam/exceptions.ts";
import { identityOf, keepOf, namespaceOf } from "./ipam/records.ts";

export interface AllocationParts {
  readonly allocator: Allocator;
  readonly exceptions: Exceptions;
  readonly log: Log;
}

/** `given`: by another plugin. */
export type Given = Allocation & { readonly given?: Delegated };

/** With what it may have by exception, which others may have to be asked for. Rejects with nothing allocated. */
export async function allocateFor(parts: AllocationParts, wanted: NewAttachment): Promise<Given> {
  if (wanted.delegation) return askAnother(parts, wanted, wanted.delegation);
  const { allocator, exceptions } = parts;
  const { pools, network, containerId, ifname, request } = wanted;
  const identity = identityOf({ network, containerId, ifname, pod: request.pod, identity: identityAsked(wanted) });
  const named = request.pod !== null || typeof request.sticky === "string";
  const elsewhere = request.addresses.map(formatAddress).filter((address) => !allocator.isIn(pools, address));
  const claimed = await exceptions.claim({ pools, addresses: elsewhere, identity, named });
  const extra = claimed
    .map((address) => parseAddress(address)!)
    .filter((bytes) => request.addresses.every(({ length }) => length !== bytes.length));
  try {
    const addresses = [...request.addresses, ...extra];
    const keep = keepOf({ pod: request.pod, keep: keepAsked(wanted) });
    return allocator.allocate({ pools, addresses, identity, keep });
  } catch (error) {
    for (const address of claimed) exceptions.released(address);
    throw error;
  }
}

/** What the pod asks for about keeping its addresses; undefined: nothing. */
export function keepAsked({ request: { sticky } }: NewAttachment): boolean | undefined {
  return sticky === null ? undefined : sticky !== false;
}

/** The name under which it asks for that, in its namespace; undefined: its own. */
export function identityAsked({ network, ifname, request: { pod, sticky } }: NewAttachment): string | undefined {
  return typeof sticky === "string" ? `${namespaceOf(pod) ?? ""}/${sticky}@${network}/${ifname}` : undefined;
}

/** Another plugin's addresses after a failure, which is what the caller gets. Never rejects. */
export async function giveBack(log: Log, { delegation, containerId, ifname, netns }: NewAttachment): Promise<void> {
  if (!delegation) return;
  await releaseBy(delegation.delegate, { containerId, ifname, netns }).catch((error: Error) =>
    log.error({ containerId, ifname, error: error.message }, "addresses stay allocated until the DEL"),
  );
}

async function askAnother(
  { allocator, log }: AllocationParts,
  wanted: NewAttachment,
  { delegate, allocate }: NonNullable<NewAttachment["delegation"]>,
): Promise<Given> {
  const { network, containerId, ifname, request } = wanted;
  const { pod } = request;
  const given = await allocate();
  try {
    const allocation = allocator.take(given.addresses, "", identityOf({ network, containerId, ifname, pod }));
    const unannounced = given.addresses.filter((address) => !allocator.covers(address));
    if (unannounced.length > 0)
      log.info(
        { containerId, ifname, pod, ipam: delegate.type, addresses: unannounced },
        "addresses that are in no block: routed on this node, announced to nobody",
      );
    return { ...allocation, given };
  } catch (error) {
    await giveBack(log, wanted);
    throw error;
  }
}
