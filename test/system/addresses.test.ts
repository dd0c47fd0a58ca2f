// Which addresses real pods get from a real daemon: reserved ones, cooldown and sticky addresses over a crash and over
// reloads, pools by preference and by namespace, and who is told when there are none left.
import { execFileSync } from "node:child_process";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { PoolFullness } from "../../cni/ipam/fullness.ts";
import type { AddressUse } from "../../cni/ipam/usage.ts";
import type { PlanView } from "../../daemon/reload.ts";
import { distFile } from "../../net/dist.ts";
import { Lab, type Node } from "../interop/support/namespace.ts";
import { Underlay } from "../interop/support/underlay.ts";
import { waitFor } from "../interop/support/wait.ts";
import { ask } from "./support/api.ts";
import { Pods } from "./support/pods.ts";

const lab = new Lab("addresses");
let node: Node;
let underlay: Underlay;
let pods: Pods;

const SMALL = "blocks: [10.244.8.0/30, 2001:db8:8::/126], exclude: [10.244.8.0], reserve: [10.244.8.3]";
const DB = "blocks: [10.244.9.0/29, 2001:db8:9::/125], cooldown: 1h, whenCooling: wait, for: { namespaces: [db-*] }";
const yaml = (small: string, db: string) => `
node: { name: node1, asn: 65101, routerId: 10.0.0.11 }
pools:
  small: { ${small} }
  db: { ${db} }
  spare: { blocks: [10.244.10.0/30], cooldown: 0s }
peers: { tor: { address: 10.1.0.2, asn: 65500, import: none, export: blocks } }
`;

const answer = (stdout: string) => JSON.parse(stdout) as { code: number; msg: string };
const named = (namespace: string, name: string) =>
  `IgnoreUnknown=1;K8S_POD_NAMESPACE=${namespace};K8S_POD_NAME=${name}`;
const add = (name: string, pool: unknown, args = "") =>
  pods.call("ADD", name, { args, config: { pool }, id: `c-${name}-${serial++}` });
let serial = 0;
/** DEL of what the last ADD for this namespace has attached. */
const del = async (name: string) => {
  const netns = `/run/netns/${pods.namespace(name)}`;
  const pod = (await ask<{ netns: string; containerId: string }[]>(underlay.socket, "/v1/pods")).find(
    (one) => one.netns === netns,
  );
  expect((await pods.call("DEL", name, { id: pod?.containerId })).code).toBe(0);
};
const inPod = (name: string) =>
  execFileSync("ip", ["-n", pods.namespace(name), "-o", "addr", "show", "dev", "eth0", "scope", "global"], {
    encoding: "utf8",
  });
const statusOf = async (pool: string) => {
  const { code, stdout } = await pods.call("STATUS", "a", { pool });
  return code === 0 ? 0 : answer(stdout).code;
};
const levels = async () =>
  (await ask<PoolFullness[]>(underlay.socket, "/v1/pools")).map(
    ({ pool, family, level }) => `${pool} ${family} ${level}`,
  );

beforeAll(async () => {
  node = lab.addNode("node");
  const tor = lab.addNode("tor");
  lab.link({ node, name: "eth0", addresses: ["10.1.0.1/24"] }, { node: tor, name: "eth0", addresses: ["10.1.0.2/24"] });
  underlay = await Underlay.start(
    node,
    yaml(`${SMALL}, cooldown: 1h, whenCooling: wait`, `${DB}, sticky: { for: 1h }`),
  );
  pods = new Pods(node, underlay.socket);
  for (const name of ["a", "b", "c", "d"]) pods.create(name);
  await waitFor(async () => (await underlay.status()).state !== "starting", "the daemon to run", { interval: 20 });
});
afterAll(async () => {
  await underlay?.stop();
  pods?.close();
  await lab.close();
});

it("gives a pair, reserved ones only by name, and refuses rather than replaces", async () => {
  expect((await add("a", "small")).addresses).toEqual(["10.244.8.1", "2001:db8:8::"]);
  expect((await add("b", "small")).addresses).toEqual(["10.244.8.2", "2001:db8:8::1"]);
  expect(inPod("b")).toMatch(/10\.244\.8\.2\/32.*2001:db8:8::1\/128/s);
  for (const [ip, code] of [
    ["10.244.8.0", 102],
    ["10.244.8.1", 101],
    ["10.244.8.7", 102],
  ] as const)
    expect(answer((await add("c", "small", `IP=${ip}`)).stdout), ip).toMatchObject({ code });
  expect(answer((await add("c", "nowhere")).stdout)).toMatchObject({
    code: 7,
    msg: expect.stringContaining("configured pools: small, db, spare") as string,
  });
  expect((await add("c", "small", "IP=10.244.8.3")).addresses).toEqual(["10.244.8.3", "2001:db8:8::2"]);
});

it("tells when there are none left, and goes on to the next pool where one is named", async () => {
  expect(answer((await add("d", "small")).stdout)).toMatchObject({ code: 100 });
  expect(await levels()).toEqual(["small 4 exhausted", "small 6 fine", "db 4 fine", "db 6 fine", "spare 4 fine"]);
  expect(await statusOf("small")).toBe(50);
  const problem = "pool small is exhausted: 3 of 3 IPv4 addresses in use; remove pods or add a block";
  expect((await underlay.status()).problems).toContain(problem);
  const { stdout } = await add("d", ["small", "spare"]);
  expect(JSON.parse(stdout).ips).toMatchObject([{ address: "10.244.10.0/32" }]);
  const command = [
    distFile("underlayctl.cjs"),
    "history",
    "--types",
    "pool",
    "--file",
    `${underlay.directory}/state/history`,
  ];
  const recorded = () => node.exec(process.execPath, ...command);
  const crossing = "small: exhausted for IPv4 (2 in use, 0 free)";
  await waitFor(async () => (await recorded()).includes(crossing), "the record to have the event", { interval: 50 });
  await del("d");
});

it("gives what was given back to its own pod at once, and to others only later, whatever crashes meanwhile", async () => {
  await del("b");
  expect(await statusOf("small")).not.toBe(50);
  const later = answer((await add("d", "small")).stdout);
  expect(later).toMatchObject({ code: 11, msg: expect.stringMatching(/try again in 3\d\d\d s/) as string });
  await underlay.restart("SIGKILL");
  expect(answer((await add("d", "small")).stdout)).toMatchObject({ code: 11 });
  expect(answer((await add("d", "small", "IP=10.244.8.2")).stdout)).toMatchObject({ code: 11 });
  const cooling = await underlay.ctl<AddressUse[]>("blocks", "10.244.8.2");
  expect(cooling).toMatchObject([{ address: "10.244.8.2", state: "cooling", block: "10.244.8.0/30", pool: "small" }]);
  expect(cooling[0].seconds).toBeGreaterThan(3500);

  underlay.configure(yaml(`${SMALL}, cooldown: 0s, whenCooling: wait`, `${DB}, sticky: { for: 1h }`));
  const plan = await underlay.ctl<PlanView>("reload");
  expect(plan).toMatchObject({ impact: "live", changes: [{ path: "pools.small.cooldown", from: "3600", to: "0" }] });
  expect((await add("d", "small")).addresses[0]).toBe("10.244.8.2");
  expect(inPod("a")).toContain("10.244.8.1/32");
  for (const name of ["a", "c", "d"]) await del(name);
});

it("keeps a pod's addresses for it, over a crash, until it is told not to", async () => {
  const pair = ["10.244.9.0", "2001:db8:9::"];
  expect((await add("a", undefined, named("db-1", "pg-0"))).addresses).toEqual(pair);
  // While it is there, another one of its name is somebody else.
  expect((await add("b", undefined, named("db-1", "pg-0"))).addresses).toEqual(["10.244.9.1", "2001:db8:9::1"]);
  await del("b");
  await del("a");
  expect((await add("c", undefined, named("db-1", "pg-1"))).addresses[0]).toBe("10.244.9.2");
  await underlay.restart("SIGKILL");
  expect(await underlay.ctl<AddressUse[]>("blocks", "10.244.9.0")).toMatchObject([
    { state: "sticky", identity: "db-1/pg-0@pods/eth0" },
  ]);
  expect(answer((await add("b", undefined, `${named("db-1", "pg-2")};IP=10.244.9.0`)).stdout)).toMatchObject({
    code: 101,
    msg: expect.stringContaining("is kept for db-1/pg-0@pods/eth0") as string,
  });
  expect((await add("b", undefined, named("db-1", "pg-0"))).addresses).toEqual(pair);
  await del("b");

  underlay.configure(yaml(`${SMALL}, cooldown: 0s`, DB.replace("1h", "0s")));
  expect(await underlay.ctl<PlanView>("reload")).toMatchObject({ impact: "live" });
  expect(await underlay.ctl<AddressUse[]>("blocks", "10.244.9.0")).toMatchObject([{ state: "free" }]);
  const asks = `${named("db-1", "pg-3")};STICKY=true;IP=10.244.9.0`;
  expect((await add("b", undefined, asks)).addresses[0]).toBe("10.244.9.0");
  await del("b");
  await del("c");
});

it("frees nothing of a later owner, however late a DEL comes", async () => {
  const first = await pods.call("ADD", "a", { id: "early", pool: "spare" });
  expect((await pods.call("DEL", "a", { id: "early" })).code).toBe(0);
  const [address] = first.addresses;
  expect((await pods.call("ADD", "b", { id: "later", pool: "spare", args: `IP=${address}` })).addresses).toEqual([
    address,
  ]);
  for (let i = 0; i < 3; i++) expect((await pods.call("DEL", "a", { id: "early" })).code).toBe(0);
  expect(await underlay.ctl<AddressUse[]>("blocks", address)).toMatchObject([
    { state: "used", identity: "later@pods/eth0" },
  ]);
  expect(node.ip("route", "show", "table", "7000")).toContain(`${address} dev ul`);
});
