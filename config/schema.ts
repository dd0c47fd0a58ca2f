// The configuration file's shape, with what every key means: read by the loader, by the JSON Schema and by the
// documentation alike. What takes more than one key to judge is in validate.ts.
//
// Words for a default that is not a constant stand in `$comment` ("default: ...").
import * as z from "zod";
import { milliseconds, seconds } from "./durations.ts";
import { boolean, integer, list, one, word } from "./scalar.ts";
import * as s from "./scalars.ts";
import { otherwise } from "./schema/common.ts";
import { monitoring } from "./schema/monitoring.ts";
import { peer, peerAsWritten, peerGroup } from "./schema/peer.ts";
import { sets, type statement, statements } from "./schema/policy.ts";
import { etcd, pool } from "./schema/pool.ts";
import { sizeOrFalse } from "./sizes.ts";

export const node = z
  .strictObject({
    name: one(s.nodeName, "Name in logs and status.").optional().meta(otherwise("the host's name")),
    asn: one(s.asn, "The node's own AS number, for all its sessions."),
    rack: one(
      s.name,
      "The rack, or whatever nodes share a ToR. Blocks of a shared pool are chosen beside those of the same rack, so that the ToR can aggregate them.",
    )
      .optional()
      .meta(otherwise("none")),
    routerId: one(s.routerId, "BGP identifier: an IPv4 address of the node, unique in the fabric."),
  })
  .describe("Who this node is.");

export const table = z
  .strictObject({
    id: one(integer("table id", 1, s.MAX_U32), "The kernel's table number. Not 253 to 255, which are the host's own."),
    host: one(boolean, "The host's own traffic looks into this table too.").prefault(false),
    fallback: one(
      word({ host: "host" as const, unreachable: "unreachable" as const }),
      "A pod's packet without a route in this table: on to the host's own tables, or answered as unreachable.",
    ).prefault("host"),
    hostRoutes: one(
      word({ first: "first" as const, last: "last" as const }),
      "What of the host's own routing (table main) comes before learned routes: `first`, everything but default routes; `last`, its connected networks only.",
    ).prefault("first"),
  })
  .describe("One kernel routing table that learned routes go to.");
const rulePriority = z
  .strictObject({
    local: one(integer("rule priority", 1, 32765), "Rule to the local table.").prefault(1000),
    hostRoutes: one(
      integer("rule priority", 1, 32765),
      "Rules from each block to the host's own routes that come before learned ones.",
    ).prefault(1005),
    block: one(
      integer("rule priority", 1, 32764),
      "Rules from each block to its table; the next number is for `fallback: unreachable`.",
    ).prefault(1010),
    host: one(
      integer("rule priority", 1, 32765),
      "Rule to a table with `host: true`, one to the host's own routes just before it; every second number for further tables.",
    ).prefault(1090),
  })
  .describe("Priorities of the policy rules, in the order `local`, `hostRoutes`, `block`, `host`.");

const nextHopIds = z
  .strictObject({
    base: one(integer("next hop id", 1, s.MAX_U32), "The first.").prefault(2_010_000_000),
    count: one(integer("number", 1024, 1 << 24), "How many.").prefault(1 << 20),
  })
  .describe("Kernel next hop object ids that are ours.");

export const routing = z
  .strictObject({
    install: one(boolean, "`false`: hold routes and pass them on, leave the kernel alone.").prefault(true),
    protocol: one(
      integer("protocol number", 5, 255),
      "Marks every rule, route and next hop object of ours; nothing without it is ever changed.",
    ).prefault(201),
    localTable: one(
      integer("table id", 1, s.MAX_U32),
      "Table of the pods' own host routes and the blocks' blackholes.",
    ).prefault(7000),
    rulePriority: rulePriority.prefault({}),
    nextHopIds: nextHopIds.prefault({}),
    staleTime: one(
      seconds(1, 86400),
      "State of a former run that no neighbour has confirmed by then is removed.",
    ).prefault("120s"),
    withdrawTime: one(
      milliseconds(0, 3_600_000),
      "So long the kernel keeps a block whose withdrawal every neighbour has been sent, for packets still under way.",
    ).prefault("5s"),
    sysctls: one(boolean, "Set forwarding and `nexthop_compat_mode` at start.").prefault(true),
  })
  .describe("What is put into the kernel, and under which numbers.");

const bestPath = z
  .strictObject({
    alwaysCompareMed: one(
      boolean,
      "MED counts among paths from different ASes too, not only among those from the same one.",
    ).prefault(false),
    missingMedWorst: one(boolean, "A path without MED counts as the worst, not as 0.").prefault(false),
    multipathRelax: one(
      boolean,
      "Several next hops at once over whatever AS paths are equally good; `false`: only over equal AS paths.",
    ).prefault(true),
    linkBandwidth: one(
      boolean,
      "When all paths in use have a link bandwidth community, traffic is spread by it (weights in the kernel's next hop groups).",
    ).prefault(true),
  })
  .describe(
    "How the best path is chosen. MED is compared deterministically, router ids are always compared, the age of a path never is.",
  );

export const bgp = z
  .strictObject({
    listenPort: one(s.portOrFalse, "TCP port to listen on; `false`: do not listen.").prefault(179),
    listenAddresses: list(s.address, "Addresses to listen on; none: all.").prefault([]),
    maxPaths: one(
      integer("number", 1, 256),
      "Most next hops used at once for one prefix (ECMP); 1: no multipath.",
    ).prefault(64),
    maxPathsIbgp: one(integer("number", 1, 256), "The same for routes from our own AS.")
      .optional()
      .meta(otherwise("`maxPaths`")),
    bestPath: bestPath.prefault({}),
    deferralTime: one(
      seconds(1, 3600),
      "After a restart, how long neighbours have to send their routes at most: until then what a former run left in the kernel stays, and End-of-RIB for routes of others waits. Never waited for at a first start.",
    ).prefault("60s"),
    clusterId: one(
      s.routerId,
      "Cluster of this route reflector (RFC 4456): the same on all reflectors of the same clients.",
    )
      .optional()
      .meta(otherwise("`node.routerId`")),
    allowAsSets: one(
      boolean,
      "Use routes with an AS_SET or AS_CONFED_SET in the path, which are deprecated (RFC 9774).",
    ).prefault(false),
  })
  .describe("What all sessions share.");

export const cni = z
  .strictObject({
    mtu: one(integer("bytes", 1280, 65535), "MTU of pod interfaces.")
      .optional()
      .meta(otherwise("the smallest among the uplinks")),
    ready: one(
      word({ advertised: "advertised" as const, established: "established" as const, none: "none" as const }),
      "What ADD waits for, beside address, interface and routes: `advertised`, that neighbours with a session have been sent the pod's blocks (with no session there is nobody to wait for); `established`, that at least one has a session and has been sent them; `none`, nothing. The network configuration's `ready` stands before it.",
    ).prefault("advertised"),
    readyTimeout: one(
      milliseconds(0, 100_000),
      "How long ADD waits for that at most; in the network configuration `readyTimeout`.",
    ).prefault("10s"),
    readyFallback: one(
      word({ attach: "attach" as const, fail: "fail" as const }),
      "When the time has passed: `attach`, the pod is attached all the same, with a warning in the log and a `notReady` in the event; `fail`, it is taken back and ADD fails with code 11. In the network configuration `readyFallback`.",
    ).prefault("attach"),
    sourceValidation: one(
      boolean,
      "Drop what a pod sends from an address that is not its own, and what else a pod has no business to send to its host. `false` for pods that forward for others.",
    ).prefault(true),
    vanishedAfter: one(
      milliseconds(1000, 86_400_000),
      "A pod whose namespace has been gone for so long, as seen at least twice, is released without a DEL. One that a process is in, or that is mounted or open anywhere, is not gone.",
    ).prefault("30s"),
    confDir: one(
      s.absolutePath,
      "Where the container runtime reads network configurations. `underlayctl cni install` writes there, `underlayctl doctor` looks there.",
    ).prefault("/etc/cni/net.d"),
    binDir: one(s.absolutePath, "Where it looks for plugins; Debian's containerd: `/usr/lib/cni`.").prefault(
      "/opt/cni/bin",
    ),
  })
  .describe("Pods.");

export const drain = z
  .strictObject({
    wait: one(
      milliseconds(0, 3_600_000),
      "How long routes carry the community graceful-shutdown (RFC 8326) before they are withdrawn: the time that the fabric has to find other paths. `underlayctl drain --wait` for once.",
    ).prefault("10s"),
  })
  .describe("`underlayctl drain`: taking the node, or one neighbour, out of service.");

export const paths = z
  .strictObject({
    state: one(s.absolutePath, "What survives a reboot: the address allocations. One daemon per directory.").prefault(
      "/var/lib/underlay",
    ),
    run: one(s.absolutePath, "What does not: the socket.").prefault("/run/underlay"),
  })
  .describe("Directories.");

export const api = z
  .strictObject({
    socket: one(s.absolutePath, "Unix socket of the API and of the CNI plugin, root only.")
      .optional()
      .meta(otherwise("`underlayd.sock` in `paths.run`")),
    listen: one(s.loopbackListener, "Read-only API and metrics on a loopback address.").prefault(false),
  })
  .describe("Where the daemon can be asked.");

export const log = z
  .strictObject({
    level: one(
      word({ debug: "debug" as const, info: "info" as const, warn: "warn" as const, error: "error" as const }),
      "The least severe messages that are logged.",
    ).prefault("info"),
  })
  .describe("Logging, to standard output.");

export const history = z
  .strictObject({
    size: one(
      sizeOrFalse(2 ** 20, 2 ** 36),
      "Bytes that the flight recorder takes in `history` in `paths.state`, at most; `false`: nothing is recorded.",
    ).prefault("64MiB"),
  })
  .describe("The flight recorder: what happened, for `underlayctl history`.");

/** Maps from a name to one of many. */
export const maps = {
  pools: pool,
  tables: table,
  peerGroups: peerGroup,
  peers: peer,
  policies: statements,
  ...sets,
} as const;
/** Maps that are there once. */
export const sections = { node, etcd, routing, bgp, monitoring, cni, drain, api, paths, history, log } as const;

const named = <T extends z.ZodType>(entry: T, description: string) =>
  z.record(z.string().meta(s.name.json), entry).describe(description);

export const schema = z
  .strictObject({
    node,
    pools: named(pool, "Pools of pod addresses, by name.").prefault({}),
    etcd: etcd.optional(),
    tables: named(table, "Kernel routing tables, by name.").prefault({ fabric: { id: 7100 } }),
    peers: named(peerAsWritten, "BGP neighbours, by name.").prefault({}),
    peerGroups: named(
      peerGroup,
      "Peer groups, by name: keys that peers have in common, and ranges to listen for.",
    ).prefault({}),
    policies: named(statements, "Routing policies, by name: lists of statements.").prefault({}),
    prefixSets: named(sets.prefixSets, "Sets of prefixes, by name, for `prefix` and `nextHop` of `match`.").prefault(
      {},
    ),
    communitySets: named(sets.communitySets, "Sets of communities, by name, for `match` and `remove`.").prefault({}),
    extendedCommunitySets: named(
      sets.extendedCommunitySets,
      "Sets of extended communities, by name, for `match` and `remove`.",
    ).prefault({}),
    largeCommunitySets: named(
      sets.largeCommunitySets,
      "Sets of large communities, by name, for `match` and `remove`.",
    ).prefault({}),
    asPathSets: named(sets.asPathSets, "Sets of AS path expressions, by name, for `match`.").prefault({}),
    routing: routing.prefault({}),
    bgp: bgp.prefault({}),
    monitoring: monitoring.prefault({}),
    cni: cni.prefault({}),
    drain: drain.prefault({}),
    api: api.prefault({}),
    paths: paths.prefault({}),
    history: history.prefault({}),
    log: log.prefault({}),
  })
  .meta({ title: "underlayd configuration" });

export type Parsed = {
  [K in keyof typeof maps]: Map<string, z.output<(typeof maps)[K]>>;
} & { [K in keyof typeof sections]: z.output<(typeof sections)[K]> | null };
export type ParsedEtcd = z.output<typeof etcd>;
export type ParsedPeer = z.output<typeof peer>;
export type ParsedPeerGroup = z.output<typeof peerGroup>;
export type ParsedPool = z.output<typeof pool>;
export type ParsedStatement = z.output<typeof statement>;
