// What a check is, what it looks at, and what it finds. Checks are pure: somebody else has gathered the facts, the daemon
// (daemon/doctor.ts) or, where none runs, the CLI, which has fewer of them.
import type { PeerView } from "../bgp/views.ts";
import type { NodeView } from "../cni/blocks/removal.ts";
import type { SourceState } from "../cni/blocks/types.ts";
import type { BlockView, PodLook } from "../cni/types.ts";
import type { Config } from "../config/types.ts";
import type { KernelSurvey } from "../routing/fib/survey.ts";
import type { FibStatus } from "../routing/types.ts";
import type { CniFiles } from "./look/cni-files.ts";
import type { ConfigFile } from "./look/config-file.ts";
import type { Firewall } from "./look/firewall.ts";
import type { StateDirectory } from "./look/state-directory.ts";
import type { SystemFiles } from "./look/system-files.ts";
import type { TcpSocket } from "./look/tcp-sockets.ts";

/** `fault`: something does not work, or will not. `warning`: worth a look. `info`: good to know. */
export type Severity = "fault" | "warning" | "info";

export interface Finding {
  /** Id of the check. */
  readonly check: string;
  /** `skipped`: the check could not look. */
  readonly severity: Severity | "skipped";
  /** What it is about: a peer, prefix, pod, rule, interface, file; empty: the node. */
  readonly subject: string;
  /** What is wrong, in a sentence without its end. */
  readonly text: string;
  /** What to do about it. */
  readonly cure: string;
}

export interface UnresolvedNextHops {
  readonly peer: string;
  /** Among the routes looked at. */
  readonly count: number;
  readonly examples: readonly { readonly prefix: string; readonly nextHops: readonly string[] }[];
}

/** Of pools that many nodes share. */
export interface SharedFacts {
  /** Of the source of blocks, and for how long; null: no pool is shared. */
  readonly state: {
    readonly kind: SourceState["kind"];
    readonly reason: string | null;
    readonly seconds: number;
  } | null;
  /** What the source says beside its state. */
  readonly warnings: readonly string[];
  /** Claims that have failed and are still needed. */
  readonly failures: readonly {
    readonly pool: string;
    readonly family: 4 | 6;
    readonly code: string;
    readonly message: string;
  }[];
  /** Null: etcd cannot be asked, or there is none. */
  readonly nodes: readonly NodeView[] | null;
  readonly exceptions: readonly { readonly pool: string; readonly used: number; readonly budget: number }[];
}

/** Taken out of service by an operator. */
export interface OutOfService {
  /** The whole node, ISO 8601; null: it serves. */
  readonly since: string | null;
  /** Names of neighbours, all of them when it is the node. */
  readonly peers: readonly string[];
}

export interface DaemonFacts {
  readonly version: string;
  /** Bytes resident, and what the machine or the control group allows; null: not known. */
  readonly memory: { readonly rss: number; readonly limit: number | null };
  /** Milliseconds over the last minute. */
  readonly eventLoopDelay: { readonly p99: number; readonly max: number };
  /** Milliseconds that the wall clock has gone ahead of (or behind) the monotonic one since the start. */
  readonly clockDrift: number;
  /** What is not well with BMP and MRT, in words. */
  readonly monitoring: readonly string[];
  /** Why the flight recorder pauses, null: it does not. */
  readonly historyProblem: string | null;
  /** Parts that should have answered. */
  readonly silent: readonly { readonly part: string; readonly reason: string }[];
}

/** Why there is nobody to ask. */
export interface Absent {
  readonly socket: string;
  readonly reason: string;
  /** Holder of the lock on the state directory, if it is held; 0: not known. */
  readonly lockedBy: number | null;
}

/** Everything that checks may look at. What is missing could not be had. */
export interface Facts {
  /** The configuration in force, or without a daemon that of the file. */
  readonly config: Config;
  readonly file: ConfigFile;
  readonly peers: readonly PeerView[];
  readonly outOfService: OutOfService;
  readonly unresolved: readonly UnresolvedNextHops[];
  readonly blocks: readonly BlockView[];
  readonly shared: SharedFacts;
  readonly kernel: KernelSurvey;
  readonly fib: FibStatus;
  readonly pods: readonly PodLook[];
  readonly state: StateDirectory;
  readonly cni: CniFiles;
  /** Of this network namespace, other programs' with a BGP port at one end. */
  readonly sockets: readonly TcpSocket[];
  readonly firewall: Firewall;
  readonly system: SystemFiles;
  readonly daemon: DaemonFacts;
  readonly absent: Absent;
  /** Of the daemon, and of the CLI that asks it. */
  readonly versions: { readonly daemon: string; readonly client: string };
}

export type Fact = keyof Facts;

export interface Gathered {
  readonly facts: Partial<Facts>;
  /** Why a fact is not there, for those that should be. */
  readonly missing: Partial<Record<Fact, string>>;
}

export interface Observation {
  readonly subject: string;
  readonly text: string;
  /** In place of the check's own. */
  readonly cure?: string;
  readonly severity?: Severity;
}

export interface Check {
  /** Stable: in JSON, and where docs/troubleshooting.md is looked into. */
  readonly id: string;
  readonly severity: Severity;
  /** What a finding means, for docs/troubleshooting.md. */
  readonly title: string;
  /** What to do, unless the finding knows better. */
  readonly cure: string;
  readonly needs: readonly Fact[];
  /** What is being changed at this moment can look like it: it counts when it is there a second time. */
  readonly settles: boolean;
  readonly run: (facts: Facts) => Iterable<Observation>;
}

type Definition<F extends Fact> = Omit<Check, "needs" | "run" | "settles"> & {
  readonly needs: readonly F[];
  readonly settles?: boolean;
  readonly run: (facts: Pick<Facts, F>) => Iterable<Observation>;
};

/** A check that sees nothing but the facts it says that it needs. */
export function check<F extends Fact>(definition: Definition<F>): Check {
  return { settles: false, ...definition };
}
