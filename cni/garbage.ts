// GC: releases what the runtime does not name any more, within one network, and has delegates do the same. Without a list
// nothing is known to be dead, and what provably is (its namespace is gone) is released without being asked for.
import type { Attachments } from "./attachments.ts";
import { askDelegate, delegateOf } from "./ipam/delegate.ts";
import type { NetworkConfig } from "./protocol/config.ts";
import type { CniCall } from "./protocol/environment.ts";
import { CniError, CniErrorCode } from "./protocol/error.ts";

/** Goes on after a failure and reports all of them at the end. */
export async function collectGarbage(attachments: Attachments, call: CniCall, config: NetworkConfig): Promise<string> {
  const failures: string[] = [];
  if (config.validAttachments) {
    const valid = new Set(config.validAttachments.map((entry) => `${entry.containerId}/${entry.ifname}`));
    for (const record of attachments.ofNetwork(config.name)) {
      const { containerId, ifname } = record;
      // A call that is under way may be its ADD, whose end the runtime did not know when it made the list.
      if (valid.has(`${containerId}/${ifname}`) || attachments.isBusy(record)) continue;
      try {
        await attachments.exclusively(containerId, ifname, () => attachments.remove(record, record.sequence));
      } catch (error) {
        failures.push(`${containerId}/${ifname}: ${(error as Error).message}`);
      }
    }
  }
  const left = failures.length;
  const delegate = delegateOf(config, call.env);
  if (delegate)
    await askDelegate(delegate, "GC", call.env, config).catch((error: Error) => failures.push(error.message));
  if (failures.length === 0) return "";
  const message = left > 0 ? `${left} attachments remain` : failures[0];
  throw new CniError(CniErrorCode.internal, message, failures.join("; "));
}
