// The steps of the claim protocol, with somebody else's step in between them: each compare of each transaction has a
// moment in which it is what keeps two nodes apart. Against the simulated store, without delays;
// test/property/cni/blocks/ does it at random.
import { setImmediate } from "node:timers/promises";
import { expect, it } from "vitest";
import { EtcdError } from "../../../../cni/blocks/etcd/error.ts";
import type { Etcd, Txn, TxnResult } from "../../../../cni/blocks/etcd/kv.ts";
import { Keys } from "../../../../cni/blocks/keys.ts";
import { leave } from "../../../../cni/blocks/leaving.ts";
import { EMPTY_COPY, type LocalCopy, type LocalStore } from "../../../../cni/blocks/local-copy.ts";
import { putPool, setPaused } from "../../../../cni/blocks/pool-records.ts";
import { listNodes, removeNode } from "../../../../cni/blocks/removal.ts";
import { EtcdBlockSource } from "../../../../cni/blocks/source.ts";
import { addressesOf } from "../../../../cni/blocks/space.ts";
import type { BlockSource, ClusterPool, SourceChange } from "../../../../cni/blocks/types.ts";
import { SimulatedConnection, SimulatedEtcd } from "../../../property/cni/blocks/simulated-etcd.ts";
import { ProcessClock, World } from "../../../property/cni/blocks/time.ts";

const pool: ClusterPool = {
  name: "default",
  cidrs: ["10.0.0.0/24", "2001:db8::/120"],
  blockSize: { 4: 28, 6: 124 },
  exclude: [],
  rackSize: {},
  racks: {},
  lend: 2,
  maxBlocks: 4,
};
const keys = new Keys();

class Disk implements LocalStore {
  copy: LocalCopy = EMPTY_COPY;
  load = () => Promise.resolve(this.copy);
  save = (copy: LocalCopy) => {
    this.copy = copy;
    return Promise.resolve();
  };
}

/** Between a node and the store: what happens right before, or instead of, a transaction. */
class Line {
  before: ((txn: Txn) => void | Promise<void>) | null = null;
  /** Executed, and the answer lost. */
  loseAnswer = false;
  /** On its way for ever; deliver() has it arrive. */
  keep = false;
  deliver: () => TxnResult = () => {
    throw new Error("nothing kept");
  };
}

function rig() {
  const world = new World();
  const etcd = new SimulatedEtcd(world);
  const faults = { loseRequest: 0, loseAnswer: 0, twice: 0, delay: 0, cut: false };
  let ids = 0;
  const connect = () => new SimulatedConnection(world, etcd, new ProcessClock(world), faults, () => 0.5);
  const boot = (name: string, over: { disk?: Disk; identity?: string; rack?: string; startWait?: number } = {}) => {
    const clock = new ProcessClock(world);
    const line = new Line();
    const own = { ...faults };
    const connection = new SimulatedConnection(world, etcd, clock, own, () => 0.5);
    const wrapped: Etcd = {
      range: (...args) => connection.range(...args),
      grantLease: (ttl) => connection.grantLease(ttl),
      keepLease: (id) => connection.keepLease(id),
      watch: (...args) => connection.watch(...args),
      close: () => connection.close(),
      txn: async (txn) => {
        const { before } = line;
        if (before && isWrite(txn)) {
          line.before = null;
          await before(txn);
        }
        if (line.keep && isWrite(txn)) {
          line.keep = false;
          line.deliver = () => etcd.txn(txn);
          throw new EtcdError("unavailable", "no answer", true);
        }
        const result = await connection.txn(txn);
        if (!line.loseAnswer || !isWrite(txn)) return result;
        line.loseAnswer = false;
        // As the client does: it asks again.
        return connection.txn(txn);
      },
    };
    const disk = over.disk ?? new Disk();
    const source = new EtcdBlockSource(
      {
        node: name,
        identity: over.identity ?? `machine-${name}`,
        rack: over.rack ?? null,
        pools: [pool],
        startWait: over.startWait ?? 1000,
        syncInterval: 60_000,
        leaseTime: 60,
      },
      { etcd: wrapped, store: disk, clock, random: () => 0.5, newId: () => `id${ids++}`, timeOfDay: () => "now" },
    );
    const changes: SourceChange[] = [];
    source.onChange((change) => changes.push(change));
    return { source, line, disk, changes, clock, faults: own };
  };
  /** Time passes until it is settled. */
  const done = async <T>(what: Promise<T>): Promise<T> => {
    let settled = false;
    const end = () => {
      settled = true;
    };
    what.then(end, end);
    // What follows without time first: it has timers of its own.
    await setImmediate();
    for (let i = 0; i < 20_000 && !settled; i++) if (!(await world.step(world.now + 10))) await setImmediate();
    return what;
  };
  const pass = async (milliseconds: number) => {
    for (const end = world.now + milliseconds; await world.step(end); );
  };
  const record = (prefix: string) => JSON.parse(etcd.keys.get(keys.block(prefix))?.value ?? "null");
  const seize = (prefix: string, node: string) => {
    const value = JSON.stringify({
      ...record(prefix),
      node,
      registration: "theirs",
      claim: "theirs",
      state: "confirmed",
      pool: "default",
      rack: null,
      lend: null,
      since: "now",
    });
    etcd.txn({ compare: [], success: [{ put: { key: keys.block(prefix), value } }], failure: [] });
  };
  return { world, etcd, connect, boot, done, pass, record, seize };
}

const isWrite = (txn: Txn) => txn.success.some((operation) => !("get" in operation));
const prefixesOf = (source: BlockSource) => source.blocks().map(({ prefix }) => prefix);
/** The block that a claim or confirmation is about. */
const about = (txn: Txn) => {
  for (const operation of txn.success)
    if ("put" in operation && operation.put.key.startsWith(`${keys.root}blocks/`))
      return keys.prefixOf(operation.put.key);
  return null;
};

it("takes another block when somebody was faster", async () => {
  const { boot, done, seize, record } = rig();
  const { source, line } = boot("a");
  await done(source.start());
  let first = "";
  line.before = (txn) => {
    first = about(txn)!;
    seize(first, "b");
  };
  const block = await done(source.want("default", 4));
  expect(block.prefix).not.toBe(first);
  expect(record(first).node).toBe("b");
});

it("does not confirm what has become another's while it stood still", async () => {
  const { boot, done, etcd, seize, record } = rig();
  const { source, line } = boot("a");
  await done(source.start());
  let first = "";
  line.before = () => {
    line.before = (txn) => {
      first = about(txn)!;
      expect(record(first).state).toBe("pending");
      expect(source.blocks()).toEqual([]);
      etcd.txn({ compare: [], success: [{ remove: { key: keys.block(first) } }], failure: [] });
      seize(first, "b");
    };
  };
  const block = await done(source.want("default", 4));
  expect(block.prefix).not.toBe(first);
  expect(record(first).node).toBe("b");
  expect(prefixesOf(source)).toEqual([block.prefix]);
});

it("claims nothing by an old definition of the pool", async () => {
  const { boot, done, connect } = rig();
  const { source, line } = boot("a");
  await done(source.start());
  line.before = () => putPool(connect(), keys, { ...pool, blockSize: { 4: 26, 6: 124 } });
  const block = await done(source.want("default", 4));
  expect(block.prefix).toMatch(/\/26$/);
});

it("knows its own claim again when the answer was lost", async () => {
  const { boot, done, etcd } = rig();
  const { source, line } = boot("a");
  await done(source.start());
  line.loseAnswer = true;
  const block = await done(source.want("default", 4));
  line.loseAnswer = true;
  const loan = boot("b");
  await done(loan.source.start());
  loan.line.loseAnswer = true;
  await done(loan.source.borrow("default", 4));
  const blocks = [...etcd.keys.keys()].filter((key) => key.startsWith(`${keys.root}blocks/`));
  expect(blocks).toEqual([keys.block(block.prefix)]);
  expect([...etcd.keys.keys()].filter((key) => key.includes("/lent/"))).toHaveLength(1);
});

it("ends what may still be under way before it does anything else", async () => {
  const { boot, done, pass, etcd } = rig();
  const { source, line } = boot("a");
  await done(source.start());
  line.keep = true;
  await expect(done(source.want("default", 4))).rejects.toMatchObject({ code: "unavailable" });
  expect(source.state.kind).toBe("degraded");
  await pass(5000);
  expect(source.state.kind).toBe("connected");
  expect(line.deliver().succeeded).toBe(false);
  expect([...etcd.keys.keys()].some((key) => key.startsWith(`${keys.root}blocks/`))).toBe(false);
});

it("keeps a block that somebody borrows of at the moment that it goes back", async () => {
  const { boot, done, record } = rig();
  const a = boot("a");
  const b = boot("b");
  await done(a.source.start());
  await done(b.source.start());
  const first = await done(a.source.want("default", 4));
  const second = await done(a.source.want("default", 4));
  await expect(done(a.source.giveBack("10.9.9.0/28"))).rejects.toMatchObject({ code: "notOwned" });
  a.line.before = async () => {
    const one = await b.source.borrow("default", 4);
    const other = await b.source.borrow("default", 4);
    expect([one.block, other.block]).toContain(second.prefix);
  };
  await expect(done(a.source.giveBack(second.prefix))).rejects.toMatchObject({ code: "lent" });
  expect(prefixesOf(a.source).sort()).toEqual([first.prefix, second.prefix].sort());
  expect(record(second.prefix)).toMatchObject({ node: "a", state: "confirmed" });
});

it("never gives the last one of a family back", async () => {
  const { boot, done } = rig();
  const { source } = boot("a");
  await done(source.start());
  const four = await done(source.want("default", 4));
  await done(source.want("default", 6));
  await expect(done(source.giveBack(four.prefix))).rejects.toMatchObject({ code: "last" });
});

it("borrows nothing of a block that has just gone back", async () => {
  const { boot, done, record, etcd } = rig();
  const a = boot("a");
  const b = boot("b");
  await done(a.source.start());
  await done(b.source.start());
  const first = await done(a.source.want("default", 4));
  const second = await done(a.source.want("default", 4));
  let gone = "";
  b.line.before = async (txn) => {
    const lent = txn.success
      .flatMap((operation) => ("put" in operation ? operation.put.key : []))
      .find((key) => key.includes("/lent/"));
    gone = lent!.includes(first.prefix) ? first.prefix : second.prefix;
    await a.source.giveBack(gone);
  };
  const loan = await done(b.source.borrow("default", 4)).catch(() => null);
  expect(record(gone)).toBeNull();
  expect(loan?.block).not.toBe(gone);
  expect([...etcd.keys.keys()].some((key) => key.includes(`/lent/${gone}/`))).toBe(false);
});

it("finds out at its start that it was removed, and claims anew", async () => {
  const { boot, done, connect, etcd, pass, record } = rig();
  const a = boot("a");
  await done(a.source.start());
  const { prefix } = await done(a.source.want("default", 4));
  a.clock.dead = true;
  const options = { force: false, quarantine: 30, timeOfDay: () => "today" };
  await expect(done(removeNode(connect(), keys, "a", options))).rejects.toThrow(/is alive/);
  await pass(61_000);
  expect(await done(removeNode(connect(), keys, "a", options))).toEqual({ blocks: [prefix], orphans: [] });
  expect(record(prefix).state).toBe("reclaimed");
  const again = boot("a", { disk: a.disk });
  await done(again.source.start());
  expect(again.source.blocks()).toEqual([]);
  expect(again.changes.find(({ kind }) => kind === "block-lost")).toMatchObject({
    block: { prefix },
    reason: /operator at today/,
  });
  expect(etcd.keys.has(keys.removed("a"))).toBe(false);
  expect((await done(again.source.want("default", 4))).prefix).not.toBe(prefix);
  await pass(31_000);
  expect(record(prefix)).toBeNull();
});

it("leaves nothing behind when it leaves by itself, and never takes another machine with its name along", async () => {
  const { boot, done, connect, etcd, pass } = rig();
  const a = boot("a");
  await done(a.source.start());
  await done(a.source.want("default", 4));
  await done(a.source.take("default", "2001:db8::1"));
  const own = a.disk.copy;
  await done(a.source.stop());
  const leaving = {
    node: "a",
    identity: "machine-a",
    registration: own.registration,
    quarantine: 5,
    timeOfDay: () => "now",
  };
  let forgotten = 0;
  const forgetDisk = async () => void forgotten++;
  const gone = () => done(leave(connect(), keys, { ...leaving, forgetDisk }));
  const other = { ...leaving, registration: "theirs", forgetDisk };
  await expect(done(leave(connect(), keys, other))).rejects.toThrow(/another machine \(machine-a\) or anew/);
  const nameless = { ...leaving, registration: null, identity: "machine-b", forgetDisk };
  await expect(done(leave(connect(), keys, nameless))).rejects.toThrow(RangeError);
  expect(forgotten).toBe(0);
  const prefixes = own.blocks.map(({ prefix }) => prefix).sort();
  const removal = await gone();
  expect([...(removal?.blocks ?? [])].sort()).toEqual(prefixes);
  expect(forgotten).toBe(1);
  await pass(6000);
  const left = [...etcd.keys.keys()].filter((key) => !key.startsWith(`${keys.root}pools/`));
  expect(left).toEqual([]);
  expect(await gone()).toBeNull();
});

it("goes on with its disk when etcd does not answer, and puts back what etcd has lost", async () => {
  const { boot, done, etcd, pass, record } = rig();
  const a = boot("a");
  await done(a.source.start());
  const { prefix } = await done(a.source.want("default", 4));
  a.clock.dead = true;
  const b = boot("a", { disk: a.disk });
  b.faults.cut = true;
  await done(b.source.start());
  expect(prefixesOf(b.source)).toEqual([prefix]);
  expect(b.source.state.kind).not.toBe("connected");
  await expect(done(b.source.want("default", 4))).rejects.toMatchObject({ code: "unavailable" });
  etcd.wipe([]);
  b.faults.cut = false;
  await pass(30_000);
  expect(b.source.state.kind).toBe("connected");
  expect(record(prefix)).toMatchObject({ node: "a", state: "confirmed" });
});

it("hears of a removal in a store that began anew, whose revisions have numbers that its own had before", async () => {
  const { etcd, boot, done, pass, connect } = rig();
  const a = boot("a");
  await done(a.source.start());
  for (let i = 0; i < 3; i++) await done(a.source.want("default", 4));
  for (let i = 0; i < 10; i++) await done(a.source.giveBack((await done(a.source.want("default", 4))).prefix));
  etcd.wipe([]);
  await pass(3000);
  expect(a.source.state.kind).toBe("connected");
  const own = prefixesOf(a.source);
  await done(removeNode(connect(), keys, "a", { force: true, quarantine: 60, timeOfDay: () => "" }));
  await pass(1000);
  expect(own).toHaveLength(3);
  expect(prefixesOf(a.source)).toEqual([]);
});

it("claims nothing while claims are paused, or under another machine's name", async () => {
  const { boot, done, pass, connect } = rig();
  const a = boot("a");
  await done(a.source.start());
  await done(setPaused(connect(), keys, "restore"));
  await expect(done(a.source.want("default", 4))).rejects.toThrow(/paused in etcd.*restore/);
  await done(setPaused(connect(), keys, null));
  await done(a.source.want("default", 4));
  const other = boot("a", { identity: "machine-x" });
  await done(other.source.start());
  expect(other.source.state).toMatchObject({
    kind: "conflict",
    reason: /another machine \(machine-a\).*nodes remove a/,
  });
  await expect(done(other.source.want("default", 4))).rejects.toMatchObject({ code: "conflict" });
  const clone = boot("a", { disk: a.disk });
  await done(clone.source.start());
  expect(clone.source.state.kind).toBe("connected");
  await expect(done(a.source.want("default", 4))).rejects.toMatchObject({ code: "unavailable" });
  await pass(1000);
  expect(a.source.state).toMatchObject({ kind: "conflict", reason: /cloned machine/ });
});

it("hands identities from node to node, and their addresses to nobody else", async () => {
  const { boot, done, connect } = rig();
  const a = boot("a");
  const b = boot("b");
  await done(a.source.start());
  await done(b.source.start());
  const block = await done(a.source.want("default", 4));
  const address = [...addressesOf(block.prefix)][3];
  const web = { pool: "default", namespace: "ns", name: "web/0" };
  expect(await done(a.source.hold(web, [address]))).toEqual({ kind: "held", addresses: [address], fresh: true });
  expect(await done(b.source.hold(web, []))).toEqual({ kind: "heldBy", node: "a" });
  await done(a.source.letGo(web));
  expect(a.source.reserved()).toEqual([address]);
  expect(await done(b.source.hold(web, []))).toEqual({ kind: "held", addresses: [address], fresh: false });
  expect(b.source.loans()).toMatchObject([{ address, owner: "a", block: block.prefix }]);
  await expect(done(a.source.forget(web))).rejects.toMatchObject({ code: "taken" });
  const nodes = await done(listNodes(connect(), keys));
  expect(nodes.map(({ node, lent, identities }) => ({ node, lent, identities }))).toEqual([
    { node: "a", lent: 1, identities: 0 },
    { node: "b", lent: 0, identities: 1 },
  ]);
  await done(b.source.forget(web));
  expect(await done(a.source.lookUp(web))).toBeNull();
});

it("takes the blocks around addresses of pods from before the pool was shared, and no other node's", async () => {
  const { boot, done, connect, record } = rig();
  const [a, b] = [boot("a"), boot("b")];
  for (const { source } of [a, b]) await done(source.start());
  // More than maxBlocks, and while the nodes of a cluster change over one after the other.
  await done(setPaused(connect(), keys, "blocks change over"));
  for (let n = 0; n < 5; n++) await done(a.source.take("default", `10.0.0.${n * 32 + 30}`));
  await done(a.source.take("default", "2001:db8::1f"));
  expect(await done(a.source.take("default", "10.0.0.20"))).toMatchObject({ prefix: "10.0.0.16/28", lend: null });
  expect(prefixesOf(a.source)).toEqual([...[0, 1, 2, 3, 4].map((n) => `10.0.0.${n * 32 + 16}/28`), "2001:db8::10/124"]);
  expect(record("10.0.0.16/28")).toMatchObject({ node: "a", state: "confirmed", pool: "default" });
  await expect(done(b.source.take("default", "10.0.0.17"))).rejects.toMatchObject({
    code: "taken",
    message: "block 10.0.0.16/28 is in the hands of node a",
  });
  await expect(done(b.source.take("default", "10.9.0.1"))).rejects.toMatchObject({ code: "notOwned" });
  await done(setPaused(connect(), keys, null));
  // Its pods may have what it would lend otherwise.
  await expect(done(b.source.borrow("default", 4))).rejects.toMatchObject({ code: "strict" });
});

it("takes the block around a pod's address from one of two nodes only", async () => {
  const { boot, done, connect, record } = rig();
  const [a, b] = [boot("a"), boot("b")];
  for (const { source } of [a, b]) await done(source.start());
  a.line.before = async () => void (await b.source.take("default", "10.0.0.33"));
  await expect(done(a.source.take("default", "10.0.0.34"))).rejects.toMatchObject({ code: "taken" });
  expect(record("10.0.0.32/28").node).toBe("b");
  // Of another size by now: what overlaps is in the way as well.
  await done(putPool(connect(), keys, { ...pool, blockSize: { 4: 27, 6: 124 } }));
  await expect(done(a.source.take("default", "10.0.0.50"))).rejects.toMatchObject({ code: "taken" });
  expect((await done(b.source.take("default", "10.0.0.34"))).prefix).toBe("10.0.0.32/28");
});

it("borrows another address when somebody was faster", async () => {
  const { boot, done } = rig();
  const [a, b, c] = [boot("a"), boot("b"), boot("c")];
  for (const { source } of [a, b, c]) await done(source.start());
  await done(a.source.want("default", 4));
  let first = "";
  b.line.before = async () => {
    first = (await c.source.borrow("default", 4)).address;
  };
  const loan = await done(b.source.borrow("default", 4));
  expect(first).not.toBe("");
  expect(loan.address).not.toBe(first);
  await expect(done(b.source.borrow("default", 4))).rejects.toMatchObject({ code: "exhausted" });
});

it("keeps when an identity is to be forgotten, over a restart, and forgets it only if nobody keeps it for longer", async () => {
  const { boot, done, etcd } = rig();
  const [a, b] = [boot("a"), boot("b")];
  for (const { source } of [a, b]) await done(source.start());
  const { prefix } = await done(a.source.want("default", 4));
  const web = { pool: "default", namespace: "ns", name: "web" };
  const address = [...addressesOf(prefix)][0];
  const at = (second: number) => new Date(second * 1000).toISOString();
  await done(a.source.hold(web, [address]));
  await done(a.source.letGo(web, at(100)));
  expect(a.source.departed()).toEqual([{ ...web, keptUntil: at(100) }]);
  a.clock.dead = true;
  await done(a.source.stop());
  const again = boot("a", { disk: a.disk });
  await done(again.source.start());
  expect(again.source.departed()).toEqual([{ ...web, keptUntil: at(100) }]);
  // A pod has come elsewhere, and gone.
  await done(b.source.hold(web, []));
  await done(again.source.expire(web, at(100)));
  expect(await done(b.source.lookUp(web))).toMatchObject({ node: "b", addresses: [address] });
  expect(again.source.departed()).toEqual([]);
  await done(b.source.letGo(web, at(200)));
  await done(again.source.hold(web, []));
  await done(again.source.letGo(web, at(150)));
  // Clocks differ: what is one's own counts.
  await done(again.source.expire(web, at(149)));
  expect(await done(b.source.lookUp(web))).toBeNull();
  expect(again.source.departed()).toEqual([]);
  expect([...etcd.keys.keys()].filter((key) => key.includes("/lent/"))).toEqual([]);

  await done(again.source.hold(web, [address]));
  await done(again.source.letGo(web, at(300)));
  await done(b.source.hold(web, []));
  await done(b.source.letGo(web, at(400)));
  await done(again.source.expire(web, at(300)));
  expect(await done(b.source.lookUp(web))).toMatchObject({ node: null });
  await done(b.source.expire(web, at(400)));
  expect(await done(b.source.lookUp(web))).toBeNull();
});

it("reads anew what it hears of while it reads, at whichever moment that is", async () => {
  for (let later = 0; later < 1000; later += 10) {
    const { boot, done, pass } = rig();
    const [a, b] = [boot("a"), boot("b")];
    for (const { source } of [a, b]) await done(source.start());
    await done(a.source.want("default", 4));
    await pass(1000);
    a.faults.delay = 200;
    const first = await done(b.source.borrow("default", 4));
    await pass(later);
    const second = await done(b.source.borrow("default", 4));
    await pass(3000);
    expect(a.source.reserved(), `${later} ms later`).toEqual([first.address, second.address]);
  }
});

it("gives an identity to one of two nodes that take it at the same time", async () => {
  const { boot, done } = rig();
  const [a, b, c] = [boot("a"), boot("b"), boot("c")];
  for (const { source } of [a, b, c]) await done(source.start());
  const { prefix } = await done(a.source.want("default", 4));
  const web = { pool: "default", namespace: "ns", name: "web" };
  await done(a.source.hold(web, [[...addressesOf(prefix)][0]]));
  await done(a.source.letGo(web));
  b.line.before = async () => {
    await c.source.hold(web, []);
  };
  expect(await done(b.source.hold(web, []))).toEqual({ kind: "heldBy", node: "c" });
  expect(b.source.loans()).toEqual([]);
  expect(c.source.loans()).toHaveLength(1);
});

it("has what it gives back off its disk before etcd hears of it", async () => {
  const { boot, done } = rig();
  const { source, line, disk } = boot("a");
  await done(source.start());
  await done(source.want("default", 4));
  const { prefix } = await done(source.want("default", 4));
  let onDisk = true;
  line.before = () => {
    onDisk = disk.copy.blocks.some((block) => block.prefix === prefix);
  };
  await done(source.giveBack(prefix));
  expect(onDisk).toBe(false);
});
