// Waits until neighbours have what they were to be told: nothing waits for a peer any more, and its TCP has acknowledged
// everything. After that a NOTIFICATION may end the session, and nothing of what was said before can be lost with it.
import type { Speaker } from "../../bgp/speaker.ts";
import type { Clock } from "../../net/clock.ts";

/** Milliseconds between two looks. */
const INTERVAL = 5;

/** Resolves to the peers that did not have everything after `limit` milliseconds; none is waited for longer than that. */
export async function delivered(
  { speaker, clock }: { readonly speaker: Pick<Speaker, "undelivered">; readonly clock: Clock },
  concerns: (peer: string) => boolean,
  limit: number,
): Promise<string[]> {
  const until = clock.now() + limit;
  for (;;) {
    const waiting = speaker.undelivered().filter(concerns);
    if (waiting.length === 0 || clock.now() >= until) return waiting;
    await new Promise<void>((resolve) => clock.after(INTERVAL, resolve));
  }
}
