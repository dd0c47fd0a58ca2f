// The flight recorder of a running daemon, and what its files alone tell afterwards: an incident that ends with kill -9, a
// flood of routes, a full disk.
import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { distFile } from "../../net/dist.ts";
import { Frr } from "../interop/support/frr.ts";
import { Lab, type Node } from "../interop/support/namespace.ts";
import { announce, attributes, openMessage, RawPeer } from "../interop/support/raw-peer.ts";
import { Underlay } from "../interop/support/underlay.ts";
import { sleep, waitFor } from "../interop/support/wait.ts";
import { Pods } from "./support/pods.ts";

const SIZE = 1 << 20;
const yaml = `
node: { name: node1, asn: 65101, routerId: 10.1.0.1 }
pools: { default: { blocks: [10.244.1.0/26] } }
peers:
  tor: { address: 10.1.0.2, asn: 65002, import: all, export: blocks, connectRetry: 1s }
  raw: { address: 10.2.0.2, asn: 65500, passive: true, import: all, export: none }
history: { size: ${SIZE} }
`;

interface Line {
  readonly seq: number;
  readonly time: string;
  readonly type: string;
  readonly [key: string]: unknown;
}

let lab: Lab;
let node: Node;
let far: Node;
let underlay: Underlay;
let frr: Frr;
let pods: Pods;
let directory: string;

beforeAll(async () => {
  lab = new Lab("history");
  node = lab.addNode("node");
  const tor = lab.addNode("tor");
  far = lab.addNode("far");
  lab.link({ node, name: "eth0", addresses: ["10.1.0.1/24"] }, { node: tor, name: "eth0", addresses: ["10.1.0.2/24"] });
  lab.link({ node, name: "eth1", addresses: ["10.2.0.1/24"] }, { node: far, name: "eth0", addresses: ["10.2.0.2/24"] });
  [underlay, frr] = await Promise.all([
    Underlay.start(node, yaml),
    Frr.start(
      tor,
      `router bgp 65002
 bgp router-id 10.1.0.2
 no bgp ebgp-requires-policy
 no bgp network import-check
 neighbor 10.1.0.1 remote-as 65101
 neighbor 10.1.0.1 timers connect 1
 address-family ipv4 unicast
  network 198.51.100.0/24
`,
    ),
  ]);
  directory = join(underlay.directory, "state", "history");
  pods = new Pods(node, underlay.socket);
});
afterAll(async () => {
  pods?.close();
  await underlay?.stop("SIGKILL");
  spawnSync("umount", ["-q", directory]);
  await lab?.close();
});

function post(path: string): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const call = request({ socketPath: underlay.socket, method: "POST", path }, (response) => {
      response.resume().once("end", resolve);
    });
    call.once("error", reject).end();
  });
}

/** What `underlayctl history` says, of the files alone: it runs in the test's own namespace. */
function history(...args: string[]): Line[] {
  const command = [distFile("underlayctl.cjs"), "history", "--json", "--file", directory, ...args];
  const { stdout, stderr, status } = spawnSync(process.execPath, command, { encoding: "utf8", maxBuffer: 1 << 28 });
  if (status === 2) throw new Error(stderr);
  return stdout
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Line);
}

/** The first of these after `after` that has all the fields. */
function find(lines: readonly Line[], fields: Record<string, unknown>, after = 0): Line {
  const found = lines.find(
    (line) => line.seq > after && Object.entries(fields).every(([key, value]) => matches(line[key], value)),
  );
  if (!found) throw new Error(`nothing like ${JSON.stringify(fields)} after ${after} in\n${text(lines)}`);
  return found;
}
const matches = (is: unknown, wanted: unknown) =>
  wanted instanceof RegExp ? wanted.test(String(is)) : JSON.stringify(is) === JSON.stringify(wanted);
const text = (lines: readonly Line[]) => lines.map((line) => JSON.stringify(line)).join("\n");

describe("an incident", () => {
  let lines: Line[];
  let address: string;

  it("is told by the files alone, to the last moment before a kill -9", async () => {
    await underlay.waitEstablished("tor");
    await waitFor(async () => (await underlay.kernel(4)).length === 1, "FRR's route", { interval: 20 });
    node.ip("rule", "del", "priority", "1010");
    await waitFor(() => node.ip("rule").includes("1010:"), "the rule to be back", { interval: 20 });
    pods.create("web");
    const added = await pods.call("ADD", "web", { args: "K8S_POD_NAMESPACE=ns;K8S_POD_NAME=web" });
    [address] = added.addresses;
    expect(added.code).toBe(0);
    await post("/v1/reset?peer=tor&reason=maintenance");
    await waitFor(async () => (await underlay.peer("tor")).establishedCount === 2, "tor to be back", { interval: 20 });
    await frr.configure("router bgp 65002\n neighbor 10.1.0.1 shutdown message rack move\n");
    await waitFor(async () => (await underlay.peer("tor")).state !== "Established", "tor to go", { interval: 20 });
    node.ip("rule", "del", "priority", "1010");
    await waitFor(() => node.ip("rule").includes("1010:"), "the rule to be back", { interval: 20 });
    // On disk while the daemon runs, without being asked to: it writes within 100 ms.
    const repairs = () => history("--types", "kernel").filter(({ kind }) => kind === "repaired").length;
    await waitFor(() => repairs() === 2, "the second repair on record", { interval: 20 });
    await sleep(150);
    await underlay.stop("SIGKILL");

    lines = history();
    expect(lines.map(({ seq }) => seq)).toEqual([...lines.map(({ seq }) => seq)].sort((a, b) => a - b));
    const rule = { kind: "operation", operation: "add", object: "rule", rule: "1010: from 10.244.1.0/26 lookup 7100" };
    const order = [
      { type: "daemon", kind: "start", lastRun: null },
      { type: "kernel", operation: "add", object: "route", routeType: "blackhole", prefix: "10.244.1.0/26" },
      { type: "kernel", ...rule },
      { type: "daemon", kind: "running" },
      { type: "session", kind: "state", peer: "tor", to: "Established" },
      { type: "kernel", operation: "add", object: "route", prefix: "198.51.100.0/24", table: 7100 },
      { type: "kernel", ...rule },
      { type: "pod", kind: "added", pod: /.*/ },
      { type: "cni", verb: "ADD", containerId: "c-web", exitCode: 0, error: null },
      { type: "api", request: "/v1/reset?peer=tor&reason=maintenance", error: null },
      { type: "session", kind: "state", peer: "tor", to: "Established" },
      { type: "session", kind: "notification", direction: "received", text: /Administrative Shutdown.*rack move/ },
      { type: "kernel", ...rule },
    ];
    let at = 0;
    for (const fields of order) at = find(lines, fields, at).seq;
    find(lines, { type: "session", kind: "endOfRib", direction: "received", family: 4, prefixes: /^[12]$/ });
    find(lines, { type: "session", kind: "endOfRib", direction: "sent", family: 4 });
    find(lines, { type: "session", kind: "notification", direction: "sent", code: 6, text: /"maintenance"/ });
    find(lines, { type: "kernel", kind: "repaired", message: /1010: from 10\.244\.1\.0\/26/ });
    find(lines, { type: "kernel", operation: "add", object: "group", members: ["10.1.0.2 dev eth0"] });
    find(lines, { type: "kernel", operation: "set", object: "sysctl", name: "net.ipv4.ip_forward", value: "1" });
    find(lines, { type: "problem", kind: "appeared", problem: /^peer tor is / });
    const lost = find(lines, { type: "session", kind: "state", from: "Established", reason: "maintenance" });
    expect(lost["prefixes"]).toMatchObject({ accepted: 1, advertised: 1 });
    // The pod's cable: made here, addressed there, and the way to it.
    const netns = `/run/netns/${pods.namespace("web")}`;
    find(lines, { type: "kernel", operation: "add", object: "link", name: /^ul/, value: "veth" });
    find(lines, {
      type: "kernel",
      operation: "add",
      object: "address",
      prefix: `${address}/32`,
      interface: "eth0",
      netns,
    });
    find(lines, {
      type: "kernel",
      operation: "add",
      object: "route",
      prefix: "0.0.0.0/0",
      gateway: "169.254.1.1",
      netns,
    });
    find(lines, { type: "kernel", operation: "add", object: "route", prefix: `${address}/32`, table: 7000 });
  });

  it("is told of one prefix, one neighbour, one time", () => {
    const about = history("--prefix", "198.51.100.0/24");
    expect(new Set(about.map(({ type }) => type))).toEqual(new Set(["kernel", "route"]));
    expect(history("--prefix", address).some(({ type }) => type === "pod")).toBe(true);
    expect(history("--peer", "raw").every((line) => JSON.stringify(line).includes("raw"))).toBe(true);
    const established = find(lines, { type: "session", peer: "tor", to: "Established" });
    const command = [distFile("underlayctl.cjs"), "history", "--json", "--file", directory, "--at", established.time];
    const state = JSON.parse(spawnSync(process.execPath, command, { encoding: "utf8" }).stdout);
    expect(state.daemon).toBe("running");
    expect(state.peers).toContainEqual(
      expect.objectContaining({ name: "tor", state: "Established", since: established.time }),
    );
    expect(state.blocks).toEqual([{ prefix: "10.244.1.0/26", pool: "default", state: "announced" }]);
  });

  it("and the next start says how the last run ended", async () => {
    const before = lines[lines.length - 1].seq;
    await underlay.start();
    const starts = () => history("--types", "daemon").some(({ kind, seq }) => kind === "start" && seq > before);
    await waitFor(starts, "the start on record", { interval: 20 });
    const start = find(history("--types", "daemon"), { kind: "start" }, before);
    expect(start["lastRun"]).toMatchObject({ end: "lost", time: lines[lines.length - 1].time });
    expect(start["message"]).toContain("the last run was killed or crashed after");
  });
});

it("every operation of a load reaches who watches, and a flood stays within the recorder's size", async () => {
  const LOAD = 5_000;
  const FLOOD = 100_000;
  const leave = far.enter({ tested: false });
  const peer = await RawPeer.established("10.2.0.1", "10.2.0.2", openMessage());
  leave();
  const flood = async (from: number, count: number) => {
    const sets = attributes();
    for (let i = 0; i < count; i += 500) {
      peer.send(announce(from + i, 500, sets));
      await peer.drained();
    }
    await waitFor(async () => (await underlay.status()).kernel.installed >= from + count, "the routes", {
      interval: 50,
    });
  };

  const watching = spawn(process.execPath, [
    ...[distFile("underlayctl.cjs"), "--socket", underlay.socket, "watch", "--json", "--types", "kernel"],
  ]);
  let seen = "";
  watching.stdout.on("data", (data) => {
    seen += data;
  });
  const told = () =>
    seen
      .split("\n")
      .slice(0, -1)
      .map((line) => JSON.parse(line) as Line);
  const adds = () =>
    told().filter(
      ({ kind, operation, object, table }) =>
        kind === "operation" && operation === "add" && object === "route" && table === 7100,
    );
  // Subscribed when it hears of something.
  await waitFor(
    () => {
      node.ip("link", "set", "lo", "down");
      node.ip("link", "set", "lo", "up");
      return seen !== "";
    },
    "the watcher",
    { interval: 100 },
  );
  const before = (history().at(-1) as Line).seq;
  await flood(0, LOAD);
  await waitFor(
    () => adds().length + told().reduce((sum, line) => sum + ((line["dropped"] as number) ?? 0), 0) >= LOAD,
    "all",
    {
      interval: 50,
    },
  );
  const prefixes = new Set(adds().map(({ prefix }) => prefix));
  expect(prefixes.size).toBe(adds().length);
  expect(told().some(({ kind }) => kind === "operations")).toBe(false);
  watching.kill();

  await waitFor(() => counted(before) >= LOAD, "the record of the load", { interval: 100 });
  const { seq } = history().at(-1) as Line;
  await flood(LOAD, FLOOD);
  await waitFor(() => counted(seq) >= FLOOD, "the record of the flood", { interval: 100 });
  expect(counted(seq)).toBe(FLOOD);
  const { history: view } = await underlay.status();
  expect(view).toMatchObject({ lost: 0, problem: null, size: SIZE });
  const bytes = readdirSync(directory).reduce((sum, file) => sum + statSync(join(directory, file)).size, 0);
  expect(bytes).toBeLessThanOrEqual(SIZE);
  expect(view?.bytes).toBeLessThanOrEqual(SIZE);
  const somewhere = history("--prefix", "20.1.0.0/32").filter(
    (line) => line["match"] === "perhaps" && line.type === "kernel",
  );
  expect(somewhere.length).toBeGreaterThan(0);
  peer.close();

  /** Routes that the record says were added to the table since then. */
  function counted(after: number): number {
    return history("--types", "kernel")
      .filter(
        (line) =>
          line.seq > after && line["operation"] === "add" && line["object"] === "route" && line["table"] === 7100,
      )
      .reduce((sum, line) => sum + ((line["count"] as number) ?? 1), 0);
  }
});

it("a full disk pauses the recording, and nothing else", async () => {
  await underlay.stop();
  expect(history().at(-1)).toMatchObject({ type: "daemon", kind: "stopped" });
  rmSync(directory, { recursive: true });
  mkdirSync(directory);
  spawnSync("mount", ["-t", "tmpfs", "-o", "size=2m", "tmpfs", directory]);
  await underlay.start();
  try {
    writeFileSync(join(directory, "filler"), Buffer.alloc(4 << 20));
  } catch (error) {
    expect((error as NodeJS.ErrnoException).code).toBe("ENOSPC");
  }
  const problem = async () => (await underlay.status()).history?.problem;
  for (let i = 0; i < 400 && !(await problem()); i++)
    for (let n = 0; n < 20; n++) await post(`/v1/reset?peer=tor&reason=${"x".repeat(100)}`);
  expect(await problem()).toBe(`the flight recorder pauses, ${directory}: no space left on the disk`);
  expect((await underlay.status()).problems).toContain(await problem());
  pods.create("db");
  expect((await pods.call("ADD", "db")).code).toBe(0);
  rmSync(join(directory, "filler"));
  await waitFor(async () => (await problem()) === null, "the recorder to go on", { interval: 100 });
  await underlay.stop();
  const lines = history("--types", "recorder,api,daemon");
  expect(find(lines, { type: "recorder", kind: "paused" })["message"]).toMatch(/no space left on the disk \(for \d+ s/);
  expect(lines.at(-1)).toMatchObject({ type: "daemon", kind: "stopped" });
  expect(history().map(({ seq }) => seq)).toEqual([...new Set(history().map(({ seq }) => seq))]);
});
