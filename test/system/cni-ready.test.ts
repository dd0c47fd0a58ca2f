// An ADD that waits for a neighbour: the real daemon and client, and a neighbour of bare sockets that comes, goes, and says
// when the block has arrived.
import type { ChildProcess } from "node:child_process";
import { afterAll, beforeAll, expect, it } from "vitest";
import { Lab, type Node } from "../interop/support/namespace.ts";
import { openMessage, RawPeer } from "../interop/support/raw-peer.ts";
import { Underlay } from "../interop/support/underlay.ts";
import { waitFor } from "../interop/support/wait.ts";
import { Pods } from "./support/pods.ts";

const lab = new Lab("ready");
let node: Node;
let underlay: Underlay;
let pods: Pods;
let leave: () => void;

const yaml = `
node: { name: node1, asn: 65101, routerId: 10.0.0.11 }
pools: { default: { blocks: [10.244.1.0/26] } }
cni: { ready: established, readyTimeout: 60s, readyFallback: fail }
peers: { tor: { address: 10.1.0.2, asn: 65500, passive: true, families: [ipv4], import: none, export: blocks } }
`;

beforeAll(async () => {
  node = lab.addNode("node");
  const tor = lab.addNode("tor");
  lab.link({ node, name: "eth0", addresses: ["10.1.0.1/24"] }, { node: tor, name: "eth0", addresses: ["10.1.0.2/24"] });
  underlay = await Underlay.start(node, yaml);
  pods = new Pods(node, underlay.socket);
  for (const name of ["a", "b"]) pods.create(name);
  leave = tor.enter({ tested: false });
});

afterAll(async () => {
  leave?.();
  await underlay?.stop("SIGKILL");
  pods?.close();
  await lab.close();
});

/** The ADD of a pod has come so far that it waits: its interface is there. */
async function waiting(): Promise<void> {
  await waitFor(() => links().length === 1, "the ADD to wait", { interval: 10 });
}
const links = () => [...node.ip("-o", "link").matchAll(/ (ul[0-9a-f]+)[@:]/g)].map(([, name]) => name);
const used = async () => (await underlay.blocks())[0].used;

/** Nothing is left of a pod. */
async function expectNothing(): Promise<void> {
  expect(await used()).toBe(0);
  expect(links()).toEqual([]);
  expect(node.ip("route", "show", "table", "7000", "dev", "lo")).not.toContain("10.244.1.");
  expect(await underlay.pods()).toEqual([]);
}

/** `1` of UPDATE: the block of the node is in it. */
const announces = (peer: RawPeer) =>
  peer.received.some(({ type, body }) => type === 2 && body.includes(Buffer.from([26, 10, 244, 1, 0])));

it("STATUS says that new pods are refused, as long as there is no session", async () => {
  const { code, stdout } = await pods.call("STATUS", "a");
  expect(code).toBe(1);
  expect(JSON.parse(stdout)).toMatchObject({ code: 51, msg: expect.stringContaining("new ones are refused") });
});

it("ADD fails in time, says what it waited for, and leaves nothing behind", async () => {
  const { code, stdout } = await pods.call("ADD", "a", { config: { readyTimeout: "50ms" } });
  expect(code).toBe(1);
  expect(JSON.parse(stdout)).toMatchObject({
    code: 11,
    msg: "the pod was taken back, it could not be reached within 0.05 s (ready: established): no BGP session that block 10.244.1.0/26 is announced to is Established",
  });
  await expectNothing();
});

it("ADD attaches in time when that is what is asked for, and says so in log and event", async () => {
  const config = { readyTimeout: "50ms", readyFallback: "attach" };
  const { code, addresses } = await pods.call("ADD", "a", { config });
  expect(code).toBe(0);
  expect(underlay.log).toContain("pod attached before it can be reached");
  const events = async () =>
    JSON.parse(`[${(await node.exec("sh", "-c", `cat ${underlay.directory}/state/history/*`)).trim().split("\n")}]`);
  await waitFor(
    async () =>
      (await events()).find((event: { type: string; notReady?: string }) => event.type === "cni" && event.notReady),
    "the event",
    { interval: 20 },
  );
  expect(addresses).toHaveLength(1);
  expect((await pods.call("DEL", "a")).code).toBe(0);
  await expectNothing();
});

it("ADD with ready: none, or with advertised and nobody to tell, is served at once", async () => {
  for (const ready of ["none", "advertised"]) {
    expect((await pods.call("ADD", "a", { config: { ready } })).code).toBe(0);
    expect((await pods.call("DEL", "a")).code).toBe(0);
  }
  expect((await pods.call("ADD", "a", { config: { ready: "later" } })).code).toBe(1);
  await expectNothing();
});

it("a DEL ends the wait of its ADD, which fails", async () => {
  const add = pods.call("ADD", "a");
  await waiting();
  expect((await pods.call("DEL", "a")).code).toBe(0);
  const { code, stdout } = await add;
  expect(code).toBe(1);
  expect(JSON.parse(stdout)).toMatchObject({
    code: 11,
    msg: "the pod was taken back before it could be reached: its DEL has come",
  });
  await expectNothing();
});

it("a caller that is killed ends the wait: everything is taken back without a DEL", async () => {
  let client: ChildProcess | null = null;
  const add = pods.call("ADD", "a", {
    onStart: (child) => {
      client = child;
    },
  });
  await waiting();
  client!.kill("SIGKILL");
  await add;
  await waitFor(() => links().length === 0, "the roll back", { interval: 10 });
  await waitFor(async () => (await used()) === 0, "the address to be free", { interval: 10 });
  await expectNothing();
});

it("ADD returns when a session is up and the block has been sent over it", async () => {
  const add = pods.call("ADD", "a");
  await waiting();
  const peer = await RawPeer.established("10.1.0.1", "10.1.0.2", openMessage({ holdTime: 0 }));
  expect((await add).code).toBe(0);
  expect(announces(peer)).toBe(true);
  // From now on nothing is waited for.
  expect((await pods.call("ADD", "b", { config: { readyTimeout: 0 } })).code).toBe(0);
  expect((await pods.call("STATUS", "a")).code).toBe(0);
  for (const name of ["a", "b"]) expect((await pods.call("DEL", name)).code).toBe(0);
  peer.close();
  await waitFor(async () => (await underlay.peer("tor")).state !== "Established", "the end of the session", {
    interval: 20,
  });
});

it("a daemon that stops does not wait", async () => {
  const add = pods.call("ADD", "a");
  await waiting();
  await underlay.stop("SIGTERM");
  const { code, stdout } = await add;
  expect(code).toBe(1);
  expect(JSON.parse(stdout).code).toBe(11);
  expect(links()).toEqual([]);
});
