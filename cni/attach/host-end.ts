// The host's end of a cable, in rtnetlink messages: the gateway of its pod. What it needs before the pod's addresses
// are on disk, and what leads to them.
import { encodeNewAddress } from "../../routing/netlink/address.ts";
import { AddressFlag, Flag, Scope } from "../../routing/netlink/constants.ts";
import { encodeGetLink, encodeSetLink } from "../../routing/netlink/link.ts";
import { AddressGeneration, encodeLinkSettings, Ipv4Setting } from "../../routing/netlink/link-settings.ts";
import type { MessageWriter } from "../../routing/netlink/message.ts";
import { encodeNewNeighbour } from "../../routing/netlink/neighbour.ts";
import { encodeNewRoute } from "../../routing/netlink/route.ts";
import type { Step } from "./batch.ts";
import { gatewayIpv6 } from "./gateway.ts";
import type { AttachRequest } from "./messages.ts";

export const ROUTE = "add the host's route to the pod";

/** arp_ignore, rp_filter. */
const ANSWER_NOBODY = 8;
const STRICT = 1;

const gatewayAddress = { address: gatewayIpv6, length: 64, flags: AddressFlag.noDad, scope: Scope.link };

/** The host end forwards, makes no addresses up, and is the gateway. Nothing is asked of it by ARP. */
export function hostSteps({ addresses, strictSource }: AttachRequest, ifindex: number): Step[] {
  const ipv6 = addresses.some((address) => address.length === 16);
  const settings = {
    ipv4: [
      [Ipv4Setting.forwarding, 1],
      [Ipv4Setting.proxyArp, 0],
      [Ipv4Setting.arpIgnore, ANSWER_NOBODY],
      ...(strictSource ? ([[Ipv4Setting.rpFilter, STRICT]] as const) : []),
    ],
    ...(ipv6 && { ipv6Addresses: AddressGeneration.none }),
  } as const;
  const what = "set up the host end";
  return [
    { what, encode: (out) => encodeLinkSettings(out, ifindex, settings) },
    { what: "raise the host end", encode: (out) => encodeSetLink(out, { ifindex }, { up: true }) },
    ...(ipv6 ? [{ what, encode: (out: MessageWriter) => encodeNewAddress(out, { ...gatewayAddress, ifindex }) }] : []),
  ];
}

/**
 * It knows its pod, and the host the way there.
 *
 * With the pod's end up there is a carrier. The host end was raised before it, and drops what is sent until the kernel has
 * noticed the carrier, which it may take its time for; a look at the link (linux 6.8) makes it do so at once. A route
 * through a link without a carrier would be taken for dead where ignore_routes_with_linkdown is set.
 */
export function connectingSteps({ addresses, mac, routes }: AttachRequest, ifindex: number): Step[] {
  return [
    ...podNeighbourSteps(ifindex, addresses, mac),
    { what: "look at the host end", encode: (out) => encodeGetLink(out, { ifindex }) },
    ...routes.map((route) => ({
      what: ROUTE,
      encode: (out: MessageWriter) => encodeNewRoute(out, Flag.create | Flag.exclusive, { ...route, oif: ifindex }),
    })),
  ];
}

export function podNeighbourSteps(ifindex: number, addresses: readonly Uint8Array[], mac: Uint8Array): Step[] {
  return addresses.map((address) => ({
    what: "set the pod's neighbour entry",
    encode: (out) => encodeNewNeighbour(out, { ifindex, address, mac }),
  }));
}
