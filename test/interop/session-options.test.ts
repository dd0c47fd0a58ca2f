// Where sessions run: through a router with GTSM on both sides, over other ports, from and to one of several addresses, on
// one interface. FRR and BIRD stand behind a router, and BIRD beside us. The session manager runs in this process, moved
// into the namespace `us`.
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { SessionManager } from "../../bgp/session/session-manager.ts";
import type { PeerOptions, PeerStatus } from "../../bgp/session/types.ts";
import { parseAddress } from "../../net/address.ts";
import { systemClock } from "../../net/clock.ts";
import { peerOptions } from "../unit/bgp/session/support.ts";
import { RecordingHandler, RecordingLog } from "../unit/bgp/session/support-sessions.ts";
import { Bird } from "./support/bird.ts";
import { Frr } from "./support/frr.ts";
import { Lab, type Node } from "./support/namespace.ts";
import { proves } from "./support/proofs.ts";
import { sleep, waitFor } from "./support/wait.ts";

const bytes = (text: string) => parseAddress(text) as Uint8Array;
const cleanups: (() => Promise<unknown>)[] = [];
let lab: Lab;
let us: Node;
let near: Node;
let far: Node;
let leave: () => void;

/** us 10.1.0.1 - 10.1.0.254 router 10.9.0.254 - 10.9.0.2 far; us 10.2.0.1, .3 - 10.2.0.2 near. IPv6 alike. */
beforeAll(async () => {
  lab = new Lab("options");
  us = lab.addNode("us");
  near = lab.addNode("near");
  far = lab.addNode("far");
  const router = lab.addNode("router");
  lab.link(
    { node: us, name: "eth0", addresses: ["10.1.0.1/24", "2001:db8:1::1/64"] },
    { node: router, name: "south", addresses: ["10.1.0.254/24", "2001:db8:1::fe/64"] },
  );
  lab.link(
    { node: router, name: "north", addresses: ["10.9.0.254/24", "2001:db8:9::fe/64"] },
    { node: far, name: "eth0", addresses: ["10.9.0.2/24", "2001:db8:9::2/64"] },
  );
  lab.link(
    { node: us, name: "side", addresses: ["10.2.0.1/24", "10.2.0.3/24"] },
    { node: near, name: "eth0", addresses: ["10.2.0.2/24"] },
  );
  await router.exec("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1");
  us.ip("route", "add", "10.9.0.0/24", "via", "10.1.0.254");
  us.ip("-6", "route", "add", "2001:db8:9::/64", "via", "2001:db8:1::fe");
  far.ip("route", "add", "10.1.0.0/24", "via", "10.9.0.254");
  far.ip("-6", "route", "add", "2001:db8:1::/64", "via", "2001:db8:9::fe");
  leave = us.enter();
});

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

afterAll(async () => {
  leave();
  await lab.close();
});

async function startUs(options: Partial<PeerOptions>, listenPort = 179) {
  const handler = new RecordingHandler();
  const manager = new SessionManager({
    handler,
    clock: systemClock,
    log: new RecordingLog(),
    listenPort,
    listenAddresses: [],
  });
  manager.addPeer(peerOptions({ remoteAsn: 65002, connectRetry: 1, ...options }));
  await manager.start();
  cleanups.push(() => manager.stop("restart"));
  const status = (): PeerStatus => manager.status()[0];
  const up = () =>
    waitFor(
      () => {
        if (status().state === "Established") return true;
        throw new Error(`${status().state}, ${status().lastError}`);
      },
      "our session",
      { timeout: 30_000 },
    );
  return { manager, handler, status, up };
}

async function startBird(node: Node, session: string): Promise<Bird> {
  const bird = await Bird.start(
    node,
    `
router id 10.0.0.2;
protocol device {}
protocol direct { ipv4; ipv6; }
protocol bgp underlay {
  connect delay time 1; connect retry time 1; error wait time 1, 2;
  ${session}
  ipv4 { import all; export none; };
}`,
  );
  cleanups.push(() => bird.close());
  return bird;
}

async function startFrr(lines: readonly string[]): Promise<Frr> {
  const frr = await Frr.start(
    far,
    ["router bgp 65002", " bgp router-id 10.0.0.2", " no bgp ebgp-requires-policy", ...lines, ""].join("\n"),
    { daemons: ["zebra", "bgpd"] },
  );
  cleanups.push(() => frr.close());
  return frr;
}

describe("through a router", () => {
  const gtsm = { multihop: 2, ttlSecurity: true };

  it.each([
    ["we connect", {}, "passive on;"],
    ["they connect", { passive: true }, ""],
  ])("GTSM with BIRD: %s", async (_, ours, theirs) => {
    proves("bird", "gtsm", "multihop");
    const { up } = await startUs({ address: bytes("10.9.0.2"), ...gtsm, ...ours });
    const bird = await startBird(
      far,
      `local 10.9.0.2 as 65002; neighbor 10.1.0.1 as 65001; multihop 2; ttl security on; ${theirs}`,
    );
    await up();
    await bird.waitEstablished("underlay");
  });

  it("GTSM with FRR, IPv6", async () => {
    proves("frr", "gtsm", "multihop");
    const { up, handler } = await startUs({ address: bytes("2001:db8:9::2"), ...gtsm });
    const frr = await startFrr([
      " neighbor 2001:db8:1::1 remote-as 65001",
      " neighbor 2001:db8:1::1 timers connect 1",
      " neighbor 2001:db8:1::1 ttl-security hops 2",
    ]);
    await up();
    await frr.waitEstablished("2001:db8:1::1");
    // Next hops are not on a link of ours.
    expect(handler.sessions[0].negotiated).toMatchObject({ ifindex: 0, localLinkLocal: null });
  });

  it("multihop with FRR, both of us without GTSM", async () => {
    proves("frr", "multihop");
    const { up } = await startUs({ address: bytes("10.9.0.2"), multihop: 2 });
    const frr = await startFrr([
      " neighbor 10.1.0.1 remote-as 65001",
      " neighbor 10.1.0.1 timers connect 1",
      " neighbor 10.1.0.1 ebgp-multihop 2",
    ]);
    await up();
    await frr.waitEstablished("10.1.0.1");
  });

  it.each([
    ["GTSM for one hop here", { multihop: null, ttlSecurity: true }, "multihop 2; ttl security on;"],
    ["TTL 1 here", {}, "multihop 2;"],
    ["no GTSM there", gtsm, "multihop 2;"],
  ])("not with %s", async (_, ours, theirs) => {
    const { handler } = await startUs({ address: bytes("10.9.0.2"), ...ours });
    await startBird(far, `local 10.9.0.2 as 65002; neighbor 10.1.0.1 as 65001; ${theirs}`);
    await sleep(2_500);
    expect(handler.sessions).toEqual([]);
  });
});

describe("ports and addresses", () => {
  it.each([
    ["we connect", {}, "passive on;"],
    ["they connect", { passive: true }, ""],
  ])("both ends on another port: %s", async (_, ours, theirs) => {
    proves("bird", "other-port");
    const { up, status } = await startUs({ address: bytes("10.2.0.2"), port: 1791, ...ours }, 1790);
    const bird = await startBird(
      near,
      `local 10.2.0.2 port 1791 as 65002; neighbor 10.2.0.1 port 1790 as 65001; ${theirs}`,
    );
    await up();
    await bird.waitEstablished("underlay");
    const { localPort, remotePort } = status();
    expect([localPort, remotePort]).toContain("passive" in ours ? 1790 : 1791);
  });

  it("from the address that we were told, and to it only", async () => {
    const { up, status } = await startUs({ address: bytes("10.2.0.2"), localAddress: bytes("10.2.0.3") });
    const bird = await startBird(near, "local 10.2.0.2 as 65002; neighbor 10.2.0.3 as 65001; passive on;");
    await up();
    await bird.waitEstablished("underlay");
    expect(status().localAddress).toBe("10.2.0.3");
  });

  it("a passive one takes connections to its own address only, and says so", async () => {
    proves("bird", "cease-subcodes");
    const options = { address: bytes("10.2.0.2"), localAddress: bytes("10.2.0.3"), passive: true };
    const { handler, status, up } = await startUs(options);
    const bird = await startBird(near, "local 10.2.0.2 as 65002; neighbor 10.2.0.1 as 65001;");
    await waitFor(() => status().lastError?.includes("localAddress is 10.2.0.3: refused"), "our complaint");
    await waitFor(async () => (await bird.protocol("underlay")).includes("Connection rejected"), "theirs");
    expect(handler.sessions).toEqual([]);
    await bird.close();
    const right = await startBird(near, "local 10.2.0.2 as 65002; neighbor 10.2.0.3 as 65001;");
    await up();
    await right.waitEstablished("underlay");
  });

  it.each([
    ["we connect", {}, "passive on;"],
    ["they connect", { passive: true }, ""],
  ])("a global address on the interface that it is on: %s", async (_, ours, theirs) => {
    const { up } = await startUs({ address: bytes("10.2.0.2"), interface: "side", ...ours });
    const bird = await startBird(near, `local 10.2.0.2 as 65002; neighbor 10.2.0.1 as 65001; ${theirs}`);
    await up();
    await bird.waitEstablished("underlay");
  });

  it.each([
    ["we connect", {}, "passive on;"],
    ["they connect", { passive: true }, ""],
  ])("not on another interface: %s", async (_, ours, theirs) => {
    const { handler } = await startUs({ address: bytes("10.2.0.2"), interface: "eth0", ...ours });
    await startBird(near, `local 10.2.0.2 as 65002; neighbor 10.2.0.1 as 65001; ${theirs}`);
    await sleep(2_500);
    expect(handler.sessions).toEqual([]);
  });

  it("an AS out of a list", async () => {
    const { up, status } = await startUs({
      address: bytes("10.2.0.2"),
      remoteAsn: [
        { from: 64512, to: 64520 },
        { from: 65002, to: 65002 },
      ],
    });
    const bird = await startBird(near, "local 10.2.0.2 as 65002; neighbor 10.2.0.1 as 65001;");
    await up();
    expect(status().asn).toBe(65002);
    await bird.close();
    cleanups.splice(1);
    await startBird(near, "local 10.2.0.2 as 65003; neighbor 10.2.0.1 as 65001;");
    await waitFor(
      () => status().lastError?.includes("AS 65003, configured is 64512-64520, 65002"),
      "the wrong AS to be named",
    );
  });
});
