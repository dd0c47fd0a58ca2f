// The transactions of the protocol, as data. Each one of a node compares the node's registration: a node that has been
// removed, or that has written its registration anew to end what is still under way (sync.ts), can do nothing with an
// old one. Each `failure` reads what its compares were about, so that the writer sees whether it has been there
// already.
import type { Family } from "../../net/address.ts";
import { absent, type Compare, type KeyValue, type Operation, type Txn, unchanged } from "./etcd/kv.ts";
import type { Keys } from "./keys.ts";
import type { BlockRecord, LoanRecord, NodeRecord, StoredIdentity } from "./records.ts";

export interface Me {
  readonly keys: Keys;
  readonly node: string;
  readonly registration: string;
  /** When the registration was written last. */
  readonly revision: number;
}

function valid(me: Me): Compare {
  return unchanged(me.keys.registration(me.node), me.revision);
}

function put(key: string, record: object, lease?: string): Operation {
  return { put: { key, value: JSON.stringify(record), ...(lease ? { lease } : {}) } };
}

const get = (key: string): Operation => ({ get: { key } });
const remove = (key: string): Operation => ({ remove: { key } });

/** `seen`, `removedSeen`: when the registration and the tombstone were written last; 0: not there. */
export function register(keys: Keys, record: NodeRecord, seen: number, removedSeen: number): Txn {
  const key = keys.registration(record.node);
  const removed = keys.removed(record.node);
  return {
    compare: [unchanged(key, seen), unchanged(removed, removedSeen)],
    success: [put(key, record), ...(removedSeen > 0 ? [remove(removed)] : [])],
    failure: [],
  };
}

export function showLife(me: Me, lease: string): Txn {
  return {
    compare: [valid(me)],
    success: [{ put: { key: me.keys.alive(me.node), value: lease, lease } }],
    failure: [],
  };
}

export interface Claim {
  readonly prefix: string;
  readonly record: BlockRecord;
  readonly poolRevision: number;
  readonly range: { readonly prefix: string; readonly seen: number } | null;
  readonly lease: string;
  readonly whilePaused: boolean;
}

/** Phase one. The range's key is written by every claim in it, so that of two racks' claims only one succeeds. */
export function claim(me: Me, { prefix, record, poolRevision, range, lease, whilePaused }: Claim): Txn {
  const { keys, node } = me;
  return {
    compare: [
      valid(me),
      unchanged(keys.pool(record.pool), poolRevision),
      absent({ key: keys.block(prefix) }),
      ...(whilePaused ? [] : [absent({ key: keys.paused })]),
      ...(range ? [unchanged(keys.rack(range.prefix), range.seen)] : []),
    ],
    success: [
      put(keys.block(prefix), record, lease),
      put(keys.nodeBlock(node, prefix), record, lease),
      ...(range ? [put(keys.rack(range.prefix), { rack: record.rack })] : []),
    ],
    failure: [get(keys.block(prefix)), get(keys.paused), get(keys.registration(node))],
  };
}

/** Phase two, and whenever the record is to be written again: without the lease. `seen`: 0 when it has to be absent. */
export function confirm(me: Me, prefix: string, record: BlockRecord, seen: number): Txn {
  const { keys, node } = me;
  return {
    compare: [valid(me), unchanged(keys.block(prefix), seen)],
    success: [put(keys.block(prefix), record), put(keys.nodeBlock(node, prefix), record)],
    failure: [get(keys.block(prefix)), get(keys.registration(node))],
  };
}

/** Not while an address of it is in other hands, or kept for an identity. */
export function release(me: Me, prefix: string, seen: number): Txn {
  const { keys, node } = me;
  return {
    compare: [valid(me), unchanged(keys.block(prefix), seen), absent(keys.lentOf(node, prefix))],
    success: [remove(keys.block(prefix)), remove(keys.nodeBlock(node, prefix))],
    failure: [get(keys.block(prefix)), { get: keys.lentOf(node, prefix) }, get(keys.registration(node))],
  };
}

/** A key below nodes/<node>/ whose counterpart is not ours. */
export function unindex(me: Me, key: string, seen: number): Txn {
  return { compare: [valid(me), unchanged(key, seen)], success: [remove(key)], failure: [] };
}

/** `blockSeen`: when the owner's record was written last. */
export function borrow(me: Me, loan: LoanRecord, blockSeen: number): Txn {
  const { keys, node } = me;
  const lent = keys.lent(loan.owner, loan.block, loan.address);
  return {
    compare: [
      valid(me),
      unchanged(keys.block(loan.block), blockSeen),
      absent({ key: lent }),
      absent({ key: keys.paused }),
    ],
    success: [put(lent, loan), put(keys.borrowed(node, loan.address), loan)],
    failure: [get(lent), get(keys.paused), get(keys.registration(node))],
  };
}

/** `seen`: 0 when it has to be absent. */
export function writeLoan(me: Me, loan: LoanRecord, seen: number): Txn {
  const { keys, node } = me;
  const lent = keys.lent(loan.owner, loan.block, loan.address);
  return {
    compare: [valid(me), unchanged(lent, seen)],
    success: [put(lent, loan), put(keys.borrowed(node, loan.address), loan)],
    failure: [get(lent), get(keys.registration(node))],
  };
}

/** Reads whether the block is an orphan that has nothing lent any more. */
export function returnLoan(me: Me, loan: LoanRecord, seen: number): Txn {
  const { keys, node } = me;
  const lent = keys.lent(loan.owner, loan.block, loan.address);
  return {
    compare: [valid(me), unchanged(lent, seen)],
    success: [
      remove(lent),
      remove(keys.borrowed(node, loan.address)),
      get(keys.block(loan.block)),
      { get: keys.lentOf(loan.owner, loan.block) },
    ],
    failure: [get(lent), get(keys.registration(node))],
  };
}

/** An orphan goes with the last loan, or with its node's quarantine, whose lease the key names. Anybody may do that. */
export function releaseOrphan(
  keys: Keys,
  owner: string,
  prefix: string,
  record: BlockRecord,
  seen: number,
  quarantine: KeyValue | null,
): Txn {
  const key = keys.block(prefix);
  return {
    compare: [
      unchanged(key, seen),
      absent(keys.lentOf(owner, prefix)),
      unchanged(keys.quarantine(owner), quarantine?.modRevision ?? 0),
    ],
    success: [
      quarantine ? put(key, { ...record, state: "reclaimed" }, quarantine.value) : remove(key),
      remove(keys.nodeBlock(owner, prefix)),
    ],
    failure: [],
  };
}

/** What is written beside an owner's block for an address of an identity. */
export function placeRecord(identity: StoredIdentity, place: StoredIdentity["places"][number]): LoanRecord {
  return {
    ...place,
    pool: identity.pool,
    node: identity.node,
    registration: identity.registration,
    identity: `${identity.namespace}/${identity.name}`,
    loan: identity.change,
    since: identity.since,
  };
}

export interface IdentityChange {
  /** As it is to be. */
  readonly identity: StoredIdentity;
  /** When its record was written last; 0: it is new. */
  readonly seen: number;
  /**
   * For each of its addresses, when it is new: when the loan that it is made from was written last (0: an address of
   * our own block that nobody has).
   */
  readonly placesSeen: readonly number[];
  /** The blocks of our own that these addresses are of, and when they were written last. */
  readonly blocks: readonly { readonly prefix: string; readonly seen: number }[];
}

/** A new identity, or one whose hands it is in have changed: its record and its addresses' are written together. */
export function writeIdentity(me: Me, { identity, seen, placesSeen, blocks }: IdentityChange): Txn {
  const { keys, node } = me;
  const key = keys.identity(identity);
  const index = keys.nodeIdentity(node, identity);
  const lent = identity.places.map(({ owner, block, address }) => keys.lent(owner, block, address));
  return {
    compare: [
      valid(me),
      unchanged(key, seen),
      ...(identity.quarantine !== null ? [absent({ key: keys.quarantine(identity.quarantine) })] : []),
      ...placesSeen.map((revision, i) => unchanged(lent[i], revision)),
      ...blocks.map((block) => unchanged(keys.block(block.prefix), block.seen)),
    ],
    success: [
      put(key, { ...identity, quarantine: null }),
      ...identity.places.map((place, i) => put(lent[i], placeRecord(identity, place))),
      ...(seen === 0 ? identity.places.map(({ address }) => remove(keys.borrowed(node, address))) : []),
      identity.node === null ? remove(index) : put(index, { ...identity, quarantine: null }),
    ],
    failure: [get(key), get(keys.registration(node))],
  };
}

/** Reads each of its blocks and what is still lent of it, in this order: orphans may be free now. */
export function forgetIdentity(me: Me, identity: StoredIdentity, seen: number): Txn {
  const { keys, node } = me;
  return {
    compare: [valid(me), unchanged(keys.identity(identity), seen)],
    success: [
      remove(keys.identity(identity)),
      remove(keys.nodeIdentity(node, identity)),
      ...identity.places.map(({ owner, block, address }) => remove(keys.lent(owner, block, address))),
      ...identity.places.flatMap(({ owner, block }) => [get(keys.block(block)), { get: keys.lentOf(owner, block) }]),
    ],
    failure: [get(keys.identity(identity)), get(keys.registration(node))],
  };
}

/** Everything about a node in one consistent read. */
export function readNode(keys: Keys, node: string): Txn {
  return {
    compare: [],
    success: [{ get: keys.node(node) }, get(keys.removed(node)), { get: keys.pools }, get(keys.paused)],
    failure: [],
  };
}

export function readKeys(keys: readonly string[]): Txn {
  return { compare: [], success: keys.map(get), failure: [] };
}

export function readForClaim(keys: Keys, pool: string, family: Family): Txn {
  return { compare: [], success: [get(keys.pool(pool)), { get: keys.racks(family) }], failure: [] };
}
