// Pools that many nodes share: etcd, claims, what other nodes hold, single addresses within their budget.
import { type Check, check } from "../types.ts";

export const sharedChecks: readonly Check[] = [
  check({
    id: "etcd-unreachable",
    severity: "fault",
    title:
      "etcd cannot be asked. Pods and blocks go on as they are; no block is claimed or given back, no address borrowed or moved.",
    cure: "what the reason says; etcdctl endpoint health; the daemon tries again by itself",
    needs: ["shared"],
    *run({ shared: { state } }) {
      if (state?.kind === "degraded" || state?.kind === "starting")
        yield {
          subject: "etcd",
          text: `cannot be asked for ${state.seconds} s now: ${state.reason ?? "no answer so far"}`,
        };
    },
  }),
  check({
    id: "node-name-taken",
    severity: "fault",
    title: "Another machine has this node's name in etcd. What this node has goes on, and it claims nothing more.",
    cure: "give one of the two another node.name",
    needs: ["shared", "config"],
    *run({ shared: { state }, config }) {
      if (state?.kind === "conflict")
        yield { subject: config.node.name, text: state.reason ?? "is another machine's name" };
    },
  }),
  check({
    id: "claim-failed",
    severity: "warning",
    title: "A pool has little room left on this node, and no further block can be claimed.",
    cure: "a larger range, a larger maxBlocks, or affinity: borrow; underlayctl nodes tells who has the blocks",
    needs: ["shared"],
    run: ({ shared: { failures } }) =>
      failures
        .filter(({ code }) => code !== "unavailable")
        .map(({ pool, family, message }) => ({ subject: pool, text: `no further IPv${family} block: ${message}` })),
  }),
  check({
    id: "pool-defined-otherwise",
    severity: "warning",
    title: "What etcd says of the shared pools is not what this node's configuration says.",
    cure: "the definition in etcd counts: change the configuration, or underlayctl nodes define-pools when all nodes have the new one",
    needs: ["shared"],
    run: ({ shared: { warnings } }) => warnings.map((text) => ({ subject: "etcd", text })),
  }),
  check({
    id: "node-not-seen",
    severity: "warning",
    title: "A node that shares the pools has not been seen for a while, and has blocks that nobody else can have.",
    cure: "bring it back; or, when it is gone for good, underlayctl nodes remove NODE",
    needs: ["shared"],
    run: ({ shared: { nodes } }) =>
      (nodes ?? [])
        .filter(({ alive, blocks }) => !alive && blocks.length > 0)
        .map(({ node, blocks }) => ({
          subject: node,
          text: `is not seen, and has ${blocks.map(({ prefix }) => prefix).join(", ")}`,
        })),
  }),
  check({
    id: "exceptions-used-up",
    severity: "warning",
    title: "All host routes that a pool may announce beside its blocks are in use: no further address is let in.",
    cure: "raise exceptions.budget of the pool, as far as the switches have room; or larger or more blocks",
    needs: ["shared"],
    run: ({ shared: { exceptions } }) =>
      exceptions
        .filter(({ used, budget }) => used > 0 && used >= budget)
        .map(({ pool, used, budget }) => ({ subject: pool, text: `${used} of ${budget} exceptions are in use` })),
  }),
];
