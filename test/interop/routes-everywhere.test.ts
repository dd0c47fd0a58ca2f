// All five daemons on one LAN with underlayd, which passes on what each says. ExaBGP announces what no routing daemon
// would, and has a second session with each of the others, in another AS: there it hears what they make of what we send
// them.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { RouteView } from "../../bgp/views.ts";
import { Bird } from "./support/bird.ts";
import { Exabgp, REPORT } from "./support/exabgp.ts";
import { type Daemon, daemons } from "./support/features.ts";
import { Frr } from "./support/frr.ts";
import { Gobgp } from "./support/gobgp.ts";
import { Lab, type Node } from "./support/namespace.ts";
import { Openbgpd } from "./support/openbgpd.ts";
import { proves } from "./support/proofs.ts";
import { Underlay } from "./support/underlay.ts";
import { waitFor } from "./support/wait.ts";

const ASN = 65101;
const US = "10.0.0.1";
const BLOCK = "10.244.1.0/26";
const SINK_AS = 65009;
const SINK = "10.0.0.15";

const names = Object.keys(daemons) as Daemon[];
/** With a RIB: what they are told, they tell others. */
const routers = names.filter((name) => name !== "exabgp");
type Router = Exclude<Daemon, "exabgp">;
const numberOf = (name: Daemon) => names.indexOf(name) + 1;
const addressOf = (name: Daemon) => `10.0.0.1${numberOf(name)}`;
/** IPv6 alone, and a link of its own: our address is ...::1. */
type Six = (typeof six)[number];
const six = ["gobgp", "exabgp"] as const;
const ours6 = (name: Six) => `2001:db8:${numberOf(name)}::1`;
const address6 = (name: Six) => `2001:db8:${numberOf(name)}::2`;
const asnOf = (name: Daemon) => 65000 + numberOf(name);
const own = (name: Daemon) => `198.51.100.${numberOf(name)}/32`;
/** Of ExaBGP: an attribute that nobody knows; four that are malformed each in its way; AS_SETs. */
const UNKNOWN = "203.0.113.1/32";
const DISCARDED = "203.0.113.2/32";
const WITHDRAWN = ["203.0.113.3/32", "203.0.113.4/32", "203.0.113.5/32"];
const SET = "203.0.113.6/32";

interface Shape {
  readonly localPref: number;
  readonly tag: string;
  /** Without a policy for these. */
  readonly silent?: readonly Daemon[];
}
const yaml = ({ localPref, tag, silent = [] }: Shape) => {
  const peer = (name: Daemon, label: string, address: string, more: string) =>
    `  ${label}: { address: "${address}", asn: ${asnOf(name)}, connectRetry: 1s, ${silent.includes(name) ? "" : "import: in, export: out,"} ${more} }`;
  return `
node: { name: node1, asn: ${ASN}, routerId: ${US} }
pools: { default: { blocks: [${BLOCK}] } }
policies:
  in:
    - match: { community: "*:1", extendedCommunity: "rt:*:4", largeCommunity: "*:2:3" }
      set: { localPref: ${localPref}, community: { add: ["65101:9"] } }
      then: accept
    - then: accept
  out:
    - match: { peer: [local] }
      set: { community: { add: ["${tag}"] }, extendedCommunity: { add: ["rt:65101:8"] }, largeCommunity: { add: ["65101:1:2"] }, prepend: 1, med: 7 }
      then: accept
    - then: accept
peers:
${names.map((name) => peer(name, name, addressOf(name), "")).join("\n")}
${six.map((name) => peer(name, `${name}6`, address6(name), "extendedNextHop: true")).join("\n")}
`;
};
const FIRST: Shape = { localPref: 300, tag: "65101:7" };

const frrConfig = `
router bgp ${asnOf("frr")}
 bgp router-id ${addressOf("frr")}
 no bgp ebgp-requires-policy
 no bgp network import-check
 neighbor ${US} remote-as ${ASN}
 neighbor ${US} timers connect 1
 neighbor ${SINK} remote-as ${SINK_AS}
 neighbor ${SINK} passive
 address-family ipv4 unicast
  network ${own("frr")} route-map tag
 exit-address-family
route-map tag permit 10
 set community 65001:1
 set extcommunity rt 65001:4
 set large-community 65001:2:3
`;
const birdConfig = `
router id ${addressOf("bird")};
protocol device {}
protocol direct { ipv4; }
protocol static { ipv4; route ${own("bird")} blackhole {
  bgp_community.add((65002,1)); bgp_ext_community.add((rt,65002,4)); bgp_large_community.add((65002,2,3));
}; }
${[`node { neighbor ${US} as ${ASN};`, `sink { passive; neighbor ${SINK} as ${SINK_AS};`]
  .map(
    (head) => `protocol bgp ${head}
  local ${addressOf("bird")} as ${asnOf("bird")}; connect retry time 1; connect delay time 1; error wait time 1, 5;
  ipv4 { import all; export where source ~ [ RTS_STATIC, RTS_BGP ]; };
}`,
  )
  .join("\n")}
`;
const gobgpConfig = `
[global.config]
  as = ${asnOf("gobgp")}
  router-id = "${addressOf("gobgp")}"
${[
  [US, ASN],
  [ours6("gobgp"), ASN],
  [SINK, SINK_AS],
]
  .map(
    ([address, asn]) => `[[neighbors]]
  [neighbors.config]
    neighbor-address = "${address}"
    peer-as = ${asn}
  [neighbors.timers.config]
    connect-retry = 1
  [neighbors.transport.config]
    passive-mode = ${address === SINK}
  [[neighbors.afi-safis]]
    [neighbors.afi-safis.config]
      afi-safi-name = "ipv4-unicast"
`,
  )
  .join("")}`;
const openbgpdConfig = `
AS ${asnOf("openbgpd")}
router-id ${addressOf("openbgpd")}
network ${own("openbgpd")} set { community 65004:1 large-community 65004:2:3 ext-community rt 65004:4 }
neighbor ${US} { remote-as ${ASN} }
neighbor ${SINK} {
  remote-as ${SINK_AS}
  passive
}
allow from any
allow to any
`;
const GOOD = "next-hop 10.0.0.15 community [65005:5]";
const MARKS = "community [65005:1] large-community [65005:2:3] extended-community [target:65005:4]";
const exabgpConfig = `
neighbor ${US} {
  router-id ${SINK}; local-address ${SINK}; local-as ${asnOf("exabgp")}; peer-as ${ASN};
  family { ipv4 unicast; }
  ${REPORT}
  static {
    route ${own("exabgp")} next-hop self ${MARKS};
    route ${UNKNOWN} next-hop self attribute [ 0xf0 0xc0 0xdeadbeef ];
    ${WITHDRAWN.map((prefix) => `route ${prefix} ${GOOD};`).join("\n    ")}
  }
}
neighbor ${ours6("exabgp")} {
  router-id ${SINK}; local-address ${address6("exabgp")}; local-as ${asnOf("exabgp")}; peer-as ${ASN};
  family { ipv4 unicast; ipv6 unicast; }
  capability { nexthop enable; }
  nexthop { ipv4 unicast ipv6; }
  ${REPORT}
  static { route ${own("exabgp")} next-hop ${address6("exabgp")} ${MARKS}; }
}
${routers
  .map(
    (name) => `neighbor ${addressOf(name)} {
  router-id ${SINK}; local-address ${SINK}; local-as ${SINK_AS}; peer-as ${asnOf(name)};
  family { ipv4 unicast; }
  ${REPORT}
  static { route ${SET} next-hop self as-path [ ${SINK_AS} ( 64701 64702 ) ]; }
}`,
  )
  .join("\n")}
`;

let lab: Lab;
let underlay: Underlay;
let frr: Frr;
let bird: Bird;
let gobgp: Gobgp;
let openbgpd: Openbgpd;
let exabgp: Exabgp;

beforeAll(async () => {
  lab = new Lab("routeseverywhere");
  const hub = lab.addNode("hub");
  hub.ip("link", "add", "br0", "type", "bridge");
  hub.ip("link", "set", "br0", "up");
  const attach = (name: string, addresses: readonly string[]): Node => {
    const node = lab.addNode(name);
    lab.link({ node, name: "eth0", addresses }, { node: hub, name });
    hub.ip("link", "set", name, "master", "br0");
    return node;
  };
  const us = attach("us", [`${US}/24`]);
  const nodes = Object.fromEntries(names.map((name) => [name, attach(name, [`${addressOf(name)}/24`])]));
  for (const name of six)
    lab.link(
      { node: us, name, addresses: [`${ours6(name)}/64`] },
      { node: nodes[name], name: "eth1", addresses: [`${address6(name)}/64`] },
    );
  underlay = await Underlay.start(us, yaml(FIRST));
  [frr, bird, gobgp, openbgpd, exabgp] = await Promise.all([
    Frr.start(nodes.frr, frrConfig),
    Bird.start(nodes.bird, birdConfig),
    Gobgp.start(nodes.gobgp, gobgpConfig),
    Openbgpd.start(nodes.openbgpd, openbgpdConfig),
    Exabgp.start(nodes.exabgp, exabgpConfig),
  ]);
  const marks = ["community", "65003:1", "large-community", "65003:2:3", "rt", "65003:4"];
  await gobgp.gobgp("global", "rib", "add", "-a", "ipv4", own("gobgp"), "origin", "igp", ...marks);
  for (const name of [...names, "gobgp6", "exabgp6"]) await underlay.waitEstablished(name, 60_000);
});

afterAll(async () => {
  await underlay?.stop();
  await Promise.all([frr, bird, gobgp, openbgpd, exabgp].map((daemon) => daemon?.close()));
  await lab?.close();
});

/** A route as a peer has told it, once it is as expected. */
async function received(peer: string, prefix: string, expected: object = {}): Promise<RouteView> {
  let last: RouteView | undefined;
  return (await waitFor(
    async () => {
      last = (await underlay.received(peer)).find((route) => route.prefix === prefix);
      expect(last).toMatchObject(expected);
      return last;
    },
    `${prefix} of ${peer} as ${JSON.stringify(expected)}`,
  ).catch((error) => {
    throw new Error(`${error.message}\n${JSON.stringify(last)}`);
  })) as RouteView;
}

/** What a daemon makes of a route of ours: as ExaBGP hears it from it, or from us. */
const told = (name: Daemon, prefix: string) => exabgp.attributes(name === "exabgp" ? US : addressOf(name), prefix);
const waitTold = (name: Daemon, prefix: string, what: string, condition: (text: string) => boolean) =>
  waitFor(() => condition(JSON.stringify(told(name, prefix) ?? null)), `${prefix} ${what} at ${name}`).catch(
    (error) => {
      throw new Error(`${error.message}; it is ${JSON.stringify(told(name, prefix))}`);
    },
  );
const GONE = (text: string) => text === "null";

describe("policies and communities", () => {
  it.each(names)("%s: what comes in is matched by communities of the three kinds, and changed", async (name) => {
    proves(name, "policy", "communities", "large-communities", "extended-communities");
    const asn = asnOf(name);
    const route = await received(name, own(name), { rejected: null, localPref: FIRST.localPref });
    expect(route.communities).toEqual(
      expect.arrayContaining([`${asn}:1`, `rt:${asn}:4`, `${asn}:2:3`, "65101:9"].slice(0, name === "exabgp" ? 3 : 4)),
    );
  });

  it.each(names)("%s: what goes out carries them", async (name) => {
    proves(name, "policy", "communities", "large-communities", "extended-communities");
    await waitTold(
      name,
      BLOCK,
      "with all of them",
      (text) => /\[65101,7\]/.test(text) && /\[65101,1,2\]/.test(text) && /target:65101:8/.test(text),
    );
    expect(told(name, BLOCK)?.["as-path"]).toEqual([...(name === "exabgp" ? [] : [asnOf(name)]), ASN, ASN]);
  });

  it("a policy that changes, changes what each has, and nothing else", async () => {
    proves(names, "policy-change");
    const peers = () => Promise.all(names.map((name) => underlay.peer(name)));
    const before = await peers();
    underlay.configure(yaml({ localPref: 301, tag: "65101:6" }));
    await underlay.ctl("reload");
    for (const name of names) {
      await received(name, own(name), { localPref: 301 });
      await waitTold(name, BLOCK, "with the new tag", (text) => /\[65101,6\]/.test(text) && !/\[65101,7\]/.test(text));
    }
    for (const [index, peer] of (await peers()).entries())
      expect(peer.establishedCount).toBe(before[index].establishedCount);
    expect(exabgp.events().map(({ type }) => type)).not.toContain("refresh");
  });

  it("without a policy nothing comes in, and nothing goes out (RFC 8212)", async () => {
    proves(names, "default-deny");
    underlay.configure(yaml({ ...FIRST, silent: names }));
    await underlay.ctl("reload");
    for (const name of names) {
      await received(name, own(name), { best: false, rejected: "import policy" });
      await waitTold(name, BLOCK, "gone", GONE);
      expect(await underlay.peer(name)).toMatchObject({ accepted: 0, advertised: 0, state: "Established" });
    }
    underlay.configure(yaml(FIRST));
    await underlay.ctl("reload");
    for (const name of names) await waitTold(name, BLOCK, "again", (text) => /\[65101,7\]/.test(text));
  });
});

describe("next hops of the other family (RFC 8950)", () => {
  it.each(six)("%s: both ways", async (name) => {
    proves(name, "extended-next-hop");
    await received(`${name}6`, own(name), { nextHops: [address6(name)], rejected: null });
    const route = async () => (await underlay.kernel(4)).find(({ dst }) => dst === own(name).replace("/32", ""));
    await waitFor(async () => (await route())?.gateways.includes(address6(name)), "an IPv6 gateway in the kernel");
    const heard = async () =>
      name === "exabgp"
        ? JSON.stringify(
            exabgp.updates(ours6(name)).filter(({ announce }) => JSON.stringify(announce)?.includes(BLOCK)),
          )
        : gobgp.gobgp("neighbor", ours6(name), "adj-in", "-a", "ipv4");
    const words = name === "exabgp" ? `"${ours6(name)}":[{"nlri":"${BLOCK}"` : `${BLOCK}        ${ours6(name)} `;
    await waitFor(async () => (await heard()).includes(words), "our block with our IPv6 address as next hop").catch(
      async (error) => {
        throw new Error(`${error.message}; ${await heard()}`);
      },
    );
  });
});

describe("what ExaBGP gets wrong, and others are told", () => {
  it("an attribute that nobody knows goes through all of us, marked as partial", async () => {
    proves(names, "unknown-attributes");
    for (const name of routers)
      await waitTold(name, UNKNOWN, "with attribute 240", (text) => /attribute-0xf0-0xe0.*deadbeef/i.test(text));
  });

  it("an attribute that is malformed, and not needed, is left out (RFC 7606)", async () => {
    proves(names, "revised-errors");
    const before = (await underlay.peer("exabgp")).errors;
    // AGGREGATOR with two octets, ATOMIC_AGGREGATE with one.
    exabgp.command(
      `neighbor ${US} announce route ${DISCARDED} ${GOOD} attribute [ 0x07 0xc0 0x0102 ] attribute [ 0x06 0x40 0x01 ]`,
    );
    for (const name of routers)
      await waitTold(
        name,
        DISCARDED,
        "without them",
        (text) => /\[65005,5\]/.test(text) && !/aggregat|0x0/i.test(text),
      );
    expect((await underlay.peer("exabgp")).errors.attributesDiscarded).toBeGreaterThan(before.attributesDiscarded);
  });

  it("a route with another malformed attribute is withdrawn, from all (RFC 7606)", async () => {
    proves(names, "revised-errors");
    for (const name of routers)
      for (const prefix of WITHDRAWN)
        await waitTold(name, prefix, "as it should be", (text) => /\[65005,5\]/.test(text));
    const { errors } = await underlay.peer("exabgp");
    // COMMUNITIES with three octets, LARGE_COMMUNITY with eleven, EXTENDED COMMUNITIES with optional unset.
    const malformed = ["0x08 0xc0 0x010203", "0x20 0xc0 0x0102030405060708090a0b", "0x10 0x40 0x0002fde900000001"];
    for (const [index, attribute] of malformed.entries())
      exabgp.command(`neighbor ${US} announce route ${WITHDRAWN[index]} next-hop 10.0.0.15 attribute [ ${attribute} ]`);
    for (const name of routers) for (const prefix of WITHDRAWN) await waitTold(name, prefix, "gone", GONE);
    expect((await underlay.peer("exabgp")).errors.treatedAsWithdrawn).toBe(errors.treatedAsWithdrawn + 3);
    exabgp.command(`neighbor ${US} announce route ${WITHDRAWN[0]} ${GOOD}`);
    for (const name of routers) await waitTold(name, WITHDRAWN[0], "as before", (text) => /\[65005,5\]/.test(text));
    for (const name of names)
      expect(await underlay.peer(name)).toMatchObject({ establishedCount: 1, state: "Established" });
  });

  it.each(routers as Router[])("%s passes on an AS_SET: not used (RFC 9774)", async (name) => {
    proves(name, "as-sets");
    const route = await received(name, SET, { rejected: "AS_SET in the path", best: false });
    expect(route.asPath).toMatch(new RegExp(`^${asnOf(name)} ${SINK_AS} \\{6470[12],6470[12]\\}$`));
  });
});
