// What a pod sends that it has no business to: frames made by hand. In: the pod that attacks, and its victim. Out:
// frames for the pod's interface. Addresses are those of the isolation tests' small network.
import {
  arp,
  arpFrame,
  frame,
  GATEWAY_MAC,
  icmp4,
  icmp6,
  ip,
  neighbourAdvertisement,
  neighbourSolicitation,
  Protocol,
  packet,
  routerAdvertisement,
  udp,
} from "./frames.ts";

export const PORT = 5000;
export const FAR4 = "10.1.0.2";
export const FAR6 = "2001:db8:1::2";
export const NODE4 = "10.1.0.1";
export const BOGUS_MAC = "02:00:00:00:00:66";

export interface Pod {
  readonly v4: string;
  readonly v6: string;
  readonly mac: string;
}

/** Packets from addresses that are not pod a's, to the far host; the text says whose. */
export function spoofed({ mac }: Pod, sibling: Pod): { text: string; bytes: Buffer }[] {
  const sources4 = {
    sibling: sibling.v4,
    free: "10.244.1.60",
    node: NODE4,
    foreign: "198.51.100.66",
    gateway: "169.254.1.1",
  };
  const sources6 = {
    sibling: sibling.v6,
    free: "2001:db8:244:1::3f",
    node: "2001:db8:1::1",
    foreign: "2001:db8:66::1",
  };
  const packetOf = (text: string, payload: number[]) => ({ text, bytes: frame(payload, { from: mac }) });
  return [
    ...Object.entries(sources4).map(([whose, source]) => packetOf(`${whose} 4`, udp(source, FAR4, PORT, `${whose} 4`))),
    ...Object.entries(sources6).map(([whose, source]) => packetOf(`${whose} 6`, udp(source, FAR6, PORT, `${whose} 6`))),
  ];
}

/** A datagram in two fragments, from an address that is not pod a's. */
export function spoofedFragments({ mac }: Pod, sibling: Pod, identification: number): Buffer[] {
  const text = `fragments ${"x".repeat(30)}`;
  const whole4 = udp(sibling.v4, FAR4, PORT, text).slice(20);
  const whole6 = udp(sibling.v6, FAR6, PORT, text).slice(40);
  const header6 = (offset: number, more: boolean) => ({
    type: Protocol.fragment,
    bytes: [0, 0, offset >> 8, (offset & 0xf8) | (more ? 1 : 0), 0, 0, 0, identification & 255],
  });
  return [
    packet(sibling.v4, FAR4, Protocol.udp, whole4.slice(0, 16), { fragment: 0x2000 }),
    packet(sibling.v4, FAR4, Protocol.udp, whole4.slice(16), { fragment: 2 }),
    packet(sibling.v6, FAR6, Protocol.udp, whole6.slice(0, 16), { extensions: [header6(0, true)] }),
    packet(sibling.v6, FAR6, Protocol.udp, whole6.slice(16), { extensions: [header6(16, false)] }),
  ].map((bytes) => frame(bytes, { from: mac }));
}

const linkLocal = (n: number) => `fe80::6:${(n + 1).toString(16)}`;
const madeUp = (n: number) => `10.9.${n >> 8}.${n & 255}`;

/** Questions and packets that would have the node keep an entry for each address that pod a makes up. */
export const floods = {
  "ARP requests for the node's address": (n: number) =>
    arpFrame(arp("request", [madeUp(n), BOGUS_MAC], [NODE4, "00:00:00:00:00:00"]), BOGUS_MAC),
  "ARP requests for another host's address": (n: number) =>
    arpFrame(arp("request", [madeUp(n), BOGUS_MAC], [FAR4, "00:00:00:00:00:00"]), BOGUS_MAC),
  "neighbour solicitations": (n: number) =>
    frame(neighbourSolicitation(linkLocal(n), "fe80::1", BOGUS_MAC), { from: BOGUS_MAC }),
  "echo requests from link-local addresses": (n: number) =>
    frame(icmp6(linkLocal(n), "fe80::1", 128, [0, 1, 0, 1]), { from: BOGUS_MAC }),
  "router solicitations": (n: number) =>
    frame(icmp6(linkLocal(n), "ff02::2", 133, [0, 0, 0, 0, 1, 1, 2, 0, 0, 0, 0, 0x66]), {
      from: BOGUS_MAC,
      to: "33:33:00:00:00:02",
    }),
};

/** Packets that have the node route them by what they say themselves. */
export function sourceRouted({ mac, v4, v6 }: Pod): Buffer[] {
  // LSRR by way of the node to the far host; a routing header of type 0 is refused by every kernel, one of type 4 is SRv6.
  const lsrr = [131, 7, 4, ...ip(FAR4), 0];
  const routing = { type: Protocol.routing, bytes: [0, 2, 253, 0, 0, 0, 0, 0, ...ip(FAR6)] };
  return [
    frame(packet(v4, NODE4, Protocol.udp, udp(v4, FAR4, PORT, "source route 4").slice(20), { options: lsrr }), {
      from: mac,
    }),
    frame(udp(v6, FAR6, PORT, "source route 6", { extensions: [routing] }), { from: mac }),
  ];
}

/** Answers for addresses that another has. */
export function impersonations({ mac, v4, v6 }: Pod, victim: Pod): Buffer[] {
  return [
    arpFrame(arp("reply", [victim.v4, mac], [NODE4, GATEWAY_MAC]), mac, GATEWAY_MAC),
    arpFrame(arp("request", [victim.v4, mac], [victim.v4, "00:00:00:00:00:00"]), mac),
    arpFrame(arp("reply", [v4, BOGUS_MAC], [NODE4, GATEWAY_MAC]), mac, GATEWAY_MAC),
    arpFrame(arp("reply", [FAR4, mac], [NODE4, GATEWAY_MAC]), mac, GATEWAY_MAC),
    frame(neighbourAdvertisement(v6, victim.v6, mac, "fe80::1"), { from: mac }),
    frame(neighbourAdvertisement(victim.v6, victim.v6, mac, "fe80::1"), { from: mac }),
    frame(neighbourAdvertisement(v6, v6, BOGUS_MAC, "fe80::1"), { from: mac }),
    frame(neighbourAdvertisement("fe80::66", "fe80::1", mac), { from: mac, to: "33:33:00:00:00:01" }),
  ];
}

/** A router that is none, and redirects to it, in both families. */
export function advertisements({ mac, v4, v6 }: Pod): Buffer[] {
  const to = "33:33:00:00:00:01";
  const inner4 = udp(NODE4, FAR4, PORT, "x").slice(0, 28);
  const target = "fe80::66";
  return [
    frame(routerAdvertisement("fe80::66", mac), { from: mac, to }),
    frame(icmp4(v4, NODE4, 5, 1, [...ip(v4), ...inner4]), { from: mac }),
    frame(icmp6(target, "fe80::1", 137, [0, 0, 0, 0, ...ip(target), ...ip(v6)]), { from: mac }),
  ];
}

/** Packets for everybody on the link. */
export const broadcasts = ({ mac, v4, v6 }: Pod) => [
  frame(udp(v4, "255.255.255.255", PORT, "broadcast"), { from: mac, to: "ff:ff:ff:ff:ff:ff" }),
  frame(udp(v4, "224.0.0.1", PORT, "multicast 4"), { from: mac, to: "01:00:5e:00:00:01" }),
  frame(udp(v6, "ff02::1", PORT, "multicast 6"), { from: mac, to: "33:33:00:00:00:01" }),
];
