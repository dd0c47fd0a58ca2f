// What the parts of the etcd source work with.
import type { Clock } from "../../net/clock.ts";
import type { Log } from "../../net/log.ts";
import { EtcdError } from "./etcd/error.ts";
import type { Etcd, KeyValue, Txn, TxnResult } from "./etcd/kv.ts";
import type { Holdings } from "./holdings.ts";
import type { Keys } from "./keys.ts";
import type { Me } from "./transactions.ts";
import { BlockSourceError, type ClusterPool, type SourceChange } from "./types.ts";

export interface Context {
  readonly etcd: Etcd;
  readonly keys: Keys;
  readonly clock: Clock;
  /** From 0 to below 1. */
  readonly random: () => number;
  /** An id that nobody else makes. */
  readonly newId: () => string;
  /** The time of day, for people: ISO 8601. */
  readonly timeOfDay: () => string;
  readonly log: Log;
  readonly node: string;
  readonly identity: string;
  readonly incarnation: string;
  readonly rack: string | null;
  /** Pools of the configuration: made in etcd when they are not there. */
  readonly wanted: readonly ClusterPool[];
  readonly holdings: Holdings;
  readonly session: Session;
  readonly tell: (change: SourceChange) => void;
}

/** What is known of etcd at the moment. */
export interface Session {
  /** Null: not registered, so nothing can be done. */
  me: Me | null;
  /** This process has registered before. */
  running: boolean;
  lease: string | null;
  pools: readonly ClusterPool[];
  warnings: readonly string[];
  /** What we have asked for may still be executed: to be ended before anything else is done. */
  uncertain: boolean;
  /** Revisions that our own transactions have made, the latest ones: their events are no news. */
  readonly ownRevisions: Set<number>;
}

const REMEMBERED_REVISIONS = 256;

/** Executes a transaction of ours; remembers what follows for the session when it fails. */
export async function execute(context: Context, txn: Txn): Promise<TxnResult> {
  const { session } = context;
  try {
    const result = await context.etcd.txn(txn);
    if (result.succeeded) {
      session.ownRevisions.add(result.revision);
      if (session.ownRevisions.size > REMEMBERED_REVISIONS)
        session.ownRevisions.delete(session.ownRevisions.values().next().value!);
    }
    return result;
  } catch (error) {
    // Out of space: whether there is room again only a write can tell.
    if (error instanceof EtcdError && (error.uncertain || error.kind === "noSpace")) session.uncertain = true;
    throw error;
  }
}

/** Throws BlockSourceError when there is no valid registration. */
export function registered({ session }: Context): Me {
  if (session.me) return session.me;
  throw new BlockSourceError("unavailable", "this node is not registered in etcd at present");
}

/** The compares of a node's transaction have failed because its registration is not valid any more: read everything anew. */
export function registrationMoved(me: Me, found: readonly KeyValue[]): boolean {
  return (found[0]?.modRevision ?? 0) !== me.revision;
}

/** Resolves after so many milliseconds. */
export function pause(clock: Clock, milliseconds: number): Promise<void> {
  return new Promise((resolve) => void clock.after(milliseconds, resolve));
}
