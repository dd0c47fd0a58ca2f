// What checks look up in the kernel's tables, found at once however many pods there are. Made on first use.
import { formatAddress } from "../net/address.ts";
import type { KernelState } from "../routing/kernel-state.ts";
import type { Link } from "../routing/netlink/link.ts";
import type { Neighbour } from "../routing/netlink/neighbour.ts";
import type { Route } from "../routing/netlink/route.ts";

export interface KernelIndex {
  readonly linkNamed: ReadonlyMap<string, Link>;
  readonly linkAt: ReadonlyMap<number, Link>;
  /** Host routes of the local table by address: of several the one with the lowest metric. */
  readonly localRoute: ReadonlyMap<string, Route>;
  /** By neighbourKey(). */
  readonly neighbour: ReadonlyMap<string, Neighbour>;
}

const made = new WeakMap<KernelState, KernelIndex>();

export function indexOf(state: KernelState): KernelIndex {
  let index = made.get(state);
  if (!index) {
    index = make(state);
    made.set(state, index);
  }
  return index;
}

export function neighbourKey(ifindex: number, address: string): string {
  return `${ifindex} ${address}`;
}

function make({ links, local, neighbours }: KernelState): KernelIndex {
  const localRoute = new Map<string, Route>();
  for (const route of local) {
    if (route.length !== route.destination.length * 8) continue;
    const address = formatAddress(route.destination);
    const other = localRoute.get(address);
    if (!other || route.priority < other.priority) localRoute.set(address, route);
  }
  return {
    linkNamed: new Map(links.map((link) => [link.name, link])),
    linkAt: new Map(links.map((link) => [link.ifindex, link])),
    localRoute,
    neighbour: new Map(neighbours.map((one) => [neighbourKey(one.ifindex, formatAddress(one.address)), one])),
  };
}
