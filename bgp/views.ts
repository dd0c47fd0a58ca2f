// Routes and peers as the API and the CLI show them; camelCase keys that stay stable (docs/api.md).
import type { BfdStatus } from "./bfd/types.ts";
import type { PeerStatus } from "./session/types.ts";
import type { HelperView } from "./stale-routes.ts";

export interface PrefixCounts {
  readonly ipv4: number;
  readonly ipv6: number;
  readonly total: number;
}

export interface PeerView extends PeerStatus {
  /** Seconds since `lastError`. */
  readonly lastErrorAge: number | null;
  readonly received: number;
  readonly accepted: number;
  readonly advertised: number;
  readonly prefixes: {
    readonly received: PrefixCounts;
    readonly accepted: PrefixCounts;
    readonly advertised: PrefixCounts;
  };
  /** As `prefixes`, but paths: with ADD-PATH (RFC 7911) a prefix may have several. */
  readonly paths: {
    readonly received: PrefixCounts;
    readonly accepted: PrefixCounts;
    readonly advertised: PrefixCounts;
  };
  readonly import: string;
  readonly export: string;
  /** Whether default routes of our own are announced, by family (null: not to be); null: not configured. */
  readonly defaultOriginate: { readonly ipv4: boolean | null; readonly ipv6: boolean | null } | null;
  readonly table: string;
  /** Routes kept past a session loss (RFC 4724). */
  readonly stale: number;
  /** How long they may stay at most, null: none are kept. */
  readonly helper: HelperView | null;
  /** Routes treated as withdrawn, attributes discarded (RFC 7606). */
  readonly errors: {
    readonly treatedAsWithdrawn: number;
    readonly attributesDiscarded: number;
    /** Beyond a limit with `action: drop`. */
    readonly prefixesDropped: number;
  };
  /** Beyond the limit of paths per prefix (RFC 7911). */
  readonly pathsIgnored: number;
  /** Null: not configured. */
  readonly bfd?: BfdStatus | null;
}

export interface RouteView {
  readonly prefix: string;
  /** Peer name; `local` for routes of our own. */
  readonly peer: string;
  /** As the neighbour numbers it, or for what is advertised as we do (RFC 7911); null: no ADD-PATH. */
  readonly pathId: number | null;
  readonly nextHops: readonly string[];
  /** As written in a router's CLI: `65001 65002 {65003,65004}`. */
  readonly asPath: string;
  readonly origin: "igp" | "egp" | "incomplete";
  readonly localPref: number | null;
  /** Given by an import policy, 0: none. */
  readonly weight: number;
  readonly med: number | null;
  /** `65001:100` or `no-export`, large ones `65001:1:1`, extended ones `rt:65001:1`, `bandwidth:65001:125000000` or hex. */
  readonly communities: readonly string[];
  /** RFC 4456, of routes within our AS: who brought it in, and the reflectors it has passed, the last one first. */
  readonly originatorId: string | null;
  readonly clusterList: readonly string[];
  /** Only to Customer (RFC 9234): an AS number. */
  readonly otc: number | null;
  readonly best: boolean;
  /** One of several paths in use at once. */
  readonly multipath: boolean;
  /** Handed to the kernel; filled in by the daemon from the FIB's failures. */
  readonly installed: boolean;
  /** The kernel's words, when it refused the route. */
  readonly refused?: string;
  readonly table: string;
  /** Why the route is not used: policy, unresolved next hop, AS loop, ... ; null when it is eligible. */
  readonly rejected: string | null;
  readonly stale: boolean;
}

/** Names of peers by how far they have heard of a prefix. */
export interface Heard {
  /** The UPDATE has been written to the session. */
  readonly told: readonly string[];
  /** Not all that there is to say has been written yet. */
  readonly waiting: readonly string[];
  /** All has been written, and the prefix was not among it: the export policy keeps it back. */
  readonly withheld: readonly string[];
}
