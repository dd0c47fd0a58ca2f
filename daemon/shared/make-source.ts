// The configuration -> the source of claimed blocks, and the way to etcd for an operator's acts.
import { readFileSync } from "node:fs";
import type { EtcdClient } from "../../cni/blocks/etcd/client.ts";
import { Keys } from "../../cni/blocks/keys.ts";
import { type EtcdSettings, openEtcd, openEtcdSource, rootOf } from "../../cni/blocks/open.ts";
import type { BlockSource, ClusterPool } from "../../cni/blocks/types.ts";
import type { Config, EtcdConfig, PoolConfig } from "../../config/types.ts";
import type { Clock } from "../../net/clock.ts";
import type { Log } from "../../net/log.ts";
import { familiesOf } from "./claims.ts";

const MACHINE_ID = "/etc/machine-id";

interface Deps {
  readonly clock: Clock;
  readonly log: Log;
}

/** Null: no pool of the configuration is shared. Nothing is started yet. */
export function makeSource({ node, etcd, pools, paths }: Config, { clock, log }: Deps): BlockSource | null {
  const shared = pools.filter(({ source }) => source === "etcd");
  if (!etcd || shared.length === 0) return null;
  return openEtcdSource({
    etcd: settingsOf(etcd),
    node: node.name,
    identity: machineId(log) ?? node.name,
    rack: node.rack,
    pools: shared.map(clusterPool),
    stateDir: paths.state,
    startWait: etcd.timeout * 2,
    log,
    clock,
  });
}

/** Runs `work` with a connection of its own. */
export async function withEtcd<T>(
  etcd: EtcdConfig,
  { clock, log }: Deps,
  work: (client: EtcdClient, keys: Keys) => Promise<T>,
): Promise<T> {
  const settings = settingsOf(etcd);
  const client = openEtcd(settings, log, clock);
  try {
    return await work(client, new Keys(rootOf(settings.prefix)));
  } finally {
    client.close();
  }
}

export function clusterPool(pool: PoolConfig): ClusterPool {
  const { name, ranges, blockSize, exclude, affinity, lend, maxBlocks } = pool;
  const sizes = { 4: blockSize.ipv4, 6: blockSize.ipv6 };
  return {
    name,
    cidrs: ranges,
    blockSize: Object.fromEntries(familiesOf(pool).map((family) => [family, sizes[family]])),
    exclude,
    rackSize: {},
    racks: {},
    lend: affinity === "borrow" ? lend : 0,
    maxBlocks,
  };
}

function settingsOf({ endpoints, prefix, tls, username, password, timeout }: EtcdConfig): EtcdSettings {
  const read = (path: string | null) => (path === null ? null : readFileSync(path));
  return {
    endpoints,
    prefix,
    tls: () => ({ ca: read(tls.ca), cert: read(tls.cert), key: read(tls.key) }),
    user: () => (username === null ? null : { name: username, password: password ?? "" }),
    timeout,
  };
}

/** Null: there is none, as in many containers; machines with the same node name are then taken for one. */
export function machineId(log: Log): string | null {
  try {
    const id = readFileSync(MACHINE_ID, "utf8").trim();
    if (id !== "") return id;
  } catch {
    // As if it were empty.
  }
  log.warn(
    { file: MACHINE_ID },
    "this machine has no machine id: another one with the same node name would not be noticed",
  );
  return null;
}
