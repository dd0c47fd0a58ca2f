// Messages between client.ts and worker.ts.
import type { StatusWords } from "./status-words.ts";
import type { BfdChange, BfdPeer } from "./types.ts";

export interface WorkerOptions {
  /** Path of the network namespace to work in; null: the process's own. */
  readonly netns: string | null;
}

export type ToWorker =
  | { readonly kind: "add"; readonly id: number; readonly peer: BfdPeer; readonly words: StatusWords }
  | { readonly kind: "remove"; readonly id: number; readonly peer: string }
  | { readonly kind: "stop"; readonly id: number }
  /** The change of this peer has been taken over; the next one may come. */
  | { readonly kind: "taken"; readonly peer: string };

export type FromWorker =
  | { readonly kind: "started"; readonly scheduling: string }
  | { readonly kind: "done"; readonly id: number; readonly error: string | null }
  | { readonly kind: "change"; readonly change: BfdChange }
  /** Packets from addresses that are no peers, since the last such message, and the last of the addresses. */
  | { readonly kind: "strangers"; readonly address: string; readonly packets: number };
