// Nothing is left of a daemon that is uninstalled: rules, routes, next hops, settings and files are byte for byte what they
// were before the first start. With a daemon, without one, after a crash, with pods.
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { UninstallView } from "../../daemon/lifecycle/uninstall.ts";
import { distFile } from "../../net/dist.ts";
import { Bird } from "../interop/support/bird.ts";
import { Lab, type Node } from "../interop/support/namespace.ts";
import { Underlay } from "../interop/support/underlay.ts";
import { waitFor } from "../interop/support/wait.ts";
import { Pods } from "./support/pods.ts";

const BLOCK = "10.244.1.0/26";
const yaml = `
node: { name: node1, asn: 65101, routerId: 10.0.0.11 }
pools: { default: { blocks: [${BLOCK}, "2001:db8:244:1::/122"] } }
peers:
  tor: { address: 10.0.0.1, asn: 65001, families: [ipv4], import: all, export: blocks, connectRetry: 1s }
monitoring: { mrt: {} }
`;

const birdConfig = `
router id 10.0.0.1;
protocol device {}
protocol static s4 { ipv4; route 198.51.100.0/24 blackhole; }
protocol bgp node1 {
  local as 65001; neighbor 10.0.0.2 as 65101; hold time 9;
  connect retry time 1; connect delay time 1; error wait time 1, 2; graceful restart on;
  ipv4 { import all; export where source = RTS_STATIC; };
}
`;

const lab = new Lab("uninstall");
let node: Node;
let bird: Bird;
let underlay: Underlay;
let pods: Pods;
let before: Record<string, string>;

beforeAll(async () => {
  const tor = lab.addNode("tor");
  node = lab.addNode("node1");
  lab.link(
    { node: tor, name: "swp1", addresses: ["10.0.0.1/24", "2001:db8::1/64"] },
    { node, name: "eth0", addresses: ["10.0.0.2/24", "2001:db8::2/64", "fe80::2/64"] },
  );
  await node.exec(
    "sysctl",
    "-qw",
    "net.ipv4.ip_forward=0",
    "net.ipv6.conf.all.forwarding=0",
    "net.ipv6.conf.eth0.accept_ra=1",
    "net.ipv4.nexthop_compat_mode=1",
    "net.ipv4.fib_multipath_hash_policy=0",
    "net.ipv6.fib_multipath_hash_policy=2",
  );
  // Somebody else's, of every kind, in our tables too.
  node.ip("rule", "add", "from", "10.9.0.0/16", "table", "7100", "pref", "1005");
  node.ip("route", "add", "blackhole", "203.0.113.0/24", "table", "7100");
  node.ip("nexthop", "add", "id", "4242", "via", "10.0.0.1", "dev", "eth0");
  await node.exec("nft", "add table inet somebody; add chain inet somebody x");
  bird = await Bird.start(tor, birdConfig);
});
beforeEach(async () => {
  before = await traces();
  underlay = await Underlay.start(node, yaml);
  pods = new Pods(node, underlay.socket);
  pods.create("a");
  expect((await pods.call("ADD", "a")).code).toBe(0);
  await underlay.waitEstablished("tor");
  await waitFor(async () => (await underlay.kernel(4)).length > 1, "the learned route", { interval: 20 });
  expect(await traces()).not.toEqual(before);
});
afterEach(async () => {
  await underlay?.stop("SIGKILL");
  pods?.close();
  if (underlay) rmSync(underlay.directory, { recursive: true, force: true });
});
afterAll(async () => {
  await bird?.close();
  await lab.close();
});

/** All that a daemon could leave on a node. */
async function traces(): Promise<Record<string, string>> {
  const show = (...args: string[]) => node.ip("-d", ...args);
  const script = 'cd /proc/sys/net && find ipv4 ipv6 -type f ! -name "*stable_secret" | sort | xargs grep -sH ""';
  const settings = await node.exec("sh", "-c", `${script}; true`);
  const directory = join(lab.directory, "node1.underlay");
  const files = existsSync(directory) ? (readdirSync(directory, { recursive: true }) as string[]).sort() : [];
  return {
    rules: show("-4", "rule") + show("-6", "rule"),
    routes: show("-4", "route", "show", "table", "all") + show("-6", "route", "show", "table", "all"),
    nexthops: show("nexthop"),
    links: show("link"),
    nftables: await node.exec("nft", "--stateless", "list", "ruleset"),
    settings,
    files: files.filter((name) => !/^(log|underlay\.yaml)$/.test(name)).join("\n"),
  };
}

interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function uninstall(...args: string[]): Ran {
  const command = [distFile("underlayctl.cjs"), "--socket", underlay.socket, "uninstall", ...args];
  const config = ["--config", join(underlay.directory, "underlay.yaml")];
  const { status, stdout, stderr } = spawnSync(
    "nsenter",
    [`--net=${node.path}`, "--", process.execPath, ...command, ...config],
    { encoding: "utf8" },
  );
  return { code: status, stdout, stderr };
}

const atTor = () => bird.birdc(`show route for ${BLOCK} protocol node1`).catch(() => "");

const inPod = () => execFileSync("ip", ["-n", pods.namespace("a"), "-br", "link"], { encoding: "utf8" });

describe("with a daemon", () => {
  it("asks first; refuses while a pod is attached and names it; then leaves no trace, there or at the neighbour", async () => {
    const kept = await traces();
    expect(uninstall()).toMatchObject({ code: 2, stderr: expect.stringContaining("Confirm with --yes") });
    const [{ addresses }] = await underlay.pods();
    expect(uninstall("--yes")).toMatchObject({
      code: 1,
      stdout: "",
      stderr: expect.stringContaining(`1 pods are attached: c-a (${addresses.join(", ")})`),
    });
    expect(await traces()).toEqual(kept);
    pods.create("b");
    expect((await pods.call("ADD", "b")).code).toBe(0);
    for (const name of ["a", "b"]) await pods.call("DEL", name);
    expect(await atTor()).toContain("node1");

    expect(uninstall("--yes")).toMatchObject({
      code: 0,
      stderr: "",
      stdout: expect.stringContaining("ip_forward is 0 again"),
    });
    expect(await underlay.ended()).toBe(3);
    expect(await atTor()).not.toContain("node1");
    expect(await traces()).toEqual(before);
  });

  it("with --force takes the pods' network away, too; what others have put into its directories stays, and is named", async () => {
    const foreign = join(underlay.directory, "state", "notes.txt");
    writeFileSync(foreign, "mine");
    const { code, stdout } = uninstall("--yes", "--force", "--json");
    expect(code).toBe(1);
    const view: UninstallView & { left: string[] } = JSON.parse(stdout);
    expect(view).toMatchObject({ pods: [expect.stringMatching(/^ul/)], left: [foreign] });
    expect(inPod()).not.toContain("eth0");
    expect(readFileSync(foreign, "utf8")).toBe("mine");
    expect(await traces()).toEqual({ ...before, files: "state\nstate/notes.txt" });
  });
});

describe("without a daemon", () => {
  it("after a kill -9: the same, by underlayd itself", async () => {
    await underlay.stop("SIGKILL");
    const kept = await traces();
    expect(uninstall("--yes")).toMatchObject({ code: 1, stderr: expect.stringContaining("1 pods are attached: c-a") });
    expect({ ...(await traces()), files: "" }).toEqual({ ...kept, files: "" });
    expect(uninstall("--yes", "--force")).toMatchObject({ code: 0, stdout: expect.stringContaining("removed: rules") });
    expect(inPod()).not.toContain("eth0");
    expect(await traces()).toEqual(before);
  });

  it.each([
    ["damaged: finds pods by their interfaces", "not a journal\n", "1 pods are attached: c-a"],
    ["a later version's: refuses", "underlay-allocations 9\n", "later version"],
  ])("with a journal that is %s, and goes on with --force", async (_, journal, said) => {
    await underlay.stop("SIGKILL");
    writeFileSync(join(underlay.directory, "state", "allocations.journal"), journal);
    expect(uninstall("--yes")).toMatchObject({ code: 1, stderr: expect.stringContaining(said) });
    expect(uninstall("--yes", "--force").code).toBe(0);
    expect(inPod()).not.toContain("eth0");
    expect(await traces()).toEqual(before);
  });
});
