// Graceful restart in both roles against FRR, BIRD and GoBGP: kill -9, SIGTERM, a cleared session, a hold timer, each with and
// without what RFC 8538 says of NOTIFICATIONs; the F bit after state was lost; long-lived graceful restart. The kernels on both
// sides are watched: what may stay is not gone for a moment.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { PeerView } from "../../bgp/views.ts";
import { Bird } from "./support/bird.ts";
import { Deletions } from "./support/deletions.ts";
import { Frr } from "./support/frr.ts";
import { Gobgp } from "./support/gobgp.ts";
import { Lab, type Node } from "./support/namespace.ts";
import { proves } from "./support/proofs.ts";
import { Underlay } from "./support/underlay.ts";
import { waitFor } from "./support/wait.ts";

const BLOCK4 = "10.244.1.0/26";
const BLOCK6 = "2001:db8:244:1::/122";
const names = ["frr", "bird", "gobgp"] as const;
type Name = (typeof names)[number];
const number: Record<Name, number> = { frr: 1, bird: 2, gobgp: 3 };
const own4 = (name: Name) => `203.0.113.${number[name] * 16}/28`;
const OWN6 = "2001:db8:f1::/48";
const address = (name: Name) => `10.${number[name]}.0.2`;

const yaml = (gracefulRestart: string) => `
node: { name: node1, asn: 65101, routerId: 10.0.0.11 }
pools: { default: { blocks: [${BLOCK4}, "${BLOCK6}"] } }
bgp: { deferralTime: 20s }
peers:
${names
  .map(
    (name) =>
      `  ${name}: { address: ${address(name)}, asn: ${65000 + number[name]}, families: [${name === "frr" ? "ipv4, ipv6" : "ipv4"}], import: all, export: all, holdTime: 9s, connectRetry: 1s, gracefulRestart: ${gracefulRestart} }`,
  )
  .join("\n")}
`;

const frrConfig = `
router bgp 65001
 bgp router-id 10.0.0.1
 no bgp ebgp-requires-policy
 no bgp network import-check
 bgp graceful-restart
 bgp graceful-restart preserve-fw-state
 bgp graceful-restart notification
 bgp long-lived-graceful-restart stale-time 120
 timers bgp 3 9
 neighbor 10.1.0.1 remote-as 65101
 neighbor 10.1.0.1 timers connect 1
 address-family ipv4 unicast
  network ${own4("frr")}
 exit-address-family
 address-family ipv6 unicast
  neighbor 10.1.0.1 activate
  network ${OWN6}
 exit-address-family
`;

const birdConfig = (graceful: string) => `
router id 10.0.0.2;
protocol device {}
protocol kernel { ipv4 { export all; }; persist; graceful restart on; }
protocol static s4 { ipv4; route ${own4("bird")} blackhole; }
protocol bgp node1 {
  local as 65002; neighbor 10.2.0.1 as 65101; hold time 9;
  connect retry time 1; connect delay time 1; error wait time 1, 2;
  ${graceful}
  ipv4 { import all; export where source = RTS_STATIC; };
}
`;
const birdGraceful = "graceful restart on; graceful restart time 60; long lived graceful restart off;";

const gobgpConfig = (restartTime: number) => `
[global.config]
  as = 65003
  router-id = "10.0.0.3"
[[neighbors]]
  [neighbors.config]
    neighbor-address = "10.3.0.1"
    peer-as = 65101
  [neighbors.timers.config]
    connect-retry = 1
    hold-time = 9
    keepalive-interval = 3
  [neighbors.graceful-restart.config]
    enabled = true
    restart-time = ${restartTime}
    notification-enabled = true
    long-lived-enabled = true
  [[neighbors.afi-safis]]
    [neighbors.afi-safis.config]
      afi-safi-name = "ipv4-unicast"
    [neighbors.afi-safis.mp-graceful-restart.config]
      enabled = true
    [neighbors.afi-safis.long-lived-graceful-restart.config]
      enabled = true
      restart-time = 120
`;

let lab: Lab;
let underlay: Underlay;
let frr: Frr;
let bird: Bird;
let gobgp: Gobgp;
const nodes = {} as Record<Name | "us", Node>;

/** GoBGP says End-of-RIB when its session is up: its route has to be there before. */
async function restartGobgp(): Promise<void> {
  const rule = "add table inet t; add chain inet t c { type filter hook input priority 0; }; add rule inet t c tcp";
  await nodes.gobgp.exec("nft", `${rule} dport 179 drop; add rule inet t c tcp sport 179 drop`);
  await gobgp.restart("SIGTERM", "-r");
  await gobgpAnnounce();
  await nodes.gobgp.exec("nft", "flush", "ruleset");
}

const gobgpAnnounce = () => gobgp.gobgp("global", "rib", "add", "-a", "ipv4", own4("gobgp"), "origin", "igp");

beforeAll(async () => {
  lab = new Lab("gr");
  nodes.us = lab.addNode("us");
  for (const name of names) {
    nodes[name] = lab.addNode(name);
    const n = number[name];
    lab.link(
      { node: nodes.us, name, addresses: [`10.${n}.0.1/24`, `2001:db8:${n}::1/64`] },
      { node: nodes[name], name: "eth0", addresses: [`10.${n}.0.2/24`, `2001:db8:${n}::2/64`] },
    );
  }
  [frr, bird, gobgp, underlay] = await Promise.all([
    Frr.start(nodes.frr, frrConfig, { daemons: ["zebra", "bgpd"] }),
    Bird.start(nodes.bird, birdConfig(birdGraceful)),
    Gobgp.start(nodes.gobgp, gobgpConfig(60)),
    Underlay.start(nodes.us, yaml("{ time: 60s }")),
  ]);
  await gobgpAnnounce();
  await whole();
});

afterAll(async () => {
  await underlay?.stop();
  await Promise.all([frr?.close(), bird?.close(), gobgp?.close()]);
  await lab.close();
});

/** Every session up, every table complete, nothing stale. */
async function whole(): Promise<void> {
  for (const name of names) await underlay.waitEstablished(name, 60_000);
  await waitFor(
    async () => {
      const peers = await underlay.ctl<PeerView[]>("peers");
      return peers.every(({ stale, accepted }) => stale === 0 && accepted > 0);
    },
    "fresh routes of everybody",
    { timeout: 60_000 },
  );
  for (const name of names) await waitFor(() => hasBlock(name), `our block at ${name}`, { timeout: 60_000 });
}

const routeOf = async (name: Name) => (await underlay.received(name)).find(({ prefix }) => prefix === own4(name));
const installed = async (name: Name) => (await underlay.kernel(4)).some(({ dst }) => dst === own4(name));
const lost = async (name: Name) => {
  const before = (await underlay.peer(name)).establishedCount;
  return {
    before,
    seen: () =>
      waitFor(
        async () => {
          const { state, establishedCount } = await underlay.peer(name);
          return state !== "Established" || establishedCount > before;
        },
        `the loss of ${name}`,
        { timeout: 40_000 },
      ),
    back: () =>
      waitFor(
        async () => {
          const { state, establishedCount } = await underlay.peer(name);
          return state === "Established" && establishedCount > before;
        },
        `${name} to be back`,
        { timeout: 60_000 },
      ),
  };
};

async function hasBlock(name: Name): Promise<boolean> {
  if (name === "gobgp") return JSON.stringify(await gobgp.json("global", "rib", "-a", "ipv4")).includes(BLOCK4);
  return (await nodes[name].exec("ip", "route")).includes(BLOCK4);
}

/** Processes of a daemon in a node's namespace. */
async function pids(node: Node, pattern: string): Promise<number[]> {
  const all = (await node.exec("sh", "-c", `ip netns pids ${node.netns}`)).split("\n").filter(Boolean).map(Number);
  const wanted = (await node.exec("pgrep", "-f", pattern)).split("\n").filter(Boolean).map(Number);
  return all.filter((pid) => wanted.includes(pid));
}

describe("the neighbour restarts", () => {
  it.each([
    ["frr", "SIGKILL"],
    ["frr", "SIGTERM"],
    ["bird", "SIGKILL"],
    ["gobgp", "SIGKILL"],
    ["gobgp", "SIGTERM"],
  ] as const)("%s by %s: its routes stay, as stale, past its return", async (name, signal) => {
    proves(name, "gr-helper");
    await whole();
    const deletions = await Deletions.watch(nodes.us);
    const { seen } = await lost(name);
    await { frr, bird, gobgp }[name].stop(signal);
    await seen();
    expect((await routeOf(name))?.stale).toBe(true);
    expect((await underlay.peer(name)).helper?.phase).toBe("restarting");
    expect(await installed(name)).toBe(true);
    // Without -R BIRD does not wait: its End-of-RIB can come before its own static route, which then has to go.
    if (name === "gobgp") await restartGobgp();
    else await (name === "bird" ? bird.restart("SIGTERM", "-R") : frr.restart());
    await whole();
    expect(await deletions.end(own4(name))).toEqual([]);
  });
});

describe("a NOTIFICATION (RFC 8538)", () => {
  it("FRR's reset is a hard one: its routes go, and come back", async () => {
    proves("frr", "gr-notification");
    await whole();
    const deletions = await Deletions.watch(nodes.us);
    const { back } = await lost("frr");
    await frr.vtysh("clear bgp 10.1.0.1");
    await back();
    expect((await underlay.peer("frr")).lastError).toContain("Cease/Hard Reset (Cease/Administrative Reset");
    await whole();
    expect(await deletions.end(own4("frr"))).toHaveLength(1);
  });

  it("FRR's reset that is no hard one: its routes stay", async () => {
    proves("frr", "gr-notification");
    await whole();
    await frr.configure("router bgp 65001\n no bgp hard-administrative-reset\n");
    const deletions = await Deletions.watch(nodes.us);
    const { back } = await lost("frr");
    await frr.vtysh("clear bgp 10.1.0.1");
    await back();
    expect((await underlay.peer("frr")).lastError).toContain("NOTIFICATION Cease/Administrative Reset");
    await whole();
    expect(await deletions.end(own4("frr"))).toEqual([]);
    await frr.configure("router bgp 65001\n bgp hard-administrative-reset\n");
  });

  it("GoBGP's reset: its routes stay", async () => {
    proves("gobgp", "gr-notification");
    await whole();
    const deletions = await Deletions.watch(nodes.us);
    const { seen, back } = await lost("gobgp");
    await gobgp.gobgp("neighbor", "10.3.0.1", "reset");
    await seen();
    expect((await routeOf("gobgp"))?.stale).toBe(true);
    // When it is back GoBGP does not set the F bit, whatever RFC 8538 §4 says, and what it had before goes.
    expect(await deletions.end(own4("gobgp"))).toEqual([]);
    await back();
  });

  it.each(["frr", "gobgp"] as const)(
    "our hold timer expires because %s is frozen: its routes stay until it is back",
    async (name) => {
      proves(name, "gr-notification");
      await whole();
      const deletions = await Deletions.watch(nodes.us);
      const { seen } = await lost(name);
      const frozen = await pids(nodes[name], name === "frr" ? "/bgpd " : "gobgpd ");
      expect(frozen.length).toBeGreaterThan(0);
      for (const pid of frozen) process.kill(pid, "SIGSTOP");
      try {
        await seen();
        const { lastError, stale } = await underlay.peer(name);
        expect(lastError).toContain("hold timer expired");
        expect(stale).toBeGreaterThan(0);
        if (name === "gobgp") expect(await deletions.end(own4(name))).toEqual([]);
      } finally {
        for (const pid of frozen) process.kill(pid, "SIGCONT");
      }
      await whole();
      if (name !== "gobgp") expect(await deletions.end(own4(name))).toEqual([]);
    },
  );

  it("a hold timer without the N bit on the other side: BIRD's routes go", async () => {
    await whole();
    const { seen } = await lost("bird");
    const frozen = await pids(nodes.bird, "bird -f");
    for (const pid of frozen) process.kill(pid, "SIGSTOP");
    try {
      await seen();
      await waitFor(async () => !(await installed("bird")), "BIRD's route to go");
    } finally {
      for (const pid of frozen) process.kill(pid, "SIGCONT");
    }
    await whole();
  });

  it("FRR's hold timer expires because we are frozen: our block stays there", async () => {
    proves("frr", "gr-notification");
    await whole();
    const deletions = await Deletions.watch(nodes.frr);
    const frozen = await pids(nodes.us, "underlayd.cjs");
    for (const pid of frozen) process.kill(pid, "SIGSTOP");
    try {
      const gone = async () => (await frr.neighbor("10.1.0.1")).bgpState !== "Established";
      await waitFor(gone, "FRR to lose us", { timeout: 40_000 });
      expect(await hasBlock("frr")).toBe(true);
    } finally {
      for (const pid of frozen) process.kill(pid, "SIGCONT");
    }
    await whole();
    expect(await deletions.end("10.244.1")).toEqual([]);
  });

  it("our shutdown is a hard reset: FRR drops our block at once", async () => {
    proves("frr", "gr-notification");
    await whole();
    await underlay.stop("SIGINT");
    try {
      await waitFor(async () => !(await hasBlock("frr")), "FRR to drop our block", { timeout: 5_000 });
      expect(await frr.neighbor("10.1.0.1")).toMatchObject({
        lastNotificationReason: "Cease/Administrative Shutdown",
        lastNotificationHardReset: true,
      });
    } finally {
      await underlay.start();
    }
    await whole();
  });
});

/** What FRR has heard in our OPEN. */
async function bitsAtFrr(): Promise<{ rBit: boolean; nBit: boolean; ipv4: boolean; ipv6: boolean }> {
  const info = (await frr.neighbor("10.1.0.1"))["gracefulRestartInfo"] as Record<string, Record<string, unknown>> & {
    rBit: boolean;
    nBit: boolean;
  };
  return {
    rBit: info.rBit,
    nBit: info.nBit,
    ipv4: info["ipv4Unicast"]?.["fBit"] as boolean,
    ipv6: info["ipv6Unicast"]?.["fBit"] as boolean,
  };
}

describe("we restart", () => {
  it.each(["SIGTERM", "SIGKILL"] as const)("by %s: nobody misses our block, our kernel nothing", async (signal) => {
    proves(names, "gr-restarting");
    await whole();
    const [ours, atFrr, atBird] = await Promise.all([nodes.us, nodes.frr, nodes.bird].map(Deletions.watch));
    let missing = 0;
    let looks = 0;
    await underlay.stop(signal);
    const look = setInterval(() => {
      void hasBlock("gobgp").then((there) => {
        looks++;
        if (!there) missing++;
      });
    }, 200);
    await waitFor(async () => (await frr.neighbor("10.1.0.1")).bgpState !== "Established", "FRR to lose us");
    await underlay.start();
    await whole();
    expect(await bitsAtFrr()).toEqual({ rBit: true, nBit: true, ipv4: true, ipv6: true });
    await waitFor(async () => (await underlay.status()).kernel.stale === 0, "convergence", { timeout: 40_000 });
    clearInterval(look);
    expect([await ours.end("203.0.113"), await atFrr.end("10.244.1"), await atBird.end("10.244.1")]).toEqual([
      [],
      [],
      [],
    ]);
    expect(missing).toBe(0);
    expect(looks).toBeGreaterThan(0);
  });

  it.each([
    ["the IPv4 routes", ["route", "flush", "table", "7100"], { ipv4: false, ipv6: true }],
    ["all next hops", ["nexthop", "flush"], { ipv4: false, ipv6: false }],
  ] as const)("and %s are gone from the kernel meanwhile: no F bit for that", async (_, command, expected) => {
    proves("frr", "gr-restarting");
    await whole();
    await underlay.stop();
    nodes.us.ip(...command);
    await underlay.start();
    await whole();
    expect(await bitsAtFrr()).toEqual({ rBit: true, nBit: true, ...expected });
  });

  it("for the first time: neither R nor F, and nothing waits", async () => {
    await underlay.stop();
    nodes.us.ip("route", "flush", "table", "7100");
    nodes.us.ip("-6", "route", "flush", "table", "7100");
    for (const family of ["-4", "-6"]) {
      nodes.us.ip(family, "route", "flush", "table", "7000");
      await nodes.us.exec("sh", "-c", `while ip ${family} rule del protocol 201; do :; done 2>/dev/null`);
    }
    nodes.us.ip("nexthop", "flush");
    await underlay.start();
    await whole();
    expect(await bitsAtFrr()).toEqual({ rBit: false, nBit: true, ipv4: false, ipv6: false });
  });
});

/** Who has the route with LLGR_STALE; those who are not running have nothing. */
async function marks(prefix: string): Promise<Name[]> {
  const looks: Record<Name, () => Promise<boolean>> = {
    frr: async () => (await frr.vtysh(`show bgp ipv4 unicast ${prefix} json`)).includes("llgr"),
    bird: async () => (await bird.birdc(`show route ${prefix} all`)).includes("(65535,6)"),
    gobgp: async () => (await gobgp.gobgp("global", "rib", prefix)).includes("llgr-stale"),
  };
  const marked = await Promise.all(names.map((name) => looks[name]().catch(() => false)));
  return names.filter((_, index) => marked[index]);
}

describe("long-lived graceful restart (RFC 9494)", () => {
  beforeAll(async () => {
    await underlay.stop();
    underlay.configure(yaml("{ time: 2s, longLived: 1h }"));
    await bird.configure(
      birdConfig(
        "graceful restart on; graceful restart time 1; long lived graceful restart on; long lived stale time 120;",
      ),
    );
    await gobgp.stop();
    gobgp = await Gobgp.start(nodes.gobgp, gobgpConfig(1));
    await gobgpAnnounce();
    await underlay.start();
    await whole();
  });

  it.each(["bird", "gobgp"] as const)(
    "%s stays away: its route stays as a last resort, marked, for those who know the mark",
    async (name) => {
      proves(name, "llgr");
      await whole();
      const other = name === "bird" ? "gobgp" : "bird";
      const deletions = await Deletions.watch(nodes.us);
      await { bird, gobgp }[name].stop("SIGKILL");
      await waitFor(async () => (await underlay.peer(name)).helper?.phase === "long-lived", "the long-lived phase");
      const [route] = await underlay.ctl<{ communities: string[]; stale: boolean; best: boolean }[]>(
        "routes",
        own4(name),
      );
      expect(route).toMatchObject({ stale: true, best: true });
      expect(route.communities.join()).toMatch(/llgr-stale|65535:6/);
      await waitFor(async () => (await marks(own4(name))).join() === ["frr", other].join(), "the mark at the others");
      await (name === "gobgp" ? restartGobgp() : bird.restart("SIGKILL", "-R"));
      await whole();
      await waitFor(async () => (await marks(own4(name))).length === 0, "the marks to go");
      expect(await deletions.end(own4(name))).toEqual([]);
    },
  );

  it("we stay away: all keep our block, marked, and it is as before when we are back", async () => {
    proves(names, "llgr");
    await whole();
    const deletions = await Deletions.watch(nodes.bird);
    await underlay.stop("SIGKILL");
    try {
      await waitFor(async () => (await marks(BLOCK4)).join() === names.join(), "the marks");
    } finally {
      await underlay.start();
    }
    await whole();
    await waitFor(async () => (await marks(BLOCK4)).length === 0, "the marks to go");
    expect(await deletions.end("10.244.1")).toEqual([]);
  });
});
