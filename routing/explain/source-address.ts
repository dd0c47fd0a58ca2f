// The source that the kernel gives an IPv4 packet whose sender has chosen none (inet_select_addr, fib_result_prefsrc), and
// whether an address is the host's own (ip_dev_find). For IPv6 the choice is RFC 6724's, which is not followed here.
import { sameBytes } from "../../net/address.ts";
import type { InterfaceAddress } from "../netlink/address.ts";
import { RouteType, RT_TABLE_LOCAL, Scope } from "../netlink/constants.ts";
import type { Route } from "../netlink/route.ts";
import { inPrefix } from "./address-match.ts";
import { lookupIpv4 } from "./table-ipv4.ts";
import type { Flow, Hop, Snapshot } from "./types.ts";

/** IFA_F_SECONDARY. */
const SECONDARY = 1;

/** The address that the kernel would send from by this route and hop; null when the host has none of that scope. */
export function sourceOf(snapshot: Snapshot, route: Route, hop: Hop): Uint8Array | null {
  if (route.preferredSource) return route.preferredSource;
  return selectAddress(snapshot, hop.ifindex, hop.gateway?.length === 4 ? hop.gateway : null, route.scope);
}

/** An address of the interface, one in the gateway's network before others; failing that one of another interface. */
export function selectAddress(
  { addresses }: Snapshot,
  ifindex: number,
  near: Uint8Array | null,
  scope: number,
): Uint8Array | null {
  const primary = addresses.filter(({ local, flags }) => local.length === 4 && !(flags & SECONDARY));
  const here = primary.filter((own) => own.ifindex === ifindex && Math.min(own.scope, Scope.host) <= scope);
  const chosen = here.find((own) => near === null || inPrefix(near, own.peer, own.length)) ?? here[0];
  if (chosen) return chosen.local;
  return primary.find((own) => own.scope !== Scope.link && own.scope <= scope)?.local ?? null;
}

/** Index of the interface whose address this is, by address or by a local route; 0: it is not the host's own. */
export function ownerOf(snapshot: Snapshot, address: Uint8Array): number {
  const own = snapshot.addresses.find(({ local }) => sameBytes(local, address));
  if (own) return own.ifindex;
  const routes = snapshot.tables.get(RT_TABLE_LOCAL) ?? [];
  if (address.length === 16) {
    const local = routes.find(
      (route) => route.type === RouteType.local && inPrefix(address, route.destination, route.length),
    );
    return local?.hops[0]?.ifindex ?? 0;
  }
  const result = lookupIpv4(routes, snapshot.nextHops, towards(address));
  return result.kind === "found" && result.route.type === RouteType.local ? result.first.ifindex : 0;
}

export function hasIpv4Address({ addresses }: Snapshot, ifindex: number): boolean {
  return addresses.some((own: InterfaceAddress) => own.local.length === 4 && own.ifindex === ifindex);
}

function towards(destination: Uint8Array): Flow {
  return {
    family: 4,
    source: null,
    destination,
    iif: 0,
    oif: 0,
    mark: 0,
    tos: 0,
    uid: 0,
    ipProtocol: 0,
    sourcePort: 0,
    destinationPort: 0,
  };
}
