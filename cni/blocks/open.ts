// The source of blocks that a daemon with `source: etcd` has, put together: client, protocol, the copy on the disk.
import { join } from "node:path";
import { type Clock, systemClock } from "../../net/clock.ts";
import type { Log } from "../../net/log.ts";
import { EtcdClient } from "./etcd/client.ts";
import type { TlsMaterial } from "./etcd/members.ts";
import { LOCAL_COPY_FILE, LocalFile } from "./local-copy.ts";
import { EtcdBlockSource } from "./source.ts";
import type { BlockSource, ClusterPool } from "./types.ts";

export interface EtcdSettings {
  readonly endpoints: readonly string[];
  /** Keys are below `<prefix>/v1/`. */
  readonly prefix: string;
  readonly tls: () => TlsMaterial;
  readonly user: () => { readonly name: string; readonly password: string } | null;
  /** Milliseconds for a request in all. */
  readonly timeout: number;
}

export interface OpenOptions {
  readonly etcd: EtcdSettings;
  readonly node: string;
  /** Of the machine: its machine id. */
  readonly identity: string;
  readonly rack: string | null;
  readonly pools: readonly ClusterPool[];
  /** Where the copy of what is ours is kept. */
  readonly stateDir: string;
  /** Milliseconds at start until that copy counts. */
  readonly startWait?: number;
  readonly log: Log;
  readonly clock?: Clock;
}

/** Milliseconds. */
const START_WAIT = 10_000;
const SYNC_INTERVAL = 60_000;
const LEASE_TIME = 60;
const LONGEST_ATTEMPT = 3000;

export const rootOf = (prefix: string): string => `${prefix.replace(/\/+$/, "")}/v1/`;

/** With nothing started yet: start() does. */
export function openEtcdSource(options: OpenOptions): BlockSource {
  const { etcd, node, identity, rack, pools, stateDir, startWait = START_WAIT, log, clock = systemClock } = options;
  return new EtcdBlockSource(
    {
      node,
      identity,
      rack,
      pools,
      startWait,
      syncInterval: SYNC_INTERVAL,
      leaseTime: LEASE_TIME,
      root: rootOf(etcd.prefix),
    },
    { etcd: openEtcd(etcd, log, clock), store: new LocalFile(join(stateDir, LOCAL_COPY_FILE)), clock, log },
  );
}

/** For an operator's acts (removal.ts, pool-records.ts), too. To be closed. */
export function openEtcd(
  { endpoints, tls, user, timeout }: EtcdSettings,
  log: Log,
  clock: Clock = systemClock,
): EtcdClient {
  const attemptTimeout = Math.min(LONGEST_ATTEMPT, timeout);
  return new EtcdClient({ endpoints, tls, user, attemptTimeout, requestTimeout: timeout }, { log, clock });
}
