// The configuration after loading: checked, with defaults filled in, in the terms of the components that it is for.
import type { BestPathOptions } from "../bgp/loc-rib/best-path-options.ts";
import type { MonitoringOptions } from "../bgp/monitor/types.ts";
import type { Policy } from "../bgp/policy/types.ts";
import type { OriginatedAttributes, SpeakerGroup, SpeakerPeer } from "../bgp/speaker-types.ts";
import type { ReadyFallback, ReadyLevel } from "../cni/readiness.ts";
import type { PoolOptions } from "../cni/types.ts";
import type { HostRoutes, RoutingOptions } from "../routing/types.ts";

export interface TableConfig {
  readonly name: string;
  readonly id: number;
  /** The host's own traffic looks here too. */
  readonly host: boolean;
  /** What happens to a pod's packet without a route here: on to the host's own tables, or unreachable. */
  readonly fallback: "host" | "unreachable";
  /** What of the host's own routes comes before learned ones. */
  readonly hostRoutes: HostRoutes;
}

export interface PoolConfig extends PoolOptions {
  /** What the blocks are announced with. */
  readonly announced: OriginatedAttributes;
  /** `etcd`: `blocks` is empty, and blocks are claimed out of `ranges`. */
  readonly source: "static" | "etcd";
  /** Canonical prefixes. */
  readonly ranges: readonly string[];
  /** Prefix lengths of claimed blocks. */
  readonly blockSize: { readonly ipv4: number; readonly ipv6: number };
  /** Of each family. */
  readonly maxBlocks: number;
  readonly affinity: "strict" | "borrow";
  /** With `borrow`: addresses at the end of each block that other nodes can have. */
  readonly lend: number;
  /** Seconds that a block has to be empty before it goes back. */
  readonly releaseAfter: number;
  readonly exceptions: ExceptionsConfig;
}

/** Single addresses outside of the node's blocks. */
export interface ExceptionsConfig {
  /** Most of them, of both families together. */
  readonly budget: number;
  /** With `source: static`: canonical prefixes whose addresses may be asked for by name. */
  readonly ranges: readonly string[];
  /** What they are announced with. */
  readonly announced: OriginatedAttributes;
}

/** Where blocks of shared pools are claimed. */
export interface EtcdConfig {
  readonly endpoints: readonly string[];
  /** Begins with /, does not end with it. */
  readonly prefix: string;
  /** Absolute paths of PEM files; null: the system's own certificates, no client certificate. */
  readonly tls: {
    readonly ca: string | null;
    readonly cert: string | null;
    readonly key: string | null;
    /** Of what the files hold: other certificates are another configuration. */
    readonly fingerprint: string;
  };
  readonly username: string | null;
  readonly password: string | null;
  /** Milliseconds. */
  readonly timeout: number;
}

export interface Config {
  readonly file: string;
  readonly node: {
    readonly name: string;
    readonly asn: number;
    readonly routerId: number;
    /** Nodes that share a ToR; null: not told. */
    readonly rack: string | null;
  };
  /** Null: no pool is shared. */
  readonly etcd: EtcdConfig | null;
  readonly bgp: {
    /** Null: do not listen. */
    readonly listenPort: number | null;
    readonly listenAddresses: readonly Uint8Array[];
    readonly maxPaths: number;
    readonly maxPathsIbgp: number;
    readonly bestPath: Omit<BestPathOptions, "maxPaths" | "maxPathsIbgp">;
    /** Seconds that neighbours have to send their routes after our restart (RFC 4724 §4.1, Selection_Deferral_Timer). */
    readonly deferralTime: number;
    /** Null: the router id. */
    readonly clusterId: number | null;
  };
  readonly pools: readonly PoolConfig[];
  readonly tables: readonly TableConfig[];
  /** Those with listen ranges; the others have gone into the peers. */
  readonly peerGroups: readonly SpeakerGroup[];
  readonly peers: readonly SpeakerPeer[];
  readonly monitoring: Pick<MonitoringOptions, "bmp" | "mrt">;
  /** Every policy of the file, used or not. */
  readonly policies: readonly Policy[];
  /** `withdrawTime`: milliseconds that a block stays in the kernel after its withdrawal has been sent. */
  readonly routing: RoutingOptions & { readonly withdrawTime: number };
  readonly cni: {
    readonly mtu: number | null;
    /** What an ADD waits for, milliseconds at most, and what becomes of it then. */
    readonly ready: ReadyLevel;
    readonly readyTimeout: number;
    readonly readyFallback: ReadyFallback;
    readonly sourceValidation: boolean;
    /** Milliseconds until a pod whose namespace is gone is released without a DEL. */
    readonly vanishedAfter: number;
    /** Where container runtimes look for network configurations, and for plugins. */
    readonly confDir: string;
    readonly binDir: string;
  };
  readonly drain: {
    /** Milliseconds between graceful-shutdown (RFC 8326) and the withdrawal. */
    readonly wait: number;
  };
  readonly api: { readonly socket: string; readonly listen: { readonly host: string; readonly port: number } | null };
  readonly paths: { readonly state: string; readonly run: string };
  /** Bytes; null: nothing is recorded. */
  readonly history: { readonly size: number | null };
  readonly log: { readonly level: "debug" | "info" | "warn" | "error" };
}
