// Uninstall (`underlayctl uninstall`): not a trace is left of what the daemon has made. Neighbours are told first
// (shutdown.ts), as long as there is a daemon; then pods' cables (only when that is forced), rules, routes and next
// hops, the settings that were changed, what was claimed in etcd, and at the end the files (own-files.ts). Without a
// daemon the same is done by `underlayd --uninstall`; neighbours forget a node that has died by themselves.
//
// What a person has installed (programs, units, the configuration, the runtime's network list) is not ours to remove.
import { rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { JOURNAL_NAME } from "../../cni/ipam/store.ts";
import { CniServer } from "../../cni/server.ts";
import type { PodView } from "../../cni/types.ts";
import type { Config } from "../../config/types.ts";
import { systemClock } from "../../net/clock.ts";
import type { Log } from "../../net/log.ts";
import { FibClient } from "../../routing/fib/client.ts";
import type { RestoredSetting } from "../../routing/types.ts";
import { ApiError } from "../api/types.ts";
import { type ClusterExit, leaveCluster, QUARANTINE_S } from "../shared/leave.ts";
import { lockFile, ownDirectories, removeOwnFiles } from "./own-files.ts";

export interface UninstallView {
  /** Pods that have lost their interface, by their host's end of it. */
  readonly pods: readonly string[];
  /** Kernel settings that had been changed, and what became of them. */
  readonly settings: readonly RestoredSetting[];
  /** Directories that the daemon empties as it ends, and cannot always remove itself. */
  readonly directories: readonly string[];
  /** Gone when all of that is done. */
  readonly lock: string;
  /** What has become of the node in etcd; null: it shares no pools. */
  readonly etcd: ClusterExit | null;
}

interface KernelParts {
  readonly config: Config;
  readonly fib: Pick<FibClient, "stop">;
  readonly cni: Pick<CniServer, "pods" | "detachAll" | "stop">;
  readonly log: Log;
}

/** How many pods a message names at most. */
const NAMED_PODS = 10;

/** Throws ApiError 409 with the names of the pods. */
export function refuseWithPods(pods: readonly PodView[]): void {
  if (pods.length === 0) return;
  const names = pods.map(({ pod, containerId, addresses }) => `${pod ?? containerId} (${addresses.join(", ")})`);
  const many = names.length > NAMED_PODS ? ` and ${names.length - NAMED_PODS} more` : "";
  throw new ApiError(
    409,
    `${pods.length} pods are attached: ${names.slice(0, NAMED_PODS).join(", ")}${many}; remove them first, or --force takes their network away`,
  );
}

/** Pods, rules, routes, next hops, settings. Rejects with what the kernel refused. */
export async function removeFromKernel({ config, fib, cni, log }: KernelParts): Promise<Omit<UninstallView, "etcd">> {
  const pods = cni.pods().map(({ hostInterface }) => hostInterface);
  await cni.detachAll();
  await cni.stop();
  const settings = await fib.stop("remove");
  log.info({ pods, settings: settings.map(({ name, outcome }) => `${name} ${outcome}`) }, "removed from the kernel");
  return { pods, settings, directories: ownDirectories(config), lock: lockFile(config) };
}

export interface OfflineUninstall {
  /** What could not be removed. */
  readonly left: readonly string[];
  readonly etcd: ClusterExit | null;
}

/** Without a daemon, whose lock the caller holds. Rejects like the parts, and with the pods there are. */
export async function uninstallOffline(config: Config, forced: boolean, log: Log): Promise<OfflineUninstall> {
  const fib = new FibClient(config.routing, { log, stateDir: config.paths.state });
  await fib.start();
  const cni = await startCni(config, forced, fib, log).catch((error: unknown) => stopAnd(fib, error));
  try {
    if (!forced) refuseWithPods(cni.pods());
  } catch (error) {
    await cni.stop();
    await stopAnd(fib, error);
  }
  const { settings } = await removeFromKernel({ config, fib, cni, log });
  // Nobody has told the neighbours.
  const etcd = await leaveCluster(config, QUARANTINE_S, { clock: systemClock, log });
  const lost = settings.filter(({ outcome }) => !["restored", "gone", "kept"].includes(outcome));
  const left = [
    ...lost.map(({ name, before, outcome }) => `${name} is not ${before} again (${outcome})`),
    ...removeOwnFiles(config),
  ];
  return { left, etcd };
}

/** A journal that cannot be read does not save pods whose end is wanted: their interfaces say whose they are. */
async function startCni(config: Config, forced: boolean, fib: FibClient, log: Log): Promise<CniServer> {
  const start = async () => {
    const { pools, paths, cni, api } = config;
    const options = { pools, stateDir: paths.state, spoolDir: join(dirname(api.socket), "spool"), mtu: cni.mtu };
    const server = new CniServer(options, { clock: systemClock, log, routes: fib, uplinkMtu: () => null });
    await server.start();
    return server;
  };
  try {
    return await start();
  } catch (error) {
    if (!forced) throw error;
    log.warn(
      { reason: (error as Error).message },
      "the allocations cannot be read: pods are found by their interfaces",
    );
    rmSync(join(config.paths.state, JOURNAL_NAME), { force: true });
    return start();
  }
}

async function stopAnd(fib: FibClient, error: unknown): Promise<never> {
  await fib.stop("keep").catch(() => undefined);
  throw error;
}
