// AS paths as FRR, BIRD, GoBGP, OpenBGPD and ExaBGP write and read them: another AS number of ours towards each of them, our
// own in what they send, their own and private ones in what we send, AS_SETs, and the community graceful-shutdown.
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

const NODE_AS = 64510;
const LOCAL_AS = 64509;
const BLOCK = "10.244.1.0/26";
/** Link number: 10.<n>.0.1 - .2; each is in AS 64496 + n. All these AS numbers are for documentation, none is private. */
const others = { frr: 1, bird: 2, gobgp: 3, openbgpd: 4, exabgp: 5 } as const;
type Other = keyof typeof others;
const names = Object.keys(others) as Other[];
const asnOf = (name: Other) => 64496 + others[name];
const ours = (name: Other) => `10.${others[name]}.0.1`;
const theirs = (name: Other) => `10.${others[name]}.0.2`;
/** Of each: an ordinary route; with our AS once in the path; twice; with graceful-shutdown. */
const plain = (name: Other) => `203.0.113.${others[name] * 16}/32`;
const once = (name: Other) => `203.0.113.${others[name] * 16 + 1}/32`;
const twice = (name: Other) => `203.0.113.${others[name] * 16 + 2}/32`;
const marked = (name: Other) => `203.0.113.${others[name] * 16 + 3}/32`;
const routes = (name: Other) => [plain(name), once(name), twice(name), marked(name)];
/** OpenBGPD cannot lie about paths: a second session hears what it was told on the first. */
const ours2 = "10.14.0.1";
/** What only some can say. */
const set = { gobgp: "198.51.100.3/32", exabgp: "198.51.100.5/32" };
const alien = "198.51.100.6/32";
const privates = "198.51.100.7/32";
const yours = "198.51.100.8/32";

const replaces: readonly Other[] = ["bird", "openbgpd"];
const localAsn = (name: Other) =>
  replaces.includes(name) ? `{ asn: ${LOCAL_AS}, noPrepend: true, replaceAs: true }` : String(LOCAL_AS);
const more: Partial<Record<Other, string>> = {
  bird: "asOverride: true",
  gobgp: "removePrivateAs: replace-all",
  openbgpd: "removePrivateAs: all",
};
const yaml = (also: Partial<Record<Other, string>> = {}, again = 1) => `
node: { name: node1, asn: ${NODE_AS}, routerId: 10.0.0.11 }
pools: { default: { blocks: [${BLOCK}] } }
peers:
${names
  .map((name) => {
    const keys = [`localAsn: ${localAsn(name)}`, "allowAsIn: 1", more[name], also[name]].filter(Boolean).join(", ");
    return `  ${name}: { address: ${theirs(name)}, asn: ${asnOf(name)}, import: all, export: all, connectRetry: 1s, ${keys} }`;
  })
  .join("\n")}
  openbgpd2: { address: 10.14.0.2, asn: ${asnOf("openbgpd")}, import: all, export: none, connectRetry: 1s, localAsn: ${LOCAL_AS}, allowAsIn: ${again} }
`;

const frrConfig = `
router bgp ${asnOf("frr")}
 bgp router-id 10.0.0.1
 no bgp ebgp-requires-policy
 no bgp network import-check
 neighbor ${ours("frr")} remote-as ${LOCAL_AS}
 neighbor ${ours("frr")} timers connect 1
 address-family ipv4 unicast
${routes("frr")
  .map((route) => `  network ${route}`)
  .join("\n")}
  neighbor ${ours("frr")} route-map out out
 exit-address-family
ip prefix-list once seq 5 permit ${once("frr")}
ip prefix-list twice seq 5 permit ${twice("frr")}
ip prefix-list marked seq 5 permit ${marked("frr")}
route-map out permit 10
 match ip address prefix-list once
 set as-path prepend ${NODE_AS}
route-map out permit 20
 match ip address prefix-list twice
 set as-path prepend ${NODE_AS} ${NODE_AS}
route-map out permit 30
 match ip address prefix-list marked
 set community graceful-shutdown
route-map out permit 40
`;

const birdConfig = `
router id 10.0.0.2;
protocol device {}
protocol static s4 { ipv4; ${routes("bird")
  .map((route) => `route ${route} blackhole;`)
  .join(" ")} }
filter shaped {
  if net = ${once("bird")} then bgp_path.prepend(${LOCAL_AS});
  if net = ${twice("bird")} then { bgp_path.prepend(${NODE_AS}); bgp_path.prepend(${NODE_AS}); }
  if net = ${marked("bird")} then bgp_community.add((65535, 0));
  if source = RTS_STATIC then accept;
  reject;
}
protocol bgp node {
  local as ${asnOf("bird")}; neighbor ${ours("bird")} as ${LOCAL_AS};
  connect retry time 1; connect delay time 1; error wait time 1, 5;
  ipv4 { import all; export filter shaped; };
}
`;

const gobgpConfig = `
[global.config]
  as = ${asnOf("gobgp")}
  router-id = "10.0.0.3"
[[neighbors]]
  [neighbors.config]
    neighbor-address = "${ours("gobgp")}"
    peer-as = ${LOCAL_AS}
  [neighbors.timers.config]
    connect-retry = 1
`;

const openbgpdConfig = `
AS ${asnOf("openbgpd")}
router-id 10.0.0.4
${routes("openbgpd")
  .map((route) => `network ${route}`)
  .join("\n")}
neighbor ${ours("openbgpd")} { remote-as ${LOCAL_AS} }
neighbor ${ours2} { remote-as ${LOCAL_AS} }
allow from any
allow to any
match to any prefix ${marked("openbgpd")} set community GRACEFUL_SHUTDOWN
`;

const path = (...asns: number[]) => `as-path [ ${[asnOf("exabgp"), ...asns].join(" ")} ]`;
const exabgpConfig = `
neighbor ${ours("exabgp")} {
  router-id 10.0.0.5; local-address ${theirs("exabgp")}; local-as ${asnOf("exabgp")}; peer-as ${LOCAL_AS};
  family { ipv4 unicast; }
  ${REPORT}
  static {
    route ${plain("exabgp")} next-hop self;
    route ${once("exabgp")} next-hop self ${path(NODE_AS)};
    route ${twice("exabgp")} next-hop self ${path(NODE_AS, NODE_AS)};
    route ${marked("exabgp")} next-hop self community [ 65535:0 ];
    route ${set.exabgp} next-hop self as-path [ ${asnOf("exabgp")} ( 64701 64702 ) ];
    route ${alien} next-hop self as-path [ 64999 ${asnOf("exabgp")} ];
    route ${privates} next-hop self ${path(65010, 4200000001)};
    route ${yours} next-hop self ${path(asnOf("bird"), asnOf("bird"))};
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

beforeAll(async () => {
  lab = new Lab("aspaths");
  nodes.us = lab.addNode("us");
  for (const name of names) {
    nodes[name] = lab.addNode(name);
    const ends = [`${ours(name)}/24`, `${theirs(name)}/24`];
    lab.link({ node: nodes.us, name, addresses: [ends[0]] }, { node: nodes[name], name: "eth0", addresses: [ends[1]] });
  }
  nodes.us.addAddress("openbgpd", `${ours2}/24`);
  nodes.openbgpd.addAddress("eth0", "10.14.0.2/24");
  [frr, bird, gobgp, openbgpd, exabgp] = await Promise.all([
    Frr.start(nodes.frr, frrConfig),
    Bird.start(nodes.bird, birdConfig),
    Gobgp.start(nodes.gobgp, gobgpConfig),
    Openbgpd.start(nodes.openbgpd, openbgpdConfig),
    Exabgp.start(nodes.exabgp, exabgpConfig),
  ]);
  const add = (route: string, ...args: string[]) =>
    gobgp.gobgp("global", "rib", "add", "-a", "ipv4", route, "origin", "igp", ...args);
  await add(plain("gobgp"));
  await add(once("gobgp"), "aspath", `${NODE_AS}`);
  await add(twice("gobgp"), "aspath", `${NODE_AS},${NODE_AS}`);
  await add(marked("gobgp"), "community", "65535:0");
  await add(set.gobgp, "aspath", "64700,{64701,64702}");
  underlay = await Underlay.start(nodes.us, yaml());
  for (const name of [...names, "openbgpd2"]) await underlay.waitEstablished(name);
});

afterAll(async () => {
  await underlay?.stop();
  await Promise.all([frr, bird, gobgp, openbgpd, exabgp].map((daemon) => daemon?.close()));
  await lab?.close();
});

const receivedRoute = async (peer: string, prefix: string): Promise<RouteView> => {
  const find = async () => (await underlay.received(peer)).find((route) => route.prefix === prefix);
  return (await waitFor(find, `${prefix} of ${peer}`)) as RouteView;
};

/** The AS path with which a daemon has a route of ours; empty when it has not got it. */
const pathAt: Record<Other, (prefix: string) => Promise<string>> = {
  async frr(prefix) {
    const { paths = [] } = await frr.json<{ paths?: { aspath: { string: string } }[] }>(
      `show bgp ipv4 unicast ${prefix}`,
    );
    return paths[0]?.aspath.string ?? "";
  },
  async bird(prefix) {
    return /BGP\.as_path: (.*)/.exec(await bird.birdc(`show route ${prefix} all`))?.[1].trim() ?? "";
  },
  async gobgp(prefix) {
    const rib = await gobgp.json<Record<string, { attrs: { type: number; as_paths?: { asns: number[] }[] }[] }[]>>(
      "global",
      "rib",
      prefix,
    );
    const attribute = Object.values(rib)[0]?.[0].attrs.find(({ type }) => type === 2);
    return attribute?.as_paths?.flatMap(({ asns }) => asns).join(" ") ?? "";
  },
  async openbgpd(prefix) {
    const { rib = [] } = await openbgpd.json<{ rib?: { aspath: string }[] }>("show", "rib", prefix);
    return rib[0]?.aspath ?? "";
  },
  async exabgp(prefix) {
    const update = exabgp
      .updates()
      .findLast(({ announce = {} }) =>
        Object.values(announce).some((hops) =>
          Object.values(hops).some((list) => list.some(({ nlri }) => nlri === prefix)),
        ),
      );
    return (update?.attribute?.["as-path"] as number[] | undefined)?.join(" ") ?? "";
  },
};
const waitPath = (name: Other, prefix: string, expected: string) =>
  waitFor(
    async () => (await pathAt[name](prefix).catch(() => "")) === expected,
    `${name}: ${prefix} with ${expected}`,
    {
      timeout: 20_000,
    },
  ).catch(async (error) => {
    throw new Error(`${error.message}; it has: ${await pathAt[name](prefix).catch(String)}`);
  });

describe("another AS number of ours", () => {
  it.each(names)("%s: in the OPEN, and in what is sent", async (name) => {
    proves(name, "local-as");
    await waitPath(name, BLOCK, replaces.includes(name) ? `${LOCAL_AS}` : `${LOCAL_AS} ${NODE_AS}`);
  });

  it("stands in front of what is received, unless it is not to", async () => {
    await waitPath("bird", plain("frr"), `${LOCAL_AS} ${LOCAL_AS} ${asnOf("frr")}`);
    await waitPath("frr", plain("bird"), `${LOCAL_AS} ${NODE_AS} ${asnOf("bird")}`);
    await waitPath("frr", plain("gobgp"), `${LOCAL_AS} ${NODE_AS} ${LOCAL_AS} ${asnOf("gobgp")}`);
  });
});

describe("our own AS in received paths", () => {
  it.each(names.filter((name) => name !== "openbgpd"))("%s: once may be, twice may not", async (name) => {
    proves(name, "allow-as-in");
    expect((await receivedRoute(name, plain(name))).rejected).toBeNull();
    expect(await receivedRoute(name, once(name))).toMatchObject({ rejected: null, best: true });
    expect(await receivedRoute(name, twice(name))).toMatchObject({ rejected: "AS loop", best: false });
  });
});

describe("our own AS in what OpenBGPD sends back", () => {
  it("is a loop, or not, as of the last reload", async () => {
    proves("openbgpd", "allow-as-in");
    const found = async (expected: object) =>
      waitFor(async () => {
        expect(await receivedRoute("openbgpd2", BLOCK)).toMatchObject(expected);
        return true;
      }, JSON.stringify(expected));
    await found({ asPath: `${LOCAL_AS} ${asnOf("openbgpd")} ${LOCAL_AS}`, rejected: null });
    underlay.configure(yaml({}, 0));
    await underlay.ctl("reload");
    await found({ rejected: "AS loop" });
    underlay.configure(yaml());
    await underlay.ctl("reload");
    await found({ rejected: null });
    expect((await underlay.peer("openbgpd2")).establishedCount).toBe(1);
  });
});

describe("paths that are refused", () => {
  it.each(["gobgp", "exabgp"] as const)("%s: an AS_SET", async (name) => {
    proves(name, "as-sets");
    const route = await receivedRoute(name, set[name]);
    expect(route.asPath).toMatch(/\{6470[12],6470[12]\}$/);
    expect(route).toMatchObject({ rejected: "AS_SET in the path", best: false });
  });

  it("a first AS that is not the neighbour's", async () => {
    expect(await receivedRoute("exabgp", alien)).toMatchObject({
      asPath: `64999 ${asnOf("exabgp")}`,
      rejected: "path does not begin with the neighbour's AS",
    });
    expect((await underlay.peer("exabgp")).lastError).toMatch(/routes not used: (the AS path|AS_SET)/);
  });
});

describe("paths that are sent in another form", () => {
  it("asOverride: BIRD takes a route with its own AS in the path", async () => {
    await waitPath("bird", yours, `${LOCAL_AS} ${LOCAL_AS} ${asnOf("exabgp")} ${LOCAL_AS} ${LOCAL_AS}`);
    const atFrr = `${LOCAL_AS} ${NODE_AS} ${LOCAL_AS} ${asnOf("exabgp")} ${asnOf("bird")} ${asnOf("bird")}`;
    await waitPath("frr", yours, atFrr);
  });

  it("removePrivateAs: OpenBGPD sees none, GoBGP ours in their place, FRR all", async () => {
    await waitPath("openbgpd", privates, `${LOCAL_AS} ${LOCAL_AS} ${asnOf("exabgp")}`);
    const received = `${LOCAL_AS} ${NODE_AS} ${LOCAL_AS} ${asnOf("exabgp")}`;
    await waitPath("gobgp", privates, `${received} ${NODE_AS} ${NODE_AS}`);
    await waitPath("frr", privates, `${received} 65010 4200000001`);
  });
});

/** Words by which each shows the community on our block. */
const marks: Record<Other, () => Promise<string>> = {
  frr: () => frr.vtysh(`show bgp ipv4 unicast ${BLOCK}`),
  bird: () => bird.birdc(`show route ${BLOCK} all`),
  gobgp: () => gobgp.gobgp("global", "rib", BLOCK),
  openbgpd: () => openbgpd.bgpctl("show", "rib", "detail", BLOCK),
  exabgp: async () =>
    JSON.stringify(exabgp.updates().findLast(({ announce }) => JSON.stringify(announce)?.includes(BLOCK))),
};
const shown = /graceful-shutdown|planned-shut|65535:0|\(65535,0\)|GRACEFUL_SHUTDOWN|\[65535,0\]/i;

describe("graceful shutdown", () => {
  it.each(names)("%s: its route is the last choice", async (name) => {
    expect(await receivedRoute(name, marked(name))).toMatchObject({
      rejected: null,
      localPref: 0,
      communities: expect.arrayContaining(["graceful-shutdown"]),
    });
  });

  it("of all sessions, by a reload: everybody is told, FRR takes it as the last choice, and back", async () => {
    const before = (await underlay.peer("frr")).establishedCount;
    underlay.configure(yaml(Object.fromEntries(names.map((name) => [name, "gracefulShutdown: true"]))));
    await underlay.ctl("reload");
    for (const name of names) {
      proves(name, "graceful-shutdown");
      await waitFor(async () => shown.test(await marks[name]()), `the community at ${name}`, { timeout: 20_000 }).catch(
        async (error) => {
          throw new Error(`${error.message}; ${await marks[name]()}`);
        },
      );
    }
    expect(await marks.frr()).toContain("localpref 0");
    expect(await receivedRoute("bird", plain("bird"))).toMatchObject({ localPref: 0 });
    underlay.configure(yaml());
    await underlay.ctl("reload");
    for (const name of names)
      await waitFor(async () => !shown.test(await marks[name]()), `the community gone at ${name}`, { timeout: 20_000 });
    expect(await receivedRoute("bird", plain("bird"))).toMatchObject({ localPref: null });
    expect((await underlay.peer("frr")).establishedCount).toBe(before);
  });
});
