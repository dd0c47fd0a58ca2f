// Sessions with real FRR, BIRD and GoBGP, each in a namespace of its own: who connects, over what, with which protection;
// and how sessions end. The session manager under test runs in this process, moved into the namespace `us`.
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { SessionManager } from "../../bgp/session/session-manager.ts";
import type { PeerOptions, PeerStatus } from "../../bgp/session/types.ts";
import { parseAddress } from "../../net/address.ts";
import { systemClock } from "../../net/clock.ts";
import { peerOptions } from "../unit/bgp/session/support.ts";
import { RecordingHandler, RecordingLog } from "../unit/bgp/session/support-sessions.ts";
import { Bird } from "./support/bird.ts";
import type { Feature } from "./support/features.ts";
import { Frr } from "./support/frr.ts";
import { Gobgp } from "./support/gobgp.ts";
import { Lab, type Node } from "./support/namespace.ts";
import { proves } from "./support/proofs.ts";
import { sleep, waitFor } from "./support/wait.ts";

type Daemon = "frr" | "bird" | "gobgp";
/** How the daemon under test is configured towards us. */
interface Remote {
  readonly neighbor: string;
  readonly asn?: number;
  readonly ourAsn?: number;
  readonly routerId?: string;
  readonly passive?: boolean;
  readonly password?: string;
  readonly ttlSecurity?: boolean;
  readonly holdTime?: number;
  readonly interface?: string;
  readonly gracefulRestart?: boolean;
}

/** `us` has one link to each daemon: 10.N.0.1 - 10.N.0.2, 2001:db8:N::1 - ::2, fe80::1 - fe80::2 on every link. */
const subnet: Record<Daemon, number> = { frr: 1, bird: 2, gobgp: 3 };
const nodes = {} as Record<Daemon | "us", Node>;
let lab: Lab;
let leave: () => void;
const cleanups: (() => Promise<unknown>)[] = [];

beforeAll(() => {
  lab = new Lab("session");
  nodes.us = lab.addNode("us");
  for (const name of ["frr", "bird", "gobgp"] as const) {
    nodes[name] = lab.addNode(name);
    const n = subnet[name];
    lab.link(
      { node: nodes.us, name, addresses: [`10.${n}.0.1/24`, `2001:db8:${n}::1/64`, "fe80::1/64"] },
      { node: nodes[name], name: "eth0", addresses: [`10.${n}.0.2/24`, `2001:db8:${n}::2/64`, "fe80::2/64"] },
    );
  }
  leave = nodes.us.enter();
});

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

afterAll(async () => {
  leave();
  await lab.close();
});

function frrConfig(remote: Remote): string {
  const { neighbor } = remote;
  const lines = [
    `router bgp ${remote.asn ?? 65002}`,
    ` bgp router-id ${remote.routerId ?? "10.0.0.2"}`,
    " no bgp ebgp-requires-policy",
    ` neighbor ${neighbor} remote-as ${remote.ourAsn ?? 65001}`,
    ` neighbor ${neighbor} timers ${Math.floor((remote.holdTime ?? 90) / 3)} ${remote.holdTime ?? 90}`,
    ` neighbor ${neighbor} timers connect 1`,
    ` neighbor ${neighbor} capability extended-nexthop`,
  ];
  if (remote.interface) lines.push(` neighbor ${neighbor} interface ${remote.interface}`);
  if (remote.passive) lines.push(` neighbor ${neighbor} passive`);
  if (remote.password) lines.push(` neighbor ${neighbor} password ${remote.password}`);
  if (remote.ttlSecurity) lines.push(` neighbor ${neighbor} ttl-security hops 1`);
  if (remote.gracefulRestart) lines.push(" bgp graceful-restart");
  for (const family of ["ipv4", "ipv6"])
    lines.push(` address-family ${family} unicast`, `  neighbor ${neighbor} activate`, " exit-address-family");
  return `${lines.join("\n")}\n`;
}

function birdConfig(remote: Remote): string {
  const zone = remote.interface ? `%'${remote.interface}'` : "";
  return `
router id ${remote.routerId ?? "10.0.0.2"};
protocol device {}
protocol bgp underlay {
  local as ${remote.asn ?? 65002};
  neighbor ${remote.neighbor}${zone} as ${remote.ourAsn ?? 65001};
  hold time ${remote.holdTime ?? 90};
  connect delay time 1; connect retry time 1; error wait time 1, 2;
  ${remote.passive ? "passive on;" : ""}
  ${remote.password ? `password "${remote.password}";` : ""}
  ${remote.ttlSecurity ? "ttl security on;" : ""}
  ${remote.gracefulRestart ? "graceful restart on;" : ""}
  ipv4 { import all; export none; extended next hop on; };
  ipv6 { import all; export none; };
}`;
}

function gobgpConfig(remote: Remote): string {
  const families = ["ipv4-unicast", "ipv6-unicast"].map(
    (name) => `  [[neighbors.afi-safis]]\n    [neighbors.afi-safis.config]\n      afi-safi-name = "${name}"\n`,
  );
  return `
[global.config]
  as = ${remote.asn ?? 65002}
  router-id = "${remote.routerId ?? "10.0.0.2"}"
  port = 179
[[neighbors]]
  [neighbors.config]
    neighbor-address = "${remote.neighbor}"
    peer-as = ${remote.ourAsn ?? 65001}
    ${remote.password ? `auth-password = "${remote.password}"` : ""}
  [neighbors.timers.config]
    connect-retry = 1
    hold-time = ${remote.holdTime ?? 90}
    keepalive-interval = ${Math.floor((remote.holdTime ?? 90) / 3)}
  [neighbors.transport.config]
    passive-mode = ${remote.passive ?? false}
  ${remote.ttlSecurity ? "[neighbors.ttl-security.config]\n    enabled = true\n    ttl-min = 255" : ""}
${families.join("")}`;
}

async function startFrr(remote: Remote): Promise<Frr> {
  const daemons = remote.interface ? (["zebra", "bgpd"] as const) : (["bgpd"] as const);
  const frr = await Frr.start(nodes.frr, frrConfig(remote), { daemons });
  cleanups.push(() => frr.close());
  return frr;
}

async function startBird(remote: Remote): Promise<Bird> {
  const bird = await Bird.start(nodes.bird, birdConfig(remote));
  cleanups.push(() => bird.close());
  return bird;
}

/** Resolves with the daemon's own "Established with us". */
async function startDaemon(daemon: Daemon, remote: Remote): Promise<(timeout?: number) => Promise<unknown>> {
  if (daemon === "frr") {
    const frr = await startFrr(remote);
    return (timeout) => frr.waitEstablished(remote.neighbor, timeout);
  }
  if (daemon === "bird") {
    const bird = await startBird(remote);
    return (timeout) => bird.waitEstablished("underlay", timeout);
  }
  const gobgp = await Gobgp.start(nodes.gobgp, gobgpConfig(remote));
  cleanups.push(() => gobgp.close());
  return (timeout) => gobgp.waitEstablished(remote.neighbor, timeout);
}

interface Us {
  readonly manager: SessionManager;
  readonly handler: RecordingHandler;
  status(name?: string): PeerStatus;
  up(name?: string): Promise<unknown>;
}

/** Our side, AS 65001, router id 10.0.0.1, listening on port 179 of `us`. */
async function startUs(...peers: Partial<PeerOptions>[]): Promise<Us> {
  const handler = new RecordingHandler();
  const manager = new SessionManager({
    handler,
    clock: systemClock,
    log: new RecordingLog(),
    listenPort: 179,
    listenAddresses: [],
  });
  for (const options of peers) manager.addPeer(peerOptions({ remoteAsn: 65002, connectRetry: 5, ...options }));
  await manager.start();
  cleanups.push(() => manager.stop("restart"));
  const status = (name = peers[0].name ?? "peer") => {
    const found = manager.status().find((peer) => peer.name === name);
    if (!found) throw new Error(`no peer ${name}`);
    return found;
  };
  const up = (name?: string) =>
    waitFor(
      () => {
        if (status(name).state === "Established") return true;
        throw new Error(`${status(name).state}, ${status(name).lastError}`);
      },
      `our session with ${name ?? "the peer"}`,
      { timeout: 25_000 },
    );
  return { manager, handler, status, up };
}

const bytes = (text: string) => parseAddress(text)!;
const key = (text: string) => new TextEncoder().encode(text);
const v4 = (daemon: Daemon) => ({ us: `10.${subnet[daemon]}.0.1`, them: `10.${subnet[daemon]}.0.2` });
const v6 = (daemon: Daemon) => ({ us: `2001:db8:${subnet[daemon]}::1`, them: `2001:db8:${subnet[daemon]}::2` });

type Case = [what: string, daemon: Daemon, family: 4 | 6, ours: Partial<PeerOptions>, theirs: Partial<Remote>];
const secret = { password: key("Sesame-1") };
const cases: Case[] = [
  ["we connect, IPv4", "frr", 4, {}, { passive: true }],
  ["they connect, IPv4", "frr", 4, { passive: true }, {}],
  ["we connect, IPv6", "frr", 6, {}, { passive: true }],
  ["they connect, IPv6", "frr", 6, { passive: true }, {}],
  ["both at once, with MD5", "frr", 4, secret, { password: "Sesame-1" }],
  ["they connect, MD5, IPv6", "frr", 6, { ...secret, passive: true }, { password: "Sesame-1" }],
  ["we connect, GTSM", "frr", 4, { ttlSecurity: true }, { ttlSecurity: true, passive: true }],
  ["they connect, GTSM, IPv6", "frr", 6, { ttlSecurity: true, passive: true }, { ttlSecurity: true }],
  ["we connect, IPv4", "bird", 4, {}, { passive: true }],
  ["they connect, IPv4", "bird", 4, { passive: true }, {}],
  ["we connect, IPv6", "bird", 6, {}, { passive: true }],
  ["they connect, IPv6", "bird", 6, { passive: true }, {}],
  ["both at once, with MD5", "bird", 4, secret, { password: "Sesame-1" }],
  ["we connect, MD5, IPv6", "bird", 6, secret, { password: "Sesame-1", passive: true }],
  ["they connect, GTSM", "bird", 4, { ttlSecurity: true, passive: true }, { ttlSecurity: true }],
  ["we connect, GTSM, IPv6", "bird", 6, { ttlSecurity: true }, { ttlSecurity: true, passive: true }],
  ["iBGP", "bird", 4, { remoteAsn: "internal" }, { asn: 65001 }],
  [
    "four-octet AS numbers",
    "bird",
    4,
    { localAsn: 4200000001, remoteAsn: 4200000002 },
    { asn: 4200000002, ourAsn: 4200000001 },
  ],
  ["we connect, IPv4", "gobgp", 4, {}, { passive: true }],
  ["they connect, IPv4", "gobgp", 4, { passive: true }, {}],
  ["we connect, IPv6", "gobgp", 6, {}, { passive: true }],
  ["we connect, MD5", "gobgp", 4, secret, { password: "Sesame-1", passive: true }],
];

/** What a case shows, by what stands in it. */
function shown(family: 4 | 6, ours: Partial<PeerOptions>, theirs: Partial<Remote>): Feature[] {
  const list: (Feature | false)[] = [
    !ours.passive && "active",
    !theirs.passive && "passive",
    family === 6 && "ipv6",
    ours.password !== undefined && "md5",
    ours.ttlSecurity === true && "gtsm",
    ours.remoteAsn === "internal" && "ibgp",
    ours.localAsn !== undefined && "as4",
  ];
  return list.filter((feature) => feature !== false);
}

describe("Established", () => {
  it.each(cases)("%s: %s over IPv%i", async (_, daemon, family, ours, theirs) => {
    proves(daemon, ...shown(family, ours, theirs));
    const address = family === 4 ? v4(daemon) : v6(daemon);
    const us = await startUs({ address: bytes(address.them), ...ours });
    const theySayEstablished = await startDaemon(daemon, { neighbor: address.us, ...theirs });
    await us.up();
    await theySayEstablished();
    expect(us.handler.sessions.at(-1)?.negotiated).toMatchObject({
      remoteRouterId: 0x0a000002,
      localAddress: bytes(address.us),
      localAddress4: bytes(v4(daemon).us),
      localAddress6: bytes(v6(daemon).us),
      families: [4, 6],
      as4: true,
      routeRefresh: true,
    });
    expect(us.handler.sessions.at(-1)?.negotiated.ifindex).toBeGreaterThan(0);
    expect(us.handler.sessions.at(-1)?.negotiated.localLinkLocal).not.toBeNull();
  });

  // FRR 8.4 alone never connects to a static link-local neighbour ("Waiting for NHT"), so we do.
  it("two neighbours with the same link-local address, told apart by their interface", async () => {
    proves(["bird", "frr"], "link-local");
    const us = await startUs(
      { name: "bird", address: bytes("fe80::2"), interface: "bird", extendedNextHop: true },
      {
        name: "frr",
        address: bytes("fe80::2"),
        interface: "frr",
        remoteAsn: 65003,
        extendedNextHop: true,
      },
    );
    const [bird, frr] = [
      await startBird({ neighbor: "fe80::1", interface: "eth0", passive: true }),
      await startFrr({ neighbor: "fe80::1", interface: "eth0", asn: 65003, routerId: "10.0.0.3" }),
    ];
    await Promise.all([us.up("bird"), us.up("frr"), bird.waitEstablished("underlay"), frr.waitEstablished("fe80::1")]);
    for (const session of us.handler.sessions)
      expect(session.negotiated).toMatchObject({ localLinkLocal: bytes("fe80::1"), extendedNextHop: true });
    expect(us.status("frr").asn).toBe(65003);
    const indexes = new Set(us.handler.sessions.map(({ negotiated }) => negotiated.ifindex));
    expect(indexes.size).toBe(2);
  });

  it("graceful restart and extended next hop are agreed on", async () => {
    const us = await startUs({
      address: bytes("10.2.0.2"),
      gracefulRestart: { time: 120, staleTime: 360, notification: true, longLived: null, partialDeployment: false },
      extendedNextHop: true,
    });
    const bird = await startBird({ neighbor: "10.2.0.1", gracefulRestart: true });
    await us.up();
    expect(us.handler.sessions[0].negotiated.gracefulRestart?.families.size).toBe(2);
    expect(us.handler.sessions[0].negotiated.extendedNextHop).toBe(true);
    expect(await bird.protocol("underlay")).toMatch(/Neighbor capabilities[\s\S]*Restart time: 120[\s\S]*Session:/);
    // The daemon is killed: TCP goes without a NOTIFICATION, and its routes may stay.
    await bird.stop("SIGKILL");
    await waitFor(() => us.handler.downs.length === 1, "down");
    expect(us.handler.downs[0]).toMatchObject({ graceful: true, notification: null });
  });
});

describe("not Established", () => {
  it.each(["frr", "bird"] as const)("wrong MD5 key: %s", async (daemon) => {
    const us = await startUs({ address: bytes(v4(daemon).them), password: key("Sesame-1") });
    await startDaemon(daemon, { neighbor: v4(daemon).us, password: "Sesame-2" });
    await sleep(2_500);
    expect(us.handler.sessions).toEqual([]);
  });

  it("GTSM here, TTL 1 there", async () => {
    const us = await startUs({ address: bytes("10.2.0.2"), ttlSecurity: true });
    await startBird({ neighbor: "10.2.0.1" });
    await sleep(2_500);
    expect(us.handler.sessions).toEqual([]);
  });

  it.each(["frr", "bird", "gobgp"] as const)("they are not in the AS we expect: %s", async (daemon) => {
    const us = await startUs({ address: bytes(v4(daemon).them), remoteAsn: 65099 });
    await startDaemon(daemon, { neighbor: v4(daemon).us, passive: true });
    await waitFor(() => us.status().lastError?.includes("AS 65002, configured is 65099"), "our complaint");
    expect(us.status().lastError).toMatch(/sent NOTIFICATION OPEN Message Error\/Bad Peer AS/);
    expect(us.handler.sessions).toEqual([]);
  });

  it.each(["frr", "bird", "gobgp"] as const)("we are not in the AS they expect: %s", async (daemon) => {
    const us = await startUs({ address: bytes(v4(daemon).them) });
    await startDaemon(daemon, { neighbor: v4(daemon).us, passive: true, ourAsn: 65098 });
    await waitFor(() => us.status().lastError?.includes("received NOTIFICATION OPEN Message Error/Bad Peer AS"), "2/2");
    expect(us.handler.sessions).toEqual([]);
  });

  it.each(["frr", "bird"] as const)("our router id within our AS: %s", async (daemon) => {
    proves(daemon, "bgp-identifier");
    const us = await startUs({ address: bytes(v4(daemon).them), remoteAsn: "internal" });
    await startDaemon(daemon, { neighbor: v4(daemon).us, asn: 65001, routerId: "10.0.0.1" });
    await waitFor(() => /router id|Bad BGP Identifier/.test(us.status().lastError ?? ""), "2/3", { timeout: 15_000 });
    expect(us.handler.sessions).toEqual([]);
  });
});

describe("the end, and back again", () => {
  it("hold timer: FRR is frozen, and thawed", async () => {
    proves("frr", "hold-time");
    const us = await startUs({ address: bytes("10.1.0.2") });
    const frr = await startFrr({ neighbor: "10.1.0.1", holdTime: 3 });
    await us.up();
    expect(us.status().holdTime).toBe(3);
    const pids = (await frr.node.exec("pgrep", "-f", `bgpd -N ${nodes.frr.netns} `)).trim().split("\n").map(Number);
    for (const pid of pids) process.kill(pid, "SIGSTOP");
    const frozen = performance.now();
    await waitFor(() => us.handler.downs.length === 1, "down");
    expect(performance.now() - frozen).toBeGreaterThan(1_900);
    expect(us.handler.downs[0]).toMatchObject({
      reason: expect.stringContaining("hold timer expired (3 s without a message)"),
      graceful: false,
    });
    for (const pid of pids) process.kill(pid, "SIGCONT");
    await us.up();
    await frr.waitEstablished("10.1.0.1");
  });

  it("hold timer: the link dies on both, and comes back", async () => {
    proves("bird", "hold-time");
    const us = await startUs({ address: bytes("10.2.0.2"), holdTime: 3 });
    const bird = await startBird({ neighbor: "10.2.0.1", holdTime: 90 });
    await us.up();
    nodes.bird.ip("link", "set", "eth0", "down");
    await waitFor(() => us.handler.downs.length === 1, "down");
    expect(us.handler.downs[0].reason).toMatch(/hold timer expired|unreachable/);
    nodes.bird.ip("link", "set", "eth0", "up");
    nodes.bird.addAddress("eth0", "2001:db8:2::2/64");
    nodes.bird.addAddress("eth0", "fe80::2/64");
    await us.up();
    await bird.waitEstablished("underlay");
  });

  it.each([
    ["SIGTERM", /received NOTIFICATION Cease|closed by the neighbour/],
    ["SIGKILL", /closed by the neighbour|reset by the neighbour/],
  ] as const)("FRR restarts by %s", async (signal, reason) => {
    const us = await startUs({ address: bytes("10.1.0.2") });
    const frr = await startFrr({ neighbor: "10.1.0.1" });
    await us.up();
    await frr.restart(signal);
    await waitFor(() => us.handler.downs.length >= 1, "down");
    expect(us.handler.downs[0].reason).toMatch(reason);
    await us.up();
    await frr.waitEstablished("10.1.0.1");
    expect(us.status().establishedCount).toBeGreaterThanOrEqual(2);
  });

  it("texts of an administrative shutdown arrive both ways (RFC 9003)", async () => {
    proves("frr", "shutdown-communication", "cease-subcodes");
    const us = await startUs({ address: bytes("10.1.0.2") });
    const frr = await startFrr({ neighbor: "10.1.0.1" });
    await us.up();
    await frr.configure("router bgp 65002\n neighbor 10.1.0.1 shutdown message rack move\n");
    await waitFor(() => us.handler.downs.length === 1, "down");
    expect(us.status().lastError).toBe('received NOTIFICATION Cease/Administrative Shutdown: "rack move"');
    await frr.configure("router bgp 65002\n no neighbor 10.1.0.1 shutdown\n");
    await us.up();
    await frr.waitEstablished("10.1.0.1");
    await us.manager.stop("shutdown", "see you later");
    const told = async () => JSON.stringify(await frr.neighbor("10.1.0.1")).includes("see you later");
    await waitFor(told, "FRR to show our text");
  });

  it("route refresh both ways", async () => {
    proves("frr", "route-refresh");
    const us = await startUs({ address: bytes("10.1.0.2") });
    const frr = await startFrr({ neighbor: "10.1.0.1" });
    await us.up();
    await frr.waitEstablished("10.1.0.1");
    await frr.vtysh("clear bgp ipv6 unicast 10.1.0.1 in");
    await waitFor(() => us.handler.refreshes.includes(6), "a refresh from FRR");
    expect(us.manager.requestRefresh("peer", 4)).toBe(true);
    const received = async () =>
      ((await frr.neighbor("10.1.0.1"))["messageStats"] as { routeRefreshRecv: number }).routeRefreshRecv === 1;
    await waitFor(received, "FRR to count our refresh");
  });

  it("both connect at once, ten times in a row", async () => {
    proves("bird", "collision");
    const us = await startUs({ address: bytes("10.2.0.2") });
    const bird = await startBird({ neighbor: "10.2.0.1" });
    for (let round = 0; round < 10; round++) {
      await us.up();
      await bird.waitEstablished("underlay");
      if (round % 2 === 0) us.manager.reset("peer", "again");
      else await bird.birdc("restart underlay");
      await waitFor(() => us.handler.downs.length > round, "the end of the session");
    }
    await us.up();
    await bird.waitEstablished("underlay");
    expect(us.handler.sessions.length - us.handler.downs.length).toBe(1);
  });
});
