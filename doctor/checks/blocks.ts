// Blocks: announced only with their blackholes, and not used up.

import { sumOf } from "../../cni/ipam/block.ts";
import { levelOf } from "../../cni/ipam/fullness.ts";
import { routePrefix } from "../../routing/kernel-state.ts";
import { RouteType } from "../../routing/netlink/constants.ts";
import { type Check, check, type Facts } from "../types.ts";

/** In no pool any more, or on their way out. */
const LEAVING: readonly string[] = ["retiring", "withdrawing", "removing"];

/** Per pool and family, with the pool's own limit. */
function fullness({ blocks, config }: Pick<Facts, "blocks" | "config">) {
  return config.pools.flatMap(({ name, warnAt = null }) =>
    ([4, 6] as const).flatMap((family) => {
      const own = blocks.filter(
        ({ pool, prefix, state }) =>
          pool === name && prefix.includes(":") === (family === 6) && !LEAVING.includes(state),
      );
      if (own.length === 0) return [];
      const use = { pool: name, family, blocks: own.length, ...sumOf(own) };
      return { ...use, level: levelOf(use, warnAt, "fine"), size: (use.capacity ?? 0) - (use.reserved ?? 0) };
    }),
  );
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
    needs: ["blocks", "config"],
    run: (facts) =>
      fullness(facts)
        .filter(({ level }) => level === "exhausted")
        .map(({ pool, family, size }) => ({
          subject: pool,
          text: `all ${size} IPv${family} addresses are in use`,
        })),
  }),
  check({
    id: "pool-nearly-exhausted",
    severity: "warning",
    title: "As many of a pool's addresses are in use as `warnAt` says (90%), or more.",
    cure: "add a block to the pool before it is full",
    needs: ["blocks", "config"],
    run: (facts) =>
      fullness(facts)
        .filter(({ level }) => level === "filling")
        .map(({ pool, family, used, size }) => ({
          subject: pool,
          text: `${used} of ${size} IPv${family} addresses are in use`,
        })),
  }),
];
