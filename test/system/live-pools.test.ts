// Pools that change under a running daemon, with real pods, the real kernel and a neighbour made of bare sockets. At
// each UPDATE the kernel is looked at before anything else is done: an announced block has to be in it, a withdrawn one
// still. What the kernel itself tells is in the right order too: blackhole, then rule, and the other way round.
import { afterAll, beforeAll, expect, it } from "vitest";
import type { PlanView } from "../../daemon/reload.ts";
import { Lab, type Node } from "../interop/support/namespace.ts";
import { openMessage, RawPeer } from "../interop/support/raw-peer.ts";
import { Underlay } from "../interop/support/underlay.ts";
import { waitFor } from "../interop/support/wait.ts";
import { Pods } from "./support/pods.ts";

const FIRST = "10.244.1.0/26";
const SECOND = "10.244.2.0/28";
const THIRD = "10.244.3.0/26";

interface Told {
  readonly kind: "announced" | "withdrawn";
  readonly prefix: string;
  /** As the kernel was when it arrived. */
  readonly blackhole: boolean;
  readonly rule: boolean;
  readonly communities: readonly number[];
}

const lab = new Lab("pools");
let node: Node;
let underlay: Underlay;
let pods: Pods;
let leave: () => void;
let peer: RawPeer;
const told: Told[] = [];
let monitored = "";
let reloaded: PlanView;

const yaml = (pools: string) => `
node: { name: node1, asn: 65101, routerId: 10.0.0.11 }
routing: { withdrawTime: 3s }
tables: { fabric: { id: 7100 }, storage: { id: 7200 } }
pools:
${pools}
peers: { tor: { address: 10.1.0.2, asn: 65500, passive: true, families: [ipv4], import: none, export: blocks } }
`;

async function reload(pools: string): Promise<PlanView> {
  underlay.configure(yaml(pools));
  reloaded = await underlay.ctl<PlanView>("reload");
  return reloaded;
}

const state = async (prefix: string) => (await underlay.blocks()).find((block) => block.prefix === prefix) ?? null;
const isState = (prefix: string, wanted: string | null) =>
  waitFor(async () => ((await state(prefix))?.state ?? null) === wanted, `${prefix} to be ${wanted}`, { interval: 20 });
const last = (prefix: string) => told.findLast((entry) => entry.prefix === prefix);
const isTold = (prefix: string, kind: Told["kind"]) =>
  waitFor(() => last(prefix)?.kind === kind, `the neighbour to be told of ${prefix}`, { interval: 5 });
const inKernel = (prefix: string) => ({
  blackhole: node.ip("route", "show", "table", "7000", "proto", "201").includes(`blackhole ${prefix} `),
  rule: new RegExp(`^1010:\\s+from ${prefix} lookup`, "m").test(node.ip("rule")),
});
/** What the kernel has said of a prefix, in its order. */
const said = (prefix: string) =>
  monitored
    .split("\n")
    .filter(
      (line) =>
        line.includes(`blackhole ${prefix} `) ||
        (line.includes(`from ${prefix} lookup`) && /^(Deleted )?1010:/.test(line)),
    )
    .map(
      (line) =>
        `${line.startsWith("Deleted") ? "-" : "+"}${line.includes("blackhole") ? "blackhole" : /lookup \S+/.exec(line)?.[0]}`,
    );

/** Prefixes of up to 8 bits by octets, as in withdrawn routes and in NLRI. */
function* prefixes(bytes: Buffer): Generator<string> {
  for (let at = 0; at < bytes.length; ) {
    const length = bytes[at++];
    const octets = [...bytes.subarray(at, at + Math.ceil(length / 8)), 0, 0, 0, 0].slice(0, 4);
    at += Math.ceil(length / 8);
    yield `${octets.join(".")}/${length}`;
  }
}

function read(update: Buffer): void {
  const withdrawn = update.readUInt16BE(0);
  const length = update.readUInt16BE(2 + withdrawn);
  const attributes = update.subarray(4 + withdrawn, 4 + withdrawn + length);
  const communities: number[] = [];
  for (let at = 0; at < attributes.length; ) {
    const wide = (attributes[at] & 0x10) !== 0;
    const size = wide ? attributes.readUInt16BE(at + 2) : attributes[at + 2];
    const from = at + (wide ? 4 : 3);
    if (attributes[at + 1] === 8)
      for (let i = from; i < from + size; i += 4) communities.push(attributes.readUInt16BE(i + 2));
    at = from + size;
  }
  for (const prefix of prefixes(update.subarray(2, 2 + withdrawn)))
    told.push({ kind: "withdrawn", prefix, ...inKernel(prefix), communities: [] });
  for (const prefix of prefixes(update.subarray(4 + withdrawn + length)))
    told.push({ kind: "announced", prefix, ...inKernel(prefix), communities });
}

beforeAll(async () => {
  node = lab.addNode("node");
  const tor = lab.addNode("tor");
  lab.link({ node, name: "eth0", addresses: ["10.1.0.1/24"] }, { node: tor, name: "eth0", addresses: ["10.1.0.2/24"] });
  const monitor = node.spawn("ip", ["monitor", "rule", "route"], { stdio: ["ignore", "pipe", "ignore"] });
  monitor.stdout?.on("data", (chunk) => {
    monitored += chunk;
  });
  underlay = await Underlay.start(node, yaml(`  default: { blocks: [${FIRST}] }`));
  pods = new Pods(node, underlay.socket);
  leave = tor.enter({ tested: false });
  peer = await RawPeer.established("10.1.0.1", "10.1.0.2", openMessage({ holdTime: 0 }));
  let seen = 0;
  const look = () => {
    for (; seen < peer.received.length; seen++) if (peer.received[seen].type === 2) read(peer.received[seen].body);
  };
  peer.socket.on("data", look);
  look();
  await isTold(FIRST, "announced");
});

afterAll(async () => {
  peer?.close();
  leave?.();
  await underlay?.stop("SIGKILL");
  pods?.close();
  await lab.close();
});

it("a block that comes is in the kernel first, blackhole before rule, and then announced", async () => {
  const { impact, changes } = await reload(`  default: { blocks: [${FIRST}, ${SECOND}] }`);
  expect(impact).toBe("live");
  expect(changes.map(({ path }) => path)).toEqual(["pools.default.blocks"]);
  await isTold(SECOND, "announced");
  expect(last(SECOND)).toMatchObject({ blackhole: true, rule: true });
  await waitFor(() => said(SECOND).length === 2, "the monitor", { interval: 5 });
  expect(said(SECOND)).toEqual(["+blackhole", "+lookup 7100"]);
});

it("what blocks are announced with changes without a withdrawal", async () => {
  const before = told.length;
  await reload(`  default: { blocks: [${FIRST}, ${SECOND}], communities: ["65101:77"] }`);
  await waitFor(() => last(FIRST)?.communities[0] === 77 && last(SECOND)?.communities[0] === 77, "the communities");
  expect(told.slice(before).filter(({ kind }) => kind === "withdrawn")).toEqual([]);
});

it("a block that the kernel refuses is not announced, is shown with its words, and comes when it can", async () => {
  node.ip("route", "add", "prohibit", THIRD, "table", "7000", "metric", "65535", "proto", "static");
  await reload(`  default: { blocks: [${FIRST}, ${SECOND}, ${THIRD}] }`);
  await isState(THIRD, "failed");
  expect((await state(THIRD))?.reason).toMatch(/blackhole in table 7000.*EEXIST.*another program/);
  expect((await underlay.status()).problems).toContainEqual(expect.stringContaining(`block ${THIRD} is not announced`));
  expect(last(THIRD)).toBeUndefined();
  expect(inKernel(THIRD)).toEqual({ blackhole: false, rule: false });
  expect(inKernel(FIRST)).toEqual({ blackhole: true, rule: true });
  node.ip("route", "del", "prohibit", THIRD, "table", "7000", "metric", "65535", "proto", "static");
  await isTold(THIRD, "announced");
  expect(last(THIRD)).toMatchObject({ blackhole: true, rule: true });
});

it("exclusions count for the next pod", async () => {
  await reload(
    `  default: { blocks: [${SECOND}], exclude: [10.244.2.0-10.244.2.6] }\n  more: { blocks: [${FIRST}, ${THIRD}] }`,
  );
  pods.create("a");
  const { addresses } = await pods.call("ADD", "a");
  expect(addresses[0]).toMatch(/^10\.244\.2\.7/);
});

it("a block with pods that leaves its pool stays, gives nothing, and goes with its last pod: withdrawn, a pause, rule, blackhole", async () => {
  const without = `  default: { blocks: [${FIRST}, ${THIRD}] }`;
  underlay.configure(yaml(without));
  const planned = await underlay.ctl<PlanView>("plan", `${underlay.directory}/underlay.yaml`);
  const warning = expect.stringMatching(/block 10\.244\.2\.0\/28 of pool default has pods: c-a \(10\.244\.2\.7\)/);
  expect(planned.warnings).toContainEqual(warning);
  expect((await reload(without)).warnings).toContainEqual(warning);
  expect(await state(SECOND)).toMatchObject({
    state: "retiring",
    used: 1,
    reason: expect.stringContaining("last pod"),
  });
  expect(inKernel(SECOND)).toEqual({ blackhole: true, rule: true });
  pods.create("b");
  expect((await pods.call("ADD", "b")).addresses[0]).toMatch(/^10\.244\.1\./);
  await pods.call("DEL", "a");
  await isTold(SECOND, "withdrawn");
  expect(last(SECOND)).toMatchObject({ blackhole: true, rule: true });
  expect((await state(SECOND))?.state).toBe("withdrawing");
  await isState(SECOND, null);
  expect(inKernel(SECOND)).toEqual({ blackhole: false, rule: false });
  await waitFor(() => said(SECOND).length === 4, "the monitor", { interval: 5 });
  expect(said(SECOND).slice(2)).toEqual(["-lookup 7100", "-blackhole"]);
});

it("a block whose pool takes another table has the new rule before it loses the old one", async () => {
  const before = told.length;
  await reload(`  default: { blocks: [${FIRST}, ${THIRD}], table: storage }`);
  await isTold(FIRST, "withdrawn"); // the neighbour is one of the other table
  expect(inKernel(FIRST)).toEqual({ blackhole: true, rule: true });
  await waitFor(() => said(FIRST).at(-1) === "-lookup 7100", "the old rule to go", { interval: 20 });
  expect(said(FIRST)).toEqual(["+blackhole", "+lookup 7100", "+lookup 7200", "-lookup 7100"]);
  expect(told.slice(before).every(({ blackhole, rule }) => blackhole && rule)).toBe(true);
});

it("a reload that is refused changes nothing", async () => {
  const [kernel, blocks] = [node.ip("rule"), await underlay.blocks()];
  underlay.configure(yaml(`  default: { blocks: [${FIRST}, 10.244.1.0/28] }`));
  await expect(underlay.ctl("reload")).rejects.toThrow();
  expect(node.ip("rule")).toBe(kernel);
  expect(await underlay.blocks()).toEqual(blocks);
});
