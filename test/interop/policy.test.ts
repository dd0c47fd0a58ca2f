// Routing policy against FRR and BIRD: what they announce is matched by communities of the three kinds, AS path, MED
// and next hop, and what they hear has what our policies set. Then policies change under the running sessions, and each
// hears exactly the difference; and a neighbour without a policy gets and gives nothing (RFC 8212).
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { PolicyTrace } from "../../bgp/policy/trace.ts";
import type { RouteView } from "../../bgp/views.ts";
import type { PlanView } from "../../daemon/reload.ts";
import { Bird } from "./support/bird.ts";
import { Capture } from "./support/capture.ts";
import { Frr } from "./support/frr.ts";
import { Lab, type Node } from "./support/namespace.ts";
import { captured, proves } from "./support/proofs.ts";
import { Underlay } from "./support/underlay.ts";
import { waitFor } from "./support/wait.ts";

const ASN = 64510;
const BLOCK = "10.244.1.0/26";
const OTHER = "10.244.2.0/26";
const others = { frr: 1, bird: 2 } as const;
type Other = keyof typeof others;
const names = Object.keys(others) as Other[];
const asnOf = (name: Other) => 64496 + others[name];
const ours = (name: Other) => `10.${others[name]}.0.1`;
const theirs = (name: Other) => `10.${others[name]}.0.2`;
/** A second session with each, for which we have no policy. */
const quiet = (name: Other, end: 1 | 2) => `10.${others[name] + 10}.0.${end}`;
const quiet6 = (name: Other, end: 1 | 2) => `fd00:${others[name]}::${end}`;

/** What each announces: 203.0.113.<16 n>/28 of FRR, 192.0.2.<16 n>/28 of BIRD. */
const kinds = ["standard", "large", "extended", "path", "hop", "plain", "bogon"] as const;
type Kind = (typeof kinds)[number];
const routeOf = (name: Other, kind: Kind) =>
  `${name === "frr" ? "203.0.113" : "192.0.2"}.${kinds.indexOf(kind) * 16}/28`;

const policies = `
prefixSets: { bogons: [${names.map((name) => routeOf(name, "bogon")).join(", ")}], odd: [10.1.0.9/32, 10.2.0.9/32] }
communitySets: { tagged: ["64496-64511:100-199"] }
extendedCommunitySets: { storage: ["rt:*:7"] }
largeCommunitySets: { fabric: ["*:1:2"] }
asPathSets: { detour: "_64505 64506$" }
policies:
  base: [{ match: { prefix: bogons }, then: reject }]
  in:
    - { match: { community: tagged, not: { community: blackhole } }, set: { localPref: 200 }, then: accept }
    - { match: { largeCommunity: fabric }, set: { weight: 7, localPref: { add: 1 } }, then: accept }
    - { match: { extendedCommunity: storage }, set: { table: storage }, then: accept }
    - { match: { asPath: detour, asPathLength: { ge: 3, le: 3 }, originAs: 64506, med: { ge: 50 } }, set: { med: { add: 5 }, removeAs: 64505 }, then: accept }
    - { match: { nextHop: odd }, set: { nextHop: peer-address }, then: accept }
    - { match: { neighborAs: [${names.map(asnOf)}], med: none }, then: accept }
  in2:
    - { match: { community: tagged }, then: reject }
    - { apply: in }
  out:
    - match: { community: { all: [64510:1] } }
      set:
        med: 70
        prepend: 2
        community: { remove: "64510:1", add: [64510:42] }
        largeCommunity: { add: ["64510:4:2"] }
        extendedCommunity: { add: ["rt:64510:42", "ro:10.0.0.11:42"] }
      then: accept
    - { match: { peer: local }, then: accept }
  last-resort: [{ set: { med: 300, community: { add: "64510:99" } }, then: accept }]
  out2:
    - { match: { prefix: ${OTHER} }, set: { med: 9, nextHop: self }, then: accept }
    - { apply: out }
`;

const yaml = (imports = "[base, in]", exports = "out", quietKeys = "") => `
node: { name: node1, asn: ${ASN}, routerId: 10.0.0.11 }
tables: { fabric: { id: 7100 }, storage: { id: 7200 } }
pools:
  default: { blocks: [${BLOCK}], communities: ["64510:1", no-export, "64510:1:1"], table: fabric }
  other: { blocks: [${OTHER}], table: fabric }
peers:
${names
  .map(
    (
      name,
    ) => `  ${name}: { address: ${theirs(name)}, asn: ${asnOf(name)}, import: ${imports}, export: ${exports}, table: fabric, connectRetry: 1s, communities: { add: ["64510:9"], remove: ["64510:1:1"] } }
  ${name}-quiet: { address: ${quiet(name, 2)}, asn: ${asnOf(name)}, table: fabric, connectRetry: 1s, ${quietKeys} }`,
  )
  .join("\n")}
${policies}`;

const frrRoute = (kind: Kind) => routeOf("frr", kind);
const frrConfig = `
${kinds.map((kind) => `ip prefix-list ${kind} seq 5 permit ${frrRoute(kind)}`).join("\n")}
route-map out permit 10
 match ip address prefix-list standard
 set community 64497:150
route-map out permit 20
 match ip address prefix-list large
 set large-community 64497:1:2
route-map out permit 30
 match ip address prefix-list extended
 set extcommunity rt 64497:7
route-map out permit 40
 match ip address prefix-list path
 set as-path prepend 64505 64506
 set metric 50
route-map out permit 50
 match ip address prefix-list hop
 set ip next-hop 10.1.0.9
route-map out permit 60
route-map default permit 10
 set community 64497:150
router bgp ${asnOf("frr")}
 bgp router-id 10.0.0.1
 no bgp ebgp-requires-policy
 no bgp network import-check
 neighbor ${ours("frr")} remote-as ${ASN}
 neighbor ${ours("frr")} timers connect 1
 neighbor ${quiet("frr", 1)} remote-as ${ASN}
 neighbor ${quiet("frr", 1)} timers connect 1
 address-family ipv4 unicast
${kinds.map((kind) => `  network ${frrRoute(kind)}`).join("\n")}
  neighbor ${ours("frr")} route-map out out
 exit-address-family
 address-family ipv6 unicast
  neighbor ${quiet("frr", 1)} activate
 exit-address-family
`;

const birdRoute = (kind: Kind) => routeOf("bird", kind);
const birdConfig = `
router id 10.0.0.2;
protocol device {}
protocol direct { ipv4; }
protocol static s4 { ipv4; ${kinds.map((kind) => `route ${birdRoute(kind)} blackhole;`).join(" ")} }
filter shaped {
  if source != RTS_STATIC then reject;
  if net = ${birdRoute("standard")} then bgp_community.add((64498, 150));
  if net = ${birdRoute("large")} then bgp_large_community.add((64498, 1, 2));
  if net = ${birdRoute("extended")} then bgp_ext_community.add((rt, 64498, 7));
  if net = ${birdRoute("path")} then { bgp_path.prepend(64506); bgp_path.prepend(64505); bgp_med = 50; }
  if net = ${birdRoute("hop")} then bgp_next_hop = 10.2.0.9;
  accept;
}
protocol bgp node {
  local as ${asnOf("bird")}; neighbor ${ours("bird")} as ${ASN};
  connect retry time 1; connect delay time 1; error wait time 1, 5;
  ipv4 { import all; export filter shaped; };
}
protocol bgp quiet {
  local as ${asnOf("bird")}; neighbor ${quiet("bird", 1)} as ${ASN};
  connect retry time 1; connect delay time 1; error wait time 1, 5;
  ipv4 { import all; export where source = RTS_STATIC; };
  ipv6 { import all; export none; };
}
`;

let lab: Lab;
let underlay: Underlay;
let frr: Frr;
let bird: Bird;
let capture: Capture;
const nodes = {} as Record<Other | "us", Node>;

beforeAll(async () => {
  lab = new Lab("policy");
  nodes.us = lab.addNode("us");
  for (const name of names) {
    nodes[name] = lab.addNode(name);
    const link = (device: string, us: readonly string[], them: readonly string[]) =>
      lab.link({ node: nodes.us, name: device, addresses: us }, { node: nodes[name], name: device, addresses: them });
    link(name, [`${ours(name)}/24`], [`${theirs(name)}/24`]);
    const both = (end: 1 | 2) => [`${quiet(name, end)}/24`, `${quiet6(name, end)}/64`];
    link(`${name}-quiet`, both(1), both(2));
  }
  capture = new Capture(nodes.us, `${lab.directory}/policy.pcapng`);
  [frr, bird] = await Promise.all([
    Frr.start(nodes.frr, frrConfig, { daemons: ["zebra", "bgpd"] }),
    Bird.start(nodes.bird, birdConfig),
  ]);
  underlay = await Underlay.start(nodes.us, yaml());
  for (const name of names)
    await Promise.all([underlay.waitEstablished(name), underlay.waitEstablished(`${name}-quiet`)]);
});

afterAll(async () => {
  await underlay?.stop();
  await Promise.all([frr?.close(), bird?.close()]);
  await lab?.close();
});

/** As waitFor, for what is there or not. */
const wait = <T>(condition: () => Promise<T | null | undefined | false>, what: string): Promise<T> =>
  waitFor(condition, what) as Promise<T>;

const received = (name: Other, kind: Kind): Promise<RouteView> =>
  wait(
    async () => (await underlay.received(name)).find((route) => route.prefix === routeOf(name, kind)),
    `${routeOf(name, kind)} from ${name}`,
  );

/** What a neighbour holds of us for a prefix, in one form for both. */
interface Heard {
  readonly path: string;
  readonly med: number;
  readonly nextHop: string;
  readonly communities: readonly string[];
}

interface FrrPath {
  readonly metric?: number;
  readonly aspath: { readonly string: string };
  readonly community?: { readonly list: readonly string[] };
  readonly largeCommunity?: { readonly list: readonly string[] };
  readonly extendedCommunity?: { readonly string: string };
  readonly nexthops: readonly { readonly ip: string }[];
}

const heard: Record<Other, (prefix: string) => Promise<Heard | null>> = {
  async frr(prefix) {
    const { paths = [] } = await frr.json<{ paths?: FrrPath[] }>(`show bgp ipv4 unicast ${prefix}`);
    const path = paths.find(({ nexthops }) => nexthops[0].ip.startsWith("10.1."));
    if (!path) return null;
    const extended = path.extendedCommunity?.string.toLowerCase().replace("soo:", "ro:").split(" ") ?? [];
    const lists = [path.community?.list ?? [], path.largeCommunity?.list ?? [], extended];
    return {
      path: path.aspath.string,
      med: path.metric ?? 0,
      nextHop: path.nexthops[0].ip,
      communities: lists.flat().map((text) => (text === "noExport" ? "no-export" : text)),
    };
  },
  async bird(prefix) {
    const text = await bird.birdc(`show route all ${prefix} protocol node`).catch(() => "");
    const line = (name: string) => new RegExp(`BGP\\.${name}: (.*)`).exec(text)?.[1].trim() ?? "";
    if (!text.includes("BGP.as_path")) return null;
    const tuples = (name: string) =>
      [...line(name).matchAll(/\(([^)]*)\)/g)].map(([, inner]) => inner.split(/, ?/).join(":"));
    const lists = [tuples("community"), tuples("large_community"), tuples("ext_community")].flat();
    return {
      path: line("as_path"),
      med: Number(line("med")),
      nextHop: line("next_hop"),
      communities: lists.map((text2) => (text2 === "65535:65281" ? "no-export" : text2)),
    };
  },
};

describe.each(names)("with %s", (name) => {
  it("import: every kind of condition and change", async () => {
    proves(name, "policy", "communities", "extended-communities", "large-communities");
    const at = others[name];
    expect(await received(name, "standard")).toMatchObject({ localPref: 200, weight: 0, table: "fabric", best: true });
    expect(await received(name, "large")).toMatchObject({ localPref: 101, weight: 7, best: true });
    expect(await received(name, "path")).toMatchObject({ asPath: `${asnOf(name)} 64506`, med: 55, best: true });
    expect(await received(name, "hop")).toMatchObject({ nextHops: [`10.${at}.0.2`], best: true });
    expect(await received(name, "bogon")).toMatchObject({ rejected: "import policy", best: false });
    const storage = await underlay.routes("--table", "storage", "--best");
    expect(storage.map(({ prefix }) => prefix)).toContain(routeOf(name, "extended"));
    const inKernel = async () =>
      (await underlay.kernel(4, "7200")).find(({ dst }) => dst === routeOf(name, "extended"));
    expect(await wait(inKernel, `${routeOf(name, "extended")} in the kernel's table 7200`)).toMatchObject({
      gateways: [theirs(name)],
    });
    const fabric = await underlay.routes("--table", "fabric", "--best");
    expect(fabric.map(({ prefix }) => prefix)).not.toContain(routeOf(name, "extended"));
    // FRR tells a MED of 0 for its own networks, BIRD none.
    expect((await received(name, "plain")).rejected).toBe(name === "frr" ? "import policy" : null);
  });

  it("export: communities of the three kinds, prepend, MED, next hop; those of pool and peer", async () => {
    proves(name, "policy", "communities", "extended-communities", "large-communities");
    const route = await wait(() => heard[name](BLOCK), `${BLOCK} at ${name}`);
    expect(route).toMatchObject({ path: `${ASN} ${ASN} ${ASN}`, med: 70, nextHop: ours(name) });
    expect([...route.communities].sort()).toEqual(
      ["64510:42", "64510:4:2", "64510:9", "no-export", "ro:10.0.0.11:42", "rt:64510:42"].sort(),
    );
    const other = await wait(() => heard[name](OTHER), `${OTHER} at ${name}`);
    expect(other).toEqual({ path: String(ASN), med: 0, nextHop: ours(name), communities: ["64510:9"] });
  });

  it("without a policy nothing comes in and nothing goes out (RFC 8212)", async () => {
    proves(name, "default-deny");
    const peer = await wait(async () => {
      const view = await underlay.peer(`${name}-quiet`);
      return view.received >= kinds.length && view;
    }, `${name} to have announced all`);
    expect([peer.accepted, peer.advertised, peer.import, peer.export]).toEqual([0, 0, "none", "none"]);
    if (name === "frr") {
      const { routes } = await frr.json<{ routes: object }>(
        `show bgp ipv4 unicast neighbors ${quiet("frr", 1)} routes`,
      );
      expect(routes).toEqual({});
    } else {
      expect(await bird.protocol("quiet")).toMatch(/Routes:\s+0 imported/);
    }
    expect(underlay.log).toContain(`${name}-quiet`);
    expect(underlay.log).toContain("RFC 8212");
  });

  it("policy test explains what happened to a route that came", async () => {
    const test = async (kind: Kind) => {
      const args = ["policy", "test", "--import", name, routeOf(name, kind), "--received", name];
      return (await underlay.ctl<PolicyTrace[]>(...args))[0];
    };
    const accepted = await test("standard");
    expect(accepted).toMatchObject({ verdict: "accept", decidedBy: { policy: "in", statement: 1 } });
    expect(accepted.after).toMatchObject({ localPref: "200", community: `${asnOf(name)}:150` });
    expect(await test("bogon")).toMatchObject({ verdict: "reject", decidedBy: { policy: "base", statement: 1 } });
    expect((await test("extended")).after?.table).toBe("storage");
  });
});

it("policies change under the sessions: exactly the difference is heard, and nobody is asked to repeat itself", async () => {
  proves(["frr", "bird"], "policy-change", "policy");
  interface Stats {
    readonly connectionsEstablished: number;
    readonly messageStats: { readonly updatesRecv: number; readonly routeRefreshRecv: number };
  }
  const stats = async () => (await frr.neighbor(ours("frr"))) as unknown as Stats;
  const since = async () => /Session:[\s\S]*/.exec(await bird.protocol("node"))?.[0] ?? "";
  const before = await stats();
  const birdUp = (await bird.birdc("show protocols node")).trim();
  expect(await since()).not.toBe("");

  // The same file: no change at all.
  underlay.configure(yaml());
  expect(await underlay.ctl<PlanView>("reload")).toMatchObject({ changes: [], impact: null });

  underlay.configure(yaml("[base, in2]", "out2"));
  expect(await underlay.ctl<PlanView>("reload")).toMatchObject({ impact: "live" });
  for (const name of names) {
    await waitFor(async () => (await heard[name](OTHER))?.med === 9, `the new MED at ${name}`);
    expect(await heard[name](BLOCK)).toMatchObject({ path: `${ASN} ${ASN} ${ASN}`, med: 70 });
    await waitFor(async () => (await received(name, "standard")).rejected === "import policy", "the new import policy");
    expect(await received(name, "large")).toMatchObject({ weight: 7, best: true });
    expect(await received(name, "path")).toMatchObject({ med: 55, best: true });
  }
  const after = await stats();
  expect(after.connectionsEstablished).toBe(before.connectionsEstablished);
  expect(after.messageStats.routeRefreshRecv).toBe(before.messageStats.routeRefreshRecv);
  // The one route that is different, in one UPDATE.
  expect(after.messageStats.updatesRecv).toBe(before.messageStats.updatesRecv + 1);
  expect((await bird.birdc("show protocols node")).trim()).toBe(birdUp);

  underlay.configure(yaml("[base, in]", "none"));
  await underlay.ctl("reload");
  for (const name of names) {
    await waitFor(async () => (await heard[name](BLOCK)) === null, `${name} to have lost the block`);
    await waitFor(async () => (await received(name, "standard")).localPref === 200, "the old import policy");
  }
  underlay.configure(yaml());
  await underlay.ctl("reload");
  for (const name of names) {
    const route = await wait(() => heard[name](BLOCK), `${BLOCK} at ${name} again`);
    expect(route.communities).toContain("64510:9");
  }
  expect((await stats()).connectionsEstablished).toBe(before.connectionsEstablished);
});

/** The default routes that a neighbour has of us over the quiet session, as `family next hop path MED communities`. */
const defaults: Record<Other, () => Promise<string[]>> = {
  async frr() {
    const found: string[] = [];
    for (const [family, prefix] of [
      ["ipv4", "0.0.0.0/0"],
      ["ipv6", "::/0"],
    ]) {
      const { paths = [] } = await frr.json<{ paths?: FrrPath[] }>(`show bgp ${family} unicast ${prefix}`);
      for (const { nexthops, aspath, metric, community } of paths)
        found.push([family, nexthops[0].ip, aspath.string, metric ?? 0, community?.list.join() ?? ""].join(" "));
    }
    return found;
  },
  async bird() {
    const found: string[] = [];
    for (const [family, prefix] of [
      ["ipv4", "0.0.0.0/0"],
      ["ipv6", "::/0"],
    ]) {
      const text = await bird.birdc(`show route all ${prefix} protocol quiet`).catch(() => "");
      const value = (name: string) => new RegExp(`BGP\\.${name}: (\\S*)`).exec(text)?.[1] ?? "";
      if (text.includes("BGP.as_path"))
        found.push(
          [
            family,
            value("next_hop"),
            value("as_path"),
            value("med") || 0,
            value("community").replace(/[()]/g, "").replace(",", ":"),
          ].join(" "),
        );
    }
    return found;
  },
};

it("a default route for one neighbour: past its export policy, both families; or only while there is one of others", async () => {
  proves(["frr", "bird"], "policy", "policy-change");
  const originate = async (keys: string) => {
    underlay.configure(yaml(undefined, undefined, `import: none, export: none, defaultOriginate: ${keys}`));
    expect(await underlay.ctl<PlanView>("reload")).toMatchObject({ impact: "live" });
  };
  const told = (name: Other, routes: readonly string[]) =>
    waitFor(async () => String(await defaults[name]()) === String(routes), `${name} to have ${routes}`).catch(
      async (error) => {
        throw new Error(`${error.message}; it has ${await defaults[name]()}`);
      },
    );
  await originate("{ policy: last-resort }");
  for (const name of names)
    await told(name, [`ipv4 ${quiet(name, 1)} ${ASN} 300 64510:99`, `ipv6 ${quiet6(name, 1)} ${ASN} 300 64510:99`]);
  expect((await underlay.peer("bird-quiet")).defaultOriginate).toEqual({ ipv4: true, ipv6: true });

  await originate("{ while: default-route, families: [ipv4] }");
  for (const name of names) await told(name, []);
  // FRR does the same towards us.
  const frrOriginates = (no: string) =>
    frr.configure(
      `router bgp ${asnOf("frr")}\naddress-family ipv4 unicast\n${no} neighbor ${ours("frr")} default-originate route-map default`,
    );
  await frrOriginates("");
  for (const name of names) await told(name, [`ipv4 ${quiet(name, 1)} ${ASN} 0 `]);
  await frrOriginates("no");
  for (const name of names) await told(name, []);
  expect((await underlay.peer("frr-quiet")).establishedCount).toBe(1);
});

it("what we sent is well-formed to another decoder", async () => {
  const { messages, faults } = await capture.report();
  expect(faults).toEqual([]);
  expect(messages).toBeGreaterThan(20);
  captured(messages);
});
