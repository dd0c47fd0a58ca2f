// Pods that were here before their pool was shared: which blocks are claimed for them, and what is said when that cannot be.
import { beforeEach, expect, it } from "vitest";
import { Takeover } from "../../../../daemon/shared/takeover.ts";
import { silentLog } from "../../../../net/log.ts";
import { SimulatedStore } from "./simulated-node.ts";

const blockSize = { ipv4: 28, ipv6: 124 };
const still = [{ name: "default", source: "static" as const, ranges: [], blockSize }];
const shared = [{ name: "default", source: "etcd" as const, ranges: ["10.0.0.0/24"], blockSize }];

let store: SimulatedStore;
let node: Awaited<ReturnType<SimulatedStore["start"]>>;
let addresses: string[];
let placed: string[][];

const takeover = (pools: typeof still | typeof shared) =>
  new Takeover(pools, {
    source: () => node.source,
    addresses: () => addresses,
    log: silentLog,
    place: async () => void placed.push(prefixes()),
  });
const prefixes = () => node.source.blocks().map(({ prefix }) => prefix);

beforeEach(async () => {
  store = new SimulatedStore();
  node = await store.start("a");
  addresses = ["10.0.0.5", "10.9.0.1", "10.0.0.7", "10.0.0.250"];
  placed = [];
});

it("claims each block once, before the pools change, and foresees just that", async () => {
  const of = takeover(still);
  expect(of.foresee(shared)).toEqual([
    { pool: "default", prefix: "10.0.0.0/28" },
    { pool: "default", prefix: "10.0.0.240/28" },
  ]);
  await store.done(of.prepare(shared));
  expect(placed).toEqual([["10.0.0.0/28", "10.0.0.240/28"]]);
  expect(of.foresee(shared)).toEqual([]);
});

it("claims for a pod that comes while it claims", async () => {
  const prepared = takeover(still).prepare(shared);
  addresses.push("10.0.0.99");
  await store.done(prepared);
  expect(prefixes()).toEqual(["10.0.0.0/28", "10.0.0.240/28", "10.0.0.96/28"]);
});

it("asks for nothing that was lost while the pool was shared, on a reload", async () => {
  const of = takeover(shared);
  expect(of.foresee(shared)).toEqual([]);
  await store.done(of.prepare(shared));
  expect(prefixes()).toEqual([]);
});

it("names the pod, the pool and the node that has the block", async () => {
  const other = await store.start("b");
  await store.done(other.source.take("default", "10.0.0.1"));
  await expect(store.done(takeover(still).prepare(shared))).rejects.toMatchObject({
    code: "taken",
    message:
      'a pod here has 10.0.0.5, in a range that pool "default" shares with other nodes, and the block around it cannot be claimed: block 10.0.0.0/28 is in the hands of node b; remove the pods of that block, or leave it out of the pool\'s ranges',
  });
  const of = takeover(shared);
  await store.done(of.late());
  expect(of.waiting).toBe(false);
  expect(of.problem).toContain("10.0.0.5");
  addresses = [];
  expect(of.problem).toBeNull();
});

it("is refused without etcd; at a start it waits for it, and says so", async () => {
  node.faults.cut = true;
  await expect(store.done(takeover(still).prepare(shared))).rejects.toMatchObject({
    code: "unavailable",
    message: /it can when etcd answers$/,
  });
  const of = takeover(shared);
  await store.done(of.late());
  expect(of.waiting).toBe(true);
  expect(of.problem).toMatch(/it can when etcd answers$/);
  node.faults.cut = false;
  await store.pass(30_000);
  await store.done(of.connected());
  expect(of.problem).toBeNull();
  expect(prefixes()).toEqual(["10.0.0.0/28", "10.0.0.240/28"]);
});
