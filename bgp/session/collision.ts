// Two connections with the same neighbour, and an OPEN has just arrived on one of them: which stays?
// RFC 4271 §6.8, with the AS numbers as tie-break of RFC 6286 §2.3, and the restart of a neighbour of RFC 4724 §4.2.
import { RESTARTS_AFTER } from "./fsm-times.ts";
import type { SessionState } from "./types.ts";

export interface CollisionContext {
  readonly localRouterId: number;
  readonly remoteRouterId: number;
  readonly localAsn: number;
  readonly remoteAsn: number;
  /** State of the connection the OPEN did not arrive on. */
  readonly otherState: SessionState;
  /** Who opened the connection the OPEN arrived on. */
  readonly initiator: "local" | "remote";
  /** Graceful restart was negotiated on the other, Established connection. */
  readonly gracefulRestart: boolean;
  /** How long the other one has been Established, milliseconds; 0 when it is not. */
  readonly establishedFor: number;
}

/**
 * `keep-other`: the new connection is dumped. `keep-new`: the other one is dumped. `neighbour-restarted`: the other one
 * is dead although TCP has not noticed; it is closed without a NOTIFICATION and its routes may be kept.
 * `no-collision`: the other has not seen an OPEN, it is decided when one arrives.
 */
export type CollisionVerdict = "keep-other" | "keep-new" | "neighbour-restarted" | "no-collision";

export function resolveCollision(context: CollisionContext): CollisionVerdict {
  switch (context.otherState) {
    case "Established":
      // CollisionDetectEstablishedState is off: an Established session is never given up for a newcomer, unless
      // graceful restart says that the newcomer is the same neighbour after a restart. What comes right after the session
      // was made at the same time as it, and only arrived later.
      return context.gracefulRestart && context.initiator === "remote" && context.establishedFor >= RESTARTS_AFTER
        ? "neighbour-restarted"
        : "keep-other";
    case "OpenConfirm":
      return context.initiator === higherSide(context) ? "keep-new" : "keep-other";
    default:
      return "no-collision";
  }
}

/** The connection opened by the side with the higher BGP identifier is the one that stays. */
function higherSide(context: CollisionContext): "local" | "remote" {
  if (context.localRouterId !== context.remoteRouterId)
    return context.localRouterId > context.remoteRouterId ? "local" : "remote";
  return context.localAsn > context.remoteAsn ? "local" : "remote";
}
