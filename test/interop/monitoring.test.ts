// Monitoring protocols with real neighbours: FRR over IPv4, BIRD over IPv6 (IPv4 routes with IPv6 next hops), and a
// BIRD that knows 2-octet AS numbers only. A BMP station of our own that decodes by itself and tshark's dissector read
// what is sent to it, bgpdump reads the MRT files; both have to agree with what underlayctl shows.
import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { DumpResult } from "../../bgp/monitor/types.ts";
import type { RouteView } from "../../bgp/views.ts";
import { formatAddress, parseAddress } from "../../net/address.ts";
import { BmpCollector, type BmpStream } from "../support/bmp-collector.ts";
import { Bird } from "./support/bird.ts";
import { BmpCapture } from "./support/bmp-capture.ts";
import { Frr } from "./support/frr.ts";
import { Lab, type Node, run } from "./support/namespace.ts";
import { Underlay } from "./support/underlay.ts";
import { waitFor } from "./support/wait.ts";

const PORT = 11019;
const DEAF_PORT = 11020;
const STATION = "10.9.0.2";
const ASN = 4200000011;

const views = {
  frr: "0 0 10.1.0.2",
  bird: "0 0 2001:db8:2:0:0:0:0:2",
  old: "0 0 10.3.0.2",
  table: "3 0 0.0.0.0",
} as const;
type Peer = "frr" | "bird" | "old";
const peers: readonly Peer[] = ["frr", "bird", "old"];

const yaml = (mrtDirectory: string, more = "", oldPeer = "asn: 65003, import: all, export: blocks") => `
node: { name: node1, asn: ${ASN}, routerId: 10.0.0.11 }
pools: { default: { blocks: [10.244.1.0/26, "2001:db8:244:1::/122"] } }
routing: { install: false }
monitoring:
  bmp:
    noc: { address: ${STATION}, port: ${PORT}, statistics: 1s, connectRetry: 1s }
    deaf: { address: ${STATION}, port: ${DEAF_PORT}, statistics: 1s }
  mrt: { directory: ${mrtDirectory}, updates: { interval: 1h }, tables: false, microseconds: true }
peers:
  frr: { address: 10.1.0.2, asn: 65001, import: in, export: blocks }
  bird: { address: "2001:db8:2::2", asn: 65002, import: in, export: blocks }
  old: { address: 10.3.0.2, ${oldPeer} }
policies:
  in:
    - match: { prefix: [203.0.113.0/24 le 32, "2001:db8:bad::/48 le 128"] }
      then: reject
    - match: { prefix: [198.51.100.0/24 le 32] }
      set: { localPref: 250, med: 77, community: { add: ["65101:7"] } }
      then: accept
    - then: accept
${more}`;

const frrConfig = `
router bgp 65001
 bgp router-id 10.0.0.1
 no bgp ebgp-requires-policy
 no bgp network import-check
 neighbor 10.1.0.1 remote-as ${ASN}
 neighbor 10.1.0.1 timers connect 1
 address-family ipv4 unicast
  network 198.51.100.1/32
  network 203.0.113.0/24
  network 192.0.2.0/25
  neighbor 10.1.0.1 route-map tag out
 exit-address-family
 address-family ipv6 unicast
  neighbor 10.1.0.1 activate
  network 2001:db8:f00::1/128
  network 2001:db8:bad::/64
 exit-address-family
route-map tag permit 10
 set community 65001:1 65001:2
 set large-community 65001:1:2
 set metric 5
`;

const birdConfig = (n: number, asn: number, neighbor: string, session = "", more = "") => `
router id 10.0.0.${n};
protocol device {}
protocol static s4 { ipv4; route 198.51.100.${n}/32 blackhole; route 203.0.113.${n}/32 blackhole; ${more} }
protocol static s6 { ipv6; route 2001:db8:f00::${n}/128 blackhole; }
protocol bgp node {
  local as ${asn}; neighbor ${neighbor} external; connect retry time 1; connect delay time 1; error wait time 1, 5;
  ${session}
  ipv4 { import all; export all; extended next hop on; };
  ${n === 3 ? "" : "ipv6 { import all; export all; };"}
}
`;

let lab: Lab;
let underlay: Underlay;
let frr: Frr;
let bird: Bird;
let old: Bird;
let station: Node;
let collector: BmpCollector;
let deaf: BmpCollector;
let capture: BmpCapture;
let mrtDirectory: string;

async function listen(port: number): Promise<BmpCollector> {
  const leave = station.enter({ tested: false });
  try {
    return await BmpCollector.listen(port, STATION);
  } finally {
    leave();
  }
}

beforeAll(async () => {
  lab = new Lab("monitoring");
  const [us, frrNode, birdNode, oldNode] = ["us", "frr", "bird", "old"].map((name) => lab.addNode(name));
  station = lab.addNode("noc");
  const ends = (n: number) =>
    [1, 2].map((end) => [...(n === 2 ? [] : [`10.${n}.0.${end}/24`]), `2001:db8:${n}::${end}/64`]);
  for (const [n, node] of [
    [1, frrNode],
    [2, birdNode],
    [3, oldNode],
    [9, station],
  ] as const) {
    const [a, b] = ends(n);
    lab.link({ node: us, name: `eth${n}`, addresses: a }, { node, name: "eth0", addresses: b });
  }
  mrtDirectory = join(lab.directory, "mrt");
  us.capture();
  capture = await BmpCapture.start(us, join(lab.directory, "bmp.pcapng"), PORT);
  collector = await listen(PORT);
  deaf = await listen(DEAF_PORT);
  deaf.reads = false;
  [frr, bird, old] = await Promise.all([
    Frr.start(frrNode, frrConfig, { daemons: ["zebra", "bgpd"] }),
    Bird.start(birdNode, birdConfig(2, 65002, "2001:db8:2::1")),
    Bird.start(oldNode, birdConfig(3, 65003, "10.3.0.1", "enable as4 no;", "route 203.0.114.0/24 blackhole;")),
  ]);
  underlay = await Underlay.start(us, yaml(mrtDirectory));
  for (const peer of peers) await underlay.waitEstablished(peer);
  await settled();
});

afterAll(async () => {
  await Promise.all([frr, bird, old].map((daemon) => daemon?.close()));
  await underlay?.stop();
  await collector?.close();
  await deaf?.close();
  await lab?.close();
});

/** Our spelling of a prefix that the station writes in full. */
const canonical = (prefix: string) => {
  const [head, length] = prefix.split("/");
  return `${formatAddress(parseAddress(head) as Uint8Array)}/${length}`;
};
const shown = (route: RouteView) =>
  `${route.prefix} ${route.asPath} ${route.localPref} ${route.med} ${route.communities.filter((text) => text.split(":").length === 2).join(" ")}`;
const inView = (stream: BmpStream, name: string) =>
  [...stream.view(name)]
    .map(([prefix, { asPath, localPref, med, communities }]) => {
      return `${canonical(prefix)} ${asPath} ${localPref} ${med} ${communities.join(" ")}`;
    })
    .sort();
const rejected = ({ rejected: reason }: RouteView) => reason !== null;

/** The station has what the daemon has, of every neighbour and of the table. */
async function agrees(): Promise<boolean> {
  const { stream } = collector;
  for (const peer of peers) {
    const received = await underlay.received(peer);
    if (received.length === 0) return false;
    const prefixes = (routes: readonly RouteView[]) => routes.map(({ prefix }) => prefix).sort();
    const told = (name: string) => [...stream.view(name).keys()].map(canonical).sort();
    if (told(views[peer]).join() !== prefixes(received).join()) return false;
    if (told(`${views[peer]} post`).join() !== prefixes(received.filter((route) => !rejected(route))).join())
      return false;
  }
  const best = (await underlay.routes("--best")).filter((route) => route.best);
  return inView(stream, views.table).length === best.length;
}
const settled = () => waitFor(agrees, "the station to have what the daemon has", { timeout: 40_000, interval: 300 });

const bgpdump = async (file: string): Promise<string[][]> => {
  const output = await run("sh", ["-c", 'bgpdump -v -m "$0" 2>&1', file]);
  const lines = output.split("\n").filter((line) => line && !line.includes("[info] logging to"));
  for (const line of lines) expect(line).toMatch(/^(TABLE_DUMP2|BGP4MP(_ET)?)\|/);
  return lines.map((line) => line.split("|"));
};

describe("BMP", () => {
  it("before policy: what the neighbour said; after it: without what is rejected, and changed", async () => {
    const { stream } = collector;
    const view = stream.view(views.frr);
    const post = stream.view(`${views.frr} post`);
    expect(view.has("203.0.113.0/24")).toBe(true);
    expect(post.has("203.0.113.0/24")).toBe(false);
    expect(view.has("2001:db8:bad:0:0:0:0:0/64")).toBe(true);
    expect(post.has("2001:db8:bad:0:0:0:0:0/64")).toBe(false);
    expect(view.get("198.51.100.1/32")).toMatchObject({
      asPath: "65001",
      nextHop: "10.1.0.2",
      localPref: null,
      med: 5,
      communities: ["65001:1", "65001:2"],
    });
    expect(post.get("198.51.100.1/32")).toMatchObject({
      localPref: 250,
      med: 77,
      communities: ["65001:1", "65001:2", "65101:7"],
    });
    // What the policy lets pass as it is stays as it is.
    expect(post.get("192.0.2.0/25")).toEqual(view.get("192.0.2.0/25"));
    expect(stream.view(views.bird).get("198.51.100.2/32")?.nextHop).toBe("2001:db8:2:0:0:0:0:2");
    const accepted = (await underlay.received("frr")).filter((route) => !rejected(route));
    expect(accepted.length).toBe(3);
  });

  it("the Loc-RIB is what underlayctl routes shows", async () => {
    const best = (await underlay.routes("--best")).filter((route) => route.best);
    expect(inView(collector.stream, views.table)).toEqual(best.map(shown).sort());
    expect(best.map(({ peer }) => peer)).toContain("local");
  });

  it("a neighbour with 2-octet AS numbers has the A flag, its routes in the Loc-RIB do not", async () => {
    const { stream } = collector;
    expect(stream.flags.get(views.old)).toBe(0x20);
    expect(stream.flags.get(`${views.old} post`)).toBe(0x60);
    expect(stream.flags.get(views.bird)).toBe(0x80);
    expect(stream.flags.get(views.table)).toBe(0);
    expect(stream.view(views.table).get("203.0.114.0/24")?.asPath).toBe("65003");
  });

  it("OPENs, End-of-RIB, statistics", async () => {
    const { stream } = collector;
    const of = (peer: Peer) => stream.ups.find((up) => `0 0 ${up.peer.address}` === views[peer]);
    expect(of("frr")).toMatchObject({ localAddress: "10.1.0.1", peer: { asn: 65001, routerId: "10.0.0.1" } });
    expect([of("frr")?.localPort, of("frr")?.remotePort]).toContain(179);
    // My AS: AS_TRANS from us, its own from the old neighbour; router id in both.
    expect(of("old")?.sentOpen.readUInt16BE(20)).toBe(23456);
    expect(of("old")?.receivedOpen.readUInt16BE(20)).toBe(65003);
    expect(of("bird")?.receivedOpen.subarray(24, 28)).toEqual(Buffer.from([10, 0, 0, 2]));
    for (const name of [views.frr, `${views.frr} post`, views.bird, views.table])
      for (const family of [4, 6]) expect(stream.endOfRibs).toContain(`${name} ${family}`);
    expect(stream.endOfRibs).not.toContain(`${views.old} 6`);
    expect(stream.ups.find(({ peer }) => peer.type === 3)?.information).toEqual([{ type: 3, text: "global" }]);
    await waitFor(() => stream.statistics.some(({ values }) => values.get("9/1/1") === 3n), "statistics of FRR");
    await waitFor(() => stream.statistics.some(({ values }) => (values.get("8") ?? 0n) > 5n), "of the Loc-RIB");
  });

  it("changes: a route that goes and one that comes", async () => {
    await frr.configure(
      "router bgp 65001\n address-family ipv4 unicast\n  no network 192.0.2.0/25\n  network 192.0.2.128/25",
    );
    await waitFor(() => collector.stream.view(views.table).has("192.0.2.128/25"), "the new route");
    await waitFor(() => !collector.stream.view(views.frr).has("192.0.2.0/25"), "the old one to go");
    await settled();
  });

  it("a station that restarts is told everything again", async () => {
    await collector.close();
    await waitFor(async () => (await underlay.status()).monitoring.bmp[0].state !== "connected", "the loss");
    await waitFor(async () => (await underlay.status()).monitoring.bmp[0].lastError?.includes("refused"), "a refusal");
    const status = await underlay.status();
    expect(status.problems.join()).toContain("BMP collector noc is not connected");
    await bird.configure(birdConfig(2, 65002, "2001:db8:2::1", "", "route 198.51.100.99/32 blackhole;"));
    collector = await listen(PORT);
    await waitFor(() => collector.streams.length > 0, "the connection");
    await settled();
    expect(collector.stream.view(`${views.bird} post`).get("198.51.100.99/32")?.localPref).toBe(250);
    expect((await underlay.status()).monitoring.bmp[0]).toMatchObject({ name: "noc", state: "connected", pending: 0 });
  });

  it("one that reads nothing holds nobody back", async () => {
    const [, view] = (await underlay.status()).monitoring.bmp;
    expect(view).toMatchObject({ name: "deaf", state: "connected", connectedCount: 1 });
    expect(deaf.streams[0].octets).toBe(0);
    for (const peer of peers) expect((await underlay.peer(peer)).state).toBe("Established");
  });

  it("Peer Down says who ended the session, and how", async () => {
    const { stream } = collector;
    const downOf = async (peer: Peer, count: number) => {
      const downs = () => stream.downs.filter((down) => `0 0 ${down.peer.address}` === views[peer]);
      await waitFor(() => downs().length === count, `Peer Down ${count} of ${peer}`);
      return downs()[count - 1];
    };
    await frr.configure("router bgp 65001\n neighbor 10.1.0.1 shutdown message maintenance");
    const shutdown = await downOf("frr", 1);
    // Both know RFC 8538: a hard reset, with the Cease/2 of the shutdown in it.
    expect([shutdown.reason, ...shutdown.data.subarray(19, 23)]).toEqual([3, 6, 9, 6, 2]);
    expect(shutdown.data.subarray(24).toString()).toBe("maintenance");
    await frr.configure("router bgp 65001\n no neighbor 10.1.0.1 shutdown message maintenance");

    await bird.restart("SIGKILL");
    expect((await downOf("bird", 1)).reason).toBe(4);

    // Another AS for a neighbour: its session ends with Cease/6, and does not come back with this one.
    underlay.configure(yaml(mrtDirectory, "", "asn: 65004, import: all, export: blocks"));
    await underlay.ctl("reload");
    const changed = await downOf("old", 1);
    expect([changed.reason, changed.data[19], changed.data[20]]).toEqual([1, 6, 6]);
    underlay.configure(yaml(mrtDirectory));
    await underlay.ctl("reload");

    for (const peer of peers) await underlay.waitEstablished(peer);
    await settled();
    underlay.configure(yaml(mrtDirectory, "", "asn: 65003, import: all, export: blocks, monitoring: false"));
    await underlay.ctl("reload");
    const unmonitored = await downOf("old", 2);
    expect([unmonitored.reason, unmonitored.data.length]).toEqual([5, 0]);
    expect((await underlay.peer("old")).state).toBe("Established");
    underlay.configure(yaml(mrtDirectory));
    await underlay.ctl("reload");
    await settled();
  });
});

describe("MRT", () => {
  it("bgpdump reads a dump, and it has what was received and this node's own routes", async () => {
    const file = join(lab.directory, "rib.mrt");
    const result = await underlay.ctl<DumpResult>("dump", file);
    const lines = await bgpdump(file);
    expect(lines.length).toBe(result.routes);
    const routes = (await Promise.all(peers.map((peer) => underlay.received(peer)))).flat();
    const own = (await underlay.routes()).filter(({ peer }) => peer === "local");
    const text = (prefix: string, address: string, path: string, origin: string, rest: string) =>
      [prefix, address, path, origin.toUpperCase(), rest].join(" ");
    const addresses: Readonly<Record<string, string>> = {
      frr: "10.1.0.2 65001",
      bird: "2001:db8:2::2 65002",
      old: "10.3.0.2 65003",
      local: `0.0.0.0 ${ASN}`,
    };
    const short = (route: RouteView) => route.communities.filter((value) => value.split(":").length === 2).join(" ");
    // TYPE|TIME|B|PEER IP|PEER AS|PREFIX|AS PATH|ORIGIN|NEXT HOP|LOCAL PREF|MED|COMMUNITY|...
    const dumped = lines.map(([, , , ip, asn, prefix, path, origin, , , med, community]) =>
      text(prefix, `${ip} ${asn}`, path, origin, `${med} ${community}`.trim()),
    );
    // Refused routes are shown as received, others after policy: what the policy changes is compared in the BMP tests.
    const expected = [...routes, ...own].map((route) => {
      const changed = route.prefix.startsWith("198.51.100.") && route.peer !== "old";
      const med = changed ? (route.peer === "frr" ? 5 : 0) : (route.med ?? 0);
      const communities = short(route).replace(/ ?65101:7/, "");
      return text(route.prefix, addresses[route.peer], route.asPath, route.origin, `${med} ${communities}`.trim());
    });
    expect(dumped.sort()).toEqual(expected.sort());
    const nextHops = new Map(lines.map(([, , , ip, , prefix, , , nextHop]) => [`${ip} ${prefix}`, nextHop]));
    expect(nextHops.get("10.1.0.2 198.51.100.1/32")).toBe("10.1.0.2");
    expect(nextHops.get("2001:db8:2::2 2001:db8:f00::2/128")).toBe("2001:db8:2::2");
  });

  it("bgpdump reads the updates: announcements, withdrawals, changes of state, both widths of AS numbers", async () => {
    await bird.configure(birdConfig(2, 65002, "2001:db8:2::1", "", ""));
    await waitFor(
      async () => !(await underlay.received("bird")).some(({ prefix }) => prefix === "198.51.100.99/32"),
      "the withdrawal",
    );
    // Ends the file, and begins a directory that has room for little.
    const small = join(lab.directory, "small");
    mkdirSync(small);
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=16k", "tmpfs", small]);
    try {
      underlay.configure(yaml(small));
      await underlay.ctl("reload");
      const files = () => readdirSync(mrtDirectory).filter((name) => name.endsWith(".mrt"));
      await waitFor(() => files().length === 1, "the file of updates");
      const lines = await bgpdump(join(mrtDirectory, files()[0]));
      const some = (kind: string, ip: string, rest: string) =>
        lines.some(
          ([, , type, address, , ...fields]) => type === kind && address === ip && fields.join("|").startsWith(rest),
        );
      expect(some("A", "10.1.0.2", "198.51.100.1/32|65001|IGP|10.1.0.2|0|5|65001:1 65001:2")).toBe(true);
      expect(some("W", "10.1.0.2", "192.0.2.0/25")).toBe(true);
      expect(some("A", "10.1.0.2", "2001:db8:f00::1/128|65001")).toBe(true);
      expect(some("A", "10.3.0.2", "203.0.114.0/24|65003|")).toBe(true);
      expect(some("STATE", "10.1.0.2", "5|6")).toBe(true);
      expect(some("STATE", "10.1.0.2", "6|1")).toBe(true);
      expect(some("STATE", "2001:db8:2::2", "6|1")).toBe(true);
      const updates = lines.filter(([, , type]) => type === "A" || type === "W").map(([, , , ip]) => ip);
      expect(new Set(updates)).toEqual(new Set(["10.1.0.2", "2001:db8:2::2", "10.3.0.2"]));

      await waitFor(async () => (await underlay.status()).monitoring.mrt?.updatesFile?.startsWith(small), "the file");
      writeFileSync(join(small, "filler"), Buffer.alloc(8192));
      execFileSync("sh", ["-c", `dd if=/dev/zero of=${small}/rest bs=1k 2>/dev/null; true`]);
      const flap = async () => {
        await bird.birdc("disable s4");
        await bird.birdc("enable s4");
      };
      const mrt = async () => (await underlay.status()).monitoring.mrt;
      await waitFor(
        async () => {
          await flap();
          return (await mrt())?.lastError;
        },
        "a full disk",
        { interval: 300 },
      );
      expect(await mrt()).toMatchObject({ lastError: "no space left on the device (ENOSPC)" });
      expect((await mrt())?.updatesLost).toBeGreaterThan(0);
      expect((await underlay.status()).problems.join()).toContain("no space left on the device");
      await expect(underlay.ctl("dump", join(small, "rib.mrt"))).rejects.toThrow(/JSON|no space left/);
      for (const peer of peers) expect((await underlay.peer(peer)).state).toBe("Established");
      expect((await underlay.peer("frr")).establishedCount).toBe(2);

      for (const name of ["filler", "rest"]) rmSync(join(small, name));
      await waitFor(
        async () => {
          await flap();
          return (await mrt())?.lastError === null;
        },
        "room again",
        { interval: 500 },
      );
      underlay.configure(yaml(mrtDirectory));
      await underlay.ctl("reload");
      const whole = await waitFor(
        () => readdirSync(small).find((name) => name.endsWith(".mrt")),
        "the file from the small disk",
      );
      expect((await bgpdump(join(small, whole as string))).length).toBeGreaterThan(0);
    } finally {
      execFileSync("umount", ["-l", small]);
    }
  });
});

it("a stop for a restart: reason 2 for each, then Termination; tshark has nothing to say about any of it", async () => {
  const { stream } = collector;
  await underlay.stop("SIGTERM");
  await waitFor(() => stream.terminated !== null, "Termination");
  expect(stream.terminated).toBe(0);
  const last = stream.downs.slice(-3);
  expect(last.map(({ reason, data }) => `${reason} ${data.toString("hex")}`)).toEqual(new Array(3).fill("2 0002"));
  expect(stream.messages.at(-1)?.type).toBe(5);
  expect(collector.errors).toEqual([]);
  const { types, faults } = await capture.report();
  expect(faults).toEqual([]);
  // Route Monitoring, Statistics Report, Peer Down, Peer Up, Initiation, Termination.
  for (const type of ["0", "1", "2", "3", "4", "5"]) expect(types.get(type) ?? 0).toBeGreaterThan(0);
});
