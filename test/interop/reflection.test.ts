// Route reflection (RFC 4456) both ways at once, all in one AS: `us` reflects for FRR, BIRD, GoBGP, OpenBGPD and ExaBGP, and
// each of them but ExaBGP, which has no RIB, reflects for `leaf`, another underlayd, as its client:
//
//   frr -- us -- bird ...      and      frr -- leaf -- bird ...
//
// So a route of GoBGP reaches leaf by way of us and FRR, with both clusters in its list; and what leaf announces comes
// back to it.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { RouteView } from "../../bgp/views.ts";
import { Bird } from "./support/bird.ts";
import { Exabgp, REPORT } from "./support/exabgp.ts";
import { Frr } from "./support/frr.ts";
import { Gobgp } from "./support/gobgp.ts";
import { Lab, type Node } from "./support/namespace.ts";
import { Openbgpd } from "./support/openbgpd.ts";
import { proves } from "./support/proofs.ts";
import { Underlay } from "./support/underlay.ts";
import { waitFor } from "./support/wait.ts";

const ASN = 64510;
const US = "10.0.0.11";
const LEAF = "10.0.0.12";
const CLUSTER = "10.0.0.99";
const BLOCK = "10.244.1.0/26";
const LEAF_BLOCK = "10.244.2.0/26";
/**
 * Link number n: us 10.<n>.0.1, the other 10.<n>.0.2; leaf 10.1<n>.0.1, the other 10.1<n>.0.2. Its router id is
 * 10.0.0.<n>.
 */
const others = { frr: 1, bird: 2, gobgp: 3, openbgpd: 4, exabgp: 5 } as const;
type Other = keyof typeof others;
const names = Object.keys(others) as Other[];
const reflectors = names.filter((name) => name !== "exabgp");
const id = (name: Other) => `10.0.0.${others[name]}`;
const own = (name: Other) => `203.0.113.${others[name]}/32`;
const towardsUs = (name: Other) => `10.${others[name]}.0.1`;
const towardsLeaf = (name: Other) => `10.1${others[name]}.0.1`;

const usYaml = `
node: { name: us, asn: ${ASN}, routerId: ${US} }
pools: { default: { blocks: [${BLOCK}] } }
bgp: { clusterId: ${CLUSTER} }
peers:
${names
  .map(
    (name) =>
      `  ${name}: { address: 10.${others[name]}.0.2, asn: internal, export: all, routeReflectorClient: true, connectRetry: 1s }`,
  )
  .join("\n")}
`;
const leafYaml = `
node: { name: leaf, asn: ${ASN}, routerId: ${LEAF} }
pools: { default: { blocks: [${LEAF_BLOCK}] } }
peers:
${reflectors.map((name) => `  ${name}: { address: 10.1${others[name]}.0.2, asn: internal, connectRetry: 1s }`).join("\n")}
`;

const frrConfig = `
router bgp ${ASN}
 bgp router-id ${id("frr")}
 no bgp network import-check
 neighbor ${towardsUs("frr")} remote-as ${ASN}
 neighbor ${towardsUs("frr")} timers connect 1
 neighbor ${towardsLeaf("frr")} remote-as ${ASN}
 neighbor ${towardsLeaf("frr")} timers connect 1
 address-family ipv4 unicast
  network ${own("frr")}
  neighbor ${towardsLeaf("frr")} route-reflector-client
 exit-address-family
`;
const birdSession = (name: string, address: string, more: string) => `
protocol bgp ${name} {
  local as ${ASN}; neighbor ${address} as ${ASN}; ${more}
  connect retry time 1; connect delay time 1; error wait time 1, 5;
  ipv4 { import all; export all; };
}`;
const birdConfig = `
router id ${id("bird")};
protocol device {}
protocol static s4 { ipv4; route ${own("bird")} blackhole; }
${birdSession("node", towardsUs("bird"), "")}
${birdSession("leaf", towardsLeaf("bird"), "rr client;")}
`;
const gobgpNeighbor = (address: string, more = "") => `
[[neighbors]]
  [neighbors.config]
    neighbor-address = "${address}"
    peer-as = ${ASN}
  [neighbors.timers.config]
    connect-retry = 1
${more}
`;
const gobgpConfig = `
[global.config]
  as = ${ASN}
  router-id = "${id("gobgp")}"
${gobgpNeighbor(towardsUs("gobgp"))}
${gobgpNeighbor(
  towardsLeaf("gobgp"),
  `  [neighbors.route-reflector.config]
    route-reflector-client = true
    route-reflector-cluster-id = "${id("gobgp")}"`,
)}
`;
const openbgpdConfig = `
AS ${ASN}
router-id ${id("openbgpd")}
network ${own("openbgpd")}
neighbor ${towardsUs("openbgpd")} { remote-as ${ASN} }
neighbor ${towardsLeaf("openbgpd")} {
  remote-as ${ASN}
  route-reflector
}
allow from any
allow to any
`;
const exabgpConfig = `
neighbor ${towardsUs("exabgp")} {
  router-id ${id("exabgp")}; local-address 10.5.0.2; local-as ${ASN}; peer-as ${ASN};
  family { ipv4 unicast; }
  ${REPORT}
  static {
    route ${own("exabgp")} next-hop 10.5.0.2;
    route 198.51.100.1/32 next-hop 10.5.0.2 originator-id 192.0.2.7 cluster-list [ 192.0.2.8 192.0.2.9 ];
    route 198.51.100.2/32 next-hop 10.5.0.2 originator-id ${US};
    route 198.51.100.3/32 next-hop 10.5.0.2 originator-id 192.0.2.7 cluster-list [ 192.0.2.8 ${CLUSTER} ];
  }
}
`;

let lab: Lab;
let us: Underlay;
let leaf: Underlay;
let frr: Frr;
let bird: Bird;
let gobgp: Gobgp;
let openbgpd: Openbgpd;
let exabgp: Exabgp;
const nodes = {} as Record<Other | "us" | "leaf", Node>;

beforeAll(async () => {
  lab = new Lab("reflect");
  nodes.us = lab.addNode("us");
  nodes.leaf = lab.addNode("leaf");
  for (const name of names) {
    const node = lab.addNode(name);
    nodes[name] = node;
    const link = (other: Node, device: string, n: string) =>
      lab.link(
        { node: other, name, addresses: [`10.${n}.0.1/24`] },
        { node, name: device, addresses: [`10.${n}.0.2/24`] },
      );
    link(nodes.us, "eth0", `${others[name]}`);
    if (name !== "exabgp") link(nodes.leaf, "eth1", `1${others[name]}`);
  }
  [frr, bird, gobgp, openbgpd, exabgp] = await Promise.all([
    Frr.start(nodes.frr, frrConfig),
    Bird.start(nodes.bird, birdConfig),
    Gobgp.start(nodes.gobgp, gobgpConfig),
    Openbgpd.start(nodes.openbgpd, openbgpdConfig),
    Exabgp.start(nodes.exabgp, exabgpConfig),
  ]);
  await gobgp.gobgp("global", "rib", "add", "-a", "ipv4", own("gobgp"), "nexthop", "10.3.0.2", "origin", "igp");
  [us, leaf] = await Promise.all([Underlay.start(nodes.us, usYaml), Underlay.start(nodes.leaf, leafYaml)]);
  for (const name of names) await us.waitEstablished(name);
  for (const name of reflectors) await leaf.waitEstablished(name);
});

afterAll(async () => {
  await Promise.all([us?.stop(), leaf?.stop()]);
  await Promise.all([frr, bird, gobgp, openbgpd, exabgp].map((daemon) => daemon?.close()));
  await lab?.close();
});

const received = async (daemon: Underlay, peer: Other, prefix: string): Promise<RouteView> => {
  const find = async () => (await daemon.received(peer)).find((route) => route.prefix === prefix);
  return (await waitFor(find, `${prefix} from ${peer}`)) as RouteView;
};

/** What a daemon tells about a route, in its own words. */
const tell: Record<Other, (prefix: string) => Promise<string>> = {
  frr: (prefix) => frr.vtysh(`show bgp ipv4 unicast ${prefix}`),
  bird: (prefix) => bird.birdc(`show route ${prefix} all`),
  gobgp: (prefix) => gobgp.gobgp("global", "rib", prefix),
  openbgpd: (prefix) => openbgpd.bgpctl("show", "rib", "detail", prefix),
  exabgp: async (prefix) =>
    JSON.stringify(exabgp.updates().findLast(({ announce }) => JSON.stringify(announce)?.includes(`"${prefix}"`))) ??
    "",
};
const says = (name: Other, prefix: string, ...words: (string | RegExp)[]) =>
  waitFor(async () => {
    const text = await tell[name](prefix);
    for (const word of words) expect(text).toMatch(word);
    return true;
  }, `${name} about ${prefix}`);

describe("as a reflector", () => {
  it.each(names)(
    "%s has the routes of all others, with originator, cluster and the next hop as it was",
    async (name) => {
      proves(name, "reflector", "ibgp");
      for (const other of names) {
        if (other === name) continue;
        await says(name, own(other), `10.${others[other]}.0.2`, id(other), CLUSTER);
      }
    },
  );

  it("does not add to what it originates", async () => {
    await says("bird", BLOCK, "10.2.0.1");
    expect(await tell.bird(BLOCK)).not.toContain("cluster_list");
  });

  it("lengthens a list that is there, keeps the originator", async () => {
    await says(
      "bird",
      "198.51.100.1/32",
      /originator_id: 192\.0\.2\.7/,
      /cluster_list: 10\.0\.0\.99 192\.0\.2\.8 192\.0\.2\.9/,
    );
  });

  it("drops what is its own, and shows it as that", async () => {
    proves("exabgp", "reflector");
    expect((await received(us, "exabgp", "198.51.100.2/32")).rejected).toBe("originated here (ORIGINATOR_ID)");
    expect((await received(us, "exabgp", "198.51.100.3/32")).rejected).toBe("cluster loop (CLUSTER_LIST)");
    expect(await tell.bird("198.51.100.3/32").catch(() => "")).not.toContain("BGP");
  });
});

describe("as a client", () => {
  it.each(reflectors)("%s reflects to it, over one and over two reflectors", async (name) => {
    proves(name, "reflector-client");
    const other = name === "bird" ? "frr" : "bird";
    await waitFor(
      async () => {
        expect(await received(leaf, name, own(other))).toMatchObject({
          nextHops: [`10.${others[other]}.0.2`],
          originatorId: id(other),
          clusterList: [id(name), CLUSTER],
        });
        return true;
      },
      `${own(other)} by way of ${name}`,
    );
    const block = await received(leaf, name, BLOCK);
    expect(block).toMatchObject({ originatorId: US, clusterList: [id(name)], localPref: 100 });
  });

  it("its own route comes back over two reflectors, and is not used", async () => {
    const back = async () => {
      const all = (await Promise.all(reflectors.map((name) => leaf.received(name)))).flat();
      return all.find((route) => route.prefix === LEAF_BLOCK);
    };
    expect(await waitFor(back, `${LEAF_BLOCK} at leaf`)).toMatchObject({
      originatorId: LEAF,
      rejected: "originated here (ORIGINATOR_ID)",
      best: false,
    });
  });

  it("a reflector that goes takes its routes with it, one way only", async () => {
    await bird.stop();
    await waitFor(async () => (await us.routes()).every((route) => route.prefix !== own("bird")), "BIRD's route gone");
    await waitFor(async () => !(await tell.frr(own("bird"))).includes(CLUSTER), "gone at FRR as well");
    expect((await received(leaf, "frr", own("gobgp"))).rejected).toBe("unresolved next hop");
  });
});
