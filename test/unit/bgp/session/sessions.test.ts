// Two real session managers over loopback: establishing, options of the transport, what ends a session and how it is told.
import { afterEach, describe, expect, it } from "vitest";
import { SessionManager } from "../../../../bgp/session/session-manager.ts";
import type { PeerOptions } from "../../../../bgp/session/types.ts";
import { WireError } from "../../../../bgp/wire/error.ts";
import type { Clock } from "../../../../net/clock.ts";
import { gracefulRestartOptions } from "../support.ts";
import { fastClock, peerOptions, waitFor } from "./support.ts";
import {
  bothUp,
  isUp,
  message,
  RecordingHandler,
  RecordingLog,
  type Speaker,
  startSpeaker,
  stopSpeakers,
} from "./support-sessions.ts";

const v4 = (last: number) => Uint8Array.of(127, 0, 0, last);
const v6 = Uint8Array.from([...new Array(15).fill(0), 1]);
const root = process.getuid?.() === 0;

afterEach(stopSpeakers);

/** Two speakers, each configured with the other; AS 65001 and 65002, router ids 10.0.0.1 and 10.0.0.2. */
async function pair(
  left: Partial<PeerOptions> = {},
  right: Partial<PeerOptions> = {},
  { addresses = [v4(1), v4(2)], clock = fastClock(1) }: { addresses?: Uint8Array[]; clock?: Clock } = {},
): Promise<[Speaker, Speaker]> {
  const a = await startSpeaker(addresses[0], { clock });
  const b = await startSpeaker(addresses[1], { clock });
  const bind = (address: Uint8Array) => (address.length === 4 ? address : null);
  b.manager.addPeer(
    peerOptions({
      name: "a",
      address: a.address,
      localAddress: bind(b.address),
      port: a.port,
      localAsn: 65002,
      routerId: 0x0a000002,
      ...right,
    }),
  );
  a.manager.addPeer(
    peerOptions({ name: "b", address: b.address, localAddress: bind(a.address), port: b.port, ...left }),
  );
  return [a, b];
}

/** Neither side comes up within half a second, real time. */
async function staysDown(a: Speaker, b: Speaker): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 500));
  expect([a.handler.sessions.length, b.handler.sessions.length]).toEqual([0, 0]);
}

describe("establishing", () => {
  it.each([
    ["both active, IPv4", {}, {}, [v4(1), v4(2)]],
    ["left passive", { passive: true }, {}, [v4(1), v4(2)]],
    ["right passive", {}, { passive: true }, [v4(1), v4(2)]],
    ["IPv6", {}, { passive: true }, [v6, v6]],
    ["iBGP", { remoteAsn: "internal" }, { remoteAsn: 65001, localAsn: 65001 }, [v4(1), v4(2)]],
    ["four-octet AS", { remoteAsn: 4200000002 }, { localAsn: 4200000002 }, [v4(1), v4(2)]],
    ["GTSM", { ttlSecurity: true }, { ttlSecurity: true }, [v4(1), v4(2)]],
    ["GTSM over IPv6", { ttlSecurity: true, passive: true }, { ttlSecurity: true }, [v6, v6]],
    ["multihop", { multihop: 3 }, { multihop: 3 }, [v4(1), v4(2)]],
  ] as [string, Partial<PeerOptions>, Partial<PeerOptions>, [Uint8Array, Uint8Array]][])(
    "%s",
    async (_, left, right, addresses) => {
      const [a, b] = await pair(left, right, { addresses });
      await bothUp(a, b);
      const { negotiated } = a.handler.sessions[0];
      expect(negotiated).toMatchObject({
        remoteRouterId: 0x0a000002,
        localAddress: a.address,
        remoteAddress: b.address,
        families: [4, 6],
        holdTime: 90,
        keepaliveTime: 30,
        as4: true,
        routeRefresh: true,
        maxMessage: 4096,
        gracefulRestart: null,
      });
      expect(a.status()).toMatchObject({ state: "Established", remoteRouterId: "10.0.0.2", uptime: 0, holdTime: 90 });
      expect(a.status().capabilities.length).toBeGreaterThanOrEqual(4);
    },
  );

  it.skipIf(!root)("TCP MD5 with the right key", async () => {
    const password = new TextEncoder().encode("sesame");
    const [a, b] = await pair({ password }, { password, passive: true });
    await bothUp(a, b);
    const [c, d] = await pair({ password }, { password }, { addresses: [v6, v6] });
    await bothUp(c, d);
  });

  it.skipIf(!root)("not with a wrong key, nor with one on one side only", async () => {
    const key = (text: string) => new TextEncoder().encode(text);
    const [a, b] = await pair({ password: key("sesame") }, { password: key("poppy"), passive: true });
    const [c, d] = await pair({ password: key("sesame") }, { passive: true }, { addresses: [v4(4), v4(5)] });
    await Promise.all([staysDown(a, b), staysDown(c, d)]);
  });

  it("not when only one side checks the TTL and the other sends 1", async () => {
    const clock = fastClock(20);
    const [a, b] = await pair({}, { ttlSecurity: true, passive: true }, { clock });
    await staysDown(a, b);
  });

  it("exactly one session survives when both connect at once, again and again", async () => {
    const [a, b] = await pair();
    for (let round = 0; round < 5; round++) {
      await bothUp(a, b);
      await new Promise((resolve) => setTimeout(resolve, 50));
      expect([a.status().state, b.status().state]).toEqual(["Established", "Established"]);
      expect(a.handler.sessions.length - a.handler.downs.length).toBe(1);
      expect(b.handler.sessions.length - b.handler.downs.length).toBe(1);
      a.manager.removePeer("b", "again");
      await waitFor(() => b.status().state !== "Established", "the session to end");
      b.manager.reset("a", "again");
      a.manager.addPeer(peerOptions({ name: "b", address: b.address, localAddress: a.address, port: b.port }));
    }
  });

  it("comes back when the neighbour does, without waiting for the configured retry time", async () => {
    const [a, b] = await pair({ connectRetry: 120 }, { passive: true });
    await bothUp(a, b);
    b.manager.removePeer("a", "gone");
    await waitFor(() => a.status().state !== "Established", "the loss");
    expect(a.status().lastError).toMatch(/received NOTIFICATION Cease\/Peer De-configured/i);
    b.manager.addPeer(
      peerOptions({
        name: "a",
        address: a.address,
        port: a.port,
        localAsn: 65002,
        routerId: 0x0a000002,
        passive: true,
      }),
    );
    await bothUp(a, b);
    expect(a.status().establishedCount).toBe(2);
  });
});

describe("refusals", () => {
  it.each([
    ["wrong AS", { remoteAsn: 65099 }, {}, /AS 65002, configured is 65099.*Bad Peer AS/i, /Bad Peer AS/i],
    [
      "equal router ids in one AS",
      { remoteAsn: 65001 },
      { localAsn: 65001, remoteAsn: 65001, routerId: 0x0a000001 },
      /our own router id 10\.0\.0\.1|Bad BGP Identifier/i,
      /our own router id|Bad BGP Identifier/i,
    ],
    [
      "no family in common",
      { families: [4] },
      { families: [6] },
      /no address family|Unsupported Capability/i,
      /no address family|Unsupported Capability/i,
    ],
  ] as [string, Partial<PeerOptions>, Partial<PeerOptions>, RegExp, RegExp][])(
    "%s is told to both",
    async (_, left, right, mine, theirs) => {
      const [a, b] = await pair({ ...left }, { passive: true, ...right });
      await waitFor(() => mine.test(a.status().lastError ?? ""), `${mine} at a`);
      await waitFor(() => theirs.test(b.status().lastError ?? ""), `${theirs} at b`);
      expect(a.handler.sessions).toEqual([]);
      expect(a.handler.downs).toEqual([]);
    },
  );

  it("says what is wrong with a port that is taken", async () => {
    const a = await startSpeaker(v4(1));
    const second = new SessionManager({
      handler: a.handler,
      clock: fastClock(1),
      log: a.log,
      listenPort: a.port,
      listenAddresses: [v4(1)],
    });
    await expect(second.start()).rejects.toThrow(
      new RegExp(`cannot listen on 127\\.0\\.0\\.1:${a.port}: the port is in use.*ss -ltnp`),
    );
    const nowhere = new SessionManager({
      handler: a.handler,
      clock: fastClock(1),
      log: a.log,
      listenPort: a.port,
      listenAddresses: [v4(1), Uint8Array.of(203, 0, 113, 1)],
    });
    await expect(nowhere.start()).rejects.toThrow(/cannot listen/);
  });

  it.skipIf(!root)("says what a port below 1024 needs", async () => {
    const handler = new RecordingHandler();
    const manager = new SessionManager({
      handler,
      clock: fastClock(1),
      log: new RecordingLog(),
      listenPort: 179,
      listenAddresses: [v4(250)],
    });
    process.seteuid?.(65534);
    try {
      await expect(manager.start()).rejects.toThrow(/127\.0\.0\.250:179: .*CAP_NET_BIND_SERVICE/);
    } finally {
      process.seteuid?.(0);
    }
  });

  it("what the handler holds of a session goes dead with it", async () => {
    const [a, b] = await pair();
    await bothUp(a, b);
    const [old] = a.handler.sessions;
    a.manager.reset("b", "again");
    await waitFor(() => a.handler.sessions.length === 2, "the next session");
    expect(a.handler.sessions[1]).not.toBe(old);
    expect(old.negotiated.remoteAsn).toBe(65002);
    expect(old.send(message(2, [0, 0, 0, 0]))).toBe(false);
    old.reset(6, 0, new Uint8Array(0), "late");
    expect(isUp(a)()).toBe(true);
  });

  it("refuses two peers with one name or one address", async () => {
    const a = await startSpeaker(v4(1));
    a.manager.addPeer(peerOptions({ name: "x", address: v4(9), passive: true }));
    expect(() => a.manager.addPeer(peerOptions({ name: "x", address: v4(8) }))).toThrow(/peer x exists/);
    expect(() => a.manager.addPeer(peerOptions({ name: "y", address: v4(9) }))).toThrow(/x and y.*127\.0\.0\.9/);
  });
});

describe("an established session", () => {
  it("carries updates and refreshes, and counts them", async () => {
    const [a, b] = await pair();
    await bothUp(a, b);
    const update = message(2, [0, 0, 0, 0]);
    expect(a.handler.sessions[0].send(Uint8Array.from([...update, ...update]))).toBe(true);
    a.handler.sessions[0].send(update);
    await waitFor(() => b.handler.updates.length === 3, "three updates");
    expect(b.handler.updates[0]).toEqual(Uint8Array.of(0, 0, 0, 0));
    expect(a.status().messages.updatesSent).toBe(3);
    expect(b.status().messages.updatesReceived).toBe(3);
    expect(a.manager.requestRefresh("b", 6)).toBe(true);
    await waitFor(() => b.handler.refreshes.length === 1, "a refresh");
    expect(b.handler.refreshes).toEqual([6]);
    expect(a.manager.requestRefresh("nobody", 4)).toBe(false);
  });

  it("stays up on keepalives alone", async () => {
    const [a, b] = await pair({ holdTime: 9 }, {}, { clock: fastClock(20) });
    await bothUp(a, b);
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    expect(a.status()).toMatchObject({ state: "Established", holdTime: 9 });
    expect(a.handler.downs).toEqual([]);
    expect(a.status().messages.received).toBeGreaterThan(8);
  });

  it.each([
    ["a WireError", new WireError("attribute missing", 3, 3), /attribute missing.*Missing Well-known/i],
    ["any other error", new TypeError("bug"), /internal error: bug/],
  ])("is reset, alone, by %s in the handler", async (_, error, reason) => {
    const [a, b] = await pair();
    const c = await startSpeaker(v4(3));
    a.manager.addPeer(peerOptions({ name: "c", address: c.address, localAddress: a.address, port: c.port }));
    c.manager.addPeer(
      peerOptions({
        name: "a",
        address: a.address,
        localAddress: c.address,
        port: a.port,
        localAsn: 65003,
        routerId: 3,
      }),
    );
    await bothUp(a, b);
    await waitFor(() => isUp(a, "c")() && isUp(c)(), "c");
    a.handler.onUpdate = () => {
      throw error;
    };
    b.handler.sessions[0].send(message(2, [0, 0, 0, 0]));
    await waitFor(() => a.handler.downs.length === 1, "down");
    expect(a.handler.downs[0]).toMatchObject({ reason: expect.stringMatching(reason), graceful: false });
    expect(isUp(a, "c")()).toBe(true);
    await waitFor(() => b.handler.downs.length === 1, "down at b");
    expect(b.handler.downs[0].notification).toMatchObject({ sent: false });
    await bothUp(a, b);
  });
});

describe("the end of a session", () => {
  const gracefulRestart = gracefulRestartOptions;

  it.each([
    ["shutdown", gracefulRestart, false, /Cease\/Administrative Shutdown.*maintenance/i],
    ["restart", gracefulRestart, true, /closed by the neighbour/],
    ["restart", null, false, /closed by the neighbour/],
  ] as const)("stop(%s), graceful restart %o: kept %s", async (mode, offer, graceful, reason) => {
    const [a, b] = await pair({ gracefulRestart: offer }, { gracefulRestart });
    a.manager.setRestartState({ restarting: true, forwarding: () => true });
    await bothUp(a, b);
    const started = performance.now();
    await a.manager.stop(mode, "maintenance");
    expect(performance.now() - started).toBeLessThan(1_500);
    await waitFor(() => b.handler.downs.length === 1, "down");
    expect(b.handler.downs[0]).toMatchObject({ graceful, reason: expect.stringMatching(reason) });
    expect(b.status().lastError).toMatch(reason);
  });

  it("reset: Cease/4 there, and back again", async () => {
    const [a, b] = await pair();
    await bothUp(a, b);
    a.manager.reset("b", "asked to");
    await waitFor(() => b.handler.downs.length === 1, "down");
    expect(b.handler.downs[0].notification).toMatchObject({ sent: false, code: 6, subcode: 4 });
    await bothUp(a, b);
  });

  it("reset for a reason of its own: that Cease there, and back again", async () => {
    const [a, b] = await pair();
    await bothUp(a, b);
    a.manager.reset("b", "BFD session down", 10);
    await waitFor(() => b.handler.downs.length === 1, "down");
    expect(b.handler.downs[0].notification).toMatchObject({ sent: false, code: 6, subcode: 10 });
    expect(b.status().lastError).toContain("BFD Down");
    expect(a.status().lastError).toContain("BFD session down");
    await bothUp(a, b);
  });

  it("goes through the states in order", async () => {
    const [a, b] = await pair({}, { passive: true });
    await bothUp(a, b);
    expect(a.handler.states).toEqual([
      "b Idle>Connect",
      "b Connect>OpenSent",
      "b OpenSent>OpenConfirm",
      "b OpenConfirm>Established",
    ]);
    expect(b.handler.states.at(0)).toBe("a Idle>Active");
  });
});
