// Neighbours of peers that have an interface instead of an address ("BGP unnumbered"): found through router
// advertisements, which are sent and heard here (RFC 4861 §4.2, §6), over links as the kernel reports them.
//
//   links ----> UnnumberedInterface --changed--> sessions
//                 |    \-- Neighbours: who was heard, which one is the peer
//                 |    \-- Advertiser: when to send
//   ICMPv6 <---> Outlet (socket.ts)
//
// Deviations from RFC 4861, on purpose: what an advertisement says to hosts (prefixes, MTU, default router) is not acted
// on; the kernel does with it what accept_ra of the interface says. Ours name no lifetime, so that nobody routes to us on
// their account.
import type { Clock } from "../../net/clock.ts";
import type { Log } from "../../net/log.ts";
import type { FoundNeighbour, NeighbourFinder, NeighbourUser } from "../session/found-neighbour.ts";
import { UnnumberedInterface } from "./interface.ts";
import { openOutlet } from "./socket.ts";
import type { LinkSource, OpenOutlet } from "./types.ts";

export interface DiscoveryDependencies {
  readonly clock: Clock;
  readonly log: Log;
  readonly links: LinkSource;
  readonly random?: () => number;
  readonly open?: OpenOutlet;
}

export class NeighbourDiscovery implements NeighbourFinder {
  readonly #dependencies: DiscoveryDependencies;
  readonly #interfaces = new Set<UnnumberedInterface>();

  constructor(dependencies: DiscoveryDependencies) {
    this.#dependencies = dependencies;
    const { links } = dependencies;
    links.onLinks(() => {
      for (const watched of this.#interfaces) watched.update(links.links());
    });
  }

  find(device: string, { advertise }: { advertise: boolean }, user: NeighbourUser): FoundNeighbour {
    const { clock, log, links, random = Math.random, open = openOutlet } = this.#dependencies;
    const watched: UnnumberedInterface = new UnnumberedInterface(device, advertise, {
      clock,
      log,
      random,
      open,
      user,
      closed: () => this.#interfaces.delete(watched),
    });
    this.#interfaces.add(watched);
    watched.update(links.links());
    return watched;
  }
}
