// Begins and ends the default route that a peer's family is told by configuration (defaultOriginate): with its session, and
// when the configuration changes on a running one.
import { DefaultRoute } from "./adj-rib-out/default-route.ts";
import type { PeerFamily } from "./peer-family.ts";
import type { RibCore } from "./rib-core.ts";
import type { Negotiated } from "./session/types.ts";
import type { SpeakerPeer } from "./speaker-types.ts";

/** What there is to originate, made anew; the peer is told the difference. */
export function originateDefault(part: PeerFamily, options: SpeakerPeer, negotiated: Negotiated, core: RibCore): void {
  const { adjRibOut, locRib, family } = part;
  if (!adjRibOut) return;
  const before = adjRibOut.defaultRoute;
  const wanted = options.defaultOriginate;
  let route: DefaultRoute | null = null;
  if (wanted?.families.includes(family)) {
    const group = core.groups.join({ ...options, export: wanted.route }, negotiated, adjRibOut.ownNextHop, locRib);
    const { store, slices } = core;
    route = new DefaultRoute({ peer: options.name, locRib, group, store, slices, condition: wanted.while });
  }
  if (!before && !route) return;
  adjRibOut.setDefaultRoute(route);
  drop(before, core);
}

/** The session is gone; before its Adj-RIB-Out is closed. */
export function forgetDefault({ adjRibOut }: PeerFamily, core: RibCore): void {
  drop(adjRibOut?.defaultRoute ?? null, core);
}

function drop(route: DefaultRoute | null, core: RibCore): void {
  if (!route) return;
  route.close();
  core.groups.leave(route.group);
  core.touched();
}
