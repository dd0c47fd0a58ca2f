// The Loc-RIB as its consumers see it (the kernel's route sync, peers, the API): a set of dirty prefix ids with replace
// semantics. A consumer reads the present state of a prefix when it takes the id; intermediate states are never queued.
import type { Family } from "../../net/address.ts";

/** One member of a next-hop set, resolved on a connected interface. */
export interface ResolvedMember {
  readonly ifindex: number;
  /** 4 or 16 bytes, network order. */
  readonly gateway: Uint8Array;
  /** 1 to 256. */
  readonly weight: number;
}

export interface LocRibSubscription {
  /** Ids waiting to be taken. */
  readonly pending: number;
  /** Moves up to out.length dirty prefix ids into `out`, returns how many. */
  take(out: Uint32Array): number;
  close(): void;
}

/** One Loc-RIB: one family in one routing table. */
export interface LocRibView {
  readonly family: Family;
  /** Kernel table id that these routes belong to. */
  readonly table: number;
  /**
   * `wake` is called once when `pending` leaves 0; schedule a drain there, do no work. All present prefixes are dirty
   * at the start of a subscription.
   */
  subscribe(wake: () => void): LocRibSubscription;
  /** Copies the prefix's address in network order (4 or 16 bytes) to out[offset...]; returns its length in bits. */
  readPrefix(id: number, out: Uint8Array, offset: number): number;
  /** Id of the set of next hops to forward to; 0: nothing to install (no route, a local route, or none resolved). */
  nextHopSetOf(id: number): number;
  /** The members of a set, resolved as of now; empty while nothing resolves. */
  nextHopSetMembers(set: number): readonly ResolvedMember[];
  /** The members of a set changed (an interface or address came or went); prefixes that use it are not made dirty. */
  onNextHopSetChanged(listener: (set: number) => void): void;
  /**
   * No prefix uses the set any more, and every prefix that left it has been made dirty before this call; the id is
   * never reused.
   */
  onNextHopSetReleased(listener: (set: number) => void): void;
}
