// STATUS: could an ADD with this configuration be served now, and would others reach the pod? In: the pools that it
// names, their blocks, the sessions. Out: nothing when all is well, or the error that says what is missing: 50 when
// ADDs are refused or find no address, 51 when pods come up unreachable.
import type { Attachments } from "./attachments.ts";
import { askDelegate, delegateOf } from "./ipam/delegate.ts";
import type { Exceptions } from "./ipam/exceptions.ts";
import type { NetworkConfig } from "./protocol/config.ts";
import type { CniCall } from "./protocol/environment.ts";
import { CniError, CniErrorCode } from "./protocol/error.ts";
import { readyOf } from "./protocol/ready.ts";
import type { Readiness, ReadyOptions } from "./readiness.ts";
import type { BlockView } from "./types.ts";

export interface StatusParts {
  readonly attachments: Attachments;
  readonly readiness: Readiness;
  /** Where the network configuration says nothing. */
  readonly ready: ReadyOptions;
  /** Why no pod may be attached now; null: it may. */
  readonly refusal: () => string | null;
  readonly blocks: () => readonly Omit<BlockView, "source">[];
  readonly exceptions: Exceptions;
  /** Can other nodes reach pods here, by what is known of the sessions? */
  readonly connected: () => boolean;
}

/** Throws 50 or 51, and what a delegate has to say. */
export async function status(parts: StatusParts, call: CniCall, config: NetworkConfig): Promise<string> {
  const { allocator } = parts.attachments;
  const delegate = delegateOf(config, call.env);
  const pools = delegate ? [] : allocator.choosePools(config.pools);
  const refusal = parts.refusal();
  if (refusal !== null) throw new CniError(CniErrorCode.notAvailable, refusal);
  if (delegate) {
    await askDelegate(delegate, "STATUS", call.env, config);
    return "";
  }
  const exhausted = allocator.exhausted(pools);
  if (exhausted) throw new CniError(CniErrorCode.notAvailable, exhausted);
  const exceptions = new Set(parts.exceptions.blocks().map(({ prefix }) => prefix));
  const blocks = parts.blocks().filter(({ pool, prefix }) => pools.includes(pool) && !exceptions.has(prefix));
  const why = unreachable(parts, blocks, pools);
  const { level, fallback } = readyOf(config.raw, parts.ready);
  const missing = blocks.map(({ prefix }) => parts.readiness.missing(level, [prefix]));
  const refused = fallback === "fail" && missing.length > 0 && !missing.includes(null);
  if (why !== null)
    throw new CniError(
      CniErrorCode.limitedConnectivity,
      `${why}: pods cannot be reached from other nodes${refused ? `, and new ones are refused (ready: ${level})` : ""}`,
    );
  if (refused) throw new CniError(CniErrorCode.notAvailable, `new pods are refused (ready: ${level}): ${missing[0]}`);
  return "";
}

/** Why other nodes cannot reach pods of these blocks; null: nothing is known that keeps them. */
function unreachable(
  { connected }: StatusParts,
  blocks: readonly Omit<BlockView, "source">[],
  pools: readonly string[],
): string | null {
  if (!connected()) return "no BGP session is Established";
  return blocks.every((block) => block.state === "withdrawn" || block.state === "failed")
    ? `no block of pool ${pools.map((pool) => `"${pool}"`).join(", ")} is announced`
    : null;
}
