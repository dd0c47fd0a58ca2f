// The pod's end of a cable: up; then addresses as host prefixes, the gateway's permanent neighbour entry, routes. What comes
// when the addresses are on disk is one system call; what the pod's namespace makes special is done again in another way.
import { formatAddress } from "../../net/address.ts";
import type { Prefix } from "../../net/prefix.ts";
import { encodeNewAddress } from "../../routing/netlink/address.ts";
import { AddressFlag, Flag, NextHopFlag, RouteType, RT_TABLE_LOCAL, Scope } from "../../routing/netlink/constants.ts";
import { encodeSetLink } from "../../routing/netlink/link.ts";
import { encodeNewNeighbour } from "../../routing/netlink/neighbour.ts";
import { encodeNewRoute, type RouteSpec } from "../../routing/netlink/route.ts";
import type { NetlinkSocket } from "../../routing/netlink/socket.ts";
import { type Encoded, type FailedStep, type Step, sendAll, sendEncoded, sendOrThrow } from "./batch.ts";
import { gatewayIpv4, gatewayIpv6, HOST_MAC } from "./gateway.ts";
import type { AttachRequest } from "./messages.ts";

const RTPROT_BOOT = 3;
const TABLE_MAIN = 254;
/** Far longer than the kernel takes for its own. */
const DELIVERY_SECONDS = 10;
export const LOOPBACK_INDEX = 1;

/**
 * `end`: podSteps(). `enableIpv6` is called where the namespace, or the interface in it, has IPv6 switched off. Throws
 * NetlinkError.
 */
export function wirePodEnd(pod: NetlinkSocket, end: Encoded, enableIpv6: () => void): void {
  let failed = sendEncoded(pod, end);
  if (failed.some(isIpv6Off)) {
    enableIpv6();
    failed = sendAll(
      pod,
      failed.map(({ step }) => step),
    );
  }
  const again = failed.map(({ step, error }) => {
    if (error.code !== "EEXIST" || !step.otherwise) throw error;
    return step.otherwise;
  });
  sendOrThrow(pod, again);
}

function isIpv6Off({ step, error }: FailedStep): boolean {
  return error.code === "EACCES" && "ipv6Address" in step;
}

/** Up, and nothing that could be used. */
export function raiseSteps(ifindex: number): Step[] {
  const raise = (index: number): Step => ({
    what: "raise the pod's interfaces",
    encode: (out) => encodeSetLink(out, { ifindex: index }, { up: true }),
  });
  return [raise(LOOPBACK_INDEX), raise(ifindex)];
}

export function podSteps(
  ifindex: number,
  { addresses, destinations }: Pick<AttachRequest, "addresses" | "destinations">,
): Step[] {
  return [
    ...addresses.map((address) => addressStep(ifindex, address)),
    ...addresses.filter(({ length }) => length === 16).map((address) => deliveryStep(ifindex, address)),
    ...gatewaySteps(ifindex, addresses),
    ...routeSteps(ifindex, destinations),
  ];
}

/** The way to the gateway needs no question. */
export function gatewaySteps(ifindex: number, addresses: readonly Uint8Array[]): Step[] {
  return addresses.map(({ length }) => ({
    what: "set the gateway's neighbour entry",
    encode: (out) =>
      encodeNewNeighbour(out, { ifindex, address: length === 4 ? gatewayIpv4 : gatewayIpv6, mac: HOST_MAC }),
  }));
}

/** Usable at once: an address of ours has no duplicate, so nothing waits for detection. */
function addressStep(ifindex: number, address: Uint8Array): Step & { ipv6Address?: true } {
  const ipv6 = address.length === 16;
  return {
    what: `add ${formatAddress(address)} to the pod`,
    encode: (out) =>
      encodeNewAddress(out, { ifindex, address, length: address.length * 8, flags: ipv6 ? AddressFlag.noDad : 0 }),
    ...(ipv6 && { ipv6Address: true }),
  };
}

/**
 * The kernel accepts packets to an IPv6 address by a route in table local, which it makes later, in a thread of its own that
 * waits for RTNL: milliseconds on a busy host, in which the first packets are lost. One like it serves until then.
 */
function deliveryStep(ifindex: number, address: Uint8Array): Step {
  const route: RouteSpec = {
    family: 6,
    table: RT_TABLE_LOCAL,
    type: RouteType.local,
    destination: address,
    length: 128,
    protocol: RTPROT_BOOT,
    priority: 1,
    oif: ifindex,
    expires: DELIVERY_SECONDS,
  };
  return {
    what: `have the pod take packets to ${formatAddress(address)}`,
    encode: (out) => encodeNewRoute(out, Flag.create | Flag.replace, route),
  };
}

/** The way to the gateway, then everything through it, per family. */
function routeSteps(ifindex: number, destinations: readonly Prefix[]): Step[] {
  const common = { table: TABLE_MAIN, protocol: RTPROT_BOOT, oif: ifindex };
  const toGateway = { ...common, family: 4, destination: gatewayIpv4, length: 32, scope: Scope.link } as const;
  return [
    ...(destinations.some(({ family }) => family === 4) ? [routeStep(toGateway)] : []),
    ...destinations.map(({ family, bytes, length }) =>
      routeStep({
        ...common,
        family,
        destination: length === 0 ? null : bytes,
        length,
        gateway: family === 4 ? gatewayIpv4 : gatewayIpv6,
        flags: NextHopFlag.onlink,
      }),
    ),
  ];
}

/** A route of the same destination through an earlier interface stays preferred: ours gets a higher metric. */
function routeStep(route: RouteSpec): Step {
  const what = "add the pod's route";
  const add = (spec: RouteSpec): Step => ({
    what,
    encode: (out) => encodeNewRoute(out, Flag.create | Flag.exclusive, spec),
  });
  return { ...add(route), otherwise: add({ ...route, priority: 1024 + route.oif! }) };
}
