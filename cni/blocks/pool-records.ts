// The pools in etcd: made by the first node whose configuration names them, changed by the operator only.
import { type Context, execute } from "./context.ts";
import { absent, type Etcd, type KeyValue, type Txn, unchanged } from "./etcd/kv.ts";
import type { Keys } from "./keys.ts";
import { checkPool, clash, formatPool, parsePool } from "./pools.ts";
import type { Me } from "./transactions.ts";
import type { ClusterPool } from "./types.ts";

/**
 * Notes the pools that there are, and makes those of the configuration that are not. True: etcd was written to. Rejects with
 * EtcdError.
 */
export async function ensurePools(context: Context, me: Me, found: readonly KeyValue[]): Promise<boolean> {
  const { keys, session, wanted } = context;
  const warnings: string[] = [];
  const pools = found.flatMap(({ key, value }) => {
    const pool = parsePool(value);
    if (pool && keys.pool(pool.name) === key) return [pool];
    warnings.push(`the record ${key} in etcd is no pool and is not used`);
    return [];
  });
  let wrote = false;
  for (const pool of wanted) {
    const known = pools.find(({ name }) => name === pool.name);
    if (known) {
      if (formatPool(known) !== formatPool(pool))
        warnings.push(
          `pool "${pool.name}" is defined otherwise in etcd than in this node's configuration; the definition in etcd counts`,
        );
      continue;
    }
    const wrong = clash(pool, pools);
    if (wrong) warnings.push(`pool "${pool.name}" of this node's configuration is not made in etcd: ${wrong}`);
    else {
      const txn = poolTxn(keys, pool, 0, found);
      await execute(context, { ...txn, compare: [...txn.compare, unchanged(keys.registration(me.node), me.revision)] });
      wrote = true;
    }
  }
  const before = session.pools.map(formatPool).join();
  session.pools = pools;
  session.warnings = warnings;
  if (before !== pools.map(formatPool).join()) context.tell({ kind: "pools" });
  return wrote;
}

/** No other pool has been written since `found` was read: so none can overlap this one. `seen`: 0 for a new one. */
function poolTxn(keys: Keys, pool: ClusterPool, seen: number, found: readonly KeyValue[]): Txn {
  const latest = found.reduce((most, { modRevision }) => Math.max(most, modRevision), 0);
  return {
    compare: [
      unchanged(keys.pool(pool.name), seen),
      { ...keys.pools, target: "mod", result: "less", revision: latest + 1 },
    ],
    success: [{ put: { key: keys.pool(pool.name), value: formatPool(pool) } }],
    failure: [],
  };
}

const ATTEMPTS = 10;

/**
 * Makes or changes a pool, for the whole cluster. Blocks that are claimed stay as they are. Rejects with RangeError
 * when it is no good or overlaps another one, and with EtcdError.
 */
export async function putPool(etcd: Etcd, keys: Keys, pool: ClusterPool): Promise<void> {
  const wrong = checkPool(pool);
  if (wrong) throw new RangeError(wrong);
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const { read } = await etcd.txn({ compare: [], success: [{ get: keys.pools }], failure: [] });
    const found = read[0];
    const others = found.flatMap(({ value }) => parsePool(value) ?? []);
    const overlap = clash(pool, others);
    if (overlap) throw new RangeError(overlap);
    const seen = found.find(({ key }) => key === keys.pool(pool.name))?.modRevision ?? 0;
    if ((await etcd.txn(poolTxn(keys, pool, seen, found))).succeeded) return;
  }
  throw new RangeError(`pool ${pool.name}: others change pools at the same time; try again`);
}

/** For the time of a restore: nobody claims or borrows while `reason` is there; null: again. Rejects with EtcdError. */
export async function setPaused(etcd: Etcd, keys: Keys, reason: string | null): Promise<void> {
  const key = keys.paused;
  await etcd.txn(
    reason === null
      ? { compare: [], success: [{ remove: { key } }], failure: [] }
      : { compare: [absent({ key })], success: [{ put: { key, value: reason } }], failure: [] },
  );
}
