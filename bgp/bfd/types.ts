// What BFD is told about a neighbour, and what it says about it.
import type { BfdState } from "./packet.ts";
import type { BfdTiming } from "./session.ts";

/** A neighbour to watch. */
export interface BfdPeer extends BfdTiming {
  readonly name: string;
  /** 4 or 16 bytes. */
  readonly address: Uint8Array;
  /** Needed for link-local addresses; packets of the session go out and come in here only. */
  readonly interface: string | null;
  /** Source of our packets; null: the kernel's choice. */
  readonly localAddress: Uint8Array | null;
  /** More than one hop away (RFC 5883): another port, and no TTL check. */
  readonly multihop: boolean;
}

/** Times in milliseconds unless said otherwise. */
export interface BfdStatus {
  readonly state: BfdState;
  readonly remoteState: BfdState;
  /** Seconds since Up, null when not. */
  readonly uptime: number | null;
  /** How often it came up. */
  readonly upCount: number;
  /** Why the session last left Up or Init, here and there (RFC 5880 §4.1). */
  readonly diagnostic: string;
  readonly remoteDiagnostic: string;
  /** Between our packets before jitter; null: none are sent. */
  readonly interval: number | null;
  /** Silence after which the session goes down; null: the neighbour has not been heard. */
  readonly detectionTime: number | null;
  readonly multiplier: number;
  readonly remoteMultiplier: number;
  readonly localDiscriminator: number;
  readonly remoteDiscriminator: number;
  /** The neighbour's BFD goes on when its control plane restarts (C bit). */
  readonly remoteIndependent: boolean;
  readonly packets: {
    readonly sent: number;
    readonly received: number;
    readonly discarded: number;
    /** The kernel refused to send. */
    readonly sendErrors: number;
  };
  /** Why the last packet was discarded, or could not be sent; null: none. */
  readonly lastDiscard: string | null;
  readonly lastSendError: string | null;
}

/** Several changes that the receiver had no time for are one: the first `from`, the last `to`. */
export interface BfdChange {
  readonly peer: string;
  readonly from: BfdState;
  readonly to: BfdState;
  readonly reason: string;
  /** The session has gone from Up to Down, and neither side asked for it: the path has failed. */
  readonly failed: boolean;
  /** No restart of the neighbour's control plane explains the failure, see session.ts. */
  readonly independent: boolean;
}
