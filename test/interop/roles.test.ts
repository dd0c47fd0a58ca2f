// Roles and OTC (RFC 9234) with FRR and BIRD: who fits whom, and which routes pass. We are a customer of one FRR, a peer of
// BIRD, the provider of another FRR; routes of one are passed on to the others, or not.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { RouteView } from "../../bgp/views.ts";
import { Bird } from "./support/bird.ts";
import { Frr } from "./support/frr.ts";
import { Lab, type Node } from "./support/namespace.ts";
import { proves } from "./support/proofs.ts";
import { Underlay } from "./support/underlay.ts";
import { waitFor } from "./support/wait.ts";

const ASN = 64510;
const BLOCK = "10.244.1.0/26";
const nodes = {} as Record<"us" | "frr" | "bird" | "below", Node>;
const links = { frr: 1, bird: 2, below: 3 } as const;
type Other = keyof typeof links;
const own = (name: Other) => `203.0.113.${links[name] * 16}/28`;

const yaml = (roles: Record<Other, string>, require = false) => `
node: { name: node1, asn: ${ASN}, routerId: 10.0.0.11 }
pools: { default: { blocks: [${BLOCK}] } }
peers:
${(Object.keys(links) as Other[])
  .map(
    (name) =>
      `  ${name}: { address: 10.${links[name]}.0.2, asn: ${64496 + links[name]}, import: all, export: all, connectRetry: 1s, ${roles[name]}${require ? ", requireRole: true" : ""} }`,
  )
  .join("\n")}
`;
const fitting = { frr: "role: customer", bird: "role: peer", below: "role: provider" };

const frrConfig = (name: Other, role: string) => `
router bgp ${64496 + links[name]}
 bgp router-id 10.0.0.${links[name]}
 no bgp ebgp-requires-policy
 no bgp network import-check
 neighbor 10.${links[name]}.0.1 remote-as ${ASN}
 neighbor 10.${links[name]}.0.1 timers connect 1
 ${role === "" ? "" : `neighbor 10.${links[name]}.0.1 local-role ${role}`}
 address-family ipv4 unicast
  network ${own(name)}
 exit-address-family
`;

const birdConfig = (role: string) => `
router id 10.0.0.2;
protocol device {}
protocol static s4 { ipv4; route ${own("bird")} blackhole; }
protocol bgp node {
  local as 64498; neighbor 10.2.0.1 as ${ASN}; ${role}
  connect retry time 1; connect delay time 1; error wait time 1, 2;
  ipv4 { import all; export where source = RTS_STATIC; };
}
`;

let lab: Lab;
let underlay: Underlay;
let frr: Frr;
let below: Frr;
let bird: Bird;

beforeAll(async () => {
  lab = new Lab("roles");
  nodes.us = lab.addNode("us");
  for (const [name, n] of Object.entries(links) as [Other, number][]) {
    nodes[name] = lab.addNode(name);
    lab.link(
      { node: nodes.us, name, addresses: [`10.${n}.0.1/24`] },
      { node: nodes[name], name: "eth0", addresses: [`10.${n}.0.2/24`] },
    );
  }
  [frr, below, bird] = await Promise.all([
    Frr.start(nodes.frr, frrConfig("frr", "provider")),
    Frr.start(nodes.below, frrConfig("below", "customer")),
    Bird.start(nodes.bird, birdConfig("local role peer;")),
  ]);
  underlay = await Underlay.start(nodes.us, yaml(fitting, true));
  for (const name of Object.keys(links)) await underlay.waitEstablished(name);
});

afterAll(async () => {
  await underlay?.stop();
  await Promise.all([frr?.close(), below?.close(), bird?.close()]);
  await lab?.close();
});

const received = async (peer: Other, prefix: string): Promise<RouteView> => {
  const find = async () => (await underlay.received(peer)).find((route) => route.prefix === prefix);
  return (await waitFor(find, `${prefix} of ${peer}`)) as RouteView;
};
const advertised = async (peer: Other) => (await underlay.advertised(peer)).map(({ prefix }) => prefix).sort();
const atFrr = (daemon: Frr, prefix: string) => daemon.vtysh(`show bgp ipv4 unicast ${prefix}`);

describe("roles", () => {
  it("are said by both sides", async () => {
    proves(["frr", "bird"], "roles");
    const capabilities = await Promise.all(["frr", "bird", "below"].map((name) => underlay.peer(name)));
    expect(capabilities.map((view) => view.capabilities.find((text) => text.startsWith("role")))).toEqual([
      "role provider",
      "role peer",
      "role customer",
    ]);
    const neighbor = await frr.neighbor("10.1.0.1");
    expect(JSON.stringify(neighbor)).toMatch(/"remoteRole":"customer"/);
    expect(await bird.protocol("node")).toMatch(/Neighbor capabilities[\s\S]*Role: peer/);
  });

  it("mark what came from a provider and a peer, and keep it from the other", async () => {
    expect(await received("frr", own("frr"))).toMatchObject({ rejected: null, otc: 64497 });
    expect(await received("bird", own("bird"))).toMatchObject({ rejected: null, otc: 64498 });
    expect(await received("below", own("below"))).toMatchObject({ rejected: null, otc: null });
    await waitFor(async () => (await advertised("below")).length === 3, "all at the customer");
    expect(await advertised("below")).toEqual([BLOCK, own("frr"), own("bird")].sort());
    expect(await advertised("frr")).toEqual([BLOCK, own("below")].sort());
    expect(await advertised("bird")).toEqual([BLOCK, own("below")].sort());
  });

  it("say OTC to a peer and a customer, none to a provider", async () => {
    expect(await bird.birdc(`show route ${BLOCK} all`)).toMatch(new RegExp(`otc: ${ASN}`, "i"));
    await waitFor(async () => (await atFrr(below, BLOCK)).includes(`otc ${ASN}`), "OTC at the customer");
    expect(await atFrr(below, own("frr"))).toMatch(/otc 64497/);
    expect(await atFrr(frr, own("below"))).not.toMatch(/otc/i);
  });

  it.each([
    ["frr", { ...fitting, frr: "role: peer" }, "Role Mismatch"],
    ["bird", { ...fitting, bird: "role: route-server-client" }, "Role Mismatch"],
  ] as const)("%s: no session when they do not fit", async (name, roles, words) => {
    proves(name, "roles");
    underlay.configure(yaml(roles));
    await underlay.ctl("reload");
    const mismatch = await waitFor(async () => {
      const { lastError } = await underlay.peer(name);
      return lastError?.includes(words) && lastError;
    }, "the mismatch");
    expect(mismatch).toMatch(/neighbour's role is (provider|peer); as ours is|received NOTIF/);
    expect((await underlay.peer(name)).state).not.toBe("Established");
    underlay.configure(yaml(fitting));
    await underlay.ctl("reload");
    await underlay.waitEstablished(name);
  });

  it("a neighbour that says none is taken, unless it has to; its leaked route is seen all the same", async () => {
    await bird.configure(birdConfig(""));
    await underlay.waitEstablished("bird");
    expect((await underlay.peer("bird")).capabilities.join()).not.toContain("role");
    await waitFor(async () => (await received("bird", own("bird"))).otc === 64498, "our own mark");
    underlay.configure(yaml(fitting, true));
    await underlay.ctl("reload");
    await waitFor(async () => (await underlay.peer("bird")).lastError?.includes("says no role"), "the refusal");
  });
});

describe("a route leak", () => {
  it("from a customer that passes on what another provider told it is not used", async () => {
    // A second way up for the customer, which has lost its filter: it does not speak roles towards us any more.
    await bird.configure(
      birdConfig("").replace("export where source = RTS_STATIC", "export filter { bgp_otc = 64499; accept; }"),
    );
    underlay.configure(yaml({ ...fitting, bird: "role: provider" }));
    await underlay.ctl("reload");
    await underlay.waitEstablished("bird");
    expect(await received("bird", own("bird"))).toMatchObject({
      rejected: "route leak (OTC)",
      best: false,
      otc: 64499,
    });
    expect((await underlay.peer("bird")).lastError).toContain("route leak");
    expect(await advertised("below")).not.toContain(own("bird"));
  });
});
