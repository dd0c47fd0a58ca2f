// A RIB, a real TCP connection, and a station that decodes by itself: what it holds is what the RIB has.
import { afterEach, expect, it } from "vitest";
import { Monitoring } from "../../../../bgp/monitor/monitoring.ts";
import type { BmpCollectorOptions } from "../../../../bgp/monitor/types.ts";
import type { Policy } from "../../../../bgp/policy/types.ts";
import { systemClock } from "../../../../net/clock.ts";
import { type Prefix, parsePrefix } from "../../../../net/prefix.ts";
import { BmpCollector } from "../../../support/bmp-collector.ts";
import { waitFor } from "../session/support.ts";
import { RecordingLog as Recording, type RecordingLog } from "../session/support-sessions.ts";
import { Simulation } from "../simulation.ts";
import { address, LOCAL_ASN } from "../support.ts";

const PRE = "0 0 192.0.2.1";
const POST = `${PRE} post`;
const FABRIC = "3 7100 0.0.0.0";
const STORAGE = "3 7200 0.0.0.0";

const running: { monitoring: Monitoring; collector: BmpCollector; simulation: Simulation }[] = [];

afterEach(async () => {
  for (const { monitoring, collector, simulation } of running.splice(0)) {
    await monitoring.stop();
    simulation.rib.stop();
    await collector.close();
    expect(collector.errors).toEqual([]);
  }
});

interface Running {
  simulation: Simulation;
  collector: BmpCollector;
  monitoring: Monitoring;
  log: RecordingLog;
}

async function start(options: Partial<BmpCollectorOptions> = {}, { reads = true } = {}): Promise<Running> {
  const simulation = new Simulation();
  const collector = await BmpCollector.listen();
  collector.reads = reads;
  const log = new Recording();
  const station: BmpCollectorOptions = {
    name: "noc",
    address: address("127.0.0.1"),
    port: collector.port,
    localAddress: null,
    prePolicy: true,
    postPolicy: true,
    locRib: true,
    statistics: null,
    connectRetry: 1,
    ...options,
  };
  const { rib } = simulation;
  const monitoring = new Monitoring(
    { sysName: "node1", sysDescr: "underlay test", bmp: [station], mrt: null },
    {
      clock: systemClock,
      log,
      core: rib.core,
      asn: LOCAL_ASN,
      peers: () => rib.peers,
      wallTime: () => 1_700_000_000_123,
      random: () => 0,
    },
  );
  rib.setMonitor(monitoring, monitoring.updateTap);
  monitoring.start();
  running.push({ monitoring, collector, simulation });
  await waitFor(() => collector.streams.length > 0, "the connection");
  return { simulation, collector, monitoring, log };
}

const prefixMatch = (text: string) => {
  const prefix = parsePrefix(text) as Prefix;
  return { prefix, ge: prefix.length, le: prefix.family === 4 ? 32 : 128 };
};
const policy: Policy = {
  name: "in",
  statements: [
    // biome-ignore lint/suspicious/noThenProperty: the key's name in the configuration
    { match: { prefix: [prefixMatch("10.9.0.0/16")] }, set: {}, then: "reject" },
    // biome-ignore lint/suspicious/noThenProperty: the key's name in the configuration
    { match: {}, set: { localPref: 250, community: { add: [65101 * 65536 + 7] } }, then: "accept" },
  ],
};

const has = (collector: BmpCollector, view: string, prefix: string) => () => collector.stream.view(view).has(prefix);
const keys = (collector: BmpCollector, view: string) => [...collector.stream.view(view).keys()].sort();

it("tells of peers, both Adj-RIBs-In and the Loc-RIBs, then of changes", async () => {
  const { simulation, collector } = await start();
  const tor = simulation.peer("tor-a", "192.0.2.1", 65001, { import: policy });
  tor.announce(["10.1.0.0/16", "10.9.1.0/24"], { med: 5, communities: [65001 * 65536 + 1] });
  tor.announce(["2001:db8:1::/48"]);
  await waitFor(has(collector, FABRIC, "2001:db8:1:0:0:0:0:0/48"), "the Loc-RIB");
  await waitFor(has(collector, POST, "10.1.0.0/16"), "post-policy");

  const { stream } = collector;
  expect(stream.information).toEqual([
    { type: 1, text: "underlay test" },
    { type: 2, text: "node1" },
  ]);
  expect(keys(collector, PRE)).toEqual(["10.1.0.0/16", "10.9.1.0/24", "2001:db8:1:0:0:0:0:0/48"]);
  expect(keys(collector, POST)).toEqual(["10.1.0.0/16", "2001:db8:1:0:0:0:0:0/48"]);
  expect(stream.view(PRE).get("10.1.0.0/16")).toEqual({
    asPath: "65001",
    nextHop: "192.0.2.1",
    localPref: null,
    med: 5,
    communities: ["65001:1"],
    codes: [1, 2, 3, 4, 8],
  });
  const accepted = { localPref: 250, communities: ["65001:1", "65101:7"] };
  expect(stream.view(POST).get("10.1.0.0/16")).toMatchObject(accepted);
  expect(stream.view(FABRIC).get("10.1.0.0/16")).toMatchObject(accepted);
  expect(stream.flags.get(PRE)).toBe(0);
  expect(stream.flags.get(POST)).toBe(0x40);
  expect(stream.flags.get(FABRIC)).toBe(0);
  expect([...stream.endOfRibs].sort()).toEqual(
    [PRE, POST, FABRIC, STORAGE].flatMap((view) => [`${view} 4`, `${view} 6`]).sort(),
  );

  tor.withdraw(["10.1.0.0/16", "10.9.1.0/24"]);
  tor.withdraw(["2001:db8:1::/48"]);
  await waitFor(() => keys(collector, FABRIC).length === 0 && keys(collector, PRE).length === 0, "withdrawals");
  expect(keys(collector, POST)).toEqual([]);
});

it("Peer Up has what the OPENs were, Peer Down why", async () => {
  const { simulation, collector } = await start({ locRib: false });
  const tor = simulation.peer("tor-a", "192.0.2.1", 65001);
  await waitFor(() => collector.stream.ups.length === 1, "Peer Up");
  const [up] = collector.stream.ups;
  const { sentOpen, receivedOpen } = tor.session.handshake;
  expect([up.sentOpen, up.receivedOpen].map((open) => open.toString("hex"))).toEqual(
    [sentOpen, receivedOpen].map((open) => Buffer.from(open).toString("hex")),
  );
  expect(up).toMatchObject({ localAddress: "192.0.2.254", localPort: 179, remotePort: 40179 });
  expect(up.information).toEqual([]);
  expect(up.peer).toMatchObject({ asn: 65001, routerId: "0.0.0.1", seconds: 1_700_000_000, microseconds: 123_000 });

  const data = Uint8Array.of(1, 2);
  const cease = (sent: boolean) => ({ sent, code: 6, subcode: 4, data });
  const ends = [
    { local: true, notification: cease(true), expected: "1 0017030604" },
    { local: true, notification: null, expected: "2 0002" },
    { local: false, notification: cease(false), expected: "3 0017030604" },
    { local: false, notification: null, expected: "4 " },
  ];
  for (const [index, { local, notification }] of ends.entries()) {
    simulation.rib.down(tor.session, { reason: "test", notification, local, graceful: false });
    await waitFor(() => collector.stream.downs.length === index + 1, "Peer Down");
    tor.up();
    await waitFor(() => collector.stream.ups.length === index + 2, "Peer Up");
  }
  const shown = collector.stream.downs.map(({ reason, data: octets }) => {
    const notified = octets.length > 2;
    if (notified) expect(octets.subarray(-2)).toEqual(Buffer.from(data));
    return `${reason} ${octets.subarray(notified ? 16 : 0, notified ? -2 : undefined).toString("hex")}`;
  });
  expect(shown).toEqual(ends.map(({ expected }) => expected));
});

it("a session that ends and comes back is forgotten in between, with what it had announced", async () => {
  const { simulation, collector } = await start();
  const tor = simulation.peer("tor-a", "192.0.2.1", 65001);
  tor.announce(["10.1.0.0/16", "10.2.0.0/16"]);
  await waitFor(has(collector, FABRIC, "10.2.0.0/16"), "routes");
  tor.down();
  tor.up();
  tor.announce(["10.2.0.0/16"]);
  await waitFor(() => collector.stream.downs.length === 1, "Peer Down");
  await waitFor(() => keys(collector, PRE).join() === "10.2.0.0/16", "the new table");
  await waitFor(() => keys(collector, FABRIC).join() === "10.2.0.0/16", "the Loc-RIB");
  expect(collector.stream.ups.filter(({ peer }) => peer.type === 0)).toHaveLength(2);
});

it("stale routes of a neighbour that restarts stay in the Loc-RIB, and come back with its session", async () => {
  const { simulation, collector } = await start();
  const gracefulRestart = {
    restarting: false,
    time: 120,
    families: new Map([[4 as const, true]]),
    notification: false,
    takesLongLived: false,
    longLived: new Map(),
  };
  const tor = simulation.peer("tor-a", "192.0.2.1", 65001, {}, { gracefulRestart });
  tor.announce(["10.1.0.0/16", "10.2.0.0/16"]);
  await waitFor(has(collector, FABRIC, "10.2.0.0/16"), "routes");
  tor.down(true);
  await waitFor(() => collector.stream.downs.length === 1, "Peer Down");
  await simulation.settle();
  expect(keys(collector, FABRIC)).toEqual(["10.1.0.0/16", "10.2.0.0/16"]);
  tor.up();
  await waitFor(has(collector, PRE, "10.2.0.0/16"), "stale routes");
  tor.announce(["10.1.0.0/16"]);
  tor.endOfRib(4);
  await waitFor(() => keys(collector, PRE).join() === "10.1.0.0/16", "the end of stale routes");
  await waitFor(() => keys(collector, FABRIC).join() === "10.1.0.0/16", "the end of stale routes in the Loc-RIB");
});

it("treat-as-withdraw is a withdrawal, and a discarded attribute is not passed on", async () => {
  const { simulation, collector } = await start();
  const tor = simulation.peer("tor-a", "192.0.2.1", 65001);
  tor.announce(["10.1.0.0/16"]);
  await waitFor(has(collector, PRE, "10.1.0.0/16"), "the route");
  // ORIGIN 9 is treated as a withdrawal; an AGGREGATOR of 3 octets is discarded (RFC 7606 §7).
  const attributes = (origin: number, more: number[] = []) => [
    ...[0x40, 1, 1, origin],
    ...[0x40, 2, 6, 2, 1, 0, 0, 0xfd, 0xe9],
    ...[0x40, 3, 4, 192, 0, 2, 1],
    ...more,
  ];
  const body = (octets: number[], nlri: number[]) => Uint8Array.from([0, 0, 0, octets.length, ...octets, ...nlri]);
  tor.feed(body(attributes(9), [16, 10, 1]));
  tor.feed(body(attributes(0, [0xc0, 7, 3, 1, 2, 3]), [16, 10, 2]));
  await waitFor(has(collector, PRE, "10.2.0.0/16"), "the route with a fault");
  await waitFor(() => keys(collector, PRE).join() === "10.2.0.0/16", "the withdrawal");
  expect(collector.stream.view(PRE).get("10.2.0.0/16")?.codes).toEqual([1, 2, 3]);
});

it("a session with 2-octet AS numbers: the A flag, and 4 octets in the Loc-RIB", async () => {
  const { simulation, collector } = await start();
  const tor = simulation.peer("old", "192.0.2.1", 65001, { import: policy }, { as4: false });
  tor.announce(["10.1.0.0/16"], { asPath: [{ type: 2, asns: [65001, 4200000001] }] });
  await waitFor(has(collector, FABRIC, "10.1.0.0/16"), "the Loc-RIB");
  await waitFor(has(collector, POST, "10.1.0.0/16"), "post-policy");
  const { stream } = collector;
  expect([stream.flags.get(PRE), stream.flags.get(POST), stream.flags.get(FABRIC)]).toEqual([0x20, 0x60, 0]);
  expect(stream.view(PRE).get("10.1.0.0/16")).toMatchObject({ asPath: "65001 23456", codes: [1, 2, 3, 17] });
  expect(stream.view(POST).get("10.1.0.0/16")).toMatchObject({ asPath: "65001 23456", localPref: 250 });
  expect(stream.view(FABRIC).get("10.1.0.0/16")).toMatchObject({ asPath: "65001 4200000001" });
});

it("IPv6 peers have the V flag, link-local ones are told apart by their interface", async () => {
  const { simulation, collector } = await start({ locRib: false });
  for (const [name, ifindex] of [
    ["left", 7],
    ["right", 9],
  ] as const) {
    const options = { interface: name };
    simulation.peer(name, "fe80::1", 65001, options, { ifindex, extendedNextHop: true }).announce(["10.1.0.0/16"]);
  }
  await waitFor(has(collector, "2 7 fe80:0:0:0:0:0:0:1 post", "10.1.0.0/16"), "left");
  await waitFor(has(collector, "2 9 fe80:0:0:0:0:0:0:1 post", "10.1.0.0/16"), "right");
  expect(collector.stream.view("2 9 fe80:0:0:0:0:0:0:1").get("10.1.0.0/16")?.nextHop).toBe("fe80:0:0:0:0:0:0:1");
  expect(collector.stream.ups.map(({ peer }) => peer.flags)).toEqual([0x80, 0x80]);
});

it("routes of this node are in the Loc-RIB; a new policy changes what is after it", async () => {
  const { simulation, collector } = await start();
  simulation.rib.announceLocal(7100, parsePrefix("10.244.1.0/26") as Prefix);
  simulation.rib.announceLocal(7100, parsePrefix("2001:db8:244::/64") as Prefix);
  const tor = simulation.peer("tor-a", "192.0.2.1", 65001);
  tor.announce(["10.1.0.0/16", "10.9.1.0/24"]);
  await waitFor(has(collector, POST, "10.9.1.0/24"), "routes");
  await waitFor(has(collector, FABRIC, "10.244.1.0/26"), "our own");
  expect(collector.stream.view(FABRIC).get("10.244.1.0/26")).toMatchObject({ asPath: "", nextHop: "0.0.0.0" });
  expect(collector.stream.view(FABRIC).get("2001:db8:244:0:0:0:0:0/64")?.nextHop).toBe("0:0:0:0:0:0:0:0");
  const [up] = collector.stream.ups.filter(({ peer }) => peer.type === 3);
  expect(up.information).toEqual([{ type: 3, text: "fabric" }]);
  expect(up.sentOpen).toEqual(up.receivedOpen);

  simulation.rib.setPolicies({ ...tor.options, import: policy });
  await waitFor(() => keys(collector, POST).join() === "10.1.0.0/16", "the new policy");
  expect(keys(collector, PRE)).toEqual(["10.1.0.0/16", "10.9.1.0/24"]);
  expect(collector.stream.view(POST).get("10.1.0.0/16")?.localPref).toBe(250);

  simulation.rib.setPolicies({ ...tor.options, import: policy, monitored: false });
  await waitFor(() => collector.stream.downs.length === 1, "Peer Down");
  expect(collector.stream.downs[0].reason).toBe(5);
  expect(keys(collector, FABRIC)).toContain("10.1.0.0/16");
});

it("several paths of a prefix, with their identifiers (RFC 7911)", async () => {
  const { simulation, collector } = await start();
  const addPath = { receive: [4 as const, 6 as const], send: [] };
  const options = { import: policy, addPath: { receive: true, send: null, limit: 4 } };
  const server = simulation.peer("rs", "192.0.2.1", 65001, options, { addPath });
  const via = (last: number) => ({ nextHop: address(`192.0.2.${last}`) });
  server.announce(["10.1.0.0/16#11", "10.9.0.0/16#11"], via(11));
  server.announce(["10.1.0.0/16#12"], via(12));
  server.announce(["10.1.0.0/16#13", "10.2.0.0/16#13"], via(13));
  server.announce(["2001:db8:1::/48"]);
  const v6 = "2001:db8:1:0:0:0:0:0/48 0";
  await waitFor(() => keys(collector, PRE).length === 6, "all paths");
  const accepted = ["10.1.0.0/16 11", "10.1.0.0/16 12", "10.1.0.0/16 13", "10.2.0.0/16 13"];
  expect(keys(collector, PRE)).toEqual([...accepted, "10.9.0.0/16 11", v6]);
  await waitFor(() => keys(collector, POST).length === 5, "accepted paths");
  expect(keys(collector, POST)).toEqual([...accepted, v6]);
  expect(collector.stream.view(PRE).get("10.1.0.0/16 12")?.nextHop).toBe("192.0.2.12");
  await waitFor(() => keys(collector, FABRIC).join() === `10.1.0.0/16,10.2.0.0/16,${v6.slice(0, -2)}`, "the Loc-RIB");

  // A lane that another path takes over: the old one is withdrawn, whatever the order.
  server.withdraw(["10.1.0.0/16#11", "10.1.0.0/16#12"]);
  server.announce(["10.1.0.0/16#12"], via(22));
  server.announce(["10.1.0.0/16#14"], via(14));
  const isMoved = () => keys(collector, PRE).includes("10.1.0.0/16 14");
  await waitFor(isMoved, "the other path");
  await waitFor(() => keys(collector, POST).includes("10.1.0.0/16 14"), "the other path after policy");
  const moved = ["10.1.0.0/16 12", "10.1.0.0/16 13", "10.1.0.0/16 14", "10.2.0.0/16 13"];
  expect(keys(collector, PRE)).toEqual([...moved, "10.9.0.0/16 11", v6]);
  expect(collector.stream.view(POST).get("10.1.0.0/16 12")?.nextHop).toBe("192.0.2.22");
  server.withdraw([...moved, "10.9.0.0/16 11"].map((path) => path.replace(" ", "#")));
  await waitFor(() => keys(collector, PRE).join() === v6 && keys(collector, POST).join() === v6, "withdrawals");
});

it("statistics at the configured pace", async () => {
  const { simulation, collector } = await start({ statistics: 1 });
  const tor = simulation.peer("tor-a", "192.0.2.1", 65001, { import: policy });
  tor.announce(["10.1.0.0/16", "10.9.1.0/24"]);
  tor.announce(["2001:db8:1::/48"]);
  await waitFor(() => collector.stream.statistics.length >= 3, "statistics");
  const of = (view: string) =>
    Object.fromEntries(
      collector.stream.statistics.find(({ peer }) => `${peer.type} ${peer.distinguisher} ${peer.address}` === view)
        ?.values ?? [],
    );
  expect(of(PRE)).toEqual({ "7": 3n, "9/1/1": 2n, "9/2/1": 1n, "12": 0n });
  expect(of(FABRIC)).toEqual({ "8": 2n, "10/1/1": 1n, "10/2/1": 1n });
});

it("comes back after the station did, with everything; says goodbye at the end", async () => {
  const { simulation, collector, monitoring, log } = await start();
  const tor = simulation.peer("tor-a", "192.0.2.1", 65001);
  tor.announce(["10.1.0.0/16"]);
  await waitFor(has(collector, FABRIC, "10.1.0.0/16"), "routes");
  const before = simulation.rib.core.prefixes[4].size;
  collector.hangUp();
  await waitFor(() => monitoring.view.bmp[0].state === "waiting", "the loss");
  expect(monitoring.view.bmp[0].lastError).toMatch(/closed by the collector|reset by the collector/);
  tor.withdraw(["10.1.0.0/16"]);
  tor.announce(["10.2.0.0/16"]);
  await waitFor(() => collector.streams.length === 2, "the second connection");
  await waitFor(has(collector, FABRIC, "10.2.0.0/16"), "routes again");
  expect(keys(collector, PRE)).toEqual(["10.2.0.0/16"]);
  expect(log.lines.filter(({ level }) => level === "warn")).toHaveLength(1);
  // Nothing keeps the prefix that the lost connection had been told of.
  simulation.clock.advance(5000);
  await simulation.settle();
  expect(simulation.rib.core.prefixes[4].size).toBe(before);

  await monitoring.stop();
  await waitFor(() => collector.stream.terminated === 0, "Termination");
  expect(monitoring.view.bmp[0].state).toBe("stopped");
});

it("a station that never reads costs marks, not memory, and gets the present state when it reads", async () => {
  const { simulation, collector, monitoring } = await start({}, { reads: false });
  const tor = simulation.peer("tor-a", "192.0.2.1", 65001);
  await waitFor(() => monitoring.view.bmp[0].state === "connected", "the connection");
  const prefixes = (second: number) => Array.from({ length: 65536 }, (_, i) => `${second}.${i >> 8}.${i & 255}.0/24`);
  const chunks = (texts: string[]) =>
    Array.from({ length: texts.length / 256 }, (_, i) => texts.slice(i * 256, i * 256 + 256));
  const all = [11, 12].flatMap(prefixes);
  for (let round = 0; round < 6; round++) {
    for (const [index, chunk] of chunks(all).entries()) {
      // Many attribute sets: each of these would be a message of its own.
      tor.announce(chunk, { med: round * 10_000 + index, communities: Array.from({ length: 200 }, (_, i) => i) });
      if (index % 64 === 0) await simulation.settle();
    }
  }
  await simulation.settle();
  const view = monitoring.view.bmp[0];
  expect(view.pending).toBeGreaterThan(all.length);
  // What the kernel took, and what waits in front of it.
  expect(view.bytesSent).toBeLessThan(16 << 20);
  expect(simulation.rib.routes({ prefix: "12.255.255.0/24" })[Symbol.iterator]().next().value?.med).toBe(50511);

  collector.resume();
  for (const view of [PRE, POST, FABRIC]) {
    const isPresent = () => {
      const routes = [...collector.stream.view(view).values()];
      return routes.length === all.length && routes.every(({ med }) => (med ?? 0) >= 50_000);
    };
    await waitFor(() => monitoring.view.bmp[0].pending === 0 && isPresent(), `the present state of ${view}`, 30_000);
  }
}, 60_000);

it("connects again when a table comes or goes, and then has the Loc-RIBs that there are", async () => {
  const { simulation, collector, monitoring } = await start();
  const tor = simulation.peer("tor-a", "192.0.2.1", 65001);
  tor.announce(["10.1.0.0/16"]);
  await waitFor(has(collector, FABRIC, "10.1.0.0/16"), "the Loc-RIB");
  simulation.rib.addTable({ name: "more", id: 7300 });
  monitoring.tablesChanged();
  await waitFor(() => collector.streams.length === 2, "another connection");
  simulation.peer("tor-b", "192.0.2.2", 65002, { table: 7300 }).announce(["10.3.0.0/16"]);
  await waitFor(has(collector, "3 7300 0.0.0.0", "10.3.0.0/16"), "the new Loc-RIB");
  await waitFor(has(collector, FABRIC, "10.1.0.0/16"), "the old one");
});

it("keeps a connection that is told of no Loc-RIB", async () => {
  const { simulation, collector, monitoring } = await start({ locRib: false });
  simulation.rib.addTable({ name: "more", id: 7300 });
  monitoring.tablesChanged();
  simulation.peer("tor-a", "192.0.2.1", 65001).announce(["10.1.0.0/16"]);
  await waitFor(has(collector, PRE, "10.1.0.0/16"), "the route");
  expect(collector.streams).toHaveLength(1);
});
