// The code of a call, run before the first one comes: V8 compiles what it sees run often, and without that a first ADD takes
// 30 ms on main alone. ADD, CHECK and DEL go through a server of the same parts as the real one, whose disk is memory and
// whose pods are made of nothing.
import type { Clock } from "../net/clock.ts";
import { silentLog } from "../net/log.ts";
import type { Attaching } from "./attach/attacher.ts";
import type { Disk, DiskFile } from "./ipam/disk.ts";
import { CniServer } from "./server.ts";
import type { Surroundings } from "./surroundings.ts";
import type { PodRoutes } from "./types.ts";

/** Calls of each verb. The first half brings most of it. */
const ROUNDS = 60;
const VERBS = ["ADD", "CHECK", "DEL"] as const;

const pool = { name: "warm-up", blocks: ["192.0.2.0/24", "2001:db8::/120"], exclude: [], table: 0 };

/** One call per turn of the loop, until `stopped` says so. */
export async function warmUpCalls(clock: Clock, stopped: () => boolean): Promise<void> {
  const options = { pools: [pool], stateDir: "/nowhere", mtu: 1500 };
  const server = new CniServer(options, { clock, log: silentLog, routes, uplinkMtu: () => 1500 }, nothing);
  await server.start();
  const env = {
    CNI_CONTAINERID: "warm-up",
    CNI_NETNS: "/proc/self/ns/net",
    CNI_NETNS_OVERRIDE: "1",
    CNI_IFNAME: "eth0",
    CNI_ARGS: "IgnoreUnknown=1;K8S_POD_NAMESPACE=warm;K8S_POD_NAME=up",
    CNI_PATH: "/",
  };
  let prevResult: unknown;
  for (let call = 0; call < ROUNDS * VERBS.length && !stopped(); call++) {
    const CNI_COMMAND = VERBS[call % VERBS.length];
    const config = { cniVersion: "1.0.0", name: "warm-up", type: "underlay", prevResult };
    const stdin = Buffer.from(JSON.stringify(config));
    const { exitCode, stdout } = await server.handle({ env: { ...env, CNI_COMMAND }, stdin, pid: process.pid });
    if (exitCode !== 0) throw new Error(`${CNI_COMMAND}: ${stdout.trim()}`);
    prevResult = CNI_COMMAND === "ADD" ? JSON.parse(stdout) : CNI_COMMAND === "DEL" ? undefined : prevResult;
    await new Promise(setImmediate);
  }
  await server.stop();
}

const routes: PodRoutes = {
  planPodRoutes: () => [],
  keepPodRoutes() {},
  dropPodRoutes() {},
  async addPodRoutes() {},
  async removePodRoutes() {},
};

const attacher: Attaching = {
  running: true,
  start() {},
  async attach(_request, durable) {
    await durable;
    return { ifindex: 1, routed: true };
  },
  detach: async () => null,
  inspect: async () => [],
  look: async () => null,
  follow: async () => null,
  list: async () => [],
  find: async () => [],
  mark: async () => null,
  warmUp: async () => null,
  async stop() {},
};

const file: DiskFile = { identity: "", async write() {}, async close() {} };
const disk: Disk = {
  read: async () => null,
  create: async () => file,
  async rename() {},
  async remove() {},
  async makeDirectory() {},
  async syncDirectory() {},
  identity: async () => "",
};

const nothing: Surroundings = {
  attacher: () => attacher,
  disk,
  boot: () => null,
  isNamespace: async () => true,
  findHolders: async () => ({ of: new Map(), complete: false }),
};
