// The claim protocol with its real code, against a simulated etcd, under lost requests and answers, requests delivered
// twice and late, partitions, processes that stand still, crashes at any moment, nodes removed by an operator, and a
// store that is wiped. After every step: no block and no address in two hands, nothing pending in use. In the end:
// everybody agrees, nothing has leaked.
//
// SEED=n repeats one history, RUNS=n makes more of them.
import { expect, it } from "vitest";
import { BlockSourceError } from "../../../../cni/blocks/types.ts";
import { Cluster, POOL, type SimulatedNode } from "./cluster.ts";

const RUNS = Number(process.env.RUNS ?? 30);
const seeds = process.env.SEED
  ? [Number(process.env.SEED)]
  : Array.from({ length: RUNS }, (_, i) => i + 1 + Math.floor(Math.random() * 1e9));

/** mulberry32 */
function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const refusals = new Map<string, number>();

function ask(what: Promise<unknown>): void {
  what.catch((error) => {
    if (!(error instanceof BlockSourceError)) throw error;
    refusals.set(error.code, (refusals.get(error.code) ?? 0) + 1);
  });
}

function deed(cluster: Cluster, node: SimulatedNode, random: () => number): void {
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)];
  const identity = { pool: "default", namespace: "ns", name: `web-${Math.floor(random() * 3)}` };
  const { source } = node;
  const die = random();
  if (!source) {
    if (die < 0.6) cluster.boot(node, node.faults.cut ? 2000 : Number.POSITIVE_INFINITY);
    else if (die < 0.75) void cluster.remove(node, false);
    return;
  }
  const family = random() < 0.7 ? 4 : 6;
  if (die < 0.3) {
    // Now and then the block around what a pod here has from before.
    if (random() < 0.15) ask(source.take("default", `10.0.0.${Math.floor(random() * 64)}`));
    else ask(source.want("default", family));
    // Right between two of its steps it stands still, or is killed.
    const { clock } = node;
    const within = random() * 80;
    const fate = random();
    if (fate < 0.15)
      cluster.world.after(within, () => (clock!.stillUntil = cluster.world.now + 5000 + random() * 35_000));
    else if (fate < 0.25) cluster.world.after(within, () => node.clock === clock && cluster.kill(node));
  } else if (die < 0.42) {
    const blocks = source.blocks();
    if (blocks.length > 0) ask(source.giveBack(pick(blocks).prefix));
  } else if (die < 0.5) ask(source.borrow("default", family));
  else if (die < 0.56) {
    const loans = source.loans();
    if (loans.length > 0) ask(source.giveBackLoan(pick(loans).address));
  } else if (die < 0.66) {
    const own = source.blocks().filter((block) => block.family === 4);
    const loans = source.loans().map(({ address }) => address);
    const fresh =
      loans.length > 0 && random() < 0.5 ? [pick(loans)] : own.length > 0 ? [pick(own).prefix.split("/")[0]] : [];
    if (fresh.length > 0) ask(source.hold(identity, fresh));
  } else if (die < 0.72) ask(source.letGo(identity, new Date(cluster.world.now + random() * 60_000).toISOString()));
  else if (die < 0.73) ask(source.forget(identity));
  else if (die < 0.74) ask(source.expire(identity, new Date(cluster.world.now).toISOString()));
  else if (die < 0.82) cluster.kill(node);
  else if (die < 0.87) node.clock!.stillUntil = cluster.world.now + random() * 40_000;
  else if (die < 0.92) node.faults.cut = !node.faults.cut;
  else if (die < 0.93) cluster.etcd.compact();
  else if (die < 0.94) void cluster.editPool();
  else if (die < 0.95 && !node.faults.cut && node.clock!.stillUntil < cluster.world.now) {
    Object.assign(node.faults, { loseRequest: 0, loseAnswer: 0 });
    void cluster.remove(node, true);
  } else Object.assign(node.faults, { loseRequest: random() * 0.2, loseAnswer: random() * 0.2, twice: random() * 0.3 });
}

async function history(seed: number): Promise<Cluster> {
  const random = randomOf(seed);
  const racks = random() < 0.5 ? [null, null, null, null] : ["r1", "r1", "r2", null];
  const cluster = new Cluster(random, { ...POOL, lend: random() < 0.7 ? 2 : 0 }, racks);
  for (const node of cluster.nodes) cluster.boot(node, Number.POSITIVE_INFINITY);
  const steps = 20 + Math.floor(random() * 60);
  const wipeAt = random() < 0.2 ? Math.floor(steps / 2) : steps;
  for (let i = 0; i < steps; i++) {
    // A node whose removal etcd has forgotten would come back as if nothing had been.
    if (i === wipeAt) {
      await cluster.run(cluster.world.now + 60_000);
      if (cluster.nodes.every(({ removed }) => !removed)) await cluster.wipe();
    }
    await cluster.run(cluster.world.now + random() * 2000);
    deed(cluster, cluster.nodes[Math.floor(random() * cluster.nodes.length)], random);
  }
  // What is on its way happens first.
  await cluster.run(cluster.world.now + 100);
  for (const node of cluster.nodes) {
    Object.assign(node.faults, { loseRequest: 0, loseAnswer: 0, twice: 0, cut: false });
    if (!node.source) cluster.boot(node, Number.POSITIVE_INFINITY);
  }
  // Beyond the longest standstill, the latest second delivery, a quarantine and two syncs.
  await cluster.run(cluster.world.now + 200_000);
  cluster.checkQuiet();
  return cluster;
}

it("never has a block or an address in two hands, and leaks none", async () => {
  let claims = 0;
  let steps = 0;
  for (const seed of seeds) {
    const cluster = await history(seed).catch((error) => {
      throw new Error(`SEED=${seed}: ${error.message}`, { cause: error });
    });
    claims += cluster.claims;
    steps += cluster.steps;
  }
  if (process.env.RUNS) console.log(`${seeds.length} histories, ${steps} steps, ${claims} blocks claimed`, refusals);
  expect(claims).toBeGreaterThan(seeds.length);
});
