// Nodes that share pools, with everything real: etcd, underlayd, FRR as their switch, pods in namespaces.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { isIn } from "../../cni/blocks/space.ts";
import { waitFor } from "../interop/support/wait.ts";
import { type SharedNode, SharedRack } from "./support/shared-rack.ts";

let rack: SharedRack;

const pools = (n: number) => `
pools:
  default:
    source: etcd
    ranges: [10.244.0.0/27, "2001:db8:244::/123"]
    blockSize: { ipv4: 29, ipv6: 125 }
    maxBlocks: 2
    affinity: borrow
    lend: 2
    releaseAfter: 1s
    cooldown: 0s
    sticky: { for: 1h }
  legacy: { blocks: [10.249.${n}.0/29, 10.249.${n}.8/29, 10.248.${n}.0/29] }
  named: { blocks: [10.250.${n}.0/30], exceptions: { ranges: [10.251.0.0/24], budget: 2, communities: ["65000:32"] } }
`;

beforeAll(async () => {
  rack = await SharedRack.start("shared", pools);
}, 60_000);
afterAll(() => rack?.close());

const families = [4, 6] as const;
type Family = (typeof families)[number];
const familyOf = (text: string): Family => (text.includes(":") ? 6 : 4);
const hostPrefix = (address: string) => `${address}/${familyOf(address) === 6 ? 128 : 32}`;

/** Prefixes of the blocks of a node that it has claimed and announced. */
const claimed = async (n: number, family: Family = 4) =>
  (await rack.nodes[n - 1].blocks())
    .filter(({ prefix, source, state }) => familyOf(prefix) === family && source === "etcd" && state === "announced")
    .map(({ prefix }) => prefix)
    .sort();

/** Until a node has so many blocks of each family. */
const hasBlocks = (n: number, count: number) =>
  waitFor(
    async () =>
      (await Promise.all(families.map((family) => claimed(n, family)))).every(({ length }) => length === count),
    `${count} blocks of each family on node${n}`,
    { timeout: 15_000, interval: 20 },
  );

/** `ip` of an address's family. */
const ip = ({ node }: SharedNode, of: string, ...args: string[]) => node.ip(`-${familyOf(of)}`, ...args);

const everywhere = async (reached: readonly Promise<boolean>[]) =>
  expect(await Promise.all(reached)).toEqual(reached.map(() => true));

it("has each node claim a block of its own, and one more before it runs dry", { timeout: 60_000 }, async () => {
  const [one, two, three] = rack.nodes;
  await Promise.all([1, 2, 3].map((n) => hasBlocks(n, 1)));
  for (const family of families) {
    const all = [...(await claimed(1, family)), ...(await claimed(2, family)), ...(await claimed(3, family))];
    expect(new Set(all).size).toBe(3);
    for (const [i, prefix] of all.entries()) await rack.waitAnnounced(prefix, [i + 1]);
  }
  for (const name of ["p1", "p2", "p3", "p4", "p5"]) expect((await one.add(name)).code).toBe(0);
  await hasBlocks(1, 2);
  expect((await two.add("q1")).code).toBe(0);
  expect((await three.add("r1")).code).toBe(0);
  const [{ addresses }] = await two.views();
  expect(addresses.map(familyOf)).toEqual(families);
  await everywhere(addresses.flatMap((to) => [one.reaches("p1", to), three.reaches("r1", to)]));
});

/** The node whose block an address is in. */
async function ownerOf(address: string): Promise<SharedNode> {
  for (const node of rack.nodes)
    if ((await claimed(node.number, familyOf(address))).some((prefix) => isIn(address, prefix))) return node;
  throw new Error(`${address} is in nobody's block`);
}

it("borrows a single address when no block is left, and everybody reaches it", { timeout: 60_000 }, async () => {
  const [, two] = rack.nodes;
  for (const name of ["q2", "q3", "q4", "q5", "q6"]) expect((await two.add(name)).code, name).toBe(0);
  const borrowed = await two.add("q7");
  expect(borrowed.code, borrowed.stdout).toBe(0);
  const { addresses } = borrowed;
  expect(addresses.map(familyOf)).toEqual(families);
  for (const address of addresses) {
    const owner = await ownerOf(address);
    expect(owner.number).not.toBe(2);
    await rack.waitAnnounced(hostPrefix(address), [2]);
    expect((await two.blocks()).find(({ prefix }) => prefix === hostPrefix(address))).toMatchObject({
      source: "borrowed",
    });
    // The owner has a hole in its block: its pods and the node itself reach the address where it is.
    const hole = () => ip(owner, address, "route", "show", "table", "7000").includes(`throw ${address} `);
    await waitFor(hole, "a hole", { timeout: 8_000, interval: 20 }).catch((error) => {
      throw new Error(`${error.message}: ${address} at ${owner.node.name}\n${owner.underlay.log.slice(-6000)}`);
    });
    // What the fabric sends to the owner all the same does not go back to it.
    const drop = `1001:\tfrom all to ${address} iif eth1 blackhole`;
    expect(ip(owner, address, "rule")).toContain(drop);
    await everywhere([
      owner.reaches(null, address),
      ...[1, 3].map((n) => rack.nodes[n - 1].reaches(n === 1 ? "p1" : "r1", address)),
    ]);
    expect(await rack.outside.exec("ping", "-c", "1", "-W", "2", address)).toContain("1 received");
  }
  const owners = await Promise.all(addresses.map(ownerOf));
  expect(await forwards(owners[0], addresses[0])).toBe(0);

  // They go back, in order: withdrawn, out of the kernel, free in etcd.
  await two.del("q7");
  for (const [i, address] of addresses.entries()) {
    await rack.waitAnnounced(hostPrefix(address), []);
    const gone = () => !ip(owners[i], address, "route", "show", "table", "7000").includes(address);
    await waitFor(gone, "the hole to be gone", { interval: 20 });
    expect(ip(owners[i], address, "rule")).not.toContain(`${address} iif`);
    expect(await rack.etcdctl("get", "--prefix", "--keys-only", "/underlay/v1/nodes/")).not.toContain(address);
  }
});

/** How many packets for an address the node sends back to where they come from. */
async function forwards(node: SharedNode, address: string): Promise<number> {
  const sent = () =>
    Number(node.node.ip("-s", "-j", "link", "show", "eth1").match(/"tx":\{"bytes":\d+,"packets":(\d+)/)![1]);
  const tor = `10.1.${node.number}.2`;
  rack.torNode.ip("route", "add", `${address}/32`, "via", tor, "metric", "1");
  const before = sent();
  await rack.outside.exec("ping", "-c", "5", "-i", "0.01", "-W", "1", address).catch(() => "");
  const after = sent();
  rack.torNode.ip("route", "del", `${address}/32`, "via", tor, "metric", "1");
  // A keepalive, an ARP answer may be among them; a loop is 60 packets for each.
  return Math.max(0, after - before - 5);
}

it("goes on without etcd, over a restart and a compaction, and claims again when it is back", {
  timeout: 90_000,
}, async () => {
  const [one, two, three] = rack.nodes;
  const [q1] = (await two.views()).map(({ addresses }) => addresses[0]);
  await rack.stopEtcd();
  await Promise.all([
    two.underlay.restart(),
    waitFor(
      async () => (await three.underlay.status()).problems.some((text) => text.includes("etcd")),
      "the status to say so",
      { timeout: 20_000 },
    ),
  ]);
  expect((await two.underlay.status()).state).toBe("degraded");
  expect(await claimed(2)).toHaveLength(1);
  await rack.waitAnnounced((await claimed(2))[0], [2]);
  expect(await three.reaches("r1", q1)).toBe(true);
  // Out of the blocks that are there.
  expect((await three.add("r2")).code).toBe(0);
  const full = await two.add("q7");
  expect(JSON.parse(full.stdout)).toMatchObject({ code: 11, msg: expect.stringContaining("no free IPv4 address") });

  await rack.startEtcd();
  const revision = JSON.parse(await rack.etcdctl("get", "/", "--write-out=json")).header.revision;
  await rack.etcdctl("compact", String(revision));
  for (const node of rack.nodes)
    await waitFor(
      async () => (await node.underlay.status()).problems.every((text) => !text.includes("etcd")),
      "etcd to be back",
      { timeout: 30_000 },
    );

  // What one node has too much is another's when it needs it.
  const before = await claimed(1);
  expect(before).toHaveLength(2);
  for (const name of ["p1", "p2", "p3", "p4", "p5"]) await one.del(name);
  await hasBlocks(1, 1);
  const ofNode1 = () => rack.etcdctl("get", "--prefix", "--keys-only", "/underlay/v1/nodes/node1/blocks/");
  await waitFor(async () => (await ofNode1()).trim().split(/\n+/).length === 2, "etcd to have them", { interval: 20 });
  // Who has just been told that there is nothing borrows once more.
  let pod = 7;
  await waitFor(
    async () => (await two.add(`q${pod++}`)).code === 0 && (await claimed(2)).length === 2,
    "a second block",
    {
      interval: 300,
    },
  );
});

const web = { args: "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-0" };

it("lets a pod with a name keep its address on another node", { timeout: 60_000 }, async () => {
  const [one, , three] = rack.nodes;
  const first = await one.add("web", web);
  expect(first.code, first.stdout).toBe(0);
  const { addresses } = first;
  await waitFor(
    async () => (await rack.etcdctl("get", "--prefix", "--keys-only", "/underlay/v1/identities/")).includes("web-0"),
    "the identity",
    { interval: 30 },
  );
  // Still there: nobody else may have it.
  const early = await three.add("web", web);
  expect(JSON.parse(early.stdout)).toMatchObject({ code: 11, msg: expect.stringContaining("node1") });
  await one.del("web", web);
  const second = await waitFor(
    async () => {
      const answer = await three.add("web", web);
      return answer.code === 0 ? answer : null;
    },
    "the pod on its new node",
    { interval: 50 },
  );
  expect(second?.addresses).toEqual(addresses);
  await one.add("p1");
  for (const address of addresses) {
    await rack.waitAnnounced(hostPrefix(address), [3]);
    expect((await three.blocks()).find(({ prefix }) => prefix === hostPrefix(address))).toMatchObject({
      source: "moved",
    });
    expect(await one.reaches("p1", address)).toBe(true);
    expect(await rack.outside.exec("ping", "-c", "1", "-W", "2", address)).toContain("1 received");
  }
  // And back: there it is in the node's own block.
  await three.del("web", web);
  const third = await waitFor(
    async () => {
      const answer = await one.add("web", web);
      return answer.code === 0 ? answer : null;
    },
    "the pod on its first node",
    { interval: 50 },
  );
  expect(third?.addresses).toEqual(addresses);
  for (const address of addresses) {
    await rack.waitAnnounced(hostPrefix(address), []);
    expect(await three.reaches("r1", address)).toBe(true);
  }
});

it("gives the blocks of a removed node to others; it withdraws them at once", { timeout: 60_000 }, async () => {
  const [one, two, three] = rack.nodes;
  const [lost] = await claimed(3);
  await expect(one.ctl("nodes", "remove", "node3", "--yes")).rejects.toThrow("node node3 is alive");
  const nodes = await one.underlay.ctl<{ node: string; blocks: { prefix: string }[] }[]>("nodes");
  expect(nodes.map(({ node }) => node)).toEqual(["node1", "node2", "node3"]);
  await one.underlay.ctl("nodes", "remove", "node3", "--yes", "--force", "--quarantine", "1");
  await three.waitBlocks("the block to leave", (blocks) => blocks.every(({ prefix }) => prefix !== lost));
  expect(three.node.ip("route", "show", "table", "7000")).not.toContain(`blackhole ${lost}`);
  // It registers anew, and takes what there is when a pod needs it. The block is anybody's after the quarantine.
  const again = await waitFor(
    async () => {
      const answer = await three.add("r9");
      return answer.code === 0 ? answer : null;
    },
    "a pod on node3",
    { interval: 200 },
  );
  expect(await two.reaches("q1", again?.addresses[0] ?? "")).toBe(true);
  const all = [...(await claimed(1)), ...(await claimed(2)), ...(await claimed(3))];
  expect(new Set(all).size).toBe(all.length);
});

const named = (address: string) => ({ pool: "named", args: `IgnoreUnknown=1;IP=${address}` });

it("lets an address in that is asked for by name, as a host route within the budget", { timeout: 60_000 }, async () => {
  const [one, two] = rack.nodes;
  const first = await one.add("a", named("10.251.0.7"));
  expect(first).toMatchObject({ code: 0, addresses: ["10.251.0.7"] });
  await rack.waitAnnounced("10.251.0.7/32", [1]);
  expect((await rack.announced("10.251.0.7/32")).communities).toEqual(["65000:32"]);
  expect((await one.blocks()).find(({ prefix }) => prefix === "10.251.0.7/32")).toMatchObject({
    pool: "named",
    source: "asked",
    used: 1,
    state: "announced",
  });
  // What a pod sends from it takes the pool's table, like what is sent from a block.
  expect(one.node.ip("rule")).toMatch(/1010:\s+from 10\.251\.0\.7 lookup 7100/);
  await two.add("b", { pool: "named" });
  expect(await two.reaches("b", "10.251.0.7")).toBe(true);
  expect(await one.reaches("a", "203.0.113.2")).toBe(true);

  expect(await one.add("c", named("10.251.0.8"))).toMatchObject({ code: 0 });
  const third = await one.add("d", named("10.251.0.9"));
  expect(third.code).toBe(1);
  expect(JSON.parse(third.stdout)).toMatchObject({ code: 100, msg: expect.stringContaining("all 2 of its budget") });
  const twice = await one.add("e", named("10.251.0.8"));
  expect(JSON.parse(twice.stdout)).toMatchObject({ code: 101 });
  const nowhere = await one.add("f", named("10.252.0.1"));
  expect(JSON.parse(nowhere.stdout)).toMatchObject({ code: 102 });

  // Over a restart they stay, announced without a gap in the kernel.
  await one.underlay.restart();
  await rack.waitAnnounced("10.251.0.7/32", [1]);
  expect(await two.reaches("b", "10.251.0.7")).toBe(true);
  expect((await one.blocks()).find(({ prefix }) => prefix === "10.251.0.7/32")).toMatchObject({ source: "asked" });

  await one.del("a", named("10.251.0.7"));
  await rack.waitAnnounced("10.251.0.7/32", []);
  await one.waitBlocks("the exception to leave", (blocks) => blocks.every(({ prefix }) => prefix !== "10.251.0.7/32"));
  expect(one.node.ip("rule")).not.toContain("10.251.0.7");
  expect(one.node.ip("route", "show", "table", "7000")).not.toContain("10.251.0.7");
  expect(await one.add("d", named("10.251.0.9"))).toMatchObject({ code: 0 });
});

it("claims the blocks that pods have when their pool becomes a shared one", { timeout: 60_000 }, async () => {
  const [one, two] = rack.nodes;
  const first = { pool: "legacy", args: "IgnoreUnknown=1;IP=10.249.1.1" };
  expect(await one.add("l1", first)).toMatchObject({ code: 0, addresses: ["10.249.1.1"] });
  const outside = { pool: "legacy", args: "IgnoreUnknown=1;IP=10.248.1.1" };
  expect(await one.add("l2", outside)).toMatchObject({ code: 0 });
  const shared = (n: number) =>
    pools(n).replace(/ {2}legacy: .*/, "  legacy: { source: etcd, ranges: 10.249.0.0/16, blockSize: { ipv4: 29 } }");
  one.configure(shared(1));
  const plan = await one.underlay.ctl<{ warnings: string[] }>("plan", join(one.underlay.directory, "underlay.yaml"));
  expect(plan.warnings.sort()).toEqual([
    expect.stringMatching(
      /^block 10\.248\.1\.0\/29 of pool legacy has pods: c-l2 \(10\.248\.1\.1\); it .* stays routed/,
    ),
    expect.stringMatching(
      /^block 10\.249\.1\.0\/29 has pods, and is in a range that pool legacy shares .* claimed in etcd/,
    ),
    "block 10.249.1.8/29 of pool legacy has no pods: it is withdrawn at once",
  ]);
  const flows = ["10.249.1.1", "10.248.1.1"].map((to) =>
    rack.outside.exec("ping", "-q", "-c", "60", "-i", "0.01", "-W", "2", to),
  );
  await one.underlay.ctl("reload");
  const blocks = await one.waitBlocks("blocks without pods to be gone", (now) =>
    now.every(({ prefix }) => prefix !== "10.249.1.8/29"),
  );
  expect(blocks.filter(({ prefix }) => /^10\.24[89]/.test(prefix))).toMatchObject([
    { prefix: "10.249.1.0/29", pool: "legacy", source: "etcd", state: "announced", used: 1 },
    { prefix: "10.248.1.0/29", state: "retiring", used: 1 },
  ]);
  for (const flow of flows) expect(await flow).toContain("60 received");
  await rack.waitAnnounced("10.249.1.8/29", []);
  const record = await rack.etcdctl("get", "--print-value-only", "/underlay/v1/blocks/4/10.249.1.0/29");
  expect(JSON.parse(record)).toMatchObject({ node: "node1", pool: "legacy", state: "confirmed", lend: null });
  expect(await two.reaches("q1", "10.249.1.1")).toBe(true);
  await one.del("l2", outside);
  await rack.waitAnnounced("10.248.1.0/29", []);

  // Another node has it: nothing changes, and pods go on.
  const second = await two.add("l3", { pool: "legacy", args: "IgnoreUnknown=1;IP=10.249.2.1" });
  expect(second).toMatchObject({ code: 0 });
  const theirs = JSON.stringify({ ...JSON.parse(record), node: "node9" });
  await rack.etcdctl("put", "/underlay/v1/blocks/4/10.249.2.0/29", theirs);
  two.configure(shared(2));
  await expect(two.ctl("reload")).rejects.toThrow(
    /nothing was changed: a pod here has 10\.249\.2\.1, .*block 10\.249\.2\.0\/29 is in the hands of node node9/,
  );
  expect((await two.blocks()).find(({ prefix }) => prefix === "10.249.2.0/29")).toMatchObject({
    source: "static",
    state: "announced",
  });
  expect(await one.reaches("l1", "10.249.2.1")).toBe(true);
  await rack.etcdctl("del", "/underlay/v1/blocks/4/10.249.2.0/29");

  // At a start the file has changed already.
  await two.underlay.restart();
  await two.waitBlocks("its block", (blocks) =>
    blocks.some(
      ({ prefix, source, state }) => prefix === "10.249.2.0/29" && source === "etcd" && state === "announced",
    ),
  );
  await rack.waitAnnounced("10.249.2.0/29", [2]);
  expect(await one.reaches("l1", "10.249.2.1")).toBe(true);
});

describe("an uninstall", () => {
  const isRegistered = async (n: number) =>
    (await rack.etcdctl("get", "--prefix", "--keys-only", `/underlay/v1/nodes/node${n}/`)).includes("registration");
  const record = (prefix: string) => rack.etcdctl("get", "--print-value-only", `/underlay/v1/blocks/4/${prefix}`);
  it("takes the node out of etcd, and gives its blocks back", { timeout: 60_000 }, async () => {
    const [one] = rack.nodes;
    await Promise.all(one.pods.names().map((name) => one.del(name)));
    expect(await one.ctl("uninstall", "--yes")).toMatch(/^removed from etcd: node node1 with .*10\.249\.1\.0\/29/m);
    expect(await isRegistered(1)).toBe(false);
    // Others can have it when the neighbours have forgotten it.
    expect(["", "reclaimed"]).toContain(JSON.parse((await record("10.249.1.0/29")) || '{"state":""}').state);
  });

  it("says what is left in etcd when it does not answer, and what removes it", { timeout: 60_000 }, async () => {
    const [, two, three] = rack.nodes;
    await rack.stopEtcd();
    const { code, stdout } = await two.run("uninstall", "--yes", "--force");
    expect(code).toBe(1);
    expect(stdout).toMatch(
      /^still in etcd: node node2 with .*10\.249\.2\.0\/29.* \(etcd at .*\); a minute from now, on another node: underlayctl nodes remove node2$/m,
    );
    expect(existsSync(join(two.underlay.directory, "state"))).toBe(false);
    await rack.startEtcd();
    expect(await isRegistered(2)).toBe(true);
    await three.ctl("nodes", "remove", "node2", "--yes", "--force", "--quarantine", "0");
    expect(await isRegistered(2)).toBe(false);
    expect(await record("10.249.2.0/29")).toBe("");

    // Without a daemon as well.
    await three.underlay.stop("SIGKILL");
    const config = join(three.underlay.directory, "underlay.yaml");
    const offline = await three.run("uninstall", "--yes", "--force", "--config", config);
    expect(offline).toMatchObject({ code: 0, stdout: expect.stringContaining("removed from etcd: node node3") });
    expect(await isRegistered(3)).toBe(false);
  });
});
