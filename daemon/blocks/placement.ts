// What is this node's beside what its configuration says in so many words: blocks claimed out of pools that many nodes
// share, and single addresses that were let in. In: the configuration and the placement. Out: the pools as they are
// now.
import type { BlockSourceName, PoolOptions } from "../../cni/types.ts";
import type { Config, PoolConfig } from "../../config/types.ts";
import { contains, type Prefix, prefix as prefixOf } from "../../net/prefix.ts";

export interface BlocksPool extends PoolOptions, Pick<PoolConfig, "announced"> {
  /** Absent: announced as the blocks are. */
  readonly exceptions?: Pick<PoolConfig["exceptions"], "announced">;
  /** Many nodes have the pool, what of these prefixes is not claimed for this one is another's. Absent: `static`. */
  readonly source?: PoolConfig["source"];
  readonly ranges?: readonly string[];
}

export interface BlocksConfig extends Pick<Config, "tables" | "routing"> {
  readonly pools: readonly BlocksPool[];
}

export interface Placement {
  /** Blocks that are this node's beyond doubt. `exclude`: what of them it never gives to pods. */
  readonly claimed: readonly { readonly prefix: string; readonly pool: string; readonly exclude: readonly string[] }[];
  /** A prefix of one address each. */
  readonly exceptions: readonly { readonly prefix: string; readonly pool: string; readonly source: BlockSourceName }[];
  /** Prefixes inside of our blocks that other nodes have; no pod here gets one. */
  readonly elsewhere: readonly string[];
  /** Interfaces to the fabric. */
  readonly uplinks: readonly string[];
}

export const nothingPlaced: Placement = { claimed: [], exceptions: [], elsewhere: [], uplinks: [] };

export interface Placed<Pool extends BlocksPool = BlocksPool> {
  readonly pools: readonly Pool[];
  readonly exceptions: readonly {
    readonly prefix: string;
    readonly pool: Pool;
    readonly source: BlockSourceName;
  }[];
  /** Out of a pool that many nodes have. */
  isShared(prefix: Prefix): boolean;
}

/** What is claimed for a pool that is not configured, or not as shared, is not there. */
export function placed<Pool extends BlocksPool>(
  config: { readonly pools: readonly Pool[] },
  { claimed, exceptions, elsewhere }: Placement,
): Placed<Pool> {
  const pools = config.pools.map((pool): Pool => {
    const own = pool.source === "etcd" ? claimed.filter((block) => block.pool === pool.name) : [];
    if (own.length === 0) return pool;
    const blocks = own.map(({ prefix }) => prefix);
    const excluded = [...own.flatMap(({ exclude }) => exclude), ...elsewhere];
    return { ...pool, blocks: [...pool.blocks, ...blocks], exclude: [...pool.exclude, ...excluded] };
  });
  const byName = new Map(pools.map((pool) => [pool.name, pool]));
  const taken = new Set(pools.flatMap(({ blocks }) => blocks));
  const shared = pools.flatMap(({ source, ranges }) => (source === "etcd" ? (ranges ?? []).map(prefixOf) : []));
  return {
    pools,
    exceptions: exceptions.flatMap(({ prefix, pool: name, source }) => {
      const pool = byName.get(name);
      return pool && !taken.has(prefix) ? [{ prefix, pool, source }] : [];
    }),
    isShared: (prefix) => shared.some((range) => range.family === prefix.family && contains(range, prefix)),
  };
}
