// Parsed and checked sections -> Config, in the terms of the components.
import type { ExportPolicy, ImportPolicy, Policy, PolicyMatch, PolicySet } from "../bgp/policy/types.ts";
import type { SpeakerGroup } from "../bgp/speaker-types.ts";
import { formatPrefix } from "../net/prefix.ts";
import { buildRules, sessionAsn } from "./build-rules.ts";
import { rangesOf } from "./check-groups.ts";
import { type CommonKeys, exportBuiltIns, importBuiltIns, isInternal, type Secrets } from "./check-peers.ts";
import { bfd } from "./schema/peer.ts";
import type { Parsed, ParsedPeer, ParsedPeerGroup, ParsedStatement } from "./schema.ts";
import type { Passwords } from "./secret.ts";
import type { Config } from "./types.ts";
import { socketPath } from "./validate.ts";

type Complete = { [K in keyof Parsed]: NonNullable<Parsed[K]> };

export interface BuildContext {
  readonly file: string;
  readonly hostname: string;
  readonly secrets: Secrets;
}

export function buildConfig(parsed: Complete, context: BuildContext): Config {
  const { node, bgp, api, paths, routing, cni, log } = parsed;
  const tableId = (given: string | undefined): number => {
    const table = parsed.tables.get(given ?? "fabric") ?? [...parsed.tables.values()][0];
    return table.id;
  };
  const peerContext = (table: string | undefined, passwords: Passwords | undefined): PeerContext => ({
    node,
    hostname: node.name ?? context.hostname,
    bgp,
    table: tableId(table),
    policies,
    passwords: passwords ?? null,
  });
  const policies = new Map([...parsed.policies].map(([name, list]) => [name, buildPolicy(name, list, node.asn)]));
  return {
    file: context.file,
    node: { name: node.name ?? context.hostname, asn: node.asn, routerId: node.routerId },
    bgp: { ...bgp, clusterId: bgp.clusterId ?? null, maxPathsIbgp: bgp.maxPathsIbgp ?? bgp.maxPaths },
    pools: [...parsed.pools].map(([name, pool]) => ({
      name,
      blocks: pool.blocks.map(formatPrefix),
      exclude: pool.exclude.map((exclusion) => exclusion.text),
      table: tableId(pool.table),
    })),
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
        extendedNextHop: group.extendedNextHop ?? null,
      })),
    peers: [...parsed.peers].map(([name, peer]) => ({
      ...buildCommon(name, peer, peerContext(peer.table, context.secrets.peers.get(name))),
      group: peer.group ?? null,
      dynamic: false,
      address: peer.address,
      interface: peer.interface ?? null,
      passive: peer.passive,
      extendedNextHop: peer.extendedNextHop ?? peer.address.length === 16,
    })),
    monitoring: buildMonitoring(parsed.monitoring),
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
  readonly policies: ReadonlyMap<string, Policy>;
  readonly passwords: Passwords | null;
}

type Asn = Pick<ParsedPeer, "asn">;
/** What a peer and a group that listens have in common. */
type Common = Omit<SpeakerGroup, "listen" | "listenLimit" | "extendedNextHop">;

function buildCommon(name: string, peer: CommonKeys & Asn, context: PeerContext): Common {
  const internal = isInternal(peer, context.node.asn);
  const importName = peer.import ?? (internal ? "all" : "none");
  const exportName = peer.export ?? (internal ? "blocks" : "none");
  return {
    name,
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
    import: importBuiltIns.includes(importName) ? (importName as ImportPolicy) : context.policies.get(importName)!,
    export: exportBuiltIns.includes(exportName) ? (exportName as ExportPolicy) : context.policies.get(exportName)!,
    table: context.table,
    monitored: peer.monitoring,
    maxPrefixes: peer.maxPrefixes ?? null,
    role: peer.role ?? null,
    requireRole: peer.requireRole,
    ...buildRules(peer, { asn: context.node.asn, internal, allowAsSets: context.bgp.allowAsSets }),
  };
}

function buildMonitoring({ bmp }: Complete["monitoring"]): Config["monitoring"] {
  return {
    bmp: Object.entries(bmp).map(([name, { adjRibIn, statistics, localAddress, ...rest }]) => ({
      ...rest,
      name,
      localAddress: localAddress ?? null,
      prePolicy: adjRibIn.includes("prePolicy"),
      postPolicy: adjRibIn.includes("postPolicy"),
      statistics: statistics === false ? null : statistics,
    })),
    mrt: null,
  };
}

function buildPolicy(name: string, statements: readonly ParsedStatement[], ownAsn: number): Policy {
  return {
    name,
    statements: statements.map(({ match, set, then }) => ({
      match: given(match) as PolicyMatch,
      set: given({
        ...set,
        prepend: typeof set.prepend === "number" ? new Array<number>(set.prepend).fill(ownAsn) : set.prepend,
        community: set.community && given(set.community),
        largeCommunity: set.largeCommunity && given(set.largeCommunity),
      }) as PolicySet,
      then,
    })),
  };
}

/** Without the keys that were not given. */
function given<T extends object>(value: T): Partial<T> {
  return Object.fromEntries(Object.entries(value).filter(([, entry]) => entry !== undefined)) as Partial<T>;
}
