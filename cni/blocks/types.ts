// What the daemon sees of blocks that come out of pools shared by many nodes. Out: blocks that are this node's beyond doubt
// (confirmed, and on disk here), single addresses borrowed from other nodes, identities that keep their addresses. In: what
// the node needs more of, and what it does not need any more.
//
// What is not in blocks() is nobody's to announce. A block is in it before pods get addresses of it, and leaves it before
// another node can have it; giveBack() is for a block that is withdrawn and out of the kernel already.
import type { Family } from "../../net/address.ts";
import type { Departed } from "./records.ts";

export interface BlockSource {
  /**
   * Resolves when it is known which blocks are this node's: etcd has said so, or has not answered for `startWait`, and then
   * the copy on this node's disk counts. Rejects only when that copy is damaged.
   */
  start(): Promise<void>;
  /** Ends all traffic with etcd. Claims, loans and identities stay. */
  stop(): Promise<void>;
  readonly state: SourceState;
  /** What an operator should know and nothing depends on, such as a pool that is defined otherwise in etcd; in words. */
  warnings(): readonly string[];
  /** Calls back after every change; returns what ends that. */
  onChange(listener: (change: SourceChange) => void): () => void;

  /** The pools as the cluster has them; empty as long as they are not known. */
  pools(): readonly ClusterPool[];
  /** This node's blocks, by prefix. */
  blocks(): readonly OwnedBlock[];
  /** One more block, on disk here when this resolves. Rejects with BlockSourceError. */
  want(pool: string, family: Family): Promise<OwnedBlock>;
  /**
   * The block around an address that a pod here has from before the pool was shared, on disk here when this resolves.
   * Rejects with BlockSourceError: `taken` when another node has some of it, `notOwned` when the address is not the
   * pool's.
   */
  take(pool: string, address: string): Promise<OwnedBlock>;
  /**
   * Back to the pool. The block has to be withdrawn, without pods, and out of the kernel; it leaves blocks() at once.
   * Rejects with BlockSourceError, and then the block is still ours: `last` of its pool and family, `lent`, `notOwned`,
   * `unavailable`.
   */
  giveBack(prefix: string): Promise<void>;

  /** A single address out of another node's block, on disk here when this resolves. Rejects with BlockSourceError. */
  borrow(pool: string, family: Family): Promise<Loan>;
  /** A borrowed address goes back; no pod has it any more. */
  giveBackLoan(address: string): Promise<void>;
  /** Addresses of other nodes' blocks that are in this node's hands: to be announced as host routes while in use. */
  loans(): readonly Loan[];
  /**
   * Addresses of our own blocks that we must not hand out, whatever is in `lend`: in another node's hands, or kept for
   * an identity. Those kept for an identity which this node holds are not among them.
   */
  reserved(): readonly string[];

  /** What is known of an identity, from etcd; null: nothing. Rejects with BlockSourceError. */
  lookUp(identity: Identity): Promise<IdentityRecord | null>;
  /**
   * This node takes an identity and its addresses into its hands. When it is not known yet, it is made with `fresh`:
   * addresses of our own blocks, or borrowed by us, that nobody else gets meanwhile. `heldBy`: a pod of that identity
   * is still on another node. Works without etcd for an identity that this node holds already.
   */
  hold(identity: Identity, fresh: readonly string[]): Promise<HoldResult>;
  /**
   * No pod of this identity is on this node any more: another node may take it. Its addresses stay reserved.
   * `keptUntil` (ISO 8601): it is in departed() until expire() is called, over restarts.
   */
  letGo(identity: Identity, keptUntil?: string | null): Promise<void>;
  departed(): readonly Departed[];
  /**
   * The time of an identity that was let go here is over. It is gone for good, unless a pod of it is somewhere, or
   * another node keeps it for longer.
   */
  expire(identity: Identity, now: string): Promise<void>;
  /** The identity is gone for good: its addresses are their blocks' again. */
  forget(identity: Identity): Promise<void>;
  /** Identities in this node's hands. */
  held(): readonly IdentityRecord[];
}

/**
 * `starting`: not known yet which blocks are ours. `degraded`: what we have goes on, nothing can be claimed or given
 * back for the time being. `removed`: the operator has removed this node, its blocks are not ours any more; it
 * registers anew. `conflict`: another machine has this node's name; ours goes on with what it has and claims nothing.
 */
export interface SourceState {
  readonly kind: "starting" | "connected" | "degraded" | "removed" | "conflict" | "stopped";
  /** In words, for the operator; null while connected. */
  readonly reason: string | null;
  /** Milliseconds of the source's clock when it became so. */
  readonly since: number;
}

export type SourceChange =
  | { readonly kind: "state"; readonly state: SourceState }
  | { readonly kind: "pools" }
  | { readonly kind: "block-gained"; readonly block: OwnedBlock }
  /**
   * Not ours any more, by the operator's act: to be withdrawn at once, even if there are pods with addresses of it;
   * these need new ones, that is, new pods.
   */
  | { readonly kind: "block-lost"; readonly block: OwnedBlock; readonly reason: string }
  | { readonly kind: "block-returned"; readonly block: OwnedBlock }
  | { readonly kind: "loan-gained"; readonly loan: Loan }
  | { readonly kind: "loan-lost"; readonly loan: Loan; readonly reason: string }
  | { readonly kind: "loan-returned"; readonly loan: Loan }
  /** Not in this node's hands any more, by the operator's act: its addresses may be given to its pod on another node. */
  | { readonly kind: "identity-lost"; readonly identity: IdentityRecord; readonly reason: string }
  /** Other addresses are reserved now. */
  | { readonly kind: "reserved" };

export interface OwnedBlock {
  readonly prefix: string;
  readonly pool: string;
  readonly family: Family;
  /** A range `a-b` at the block's end that other nodes borrow from; this node never hands it out. Null: none. */
  readonly lend: string | null;
}

export interface Loan {
  readonly address: string;
  readonly pool: string;
  readonly family: Family;
  /** Whose block it is of. */
  readonly owner: string;
  readonly block: string;
}

/** A pool of the whole cluster. */
export interface ClusterPool {
  readonly name: string;
  /** Of both families; they do not overlap, and no other pool has any of them. */
  readonly cidrs: readonly string[];
  /** Prefix length of a block, for each family that there are CIDRs of. */
  readonly blockSize: { readonly 4?: number; readonly 6?: number };
  /** Addresses, ranges `a-b` and prefixes: a block that is excluded as a whole is never claimed. */
  readonly exclude: readonly string[];
  /** Prefix length of the ranges that racks fill one after the other; absent: 16 blocks. */
  readonly rackSize: { readonly 4?: number; readonly 6?: number };
  /** Ranges meant for a rack, by its name: tried first. */
  readonly racks: Readonly<Record<string, readonly string[]>>;
  /** How many addresses at the end of each block can be borrowed, a quarter of it at most; 0: strict affinity. */
  readonly lend: number;
  /** Per node and family. */
  readonly maxBlocks: number;
}

/** A pod that keeps its addresses: namespace and name, or whatever names it in the caller's world. */
export interface Identity {
  readonly pool: string;
  readonly namespace: string;
  readonly name: string;
}

export interface IdentityRecord extends Identity {
  readonly addresses: readonly string[];
  /** The node that has it in its hands; null: none has. */
  readonly node: string | null;
}

export type HoldResult =
  | { readonly kind: "held"; readonly addresses: readonly string[]; readonly fresh: boolean }
  | { readonly kind: "heldBy"; readonly node: string };

export type BlockSourceFailure =
  /** etcd cannot be asked, or did not say whether it has done it; trying again helps. */
  | "unavailable"
  /** The pool has no free block, or there is nothing left to borrow. */
  | "exhausted"
  /** The node has as many blocks as the pool allows. */
  | "limit"
  | "unknownPool"
  /** Nothing of this pool is lent. */
  | "strict"
  | "notOwned"
  | "last"
  | "lent"
  /** In another node's hands. */
  | "taken"
  /** See SourceState. */
  | "removed"
  | "conflict"
  | "stopped";

export class BlockSourceError extends Error {
  readonly code: BlockSourceFailure;

  constructor(code: BlockSourceFailure, message: string) {
    super(message);
    this.name = "BlockSourceError";
    this.code = code;
  }
}
