// Link bandwidth communities from FRR, GoBGP and ExaBGP become weights of the kernel's next-hop group; without one they
// count the same; to another AS it does not go, within ours it does.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Bird } from "./support/bird.ts";
import { Exabgp, REPORT } from "./support/exabgp.ts";
import { Frr } from "./support/frr.ts";
import { Gobgp } from "./support/gobgp.ts";
import { Lab, type Node } from "./support/namespace.ts";
import { proves } from "./support/proofs.ts";
import { Underlay } from "./support/underlay.ts";
import { waitFor } from "./support/wait.ts";

const ASN = 64510;
const SHARED = "198.51.100.0/24";
const others = { frr: 1, gobgp: 2, exabgp: 3, inner: 4 } as const;
type Other = keyof typeof others;
const asnOf = (name: Other) => (name === "inner" ? ASN : 64496 + others[name]);
const ours = (name: Other) => `10.${others[name]}.0.1`;
const theirs = (name: Other) => `10.${others[name]}.0.2`;
const Mbit = 1e6 / 8;

const yaml = `
node: { name: node1, asn: ${ASN}, routerId: 10.0.0.11 }
peers:
${(Object.keys(others) as Other[])
  .map(
    (name) =>
      `  ${name}: { address: ${theirs(name)}, asn: ${asnOf(name)}, import: all, export: all, connectRetry: 1s }`,
  )
  .join("\n")}
`;

const frrConfig = `
router bgp ${asnOf("frr")}
 bgp router-id 10.0.0.1
 no bgp ebgp-requires-policy
 no bgp network import-check
 neighbor ${ours("frr")} remote-as ${ASN}
 neighbor ${ours("frr")} timers connect 1
 address-family ipv4 unicast
  network ${SHARED}
  neighbor ${ours("frr")} route-map bandwidth out
 exit-address-family
route-map bandwidth permit 10
 set extcommunity bandwidth 1000
`;
const gobgpConfig = `
[global.config]
  as = ${asnOf("gobgp")}
  router-id = "10.0.0.2"
[[neighbors]]
  [neighbors.config]
    neighbor-address = "${ours("gobgp")}"
    peer-as = ${ASN}
  [neighbors.timers.config]
    connect-retry = 1
[global.apply-policy.config]
  export-policy-list = ["bandwidth"]
  default-export-policy = "accept-route"
[[policy-definitions]]
  name = "bandwidth"
  [[policy-definitions.statements]]
    name = "add"
    [policy-definitions.statements.actions]
      route-disposition = "accept-route"
    [policy-definitions.statements.actions.bgp-actions.set-ext-community]
      options = "add"
      [policy-definitions.statements.actions.bgp-actions.set-ext-community.set-ext-community-method]
        communities-list = ["lb:${asnOf("gobgp")}:${2500 * Mbit}"]
`;
const exabgpConfig = `
neighbor ${ours("exabgp")} {
  router-id 10.0.0.3; local-address ${theirs("exabgp")}; local-as ${asnOf("exabgp")}; peer-as ${ASN};
  family { ipv4 unicast; }
  ${REPORT}
  static { route ${SHARED} next-hop self; }
}
`;
const birdConfig = `
router id 10.0.0.4;
protocol device {}
protocol bgp node {
  local as ${ASN}; neighbor ${ours("inner")} as ${ASN};
  connect retry time 1; connect delay time 1; error wait time 1, 5;
  ipv4 { import all; export none; };
}
`;

let lab: Lab;
let us: Node;
let underlay: Underlay;
let frr: Frr;
let gobgp: Gobgp;
let exabgp: Exabgp;
let bird: Bird;

beforeAll(async () => {
  lab = new Lab("bandwidth");
  us = lab.addNode("us");
  const nodes = {} as Record<Other, Node>;
  for (const name of Object.keys(others) as Other[]) {
    nodes[name] = lab.addNode(name);
    lab.link(
      { node: us, name, addresses: [`${ours(name)}/24`] },
      { node: nodes[name], name: "eth0", addresses: [`${theirs(name)}/24`] },
    );
  }
  [frr, gobgp, exabgp, bird] = await Promise.all([
    Frr.start(nodes.frr, frrConfig),
    Gobgp.start(nodes.gobgp, gobgpConfig),
    Exabgp.start(nodes.exabgp, exabgpConfig),
    Bird.start(nodes.inner, birdConfig),
  ]);
  underlay = await Underlay.start(us, yaml);
  for (const name of Object.keys(others)) await underlay.waitEstablished(name);
});

afterAll(async () => {
  await underlay?.stop();
  await Promise.all([frr, gobgp, exabgp, bird].map((daemon) => daemon?.close()));
  await lab?.close();
});

interface Nexthop {
  readonly id: number;
  readonly gateway?: string;
  readonly group?: readonly { readonly id: number; readonly weight?: number }[];
}
/** Gateway and weight of each member of the group that the kernel forwards the prefix by. */
async function weights(): Promise<string[]> {
  const [route] = JSON.parse(us.ip("-j", "route", "show", "table", "7100", SHARED)) as { nhid?: number }[];
  const nexthops = JSON.parse(us.ip("-j", "nexthop")) as Nexthop[];
  const byId = new Map(nexthops.map((nexthop) => [nexthop.id, nexthop]));
  const { group = [] } = byId.get(route?.nhid ?? 0) ?? {};
  return group.map(({ id, weight = 1 }) => `${byId.get(id)?.gateway} ${weight}`).sort();
}
const kernelHas = (...expected: string[]) =>
  waitFor(async () => (await weights()).join() === expected.join(), `weights ${expected}`).catch(async (error) => {
    throw new Error(`${error.message}; the kernel has ${await weights()}`);
  });
const bandwidthOf = async (peer: Other) =>
  (await underlay.received(peer))[0]?.communities.find((text) => text.startsWith("bandwidth:"));

describe("link bandwidth", () => {
  it("FRR and GoBGP: weights in proportion, as `ip nexthop` shows them", async () => {
    proves(["frr", "gobgp"], "link-bandwidth");
    exabgp.command(`withdraw route ${SHARED} next-hop self`);
    await gobgp.gobgp("global", "rib", "add", "-a", "ipv4", SHARED, "origin", "igp");
    await waitFor(() => bandwidthOf("gobgp"), "GoBGP's bandwidth");
    await waitFor(
      async () => (await bandwidthOf("frr")) === `bandwidth:${asnOf("frr")}:${1000 * Mbit}`,
      "FRR's bandwidth",
    );
    await kernelHas(`${theirs("frr")} 2`, `${theirs("gobgp")} 5`);
  });

  it("ExaBGP as a third one: without a bandwidth of its own all count the same, with it they do not", async () => {
    proves("exabgp", "link-bandwidth");
    exabgp.command(`announce route ${SHARED} next-hop self`);
    await kernelHas(`${theirs("frr")} 1`, `${theirs("gobgp")} 1`, `${theirs("exabgp")} 1`);
    const community = `bandwidth:${asnOf("exabgp")}:${500 * Mbit}`;
    exabgp.command(`announce route ${SHARED} next-hop self extended-community [ ${community} ]`);
    await kernelHas(`${theirs("frr")} 2`, `${theirs("gobgp")} 5`, `${theirs("exabgp")} 1`);
  });

  it("stays in our AS", async () => {
    // 1 Gbit/s as the octets of a float of bytes per second.
    const community = `(unknown 0x4, ${asnOf("frr")}, ${0x4cee6b28})`;
    await waitFor(
      async () => (await bird.birdc(`show route ${SHARED} all`)).includes(community),
      "it in BIRD, in our AS",
    );
    const sent = JSON.stringify(exabgp.updates().map(({ attribute }) => attribute));
    expect(sent).not.toContain("bandwidth");
    expect(sent).not.toContain("4004");
  });
});
