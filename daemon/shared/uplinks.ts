// The interfaces to the fabric: where neighbours are, as configured and as sessions run. In: peers, sessions, links.
// Out: names.
import type { Speaker } from "../../bgp/speaker.ts";
import type { SpeakerPeer } from "../../bgp/speaker-types.ts";
import type { Fib } from "../../routing/types.ts";

export function uplinkNames(
  peers: readonly Pick<SpeakerPeer, "interface">[],
  speaker: Pick<Speaker, "establishedInterfaces">,
  fib: Pick<Fib, "links">,
): string[] {
  const links = new Map(fib.links().map(({ ifindex, name }) => [ifindex, name]));
  const established = speaker.establishedInterfaces().flatMap(({ ifindex }) => links.get(ifindex) ?? []);
  // What is made here comes in over the loopback device, and is no transit.
  return [...new Set([...peers.flatMap((peer) => peer.interface ?? []), ...established])].filter(
    (name) => name !== "lo",
  );
}
