// BGP unnumbered with FRR, BIRD and another underlayd: no address is configured anywhere between them, neighbours are found
// by router advertisements, and IPv4 goes over IPv6 next hops, from a pod to a host behind the switches and back.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { distFile } from "../../net/dist.ts";
import { Bird } from "./support/bird.ts";
import { Frr } from "./support/frr.ts";
import { Lab, type Node } from "./support/namespace.ts";
import { proves } from "./support/proofs.ts";
import { Underlay } from "./support/underlay.ts";
import { birdUnnumbered, frrUnnumbered, linkLocal, nextHopsOf } from "./support/unnumbered.ts";
import { sleep, waitFor } from "./support/wait.ts";

const BLOCK4 = "10.244.1.0/26";
const BLOCK6 = "2001:db8:244:1::/122";
const POD4 = "10.244.1.5";
const POD6 = "2001:db8:244:1::5";
const SHARED4 = "198.51.100.0/24";
const SHARED6 = "2001:db8:100::/64";
const HOST4 = "198.51.100.1";
const HOST6 = "2001:db8:100::1";
const networks = [SHARED4, SHARED6];

const yaml = (keys: Readonly<Record<string, string>> = {}) => `
node: { name: node1, asn: 65101, routerId: 10.0.0.11 }
pools: { default: { blocks: [${BLOCK4}, "${BLOCK6}"] } }
peers:
  frr: { interface: eth1, asn: external, import: all, export: blocks, connectRetry: 1s, ${keys["frr"] ?? ""} }
  bird: { interface: eth2, asn: 65002, import: all, export: blocks, connectRetry: 1s, ${keys["bird"] ?? ""} }
  other: { interface: eth3, asn: external, import: all, export: blocks, connectRetry: 1s }
`;
const otherYaml = `
node: { name: node2, asn: 65102, routerId: 10.0.0.12 }
pools: { default: { blocks: [${SHARED4}, "${SHARED6}"] } }
peers:
  node1: { interface: eth0, asn: external, import: all, export: blocks, connectRetry: 1s }
`;

let lab: Lab;
let us: Node;
let nodes: { frr: Node; bird: Node; other: Node; pod: Node };
let frr: Frr;
let bird: Bird;
let other: Underlay;
let underlay: Underlay;

beforeAll(async () => {
  lab = new Lab("unnum");
  us = lab.addNode("us");
  nodes = { frr: lab.addNode("frr"), bird: lab.addNode("bird"), other: lab.addNode("other"), pod: lab.addNode("pod") };
  lab.link({ node: us, name: "eth1" }, { node: nodes.frr, name: "swp1" });
  lab.link({ node: us, name: "eth2" }, { node: nodes.bird, name: "swp1" });
  lab.link({ node: us, name: "eth3" }, { node: nodes.other, name: "eth0" });
  us.capture();
  for (const name of ["frr", "bird", "other"] as const) {
    for (const address of [`${HOST4}/32`, `${HOST6}/128`]) nodes[name].addAddress("lo", address);
    await nodes[name].exec("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1");
  }
  [frr, bird, other, underlay] = await Promise.all([
    Frr.start(nodes.frr, frrUnnumbered(65001, ["swp1"], { networks }), { daemons: ["zebra", "bgpd"] }),
    Bird.start(
      nodes.bird,
      `${birdUnnumbered(65002, "swp1", "range fe80::/10 as 65101", { networks, more: 'dynamic name "dynamic";' })}
protocol kernel k4 { ipv4 { export where source = RTS_BGP; }; }
protocol kernel k6 { ipv6 { export where source = RTS_BGP; }; }`,
    ),
    Underlay.start(nodes.other, otherYaml),
    Underlay.start(us, yaml()),
  ]);
});

afterAll(async () => {
  await Promise.all([underlay?.stop(), other?.stop()]);
  await Promise.all([frr?.close(), bird?.close()]);
  await lab.close();
});

const three = ["frr", "bird", "other"] as const;
const all = () => Promise.all(three.map((name) => underlay.waitEstablished(name, 60_000)));
const shared = (prefix: string, count: number) =>
  waitFor(async () => (await nextHopsOf(us, prefix)).length === count, `${prefix} through ${count} uplinks`, {
    timeout: 30_000,
  });

/** Who opened the link-local TCP connection that the neighbour has. */
async function connectedBy(node: Node): Promise<"us" | "them" | null> {
  const lines = (await node.exec("ss", "-Htn6", "state", "established")).split("\n");
  const connection = lines.map((line) => line.trim().split(/ +/)).find(([, , local]) => local?.startsWith("[fe80::"));
  return connection ? (connection[2].endsWith(":179") ? "us" : "them") : null;
}

describe("underlayd without addresses between FRR, BIRD and another underlayd", () => {
  it("finds all three and is Established, over link-local addresses", async () => {
    proves(["frr", "bird"], "unnumbered", "link-local");
    await all();
    const ends = { frr: ["eth1", "swp1"], bird: ["eth2", "swp1"], other: ["eth3", "eth0"] } as const;
    for (const name of three) {
      const [here, there] = ends[name];
      const view = await underlay.peer(name);
      const theirs = await linkLocal(nodes[name], there);
      expect(view.address).toBe(`${theirs}%${here}`);
      expect(view.unnumbered).toMatchObject({ interface: here, localAddresses: [await linkLocal(us, here)] });
      expect(view.unnumbered?.neighbours[0]).toMatchObject({ address: theirs, present: true });
    }
    expect((await underlay.peer("frr")).unnumbered?.neighbours[0].via).toBe("advertisement");
    expect(await us.exec("ip", "-4", "address", "show", "scope", "global")).toBe("");
    const text = await us.exec(
      process.execPath,
      distFile("underlayctl.cjs"),
      "--socket",
      underlay.socket,
      "peers",
      "frr",
    );
    expect(text).toMatch(/interface +eth1 \(\d+\), own link-local address fe80::/);
    expect(text).toMatch(/neighbour +fe80::\S+, (..:){5}.., by advertisement, last heard \d+ s ago/);
  });

  it("has IPv4 and IPv6 routes in the kernel through all three, with IPv6 next hops", async () => {
    proves(["frr", "bird"], "extended-next-hop", "multipath", "route-exchange");
    await shared(SHARED4, 3);
    await shared(SHARED6, 3);
    const expected = [
      `${await linkLocal(nodes.frr, "swp1")} eth1`,
      `${await linkLocal(nodes.bird, "swp1")} eth2`,
      `${await linkLocal(nodes.other, "eth0")} eth3`,
    ].sort();
    expect(await nextHopsOf(us, SHARED4)).toEqual(expected);
    expect(await nextHopsOf(us, SHARED6)).toEqual(expected);
    await waitFor(
      async () => (await nodes.frr.exec("ip", "route")).includes(`${BLOCK4} nhid`),
      "our block in FRR's kernel",
    );
    await waitFor(async () => (await nodes.bird.exec("ip", "route")).includes(`${BLOCK4} via inet6`), "and in BIRD's");
    await waitFor(async () => (await nextHopsOf(nodes.other, BLOCK4)).length === 1, "and in the other underlayd's");
  });

  it("carries a pod's packets out over every uplink and back, in both families", async () => {
    lab.link({ node: us, name: "veth5" }, { node: nodes.pod, name: "eth0", addresses: [`${POD4}/32`, `${POD6}/128`] });
    us.ip("route", "add", `${POD4}/32`, "dev", "veth5", "table", "7000");
    us.ip("-6", "route", "add", `${POD6}/128`, "dev", "veth5", "table", "7000");
    // The gateway of a pod, as the CNI plugin gives it: link-local, without an address of the node.
    const gateway = await waitFor(() => linkLocal(us, "veth5").catch(() => ""), "the veth's link-local address");
    nodes.pod.ip("-4", "route", "add", "default", "via", "inet6", String(gateway), "dev", "eth0");
    nodes.pod.ip("-6", "route", "add", "default", "via", String(gateway), "dev", "eth0");
    for (const host of [HOST4, HOST6])
      await waitFor(() => nodes.pod.exec("ping", "-c", "2", "-W", "1", host), `pings to ${host} and back`, {
        timeout: 30_000,
      });
    // Each uplink alone.
    for (const [name, device] of [
      ["frr", "eth1"],
      ["bird", "eth2"],
      ["other", "eth3"],
    ] as const) {
      const hop = await linkLocal(nodes[name], name === "other" ? "eth0" : "swp1");
      us.ip("rule", "add", "priority", "900", "from", POD4, "to", HOST4, "table", "900");
      us.ip("-4", "route", "replace", HOST4, "via", "inet6", hop, "dev", device, "table", "900");
      expect(await nodes.pod.exec("ping", "-c", "3", "-i", "0.2", "-W", "2", HOST4), name).toContain(" 0% packet loss");
      us.ip("rule", "del", "priority", "900");
    }
  });

  it("never makes a host take it for a router, and says when the kernel takes its neighbour for one", async () => {
    // The pod's namespace is a host on the link of an unnumbered neighbour.
    await nodes.other.exec("sysctl", "-qw", "net.ipv6.conf.eth0.accept_ra=2");
    const heard = (await other.peer("node1")).unnumbered?.advertisements.received ?? 0;
    await waitFor(
      async () => ((await other.peer("node1")).unnumbered?.advertisements.received ?? 0) > heard,
      "another advertisement of ours",
      { timeout: 30_000 },
    );
    expect(await nodes.other.exec("ip", "-6", "route", "show", "default")).toBe("");
    await waitFor(() => underlay.log.includes("sysctl -w net.ipv6.conf.eth1.accept_ra=0"), "the hint about eth1");
  });

  it.each([
    ["frr", "neighbor swp1 passive", "us"],
    ["frr", "no neighbor swp1 passive", "them"],
  ] as const)("with %s and %s: connected by %s", async (_, line, side) => {
    proves("frr", side === "us" ? "active" : "passive");
    await frr.configure(`router bgp 65001\n ${line}\n`);
    underlay.configure(yaml({ frr: side === "them" ? "passive: true" : "" }));
    await underlay.ctl("reload");
    const before = (await underlay.peer("frr")).establishedCount;
    await frr.vtysh("clear bgp swp1");
    await waitFor(async () => (await underlay.peer("frr")).establishedCount > before, "another session", {
      timeout: 60_000,
    });
    await underlay.waitEstablished("frr", 60_000);
    expect(await connectedBy(nodes.frr)).toBe(side);
  });

  it("is connected to by BIRD that has our address, before and after a restart", async () => {
    proves("bird", "active", "passive");
    expect(await connectedBy(nodes.bird)).toBe("us");
    const ours = await linkLocal(us, "eth2");
    underlay.configure(yaml({ bird: "passive: true" }));
    await underlay.ctl("reload");
    await bird.configure(birdUnnumbered(65002, "swp1", `${ours} as 65101`, { networks }));
    await bird.waitEstablished("node", 60_000);
    await underlay.waitEstablished("bird", 60_000);
    expect(await connectedBy(nodes.bird)).toBe("them");
    await underlay.restart();
    await bird.waitEstablished("node", 90_000);
    await underlay.waitEstablished("bird", 60_000);
  });

  it("takes a neighbour that connects without having been heard", async () => {
    const ours = await linkLocal(us, "eth2");
    await underlay.stop();
    await bird.configure(
      birdUnnumbered(65002, "swp1", `${ours} as 65101`, { networks }).replace(/protocol radv.*\n/, ""),
    );
    await underlay.start();
    await underlay.waitEstablished("bird", 60_000);
    const { unnumbered, address } = await underlay.peer("bird");
    expect(address).toBe(`${await linkLocal(nodes.bird, "swp1")}%eth2`);
    expect(unnumbered?.neighbours).toMatchObject([{ via: "connection", mac: null, present: true }]);
    await shared(SHARED4, 3);
  });

  it("stops advertising when told so, which takes a new session (Cease/6), and FRR keeps the address it knows", async () => {
    await all();
    const before = (await underlay.peer("frr")).establishedCount;
    underlay.configure(yaml({ frr: "routerAdvertisements: false" }));
    const plan = await underlay.ctl<{ changes: { path: string; impact: string }[] }>("reload");
    expect(plan.changes).toMatchObject([
      { path: "peers.frr.routerAdvertisements", impact: "reset" },
      { path: "peers.bird.passive" },
    ]);
    await underlay.waitEstablished("frr", 60_000);
    expect(before).toBeGreaterThan(0);
    const view = (await underlay.peer("frr")).unnumbered;
    await sleep(12_000);
    expect(view?.advertisements).toMatchObject({ enabled: false, sent: 0 });
    expect((await underlay.peer("frr")).unnumbered?.advertisements.sent).toBe(0);
    expect((await underlay.peer("frr")).state).toBe("Established");
  });
});
