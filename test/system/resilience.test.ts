// underlayd when things go wrong around it: a start that fails half-way, a worker thread that dies, an allocation store
// that is lost, blocks that leave the configuration under running pods, routes of others in a pod's place.
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeEach, describe, expect, it } from "vitest";
import { distFile } from "../../net/dist.ts";
import { Lab, type Node } from "../interop/support/namespace.ts";
import { Underlay } from "../interop/support/underlay.ts";
import { waitFor } from "../interop/support/wait.ts";
import { Pods } from "./support/pods.ts";

const yaml = (blocks = `10.244.1.0/26, "2001:db8:244:1::/122"`, extra = "") => `
node: { name: node1, asn: 65101, routerId: 10.0.0.11 }
pools:
  default: { blocks: [${blocks}] }
peers:
  tor: { address: 10.0.0.1, asn: 65001, import: all, export: blocks }
${extra}
`;

const lab = new Lab("resilience");
let count = 0;
let node: Node;
let underlay: Underlay | null;
let pods: Pods | null;

beforeEach(() => {
  node = lab.addNode(`n${count++}`);
  underlay = null;
  pods = null;
});
afterEach(async () => {
  await underlay?.stop("SIGKILL");
  pods?.close();
});
afterAll(() => lab.close());

/** Rules and routes with our protocol number. */
const ours = () =>
  ["-4 rule", "-6 rule", "-4 route show table all", "-6 route show table all"]
    .flatMap((args) => node.ip(...args.split(" ")).split("\n"))
    .filter((line) => /proto (201|underlay)/.test(line));

async function start(text = yaml()): Promise<Underlay> {
  underlay = await Underlay.start(node, text);
  pods = new Pods(node, underlay.socket);
  return underlay;
}

/** Messages of the log at a level, with what they carry. */
const logged = (level: "warn" | "error") =>
  underlay!.log
    .split("\n")
    .filter((line) => line.includes(`"level":${level === "warn" ? 40 : 50}`))
    .map((line) => JSON.parse(line));

describe("a start that fails late", () => {
  /** Each makes the start fail after the rules are in the kernel; returns what the last line of the log says. */
  const obstacles: [string, (directory: string) => unknown, RegExp][] = [
    [
      "port 179 is taken",
      async () => {
        node.spawn(process.execPath, ["-e", 'require("net").createServer().listen(179, "0.0.0.0")']);
        await waitFor(async () => (await node.exec("ss", "-ltn")).includes(":179"), "a listener on port 179");
      },
      /179.*in use/,
    ],
    [
      "the journal is a later version's",
      (directory) => {
        mkdirSync(join(directory, "state"), { recursive: true });
        writeFileSync(join(directory, "state", "allocations.journal"), "underlay-allocations 9\n");
      },
      /allocation journal .* later version/,
    ],
    [
      "the API's path is a file",
      (directory) => {
        mkdirSync(join(directory, "run"), { recursive: true });
        writeFileSync(join(directory, "run", "underlayd.sock"), "");
      },
      /underlayd\.sock is there and is not a socket/,
    ],
  ];

  it.each(obstacles)("because %s: the kernel is as before", async (_, obstruct, message) => {
    const directory = join(lab.directory, `${node.name}.underlay`);
    await obstruct(directory);
    await expect(start()).rejects.toThrow(message);
    expect(ours()).toEqual([]);
  });

  it("keeps what a former run left, pods included", async () => {
    await start();
    pods!.create("a");
    await pods!.call("ADD", "a");
    const kept = ours();
    await underlay!.stop();
    node.spawn(process.execPath, ["-e", 'require("net").createServer().listen(179, "0.0.0.0")']);
    await waitFor(async () => (await node.exec("ss", "-ltn")).includes(":179"), "a listener on port 179");
    await expect(underlay!.start()).rejects.toThrow(/179/);
    expect(ours()).toEqual(kept);
  });
});

describe("a worker thread that dies", () => {
  it.each(["fib", "attach"])("%s: the process ends and says why, the kernel state stays", async (worker) => {
    const broken = join(lab.directory, `dist-${worker}`);
    const trigger = join(lab.directory, `break-${worker}`);
    cpSync(join(distFile("underlayd.cjs"), ".."), broken, { recursive: true });
    const file = join(broken, `${worker}-worker.cjs`);
    const bomb = `setInterval(() => { if (require("node:fs").existsSync(${JSON.stringify(trigger)})) throw new Error("broken on purpose"); }, 20);`;
    writeFileSync(file, `${readFileSync(file, "utf8")}\n${bomb}\n`);

    const directory = join(lab.directory, `${node.name}.${worker}`);
    mkdirSync(directory);
    const config = join(directory, "underlay.yaml");
    const paths = `paths: { state: ${directory}/state, run: ${directory}/run }\napi: { socket: ${directory}/run/underlayd.sock }\n`;
    writeFileSync(config, yaml() + paths);
    const child = node.spawn(process.execPath, [join(broken, "underlayd.cjs"), "--config", config], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    let log = "";
    child.stderr!.on("data", (chunk) => {
      log += chunk;
    });
    await waitFor(() => log.includes('"msg":"running"'), "underlayd running");
    const before = ours();
    writeFileSync(trigger, "");
    await waitFor(() => child.exitCode !== null, "underlayd to end", { timeout: 5_000 });
    expect(child.exitCode).toBe(1);
    expect(log).toContain(`the ${worker} worker failed: broken on purpose: stopping, the kernel state stays`);
    expect(before.length).toBeGreaterThan(0);
    expect(ours()).toEqual(before);
  });
});

it("tells a runtime that asks for its STATUS that no other node can be reached, and attaches pods all the same", async () => {
  await start();
  pods!.create("a");
  const status = await pods!.call("STATUS", "a");
  expect(JSON.parse(status.stdout)).toMatchObject({ code: 51, msg: expect.stringContaining("no BGP session") });
  expect((await pods!.call("ADD", "a")).code).toBe(0);
});

describe("pods over a restart", () => {
  it("keep a block that the configuration has no more, until the last one is gone", async () => {
    const extra = "bgp: { deferralTime: 1s }\nrouting: { withdrawTime: 0s }";
    // The neighbour is away: it may remember us for its hold time, and without graceful restart no longer.
    const text = (blocks: string) =>
      yaml(blocks, extra).replace("export: blocks", "export: blocks, gracefulRestart: false, holdTime: 3s");
    await start(text("10.244.1.0/26, 10.244.5.0/26"));
    pods!.create("a");
    await pods!.call("ADD", "a", { args: "IP=10.244.5.7" });
    await underlay!.stop();
    underlay!.configure(text("10.244.1.0/26"));
    await underlay!.start();
    const held = ours().filter((line) => line.includes("10.244.5."));
    expect(held).toEqual(
      expect.arrayContaining([
        expect.stringContaining("from 10.244.5.0/26 lookup 7100"),
        expect.stringContaining("blackhole 10.244.5.0/26"),
        expect.stringMatching(/^10\.244\.5\.7 dev ul/),
      ]),
    );
    expect(logged("warn")).toContainEqual(
      expect.objectContaining({ block: "10.244.5.0/26", pool: "default", addresses: ["10.244.5.7"] }),
    );
    const state = async () =>
      (await underlay!.blocks()).find(({ prefix }) => prefix === "10.244.5.0/26") ?? { state: "absent" };
    expect(await state()).toMatchObject({ state: "retiring", pool: "default", used: 1 });
    expect(await pods!.call("DEL", "a")).toMatchObject({ code: 0, stdout: "" });
    await waitFor(async () => (await state()).state === "absent", "the block to be gone");
    expect(ours().some((line) => line.includes("10.244.5."))).toBe(false);
  });

  it("keep their addresses when the store is lost and their names are too long for their interface", async () => {
    await start();
    for (const name of ["a", "b"]) pods!.create(name);
    const first = await pods!.call("ADD", "a", { id: "c".repeat(250) });
    for (let round = 0; round < 2; round++) {
      await underlay!.stop();
      rmSync(join(underlay!.directory, "state", "allocations.journal"), { force: round === 0 });
      await underlay!.start();
      expect((await underlay!.pods()).map((pod) => pod.addresses)).toEqual([first.addresses]);
    }
    await underlay!.restart();
    const second = await pods!.call("ADD", "b");
    expect(second.code).toBe(0);
    for (const address of second.addresses) expect(first.addresses).not.toContain(address);
    pods!.destroy("a");
    await waitFor(async () => (await underlay!.pods()).length === 1, "the lost pod to leave with its namespace");
    expect((await underlay!.blocks()).map((block) => block.used)).toEqual([1, 1]);
  });

  it("come up although another program's route has taken the place of one", async () => {
    await start();
    for (const name of ["a", "b"]) pods!.create(name);
    const [a, b] = [await pods!.call("ADD", "a"), await pods!.call("ADD", "b")];
    await underlay!.stop();
    node.ip("link", "add", "other", "type", "veth", "peer", "name", "far");
    node.ip("link", "set", "far", "up");
    node.ip("link", "set", "other", "up");
    for (const { addresses } of [a, b]) node.ip("route", "delete", `${addresses[0]}/32`, "table", "7000");
    node.ip("route", "add", `${a.addresses[0]}/32`, "dev", "other", "table", "7000", "metric", "201");
    await underlay!.start();
    expect((await underlay!.pods()).length).toBe(2);
    expect(logged("error")).toContainEqual(expect.objectContaining({ containerId: "c-a", addresses: a.addresses }));
    expect(ours().some((line) => line.startsWith(`${b.addresses[0]} dev ul`))).toBe(true);
    const foreign = node.ip("route", "show", "table", "7000").split("\n");
    expect(foreign.some((line) => line.startsWith(`${a.addresses[0]} dev other`))).toBe(true);
  });
});
