// Graceful restart in the helper's role against FRR, BIRD and GoBGP: kill -9, SIGTERM, a cleared session, a hold timer, each
// with and without what RFC 8538 says of NOTIFICATIONs. The kernels on both sides are watched: what may stay is not gone for
// a moment.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Deletions } from "./support/deletions.ts";
import {
  bird,
  frr,
  gobgp,
  hasBlock,
  installed,
  lost,
  nodes,
  own4,
  pids,
  restartGobgp,
  routeOf,
  startRig,
  stopRig,
  underlay,
  whole,
} from "./support/graceful-restart.ts";
import { proves } from "./support/proofs.ts";
import { waitFor } from "./support/wait.ts";

beforeAll(() => startRig("gr-helper"));
afterAll(stopRig);

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
    expect((await underlay.peer("frr")).lastReset?.reason).toContain("Cease/Hard Reset (Cease/Administrative Reset");
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
    expect((await underlay.peer("frr")).lastReset?.reason).toContain("NOTIFICATION Cease/Administrative Reset");
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
        const { lastReset, stale } = await underlay.peer(name);
        expect(lastReset?.reason).toContain("hold timer expired");
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
