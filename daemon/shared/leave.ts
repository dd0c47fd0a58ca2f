// This node leaves the pools that it shares, for an uninstall. In: the configuration, the copy on the disk of what was
// claimed. Out: nothing of the node in etcd; or, without etcd, what is left there and who can remove it. No daemon may
// run, or its source of blocks be open.
import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { leave } from "../../cni/blocks/leaving.ts";
import { EMPTY_COPY, LOCAL_COPY_FILE, LocalFile } from "../../cni/blocks/local-copy.ts";
import type { Config } from "../../config/types.ts";
import type { Clock } from "../../net/clock.ts";
import type { Log } from "../../net/log.ts";
import { machineId, withEtcd } from "./make-source.ts";

/** Milliseconds for a request, whatever etcd.timeout says: a node without etcd is uninstalled all the same, and soon. */
const REQUEST_MS = 2000;
/** Seconds for those neighbours that have not been told, and others that may believe in our blocks for a while. */
export const QUARANTINE_S = 120;

export interface ClusterExit {
  readonly node: string;
  /**
   * `left`: nothing of it is there any more; `absent`: it was not registered; `remains`: it is still there, for this
   * reason.
   */
  readonly outcome: "left" | "absent" | "remains";
  readonly reason: string | null;
  /** Given back, or, when it remains, still the node's: as far as this node knows. */
  readonly blocks: readonly string[];
  /** Blocks that are free when the last address of them that other nodes have is back. */
  readonly orphans: readonly string[];
  /** What removes it, on another node; null: nothing is to be removed. */
  readonly command: string | null;
  /** All of that, for a person. */
  readonly summary: string;
}

/** Null: the node shares no pools. `quarantine`: seconds until others can have its blocks. Never rejects. */
export async function leaveCluster(
  { etcd, node, pools, paths }: Config,
  quarantine: number,
  deps: { readonly clock: Clock; readonly log: Log },
): Promise<ClusterExit | null> {
  const file = join(paths.state, LOCAL_COPY_FILE);
  if (!etcd || !(existsSync(file) || pools.some(({ source }) => source === "etcd"))) return null;
  const { name } = node;
  const copy = await new LocalFile(file).load().catch((error: Error) => {
    deps.log.warn({ reason: error.message }, "the copy of what is this node's in etcd cannot be read");
    return EMPTY_COPY;
  });
  const nothing = { node: name, reason: null, blocks: [], orphans: [], command: null };
  const told = (exit: Omit<ClusterExit, "summary">): ClusterExit => ({ ...exit, summary: inWords(exit) });
  try {
    const removal = await withEtcd({ ...etcd, timeout: REQUEST_MS }, deps, (client, keys) =>
      leave(client, keys, {
        node: name,
        identity: machineId(deps.log) ?? name,
        registration: copy.registration,
        quarantine,
        timeOfDay: () => new Date().toISOString(),
        forgetDisk: () => rm(file, { force: true }),
      }),
    );
    return told(removal ? { ...nothing, ...removal, outcome: "left" } : { ...nothing, outcome: "absent" });
  } catch (error) {
    const { message } = error as Error;
    // Another machine has the name by now: what is there is its.
    if (error instanceof RangeError) return told({ ...nothing, outcome: "absent", reason: message });
    const blocks = copy.blocks.map(({ prefix }) => prefix);
    const command = `underlayctl nodes remove ${name}`;
    return told({ ...nothing, outcome: "remains", reason: message, blocks, command });
  }
}

function inWords({ node, outcome, reason, blocks, orphans, command }: Omit<ClusterExit, "summary">): string {
  const had = blocks.length > 0 ? ` with ${blocks.join(", ")}` : "";
  if (outcome === "remains")
    return `still in etcd: node ${node}${had} (${reason}); a minute from now, on another node: ${command}`;
  if (outcome === "absent")
    return reason === null ? `node ${node} is not in etcd` : `nothing removed from etcd: ${reason}`;
  const lent = orphans.length > 0 ? `; ${orphans.join(", ")}: as soon as nothing of it is lent or kept for pods` : "";
  return `removed from etcd: node ${node}${had}${lent}`;
}
