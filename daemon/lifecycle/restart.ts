// Restart (SIGTERM): the kernel keeps routes, rules and pods, and BGP sessions end without a NOTIFICATION, so that
// neighbours with graceful restart (RFC 4724) go on forwarding to us. The next start adopts what is there.
import type { Speaker } from "../../bgp/speaker.ts";
import type { Blocks } from "../blocks/blocks.ts";

export async function endForRestart({
  speaker,
  blocks,
}: {
  readonly speaker: Pick<Speaker, "stop">;
  readonly blocks: Pick<Blocks, "stop">;
}): Promise<void> {
  blocks.stop();
  await speaker.stop("restart");
}
