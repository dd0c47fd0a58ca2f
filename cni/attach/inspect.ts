// CHECK of a pod's cable, in words: both ends, addresses, routes in whichever table, neighbour entries. What later plugins of
// a chain change is theirs: another MAC, another MTU, routes moved to another table.
import { formatAddress, sameBytes } from "../../net/address.ts";
import { formatPrefix } from "../../net/prefix.ts";
import { decodeAddress, encodeAddressDump } from "../../routing/netlink/address.ts";
import { AF_INET, AF_INET6, LinkFlag, MessageType, RouteAttribute } from "../../routing/netlink/constants.ts";
import { NetlinkError } from "../../routing/netlink/error.ts";
import type { Link } from "../../routing/netlink/link.ts";
import { decodeNeighbour, encodeGetNeighbour } from "../../routing/netlink/neighbour.ts";
import { decodeRoute, encodeRouteDump } from "../../routing/netlink/route.ts";
import type { NetlinkSocket } from "../../routing/netlink/socket.ts";
import { isOwnNamespace } from "../namespace.ts";
import { decodeAlias, isAliasOf } from "./alias.ts";
import { formatMac, gatewayIpv4, HOST_MAC } from "./gateway.ts";
import type { InspectRequest } from "./messages.ts";
import { inNamespace } from "./pod-namespace.ts";
import { getLink, otherEnd } from "./wiring.ts";

/** What is missing of an attachment; empty when it is whole. Throws 8 when its namespace is not there. */
export function inspect(host: NetlinkSocket, request: InspectRequest): string[] {
  const problems: string[] = [];
  const end = getLink(host, { name: request.hostInterface });
  const owner = decodeAlias(request.alias);
  const ours = end && owner && isAliasOf(end.alias, owner) ? end : null;
  if (!ours) problems.push(`host interface ${request.hostInterface} is missing`);
  const pod = inNamespace(request.netns, request.netnsId, (_fd, socket) => inspectPod(socket, request, problems));
  if (ours && pod && otherEnd(pod) !== ours.ifindex)
    problems.push(`interface ${request.ifname} of the pod is not the other end of ${request.hostInterface}`);
  if (ours) inspectHost(host, request, ours, pod, problems);
  return problems;
}

function inspectHost(
  host: NetlinkSocket,
  { hostInterface, addresses, netnsId }: InspectRequest,
  end: Link,
  pod: Link | null,
  problems: string[],
): void {
  if ((end.flags & LinkFlag.up) === 0) problems.push(`host interface ${hostInterface} is down`);
  for (const address of addresses) {
    const text = formatAddress(address);
    // In the host's own namespace the address is the host's.
    if (!isOwnNamespace(netnsId) && routeTo(host, address) !== end.ifindex)
      problems.push(`the host's route to ${text} does not lead to ${hostInterface}`);
    const mac = macOf(host, end.ifindex, address);
    if (pod && !(mac && sameBytes(mac, pod.mac)))
      problems.push(
        `the host's neighbour entry for ${text} on ${hostInterface} is ${mac ? `${formatMac(mac)} instead of ${formatMac(pod.mac)}` : "missing"}`,
      );
  }
}

function inspectPod(pod: NetlinkSocket, request: InspectRequest, problems: string[]): Link | null {
  const { ifname, mac, addresses, destinations } = request;
  const link = getLink(pod, { name: ifname });
  if (!link) {
    problems.push(`interface ${ifname} is missing in the pod`);
    return null;
  }
  if ((link.flags & LinkFlag.up) === 0) problems.push(`interface ${ifname} is down`);
  if (mac && !sameBytes(mac, link.mac))
    problems.push(`interface ${ifname} has MAC ${formatMac(link.mac)} instead of ${formatMac(mac)}`);
  const present = new Set(
    pod
      .dump((out) => encodeAddressDump(out, 0, link.ifindex), decodeAddress)
      .filter((entry) => entry.ifindex === link.ifindex)
      .map((entry) => formatAddress(entry.local)),
  );
  for (const address of addresses)
    if (!present.has(formatAddress(address)))
      problems.push(`address ${formatAddress(address)} is missing on ${ifname}`);
  for (const family of [4, 6] as const) {
    const wanted = destinations.filter((destination) => destination.family === family);
    if (wanted.length === 0) continue;
    // In any table: a later plugin of the chain may have moved it.
    const routes = pod
      .dump((out) => encodeRouteDump(out, family), decodeRoute)
      .filter((route) => route.hops.some((hop) => hop.ifindex === link.ifindex));
    for (const { bytes, length } of wanted)
      if (!routes.some((route) => route.length === length && sameBytes(route.destination, bytes)))
        problems.push(
          length === 0
            ? `the IPv${family} default route through ${ifname} is missing`
            : `the route to ${formatPrefix({ family, bytes, length })} through ${ifname} is missing`,
        );
    // For fe80::1 the host end answers; nobody answers for the IPv4 gateway.
    const gateway = family === 4 ? macOf(pod, link.ifindex, gatewayIpv4) : null;
    if (family === 4 && !(gateway && sameBytes(gateway, HOST_MAC)))
      problems.push(`the pod's neighbour entry for its gateway is ${gateway ? formatMac(gateway) : "missing"}`);
  }
  return link;
}

function macOf(socket: NetlinkSocket, ifindex: number, address: Uint8Array): Uint8Array | null {
  try {
    const entry = socket.get((out) => encodeGetNeighbour(out, ifindex, address), decodeNeighbour);
    return entry && entry.mac.length > 0 ? entry.mac : null;
  } catch (error) {
    if (error instanceof NetlinkError) return null;
    throw error;
  }
}

function routeTo(host: NetlinkSocket, address: Uint8Array): number | null {
  try {
    const route = host.get((out) => {
      out.begin(MessageType.getRoute, 0);
      out.u8(address.length === 4 ? AF_INET : AF_INET6);
      out.u8(address.length * 8);
      out.zeros(10);
      out.attributeBytes(RouteAttribute.destination, address);
      out.end();
    }, decodeRoute);
    return route?.hops[0]?.ifindex ?? null;
  } catch (error) {
    if (error instanceof NetlinkError) return null;
    throw error;
  }
}
