// Graceful restart in the restarting speaker's role against FRR, BIRD and GoBGP: SIGTERM and kill -9, the F bit after state
// was lost; long-lived graceful restart, both ways. The kernels on both sides are watched: what may stay is not gone for a
// moment.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Deletions } from "./support/deletions.ts";
import {
  BLOCK4,
  bird,
  birdConfig,
  frr,
  gobgp,
  hasBlock,
  type Name,
  names,
  nodes,
  own4,
  replaceGobgp,
  restartGobgp,
  startRig,
  stopRig,
  underlay,
  whole,
  yaml,
} from "./support/graceful-restart.ts";
import { proves } from "./support/proofs.ts";
import { waitFor } from "./support/wait.ts";

beforeAll(() => startRig("gr"));
afterAll(stopRig);

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
      const looked = (there: boolean) => {
        looks++;
        if (!there) missing++;
      };
      // On a busy machine GoBGP's client gives up now and then: that was no look.
      hasBlock("gobgp").then(looked, () => undefined);
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
    await replaceGobgp(1);
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
