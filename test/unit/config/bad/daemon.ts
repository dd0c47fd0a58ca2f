// What the daemon itself is told, and everything at once.
import type { Bad } from "./case.ts";

export const badDaemon: readonly Bad[] = [
  // ===== the daemon =====
  {
    name: "a foreign protocol number",
    top: "routing: { protocol: 186 }\n",
    says: ["2:22 routing.protocol: 186 is the number of FRR bgpd"],
  },
  {
    name: "rules out of order",
    top: "routing: { rulePriority: { local: 2000 } }\n",
    says: ["2:26 routing.rulePriority: 2000, 1005, 1010, 1090 are not in the order local < hostRoutes < block < host"],
  },
  {
    name: "a pool announced in a table that is not there",
    top: "pools: { p: { blocks: [10.244.1.0/26], announceIn: [storage] } }\n",
    says: ['2:53 pools.p.announceIn[0]: there is no table "storage"'],
  },
  {
    name: "rules without room between them",
    top: "routing: { rulePriority: { host: 1012 } }\n",
    says: ["2:26 routing.rulePriority: between block (1010) and host (1012) there are not two numbers"],
  },
  {
    name: "rules behind main's",
    top: "routing: { rulePriority: { host: 32765 } }\ntables: { a: { id: 1, host: true }, b: { id: 2, host: true } }\n",
    says: ["2:26 routing.rulePriority: tables with host: true take priorities up to 32767, beyond main's 32766"],
  },
  {
    name: "API for everybody",
    top: "api: { listen: 0.0.0.0:7180 }\n",
    says: ['2:16 api.listen: "0.0.0.0:7180" is not a loopback address, and this listener asks for no password'],
  },
  {
    name: "API port only",
    top: "api: { listen: 7180 }\n",
    says: ["2:16 api.listen: 7180 is not an address and a port"],
  },
  {
    name: "a relative path",
    top: "paths: { state: lib }\n",
    says: ['2:17 paths.state: "lib" is not an absolute path'],
  },
  {
    name: "a long socket path",
    top: `paths: { run: /${"r".repeat(100)} }\n`,
    says: [`2:15 paths.run: the socket's path is longer than 107 bytes: /${"r".repeat(100)}/underlayd.sock`],
  },
  { name: "a small MTU", top: "cni: { mtu: 576 }\n", says: ["2:13 cni.mtu: 576 is outside of 1280 to 65535"] },
  {
    name: "a log level",
    top: "log: { level: warning }\n",
    says: ['2:15 log.level: "warning" is not one of debug, info, warn, error'],
    hints: ["did you mean warn?"],
  },
  {
    name: "listening on link-local",
    top: 'bgp: { listenAddresses: ["fe80::1"] }\n',
    says: ["2:26 bgp.listenAddresses[0]: a link-local address cannot be listened on by itself"],
  },

  // ===== all at once =====
  {
    name: "several faults of several kinds",
    top: "log: { level: loud }\npools:\n  a: { blocks: 10.0.0.0/24 }\n  b: { blocks: 10.0.0.0/25 }\n  c: { blocks: 10.1 }\npeers:\n  t: { address: x, asn: 1 }\n",
    says: [
      '2:15 log.level: "loud" is not one of debug, info, warn, error',
      "5:16 pools.b.blocks: 10.0.0.0/25 overlaps with 10.0.0.0/24 (pool a, line 4)",
      "6:16 pools.c.blocks: 10.1 is not a block",
      '8:17 peers.t.address: "x" is not an IP address',
    ],
  },
];
