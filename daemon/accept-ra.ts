// What the kernel itself does with router advertisements on an interface where a BGP neighbour is found by them: with
// accept_ra in force it takes default routes and addresses from the neighbour into the host's own tables. That may be what
// the host lives on, so it is left alone, and said.
import { readFileSync } from "node:fs";
import type { Speaker } from "../bgp/speaker.ts";
import type { SpeakerPeer } from "../bgp/speaker-types.ts";
import type { Log } from "../net/log.ts";

type ReadSetting = (path: string) => string;

const read: ReadSetting = (path) => readFileSync(path, "utf8").trim();

/** Null: the kernel leaves them alone. */
export function acceptRaWarning(device: string, setting: ReadSetting = read): string | null {
  const directory = `/proc/sys/net/ipv6/conf/${device}`;
  try {
    const accepts = setting(`${directory}/accept_ra`);
    // 1: as long as the interface does not forward; 2: always.
    if (accepts === "0" || (accepts === "1" && setting(`${directory}/forwarding`) !== "0")) return null;
    return (
      `the kernel takes default routes and addresses from router advertisements on ${device}, where a BGP neighbour is ` +
      `found by them; unless this host needs that: sysctl -w net.ipv6.conf.${device}.accept_ra=0`
    );
  } catch {
    return null;
  }
}

/** Once per interface, when a neighbour is found there. */
export function watchAcceptRa(
  speaker: Pick<Speaker, "onNeighbour">,
  peers: () => readonly Pick<SpeakerPeer, "name" | "interface">[],
  log: Log,
): void {
  const seen = new Set<string>();
  speaker.onNeighbour((name) => {
    const device = peers().find((peer) => peer.name === name)?.interface;
    if (!device || seen.has(device)) return;
    seen.add(device);
    const warning = acceptRaWarning(device);
    if (warning) log.warn({ interface: device }, warning);
  });
}
