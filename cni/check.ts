// CHECK: the attachment as ADD reported it, the books, both ends of the cable, and whether others can reach it. What comes
// after us in a chain may have changed the MAC, the MTU and the tables of routes.
import { hostPrefixText } from "../net/prefix.ts";
import type { Attachments } from "./attachments.ts";
import { askDelegate, delegateOf } from "./ipam/delegate.ts";
import type { PodRecord } from "./ipam/records.ts";
import { namespaceId } from "./namespace.ts";
import type { NetworkConfig } from "./protocol/config.ts";
import type { CniCall } from "./protocol/environment.ts";
import { CniError, CniErrorCode } from "./protocol/error.ts";
import { type CniResult, parsePrevResult } from "./protocol/result.ts";
import type { BlockStateName, BlockView } from "./types.ts";

/** Nobody can be told, or is told any more. `pending` is no fault of the pod: no neighbour was there to be told. */
const SILENT: readonly BlockStateName[] = ["withdrawn", "failed", "withdrawing", "removing"];

/** Call within exclusively(). Throws 105 for what is wrong, 3 for what is not attached, 7 and 8. */
export async function check(
  attachments: Attachments,
  blocks: () => readonly Omit<BlockView, "source">[],
  call: CniCall,
  config: NetworkConfig,
): Promise<string> {
  if (config.prevResult === undefined)
    throw new CniError(CniErrorCode.invalidConfig, "prevResult is missing: CHECK compares with the result of ADD");
  const previous = parsePrevResult(config.prevResult, config.cniVersion);
  const { containerId, ifname, netns } = call;
  const attachment = attachments.get({ network: config.name, containerId, ifname });
  if (!attachment)
    throw new CniError(
      CniErrorCode.unknownContainer,
      `interface ${ifname} of this container is not attached to network "${config.name}"`,
      containerId,
    );
  await namespaceId(netns, call.netnsOverride);
  const own = previous.interfaces.find((entry) => entry.name === ifname && entry.sandbox);
  const problems = [
    ...comparedWith(previous, attachment.record),
    ...(await attachments.inspect(attachment, netns, own?.mac || null)),
    ...announced(attachments, blocks(), attachment.record),
  ];
  if (problems.length > 0)
    throw new CniError(CniErrorCode.attachmentDamaged, problems[0], problems.slice(1).join("; "));
  const delegate = delegateOf(config, call.env);
  if (delegate) await askDelegate(delegate, "CHECK", call.env, config);
  return "";
}

function comparedWith(previous: CniResult, { addresses }: PodRecord): string[] {
  return addresses
    .filter((address) => !previous.ips.some((ip) => ip.address.split("/")[0] === address))
    .map((address) => `prevResult does not name the allocated address ${address}`);
}

function announced(
  { allocator }: Attachments,
  blocks: readonly Omit<BlockView, "source">[],
  record: PodRecord,
): string[] {
  return record.addresses.flatMap((address) => {
    const names = [...allocator.blocksOf([address]), hostPrefixText(address)];
    const block = blocks.find(({ prefix }) => names.includes(prefix));
    if (block && SILENT.includes(block.state))
      return [
        `block ${block.prefix} of ${address} is not announced (${block.state}): ${block.reason ?? "no reason is known"}`,
      ];
    // A delegate's addresses are announced by whoever has them announced.
    if (block || record.ipam || allocator.covers(address)) return [];
    return [`${address} is in no configured block: other nodes cannot reach it`];
  });
}
