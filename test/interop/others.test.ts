// OpenBGPD and ExaBGP as neighbours of one underlayd: sessions, routes of both families both ways, withdrawals, communities
// of the three kinds, refresh, and what ExaBGP sends that no routing daemon would.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Exabgp, REPORT } from "./support/exabgp.ts";
import { Lab, type Node } from "./support/namespace.ts";
import { Openbgpd } from "./support/openbgpd.ts";
import { proves } from "./support/proofs.ts";
import { Underlay } from "./support/underlay.ts";
import { waitFor } from "./support/wait.ts";

const BLOCK4 = "10.244.1.0/26";
const BLOCK6 = "2001:db8:244:1::/122";
const ASN = 65101;

let lab: Lab;
let us: Node;
let underlay: Underlay;
let openbgpd: Openbgpd;
let exabgp: Exabgp;

const yaml = `
node: { name: node1, asn: ${ASN}, routerId: 10.0.0.11 }
pools: { default: { blocks: [${BLOCK4}, "${BLOCK6}"] } }
policies:
  tag:
    - match: { peer: [local] }
      set: { community: { add: ["65101:7"] }, largeCommunity: { add: ["65101:1:2"] } }
      then: accept
    - then: accept
peers:
  openbgpd: { address: 10.1.0.2, asn: 65001, import: all, export: tag, connectRetry: 1s }
  openbgpd6: { address: "2001:db8:1::2", asn: 65001, import: all, export: all, connectRetry: 1s }
  exabgp: { address: 10.2.0.2, asn: 65002, import: all, export: tag, connectRetry: 1s }
`;

const openbgpdConfig = `
AS 65001
router-id 10.0.0.1
network 198.51.100.0/24 set { community 65001:1 large-community 65001:2:3 ext-community rt 65001:4 }
network 203.0.113.16/28
network 2001:db8:f1::/48
neighbor 10.1.0.1 { remote-as ${ASN} }
neighbor 2001:db8:1::1 { remote-as ${ASN} }
allow from any
allow to any
`;

const exabgpConfig = `
neighbor 10.2.0.1 {
  router-id 10.0.0.2; local-address 10.2.0.2; local-as 65002; peer-as ${ASN};
  family { ipv4 unicast; ipv6 unicast; }
  capability { route-refresh; }
  ${REPORT}
  static {
    route 198.51.100.0/24 next-hop 10.2.0.2;
    route 203.0.113.32/28 next-hop 10.2.0.2 med 5 community [65002:1] large-community [65002:2:3] extended-community [target:65002:4];
    route 2001:db8:f2::/48 next-hop 2001:db8:2::2;
    route 192.0.2.0/24 next-hop 10.2.0.2 attribute [ 0x63 0xc0 0xdeadbeef ];
  }
}
`;

const routeOf = async (peer: string, prefix: string) =>
  (await underlay.received(peer)).find((route) => route.prefix === prefix);
const gateways = async (family: 4 | 6, prefix: string) =>
  (await underlay.kernel(family)).find(({ dst }) => dst === prefix)?.gateways ?? [];

beforeAll(async () => {
  lab = new Lab("others");
  us = lab.addNode("us");
  const [first, second] = [lab.addNode("openbgpd"), lab.addNode("exabgp")];
  for (const [number, node] of [first, second].entries()) {
    const n = number + 1;
    lab.link(
      { node: us, name: `eth${n}`, addresses: [`10.${n}.0.1/24`, `2001:db8:${n}::1/64`] },
      { node, name: "eth0", addresses: [`10.${n}.0.2/24`, `2001:db8:${n}::2/64`] },
    );
  }
  openbgpd = await Openbgpd.start(first, openbgpdConfig);
  exabgp = await Exabgp.start(second, exabgpConfig);
  underlay = await Underlay.start(us, yaml);
  for (const name of ["openbgpd", "openbgpd6", "exabgp"]) await underlay.waitEstablished(name);
});

afterAll(async () => {
  await underlay?.stop();
  await openbgpd?.close();
  await exabgp?.close();
  await lab.close();
});

describe("OpenBGPD and ExaBGP", () => {
  it("have their routes in the kernel, the shared one through both", async () => {
    proves(["openbgpd", "exabgp"], "multipath", "ipv6");
    proves("openbgpd", "active", "as4");
    await waitFor(async () => (await gateways(4, "198.51.100.0/24")).length === 2, "198.51.100.0/24 through both");
    expect(await gateways(4, "203.0.113.16/28")).toEqual(["10.1.0.2"]);
    expect(await gateways(4, "203.0.113.32/28")).toEqual(["10.2.0.2"]);
    await waitFor(async () => (await gateways(6, "2001:db8:f1::/48")).length === 1, "IPv6 from OpenBGPD");
    await waitFor(async () => (await gateways(6, "2001:db8:f2::/48")).length === 1, "IPv6 from ExaBGP");
  });

  it("send communities of the three kinds", async () => {
    proves(["openbgpd", "exabgp"], "communities", "large-communities", "extended-communities");
    expect((await routeOf("openbgpd", "198.51.100.0/24"))?.communities.toSorted()).toEqual(
      ["65001:1", "65001:2:3", "rt:65001:4"].toSorted(),
    );
    expect(await routeOf("exabgp", "203.0.113.32/28")).toMatchObject({
      med: 5,
      communities: ["65002:1", "65002:2:3", "rt:65002:4"],
    });
  });

  it("hear our blocks with what the policy adds", async () => {
    proves(["openbgpd", "exabgp"], "policy");
    await waitFor(async () => (await openbgpd.prefixes()).includes(BLOCK4), "our block in OpenBGPD");
    const [path] = (
      await openbgpd.json<{ rib: { communities?: string[]; large_communities?: string[]; aspath: string }[] }>(
        "show",
        "rib",
        "detail",
        BLOCK4,
      )
    ).rib;
    expect(path).toMatchObject({ aspath: String(ASN), communities: ["65101:7"], large_communities: ["65101:1:2"] });
    await waitFor(() => exabgp.prefixes().includes(BLOCK4), "our block in ExaBGP");
    await waitFor(() => exabgp.prefixes().includes(BLOCK6), "our IPv6 block in ExaBGP");
    const update = exabgp.updates().find(({ announce }) => JSON.stringify(announce ?? {}).includes(BLOCK4));
    expect(update?.attribute).toMatchObject({
      "as-path": [ASN],
      community: [[65101, 7]],
      "large-community": [[65101, 1, 2]],
    });
  });

  it("pass an unknown attribute through us, marked as partial", async () => {
    proves("exabgp", "unknown-attributes");
    await waitFor(async () => (await openbgpd.prefixes()).includes("192.0.2.0/24"), "192.0.2.0/24 in OpenBGPD");
    const text = await openbgpd.bgpctl("show", "rib", "detail", "192.0.2.0/24");
    expect(text).toMatch(/Unknown Attribute #99 flags \[OTP\].*de ad be ef/is);
  });

  it("ask for a refresh, and are asked", async () => {
    proves("openbgpd", "route-refresh");
    proves("exabgp", "route-refresh");
    const sent = async (peer: string) => (await underlay.peer(peer)).messages.updatesSent;
    const before = await sent("openbgpd");
    await openbgpd.bgpctl("neighbor", "10.1.0.1", "refresh");
    await waitFor(async () => (await sent("openbgpd")) > before, "routes to be sent again to OpenBGPD");
    const earlier = await sent("exabgp");
    exabgp.command("announce route-refresh ipv4 unicast");
    await waitFor(async () => (await sent("exabgp")) > earlier, "routes to be sent again to ExaBGP");
  });

  it("withdraw, announce again, and change what they said", async () => {
    proves(["openbgpd", "exabgp"], "route-exchange");
    exabgp.command("withdraw route 198.51.100.0/24 next-hop 10.2.0.2");
    await waitFor(async () => (await gateways(4, "198.51.100.0/24")).join() === "10.1.0.2", "one gateway left");
    exabgp.command("announce route 198.51.100.0/24 next-hop 10.2.0.2 med 9");
    await waitFor(async () => (await routeOf("exabgp", "198.51.100.0/24"))?.med === 9, "the new MED");
    await openbgpd.bgpctl("network", "delete", "203.0.113.16/28");
    await waitFor(async () => (await gateways(4, "203.0.113.16/28")).length === 0, "OpenBGPD's withdrawal");
    await openbgpd.bgpctl("network", "add", "203.0.113.16/28");
    await waitFor(async () => (await gateways(4, "203.0.113.16/28")).length === 1, "OpenBGPD's route again");
  });

  it("are told why when a session is ended, and come back", async () => {
    proves("openbgpd", "shutdown-communication", "cease-subcodes");
    const before = (await underlay.peer("openbgpd")).establishedCount;
    await openbgpd.bgpctl("neighbor", "10.1.0.1", "down", "rack move");
    const told = async () =>
      (await underlay.peer("openbgpd")).lastError?.includes('Cease/Administrative Shutdown: "rack move"');
    await waitFor(told, "the reason", { interval: 10 });
    await openbgpd.bgpctl("neighbor", "10.1.0.1", "up");
    await waitFor(async () => (await underlay.peer("openbgpd")).establishedCount > before, "the session again");
  });
});
