// Several paths per prefix (RFC 7911) with all five daemons on one LAN, each a route server for two exits: what one neighbour
// sends is used at once in the kernel; what others have sent us is passed on, each path by itself, and taken back so.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
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
const US6 = "2001:db8::1";
const names = Object.keys(daemons) as Daemon[];
/** 10.0.0.11, AS 65001, 198.51.101.0/24 and 2001:db8:f1::/48 are the first one's, and so on. */
const numberOf = (name: Daemon) => names.indexOf(name) + 1;
const addressOf = (name: Daemon) => `10.0.0.1${numberOf(name)}`;
const asnOf = (name: Daemon) => 65000 + numberOf(name);
const prefix4 = (name: Daemon) => `198.51.10${numberOf(name)}.0/24`;
const prefix6 = (name: Daemon) => `2001:db8:f${numberOf(name)}::/48`;
/** The exits that those with a RIB hear of: a BIRD each. */
const exits = [
  { address: "10.0.0.21", address6: "2001:db8::21", asn: 65021 },
  { address: "10.0.0.22", address6: "2001:db8::22", asn: 65022 },
];
const gateways4 = exits.map(({ address }) => address);
const gateways6 = exits.map(({ address6 }) => address6);

const yaml = `
node: { name: node1, asn: ${ASN}, routerId: ${US} }
pools: { default: { blocks: [10.244.1.0/26] } }
bgp: { maxPaths: 8 }
peers:
${names
  .map((name) => {
    const mode = name === "bird" ? "{ send: all, limit: 8 }" : "both";
    // GoBGP's route server leaves its own AS out of paths.
    const rules = `import: all, export: all, enforceFirstAs: ${name !== "gobgp"}`;
    const families = name === "openbgpd" ? "[ipv4]" : "[ipv4, ipv6]";
    return `  ${name}: { families: ${families}, address: ${addressOf(name)}, asn: ${asnOf(name)}, connectRetry: 1s, addPath: ${mode}, ${rules} }`;
  })
  .join("\n")}
  openbgpd6: { address: "2001:db8::14", asn: ${asnOf("openbgpd")}, import: all, export: all, connectRetry: 1s, addPath: both, families: [ipv6] }
`;

const frrConfig = `
router bgp ${asnOf("frr")}
 bgp router-id ${addressOf("frr")}
 no bgp ebgp-requires-policy
 no bgp network import-check
 bgp bestpath as-path multipath-relax
 neighbor ${US} remote-as ${ASN}
 neighbor ${US} timers connect 1
${exits.map(({ address, asn }) => ` neighbor ${address} remote-as ${asn}\n neighbor ${address} passive`).join("\n")}
 address-family ipv4 unicast
  neighbor ${US} addpath-tx-all-paths
  neighbor ${US} attribute-unchanged next-hop
 exit-address-family
 address-family ipv6 unicast
  neighbor ${US} activate
  neighbor ${US} addpath-tx-all-paths
  neighbor ${US} attribute-unchanged next-hop
${exits.map(({ address }) => `  neighbor ${address} activate`).join("\n")}
 exit-address-family
`;

const birdConfig = `
router id ${addressOf("bird")};
protocol device {}
protocol direct { ipv4; ipv6; }
${[{ address: US, asn: ASN }, ...exits]
  .map(
    ({ address, asn }, index) => `protocol bgp ${index === 0 ? "node" : `exit${index}`} {
  local as ${asnOf("bird")}; neighbor ${address} as ${asn}; connect retry time 1; connect delay time 1; error wait time 1, 5;
  ${index === 0 ? "" : "passive;"}
  ipv4 { import all; export where source = RTS_BGP; next hop keep; ${index === 0 ? "add paths on;" : ""} };
  ipv6 { import all; export where source = RTS_BGP; next hop keep; ${index === 0 ? "add paths on;" : ""} };
}`,
  )
  .join("\n")}
`;

const gobgpConfig = `
[global.config]
  as = ${asnOf("gobgp")}
  router-id = "${addressOf("gobgp")}"
  port = 179
${[{ address: US, asn: ASN }, ...exits]
  .map(({ address, asn }, index) => {
    const families = ["ipv4-unicast", "ipv6-unicast"].map(
      (family) => `  [[neighbors.afi-safis]]
    [neighbors.afi-safis.config]
      afi-safi-name = "${family}"
    ${index === 0 ? "[neighbors.afi-safis.add-paths.config]\n      receive = true\n      send-max = 8" : ""}`,
    );
    return `[[neighbors]]
  [neighbors.config]
    neighbor-address = "${address}"
    peer-as = ${asn}
  [neighbors.timers.config]
    connect-retry = 1
  [neighbors.transport.config]
    passive-mode = ${index !== 0}
  [neighbors.route-server.config]
    route-server-client = true
${families.join("\n")}`;
  })
  .join("\n")}
`;

const openbgpdConfig = `
AS ${asnOf("openbgpd")}
router-id ${addressOf("openbgpd")}
${[US, US6]
  .map(
    (us) => `neighbor ${us} {
  remote-as ${ASN}
  announce IPv4 ${us === US ? "unicast" : "none"}
  announce IPv6 ${us === US6 ? "unicast" : "none"}
  announce add-path recv yes
  announce add-path send all
}
match to ${us} set nexthop no-modify`,
  )
  .join("\n")}
${exits
  .map(
    ({ address, asn }) =>
      `neighbor ${address} {\n  remote-as ${asn}\n  passive\n  announce IPv4 unicast\n  announce IPv6 unicast\n}`,
  )
  .join("\n")}
allow from any
allow to any
`;

const exabgpConfig = `
neighbor ${US} {
  router-id ${addressOf("exabgp")}; local-address ${addressOf("exabgp")}; local-as ${asnOf("exabgp")}; peer-as ${ASN};
  family { ipv4 unicast; ipv6 unicast; }
  capability { route-refresh; add-path send/receive; }
  ${REPORT}
}
`;

const exitConfig = ({ address, address6, asn }: (typeof exits)[number]) => `
router id ${address};
protocol device {}
protocol direct { ipv4; ipv6; }
${names
  .filter((name) => name !== "exabgp")
  .map(
    (name) => `ipv4 table ${name}4;
ipv6 table ${name}6;
protocol static { ipv4 { table ${name}4; }; route ${prefix4(name)} blackhole; }
protocol static { ipv6 { table ${name}6; }; route ${prefix6(name)} blackhole; }
protocol bgp to_${name} {
  local as ${asn}; neighbor ${addressOf(name)} as ${asnOf(name)};
  connect retry time 1; connect delay time 1; error wait time 1, 5;
  ipv4 { table ${name}4; import none; export where source = RTS_STATIC; };
  ipv6 { table ${name}6; import none; export filter { if source != RTS_STATIC then reject; bgp_next_hop = ${address6}; accept; }; };
}`,
  )
  .join("\n")}
`;

let lab: Lab;
let underlay: Underlay;
let exitNodes: Bird[];
let frr: Frr;
let bird: Bird;
let gobgp: Gobgp;
let openbgpd: Openbgpd;
let exabgp: Exabgp;

/** OpenBGPD has a session for each family, because it makes its own next hop of the other one. */
const peersOf = (name: Daemon) => (name === "openbgpd" ? ["openbgpd", "openbgpd6"] : [name]);

/** A switch with all of them at it. */
function lan(): Record<Daemon | "us" | "exit1" | "exit2", Node> {
  const hub = lab.addNode("hub");
  hub.ip("link", "add", "br0", "type", "bridge");
  hub.ip("link", "set", "br0", "up");
  const attach = (name: string, addresses: readonly string[]): Node => {
    const node = lab.addNode(name);
    lab.link({ node, name: "eth0", addresses }, { node: hub, name, addresses: [] });
    hub.ip("link", "set", name, "master", "br0");
    return node;
  };
  const hosts = names.map((name) => {
    const number = `1${numberOf(name)}`;
    return [name, attach(name, [`10.0.0.${number}/24`, `2001:db8::${number}/64`])];
  });
  const [exit1, exit2] = exits.map(({ address, address6 }, index) =>
    attach(`exit${index + 1}`, [`${address}/24`, `${address6}/64`]),
  );
  return {
    ...(Object.fromEntries(hosts) as Record<Daemon, Node>),
    us: attach("us", [`${US}/24`, "2001:db8::1/64"]),
    exit1,
    exit2,
  };
}

const announceByExabgp = (index: number, verb = "announce") => {
  const { address, address6, asn } = exits[index];
  const attributes = `path-information 0.0.0.${index} as-path [ ${asnOf("exabgp")} ${asn} ]`;
  exabgp.command(`${verb} route ${prefix4("exabgp")} next-hop ${address} ${attributes}`);
  exabgp.command(`${verb} route ${prefix6("exabgp")} next-hop ${address6} ${attributes}`);
};

beforeAll(async () => {
  lab = new Lab("addpath");
  const nodes = lan();
  [frr, bird, gobgp, openbgpd, exabgp, ...exitNodes] = await Promise.all([
    Frr.start(nodes.frr, frrConfig, { daemons: ["zebra", "bgpd"] }),
    Bird.start(nodes.bird, birdConfig),
    Gobgp.start(nodes.gobgp, gobgpConfig),
    Openbgpd.start(nodes.openbgpd, openbgpdConfig),
    Exabgp.start(nodes.exabgp, exabgpConfig),
    Bird.start(nodes.exit1, exitConfig(exits[0])),
    Bird.start(nodes.exit2, exitConfig(exits[1])),
  ]);
  underlay = await Underlay.start(nodes.us, yaml);
  await Promise.all(names.flatMap(peersOf).map((name) => underlay.waitEstablished(name, 60_000)));
  await exabgp.waitEstablished(60_000);
  for (const index of exits.keys()) announceByExabgp(index);
});

afterAll(async () => {
  await underlay?.stop();
  await Promise.all([frr, bird, gobgp, openbgpd, exabgp, ...(exitNodes ?? [])].map((daemon) => daemon?.close()));
  await lab.close();
});

const gateways = async (family: 4 | 6, prefix: string) =>
  (await underlay.kernel(family)).find(({ dst }) => dst === prefix)?.gateways ?? [];

/** AS paths that a daemon has of a prefix from us, sorted. */
const heard: Record<Daemon, (prefix: string) => Promise<string[]>> = {
  async frr(prefix) {
    const family = prefix.includes(":") ? "ipv6" : "ipv4";
    type Answer = { paths?: { aspath: { string: string }; peer: { peerId: string } }[] };
    const { paths = [] } = await frr.json<Answer>(`show bgp ${family} unicast ${prefix}`);
    return paths
      .filter(({ peer }) => peer.peerId === US)
      .map(({ aspath }) => aspath.string)
      .sort();
  },
  async bird(prefix) {
    const text = await bird.birdc(`show route protocol node all for ${prefix}`).catch(() => "");
    return [...text.matchAll(/BGP\.as_path: (.*)/g)].map(([, path]) => path.trim()).sort();
  },
  async gobgp(prefix) {
    const family = prefix.includes(":") ? "ipv6" : "ipv4";
    type Attribute = { type: number; as_paths?: { asns: number[] }[] };
    const answer = await gobgp
      .json<Record<string, { attrs: Attribute[] }[]>>("neighbor", US, "adj-in", "-a", family)
      .catch(() => ({}) as Record<string, { attrs: Attribute[] }[]>);
    const paths = Object.entries(answer ?? {}).flatMap(([key, list]) => (key === prefix ? list : []));
    return paths.map(({ attrs }) => (attrs.find(({ type }) => type === 2)?.as_paths?.[0]?.asns ?? []).join(" ")).sort();
  },
  async openbgpd(prefix) {
    type Answer = { rib?: { prefix: string; aspath: string }[] };
    const us = prefix.includes(":") ? US6 : US;
    const { rib = [] } = await openbgpd.json<Answer>("show", "rib", "in", "neighbor", us);
    return rib
      .filter((route) => route.prefix === prefix)
      .map(({ aspath }) => aspath)
      .sort();
  },
  async exabgp(prefix) {
    const paths = new Map<string, string>();
    type Nlri = { nlri: string; "path-information"?: string };
    for (const { attribute, announce = {}, withdraw = {} } of exabgp.updates()) {
      for (const list of Object.values(withdraw) as Nlri[][])
        for (const entry of list) if (entry.nlri === prefix) paths.delete(String(entry["path-information"]));
      for (const nextHops of Object.values(announce) as Record<string, Nlri[]>[])
        for (const entry of Object.values(nextHops).flat())
          if (entry.nlri === prefix)
            paths.set(String(entry["path-information"]), ((attribute?.["as-path"] ?? []) as number[]).join(" "));
    }
    return [...paths.values()].sort();
  },
};

/** AS paths of another's prefix as it is passed on. */
const passedOn = (from: Daemon, some = exits) =>
  some.map(({ asn }) => (from === "gobgp" ? `${ASN} ${asn}` : `${ASN} ${asnOf(from)} ${asn}`)).sort();

describe.each(names)("several paths from %s", (name) => {
  it("are in the kernel together, IPv4 and IPv6", async () => {
    proves(name, "add-path-receive");
    // Once FRR knows its interface it adds its own link-local address to the global one of an exit: both lead through
    // FRR then.
    const least6 = name === "frr" ? 1 : 2;
    const both = async () =>
      (await gateways(4, prefix4(name))).length === 2 && (await gateways(6, prefix6(name))).length >= least6;
    await waitFor(both, `both exits of ${name}`, { timeout: 60_000 }).catch(async (error) => {
      throw new Error(`${error.message}: ${JSON.stringify(await underlay.received(name), null, 1)}`);
    });
    expect(await gateways(4, prefix4(name))).toEqual(gateways4);
    if (name !== "frr") expect(await gateways(6, prefix6(name))).toEqual(gateways6);
    const all = (await Promise.all(peersOf(name).map((peer) => underlay.received(peer)))).flat();
    for (const prefix of [prefix4(name), prefix6(name)]) {
      const received = all.filter((route) => route.prefix === prefix);
      expect(new Set(received.map(({ pathId }) => pathId)).size).toBe(2);
      expect(received.every(({ multipath, pathId }) => multipath && pathId !== null)).toBe(true);
    }
    const { paths, prefixes, capabilities } = await underlay.peer(name);
    expect(paths.received.total).toBeGreaterThan(prefixes.received.total);
    expect(capabilities.join()).toContain("add-path");
  });
});

describe.each(names)("several paths to %s", (name) => {
  it("are those of all others, each by itself", async () => {
    proves(name, "add-path-send");
    for (const other of names.filter((candidate) => candidate !== name)) {
      for (const prefix of [prefix4(other), prefix6(other)]) {
        const whole = async () => (await heard[name](prefix)).length === 2;
        await waitFor(whole, `${prefix} twice in ${name}`, { timeout: 60_000 }).catch(async (error) => {
          throw new Error(`${error.message}: ${JSON.stringify(await heard[name](prefix))}`);
        });
        expect(await heard[name](prefix), prefix).toEqual(passedOn(other));
      }
    }
    const advertised = (await underlay.advertised(name)).filter(({ prefix }) => prefix === prefix4("frr"));
    expect(advertised.map(({ peer }) => peer)).toEqual(name === "frr" ? [] : ["frr", "frr"]);
    expect(new Set(advertised.map(({ pathId }) => pathId)).size).toBe(advertised.length);
  });
});

it("a path that goes takes only itself away, here and behind us", async () => {
  await exitNodes[1].birdc("disable to_frr");
  announceByExabgp(1, "withdraw");
  for (const name of ["frr", "exabgp"] as const) {
    await waitFor(async () => (await gateways(4, prefix4(name))).length === 1, `${name}'s second exit to leave`, {
      timeout: 60_000,
    });
    expect(await gateways(4, prefix4(name))).toEqual([gateways4[0]]);
    for (const other of names.filter((candidate) => candidate !== name)) {
      const one = async () => (await heard[other](prefix4(name))).length === 1;
      await waitFor(one, `one path of ${prefix4(name)} in ${other}`, { timeout: 30_000 });
      expect(await heard[other](prefix4(name)), other).toEqual(passedOn(name, exits.slice(0, 1)));
    }
  }
  await exitNodes[1].birdc("enable to_frr");
  await waitFor(async () => (await gateways(4, prefix4("frr"))).length === 2, "FRR's second exit to be back", {
    timeout: 60_000,
  });
});

it("a refresh that FRR asks for brings every path again", async () => {
  const before = (await underlay.peer("frr")).messages.updatesSent;
  await frr.vtysh(`clear bgp ipv4 unicast ${US} soft in`);
  await waitFor(async () => (await underlay.peer("frr")).messages.updatesSent > before, "UPDATEs for the refresh");
  await waitFor(async () => (await heard.frr(prefix4("bird"))).length === 2, "both paths in FRR");
});
