// How a pod's end of the cable is, as facts and without judgement: for `underlayctl doctor`. Runs in the attach worker.
import { formatAddress } from "../../net/address.ts";
import { decodeAddress, encodeAddressDump } from "../../routing/netlink/address.ts";
import { LinkFlag, NeighbourState } from "../../routing/netlink/constants.ts";
import { decodeNeighbour, encodeNeighbourDump } from "../../routing/netlink/neighbour.ts";
import { decodeRoute, encodeRouteDump } from "../../routing/netlink/route.ts";
import { CniError, CniErrorCode } from "../protocol/error.ts";
import { formatMac } from "./gateway.ts";
import type { LookRequest, PodEnd } from "./messages.ts";
import { inNamespace } from "./pod-namespace.ts";
import { getLink } from "./wiring.ts";

/** Null: there is no such namespace any more, or another one is in its place. */
export function lookAtPod({ netns, netnsId, ifname }: LookRequest): PodEnd | null {
  try {
    return inNamespace(netns, netnsId, (_fd, pod) => {
      const link = getLink(pod, { name: ifname });
      if (!link) return { link: null, addresses: [], defaultRoutes: [], neighbours: [] };
      const { ifindex, flags, mac, mtu } = link;
      return {
        link: { up: (flags & LinkFlag.up) !== 0, mac: formatMac(mac), mtu },
        addresses: pod
          .dump((out) => encodeAddressDump(out, 0, ifindex), decodeAddress)
          .filter((entry) => entry.ifindex === ifindex)
          .map((entry) => formatAddress(entry.local)),
        // In any table: a later plugin of the chain may have moved it.
        defaultRoutes: ([4, 6] as const).filter((family) =>
          pod
            .dump((out) => encodeRouteDump(out, family), decodeRoute)
            .some((route) => route.length === 0 && route.hops.some((hop) => hop.ifindex === ifindex)),
        ),
        neighbours: pod
          .dump((out) => encodeNeighbourDump(out), decodeNeighbour)
          .filter((entry) => entry.ifindex === ifindex && entry.state & NeighbourState.permanent)
          .map((entry) => ({ address: formatAddress(entry.address), mac: formatMac(entry.mac) })),
      };
    });
  } catch (error) {
    if (error instanceof CniError && error.code === CniErrorCode.invalidNetns) return null;
    throw error;
  }
}
