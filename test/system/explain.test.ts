// `underlayctl explain` and `routes --why` on a running node: two BIRD neighbours, pods, a host with routes of its own.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Client } from "../../cli/client.ts";
import { distFile } from "../../net/dist.ts";
import type { ExplainView } from "../../routing/explain/view.ts";
import { Bird } from "../interop/support/bird.ts";
import { Lab, type Node } from "../interop/support/namespace.ts";
import { Underlay } from "../interop/support/underlay.ts";
import { waitFor } from "../interop/support/wait.ts";
import { Pods } from "./support/pods.ts";

const yaml = `
node: { name: node1, asn: 65101, routerId: 10.0.0.11 }
pools:
  default: { blocks: [10.244.1.0/28, "2001:db8:244:1::/124"], table: fabric }
tables:
  fabric: { id: 7100 }
policies:
  fabric-in:
    - { match: { prefix: [203.0.113.128/25 le 32] }, then: reject }
    - { match: { prefix: [203.0.113.0/24 le 32] }, set: { localPref: 200 }, then: accept }
    - { match: { policy: default-route }, then: accept }
peers:
  tor-a: { address: 192.168.10.1, asn: 65001, import: fabric-in, export: blocks, gracefulRestart: false }
  tor-b: { address: 192.168.20.1, asn: 65001, import: fabric-in, export: blocks, gracefulRestart: false }
`;

const bird = (octet: number, prepend: string) => `
router id 10.0.0.${octet};
protocol device {}
protocol static s4 { ipv4; route 0.0.0.0/0 unreachable; route 203.0.113.0/24 unreachable; route 203.0.113.192/26 unreachable; route 198.51.100.0/24 unreachable; }
filter longer {
  if net = 203.0.113.0/24 then { ${prepend} }
  accept;
}
protocol bgp node {
  local 192.168.${octet}.1 as 65001;
  neighbor 192.168.${octet}.2 as 65101;
  connect retry time 1; connect delay time 1;
  ipv4 { import all; export filter longer; next hop self; };
}
`;

let lab: Lab;
let host: Node;
let underlay: Underlay;
const birds: Bird[] = [];
let pods: Pods;
let pod = "";

beforeAll(async () => {
  lab = new Lab("explain");
  host = lab.addNode("host");
  for (const octet of [10, 20]) {
    const tor = lab.addNode(`tor${octet}`);
    lab.link(
      { node: host, name: `e${octet}`, addresses: [`192.168.${octet}.2/24`] },
      { node: tor, name: "host", addresses: [`192.168.${octet}.1/24`] },
    );
    birds.push(await Bird.start(tor, bird(octet, octet === 20 ? "bgp_path.prepend(65001);" : "")));
  }
  lab.link(
    { node: host, name: "strict", addresses: ["192.168.30.2/24"] },
    { node: lab.addNode("other"), name: "host", addresses: ["192.168.30.1/24"] },
  );
  await host.exec("sysctl", "-qw", "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.strict.rp_filter=1");
  host.ip("route", "add", "default", "via", "192.168.10.1", "proto", "static");
  host.ip("rule", "add", "pref", "900", "fwmark", "7", "blackhole");
  underlay = await Underlay.start(host, yaml);
  pods = new Pods(host, underlay.socket);
  pods.create("one");
  const { code, stdout, addresses } = await pods.call("ADD", "one", {
    args: "K8S_POD_NAMESPACE=shop;K8S_POD_NAME=cart",
  });
  if (code !== 0) throw new Error(stdout);
  pod = addresses[0];
  await waitFor(async () => (await underlay.kernel(4)).length === 2, "two routes", { interval: 20 });
});
afterAll(async () => {
  pods?.close();
  for (const each of birds) await each.close();
  await lab.close();
});

/** Asked as underlayctl asks, without a process for each question. */
const explain = (source: string, destination: string, more: Record<string, string> = {}) =>
  new Client(underlay.socket).get<ExplainView>(`/v1/explain?${new URLSearchParams({ source, destination, ...more })}`);

/** As people see it, with the exit code in front. */
async function shown(...args: string[]): Promise<string> {
  const command = [distFile("underlayctl.cjs"), "--socket", underlay.socket, ...args];
  return host.exec("sh", "-c", '"$0" "$@" 2>&1; echo "exit code $?"', process.execPath, ...command);
}

describe("explain", () => {
  it("follows a pod's packet into the fabric, and says why each piece is there", async () => {
    const view = await explain(pod, "203.0.113.9");
    expect(view).toMatchObject({ goesSomewhere: true, difference: null, refusal: null });
    expect(view.notes[0]).toMatch(/is pod shop\/cart: the packet is taken to arrive by /);
    expect(view.verdicts).toMatchObject([
      { table: "fabric (7100)", nextHops: [{ gateway: "192.168.10.1", interface: "e10" }] },
    ]);
    const decided = view.steps.find(({ outcome }) => outcome === "decided");
    expect(decided).toMatchObject({
      protocol: "underlay",
      because: ["block 10.244.1.0/28 of pool default sends by table fabric"],
    });
    expect(decided?.route?.because).toEqual(["learned from tor-a, AS path 65001, accepted by fabric-in, statement 2"]);
    expect(view.reverse.at(-1)?.route?.because).toEqual([
      expect.stringMatching(/^pod shop\/cart of pool default, behind /),
    ]);
  });

  it("names every member where the kernel's hash chooses", async () => {
    const { verdicts, kernel, difference } = await explain(pod, "8.8.8.8");
    expect(verdicts[0].nextHops.map((hop) => hop.interface).sort()).toEqual(["e10", "e20"]);
    expect(["e10", "e20"]).toContain(kernel.nextHops[0].interface);
    expect(difference).toBeNull();
  });

  it("shows foreign rules and routes with their protocol, and exits 1 for a packet that goes nowhere", async () => {
    const dropped = await shown("explain", pod, "8.8.8.8", "--mark", "7");
    expect(dropped).toMatch(/900: from all fwmark 0x7 blackhole {2}\[unspec\] {2}-> decides/);
    expect(dropped).toMatch(/the kernel agrees: EINVAL\nexit code 1\n$/);
    const host = await shown("explain", "any", "203.0.113.9");
    expect(host).toMatch(/0\.0\.0\.0\/0 via 192\.168\.10\.1 dev e10 proto static/);
    expect(host).toMatch(/ {2}from 192\.168\.10\.2\n.*\nexit code 0\n$/);
  });

  it("tells an unused address of a block from a pod's", async () => {
    const unused = await explain("192.168.10.1", "10.244.1.9", { iif: "e10" });
    expect(unused.verdicts[0]).toMatchObject({
      error: "EINVAL",
      route: { type: "blackhole", prefix: "10.244.1.0/28" },
    });
    expect(unused.verdicts[0].route?.because[0]).toMatch(
      /^block 10\.244\.1\.0\/28 of pool default: an address that no pod has/,
    );
    expect(unused).toMatchObject({ goesSomewhere: false, difference: null });
  });

  it("explains IPv6, and what rp_filter refuses", async () => {
    expect(await explain("any", "2001:db8:244:1::9")).toMatchObject({
      verdicts: [{ error: "EINVAL" }],
      difference: null,
    });
    const view = await explain("198.51.100.7", pod, { iif: "strict" });
    expect(view).toMatchObject({ goesSomewhere: false, difference: null });
    expect(view.refusal).toMatch(/^rp_filter of strict is 1, and the way back to 198\.51\.100\.7 is not by strict$/);
  });

  it.each<[string, string, Record<string, string>, RegExp]>([
    [
      "10.0.0.0/8",
      "8.8.8.8",
      {},
      /the source "10\.0\.0\.0\/8" is not an address; a packet has an address, not a prefix/,
    ],
    ["any", "2001:db8::1/64", {}, /the destination .* is not an address/],
    ["10.0.0.1", "2001:db8::1", {}, /are not of one family/],
    ["any", "8.8.8.8", { iif: "eth77" }, /iif: there is no interface "eth77"; there are lo, /],
    ["any", "fe80::1", {}, /means nothing without an interface/],
    ["any", "8.8.8.8", { mark: "x" }, /mark: "x" is not a number/],
    ["any", "224.0.0.5", { iif: "e10" }, /group memberships/],
    ["any", "8.8.8.8", { iif: "e10", oif: "e20" }, /not both/],
    ["", "8.8.8.8", {}, /source= is missing/],
    ["any", "8.8.8.8", { port: "1" }, /unknown parameter port/],
  ])("refuses from %s to %s %j", async (source, destination, more, words) => {
    await expect(explain(source, destination, more)).rejects.toThrow(words);
  });
});
