// ADD returns when the pod can be reached: the first packet out of each pod, to a host behind FRR, and the first packet
// to it from there arrive, without a second try, in both families. So they do when an address, or a MAC address, goes
// from a pod that was just deleted to the next one. support/churn.c runs the client and sends.
//
//   pods -- node -- tor (FRR) -- far          UNDERLAY_CHURN=1000: so many pods; 240 unless said
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { distFile } from "../../net/dist.ts";
import { Frr } from "../interop/support/frr.ts";
import { Lab, type Node, run } from "../interop/support/namespace.ts";
import { Underlay } from "../interop/support/underlay.ts";
import { waitFor } from "../interop/support/wait.ts";

const PODS = Number(process.env["UNDERLAY_CHURN"] ?? 240);
const WORKERS = 12;
const FAR4 = "198.51.100.1";
const FAR6 = "2001:db8:ffff::1";
const BLOCK4 = "10.244.1.0/26";
const BLOCK6 = "2001:db8:244:1::/122";
/** Nobody gets addresses out of these unless asked for by name: the others are enough. */
const NAMED4 = "10.244.2.0/26";
const NAMED6 = "2001:db8:244:2::/122";

const lab = new Lab("churn");
let node: Node;
let far: Node;
let underlay: Underlay;
let frr: Frr;
let program: string;

const frrConfig = `
router bgp 65001
 bgp router-id 10.0.0.1
 no bgp ebgp-requires-policy
 no bgp network import-check
 timers bgp 3 9
 neighbor 10.1.0.2 remote-as 65101
 neighbor 10.1.0.2 timers connect 1
 address-family ipv4 unicast
  network ${FAR4}/32
 exit-address-family
 address-family ipv6 unicast
  network ${FAR6}/128
  neighbor 10.1.0.2 activate
 exit-address-family
`;

const yaml = `
node: { name: node1, asn: 65101, routerId: 10.0.0.11 }
pools: { default: { blocks: [${BLOCK4}, "${BLOCK6}", ${NAMED4}, "${NAMED6}"], cooldown: 0s } }
peers: { tor: { address: 10.1.0.1, asn: 65001, import: all, export: blocks, connectRetry: 1s } }
`;

interface Report {
  readonly pods: number;
  readonly added: number;
  readonly deleted: number;
  readonly out4: number;
  readonly out6: number;
  readonly in4: number;
  readonly in6: number;
  readonly milliseconds: number;
  readonly problems: readonly string[];
}

beforeAll(async () => {
  program = join(lab.directory, "churn");
  execFileSync("cc", [
    "-O2",
    "-Wall",
    "-Wextra",
    "-pthread",
    "-o",
    program,
    join(import.meta.dirname, "support/churn.c"),
  ]);
  node = lab.addNode("node");
  const tor = lab.addNode("tor");
  far = lab.addNode("far");
  lab.link(
    { node, name: "eth0", addresses: ["10.1.0.2/24", "2001:db8:1::2/64"] },
    { node: tor, name: "eth0", addresses: ["10.1.0.1/24", "2001:db8:1::1/64"] },
  );
  lab.link(
    { node: tor, name: "eth1", addresses: ["10.2.0.1/24", "2001:db8:2::1/64"] },
    { node: far, name: "eth0", addresses: ["10.2.0.2/24", "2001:db8:2::2/64"] },
  );
  far.addAddress("lo", `${FAR4}/32`);
  far.addAddress("lo", `${FAR6}/128`);
  tor.ip("route", "add", `${FAR4}/32`, "via", "10.2.0.2");
  tor.ip("-6", "route", "add", `${FAR6}/128`, "via", "2001:db8:2::2");
  // Pods' packets come from their own addresses, and what is sent to pods from the far host's.
  far.ip("route", "add", "default", "via", "10.2.0.1", "src", FAR4);
  far.ip("-6", "route", "add", "default", "via", "2001:db8:2::1", "src", FAR6);
  await tor.exec("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1");
  [frr, underlay] = await Promise.all([
    Frr.start(tor, frrConfig, { daemons: ["zebra", "bgpd"] }),
    Underlay.start(node, yaml),
  ]);
  await underlay.waitEstablished("tor");
  const known = async () =>
    [BLOCK4, NAMED4].every((block) => tor.ip("route", "show", block).includes("proto bgp")) &&
    [BLOCK6, NAMED6].every((block) => tor.ip("-6", "route", "show", block).includes("proto bgp")) &&
    (await underlay.kernel(4)).some(({ dst }) => dst === FAR4) &&
    (await underlay.kernel(6)).some(({ dst }) => dst === FAR6);
  await waitFor(known, "routes everywhere", { interval: 20, timeout: 20_000 });
  const usable = () => lab.nodes.every((each) => each.ip("-6", "address", "show", "tentative").trim() === "");
  await waitFor(usable, "the end of duplicate address detection", { interval: 20 });
  // The neighbours of the fabric know each other; those of pods are what is tested.
  const ping = (from: Node, address: string) => from.exec("ping", "-c1", "-W2", address);
  await Promise.all([
    ping(node, "10.1.0.1"),
    ping(node, "2001:db8:1::1"),
    ping(far, "10.2.0.1"),
    ping(far, "2001:db8:2::1"),
  ]);
});

afterAll(async () => {
  await underlay?.stop("SIGKILL");
  await frr?.close();
  await lab.close();
});

it("every pod's first packets arrive, out and in, IPv4 and IPv6", async () => {
  const text = await run(program, [
    distFile("underlay"),
    node.path,
    far.path,
    FAR4,
    FAR6,
    String(WORKERS),
    String(PODS),
    underlay.socket,
    NAMED4.split("0/")[0],
    NAMED6.split("/")[0],
  ]);
  const { milliseconds, slowestSend, ...report } = JSON.parse(text) as Report & { slowestSend: number };
  if (process.env["UNDERLAY_CHURN"]) console.log(`${PODS} pods in ${milliseconds} ms, sent within ${slowestSend} us`);
  expect(report).toEqual({
    pods: PODS,
    added: PODS,
    deleted: PODS,
    out4: PODS,
    out6: PODS,
    in4: PODS,
    in6: PODS,
    problems: [],
  });
  expect((await underlay.blocks()).map(({ used }) => used)).toEqual([0, 0, 0, 0]);
});
