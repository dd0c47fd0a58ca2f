// What happens to the blocks and addresses that this node has out of pools which many nodes share.
import type { Family } from "../../net/address.ts";

export type SharedEvent =
  /** Its claim took so long. */
  | { readonly kind: "claimed"; readonly prefix: string; readonly pool: string; readonly milliseconds: number }
  | {
      readonly kind: "claimFailed";
      readonly pool: string;
      readonly family: Family;
      readonly code: string;
      readonly reason: string;
    }
  | { readonly kind: "returned"; readonly prefix: string; readonly pool: string }
  /** By the operator's act. */
  | { readonly kind: "lost"; readonly prefix: string; readonly pool: string; readonly reason: string }
  /** Of the source of blocks: `connected`, `degraded` ... */
  | { readonly kind: "state"; readonly state: string; readonly reason: string | null }
  /** A single address outside of the blocks has been let in, or has left. */
  | {
      readonly kind: "exception" | "exceptionLeft";
      readonly prefix: string;
      readonly pool: string;
      readonly why: ExceptionKind;
    };

/** `asked`: by name; `borrowed`: of another node's block; `moved`: a pod has brought it along. */
export type ExceptionKind = "asked" | "borrowed" | "moved";
