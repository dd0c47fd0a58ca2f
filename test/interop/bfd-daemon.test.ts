// underlayd with BFD beside its sessions, against FRR and BIRD: a path that fails while the link stays up ends the BGP
// session at once, its routes leave the kernel, and everything comes back with the path.
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { distFile } from "../../net/dist.ts";
import { Bird } from "./support/bird.ts";
import { Deletions } from "./support/deletions.ts";
import { Frr } from "./support/frr.ts";
import { Lab, type Node } from "./support/namespace.ts";
import { announce, attributes, openMessage, RawPeer } from "./support/raw-peer.ts";
import { Underlay } from "./support/underlay.ts";
import { sleep, waitFor } from "./support/wait.ts";

const SHARED = "198.51.100.0/24";
const BLOCK = "10.244.1.0/26";

const yaml = `
node: { name: node1, asn: 65101, routerId: 10.0.0.11 }
pools: { default: { blocks: [${BLOCK}] } }
peers:
  frr: { address: 10.1.0.2, asn: 65001, families: [ipv4], import: all, export: blocks, connectRetry: 1s, bfd: { interval: 300ms, multiplier: 3 } }
  bird: { address: 10.2.0.2, asn: 65002, families: [ipv4], import: all, export: blocks, connectRetry: 1s, bfd: true }
  plain: { address: 10.2.0.3, asn: 65003, families: [ipv4], import: all, export: blocks, passive: true }
`;

const frrConfig = `
bfd
 profile fast
  transmit-interval 300
  receive-interval 300
router bgp 65001
 bgp router-id 10.0.0.1
 no bgp ebgp-requires-policy
 no bgp network import-check
 bgp graceful-restart
 bgp graceful-restart preserve-fw-state
 neighbor 10.1.0.1 remote-as 65101
 neighbor 10.1.0.1 bfd profile fast
 neighbor 10.1.0.1 timers connect 1
 address-family ipv4 unicast
  network ${SHARED}
`;

const birdConfig = `
router id 10.0.0.2;
protocol device {}
protocol bfd { interface "*" { interval 300 ms; multiplier 3; }; }
protocol static s4 { ipv4; route ${SHARED} blackhole; }
protocol bgp node1 {
  local as 65002; neighbor 10.2.0.1 as 65101; bfd on;
  connect retry time 1; connect delay time 1; error wait time 1, 2;
  ipv4 { import all; export where source = RTS_STATIC; };
}
`;

let lab: Lab;
let us: Node;
let underlay: Underlay;
let frr: Frr;
let bird: Bird;

beforeAll(async () => {
  lab = new Lab("bfdd");
  us = lab.addNode("us");
  const nodes = { frr: lab.addNode("frr"), bird: lab.addNode("bird") };
  lab.link(
    { node: us, name: "frr", addresses: ["10.1.0.1/24"] },
    { node: nodes.frr, name: "eth0", addresses: ["10.1.0.2/24"] },
  );
  lab.link(
    { node: us, name: "bird", addresses: ["10.2.0.1/24"] },
    { node: nodes.bird, name: "eth0", addresses: ["10.2.0.2/24"] },
  );
  [frr, bird, underlay] = await Promise.all([
    Frr.start(nodes.frr, frrConfig, { daemons: ["zebra", "bgpd", "bfdd"] }),
    Bird.start(nodes.bird, birdConfig),
    Underlay.start(us, yaml),
  ]);
});

afterAll(async () => {
  await underlay?.stop();
  await Promise.all([frr?.close(), bird?.close()]);
  await lab.close();
});

const gateways = async () => (await underlay.kernel(4)).find(({ dst }) => dst === SHARED)?.gateways ?? [];
const protectedBy = (name: string) =>
  waitFor(async () => {
    const { state, bfd } = await underlay.peer(name);
    return state === "Established" && bfd?.state === "Up";
  }, `${name} Established, with BFD`);

/** Drops everything that comes in; the link stays up. */
const cut = (device: string) =>
  us.exec(
    "nft",
    `add table netdev t; add chain netdev t c { type filter hook ingress device ${device} priority 0; }; add rule netdev t c drop`,
  );

/** Nothing that a test has cut stays so for the next one. */
afterEach(() => us.exec("nft", "flush", "ruleset"));

describe("underlayd with BFD", () => {
  it("shows the BFD sessions of the peers that have one", async () => {
    await Promise.all([protectedBy("frr"), protectedBy("bird")]);
    const { bfd } = await underlay.peer("frr");
    expect(bfd).toMatchObject({ state: "Up", remoteState: "Up", interval: 300, detectionTime: 900, multiplier: 3 });
    expect((await underlay.peer("plain")).bfd).toBeNull();
    const text = await us.exec(
      process.execPath,
      distFile("underlayctl.cjs"),
      "--socket",
      underlay.socket,
      "peers",
      "frr",
    );
    expect(text).toMatch(/bfd +Up, up .*, \d times/);
    expect(text).toContain("(neighbour Up), sent every 300 ms x 3, down after 900 ms of silence");
    const metrics = await us.exec("curl", "-s", "--unix-socket", underlay.socket, "http://localhost/metrics");
    expect(metrics).toContain('underlay_bfd_up{peer="frr"} 1');
    expect(metrics).toMatch(/underlay_bfd_packets_total\{peer="bird",kind="received"\} [1-9]/);
    await waitFor(async () => (await gateways()).length === 2, `${SHARED} through both`);
  });

  it.each([
    ["frr", "10.2.0.2"],
    ["bird", "10.1.0.2"],
  ])("ends the session with %s when the path fails, within 1.5 s and down to the kernel", async (name, other) => {
    await Promise.all([protectedBy("frr"), protectedBy("bird")]);
    await waitFor(async () => (await gateways()).length === 2, `${SHARED} through both`);
    const before = (await underlay.peer(name)).establishedCount;
    const start = performance.now();
    await cut(name);
    const gone = async () => {
      const left = await gateways();
      return left.length === 1 && left[0] === other;
    };
    await waitFor(gone, `${SHARED} through ${other} only`, { interval: 20 });
    expect(performance.now() - start).toBeLessThan(1_500);
    const { state, lastReset, bfd } = await underlay.peer(name);
    expect(state).not.toBe("Established");
    expect(lastReset?.reason).toMatch(/BFD session down: nothing received for 9\d\d ms|BFD Down/);
    expect(bfd?.state).toBe("Down");
    await us.exec("nft", "flush", "ruleset");
    await protectedBy(name);
    expect((await underlay.peer(name)).establishedCount).toBe(before + 1);
  });

  it("keeps BGP up when the neighbour shuts its BFD down, and says in its status that nobody watches", async () => {
    await Promise.all([protectedBy("frr"), protectedBy("bird")]);
    const { establishedCount } = await underlay.peer("frr");
    await frr.configure("bfd\n profile fast\n  shutdown\n");
    await waitFor(async () => (await underlay.peer("frr")).bfd?.state === "Down", "BFD with FRR down");
    expect(await underlay.peer("frr")).toMatchObject({
      state: "Established",
      establishedCount,
      bfd: { remoteState: "AdminDown" },
    });
    expect((await underlay.status()).problems).toContain("BFD with peer frr is Down");
    await frr.configure("bfd\n profile fast\n  no shutdown\n");
    await protectedBy("frr");
    expect((await underlay.peer("frr")).establishedCount).toBe(establishedCount);
  });

  it("says AdminDown when it is restarted, and FRR keeps our block meanwhile (RFC 4724, RFC 5882)", async () => {
    const hasBlock = async () => (await frr.node.exec("ip", "route")).includes(BLOCK);
    await protectedBy("frr");
    await waitFor(hasBlock, "our block in FRR's kernel");
    await underlay.stop();
    const [session] = await frr.json<{ status: string; "remote-diagnostic": string }[]>("show bfd peers json");
    expect(session).toMatchObject({ status: "down", "remote-diagnostic": "administratively down" });
    await sleep(1_500);
    expect(await hasBlock()).toBe(true);
    await underlay.start();
    const lost = (async () => {
      for (let look = 0; look < 20; look++, await sleep(50)) if (!(await hasBlock())) return true;
      return false;
    })();
    await protectedBy("frr");
    expect(await lost).toBe(false);
  });

  it("is killed: FRR, which sees BFD fail after the session, keeps our block", async () => {
    await protectedBy("frr");
    await waitFor(async () => (await frr.node.exec("ip", "route")).includes(BLOCK), "our block in FRR's kernel");
    const deletions = await Deletions.watch(frr.node);
    await underlay.stop("SIGKILL");
    const bfdDown = async () =>
      (await frr.json<{ status: string }[]>("show bfd peers json")).every(({ status }) => status === "down");
    await waitFor(bfdDown, "FRR's BFD down");
    await sleep(1_000);
    await underlay.start();
    await protectedBy("frr");
    expect(await deletions.end(BLOCK)).toEqual([]);
  });

  it("stays up while a neighbour sends 1,000,000 routes and they go into the kernel", async () => {
    await Promise.all([protectedBy("frr"), protectedBy("bird")]);
    const counts = async () => [(await underlay.peer("frr")).bfd?.upCount, (await underlay.peer("bird")).bfd?.upCount];
    const before = await counts();
    bird.node.addAddress("eth0", "10.2.0.3/24");
    const leave = bird.node.enter();
    let raw: RawPeer;
    try {
      raw = await RawPeer.established("10.2.0.1", "10.2.0.3", openMessage({ asn: 65003, holdTime: 0 }));
    } finally {
      leave();
    }
    const route = attributes({ asn: 65003, nextHop: [10, 2, 0, 3] });
    for (let from = 0; from < 1_000_000; from += 800) raw.send(announce(from, 800, route));
    await waitFor(async () => (await underlay.status()).kernel.installed >= 1_000_000, "the routes in the kernel", {
      timeout: 80_000,
      interval: 500,
    });
    expect(await counts()).toEqual(before);
    raw.close();
    await waitFor(async () => (await underlay.status()).kernel.installed < 100, "the routes to be gone", {
      timeout: 80_000,
      interval: 500,
    });
    expect(await counts()).toEqual(before);
    const downs = underlay.log
      .split("\n")
      .filter((line) => line.includes('"bfd session"') && line.includes("nothing received"));
    expect(downs.every((line) => line.includes("detection time 900 ms"))).toBe(true);
  });

  it.each([
    ["shares the fate of its control plane: its routes stay for the restart time", "", true],
    ["does not, as its C bit says: its routes go at once (RFC 5882 §4.3.1)", " check-control-plane-failure", false],
  ])("goes down while FRR restarts, and its BFD %s", async (_, option, stays) => {
    await frr.configure(
      `router bgp 65001\n no neighbor 10.1.0.1 bfd\n neighbor 10.1.0.1 bfd${option}\n neighbor 10.1.0.1 bfd profile fast\n`,
    );
    await waitFor(async () => (await underlay.peer("frr")).bfd?.remoteIndependent === !stays, "the C bit");
    // A session that bfdd knows by itself outlives bgpd. It is set up anew when it becomes one, a moment later.
    await frr.configure("bfd\n peer 10.1.0.1 interface eth0\n  profile fast\n");
    await sleep(1_000);
    await waitFor(async () => {
      const { state, bfd } = await underlay.peer("frr");
      return state === "Established" && bfd?.state === "Up" && bfd.uptime !== null && bfd.uptime >= 1;
    }, "a settled BFD session");
    await waitFor(async () => (await gateways()).includes("10.1.0.2"), `${SHARED} through FRR`);
    await waitFor(async () => (await underlay.peer("frr")).stale === 0, "its End-of-RIB");
    const all = (await us.exec("ip", "netns", "pids", frr.node.netns)).split("\n");
    const bgpd = (await us.exec("pgrep", "-f", "/bgpd ")).split("\n").filter((pid) => pid && all.includes(pid));
    for (const pid of bgpd) process.kill(Number(pid), "SIGKILL");
    try {
      await waitFor(async () => (await underlay.peer("frr")).helper?.phase === "restarting", "FRR to be missed");
      // bfdd sometimes sets its session up once more when bgpd is gone.
      await waitFor(async () => (await underlay.peer("frr")).bfd?.state === "Up", "BFD without bgpd");
      await cut("frr");
      await waitFor(async () => (await underlay.peer("frr")).bfd?.state === "Down", "BFD down");
      if (stays) {
        await sleep(1_000);
        expect((await underlay.peer("frr")).stale).toBeGreaterThan(0);
      } else {
        await waitFor(async () => (await underlay.peer("frr")).helper === null, "the end of the restart", {
          timeout: 1_000,
        });
        expect(underlay.log).toContain("graceful restart ended: stale routes withdrawn");
      }
    } finally {
      await us.exec("nft", "flush", "ruleset");
      await frr.restart("SIGKILL");
    }
    await protectedBy("frr");
  });
});
