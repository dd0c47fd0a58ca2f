// A node that leaves for good and says so itself (`underlayctl uninstall`): its registration goes, what it has claimed and
// borrowed becomes free. The same steps as when an operator removes it (removal.ts); but only its own registration, never
// that of another machine with its name.
import { absent, type Etcd, type KeyValue, unchanged } from "./etcd/kv.ts";
import type { Keys } from "./keys.ts";
import { parseNode } from "./records.ts";
import { type Removal, removeNode } from "./removal.ts";
import { readKeys } from "./transactions.ts";

export interface Leaving {
  readonly node: string;
  /** Of the machine. */
  readonly identity: string;
  /** On its disk; null: the disk does not say. */
  readonly registration: string | null;
  /** Seconds until others can have what it had. */
  readonly quarantine: number;
  readonly timeOfDay: () => string;
  /** The disk says no more what was its: from then on no tombstone is needed to tell the node, should it come back. */
  forgetDisk(): Promise<void>;
}

/**
 * Null: it is not registered. Rejects with RangeError when another machine has its name, with EtcdError, and like
 * forgetDisk().
 */
export async function leave(etcd: Etcd, keys: Keys, leaving: Leaving): Promise<Removal | null> {
  const { node, identity, registration, quarantine, timeOfDay } = leaving;
  const { read } = await etcd.txn(readKeys([keys.registration(node)]));
  const [found] = read[0];
  if (!found) return null;
  const record = parseNode(found.value);
  const ours = registration === null ? record?.identity === identity : record?.registration === registration;
  if (!ours)
    throw new RangeError(
      `node ${node} is registered by ${record ? `another machine (${record.identity}) or anew` : "a record that cannot be read"}`,
    );
  const removal = await removeNode(etcd, keys, node, {
    force: true,
    quarantine,
    timeOfDay,
    revision: found.modRevision,
  });
  await leaving.forgetDisk();
  const [[tombstone]] = (await etcd.txn(readKeys([keys.removed(node)]))).read;
  if (tombstone && removal.orphans.length === 0) await dropTombstone(etcd, keys, node, tombstone);
  return removal;
}

async function dropTombstone(etcd: Etcd, keys: Keys, node: string, { modRevision }: KeyValue): Promise<void> {
  await etcd.txn({
    compare: [unchanged(keys.removed(node), modRevision), absent({ key: keys.registration(node) })],
    success: [{ remove: { key: keys.removed(node) } }],
    failure: [],
  });
}
