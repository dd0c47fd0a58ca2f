// The configuration file's shape, with what every key means: read by the loader, by the JSON Schema and by the
// documentation alike. What takes more than one key to judge is in validate.ts.
//
// Words for a default that is not a constant stand in `$comment` ("default: ...").
import * as z from "zod";
import type { Origin } from "../bgp/wire/path-attributes.ts";
import type { Family } from "../net/address.ts";
import { holdTime, milliseconds, seconds } from "./durations.ts";
import * as policy from "./policy-scalars.ts";
import { boolean, integer, list, one, word } from "./scalar.ts";
import * as s from "./scalars.ts";

const u32 = integer("number", 0, s.MAX_U32);
const family = word<Family>({ ipv4: 4, ipv6: 6 });
const origin = word<Origin>({ igp: 0, egp: 1, incomplete: 2 });

/** A default in words. */
const otherwise = (words: string) => ({ $comment: `default: ${words}` });

export const node = z
  .strictObject({
    name: one(s.nodeName, "Name in logs and status.").optional().meta(otherwise("the host's name")),
    asn: one(s.asn, "The node's own AS number, for all its sessions."),
    routerId: one(s.routerId, "BGP identifier: an IPv4 address of the node, unique in the fabric."),
  })
  .describe("Who this node is.");

export const pool = z
  .strictObject({
    blocks: list(
      s.block,
      "Prefixes of either family that pods get addresses from, and that are announced. No two blocks overlap.",
      {
        nonEmpty: true,
      },
    ),
    exclude: list(
      s.exclusion,
      "Addresses in the blocks that no pod gets: single ones, ranges (`10.244.1.1-10.244.1.9`) or prefixes.",
    ).prefault([]),
    table: one(s.name, "Table that packets from these pods are routed by, and that the blocks are announced from.")
      .optional()
      .meta(otherwise("`fabric`, or the only table there is")),
  })
  .describe("One pool of pod addresses; its name is what the CNI configuration's `pool` says.");

export const table = z
  .strictObject({
    id: one(integer("table id", 1, s.MAX_U32), "The kernel's table number. Not 253 to 255, which are the host's own."),
    host: one(boolean, "The host's own traffic looks into this table too.").prefault(false),
    fallback: one(
      word({ host: "host" as const, unreachable: "unreachable" as const }),
      "A pod's packet without a route in this table: on to the host's own tables, or answered as unreachable.",
    ).prefault("host"),
  })
  .describe("One kernel routing table that learned routes go to.");

const gracefulRestart = z.strictObject({
  time: one(seconds(1, 4095), "How long neighbours keep this node's routes while the daemon restarts.").prefault(
    "120s",
  ),
});

export const bfd = z.strictObject({
  interval: one(
    milliseconds(50, 60_000),
    "Pace of our packets, and the fastest pace wanted from the neighbour. The slower of both sides' counts.",
  ).prefault("300ms"),
  multiplier: one(
    integer("number", 1, 255),
    "So many packets of ours in a row are lost until the neighbour declares the session down. Our own detection goes by the neighbour's multiplier.",
  ).prefault(3),
});

export const peer = z
  .strictObject({
    address: one(s.unicastAddress, "The neighbour's address."),
    interface: one(
      s.interfaceName,
      "Interface the neighbour is on. Needed with a link-local address; the session is bound to it.",
    ).optional(),
    asn: one(s.remoteAsn, "The neighbour's AS number, or `external` (any but ours) or `internal` (ours)."),
    import: one(
      s.name,
      "What is taken from the neighbour: `all`, `none`, `default-route` (only 0.0.0.0/0 and ::/0), or the name of a policy.",
    )
      .optional()
      .meta(otherwise("`none` for another AS (RFC 8212), `all` for our own")),
    export: one(
      s.name,
      "What is told to the neighbour: `blocks` (this node's blocks), `none`, `all` (everything: the node becomes transit), or the name of a policy.",
    )
      .optional()
      .meta(otherwise("`none` for another AS (RFC 8212), `blocks` for our own")),
    passive: one(boolean, "Never connect, only wait for the neighbour.").prefault(false),
    port: one(integer("port", 1, 65535), "TCP port to connect to.").prefault(179),
    holdTime: one(
      holdTime,
      "Offered hold time: the session ends when the neighbour is silent for so long. The lower of both sides' counts; keepalives are sent at a third of it. 0: never.",
    ).prefault("90s"),
    connectRetry: one(seconds(1, 65535), "Pause between attempts to connect.").prefault("10s"),
    families: list(family, "Address families offered.", { nonEmpty: true }).prefault(["ipv4", "ipv6"]),
    localAddress: one(s.unicastAddress, "Address of this node to connect from.")
      .optional()
      .meta(otherwise("the kernel's choice")),
    password: z
      .strictObject({
        file: one(
          s.path,
          "File that holds the secret, relative to the configuration's directory. One line of at most 80 bytes, readable by root only.",
        ),
      })
      .optional()
      .describe("TCP MD5 signatures (RFC 2385)."),
    ttlSecurity: one(
      boolean,
      "Take packets only from one hop away (GTSM, RFC 5082). The neighbour must do it too. Not together with `multihop`.",
    ).prefault(false),
    multihop: one(integer("number of hops", 1, 255), "Most hops to the neighbour.")
      .optional()
      .meta(otherwise("1 to another AS")),
    gracefulRestart: z
      .union([z.literal(false), gracefulRestart])
      .prefault({})
      .describe("Graceful restart (RFC 4724); `false`: not offered."),
    bfd: z
      .union([z.boolean(), bfd])
      .prefault(false)
      .meta({ title: "map, `true` or `false`" })
      .describe(
        "BFD (RFC 5880): notices within a few intervals that packets no longer pass, and ends the BGP session then. A neighbour without BFD holds nothing back. `true`: with the defaults. With `multihop` above 1 it is multihop BFD (RFC 5883).",
      ),
    extendedNextHop: one(boolean, "IPv4 routes with IPv6 next hops (RFC 8950).")
      .optional()
      .meta(otherwise("true for a neighbour with an IPv6 address")),
    maxPrefixes: one(integer("number", 1, s.MAX_U32), "More prefixes than this end the session (Cease, RFC 4486).")
      .optional()
      .meta(otherwise("no limit")),
    table: one(s.name, "Table that the neighbour's routes go to, and that it is told about.")
      .optional()
      .meta(otherwise("`fabric`, or the only table there is")),
  })
  .describe("One BGP neighbour; its name is yours to choose.");

const match = z
  .strictObject({
    prefix: list(policy.prefixMatch, "Prefixes; with `ge` and `le` a range of lengths: `10.0.0.0/8 le 26`.").optional(),
    family: one(family, "Address family.").optional(),
    community: list(
      policy.communityPattern,
      "The route has one of these communities; `65001:*` is any of that AS.",
    ).optional(),
    largeCommunity: list(policy.largeCommunityPattern, "The route has one of these large communities.").optional(),
    asPath: list(
      policy.asPathExpression,
      "Regular expressions over the AS path, written with single spaces; `_` is a boundary: `^65001_`. There are `. [ ] ( ) | * + ? ^ $ \\d`; braces are literal.",
    ).optional(),
    asPathContains: list(s.asn, "The AS path contains one of these.").optional(),
    nextHop: list(
      policy.nextHopMatch,
      "The next hop is one of these addresses, or within one of these prefixes.",
    ).optional(),
    peer: list(s.name, "The route comes from one of these peers; `local` is this node itself.").optional(),
    origin: list(origin, "Origin.").optional(),
  })
  .describe("Conditions that must all hold; of a list, one element suffices. Without conditions: every route.");

const change = <T, P>(value: Parameters<typeof list<T>>[0], pattern: Parameters<typeof list<P>>[0], what: string) =>
  z
    .strictObject({
      replace: list(value, "These instead of all that are there.").optional(),
      remove: list(pattern, "Take these away; `*` stands for any part.").optional(),
      add: list(value, "Add these, after the others.").optional(),
    })
    .describe(`Changes ${what}: first replace, then remove, then add.`);

const set = z
  .strictObject({
    localPref: one(u32, "LOCAL_PREF: the higher one is preferred.").optional(),
    med: one(policy.med, "MED: the lower one is preferred; `none` removes it.").optional(),
    community: change(policy.community, policy.communityPattern, "communities").optional(),
    largeCommunity: change(policy.largeCommunity, policy.largeCommunityPattern, "large communities").optional(),
    prepend: one(
      policy.prepend,
      "Lengthens the AS path: so many times our own AS, or these AS numbers, the first one outermost.",
    ).optional(),
    nextHop: one(policy.nextHop, "The next hop told to the neighbour.").optional(),
    origin: one(origin, "Origin.").optional(),
  })
  .describe("Changes to a route that matches.");

export const statement = z
  .strictObject({
    match: match.prefault({}),
    set: set.prefault({}),
    // biome-ignore lint/suspicious/noThenProperty: the key's name in the file; the object is never awaited
    then: one(
      word({ accept: "accept" as const, reject: "reject" as const, next: "next" as const }),
      "`accept` or `reject` decide; `next` keeps the changes and goes on with the next statement.",
    ),
  })
  .describe("One statement.");

export const statements = z
  .array(statement)
  .describe(
    "Statements in order. The first one that matches and accepts or rejects decides; a route that none decides is rejected.",
  );

const rulePriority = z
  .strictObject({
    local: one(integer("rule priority", 1, 32765), "Rule to the local table.").prefault(1000),
    block: one(integer("rule priority", 1, 32765), "Rules from each block to its table.").prefault(1010),
    host: one(integer("rule priority", 1, 32765), "Rule to a table with `host: true`.").prefault(1090),
  })
  .describe("Priorities of the policy rules, `local` before `block` before `host`.");

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
    sysctls: one(boolean, "Set forwarding and `nexthop_compat_mode` at start.").prefault(true),
  })
  .describe("What is put into the kernel, and under which numbers.");

export const bgp = z
  .strictObject({
    listenPort: one(s.portOrFalse, "TCP port to listen on; `false`: do not listen.").prefault(179),
    listenAddresses: list(s.address, "Addresses to listen on; none: all.").prefault([]),
    maxPaths: one(
      integer("number", 1, 256),
      "Most next hops used at once for one prefix (ECMP); 1: no multipath.",
    ).prefault(64),
  })
  .describe("What all sessions share.");

export const cni = z
  .strictObject({
    mtu: one(integer("bytes", 1280, 65535), "MTU of pod interfaces.")
      .optional()
      .meta(otherwise("the smallest among the uplinks")),
  })
  .describe("Pods.");

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

/** Maps from a name to one of many. */
export const maps = { pools: pool, tables: table, peers: peer, policies: statements } as const;
/** Maps that are there once. */
export const sections = { node, routing, bgp, cni, api, paths, log } as const;

const named = <T extends z.ZodType>(entry: T, description: string) =>
  z.record(z.string().meta(s.name.json), entry).describe(description);

export const schema = z
  .strictObject({
    node,
    pools: named(pool, "Pools of pod addresses, by name.").prefault({}),
    tables: named(table, "Kernel routing tables, by name.").prefault({ fabric: { id: 7100 } }),
    peers: named(peer, "BGP neighbours, by name.").prefault({}),
    policies: named(statements, "Routing policies, by name: lists of statements.").prefault({}),
    routing: routing.prefault({}),
    bgp: bgp.prefault({}),
    cni: cni.prefault({}),
    api: api.prefault({}),
    paths: paths.prefault({}),
    log: log.prefault({}),
  })
  .meta({ title: "underlayd configuration" });

export type Parsed = {
  [K in keyof typeof maps]: Map<string, z.output<(typeof maps)[K]>>;
} & { [K in keyof typeof sections]: z.output<(typeof sections)[K]> | null };
export type ParsedPeer = z.output<typeof peer>;
export type ParsedPool = z.output<typeof pool>;
export type ParsedTable = z.output<typeof table>;
export type ParsedStatement = z.output<typeof statement>;
