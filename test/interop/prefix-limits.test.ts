// Prefix limits with FRR, BIRD, GoBGP, OpenBGPD and ExaBGP: what they see when they send one too many, what we refuse
// to send, how a session comes back, and what becomes of us when they have a limit.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
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
const others = { frr: 1, bird: 2, gobgp: 3, openbgpd: 4, exabgp: 5 } as const;
type Other = keyof typeof others;
const names = Object.keys(others) as Other[];
const asnOf = (name: Other) => 64496 + others[name];
const ours = (name: Other) => `10.${others[name]}.0.1`;
const route = (name: Other, i: number) => `203.0.113.${others[name] * 16 + i}/32`;
const first = (name: Other) => [0, 1, 2].map((i) => route(name, i));

const yaml = (limits: Partial<Record<Other, string>>) => `
node: { name: node1, asn: ${ASN}, routerId: 10.0.0.11 }
pools: { default: { blocks: [10.244.1.0/26, 10.244.2.0/26] } }
peers:
${names
  .map((name) => {
    const keys = `address: 10.${others[name]}.0.2, asn: ${asnOf(name)}, import: all, export: blocks, connectRetry: 1s`;
    return `  ${name}: { ${keys}, ${limits[name] ?? "maxPrefixes: 3"} }`;
  })
  .join("\n")}
`;

/** FRR sends routes back to whom they came from: it has to be told not to. */
const frrConfig = `
router bgp ${asnOf("frr")}
 bgp router-id 10.0.0.1
 no bgp ebgp-requires-policy
 no bgp network import-check
 neighbor ${ours("frr")} remote-as ${ASN}
 neighbor ${ours("frr")} timers connect 1
 address-family ipv4 unicast
${first("frr")
  .map((prefix) => `  network ${prefix}`)
  .join("\n")}
  neighbor ${ours("frr")} filter-list own out
 exit-address-family
bgp as-path access-list own permit ^$
`;
const birdConfig = (count: number, limit = "") => `
router id 10.0.0.2;
protocol device {}
protocol static s4 { ipv4; ${Array.from({ length: count }, (_, i) => `route ${route("bird", i)} blackhole;`).join(" ")} }
protocol bgp node {
  local as ${asnOf("bird")}; neighbor ${ours("bird")} as ${ASN};
  connect retry time 1; connect delay time 1; error wait time 1, 2;
  ipv4 { import all; ${limit} export where source = RTS_STATIC; };
}
`;
const gobgpConfig = `
[global.config]
  as = ${asnOf("gobgp")}
  router-id = "10.0.0.3"
[[neighbors]]
  [neighbors.config]
    neighbor-address = "${ours("gobgp")}"
    peer-as = ${ASN}
  [neighbors.timers.config]
    connect-retry = 1
    idle-hold-time-after-reset = 1
`;
const openbgpdConfig = `
AS ${asnOf("openbgpd")}
router-id 10.0.0.4
${first("openbgpd")
  .map((prefix) => `network ${prefix}`)
  .join("\n")}
neighbor ${ours("openbgpd")} { remote-as ${ASN} }
allow from any
allow to any
`;
const exabgpConfig = `
neighbor ${ours("exabgp")} {
  router-id 10.0.0.5; local-address 10.5.0.2; local-as ${asnOf("exabgp")}; peer-as ${ASN};
  family { ipv4 unicast; }
  ${REPORT}
  static {
${first("exabgp")
  .map((prefix) => `    route ${prefix} next-hop self;`)
  .join("\n")}
  }
}
`;

let lab: Lab;
let underlay: Underlay;
let frr: Frr;
let bird: Bird;
let gobgp: Gobgp;
let openbgpd: Openbgpd;
let exabgp: Exabgp;
const nodes = {} as Record<Other | "us", Node>;

/** One prefix more, and one less. */
const more: Record<Other, () => Promise<unknown>> = {
  frr: () =>
    frr.vtysh("configure", `router bgp ${asnOf("frr")}`, "address-family ipv4 unicast", `network ${route("frr", 3)}`),
  bird: () => bird.configure(birdConfig(4)),
  gobgp: () => gobgp.gobgp("global", "rib", "add", "-a", "ipv4", route("gobgp", 3)),
  openbgpd: () => openbgpd.bgpctl("network", "add", route("openbgpd", 3)),
  exabgp: async () => exabgp.command(`announce route ${route("exabgp", 3)} next-hop self`),
};
const less: Record<Other, () => Promise<unknown>> = {
  frr: () =>
    frr.vtysh(
      "configure",
      `router bgp ${asnOf("frr")}`,
      "address-family ipv4 unicast",
      `no network ${route("frr", 3)}`,
    ),
  bird: () => bird.configure(birdConfig(3)),
  gobgp: () => gobgp.gobgp("global", "rib", "del", "-a", "ipv4", route("gobgp", 3)),
  openbgpd: () => openbgpd.bgpctl("network", "delete", route("openbgpd", 3)),
  exabgp: async () => exabgp.command(`withdraw route ${route("exabgp", 3)} next-hop self`),
};
/** What FRR says about the end of the session, until its next attempt to connect; the others forget it sooner. */
const reasonAtFrr = () =>
  waitFor(
    async () => /Maximum Number of Prefixes/i.test((await frr.neighbor(ours("frr"))).lastNotificationReason ?? ""),
    "the reason at FRR",
  );

beforeAll(async () => {
  lab = new Lab("limits");
  nodes.us = lab.addNode("us");
  for (const name of names) {
    nodes[name] = lab.addNode(name);
    lab.link(
      { node: nodes.us, name, addresses: [`${ours(name)}/24`] },
      { node: nodes[name], name: "eth0", addresses: [`10.${others[name]}.0.2/24`] },
    );
  }
  [frr, bird, gobgp, openbgpd, exabgp] = await Promise.all([
    Frr.start(nodes.frr, frrConfig),
    Bird.start(nodes.bird, birdConfig(3)),
    Gobgp.start(nodes.gobgp, gobgpConfig),
    Openbgpd.start(nodes.openbgpd, openbgpdConfig),
    Exabgp.start(nodes.exabgp, exabgpConfig),
  ]);
  for (const prefix of first("gobgp")) await gobgp.gobgp("global", "rib", "add", "-a", "ipv4", prefix);
  underlay = await Underlay.start(nodes.us, yaml({ exabgp: "maxPrefixes: { limit: 3, action: drop }" }));
  for (const name of names) await underlay.waitEstablished(name);
});

afterAll(async () => {
  await underlay?.stop();
  await Promise.all([frr, bird, gobgp, openbgpd, exabgp].map((daemon) => daemon?.close()));
  await lab?.close();
});

const reload = async (limits: Partial<Record<Other, string>>) => {
  underlay.configure(yaml(limits));
  await underlay.ctl("reload");
};
const received = (name: Other, count: number) =>
  waitFor(async () => (await underlay.peer(name)).received === count, `${count} prefixes of ${name}`).catch(
    async (error) => {
      const prefixes = (await underlay.received(name)).map(({ prefix }) => prefix);
      throw new Error(`${error.message}; there are ${prefixes}`);
    },
  );
const ended = async (name: Other, reason: string) => {
  await waitFor(async () => (await underlay.peer(name)).lastError?.includes(reason), `${name}: ${reason}`).catch(
    async (error) => {
      throw new Error(`${error.message}; it says ${(await underlay.peer(name)).lastError}`);
    },
  );
  expect((await underlay.peer(name)).state).toBe("Idle");
};
const closing = names.filter((name) => name !== "exabgp");

describe("a neighbour that announces too much", () => {
  it.each(closing)("%s: the session ends, and stays down until somebody says otherwise", async (name) => {
    proves(name, "prefix-limit");
    await received(name, 3);
    await more[name]();
    await ended(name, "more than 3 prefixes received (maxPrefixes); down until a reset by hand");
    if (name === "frr") await reasonAtFrr();
    await less[name]();
    const attempts = (await underlay.peer(name)).establishedCount;
    await new Promise((resolve) => setTimeout(resolve, 3000));
    expect(await underlay.peer(name)).toMatchObject({ state: "Idle", establishedCount: attempts });
    expect(await underlay.ctl("reset", name)).toEqual({ peer: name, reason: "reset by the operator" });
    await underlay.waitEstablished(name);
    await received(name, 3);
  });

  it("ExaBGP: what is too much is not taken, what is there may change", async () => {
    proves("exabgp", "prefix-limit");
    await received("exabgp", 3);
    await more.exabgp();
    await waitFor(async () => (await underlay.peer("exabgp")).errors.prefixesDropped === 1, "one dropped");
    exabgp.command(`announce route ${route("exabgp", 0)} next-hop self med 77`);
    await waitFor(
      async () =>
        (await underlay.received("exabgp")).some(({ prefix, med }) => prefix === route("exabgp", 0) && med === 77),
      "the change",
    );
    expect(await underlay.peer("exabgp")).toMatchObject({ state: "Established", received: 3 });
    exabgp.command(`withdraw route ${route("exabgp", 1)} next-hop self`);
    exabgp.command(`announce route ${route("exabgp", 4)} next-hop self`);
    await waitFor(
      async () => (await underlay.received("exabgp")).some(({ prefix }) => prefix === route("exabgp", 4)),
      "another in its place",
    );
  });

  it("comes back by itself after restartAfter, and at once when the limit is raised", async () => {
    await reload({ bird: "maxPrefixes: { ipv4: 3, restartAfter: 2s }" });
    await more.bird();
    await ended("bird", "more than 3 IPv4 prefixes received (maxPrefixes); down for 2 s");
    await less.bird();
    await underlay.waitEstablished("bird");
    await more.frr();
    await ended("frr", "down until a reset by hand");
    await reload({ frr: "maxPrefixes: 4" });
    await underlay.waitEstablished("frr");
    await received("frr", 4);
  });
});

describe("we would announce too much", () => {
  it("and end the session instead", async () => {
    await reload(Object.fromEntries(names.map((name) => [name, "maxPrefixesOut: 1"])));
    const told = reasonAtFrr();
    for (const name of names) {
      proves(name, "prefix-limit-out");
      await ended(name, "more than 1 prefixes to announce (maxPrefixesOut)");
    }
    await told;
    await reload(Object.fromEntries(names.map((name) => [name, "maxPrefixesOut: 2"])));
    // Those that try again soon; OpenBGPD waits longer each time.
    for (const name of ["frr", "bird", "exabgp"] as const) await underlay.waitEstablished(name, 60_000);
    await waitFor(async () => (await underlay.peer("frr")).advertised === 2, "both blocks");
  });
});

describe("a limit of theirs that we exceed", () => {
  it("BIRD: its reason is ours to read", async () => {
    await bird.configure(birdConfig(3, "receive limit 1 action disable;"));
    await waitFor(
      async () => (await underlay.peer("bird")).lastError?.includes("Maximum Number of Prefixes Reached"),
      "the reason",
    );
  });
});
