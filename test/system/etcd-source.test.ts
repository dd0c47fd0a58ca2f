// One node's source of blocks while its real etcd is killed, wiped, out of space and compacted: what is the node's
// stays the node's, what cannot be done is refused in words, and everything goes on by itself.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { openEtcdSource, rootOf } from "../../cni/blocks/open.ts";
import type { BlockSource, ClusterPool, SourceChange } from "../../cni/blocks/types.ts";
import { silentLog } from "../../net/log.ts";
import { EtcdServer, until } from "./support/etcd.ts";

const pool: ClusterPool = {
  name: "default",
  cidrs: ["10.128.0.0/24", "2001:db8::/112"],
  blockSize: { 4: 28, 6: 124 },
  exclude: [],
  rackSize: {},
  racks: {},
  lend: 0,
  maxBlocks: 4,
};

let server: EtcdServer;
let directory: string;
let source: BlockSource;
const changes: SourceChange[] = [];

function open(endpoints = server.endpoints): BlockSource {
  return openEtcdSource({
    etcd: {
      endpoints,
      prefix: "/underlay",
      tls: () => ({ ca: null, cert: null, key: null }),
      user: () => null,
      timeout: 1000,
    },
    node: "n1",
    identity: "machine",
    rack: null,
    pools: [pool],
    stateDir: directory,
    startWait: 500,
    log: silentLog,
  });
}

const connected = () => until(() => source.state.kind === "connected", "connected");
const degraded = (words: RegExp) =>
  until(() => source.state.kind === "degraded" && words.test(source.state.reason!), `${words}`);
const prefixes = () => source.blocks().map(({ prefix }) => prefix);
const stored = () =>
  server
    .ctl("get", "--prefix", "--keys-only", `${rootOf("/underlay")}blocks/`)
    .split("\n")
    .filter((key) => key);

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "underlay-source-"));
  server = await EtcdServer.start({ args: ["--quota-backend-bytes", String(512 * 1024)] });
  source = open();
  source.onChange((change) => changes.push(change));
  await source.start();
});
afterAll(async () => {
  await source.stop();
  await server.stop();
  rmSync(directory, { recursive: true, force: true });
});

it("claims blocks of both families, and has them on its disk", async () => {
  expect(source.state.kind).toBe("connected");
  expect(source.pools()).toMatchObject([pool]);
  const four = await source.want("default", 4);
  const six = await source.want("default", 6);
  expect(prefixes()).toEqual([four.prefix, six.prefix]);
  expect(stored()).toHaveLength(2);
  const disk = JSON.parse(readFileSync(join(directory, "blocks.json"), "utf8"));
  expect(disk.blocks.map(({ prefix }: { prefix: string }) => prefix)).toEqual(prefixes());
  await expect(source.want("other", 4)).rejects.toMatchObject({ code: "unknownPool" });
});

it("keeps what it has while etcd is gone, over a restart of its own, and goes on by itself", async () => {
  const before = prefixes();
  await server.kill(0);
  await expect(source.want("default", 4)).rejects.toMatchObject({
    code: "unavailable",
    message: /refuses the connection|has cut the connection/,
  });
  await degraded(/refuses the connection/);
  expect(prefixes()).toEqual(before);
  await source.stop();
  source = open();
  source.onChange((change) => changes.push(change));
  await source.start();
  expect(prefixes()).toEqual(before);
  server.restart(0);
  await connected();
  const third = await source.want("default", 4);
  expect(prefixes()).toEqual([...before, third.prefix]);
  await source.giveBack(third.prefix);
  expect(stored()).toHaveLength(2);
});

it("says that etcd is out of space, and goes on when there is room", async () => {
  const client = server.client();
  // It finds out how much there is when it writes to its disk, ten times a second.
  const big = [{ put: { key: "big", value: "x".repeat(100_000) } }];
  const fill = () => client.txn({ compare: [], success: big, failure: [] });
  let full = false;
  while (!full)
    await fill().catch(() => {
      full = true;
    });
  client.close();
  await expect(source.want("default", 4)).rejects.toThrow(/out of space.*etcdctl alarm disarm/);
  expect(source.state).toMatchObject({ kind: "degraded", reason: /NOSPACE/ });
  expect(prefixes()).toHaveLength(2);
  const revision = /"revision":(\d+)/.exec(server.ctl("endpoint", "status", "-w", "json"))![1];
  server.ctl("compaction", revision);
  server.ctl("defrag");
  server.ctl("alarm", "disarm");
  await connected();
  await source.giveBack((await source.want("default", 4)).prefix);
});

it("puts back what it has when etcd has lost everything, and loses nothing itself", async () => {
  const before = prefixes();
  await server.wipe();
  await until(() => stored().length === 2, "its blocks are in etcd again");
  await connected();
  expect(prefixes()).toEqual(before);
  expect(changes.filter(({ kind }) => kind === "block-lost")).toEqual([]);
});

it("is told within moments that it was removed, and claims anew", async () => {
  const before = prefixes();
  const { removeNode } = await import("../../cni/blocks/removal.ts");
  const { Keys } = await import("../../cni/blocks/keys.ts");
  const client = server.client();
  const options = { force: true, quarantine: 2, timeOfDay: () => new Date().toISOString() };
  await removeNode(client, new Keys(rootOf("/underlay")), "n1", options);
  await until(() => changes.filter(({ kind }) => kind === "block-lost").length === 2, "both are lost");
  await connected();
  const block = await source.want("default", 4);
  expect(before).not.toContain(block.prefix);
  await until(() => stored().length === 1, "what it had is free after the quarantine");
  client.close();
});
