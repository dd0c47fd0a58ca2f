// The nodes that share pools, as etcd knows them, and the removal of one that does not come back. In: the
// configuration. Out: views; what a removal has set free.

import { EtcdError } from "../../cni/blocks/etcd/error.ts";
import { putPool } from "../../cni/blocks/pool-records.ts";
import type { NodeView } from "../../cni/blocks/removal.ts";
import { listNodes, removeNode } from "../../cni/blocks/removal.ts";
import type { Config } from "../../config/types.ts";
import type { Clock } from "../../net/clock.ts";
import type { Log } from "../../net/log.ts";
import { ApiError } from "../api/types.ts";
import { clusterPool, withEtcd } from "./make-source.ts";

export interface RemovalRequest {
  readonly node: string;
  /** Although it is alive. */
  readonly force: boolean;
  /** Seconds until others can have what it had. */
  readonly quarantine: number;
}

export interface NodeRemovalView extends RemovalRequest {
  /** Free after the quarantine. */
  readonly blocks: readonly string[];
  /** Free when the last address of them that other nodes have is back. */
  readonly orphans: readonly string[];
}

export interface Nodes {
  list(): Promise<NodeView[]>;
  remove(request: RemovalRequest): Promise<NodeRemovalView>;
  /** Returns their names. */
  definePools(): Promise<string[]>;
}

/** Rejects with ApiError: 409 without an etcd, 404 for a node that is not there, 503 when etcd does not answer. */
export function nodesOf(config: () => Config, deps: { readonly clock: Clock; readonly log: Log }): Nodes {
  const ask = async <T>(work: Parameters<typeof withEtcd<T>>[2]): Promise<T> => {
    const { etcd } = config();
    if (!etcd) throw new ApiError(409, "no pool is shared: the configuration has no section etcd");
    try {
      return await withEtcd(etcd, deps, work);
    } catch (error) {
      if (error instanceof RangeError)
        throw new ApiError(error.message.startsWith("there is no") ? 404 : 409, error.message);
      if (error instanceof EtcdError) throw new ApiError(503, `etcd: ${error.message}`);
      throw error;
    }
  };
  return {
    definePools: async () => {
      const shared = config().pools.filter(({ source }) => source === "etcd");
      await ask(async (client, keys) => {
        for (const pool of shared) await putPool(client, keys, clusterPool(pool));
      });
      return shared.map(({ name }) => name);
    },
    list: () => ask((client, keys) => listNodes(client, keys)),
    remove: async (request) => {
      const { node, force, quarantine } = request;
      if (node === config().node.name && !force)
        throw new ApiError(409, `${node} is this node: ask another one, or force it`);
      const timeOfDay = () => new Date().toISOString();
      const removal = await ask((client, keys) => removeNode(client, keys, node, { force, quarantine, timeOfDay }));
      return { ...request, ...removal };
    },
  };
}
