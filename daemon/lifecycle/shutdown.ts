// Shutdown (SIGINT, `underlayctl shutdown`): this node stops forwarding for others, for a reboot or for good. Neighbours
// must not keep our routes for a graceful restart that does not come, so they are told twice: everything is withdrawn, and
// when TCP has acknowledged that (or the limit has passed) the sessions end with Cease/Administrative Shutdown, as a hard
// reset where both sides have set the N bit (RFC 8538). The kernel state stays: pods here go on reaching each other.
import type { Speaker } from "../../bgp/speaker.ts";
import type { SpeakerGroup, SpeakerPeer } from "../../bgp/speaker-types.ts";
import type { Clock } from "../../net/clock.ts";
import type { Log } from "../../net/log.ts";
import type { Blocks } from "../blocks/blocks.ts";
import { delivered } from "./delivery.ts";
import { seenThrough } from "./drain.ts";

export interface ShutdownDependencies {
  readonly speaker: Speaker;
  readonly blocks: Pick<Blocks, "withdrawAll">;
  readonly clock: Clock;
  readonly log: Log;
  peers(): readonly SpeakerPeer[];
  groups(): readonly SpeakerGroup[];
}

export interface ShutdownView {
  /** Peers whose session was up: they have been told. */
  readonly told: readonly string[];
  /** Of these, those that have not acknowledged the withdrawal in time. */
  readonly late: readonly string[];
}

/** Milliseconds that a withdrawal has to arrive at a neighbour that does not read. */
const DELIVERY_LIMIT = 2_000;

/** `text` is for the neighbours' operators. Resolves when every session has ended. */
export async function endForGood(
  { speaker, blocks, clock, log, peers, groups }: ShutdownDependencies,
  text: string,
): Promise<ShutdownView> {
  const told = speaker.peers().flatMap(({ name, state }) => (state === "Established" ? [name] : []));
  void blocks.withdrawAll(0);
  // And what was passed on of others' routes.
  for (const peer of peers()) speaker.setPolicies(seenThrough(peer, "withdrawing"));
  for (const group of groups()) speaker.changeGroup(seenThrough(group, "withdrawing"), "live");
  const late = await delivered({ speaker, clock }, () => true, DELIVERY_LIMIT);
  if (late.length > 0) log.warn({ peers: late }, "not every neighbour has acknowledged the withdrawal in time");
  await speaker.stop("shutdown", text);
  return { told, late };
}
