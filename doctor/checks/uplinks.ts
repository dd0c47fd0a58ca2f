// Interfaces that neighbours are on, and whether the neighbours answer there.
import { formatAddress, isLinkLocal, sameBytes } from "../../net/address.ts";
import { contains, hostPrefix, maskBytes } from "../../net/prefix.ts";
import { AddressFlag, LinkFlag, NeighbourState } from "../../routing/netlink/constants.ts";
import { carriesTraffic, type Link } from "../../routing/netlink/link.ts";
import { indexOf } from "../kernel-index.ts";
import { type Check, check, type Facts } from "../types.ts";

type Peer = Facts["config"]["peers"][number];

/** Interface of a peer: as configured, or by the connected network of its address; null: neither. */
function uplinkOf({ kernel }: Pick<Facts, "kernel">, peer: Peer): Link | null {
  const { links, addresses } = kernel.state;
  if (peer.interface !== null) return links.find(({ name }) => name === peer.interface) ?? null;
  const { address } = peer;
  if (!address) return null;
  const connected = addresses
    .filter(({ peer: network, length }) => {
      const family = network.length === 4 ? 4 : 6;
      return contains({ family, bytes: maskBytes(network, length), length }, hostPrefix(address));
    })
    .sort((a, b) => b.length - a.length);
  return links.find(({ ifindex }) => ifindex === connected[0]?.ifindex) ?? null;
}

const isDirect = (peer: Peer) => (peer.multihop ?? 1) === 1 && peer.remoteAsn !== "internal";

function uplinks(facts: Pick<Facts, "kernel" | "config">): Map<Link, string[]> {
  const found = new Map<Link, string[]>();
  for (const peer of facts.config.peers) {
    const link = uplinkOf(facts, peer);
    if (link && (link.flags & LinkFlag.loopback) === 0) found.set(link, [...(found.get(link) ?? []), peer.name]);
  }
  return found;
}

export const uplinkChecks: readonly Check[] = [
  check({
    id: "uplink-missing",
    severity: "fault",
    title: "The interface that a peer is configured on does not exist.",
    cure: "compare `interface` of the peer with ip link; was the interface renamed, or is its driver not loaded?",
    needs: ["config", "kernel"],
    *run({ config, kernel }) {
      for (const peer of config.peers)
        if (peer.interface !== null && !kernel.state.links.some(({ name }) => name === peer.interface))
          yield { subject: peer.interface, text: `does not exist; peer ${peer.name} is configured on it` };
    },
  }),
  check({
    id: "uplink-down",
    severity: "fault",
    title: "The interface of a peer is down, or has no carrier.",
    cure: "ip link set INTERFACE up; without carrier look at the cable, the transceiver and the switch port",
    needs: ["config", "kernel"],
    settles: true,
    *run(facts) {
      for (const [{ name, flags }, peers] of uplinks(facts))
        if (!carriesTraffic(flags))
          yield {
            subject: name,
            text: `${flags & LinkFlag.up ? "has no carrier" : "is down"}; ${peers.join(", ")} cannot be reached through it`,
          };
    },
  }),
  check({
    id: "uplink-without-address",
    severity: "fault",
    title: "No interface of this node has an address in the network of a directly connected peer.",
    cure: "give the uplink its address, or set multihop when the neighbour is further away",
    needs: ["config", "kernel"],
    settles: true,
    *run(facts) {
      for (const peer of facts.config.peers)
        if (peer.address && peer.interface === null && isDirect(peer) && !uplinkOf(facts, peer))
          yield {
            subject: peer.name,
            text: `no interface has an address in the network of ${formatAddress(peer.address)}`,
          };
    },
  }),
  check({
    id: "uplink-address-duplicate",
    severity: "fault",
    title:
      "Somebody else on the link has the IPv6 address of an uplink (duplicate address detection): the kernel does not use it.",
    cure: "find the other one by its MAC (ndisc6, the switch's table), then give the address anew",
    needs: ["config", "kernel"],
    *run(facts) {
      for (const [{ ifindex, name }] of uplinks(facts))
        for (const { local, flags } of facts.kernel.state.addresses.filter((entry) => entry.ifindex === ifindex))
          if (flags & AddressFlag.dadFailed)
            yield { subject: name, text: `${formatAddress(local)} is a duplicate on the link and is not used` };
    },
  }),
  check({
    id: "uplink-mtu",
    severity: "fault",
    title: "Pods have a larger MTU than an uplink: their large packets are dropped, or fragmented.",
    cure: "raise the uplink's MTU, or set cni.mtu and recreate the pods",
    needs: ["config", "kernel", "pods"],
    *run(facts) {
      const largest = Math.max(0, ...facts.pods.map(({ end }) => end?.link?.mtu ?? 0));
      for (const [{ name, mtu }] of uplinks(facts))
        if (mtu < largest) yield { subject: name, text: `has MTU ${mtu}, and pods have up to ${largest}` };
    },
  }),
  check({
    id: "neighbour-unresolved",
    severity: "fault",
    title:
      "A neighbour, or a next hop in use, does not answer ARP or neighbour solicitations: packets to it are dropped.",
    cure: "is the other end up, in the same VLAN and network? ip neigh, and arping or ndisc6 from here",
    needs: ["config", "kernel"],
    *run({ config, kernel }) {
      const { neighbours, nextHops } = kernel.state;
      const inUse = [
        ...config.peers.flatMap(({ address }) => address ?? []),
        ...nextHops.flatMap(({ gateway, protocol }) =>
          gateway && protocol === config.routing.protocol ? gateway : [],
        ),
      ];
      for (const { address, state, ifindex } of neighbours) {
        if ((state & NeighbourState.failed) === 0 || !inUse.some((other) => sameBytes(other, address))) continue;
        // Every port may have a neighbour of the same link-local address.
        if (isLinkLocal(address) && !nextHops.some((hop) => hop.ifindex === ifindex)) continue;
        const device = indexOf(kernel.state).linkAt.get(ifindex)?.name ?? `interface ${ifindex}`;
        yield { subject: formatAddress(address), text: `does not answer on ${device}` };
      }
    },
  }),
];
