// Parsed and checked sections -> Config, in the terms of the components.
import { join } from "node:path";
import type { ExportPolicy, ImportPolicy } from "../bgp/policy/types.ts";
import type { DefaultOriginate, SpeakerGroup } from "../bgp/speaker-types.ts";
import { formatPrefix } from "../net/prefix.ts";
import { communityChanges, originatedAttributes, PolicyBuilder } from "./build-policies.ts";
import { buildRules, sessionAsn } from "./build-rules.ts";
import type { EtcdFiles } from "./check-etcd.ts";
import { rangesOf } from "./check-groups.ts";
import { type CommonKeys, isInternal, type Secrets } from "./check-peers.ts";
import { buildLimits, buildLimitsOut } from "./limits.ts";
import { bfd } from "./schema/peer.ts";
import { defaultOriginate } from "./schema/peer-routes.ts";
import type { Parsed, ParsedEtcd, ParsedPeer, ParsedPeerGroup, ParsedPool } from "./schema.ts";
import type { Passwords } from "./secret.ts";
import type { Config, EtcdConfig, PoolConfig } from "./types.ts";
import { socketPath } from "./validate.ts";

type Complete = { [K in keyof Parsed]: K extends "etcd" ? Parsed[K] : NonNullable<Parsed[K]> };

export interface BuildContext {
  readonly file: string;
  readonly hostname: string;
  readonly secrets: Secrets;
  readonly etcdFiles: EtcdFiles;
}

export function buildConfig(parsed: Complete, context: BuildContext): Config {
  const { node, bgp, api, paths, routing, cni, drain, history, log } = parsed;
  const tableId = (given: string | undefined): number => {
    const table = parsed.tables.get(given ?? "fabric") ?? [...parsed.tables.values()][0];
    return table.id;
  };
  const policies = new PolicyBuilder(parsed, node.asn);
  const peerContext = (table: string | undefined, passwords: Passwords | undefined): PeerContext => ({
    node,
    hostname: node.name ?? context.hostname,
    bgp,
    table: tableId(table),
    policies,
    passwords: passwords ?? null,
  });
  return {
    file: context.file,
    node: {
      name: node.name ?? context.hostname,
      asn: node.asn,
      routerId: node.routerId,
      rack: node.rack ?? null,
    },
    etcd: parsed.etcd && buildEtcd(parsed.etcd, context.etcdFiles),
    bgp: { ...bgp, clusterId: bgp.clusterId ?? null, maxPathsIbgp: bgp.maxPathsIbgp ?? bgp.maxPaths },
    pools: [...parsed.pools].map(([name, pool]) => buildPool(name, pool, tableId)),
    tables: [...parsed.tables].map(([name, table]) => ({ name, ...table })),
    peerGroups: [...parsed.peerGroups]
      .filter(([, group]) => group.listen.length > 0)
      .map(([name, group]) => ({
        ...buildCommon(
          name,
          group as ParsedPeerGroup & Asn,
          peerContext(group.table, context.secrets.peerGroups.get(name)),
        ),
        listen: rangesOf(group),
        listenLimit: group.listenLimit,
        listenPods: group.listenPods,
        extendedNextHop: group.extendedNextHop ?? null,
      })),
    peers: [...parsed.peers].map(([name, peer]) => ({
      ...buildCommon(name, peer, peerContext(peer.table, context.secrets.peers.get(name))),
      group: peer.group ?? null,
      dynamic: false,
      address: peer.address ?? null,
      interface: peer.interface ?? null,
      passive: peer.passive,
      extendedNextHop: peer.extendedNextHop ?? peer.address?.length !== 4,
    })),
    monitoring: buildMonitoring(parsed.monitoring, paths.state),
    policies: policies.all(),
    routing,
    cni: { ...cni, mtu: cni.mtu ?? null },
    drain,
    api: { socket: socketPath(api.socket, paths.run), listen: api.listen },
    paths,
    history,
    log,
  };
}

/** What `bfd: true` and `defaultOriginate: true` stand for. */
const defaultBfd = bfd.parse({});
const anyDefault = defaultOriginate.parse({});

interface PeerContext {
  readonly node: Complete["node"];
  readonly hostname: string;
  readonly bgp: Complete["bgp"];
  readonly table: number;
  readonly policies: PolicyBuilder;
  readonly passwords: Passwords | null;
}

type Asn = Pick<ParsedPeer, "asn">;
/** What a peer and a group that listens have in common. */
type Common = Omit<SpeakerGroup, "listen" | "listenLimit" | "listenPods" | "extendedNextHop">;

function buildCommon(name: string, peer: CommonKeys & Asn, context: PeerContext): Common {
  const internal = isInternal(peer, context.node.asn);
  const imports = peer.import ?? [internal ? "all" : "none"];
  const exports = peer.export ?? [internal ? "blocks" : "none"];
  return {
    name,
    routerAdvertisements: peer.routerAdvertisements ?? true,
    localAsn: sessionAsn(peer, context.node.asn),
    routerId: context.node.routerId,
    remoteAsn: peer.asn,
    port: peer.port,
    localAddress: peer.localAddress ?? null,
    holdTime: peer.holdTime,
    connectRetry: peer.connectRetry,
    families: peer.families,
    password: context.passwords?.password ?? null,
    acceptedPasswords: context.passwords?.accepted ?? [],
    ttlSecurity: peer.ttlSecurity !== false,
    multihop: peer.multihop ?? (typeof peer.ttlSecurity === "number" && peer.ttlSecurity > 1 ? peer.ttlSecurity : null),
    extendedMessages: peer.extendedMessages,
    hostname: peer.advertiseHostname ? context.hostname : null,
    gracefulRestart: peer.gracefulRestart === false ? null : peer.gracefulRestart,
    bfd: peer.bfd === true ? defaultBfd : peer.bfd === false ? null : peer.bfd,
    addPath: peer.addPath,
    import: context.policies.chain(imports) as ImportPolicy,
    export: context.policies.chain(exports, communityChanges(peer.communities ?? {})) as ExportPolicy,
    defaultOriginate: buildDefaultOriginate(peer, context.policies),
    table: context.table,
    monitored: peer.monitoring,
    maxPrefixes: buildLimits(peer),
    maxPrefixesOut: buildLimitsOut(peer),
    role: peer.role ?? null,
    requireRole: peer.requireRole,
    ...buildRules(peer, { asn: context.node.asn, internal, allowAsSets: context.bgp.allowAsSets }),
  };
}

function buildDefaultOriginate(
  { defaultOriginate: given, communities }: Pick<CommonKeys, "defaultOriginate" | "communities">,
  policies: PolicyBuilder,
): DefaultOriginate | null {
  if (given === false) return null;
  const { while: condition, families, policy } = given === true ? anyDefault : given;
  return {
    families,
    while: condition ? (policies.chain(condition) as ImportPolicy) : null,
    route: policies.chain(policy ?? ["all"], communityChanges(communities ?? {})) as ExportPolicy,
  };
}

function buildPool(name: string, pool: ParsedPool, tableId: (given: string | undefined) => number): PoolConfig {
  const tables = pool.announceIn.map(tableId);
  const { budget, ranges, communities } = pool.exceptions;
  return {
    name,
    blocks: (pool.blocks ?? []).map(formatPrefix),
    exclude: pool.exclude.map((exclusion) => exclusion.text),
    reserve: pool.reserve.map((exclusion) => exclusion.text),
    cooldown: pool.cooldown,
    whenCooling: pool.whenCooling,
    sticky: pool.sticky ?? null,
    warnAt: pool.warnAt,
    namespaces: pool.for?.namespaces ?? [],
    table: tableId(pool.table),
    announced: { ...originatedAttributes(pool.communities), tables },
    source: pool.source,
    ranges: (pool.ranges ?? []).map(formatPrefix),
    blockSize: pool.blockSize,
    maxBlocks: pool.maxBlocks,
    affinity: pool.affinity,
    lend: pool.lend,
    releaseAfter: pool.releaseAfter,
    exceptions: {
      budget,
      ranges: ranges.map(formatPrefix),
      announced: { ...originatedAttributes(communities ?? pool.communities), tables },
    },
  };
}

function buildEtcd({ endpoints, prefix, username, timeout }: ParsedEtcd, files: EtcdFiles): EtcdConfig {
  return { endpoints, prefix: prefix.replace(/\/+$/, ""), username: username ?? null, timeout, ...files };
}

function buildMonitoring({ bmp, mrt }: Complete["monitoring"], state: string): Config["monitoring"] {
  return {
    bmp: Object.entries(bmp).map(([name, { adjRibIn, statistics, localAddress, ...rest }]) => ({
      ...rest,
      name,
      localAddress: localAddress ?? null,
      prePolicy: adjRibIn.includes("prePolicy"),
      postPolicy: adjRibIn.includes("postPolicy"),
      statistics: statistics === false ? null : statistics,
    })),
    mrt:
      mrt === false
        ? null
        : {
            directory: mrt.directory ?? join(state, "mrt"),
            updates: mrt.updates || null,
            tables: mrt.tables || null,
            extendedTimestamps: mrt.microseconds,
          },
  };
}
