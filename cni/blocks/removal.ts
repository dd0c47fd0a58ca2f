// A node that will not come back, by the operator's word: its blocks, loans and identities become free.
//
// First the registration goes and a tombstone comes, in one transaction: from then on nothing that the node asks for is
// executed, and should it come back, it finds the tombstone before it announces anything. Then what it had is freed,
// piece by piece, each by a compare; this can be broken off and done again. Nothing of it is given to others before the
// quarantine is over: a node that was alive after all and sees the tombstone has that long to withdraw.
import type { Context } from "./context.ts";
import { absent, type Etcd, type KeyValue, type Operation, type Txn, unchanged } from "./etcd/kv.ts";
import type { Keys } from "./keys.ts";
import {
  type BlockRecord,
  type NodeRecord,
  parseBlock,
  parseIdentity,
  parseLoan,
  parseNode,
  parseRemoved,
  type RemovedRecord,
} from "./records.ts";
import { readAll } from "./snapshot.ts";
import { placeRecord, readNode } from "./transactions.ts";

export interface NodeView {
  readonly node: string;
  readonly rack: string | null;
  /** When it registered last. */
  readonly since: string;
  /** It renews its lease. */
  readonly alive: boolean;
  readonly blocks: readonly { readonly prefix: string; readonly pool: string; readonly state: string }[];
  /** Addresses of its blocks in other hands. */
  readonly lent: number;
  readonly borrowed: number;
  readonly identities: number;
}

export interface RemoveOptions {
  /** Also when it is alive. */
  readonly force: boolean;
  /** Seconds until others can have what it had. */
  readonly quarantine: number;
  readonly timeOfDay: () => string;
  /** Only the registration that was written last at this revision; absent: whichever there is. */
  readonly revision?: number;
}

export interface Removal {
  readonly blocks: readonly string[];
  /** Blocks that become free when the last address of them that others have is back. */
  readonly orphans: readonly string[];
}

/** Every node there is, by name. Rejects with EtcdError. */
export async function listNodes(etcd: Etcd, keys: Keys): Promise<NodeView[]> {
  const all = (await readAll({ etcd }, keys.nodes, 0)) ?? (await readAll({ etcd }, keys.nodes, 0)) ?? [];
  const nodes = new Map<
    string,
    { record: NodeRecord | null; entries: { kind: string; rest: string; kv: KeyValue }[] }
  >();
  for (const kv of all) {
    const parsed = keys.parseNodeKey(kv.key);
    if (!parsed) continue;
    const node = nodes.get(parsed.node) ?? { record: null, entries: [] };
    nodes.set(parsed.node, node);
    if (parsed.kind === "registration") node.record = parseNode(kv.value);
    node.entries.push({ kind: parsed.kind, rest: parsed.rest, kv });
  }
  return [...nodes].map(([node, { record, entries }]) => {
    const count = (kind: string) => entries.filter((entry) => entry.kind === kind).length;
    return {
      node,
      rack: record?.rack ?? null,
      since: record?.since ?? "",
      alive: count("alive") > 0,
      blocks: entries
        .filter(({ kind }) => kind === "blocks")
        .map(({ rest, kv }) => {
          const block = parseBlock(kv.value);
          return { prefix: rest, pool: block?.pool ?? "", state: block?.state ?? "unreadable" };
        }),
      lent: count("lent"),
      borrowed: count("borrowed"),
      identities: count("identities"),
    };
  });
}

/** Rejects with RangeError when there is no such node, or it is alive and `force` is not given; and with EtcdError. */
export async function removeNode(etcd: Etcd, keys: Keys, node: string, options: RemoveOptions): Promise<Removal> {
  const { read } = await etcd.txn(readNode(keys, node));
  const [own, [removed]] = read;
  const registration = own.find(({ key }) => key === keys.registration(node));
  if (!registration && !removed) throw new RangeError(`there is no node ${node}`);
  if (registration) {
    if (!options.force && own.some(({ key }) => key === keys.alive(node)))
      throw new RangeError(
        `node ${node} is alive: drain it and stop its daemon first, and try again when its lease has ended; or force it`,
      );
    const tombstone: RemovedRecord = {
      registration: parseNode(registration.value)?.registration ?? "",
      since: options.timeOfDay(),
      quarantine: options.quarantine,
    };
    const result = await etcd.txn({
      compare: [unchanged(keys.registration(node), options.revision ?? registration.modRevision)],
      success: [
        { remove: { key: keys.registration(node) } },
        { remove: { key: keys.alive(node) } },
        { put: { key: keys.removed(node), value: JSON.stringify(tombstone) } },
      ],
      failure: [],
    });
    if (!result.succeeded) throw new RangeError(`node ${node} has registered anew at this moment: try again`);
  }
  return finishRemoval({ etcd, keys }, node);
}

/** What is left of a node without a registration becomes free. Can be done again, and by several at once. */
export async function finishRemoval({ etcd, keys }: Pick<Context, "etcd" | "keys">, node: string): Promise<Removal> {
  const { read } = await etcd.txn(readNode(keys, node));
  const [own, [removed]] = read;
  const blocks: string[] = [];
  const orphans: string[] = [];
  const seconds = (removed && parseRemoved(removed.value)?.quarantine) ?? 0;
  const lease = seconds > 0 && own.length > 0 ? await etcd.grantLease(Math.ceil(seconds)) : undefined;
  if (lease !== undefined)
    await etcd.txn(gone(keys, node, [], [{ put: { key: keys.quarantine(node), value: lease, lease } }]));
  for (const entry of own) {
    const parsed = keys.parseNodeKey(entry.key);
    if (parsed?.kind === "blocks")
      ((await freeBlock(etcd, keys, node, entry, lease)) ? blocks : orphans).push(parsed.rest);
    else if (parsed?.kind === "borrowed") await freeLoan(etcd, keys, node, entry, lease);
    else if (parsed?.kind === "identities") await freeIdentity(etcd, keys, node, entry, lease !== undefined);
  }
  return { blocks, orphans };
}

/** Only as long as the node has not registered anew. */
function gone(keys: Keys, node: string, compare: Txn["compare"], success: readonly Operation[]): Txn {
  return { compare: [absent({ key: keys.registration(node) }), ...compare], success, failure: [] };
}

/** False: it is an orphan, as long as something of it is in other hands. */
async function freeBlock(etcd: Etcd, keys: Keys, node: string, entry: KeyValue, lease?: string): Promise<boolean> {
  const prefix = keys.parseNodeKey(entry.key)!.rest;
  const key = keys.block(prefix);
  for (;;) {
    const { read } = await etcd.txn({
      compare: [],
      success: [
        { get: { key } },
        { get: keys.lentOf(node, prefix) },
        { get: { key: entry.key } },
        { get: { key: keys.registration(node) } },
      ],
      failure: [],
    });
    const [[found], lent, [index], registration] = read;
    // The node is back, and has done this itself.
    if (registration.length > 0) return true;
    const record = found && parseBlock(found.value);
    if (!found || !index || record?.node !== node) {
      if (index)
        await etcd.txn(gone(keys, node, [unchanged(entry.key, index.modRevision)], [{ remove: { key: entry.key } }]));
      return true;
    }
    if (record.state === "orphaned" && lent.length > 0) return false;
    const write = (state: BlockRecord["state"]) => JSON.stringify({ ...record, state });
    const free: Operation[] = lease
      ? [{ put: { key, value: write("reclaimed"), lease } }, { remove: { key: entry.key } }]
      : [{ remove: { key } }, { remove: { key: entry.key } }];
    const result = await etcd.txn(
      lent.length > 0
        ? gone(keys, node, [unchanged(key, found.modRevision)], [{ put: { key, value: write("orphaned") } }])
        : gone(keys, node, [unchanged(key, found.modRevision), absent(keys.lentOf(node, prefix))], free),
    );
    if (result.succeeded) return lent.length === 0;
  }
}

/** What the node has borrowed. With a quarantine the loan ends with it. */
async function freeLoan(etcd: Etcd, keys: Keys, node: string, entry: KeyValue, lease?: string): Promise<void> {
  const loan = parseLoan(entry.value);
  const removeIndex: Operation = { remove: { key: entry.key } };
  if (!loan) {
    await etcd.txn(gone(keys, node, [unchanged(entry.key, entry.modRevision)], [removeIndex]));
    return;
  }
  const key = keys.lent(loan.owner, loan.block, loan.address);
  const { read } = await etcd.txn({ compare: [], success: [{ get: { key } }], failure: [] });
  const [found] = read[0];
  const now = found && parseLoan(found.value);
  const ours = now?.node === node && now.identity === null;
  const free: Operation[] = !ours ? [] : lease ? [{ put: { key, value: found.value, lease } }] : [{ remove: { key } }];
  const compare = [unchanged(entry.key, entry.modRevision), ...(found ? [unchanged(key, found.modRevision)] : [])];
  await etcd.txn(gone(keys, node, compare, [...free, removeIndex]));
}

/** What the node had in its hands is in nobody's, with its addresses kept. */
async function freeIdentity(
  etcd: Etcd,
  keys: Keys,
  node: string,
  entry: KeyValue,
  quarantined: boolean,
): Promise<void> {
  const held = parseIdentity(entry.value);
  const removeIndex: Operation = { remove: { key: entry.key } };
  if (!held) {
    await etcd.txn(gone(keys, node, [unchanged(entry.key, entry.modRevision)], [removeIndex]));
    return;
  }
  const key = keys.identity(held);
  const { read } = await etcd.txn({ compare: [], success: [{ get: { key } }], failure: [] });
  const [found] = read[0];
  const now = found && parseIdentity(found.value);
  if (now?.node !== node) {
    await etcd.txn(gone(keys, node, [unchanged(entry.key, entry.modRevision)], [removeIndex]));
    return;
  }
  const free = { ...now, node: null, registration: null, quarantine: quarantined ? node : null };
  await etcd.txn(
    gone(
      keys,
      node,
      [unchanged(key, found.modRevision)],
      [
        { put: { key, value: JSON.stringify(free) } },
        ...free.places.map((place): Operation => {
          const at = keys.lent(place.owner, place.block, place.address);
          return { put: { key: at, value: JSON.stringify(placeRecord(free, place)) } };
        }),
        removeIndex,
      ],
    ),
  );
}
