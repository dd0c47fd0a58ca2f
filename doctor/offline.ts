// What can be looked at where no daemon answers: the configuration file, what a daemon has left in the kernel and on disk,
// and what is around it. Sessions, routes and pods are known to a daemon only.
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Config } from "../config/types.ts";
import { prefix } from "../net/prefix.ts";
import { readDeadDefaults } from "../routing/dead-defaults.ts";
import type { KernelSurvey } from "../routing/fib/survey.ts";
import { readOrNull } from "../routing/fib/sysctls.ts";
import { findHazards } from "../routing/hazards.ts";
import { readKernel } from "../routing/kernel-state.ts";
import { NetlinkSocket } from "../routing/netlink/socket.ts";
import { hostFiles, readNetworkd } from "../routing/networkd.ts";
import { Ownership } from "../routing/ownership.ts";
import { lookAtCni } from "./look/cni-files.ts";
import { lookAtConfigFile } from "./look/config-file.ts";
import { lookAtFirewall } from "./look/firewall.ts";
import { lookAtState } from "./look/state-directory.ts";
import { lookAtSystem } from "./look/system-files.ts";
import { examine } from "./run.ts";
import { nodeSettings } from "./settings.ts";
import type { Fact, Facts, Finding } from "./types.ts";

/** `reason`: why nobody answered on `socket`. Rejects for nothing that is wrong with the node. */
export async function examineOffline(file: string, socket: string, reason: string): Promise<Finding[]> {
  const facts: { -readonly [F in Fact]?: Facts[F] } = { file: lookAtConfigFile(file) };
  const missing: Partial<Record<Fact, string>> = {};
  const take = async <F extends Fact>(fact: F, look: () => Promise<Facts[F]>) => {
    try {
      facts[fact] = (await look()) as (typeof facts)[F];
    } catch (error) {
      missing[fact] = error instanceof Error ? error.message : String(error);
    }
  };
  const config = facts.file?.config ?? null;
  facts.absent = { socket, reason, lockedBy: config && (await lockHolder(config.paths.state)) };
  if (config) {
    facts.config = config;
    await take("state", () => lookAtState({ state: config.paths.state, socket: config.api.socket }));
    await take("cni", () => lookAtCni(config.cni));
    await take("system", () => lookAtSystem(config.routing.protocol));
    await take("firewall", lookAtFirewall);
    await take("kernel", () => surveyOffline(config));
  } else missing.config = "the configuration file has faults";
  return examine({ facts, missing });
}

async function surveyOffline(config: Config): Promise<KernelSurvey> {
  const { protocol, localTable } = config.routing;
  const tables = config.tables.map(({ id }) => id);
  const socket = new NetlinkSocket();
  try {
    const state = await readKernel(socket, {
      protocol,
      localTable,
      tables,
      isLearned: ({ nextHopId }) => nextHopId !== 0,
    });
    const hazards = findHazards({
      protocol,
      localTable,
      tables,
      blocks: config.pools.flatMap(({ blocks }) => blocks.map(prefix)),
      lastPriority: new Ownership(config.routing).lastPodPriority,
      rules: state.rules,
      foreignRoutes: [],
      overflows: [],
      deadDefaults: config.tables.some(({ hostRoutes }) => hostRoutes === "first") ? readDeadDefaults(socket) : [],
      uplinks: config.peers.flatMap((peer) => peer.interface ?? []),
      ipv6Routes: 0,
      sysctl: readOrNull,
      networkd: readNetworkd(hostFiles),
    });
    const settings = Object.fromEntries(nodeSettings.map((path) => [path, readOrNull(path)]));
    return { state, comparison: null, settings, hazards };
  } finally {
    socket.close();
  }
}

/** Who has the lock on the state directory, 0: somebody unknown, null: nobody. Looks, without trying to take it. */
export async function lockHolder(state: string): Promise<number | null> {
  const path = join(state, "lock");
  const file = await stat(path).catch(() => null);
  if (!file) return null;
  const locks = await readFile("/proc/locks", "utf8").catch(() => "");
  if (!locks.split("\n").some((line) => line.includes("FLOCK") && line.includes(`:${file.ino} `))) return null;
  return Number(await readFile(path, "utf8").catch(() => "")) || 0;
}
