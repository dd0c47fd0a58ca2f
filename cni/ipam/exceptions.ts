// Addresses that a pod has here although no block of this node has them: borrowed from another node's block, or brought
// along by a pod that ran elsewhere. Who decides on them, announces and limits them, is not the allocator's business.
//
//   ADD: claim(), which may ask others and take its time -> the allocator: admits() -> in the books
//   an address outside of every block has no owner any more -> released()
//
// After a start, those in use are in Allocator.outside().
import type { BlockCounts } from "./block.ts";

export interface ExceptionRequest {
  /** In order of preference; all of them exist. */
  readonly pools: readonly string[];
  /** Canonical; those asked for by name that are in no block of these pools. Often none. */
  readonly addresses: readonly string[];
  /** Who asks (records.ts, identityOf): the same over restarts, and on every node when `named`. */
  readonly identity: string;
  /** The identity is a pod's name or what the pod asked for, not a container's id. */
  readonly named: boolean;
}

export interface Exceptions {
  /**
   * Before an allocation. Resolves with the addresses, one per family at most, that the pod is to have by exception: all
   * of those that were asked for, or those that the identity had on another node; none is the ordinary answer. What is
   * claimed is the pod's until released(). Rejects with a CniError: 101 taken, 102 not to be had here, 11 not now.
   */
  claim(request: ExceptionRequest): Promise<readonly string[]>;
  /** May it have this address here? Without waiting: true for what claim() has resolved with and was not released since. */
  admits(address: string, identity: string): boolean;
  /** Those that are admitted, and those on their way out, as blocks of one address; `prefix` as it is announced. */
  blocks(): readonly (BlockCounts & { readonly prefix: string; readonly pool: string })[];
  /**
   * It is no exception any more: its pod is gone, its ADD failed, or it is in a block of this node now. May be called for
   * what was never claimed.
   */
  released(address: string): void;
}

/** Nothing outside of the blocks, ever. */
export const noExceptions: Exceptions = {
  claim: async () => [],
  admits: () => false,
  blocks: () => [],
  released() {},
};
