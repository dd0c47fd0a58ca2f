// What a changed key does to a running daemon: the table behind `underlayctl plan` and `underlayctl reload`, and behind
// the section about it in docs/configuration.md. Every key of a peer has to have its row here, or this does not compile;
// test/interop/reload.test.ts shows that each row is true.
import type { SpeakerGroup, SpeakerPeer } from "../bgp/speaker-types.ts";
import type { Config, TableConfig } from "./types.ts";

/**
 * From least to most: taken over at once without anybody noticing; the neighbour is asked to send its routes again; the
 * session is ended and comes back (Cease/6, RFC 4486); the daemon has to be started again, a reload refuses it.
 */
export const impacts = ["live", "refresh", "reset", "restart"] as const;
export type Impact = (typeof impacts)[number];
export type PeerImpact = Exclude<Impact, "restart">;

export const peerImpact: Readonly<Record<Exclude<keyof SpeakerPeer, "name" | "dynamic">, PeerImpact>> = {
  group: "live",
  address: "reset",
  interface: "reset",
  routerAdvertisements: "reset",
  localAsn: "reset",
  routerId: "reset",
  remoteAsn: "reset",
  port: "live",
  passive: "live",
  localAddress: "reset",
  holdTime: "reset",
  connectRetry: "live",
  families: "reset",
  extendedNextHop: "reset",
  password: "reset",
  acceptedPasswords: "live",
  ttlSecurity: "reset",
  multihop: "reset",
  extendedMessages: "reset",
  hostname: "reset",
  gracefulRestart: "reset",
  role: "reset",
  requireRole: "reset",
  prependReceived: "live",
  hideNodeAsn: "live",
  allowAsIn: "live",
  enforceFirstAs: "live",
  allowAsSets: "live",
  allowMartians: "live",
  asOverride: "live",
  removePrivateAs: "live",
  nextHopSelf: "live",
  routeReflectorClient: "reset",
  gracefulShutdown: "live",
  honorGracefulShutdown: "live",
  addPath: "reset",
  import: "live",
  export: "live",
  defaultOriginate: "live",
  table: "reset",
  maxPrefixes: "live",
  maxPrefixesOut: "live",
  bfd: "live",
  monitored: "live",
};

/** What a peer group with listen ranges has beside the keys of a peer; what these do, they do to its dynamic peers. */
export const groupImpact: Readonly<Record<Exclude<keyof SpeakerGroup, keyof SpeakerPeer>, PeerImpact>> = {
  listen: "live",
  listenLimit: "live",
  listenPods: "live",
};

/** Keys of a peer or a pool that have another name in the file. */
export const fileKeys: Readonly<Record<string, string>> = {
  remoteAsn: "asn",
  hostname: "advertiseHostname",
  acceptedPasswords: "password.accept",
  prependReceived: "localAsn.noPrepend",
  hideNodeAsn: "localAsn.replaceAs",
  monitored: "monitoring",
  namespaces: "for.namespaces",
};

/** Of a table. The kernel knows it by its id: another id is another table. */
export const tableImpact: Readonly<Record<Exclude<keyof TableConfig, "name">, Impact>> = {
  id: "restart",
  host: "live",
  fallback: "live",
  hostRoutes: "live",
};

/** Everything but the peers and their groups, by section. */
export const sectionImpact: Readonly<Record<Exclude<keyof Config, "file" | "peers" | "peerGroups">, Impact>> = {
  node: "restart",
  etcd: "live",
  bgp: "restart",
  monitoring: "live",
  pools: "live",
  /** Coming and going; of keys see tableImpact. */
  tables: "live",
  routing: "restart",
  cni: "restart",
  drain: "live",
  api: "restart",
  paths: "restart",
  history: "restart",
  policies: "live",
  log: "live",
};

export const stronger = <T extends Impact>(a: T, b: T): T => (impacts.indexOf(a) >= impacts.indexOf(b) ? a : b);
