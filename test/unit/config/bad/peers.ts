// Peers, with an address and without.
import { type Bad, peer, pool } from "./case.ts";

export const badPeers: readonly Bad[] = [
  // ===== peers =====
  {
    name: "AS as a word",
    top: "peers:\n  t:\n    address: 192.0.2.1\n    asn: abc\n",
    says: ['5:10 peers.t.asn: "abc" is not an AS number'],
  },
  {
    name: "address with a zone",
    top: 'peers:\n  t: { address: "fe80::1%eth1", asn: 1 }\n',
    says: ['3:17 peers.t.address: "fe80::1%eth1" is not an IP address'],
    hints: ["write fe80::1 here, and interface: eth1 beside it"],
  },
  {
    name: "address with a length",
    top: "peers:\n  t: { address: 192.0.2.1/24, asn: 1 }\n",
    says: ['3:17 peers.t.address: "192.0.2.1/24" is not an IP address'],
  },
  {
    name: "multicast address",
    top: "peers:\n  t: { address: 224.0.0.5, asn: 1 }\n",
    says: ['3:17 peers.t.address: "224.0.0.5" is not an address that a router can have'],
  },
  {
    name: "a host name",
    top: "peers:\n  t: { address: tor-a.example, asn: 1 }\n",
    says: ['3:17 peers.t.address: "tor-a.example" is not an IP address'],
  },
  {
    name: "link-local without interface",
    top: 'peers:\n  t: { address: "fe80::1", asn: 65101 }\n',
    says: ["3:17 peers.t.address: fe80::1 is a link-local address, which needs an interface"],
  },
  {
    name: "interface name too long",
    top: 'peers:\n  t: { address: "fe80::1", interface: a234567890123456, asn: 65101 }\n',
    says: ['3:39 peers.t.interface: "a234567890123456" is not an interface name'],
  },
  {
    name: "same address twice",
    top: "peers:\n  a: { address: 192.0.2.1, asn: 65101 }\n  b: { address: 192.0.2.1, asn: 65101 }\n",
    says: ["4:17 peers.b.address: 192.0.2.1 is the address of peer a too (line 3)"],
  },
  {
    name: "same link-local address on one interface",
    top: 'peers:\n  a: { address: "fe80::1", interface: e0, asn: 65101 }\n  b: { address: "fe80:0::1", interface: e0, asn: 65101 }\n',
    says: ["4:17 peers.b.address: fe80::1%e0 is the address of peer a too (line 3)"],
  },

  // ===== peers without an address =====
  {
    name: "neither address nor interface",
    top: "peers:\n  t: { asn: 65101 }\n",
    says: ["3:3 peers.t.address: is missing"],
    hints: ["interface: eth1 to find the neighbour there"],
  },
  {
    name: "what does not go together with a missing address",
    top: "peers:\n  t: { interface: e0, asn: 65101, multihop: 2, localAddress: 192.0.2.9, extendedNextHop: false }\n",
    says: [
      "3:45 peers.t.multihop: does not go together with a missing address: the neighbour is found on the interface, by its link-local address",
      "3:62 peers.t.localAddress: does not go together with a missing address: the neighbour is found on the interface, by its link-local address",
      "3:90 peers.t.extendedNextHop: IPv4 routes need it on a session without IPv4 addresses (RFC 8950)",
    ],
    hints: ["remove it, or add address", "own link-local address", "families: [ipv6]"],
  },
  {
    name: "two peers without an address on one interface",
    top: "peers:\n  a: { interface: e0, asn: 65101 }\n  b: { interface: e0, asn: 65101 }\n",
    says: ["4:19 peers.b.interface: e0 is the interface of peer a too (line 3)"],
    hints: ["one peer without an address"],
  },
  {
    name: "a link-local address beside a peer without an address",
    top: 'peers:\n  a: { interface: e0, asn: 65101 }\n  b: { interface: e0, address: "fe80::1", asn: 65101 }\n',
    says: ["3:19 peers.a.interface: peer b has a link-local address on e0 already (line 4)"],
  },
  {
    name: "router advertisements for a peer with an address",
    top: peer("    routerAdvertisements: true\n"),
    says: ["8:5 peers.tor-a.routerAdvertisements: is for peers without an address"],
  },
  {
    name: "address in a block",
    top: `${pool("192.0.2.0/24")}${peer("")}`,
    says: ["7:14 peers.tor-a.address: 192.0.2.1 is inside of block 192.0.2.0/24 (pool default, line 4)"],
  },
  {
    name: "hold time of 2 s",
    top: peer("    holdTime: 2s\n"),
    says: ["8:15 peers.tor-a.holdTime: a hold time of 2 s is not allowed (RFC 4271)"],
  },
  {
    name: "hold time nonsense",
    top: peer("    holdTime: soon\n"),
    says: ['8:15 peers.tor-a.holdTime: "soon" is not a duration'],
  },
  {
    name: "hold time with a fraction",
    top: peer("    holdTime: 3500ms\n"),
    says: ['8:15 peers.tor-a.holdTime: "3500ms" is not a whole number of seconds'],
  },
  {
    name: "hold time too large",
    top: peer("    holdTime: 1d\n"),
    says: ['8:15 peers.tor-a.holdTime: "1d" is outside of 0 to 65535 seconds'],
  },
  {
    name: "restart time too large",
    top: peer("    gracefulRestart: { time: 2h }\n"),
    says: ['8:30 peers.tor-a.gracefulRestart.time: "2h" is outside of 1 to 4095 seconds'],
  },
  {
    name: "long-lived stale time that is none",
    top: peer("    gracefulRestart: { longLived: long }\n"),
    says: ['8:35 peers.tor-a.gracefulRestart.longLived: "long" is not a duration'],
    hints: ["write 90s, 2m, 1h, or a number of seconds"],
  },
  {
    name: "long-lived stale time beyond its 24 bits",
    top: peer("    gracefulRestart: { longLived: 200d }\n"),
    says: ['8:35 peers.tor-a.gracefulRestart.longLived: "200d" is outside of 1 to 16777215 seconds'],
  },
  {
    name: "stale time of 0",
    top: peer("    gracefulRestart: { staleTime: 0 }\n"),
    says: ["8:35 peers.tor-a.gracefulRestart.staleTime: 0 is outside of 1 to 86400 seconds"],
  },
  {
    name: "partial deployment towards another AS",
    top: peer("    gracefulRestart: { longLived: 1d, partialDeployment: true }\n"),
    says: ["8:58 peers.tor-a.gracefulRestart.partialDeployment: is for neighbours in our own AS (RFC 9494 §4.6)"],
    hints: ["remove it, or set asn: internal"],
  },
  {
    name: "restart neither nor",
    top: peer("    gracefulRestart: yes\n"),
    says: ['8:22 peers.tor-a.gracefulRestart: "yes" is neither false nor a map'],
  },
  {
    name: "GTSM and multihop that do not agree",
    top: peer("    ttlSecurity: 2\n    multihop: 3\n"),
    says: ["8:18 peers.tor-a.ttlSecurity: 2 hops here, and 3 in multihop"],
    hints: ["write ttlSecurity: true beside multihop"],
  },
  {
    name: "GTSM over more hops than a TTL has",
    top: peer("    ttlSecurity: 255\n"),
    says: ["8:18 peers.tor-a.ttlSecurity: 255 is neither true, false nor a number of hops"],
  },
  {
    name: "a word for a truth",
    top: peer("    passive: yes\n"),
    says: ['8:14 peers.tor-a.passive: "yes" is neither true nor false'],
  },
  {
    name: "passive without listener",
    top: `bgp: { listenPort: false }\n${peer("    passive: true\n")}`,
    says: ["9:14 peers.tor-a.passive: a passive peer needs a listener"],
  },
  {
    name: "families",
    top: peer("    families: [ipv4, ipv5]\n"),
    says: ['8:22 peers.tor-a.families[1]: "ipv5" is not one of ipv4, ipv6'],
    hints: ["did you mean ipv4?"],
  },
  { name: "no family", top: peer("    families: []\n"), says: ["8:15 peers.tor-a.families: the list is empty"] },
  {
    name: "a family twice",
    top: peer("    families: [ipv4, ipv4]\n"),
    says: ["8:15 peers.tor-a.families: names a family twice"],
  },
  {
    name: "local address of the other family",
    top: peer('    localAddress: "2001:db8::1"\n'),
    says: ["8:19 peers.tor-a.localAddress: 2001:db8::1 is not of the same family as the peer's address"],
  },
  {
    name: "undefined policy",
    top: "peers:\n  t: { address: 192.0.2.1, asn: 1, import: fabrik-in, export: blocks }\npolicies:\n  fabric-in: [{ then: accept }]\n",
    says: ['3:44 peers.t.import: there is no policy "fabrik-in"'],
    hints: ["did you mean fabric-in?"],
  },
  {
    name: "blocks as import",
    top: "peers:\n  t: { address: 192.0.2.1, asn: 1, import: blocks, export: blocks }\n",
    says: ['3:44 peers.t.import: "blocks" is for export'],
  },
  {
    name: "a peer called local",
    top: "peers:\n  local: { address: 192.0.2.1, asn: 65101 }\n",
    says: ["3:3 peers.local: this name is taken"],
  },
  {
    name: "a secret in the file",
    top: peer("    password: secret\n"),
    says: ['8:15 peers.tor-a.password: "secret" is not a map'],
  },
  { name: "a port", top: peer("    port: 70000\n"), says: ["8:11 peers.tor-a.port: 70000 is outside of 1 to 65535"] },
];
