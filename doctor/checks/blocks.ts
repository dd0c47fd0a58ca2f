// Blocks: announced only with their blackholes, and not used up.

import { routePrefix } from "../../routing/kernel-state.ts";
import { RouteType } from "../../routing/netlink/constants.ts";
import { type Check, check, type Facts } from "../types.ts";

/** Percent in use from which on it is told. */
const NEARLY = 90;

interface Use {
  readonly pool: string;
  readonly family: string;
  readonly used: number;
  readonly capacity: number;
}

/** Per pool and family; blocks too large to count never fill. */
function uses({ blocks }: Pick<Facts, "blocks">): Use[] {
  const sums = new Map<string, { -readonly [K in keyof Use]: Use[K] }>();
  for (const { prefix, pool, used, capacity } of blocks) {
    const family = prefix.includes(":") ? "IPv6" : "IPv4";
    const sum = sums.get(`${pool} ${family}`) ?? { pool, family, used: 0, capacity: 0 };
    sum.used += used;
    sum.capacity += capacity ?? Number.POSITIVE_INFINITY;
    sums.set(`${pool} ${family}`, sum);
  }
  return [...sums.values()];
}

export const blockChecks: readonly Check[] = [
  check({
    id: "block-not-announced",
    severity: "fault",
    title:
      "A session is Established in the table of a block, and no neighbour was told of the block: its pods cannot be reached.",
    cure: "underlayctl policy test --export PEER BLOCK; underlayctl blocks",
    needs: ["blocks", "peers", "config", "outOfService"],
    settles: true,
    *run({ blocks, peers, config, outOfService }) {
      for (const { prefix, pool, state, reason } of blocks) {
        if (state !== "pending" && state !== "withdrawn") continue;
        const table = config.pools.find(({ name }) => name === pool)?.table;
        const name = config.tables.find(({ id }) => id === table)?.name;
        const up = peers.filter(
          (peer) => peer.state === "Established" && peer.table === name && !outOfService.peers.includes(peer.name),
        );
        if (up.length > 0)
          yield {
            subject: prefix,
            text: `is ${state}${reason ? ` (${reason})` : ""}: none of ${up.map((peer) => peer.name).join(", ")} was told of it`,
          };
      }
    },
  }),
  check({
    id: "block-failed",
    severity: "fault",
    title:
      "A block is not announced, because the kernel does not have what belongs to it: its blackhole and its rules.",
    cure: "the kernel's words say what is in the way; the daemon tries again with growing pauses",
    needs: ["blocks"],
    run: ({ blocks }) =>
      blocks
        .filter(({ state }) => state === "failed")
        .map(({ prefix, reason }) => ({ subject: prefix, text: `is not announced: ${reason}` })),
  }),
  check({
    id: "block-retiring",
    severity: "info",
    title:
      "A block is in no pool any more. It stays announced until its last pod is gone, or the block in its place is announced.",
    cure: "recreate its pods to be rid of it sooner",
    needs: ["blocks"],
    run: ({ blocks }) =>
      blocks
        .filter(({ state }) => state === "retiring")
        .map(({ prefix, reason, used }) => ({ subject: prefix, text: `${reason}; ${used} addresses are in use` })),
  }),
  check({
    id: "announced-without-blackhole",
    severity: "fault",
    title: "A block is announced while its blackhole is not in the kernel: the fabric sends packets that loop.",
    cure: "the daemon puts the blackhole back; underlayctl watch --types kernel tells who takes it away",
    needs: ["blocks", "kernel", "config"],
    settles: true,
    *run({ blocks, kernel, config }) {
      if (!config.routing.install) return;
      for (const { prefix, state } of blocks) {
        const there = kernel.state.local.some(
          (route) =>
            route.type === RouteType.blackhole &&
            route.protocol === config.routing.protocol &&
            routePrefix(route) === prefix,
        );
        if (state === "announced" && !there)
          yield { subject: prefix, text: "is announced without a blackhole in the kernel" };
      }
    },
  }),
  check({
    id: "pool-exhausted",
    severity: "fault",
    title: "All addresses of a pool are in use: no further pod can be attached.",
    cure: "remove pods, or add a block to the pool",
    needs: ["blocks"],
    run: (facts) =>
      uses(facts)
        .filter(({ used, capacity }) => used >= capacity)
        .map(({ pool, family, capacity }) => ({
          subject: pool,
          text: `all ${capacity} ${family} addresses are in use`,
        })),
  }),
  check({
    id: "pool-nearly-exhausted",
    severity: "warning",
    title: `At least ${NEARLY} % of a pool's addresses are in use.`,
    cure: "add a block to the pool before it is full",
    needs: ["blocks"],
    run: (facts) =>
      uses(facts)
        .filter(({ used, capacity }) => used < capacity && used * 100 >= capacity * NEARLY)
        .map(({ pool, family, used, capacity }) => ({
          subject: pool,
          text: `${used} of ${capacity} ${family} addresses are in use`,
        })),
  }),
];
