// What routes look like on both sides: one underlayd with a four-octet AS number between FRR and BIRD, over IPv4 and
// over IPv6 transport, each session carrying both families; an iBGP neighbour; an old one that knows neither four-octet
// AS numbers nor IPv6. Next hops are proved by pings through them.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Bird } from "./support/bird.ts";
import { Frr } from "./support/frr.ts";
import { Lab, type Node } from "./support/namespace.ts";
import { proves } from "./support/proofs.ts";
import { Underlay } from "./support/underlay.ts";
import { sleep, waitFor } from "./support/wait.ts";

const ASN = 4200000011;
const BLOCK4 = "10.244.1.0/26";
const BLOCK6 = "2001:db8:244:1::/122";
const POD4 = "10.244.1.1";
const POD6 = "2001:db8:244:1::1";

/** Link number: 10.<n>.0.1 - .2, 2001:db8:<n>::1 - ::2; each tor owns 198.51.100.<n> and 2001:db8:f00::<n>. */
const tors = { frr6: 1, frr4: 2, bird6: 3, bird4: 4, inner: 5, old: 6 } as const;
type Tor = keyof typeof tors;
const names = Object.keys(tors) as Tor[];
const own4 = (tor: Tor) => `198.51.100.${tors[tor]}/32`;
const own6 = (tor: Tor) => `2001:db8:f00::${tors[tor]}/128`;
const asnOf = (tor: Tor) => (tor === "inner" ? ASN : 65000 + tors[tor]);
/** IPv6 alone on the link: IPv4 routes need IPv6 next hops (RFC 8950). */
const ipv6Only = (tor: Tor) => tor === "frr6" || tor === "bird6";
const nextHop4 = (tor: Tor) => (ipv6Only(tor) ? `2001:db8:${tors[tor]}::2` : `10.${tors[tor]}.0.2`);

const yaml = `
node: { name: node1, asn: ${ASN}, routerId: 10.0.0.11 }
pools: { default: { blocks: [${BLOCK4}, "${BLOCK6}"] } }
peers:
  frr6: { address: "2001:db8:1::2", asn: 65001, families: [ipv4, ipv6], import: all, export: blocks }
  frr4: { address: 10.2.0.2, asn: 65002, families: [ipv4, ipv6], import: in, export: out }
  bird6: { address: "2001:db8:3::2", asn: 65003, families: [ipv4, ipv6], import: all, export: all }
  bird4: { address: 10.4.0.2, asn: 65004, families: [ipv4, ipv6], import: all, export: blocks, gracefulRestart: { time: 60s } }
  inner: { address: 10.5.0.2, asn: internal, families: [ipv4, ipv6], import: all, export: all }
  old: { address: 10.6.0.2, asn: 65006, families: [ipv4, ipv6], import: all, export: all }
policies:
  in:
    - match: { prefix: [203.0.113.0/24 ge 28 le 29], community: "65002:7" }
      set: { localPref: 250, community: { add: ["65101:1"] } }
      then: accept
    - match: { prefix: [203.0.113.0/24 le 32] }
      then: reject
    - then: accept
  out:
    - match: { peer: [local], family: ipv4 }
      set: { med: 77, prepend: [${ASN}, ${ASN}], community: { add: ["65101:42"] } }
      then: accept
    - match: { peer: [local] }
      then: accept
`;

const frrConfig = (tor: Tor, neighbor: string, more = "", moreIpv4 = "") => `
router bgp ${asnOf(tor)}
 bgp router-id 10.0.0.${tors[tor]}
 no bgp ebgp-requires-policy
 no bgp network import-check
 bgp graceful-restart
 bgp graceful-restart preserve-fw-state
 neighbor ${neighbor} remote-as ${ASN}
 neighbor ${neighbor} timers connect 1
 neighbor ${neighbor} capability extended-nexthop
${more}
 address-family ipv4 unicast
  neighbor ${neighbor} activate
  network ${own4(tor)}
${moreIpv4}
 exit-address-family
 address-family ipv6 unicast
  neighbor ${neighbor} activate
  network ${own6(tor)}
 exit-address-family
`;

const frr4Policy = `
route-map tag permit 10
 match ip address prefix-list tagged
 set community 65002:7
 set metric 50
route-map tag permit 20
ip prefix-list tagged seq 5 permit 203.0.113.0/24 le 32
`;

const birdConfig = (tor: Tor, neighbor: string, more = "", session = "", routes4 = "", exportFilter = "all") => `
router id 10.0.0.${tors[tor]};
protocol device {}
protocol direct { ipv4; ipv6; interface "lo"; }
protocol kernel k4 { ipv4 { import none; export where source = RTS_BGP; }; }
protocol kernel k6 { ipv6 { import none; export where source = RTS_BGP; }; }
protocol static s4 { ipv4; ${routes4} }
${more}
protocol bgp node {
  local as ${asnOf(tor)}; neighbor ${neighbor} ${tor === "old" ? "external" : `as ${ASN}`}; connect retry time 1; connect delay time 1; error wait time 1, 5;
  ${session}
  ipv4 { import all; export ${exportFilter}; extended next hop on; };
  ${tor === "old" ? "" : "ipv6 { import all; export all; };"}
}
`;

/** Routes whose next hop BIRD sets to something of no use, and one with our AS number in its path. */
const odd = {
  unconnected: "203.0.114.1/32",
  ourOther: "203.0.114.3/32",
  loop: "203.0.114.4/32",
};
const oddFilter = `
filter odd {
  if net = ${odd.unconnected} then bgp_next_hop = 10.99.0.1;
  if net = ${odd.ourOther} then bgp_next_hop = 10.2.0.1;
  if net = ${odd.loop} then bgp_path.prepend(${ASN});
  accept;
}
`;

let lab: Lab;
let underlay: Underlay;
const nodes = {} as Record<Tor | "us", Node>;
const frr = {} as Record<"frr6" | "frr4" | "inner", Frr>;
const bird = {} as Record<"bird6" | "bird4" | "old", Bird>;

beforeAll(async () => {
  lab = new Lab("routes");
  nodes.us = lab.addNode("us");
  for (const tor of names) {
    const n = tors[tor];
    nodes[tor] = lab.addNode(tor);
    const ends = [1, 2].map((end) => [...(ipv6Only(tor) ? [] : [`10.${n}.0.${end}/24`]), `2001:db8:${n}::${end}/64`]);
    lab.link({ node: nodes.us, name: tor, addresses: ends[0] }, { node: nodes[tor], name: "eth0", addresses: ends[1] });
    nodes[tor].addAddress("lo", own4(tor));
    nodes[tor].addAddress("lo", own6(tor));
  }
  nodes.us.addAddress("lo", `${POD4}/32`);
  nodes.us.addAddress("lo", `${POD6}/128`);
  const kernel = { daemons: ["zebra", "bgpd"] } as const;
  const routes4 = Object.values(odd)
    .map((route) => `route ${route} blackhole;`)
    .join(" ");
  [frr.frr6, frr.frr4, frr.inner, bird.bird6, bird.bird4, bird.old] = await Promise.all([
    Frr.start(nodes.frr6, frrConfig("frr6", "2001:db8:1::1"), kernel),
    Frr.start(
      nodes.frr4,
      frr4Policy +
        frrConfig(
          "frr4",
          "10.2.0.1",
          "",
          "  neighbor 10.2.0.1 route-map tag out\n  network 203.0.113.0/24\n  network 203.0.113.16/28\n  network 203.0.113.32/30",
        ),
      kernel,
    ),
    Frr.start(nodes.inner, frrConfig("inner", "10.5.0.1"), kernel),
    Bird.start(nodes.bird6, birdConfig("bird6", "2001:db8:3::1")),
    Bird.start(
      nodes.bird4,
      birdConfig(
        "bird4",
        "10.4.0.1",
        oddFilter,
        "graceful restart on; graceful restart time 60;",
        routes4,
        "filter odd",
      ),
    ),
    Bird.start(nodes.old, birdConfig("old", "10.6.0.1", "", "enable as4 no;")),
  ]);
  underlay = await Underlay.start(nodes.us, yaml);
  for (const tor of names) await underlay.waitEstablished(tor);
});

afterAll(async () => {
  await Promise.all([...Object.values(frr), ...Object.values(bird)].map((daemon) => daemon?.close()));
  await underlay?.stop();
  await lab?.close();
});

const ping = (source: string, target: string) =>
  waitFor(() => nodes.us.exec("ping", "-c1", "-W1", "-I", source, target), `ping ${source} -> ${target}`, {
    timeout: 10_000,
  });
const gatewaysOf = async (family: 4 | 6, prefix: string) => {
  const dst = prefix.replace(/\/(32|128)$/, "");
  const route = (await underlay.kernel(family)).find((candidate) => candidate.dst === dst || candidate.dst === prefix);
  return route?.gateways ?? [];
};
const routeOf = async (peer: Tor, prefix: string) =>
  (await underlay.received(peer)).find((route) => route.prefix === prefix);

interface FrrPath {
  readonly metric?: number;
  readonly locPrf?: number;
  readonly aspath: { readonly string: string };
  readonly community?: { readonly string: string };
  readonly nexthops: readonly { readonly ip: string; readonly scope?: string }[];
}
async function frrPath(tor: keyof typeof frr, family: "ipv4" | "ipv6", prefix: string): Promise<FrrPath> {
  const paths = await waitFor(
    async () => (await frr[tor].json<{ paths?: FrrPath[] }>(`show bgp ${family} unicast ${prefix}`)).paths,
    `${prefix} in ${tor}`,
    { timeout: 10_000 },
  );
  return (paths as FrrPath[])[0];
}

describe("next hops of both families on one session", () => {
  it.each(["frr6", "frr4", "bird6", "bird4", "inner"] as const)(
    "%s: in the kernel, and traffic passes",
    async (tor) => {
      proves(
        tor.startsWith("bird") ? "bird" : "frr",
        ...(ipv6Only(tor) ? (["extended-next-hop"] as const) : []),
        "ipv6",
      );
      await waitFor(async () => (await gatewaysOf(4, own4(tor))).length > 0, `${own4(tor)} in the kernel`);
      expect(await gatewaysOf(4, own4(tor))).toEqual([
        ipv6Only(tor) ? expect.stringMatching(/^(fe80|2001):/) : nextHop4(tor),
      ]);
      await waitFor(async () => (await gatewaysOf(6, own6(tor))).length === 1, `${own6(tor)} in the kernel`);
      await ping(POD4, own4(tor).split("/")[0]);
      await ping(POD6, own6(tor).split("/")[0]);
    },
  );

  it("announces itself as next hop, of the right family", async () => {
    const hops = async (tor: keyof typeof frr, family: "ipv4" | "ipv6", prefix: string) =>
      (await frrPath(tor, family, prefix)).nexthops.map(({ ip }) => ip);
    expect(await hops("frr4", "ipv4", BLOCK4)).toEqual(["10.2.0.1"]);
    expect(await hops("frr4", "ipv6", BLOCK6)).toContain("2001:db8:2::1");
    expect(await hops("frr6", "ipv4", BLOCK4)).toContain("2001:db8:1::1");
    expect(await hops("frr6", "ipv6", BLOCK6)).toContain("2001:db8:1::1");
    expect(await bird.bird4.birdc(`show route ${BLOCK6} all`)).toContain("BGP.next_hop: 2001:db8:4::1");
    expect(await bird.bird6.birdc(`show route ${BLOCK4} all`)).toContain("BGP.next_hop: 2001:db8:3::1");
  });
});

describe("next hops of no use", () => {
  it.each([
    [odd.unconnected, "unresolved next hop"],
    [odd.ourOther, "unresolved next hop"],
    [odd.loop, "AS loop"],
  ])("%s is not installed: %s", async (prefix, reason) => {
    const route = await waitFor(() => routeOf("bird4", prefix), `${prefix} from bird4`);
    expect(route).toMatchObject({ rejected: reason, best: false, installed: false });
    expect(await gatewaysOf(4, prefix)).toEqual([]);
  });
});

describe("policies", () => {
  it("matches and sets on the way in", async () => {
    proves("frr", "policy", "communities");
    const accepted = await waitFor(() => routeOf("frr4", "203.0.113.16/28"), "203.0.113.16/28");
    expect(accepted).toMatchObject({ rejected: null, localPref: 250, med: 50, communities: ["65002:7", "65101:1"] });
    for (const prefix of ["203.0.113.0/24", "203.0.113.32/30"])
      expect(await routeOf("frr4", prefix)).toMatchObject({ rejected: "import policy", best: false });
  });

  it("sets MED, communities and path on the way out", async () => {
    proves("frr", "policy", "communities");
    const path = await frrPath("frr4", "ipv4", BLOCK4);
    expect(path).toMatchObject({ metric: 77, community: { string: "65101:42" } });
    expect(path.aspath.string).toBe(`${ASN} ${ASN} ${ASN}`);
    expect((await frrPath("frr4", "ipv6", BLOCK6)).metric).toBeUndefined();
  });

  it("passes on to other ASes without MED and LOCAL_PREF, with the path prepended", async () => {
    proves("bird", "policy", "communities");
    const text = await waitFor(async () => {
      const output = await bird.bird6.birdc("show route 203.0.113.16/28 all");
      return output.includes("BGP.as_path") && output;
    }, "203.0.113.16/28 in BIRD");
    expect(text).toContain(`BGP.as_path: ${ASN} 65002`);
    expect(text).not.toContain("BGP.med");
    expect(text).toContain("(65002,7) (65101,1)");
  });
});

describe("iBGP", () => {
  it("gets LOCAL_PREF, MED and the next hop as it came", async () => {
    proves("frr", "ibgp");
    const path = await frrPath("inner", "ipv4", "203.0.113.16/28");
    expect(path).toMatchObject({ locPrf: 250, metric: 50, aspath: { string: "65002" } });
    expect(path.nexthops[0].ip).toBe("10.2.0.2");
    expect((await frrPath("inner", "ipv4", BLOCK4)).nexthops[0].ip).toBe("10.5.0.1");
  });

  it("hands its routes on to other ASes", async () => {
    await waitFor(
      async () => (await bird.bird6.birdc(`show route ${own4("inner")} all`)).includes(`BGP.as_path: ${ASN}\n`),
      "it in BIRD",
    );
  });
});

describe("a neighbour with two-octet AS numbers and IPv4 alone", () => {
  it("has the family in common only, and loses no AS number on the way", async () => {
    const { families, capabilities } = await underlay.peer("old");
    expect(families).toEqual([4]);
    expect(capabilities.join()).not.toContain("4-octet");
    const text = await waitFor(async () => {
      const output = await bird.old.birdc("show route 203.0.113.16/28 all");
      return output.includes("BGP.as_path") && output;
    }, "203.0.113.16/28 in BIRD");
    expect(text).toContain(`BGP.as_path: ${ASN} 65002`);
    await ping(POD4, own4("old").split("/")[0]);
  });
});

describe("route refresh", () => {
  it("sends everything again to FRR", async () => {
    proves("frr", "route-refresh");
    const before = (await underlay.peer("frr4")).messages.updatesSent;
    await frr.frr4.vtysh("clear bgp * soft in");
    await waitFor(
      async () => (await underlay.peer("frr4")).messages.updatesSent >= before + 2,
      "UPDATEs of both families",
    );
    expect((await frrPath("frr4", "ipv4", BLOCK4)).metric).toBe(77);
  });
});

describe("graceful restart", () => {
  it("keeps a killed neighbour's routes in the kernel, as stale, and past its return", async () => {
    proves("bird", "gr-helper");
    const before = await gatewaysOf(4, own4("bird4"));
    await bird.bird4.stop("SIGKILL");
    await waitFor(async () => (await underlay.peer("bird4")).state !== "Established", "the loss to be seen");
    expect((await routeOf("bird4", own4("bird4")))?.stale).toBe(true);
    expect(await gatewaysOf(4, own4("bird4"))).toEqual(before);
    expect((await underlay.peer("bird4")).stale).toBeGreaterThan(0);
    await bird.bird4.restart();
    await underlay.waitEstablished("bird4");
    await waitFor(async () => (await underlay.peer("bird4")).stale === 0, "its End-of-RIB");
    expect((await routeOf("bird4", own4("bird4")))?.stale).toBe(false);
    expect(await gatewaysOf(4, own4("bird4"))).toEqual(before);
  });

  it.each(["SIGTERM", "SIGKILL"] as const)(
    "FRR keeps our block in its kernel over our own restart by %s",
    async (signal) => {
      proves("frr", "gr-restarting");
      const monitor = nodes.frr4.spawn("ip", ["monitor", "route"], { stdio: ["ignore", "pipe", "ignore"] });
      let lost = "";
      monitor.stdout?.on("data", (chunk: Buffer) => {
        lost += chunk
          .toString()
          .split("\n")
          .filter((line) => line.startsWith("Deleted") && line.includes("244"))
          .join("\n");
      });
      await sleep(200);
      await underlay.stop(signal);
      await waitFor(async () => (await frr.frr4.neighbor("10.2.0.1")).bgpState !== "Established", "FRR to see it");
      await underlay.start();
      await underlay.waitEstablished("frr4", 60_000);
      const neighbor = await frr.frr4.neighbor("10.2.0.1");
      expect(JSON.stringify(neighbor.gracefulRestartInfo)).toContain('"rBit":true');
      expect(JSON.stringify(neighbor.gracefulRestartInfo)).toContain('"fBit":true');
      await sleep(2000);
      monitor.kill();
      expect(lost).toBe("");
      await frrPath("frr4", "ipv4", BLOCK4);
    },
  );
});
