// One underlayd with FRR, BIRD and GoBGP as neighbours at once: routes both ways in both families, ECMP over all three
// in the kernel, withdrawals, a neighbour that restarts, and a restart of our own that leaves the kernel alone.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Bird } from "./support/bird.ts";
import { Frr } from "./support/frr.ts";
import { Gobgp } from "./support/gobgp.ts";
import { Lab, type Node } from "./support/namespace.ts";
import { proves } from "./support/proofs.ts";
import { Underlay } from "./support/underlay.ts";
import { sleep, waitFor } from "./support/wait.ts";

const SHARED4 = "198.51.100.0/24";
const SHARED6 = "2001:db8:ffff::/48";
const BLOCK4 = "10.244.1.0/26";
const BLOCK6 = "2001:db8:244:1::/122";
/** Neighbour -> the third part of its link's addresses; each announces 203.0.113.<16 n>/28 and 2001:db8:f<n>::/48 alone. */
const names = ["frr", "bird", "gobgp"] as const;
type Name = (typeof names)[number];
const number: Record<Name, number> = { frr: 1, bird: 2, gobgp: 3 };
const own4 = (name: Name) => `203.0.113.${number[name] * 16}/28`;
const own6 = (name: Name) => `2001:db8:f${number[name]}::/48`;

let lab: Lab;
let underlay: Underlay;
let frr: Frr;
let bird: Bird;
let gobgp: Gobgp;
const nodes = {} as Record<Name | "us", Node>;

const yaml = `
node: { name: node1, asn: 65101, routerId: 10.0.0.11 }
pools:
  default: { blocks: [${BLOCK4}, "${BLOCK6}"] }
peers:
${names
  .flatMap((name) => [
    `  ${name}4: { address: 10.${number[name]}.0.2, asn: ${65000 + number[name]}, families: [ipv4], import: all, export: blocks }`,
    `  ${name}6: { address: "2001:db8:${number[name]}::2", asn: ${65000 + number[name]}, families: [ipv6], import: all, export: blocks }`,
  ])
  .join("\n")}
`;

const frrConfig = `
router bgp 65001
 bgp router-id 10.0.0.1
 no bgp ebgp-requires-policy
 no bgp network import-check
 neighbor 10.1.0.1 remote-as 65101
 neighbor 10.1.0.1 timers connect 1
 neighbor 2001:db8:1::1 remote-as 65101
 neighbor 2001:db8:1::1 timers connect 1
 address-family ipv4 unicast
  no neighbor 2001:db8:1::1 activate
  network ${SHARED4}
  network ${own4("frr")}
 exit-address-family
 address-family ipv6 unicast
  neighbor 2001:db8:1::1 activate
  network ${SHARED6}
  network ${own6("frr")}
 exit-address-family
`;

const birdConfig = (routes4: readonly string[], routes6: readonly string[]) => `
router id 10.0.0.2;
protocol device {}
protocol static s4 { ipv4; ${routes4.map((route) => `route ${route} blackhole;`).join(" ")} }
protocol static s6 { ipv6; ${routes6.map((route) => `route ${route} blackhole;`).join(" ")} }
protocol bgp us4 {
  local as 65002; neighbor 10.2.0.1 as 65101; connect retry time 1; connect delay time 1; error wait time 1, 5;
  ipv4 { import all; export where source = RTS_STATIC; };
}
protocol bgp us6 {
  local as 65002; neighbor 2001:db8:2::1 as 65101; connect retry time 1; connect delay time 1; error wait time 1, 5;
  ipv6 { import all; export where source = RTS_STATIC; };
}
`;

const gobgpNeighbor = (address: string, family: string) => `
[[neighbors]]
  [neighbors.config]
    neighbor-address = "${address}"
    peer-as = 65101
  [neighbors.timers.config]
    connect-retry = 1
  [[neighbors.afi-safis]]
    [neighbors.afi-safis.config]
      afi-safi-name = "${family}"
`;
const gobgpConfig = `
[global.config]
  as = 65003
  router-id = "10.0.0.3"
${gobgpNeighbor("10.3.0.1", "ipv4-unicast")}
${gobgpNeighbor("2001:db8:3::1", "ipv6-unicast")}
`;
async function gobgpAnnounce(): Promise<void> {
  for (const route of [SHARED4, own4("gobgp")])
    await gobgp.gobgp("global", "rib", "add", "-a", "ipv4", route, "origin", "igp");
  for (const route of [SHARED6, own6("gobgp")])
    await gobgp.gobgp("global", "rib", "add", "-a", "ipv6", route, "origin", "igp");
}

beforeAll(async () => {
  lab = new Lab("daemon");
  nodes.us = lab.addNode("us");
  for (const name of names) {
    nodes[name] = lab.addNode(name);
    const n = number[name];
    lab.link(
      { node: nodes.us, name, addresses: [`10.${n}.0.1/24`, `2001:db8:${n}::1/64`] },
      { node: nodes[name], name: "eth0", addresses: [`10.${n}.0.2/24`, `2001:db8:${n}::2/64`] },
    );
  }
  [frr, bird, gobgp, underlay] = await Promise.all([
    Frr.start(nodes.frr, frrConfig, { daemons: ["zebra", "bgpd"] }),
    Bird.start(nodes.bird, birdConfig([SHARED4, own4("bird")], [SHARED6, own6("bird")])),
    Gobgp.start(nodes.gobgp, gobgpConfig),
    Underlay.start(nodes.us, yaml),
  ]);
  await gobgpAnnounce();
});

afterAll(async () => {
  await underlay?.stop();
  await Promise.all([frr?.close(), bird?.close(), gobgp?.close()]);
  await lab.close();
});

/** Gateways of one prefix in the kernel's fabric table, sorted; empty when it is not there. */
async function gateways(family: 4 | 6, prefix: string): Promise<string[]> {
  const route = (await underlay.kernel(family)).find(({ dst }) => dst === prefix);
  return [...(route?.gateways ?? [])];
}
const shown = (family: 4 | 6, prefix: string, count: number) =>
  waitFor(async () => (await gateways(family, prefix)).length === count, `${prefix} through ${count} neighbours`);

/** How often it has converged so far, over all its starts: the log goes on. */
const convergences = () => underlay.log.split('"msg":"converged').length - 1;

describe("underlayd between FRR, BIRD and GoBGP", () => {
  it("is Established with all of them in both families", async () => {
    for (const name of names) for (const family of [4, 6]) await underlay.waitEstablished(`${name}${family}`);
    expect((await underlay.status()).peers).toMatchObject({ configured: 6, established: 6 });
  });

  it("has their routes in the fabric table with our protocol, the shared ones through all three", async () => {
    proves(names, "multipath", "ipv6");
    await shown(4, SHARED4, 3);
    await shown(6, SHARED6, 3);
    expect(await gateways(4, SHARED4)).toEqual(["10.1.0.2", "10.2.0.2", "10.3.0.2"]);
    for (const name of names) {
      expect(await gateways(4, own4(name))).toEqual([`10.${number[name]}.0.2`]);
      await shown(6, own6(name), 1);
    }
    for (const family of [4, 6] as const)
      for (const { protocol } of await underlay.kernel(family)) expect(["201", "underlay"]).toContain(protocol);
    const main = await nodes.us.exec("ip", "-4", "route", "show", "table", "main");
    expect(main).not.toContain("198.51.100.0");
  });

  it("announces its blocks to all of them, with itself as next hop", async () => {
    const frrRoute = await waitFor(async () => {
      const table = await frr.json<{ paths?: { nexthops: { ip: string }[]; aspath: { string: string } }[] }>(
        `show bgp ipv4 unicast ${BLOCK4}`,
      );
      return table.paths?.[0];
    }, "the block in FRR");
    expect(frrRoute?.nexthops[0].ip).toBe("10.1.0.1");
    expect(frrRoute?.aspath.string).toBe("65101");
    await waitFor(
      async () => (await frr.vtysh(`show bgp ipv6 unicast ${BLOCK6}`)).includes("2001:db8:1::1"),
      "IPv6 in FRR",
    );
    await waitFor(async () => (await bird.birdc(`show route ${BLOCK4} all`)).includes("10.2.0.1"), "IPv4 in BIRD");
    await waitFor(async () => (await bird.birdc(`show route ${BLOCK6} all`)).includes("2001:db8:2::1"), "IPv6 in BIRD");
    await waitFor(
      async () => (await gobgp.gobgp("global", "rib", "-a", "ipv4", BLOCK4)).includes("10.3.0.1"),
      "IPv4 in GoBGP",
    );
    await waitFor(
      async () => (await gobgp.gobgp("global", "rib", "-a", "ipv6", BLOCK6)).includes("2001:db8:3::1"),
      "IPv6 in GoBGP",
    );
  });

  it("is no transit: nobody hears another's routes from it", async () => {
    const advertised = await underlay.advertised("frr4");
    expect(advertised.map(({ prefix }) => prefix)).toEqual([BLOCK4]);
    expect(await bird.birdc("show route")).not.toContain(own4("frr"));
  });

  it("follows withdrawals, of one path and of the last", async () => {
    proves(names, "route-exchange");
    await frr.configure(
      `router bgp 65001\n address-family ipv4 unicast\n  no network ${SHARED4}\n  no network ${own4("frr")}\n`,
    );
    await shown(4, SHARED4, 2);
    await shown(4, own4("frr"), 0);
    await bird.configure(birdConfig([own4("bird")], [SHARED6, own6("bird")]));
    await shown(4, SHARED4, 1);
    await gobgp.gobgp("global", "rib", "del", "-a", "ipv4", SHARED4);
    await shown(4, SHARED4, 0);
    await gobgpAnnounce();
    await bird.configure(birdConfig([SHARED4, own4("bird")], [SHARED6, own6("bird")]));
    await frr.configure(
      `router bgp 65001\n address-family ipv4 unicast\n  network ${SHARED4}\n  network ${own4("frr")}\n`,
    );
    await shown(4, SHARED4, 3);
  });

  it("takes a neighbour's routes out when it dies, and back when it returns", async () => {
    await bird.stop("SIGKILL");
    await shown(4, SHARED4, 2);
    await shown(4, own4("bird"), 0);
    await bird.restart();
    await underlay.waitEstablished("bird4", 60_000);
    await shown(4, SHARED4, 3);
    await shown(6, SHARED6, 3);
  });

  it.each(["SIGTERM", "SIGKILL"] as const)("keeps every route in the kernel over a restart by %s", async (signal) => {
    const before = [...(await underlay.kernel(4)), ...(await underlay.kernel(6))].map(({ dst }) => dst).sort();
    expect(before.length).toBe(8);
    const monitor = nodes.us.spawn("ip", ["-4", "monitor", "route"], { stdio: ["ignore", "pipe", "ignore"] });
    let deleted = "";
    monitor.stdout?.on("data", (chunk: Buffer) => {
      deleted += chunk
        .toString()
        .split("\n")
        .filter((line) => line.startsWith("Deleted"))
        .join("\n");
    });
    const converged = convergences();
    await underlay.restart(signal);
    const during = [...(await underlay.kernel(4)), ...(await underlay.kernel(6))].map(({ dst }) => dst).sort();
    expect(during).toEqual(before);
    for (const name of names) for (const family of [4, 6]) await underlay.waitEstablished(`${name}${family}`, 60_000);
    await waitFor(() => convergences() > converged, "convergence", { timeout: 80_000 });
    await waitFor(async () => (await underlay.status()).kernel.stale === 0, "no stale state");
    await shown(4, SHARED4, 3);
    await sleep(300);
    expect([...(await underlay.kernel(4)), ...(await underlay.kernel(6))].map(({ dst }) => dst).sort()).toEqual(before);
    expect(deleted).toBe("");
    monitor.kill();
  });

  it("says after convergence that forwarding goes on, when a session was lost without a restart (RFC 4724 §3)", async () => {
    const established = (await underlay.peer("frr4")).establishedCount;
    await frr.vtysh("clear bgp 10.1.0.1");
    await waitFor(async () => (await underlay.peer("frr4")).establishedCount > established, "frr4 Established again");
    const info = JSON.stringify((await frr.neighbor("10.1.0.1"))["gracefulRestartInfo"]);
    expect(info).toContain('"rBit":false');
    expect(info).toContain('"fBit":true');
  });
});
