// 50 nodes claim, lend, borrow and give back against a real etcd cluster of three, while requests and answers are lost
// and repeated, connections are cut or half open, processes stand still and are killed, nodes are removed, and members
// of etcd die. An oracle reads every revision of etcd's store and everything that every node announced: one owner of a
// block at each moment, one hand for an address, nothing announced that was not confirmed, no last block given back; in
// the end everybody agrees with etcd.
//
// SECONDS=n makes it longer.
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { ClusterPool } from "../../cni/blocks/types.ts";
import { until } from "./support/etcd.ts";
import { Swarm } from "./support/swarm/swarm.ts";

const SECONDS = Number(process.env.SECONDS ?? 3);

const pool: ClusterPool = {
  name: "default",
  cidrs: ["10.128.0.0/20", "2001:db8::/116"],
  blockSize: { 4: 28, 6: 124 },
  exclude: ["10.128.0.0/27"],
  rackSize: {},
  racks: { r0: ["10.128.8.0/24"] },
  lend: 4,
  maxBlocks: 2,
};

let swarm: Swarm;
beforeAll(async () => {
  swarm = new Swarm({ processes: 5, nodesEach: 10, racks: 5, members: 3, pool, pace: 300 });
  await swarm.start();
});
afterAll(() => swarm.end());

const pick = <T>(list: readonly T[]): T => list[Math.floor(Math.random() * list.length)];

async function trouble(end: number): Promise<Record<string, number>> {
  const done: Record<string, number> = { killed: 0, stopped: 0, removed: 0, forced: 0, members: 0, compactions: 0 };
  const pending: Promise<unknown>[] = [];
  const later = (milliseconds: number, work: () => unknown) => pending.push(sleep(milliseconds).then(work));
  const busy = new Set<unknown>();
  const round = async () => {
    const node = pick(swarm.proxies);
    for (const { faults } of node)
      Object.assign(faults, {
        delay: Math.random() * 20,
        loseAnswer: Math.random() * 0.15,
        replay: 0.5,
        loseRequest: Math.random() * 0.1,
      });
    const proxy = pick(pick(swarm.proxies));
    if (Math.random() < 0.5) proxy.cut();
    else proxy.faults.halfOpen = true;
    later(Math.random() * 2000, () => proxy.heal());
    const die = Math.random();
    const group = pick(swarm.groups);
    if (busy.has(group)) return;
    if (die < 0.05) {
      busy.add(group);
      done.stopped++;
      swarm.stop(group);
      // Longer than a node's lease lasts.
      later(2000 + Math.random() * 4000, () => {
        swarm.goOn(group);
        busy.delete(group);
      });
    } else if (die < 0.12) {
      busy.add(group);
      done.killed++;
      await swarm.kill(group);
      const gone = Math.random() < 0.5;
      later(500, async () => {
        // For good, the operator thinks.
        if (gone) done.removed += await swarm.removeDead(group);
        swarm.boot(group);
        busy.delete(group);
      });
    } else if (die < 0.14 && !busy.has("etcd")) {
      busy.add("etcd");
      done.members++;
      const member = Math.floor(Math.random() * swarm.server.members.length);
      await swarm.server.kill(member);
      later(1000, async () => {
        swarm.server.restart(member);
        await sleep(1500);
        busy.delete("etcd");
      });
    } else if (die < 0.17) {
      done.compactions++;
      const { revision } = await swarm.client.range({ key: "x" }, 1, 0);
      swarm.server.ctl("compaction", String(Math.max(1, revision - 50)));
    }
  };
  while (Date.now() < end) {
    await round();
    await sleep(60);
  }
  await Promise.all(pending);
  return done;
}

it("never has a block or an address in two hands", async () => {
  // Each kind of trouble at least once.
  const [first, second] = swarm.groups;
  const announcing = () => new Set(swarm.lines().flatMap(({ kind, node }) => (kind === "announce" ? [node] : []))).size;
  await until(() => announcing() === 50, "every node has a block", 40_000);
  await swarm.kill(first);
  const removal = swarm.removeDead(first);
  swarm.stop(second);
  await swarm.server.kill(0);
  const done = await trouble(Date.now() + SECONDS * 1000);
  const removed = await removal;
  swarm.goOn(second);
  swarm.server.restart(0);
  // Alive, with nothing between it and etcd: it has as long as the quarantine lasts.
  const owners = (await swarm.rest()).filter(({ blocks }) => blocks.length > 0).slice(0, 3);
  const forced = await swarm.remove(
    owners.map(({ node }) => node),
    true,
    8,
  );
  const reports = await swarm.rest();
  const verdict = await swarm.verdict();
  if (process.env.SECONDS) console.log({ ...done, removed: done.removed + removed, forced }, swarm.counts(), verdict);
  expect(verdict.faults).toEqual([]);
  expect(reports).toHaveLength(50);
  expect(removed + done.removed).toBeGreaterThanOrEqual(10);
  expect(verdict.announcements).toBeGreaterThan(100);
  expect(verdict.lost).toBeGreaterThan(0);
  expect(swarm.counts().replays).toBeGreaterThan(0);
  expect(await swarm.mixedRanges()).toEqual([]);
});
