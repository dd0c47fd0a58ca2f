// The host ends that the kernel has, and what it knows of the pods behind them. Runs in the attach worker.
import { formatAddress } from "../../net/address.ts";
import { NeighbourState, RouteType, RT_TABLE_LOCAL } from "../../routing/netlink/constants.ts";
import { decodeLink, encodeLinkDump, type Link } from "../../routing/netlink/link.ts";
import { decodeNeighbour, encodeNeighbourDump } from "../../routing/netlink/neighbour.ts";
import { decodeRoute, encodeRouteDump } from "../../routing/netlink/route.ts";
import type { NetlinkSocket } from "../../routing/netlink/socket.ts";
import { decodeAlias, isOurAlias } from "./alias.ts";
import { formatMac, HOST_MAC } from "./gateway.ts";
import type { HostLink } from "./messages.ts";

const HOST_NAME = /^ul[0-9a-f]{13}$/;

/** By its alias, or by its name and MAC: an attachment cut short, or one whose alias somebody has changed. */
export function isHostEnd({ kind, alias, name, mac }: Link): boolean {
  if (kind !== "veth") return false;
  return isOurAlias(alias) || (HOST_NAME.test(name) && formatMac(mac) === formatMac(HOST_MAC));
}

/** `groups`: interface groups in use. */
export function listHostLinks(host: NetlinkSocket): { links: HostLink[]; groups: Set<number> } {
  const all = host.dump(encodeLinkDump, decodeLink);
  const links = all.filter(isHostEnd).map(({ ifindex, name, alias, peerIndex, peerNamespace }) => {
    const unnamed = decodeAlias(alias) === null;
    return {
      ifindex,
      name,
      alias,
      // Left out when it is the same number.
      peerIndex: peerIndex || ifindex,
      peerNamespace,
      routes: unnamed ? routesTo(host, ifindex) : [],
      neighbours: unnamed ? neighboursOn(host, ifindex) : [],
    };
  });
  return { links, groups: new Set(all.map(({ group }) => group)) };
}

function routesTo(host: NetlinkSocket, ifindex: number): string[] {
  return ([4, 6] as const)
    .flatMap((family) =>
      host.dump((out) => encodeRouteDump(out, family, 0, 0, RouteType.unicast, ifindex), decodeRoute),
    )
    .filter(
      ({ table, destination, length, hops }) =>
        table !== RT_TABLE_LOCAL && length === destination.length * 8 && hops[0]?.ifindex === ifindex,
    )
    .map(({ destination }) => formatAddress(destination));
}

function neighboursOn(host: NetlinkSocket, ifindex: number): HostLink["neighbours"] {
  return host
    .dump((out) => encodeNeighbourDump(out), decodeNeighbour)
    .filter((entry) => entry.ifindex === ifindex && entry.state & NeighbourState.permanent)
    .map((entry) => ({ address: formatAddress(entry.address), mac: formatMac(entry.mac) }));
}
