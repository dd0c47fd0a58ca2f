// `underlayctl explain` and `routes --why` on a running node: two BIRD neighbours, pods, a host with routes of its own.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Client } from "../../cli/client.ts";
import type { WhyView } from "../../daemon/why.ts";
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
    - { match: { prefix: [203.0.112.0/24] }, set: { nextHop: 198.18.0.1 }, then: accept }
    - { match: { prefix: [203.0.114.0/24] }, then: accept }
    - { match: { policy: default-route }, then: accept }
peers:
  tor-a: { address: 192.168.10.1, asn: 65001, import: fabric-in, export: blocks, gracefulRestart: false }
  tor-b: { address: 192.168.20.1, asn: 65001, import: fabric-in, export: blocks, gracefulRestart: false }
`;

const bird = (octet: number, prepend: string) => `
router id 10.0.0.${octet};
protocol device {}
protocol static s4 { ipv4; route 0.0.0.0/0 unreachable; route 203.0.113.0/24 unreachable; route 203.0.113.192/26 unreachable; route 198.51.100.0/24 unreachable; route 203.0.112.0/24 unreachable; route 203.0.114.0/24 unreachable; }
filter longer {
  if net = 203.0.113.0/24 then { ${prepend} }
  if net = 203.0.114.0/24 then { bgp_path.prepend(65101); }
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
  const heard = async (peer: string) => (await underlay.peer(peer)).received === 6;
  await waitFor(async () => (await heard("tor-a")) && (await heard("tor-b")), "all routes", { interval: 20 });
  await waitFor(
    async () => (await underlay.kernel(4)).find(({ dst }) => dst === "default")?.gateways.length === 2,
    "both ways out",
    { interval: 20 },
  );
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

  it("says that a pod's packet is dropped when it is from an address that is not its own", async () => {
    const [{ hostInterface }] = await underlay.pods();
    const refusal = "10.244.1.9 is no address of pod shop/cart: pods are kept to their own (cni.sourceValidation)";
    expect(await explain("10.244.1.9", "203.0.113.9", { iif: hostInterface })).toMatchObject({
      goesSomewhere: false,
      refusal,
    });
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

describe("routes --why", () => {
  const why = (prefix: string) =>
    new Client(underlay.socket).get<WhyView>(`/v1/routes/why?${new URLSearchParams({ prefix })}`);

  it("goes from the neighbour's words to the kernel, and says why not the other path", async () => {
    const view = await why("203.0.113.0/24");
    expect(view).toMatchObject({ used: true, covering: [], closer: [] });
    const [{ table, paths, kernel, told }] = view.tables;
    expect(table).toBe("fabric");
    expect(paths).toMatchObject([
      {
        outcome: "best",
        reason: null,
        route: { peer: "tor-a", localPref: 200 },
        session: { state: "Established", asn: 65001 },
        policy: { decidedBy: { policy: "fabric-in", statement: 2 }, before: { asPath: "65001" } },
        nextHop: { gateway: "192.168.10.1", interface: "e10", network: "192.168.10.0/24" },
      },
      { outcome: "not used", route: { peer: "tor-b" }, reason: { step: "AS path length", value: "2", better: "1" } },
    ]);
    expect(kernel).toMatchObject({
      wanted: true,
      refused: null,
      members: [{ gateway: "192.168.10.1", interface: "e10" }],
    });
    const groups = JSON.parse(await host.exec("ip", "-j", "route", "show", "203.0.113.0/24", "table", "7100"));
    expect(kernel?.nextHopId).toBe(groups[0].nhid);
    expect(told).toMatchObject([
      { peer: "tor-a", routes: [], why: "the path in use comes from it" },
      {
        peer: "tor-b",
        why: "its export policy rejects the path in use",
        policy: { policy: "blocks", verdict: "reject" },
      },
    ]);
  });

  it("shows paths that are used together, and by what the best one is best", async () => {
    const [{ paths, kernel }] = (await why("0.0.0.0/0")).tables;
    expect(paths.map(({ outcome, reason }) => [outcome, reason?.step])).toEqual([
      ["best", undefined],
      ["multipath", "BGP identifier"],
    ]);
    expect(kernel?.members.map((member) => member.interface).sort()).toEqual(["e10", "e20"]);
  });

  it("names the statement that rejects a route, and what covers it", async () => {
    const view = await why("203.0.113.192/26");
    expect(view).toMatchObject({ used: false, covering: [{ prefix: "203.0.113.0/24", table: "fabric" }] });
    expect(view.tables[0].paths[0]).toMatchObject({
      outcome: "rejected",
      route: { rejected: "import policy" },
      policy: { verdict: "reject", decidedBy: { policy: "fabric-in", statement: 1 } },
    });
    expect(view.tables[0].kernel).toMatchObject({ wanted: false, nextHopId: 0 });
    const text = await shown("routes", "203.0.113.192/26", "--why");
    expect(text).toMatch(/path from tor-a: rejected: import policy\n/);
    expect(text).toMatch(/policy {5}fabric-in: rejected, by fabric-in statement 1\n/);
    expect(text).toMatch(/covers it by 203\.0\.113\.0\/24.*\nexit code 1\n$/);
  });

  it("answers for an address, for a block, and for what nobody has announced", async () => {
    expect(await why("203.0.113.200")).toMatchObject({ prefix: "203.0.113.0/24", closer: ["203.0.113.192/26"] });
    const [block] = (await why("10.244.1.0/28")).tables;
    expect(block).toMatchObject({ kernel: null, paths: [{ route: { peer: "local" }, outcome: "best", policy: null }] });
    expect(block.told.map(({ routes }) => routes[0].asPath)).toEqual(["65101", "65101"]);
    expect(await why("192.0.2.0/24")).toMatchObject({ used: false, tables: [], covering: [{ prefix: "0.0.0.0/0" }] });
    expect(await why("2001:db8:9::/48")).toMatchObject({ used: false, tables: [], covering: [] });
  });

  it("refuses what is no prefix", async () => {
    await expect(why("203.0.113.7/24")).rejects.toThrow(
      /bits set after the prefix length; did you mean 203\.0\.113\.0\/24\?/,
    );
    await expect(why("fabric")).rejects.toThrow(/"fabric" is not a prefix/);
    await expect(why("")).rejects.toThrow(/prefix= is missing/);
  });

  it("tells a path whose next hop is on no connected network, and a loop", async () => {
    const nowhere = await why("203.0.112.0/24");
    expect(nowhere).toMatchObject({ used: false, covering: [{ prefix: "0.0.0.0/0", table: "fabric" }] });
    expect(nowhere.tables[0].paths[0]).toMatchObject({
      outcome: "rejected",
      route: { rejected: "unresolved next hop" },
      policy: { verdict: "accept" },
      nextHop: null,
    });
    const [path] = (await why("203.0.114.0/24")).tables[0].paths;
    expect(path).toMatchObject({ outcome: "rejected", route: { rejected: "AS loop" } });
  });
});
