// Parsed and checked sections -> Config, in the terms of the components.
import { join } from "node:path";
import type { ExportPolicy, ImportPolicy } from "../bgp/policy/types.ts";
import type { SpeakerPeer } from "../bgp/speaker-types.ts";
import { formatPrefix } from "../net/prefix.ts";
import { communityChanges, originatedAttributes, PolicyBuilder } from "./build-policies.ts";
import { buildRules, sessionAsn } from "./build-rules.ts";
import { isInternal } from "./check-peers.ts";
import { bfd } from "./schema/peer.ts";
import type { Parsed, ParsedPeer } from "./schema.ts";
import type { Config } from "./types.ts";
import { socketPath } from "./validate.ts";

type Complete = { [K in keyof Parsed]: NonNullable<Parsed[K]> };

export interface BuildContext {
  readonly file: string;
  readonly hostname: string;
  readonly secrets: ReadonlyMap<string, Uint8Array>;
}

export function buildConfig(parsed: Complete, context: BuildContext): Config {
  const { node, bgp, api, paths, routing, cni, log } = parsed;
  const tableId = (given: string | undefined): number => {
    const table = parsed.tables.get(given ?? "fabric") ?? [...parsed.tables.values()][0];
    return table.id;
  };
  const policies = new PolicyBuilder(parsed, node.asn);
  return {
    file: context.file,
    node: { name: node.name ?? context.hostname, asn: node.asn, routerId: node.routerId },
    bgp: { ...bgp, clusterId: bgp.clusterId ?? null, maxPathsIbgp: bgp.maxPathsIbgp ?? bgp.maxPaths },
    pools: [...parsed.pools].map(([name, pool]) => ({
      name,
      blocks: pool.blocks.map(formatPrefix),
      exclude: pool.exclude.map((exclusion) => exclusion.text),
      table: tableId(pool.table),
      announced: originatedAttributes(pool.communities),
    })),
    tables: [...parsed.tables].map(([name, table]) => ({ name, ...table })),
    peers: [...parsed.peers].map(([name, peer]) =>
      buildPeer(name, peer, {
        node,
        hostname: node.name ?? context.hostname,
        bgp,
        table: tableId(peer.table),
        policies,
        password: context.secrets.get(name) ?? null,
      }),
    ),
    monitoring: buildMonitoring(parsed.monitoring, paths.state),
    policies: policies.all(),
    routing,
    cni: { mtu: cni.mtu ?? null },
    api: { socket: socketPath(api.socket, paths.run), listen: api.listen },
    paths,
    log,
  };
}

/** What `bfd: true` stands for. */
const defaultBfd = bfd.parse({});

interface PeerContext {
  readonly node: Complete["node"];
  readonly hostname: string;
  readonly bgp: Complete["bgp"];
  readonly table: number;
  readonly policies: PolicyBuilder;
  readonly password: Uint8Array | null;
}

function buildPeer(name: string, peer: ParsedPeer, context: PeerContext): SpeakerPeer {
  const internal = isInternal(peer, context.node.asn);
  const imports = peer.import ?? [internal ? "all" : "none"];
  const exports = peer.export ?? [internal ? "blocks" : "none"];
  return {
    name,
    address: peer.address ?? null,
    interface: peer.interface ?? null,
    routerAdvertisements: peer.routerAdvertisements ?? true,
    localAsn: sessionAsn(peer, context.node.asn),
    routerId: context.node.routerId,
    remoteAsn: peer.asn,
    port: peer.port,
    passive: peer.passive,
    localAddress: peer.localAddress ?? null,
    holdTime: peer.holdTime,
    connectRetry: peer.connectRetry,
    families: peer.families,
    extendedNextHop: peer.extendedNextHop ?? peer.address?.length !== 4,
    password: context.password,
    ttlSecurity: peer.ttlSecurity,
    multihop: peer.multihop ?? null,
    extendedMessages: peer.extendedMessages,
    hostname: peer.advertiseHostname ? context.hostname : null,
    gracefulRestart: peer.gracefulRestart === false ? null : peer.gracefulRestart,
    bfd: peer.bfd === true ? defaultBfd : peer.bfd === false ? null : peer.bfd,
    addPath: peer.addPath,
    import: context.policies.chain(imports) as ImportPolicy,
    export: context.policies.chain(exports, communityChanges(peer.communities ?? {})) as ExportPolicy,
    table: context.table,
    monitored: peer.monitoring,
    maxPrefixes: peer.maxPrefixes ?? null,
    role: peer.role ?? null,
    requireRole: peer.requireRole,
    ...buildRules(peer, { asn: context.node.asn, internal, allowAsSets: context.bgp.allowAsSets }),
  };
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
