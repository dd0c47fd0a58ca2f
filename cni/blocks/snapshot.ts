// Who has what of a pool, at one revision, read in pages so that no answer is long: the thread has sessions to serve.
import type { Family } from "../../net/address.ts";
import type { TakenBlock } from "./choose.ts";
import type { Context } from "./context.ts";
import { EtcdError } from "./etcd/error.ts";
import type { KeyRange, KeyValue } from "./etcd/kv.ts";
import { parsePool } from "./pools.ts";
import { type BlockRecord, parseBlock, parseRack } from "./records.ts";
import { readForClaim } from "./transactions.ts";
import { BlockSourceError, type ClusterPool } from "./types.ts";

/** Keys read at once. */
const PAGE = 500;

export interface PoolSnapshot {
  readonly pool: ClusterPool;
  readonly poolRevision: number;
  readonly ranges: readonly { readonly prefix: string; readonly rack: string | null; readonly modRevision: number }[];
  readonly blocks: readonly BlockAt[];
}

export interface BlockAt {
  readonly prefix: string;
  /** Null: cannot be read. */
  readonly record: BlockRecord | null;
  readonly modRevision: number;
}

/** Rejects with EtcdError, or BlockSourceError when there is no such pool. */
export async function readPool(context: Context, name: string, family: Family): Promise<PoolSnapshot> {
  const { etcd, keys } = context;
  for (;;) {
    const { read, revision } = await etcd.txn(readForClaim(keys, name, family));
    const [found] = read[0];
    const pool = found && parsePool(found.value);
    if (!found) throw new BlockSourceError("unknownPool", `pool "${name}" is not in etcd`);
    if (!pool) throw new BlockSourceError("unknownPool", `the record of pool "${name}" in etcd is not a pool`);
    if (pool.blockSize[family] === undefined || !pool.cidrs.some((cidr) => cidr.includes(":") === (family === 6)))
      throw new BlockSourceError("exhausted", `pool "${name}" has no IPv${family} addresses`);
    const kvs = await readAll(context, keys.blocks(family), revision);
    if (!kvs) continue;
    return {
      pool,
      poolRevision: found.modRevision,
      ranges: read[1].map(({ key, value, modRevision }) => {
        return { prefix: keys.prefixOf(key), rack: parseRack(value)?.rack ?? null, modRevision };
      }),
      blocks: kvs.map(({ key, value, modRevision }) => {
        return { prefix: keys.prefixOf(key), record: parseBlock(value), modRevision };
      }),
    };
  }
}

export function taken({ prefix, record }: BlockAt): TakenBlock {
  return { prefix, node: record?.node ?? null, rack: record?.rack ?? null };
}

/** Null: compacted while it was read; to be begun again. `revision` 0: the present one. */
export async function readAll(
  { etcd }: Pick<Context, "etcd">,
  range: KeyRange,
  revision: number,
): Promise<KeyValue[] | null> {
  const all: KeyValue[] = [];
  let at = revision;
  for (let from = range.key; ; ) {
    try {
      const page = await etcd.range({ ...range, key: from }, PAGE, at);
      all.push(...page.kvs);
      if (!page.more) return all;
      at ||= page.revision;
      from = `${page.kvs[page.kvs.length - 1].key}\0`;
    } catch (error) {
      if (error instanceof EtcdError && error.kind === "compacted") return null;
      throw error;
    }
  }
}
