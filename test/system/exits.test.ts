// The ways out of service, measured in lost packets: 1,000 a second and family, to a pod and from it, over two ToRs at once.
// What has another way loses nothing: restart, upgrade, the restart of a ToR, the drain of a session or a node and the way
// back. After a shutdown nobody keeps a route to this node, although all of them would for a restart.
import { cpSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { StatusView } from "../../daemon/api/types.ts";
import type { DrainView } from "../../daemon/lifecycle/drain.ts";
import type { ShutdownView } from "../../daemon/lifecycle/shutdown.ts";
import { distFile } from "../../net/dist.ts";
import { Deletions } from "../interop/support/deletions.ts";
import { run } from "../interop/support/namespace.ts";
import { sleep, waitFor } from "../interop/support/wait.ts";
import { BLOCK4, BLOCK6, FAR4, LossRig } from "./support/loss-rig.ts";
import type { Outcome } from "./support/traffic.ts";

const TORS = ["tor1", "tor2"] as const;
/** Between the ToRs' addresses: a neighbour as each calls it. */
const NODE1 = { tor1: "10.1.1.2", tor2: "node1" } as const;

/** A packet that was lost at the first attempt is lost. */
const ONCE = { retry: 0 };

let rig: LossRig;
beforeAll(async () => {
  rig = await LossRig.start("exits");
});
afterAll(() => rig?.close());

/** Everything arrived, once, in all four directions and families; and there was something to lose. */
function expectNothingLost({ flows, overflows }: Outcome): void {
  const lost = Object.fromEntries(Object.entries(flows).map(([name, { lost, missing }]) => [name, { lost, missing }]));
  expect({ overflows, lost }).toEqual({
    overflows: 0,
    lost: Object.fromEntries(Object.keys(flows).map((name) => [name, { lost: 0, missing: [] }])),
  });
  expect(Object.keys(flows)).toHaveLength(4);
  for (const { sent } of Object.values(flows)) expect(sent).toBeGreaterThan(500);
}

/** Sessions are up again and both sides have what they had. */
async function whole(): Promise<void> {
  await rig.whole();
  await waitFor(async () => (await rig.status()).kernel.stale === 0, "the sweep", { interval: 20 });
}

/** Packets that node1 has sent by an interface. */
function sentBy(device: string): number {
  const [{ stats64 }] = JSON.parse(rig.node1.ip("-s", "-j", "link", "show", device));
  return stats64.tx.packets;
}

/** Nothing is lost while the daemon is replaced, and neither ToR changes its routes for a moment. */
async function expectUnnoticed(restart: () => Promise<void>): Promise<void> {
  const watches = await Promise.all([rig.tor1, rig.tor2].map((tor) => Deletions.watch(tor)));
  expectNothingLost(
    await rig.traffic.during(async () => {
      await restart();
      await whole();
    }),
  );
  const deleted = await Promise.all(watches.map((watch) => watch.end("244")));
  expect(deleted).toEqual([[], []]);
}

describe("restart", ONCE, () => {
  it.each(["SIGTERM", "SIGKILL"] as const)("%s and start: nothing is lost", async (signal) => {
    const pid = (await rig.status()).pid;
    await expectUnnoticed(() => rig.underlay.restart(signal));
    expect((await rig.status()).pid).not.toBe(pid);
  });

  it("upgrade to another build: nothing is lost", async () => {
    const build = join(rig.lab.directory, "dist");
    cpSync(join(distFile("underlayd.cjs"), ".."), build, { recursive: true });
    const file = join(build, "underlayd.cjs");
    const { version } = await rig.status();
    writeFileSync(file, readFileSync(file, "utf8").replaceAll(`"${version}"`, '"99.0.0"'));
    rig.underlay.dist = build;
    await expectUnnoticed(() => rig.underlay.restart());
    expect((await rig.status()).version).toBe("99.0.0");
    rig.underlay.dist = null;
  });
});

describe("a ToR that restarts gracefully", ONCE, () => {
  it("FRR: nothing is lost", async () => {
    expectNothingLost(
      await rig.traffic.during(async () => {
        await rig.frr.restartOne("bgpd", "SIGKILL");
        await rig.frr.waitEstablished(NODE1.tor1);
        await whole();
      }),
    );
  });

  it("BIRD: nothing is lost", async () => {
    expectNothingLost(
      await rig.traffic.during(async () => {
        await rig.bird.restart("SIGKILL", "-R");
        await rig.bird.waitEstablished(NODE1.tor2);
        await whole();
      }),
    );
  });
});

describe("drain of one session", ONCE, () => {
  beforeAll(() => rig.joinTors());

  it.each(TORS)("with %s and back: nothing is lost, and nothing goes that way", async (tor) => {
    const device = tor === "tor1" ? "eth0" : "eth1";
    let before = 0;
    let after = 0;
    expectNothingLost(
      await rig.traffic.during(async () => {
        const view = await rig.underlay.ctl<DrainView>("drain", tor, "--wait", "0.5");
        expect(view).toMatchObject({ state: "serving", peers: [{ name: tor, state: "drained" }] });
        before = sentBy(device);
        await sleep(300);
        after = sentBy(device);
      }),
    );
    // BGP itself is quiet there, too.
    expect(after - before).toBeLessThan(20);
    const peer = await rig.underlay.peer(tor);
    expect(peer).toMatchObject({ state: "Idle", lastError: expect.stringContaining("drained for maintenance") });
    expect(await rig.status()).toMatchObject({ state: "ok", problems: [] });

    // Once is enough: it stays drained over a restart, and nobody waits for it; and over a reload that would reset it.
    if (tor === "tor1") {
      await rig.underlay.restart();
      expect((await rig.underlay.peer(tor)).state).toBe("Idle");
      await waitFor(async () => (await rig.status()).kernel.stale === 0, "convergence without it", { interval: 20 });
      await rig.reload((yaml) => yaml.replace("holdTime: 9s", "holdTime: 12s"));
      expect(await rig.underlay.peer(tor)).toMatchObject({ state: "Idle", timers: { holdTime: { local: 12 } } });
    }
    expectNothingLost(
      await rig.traffic.during(async () => {
        expect(await rig.underlay.ctl("undrain", tor)).toEqual({ state: "serving", since: null, peers: [] });
        await whole();
      }),
    );
    expect(existsSync(join(rig.underlay.directory, "state", "drain.json"))).toBe(false);
  });
});

describe("drain of the node", ONCE, () => {
  beforeAll(async () => {
    await rig.addSecond();
    rig.addDefaultRoute();
  });

  it("whose block is announced elsewhere too: nothing is lost, no pod is attached, and it stays so over a restart", async () => {
    expectNothingLost(
      await rig.traffic.during(async () => {
        const view = await rig.underlay.ctl<DrainView>("drain", "--wait", "0.5");
        expect(view).toMatchObject({ state: "drained", peers: [] });
      }),
    );
    for (const family of [4, 6] as const)
      expect(await rig.torRoutes(family)).toEqual({
        tor1: expect.stringContaining("dev n2"),
        tor2: expect.stringContaining("dev n2"),
      });
    rig.pods.create("late");
    const refused = async () => {
      const [status, add] = [await rig.pods.call("STATUS", "late"), await rig.pods.call("ADD", "late")];
      return [status, add].map(({ stdout }) => JSON.parse(stdout));
    };
    const because = expect.stringMatching(/this node is drained since \S+Z \(underlayctl undrain brings it back\)/);
    const refusals = [
      expect.objectContaining({ code: 50, msg: because }),
      expect.objectContaining({ code: 11, msg: because }),
    ];
    expect(await refused()).toEqual(refusals);
    await rig.underlay.restart();
    expect(await refused()).toEqual(refusals);
    const status = await rig.underlay.ctl<StatusView>("status");
    expect(status).toMatchObject({ state: "drained", problems: [], peers: { established: 0 } });
    expect((await rig.underlay.blocks()).map(({ state }) => state)).toEqual(["withdrawn", "withdrawn"]);
  });

  it("and back: nothing is lost", async () => {
    expectNothingLost(
      await rig.traffic.during(async () => {
        await rig.underlay.ctl("undrain");
        await whole();
      }),
    );
    expect((await rig.underlay.blocks()).map(({ state }) => state)).toEqual(["announced", "announced"]);
    expect((await rig.pods.call("ADD", "late")).code).toBe(0);
  });
});

describe("shutdown", ONCE, () => {
  /** Routes of node1 that a ToR knows, of any state. */
  const known = {
    tor1: async () =>
      Promise.all(
        [
          ["ipv4", BLOCK4],
          ["ipv6", BLOCK6],
        ].map(async ([family, block]) => {
          const { paths = [] } = await rig.frr.json<{ paths?: { aspath: { string: string } }[] }>(
            `show bgp ${family} unicast ${block}`,
          );
          return paths.filter(({ aspath }) => aspath.string === "65101").length;
        }),
      ),
    tor2: async () =>
      Promise.all(
        [BLOCK4, BLOCK6].map(async (block) => {
          const table = await rig.bird.birdc(`show route for ${block} protocol node1 all`).catch(() => "");
          return (table.match(/BGP.as_path: 65101$/gm) ?? []).length;
        }),
      ),
  };

  it("by command: no neighbour keeps a route for a restart, and nothing is lost where there is another node", async () => {
    expect([await known.tor1(), await known.tor2()]).toEqual([
      [1, 1],
      [1, 1],
    ]);
    // They have heard and said so (TCP); acting on it takes them some milliseconds, not the time of a restart.
    const left = async () => [await known.tor1(), await known.tor2()].flat().every((count) => count === 0);
    expectNothingLost(
      await rig.traffic.during(async () => {
        const { told, late } = await rig.underlay.ctl<ShutdownView>("shutdown");
        await waitFor(left, "the block to be gone from both", { timeout: 2_000, interval: 10 });
        expect({ told: [...told].sort(), late }).toEqual({ told: ["tor1", "tor2"], late: [] });
        expect(await rig.underlay.ended()).toBe(3);
      }),
    );
    // To FRR, which has set the N bit as we have, as a hard reset; BIRD has no such bit, and takes a Cease for what it is.
    expect((await rig.frr.neighbor(NODE1.tor1)).lastNotificationReason).toContain("Administrative Shutdown");
    expect(rig.underlay.log).toMatch(/"peer":"tor1".*shuts down \(sent NOTIFICATION Cease\/Hard Reset/);
    expect(rig.underlay.log).toMatch(/"peer":"tor2".*shuts down \(sent NOTIFICATION Cease\/Administrative Shutdown/);
    expect(rig.node1.ip("rule")).toContain("lookup 7000");
  });

  it("by SIGINT: the same", async () => {
    await rig.underlay.start();
    await whole();
    rig.underlay.signal("SIGINT");
    expect(await rig.underlay.ended()).toBe(0);
    expect([await known.tor1(), await known.tor2()]).toEqual([
      [0, 0],
      [0, 0],
    ]);
    await rig.underlay.start();
    await whole();
  });
});

it("all ToRs lost: pods of the node reach each other, and the host goes on reaching what it reached", async () => {
  const [{ addresses }, far] = [(await rig.underlay.pods()).find(({ containerId }) => containerId === "c-late")!, FAR4];
  for (const device of ["eth0", "eth1"]) rig.node1.ip("link", "set", device, "down");
  await waitFor(async () => (await rig.status()).peers.established === 0, "sessions to end", { interval: 20 });
  await waitFor(async () => (await rig.underlay.kernel(4)).length === 0, "learned routes to leave", { interval: 20 });
  const pod = `/run/netns/${rig.pods.namespace("a")}`;
  for (const address of addresses) await run("nsenter", [`--net=${pod}`, "ping", "-nqc1", "-W2", address]);
  await rig.node1.exec("ping", "-nqc1", "-W2", far);
  expect((await rig.status()).state).toBe("degraded");
});
