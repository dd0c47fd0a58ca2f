// A neighbour that breaks the rules, at every point of a session: the right NOTIFICATION, no damage to other sessions,
// and never more memory than the limits say.
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { HARD_LIMIT, HIGH_WATER } from "../../../../bgp/session/connection.ts";
import { RESTARTS_AFTER } from "../../../../bgp/session/fsm-times.ts";
import { gracefulRestartOptions } from "../support.ts";
import { fastClock, peerOptions, waitFor } from "./support.ts";
import {
  isUp,
  keepaliveMessage,
  message,
  openMessage,
  RawPeer,
  rawListener,
  type Speaker,
  startSpeaker,
  stopSpeakers,
} from "./support-sessions.ts";

const v4 = (last: number) => Uint8Array.of(127, 0, 0, last);
let speaker: Speaker;

async function start(clock = fastClock(1), options: Parameters<typeof peerOptions>[0] = {}): Promise<void> {
  speaker = await startSpeaker(v4(1), { clock });
  speaker.manager.addPeer(peerOptions({ name: "raw", address: v4(3), passive: true, ...options }));
  speaker.manager.addPeer(peerOptions({ name: "healthy", address: v4(4), passive: true }));
}

afterEach(stopSpeakers);

const random = (length: number) => {
  let state = 12345;
  return Uint8Array.from({ length }, () => {
    state = (state * 1103515245 + 12345) & 0x7fffffff;
    return state >> 16;
  });
};

const broken: readonly [what: string, bytes: Uint8Array, notification: string][] = [
  ["random bytes", random(4000), "1/1"],
  ["HTTP", new TextEncoder().encode("GET / HTTP/1.1\r\nHost: example.net\r\n\r\n"), "1/1"],
  ["zero bytes", new Uint8Array(64), "1/1"],
  ["length below a header", message(4, [], 18), "1/2"],
  ["length 0", message(2, [], 0), "1/2"],
  ["length above 4096", message(2, [], 4097), "1/2"],
  ["length 65535", message(2, [], 65535), "1/2"],
  ["KEEPALIVE with a body", message(4, [0]), "1/2"],
  ["short NOTIFICATION", message(3, [6]), "1/2"],
  ["short OPEN", message(1, [4, 0]), "1/2"],
  ["short UPDATE", message(2, [0]), "1/2"],
  ["type 0", message(0), "1/3"],
  ["type 200", message(200, [1, 2, 3]), "1/3"],
];

describe("broken messages", () => {
  beforeEach(() => start());

  it.each(broken)("before an OPEN: %s", async (_, bytes, expected) => {
    const peer = await RawPeer.connect(speaker);
    peer.send(bytes);
    expect(await peer.notification()).toBe(expected);
    await waitFor(() => peer.closed, "the connection to close");
  });

  it.each(broken)("when Established: %s", async (_, bytes, expected) => {
    const healthy = await RawPeer.established(speaker, openMessage(), "127.0.0.4");
    const peer = await RawPeer.established(speaker);
    await waitFor(() => isUp(speaker, "raw")() && isUp(speaker, "healthy")(), "both");
    peer.send(bytes);
    expect(await peer.notification()).toBe(expected);
    await waitFor(() => speaker.handler.downs.length === 1, "down");
    expect(speaker.handler.downs[0].graceful).toBe(false);
    expect(isUp(speaker, "healthy")()).toBe(true);
    expect(healthy.closed).toBe(false);
  });

  it.each([
    ["version 3", openMessage({ version: 3 }), "2/1"],
    ["hold time 2", openMessage({ holdTime: 2 }), "2/6"],
    ["router id 0.0.0.0", openMessage({ routerId: [0, 0, 0, 0] }), "2/3"],
    ["our own AS", openMessage({ asn: 65001 }), "2/2"],
    ["KEEPALIVE first", keepaliveMessage, "5/1"],
    ["UPDATE first", message(2, [0, 0, 0, 0]), "5/1"],
    ["ROUTE-REFRESH first", message(5, [0, 1, 0, 1]), "5/1"],
  ])("instead of a good OPEN: %s", async (_, bytes, expected) => {
    const peer = await RawPeer.connect(speaker);
    peer.send(bytes);
    expect(await peer.notification()).toBe(expected);
  });

  it.each([
    ["OPEN twice", [openMessage(), openMessage()], "5/2"],
    ["UPDATE in OpenConfirm", [openMessage(), message(2, [0, 0, 0, 0])], "5/2"],
    ["OPEN when Established", [openMessage(), keepaliveMessage, openMessage()], "5/3"],
  ])("%s", async (_, messages, expected) => {
    const peer = await RawPeer.connect(speaker);
    peer.send(...messages);
    expect(await peer.notification()).toBe(expected);
  });

  it.each([0, 1, 18, 19, 20, 28, 30])("a connection cut after %i bytes of an OPEN", async (length) => {
    const peer = await RawPeer.connect(speaker);
    peer.socket.end(openMessage().subarray(0, length));
    await waitFor(() => peer.closed, "the connection to close");
    await waitFor(() => speaker.status("raw").lastError !== null, "an error");
    expect(speaker.status("raw").lastError).toMatch(/closed before an OPEN arrived/);
  });

  it("one byte at a time is fine", async () => {
    const peer = await RawPeer.connect(speaker);
    peer.socket.setNoDelay(true);
    for (const byte of [...openMessage(), ...keepaliveMessage, ...message(2, [0, 0, 0, 0])]) {
      peer.send(Uint8Array.of(byte));
      await new Promise((resolve) => setImmediate(resolve));
    }
    await waitFor(() => speaker.handler.updates.length === 1, "the update");
  });

  it("a NOTIFICATION is shown, not answered", async () => {
    const peer = await RawPeer.established(speaker);
    await waitFor(isUp(speaker, "raw"), "Established");
    peer.send(message(3, [6, 2, 4, ...new TextEncoder().encode("rest")]));
    await waitFor(() => peer.closed, "the connection to close");
    expect(peer.received.some(({ type }) => type === 3)).toBe(false);
    expect(speaker.status("raw").lastError).toMatch(/received NOTIFICATION Cease\/Administrative Shutdown.*rest/);
    expect(speaker.handler.downs[0].notification).toMatchObject({ sent: false, code: 6, subcode: 2 });
  });

  it("a NOTIFICATION followed by a reset is still read", async () => {
    const peer = await RawPeer.established(speaker);
    await waitFor(isUp(speaker, "raw"), "Established");
    peer.socket.write(message(3, [6, 5]), () => peer.socket.resetAndDestroy());
    await waitFor(() => speaker.handler.downs.length === 1, "down");
    expect(speaker.status("raw").lastError).toMatch(/NOTIFICATION|reset by the neighbour/);
  });

  it("whatever is changed in, cut from or added to a session's bytes, the other session never notices", async () => {
    const healthy = await RawPeer.established(speaker, openMessage(), "127.0.0.4");
    await waitFor(isUp(speaker, "healthy"), "the healthy session");
    const update = message(2, [0, 0, 0, 0]);
    const whole = [openMessage(), keepaliveMessage, update, update, message(5, [0, 1, 0, 1]), update].flatMap(
      (part) => [...part],
    );
    const noise = random(4 * 60);
    for (let run = 0; run < 60; run++) {
      const [what, where, length, value] = noise.subarray(run * 4, run * 4 + 4);
      const stream = [...whole];
      const at = where % stream.length;
      if (what % 3 === 0) stream[at] = value;
      else if (what % 3 === 1) stream.splice(at, length);
      else stream.splice(at, 0, ...random(length));
      const peer = await RawPeer.connect(speaker);
      peer.socket.end(Uint8Array.from(stream));
      await waitFor(() => peer.closed, "the connection to close");
      // Forgets the failures: damping is not what is tested here.
      speaker.manager.reset("raw", "next");
    }
    expect(isUp(speaker, "healthy")()).toBe(true);
    expect(healthy.closed).toBe(false);
    expect(speaker.log.lines.filter(({ level }) => level === "error")).toEqual([]);
  });

  it("strangers are turned away, and logged once", async () => {
    for (let i = 0; i < 5; i++) {
      const stranger = await RawPeer.connect(speaker, "127.0.0.77");
      await waitFor(() => stranger.closed, "the connection to close");
    }
    const lines = speaker.log.lines.filter(({ message: text }) => text.includes("no configured peer"));
    expect(lines).toHaveLength(1);
    expect(lines[0].fields).toMatchObject({ address: "127.0.0.77" });
  });

  it("the newest of two unfinished connections wins, a third does not disturb an Established one", async () => {
    const first = await RawPeer.connect(speaker);
    const second = await RawPeer.connect(speaker);
    expect(await first.notification()).toBe("6/7");
    second.send(openMessage(), keepaliveMessage);
    await waitFor(isUp(speaker, "raw"), "Established");
    const third = await RawPeer.connect(speaker);
    third.send(openMessage(), keepaliveMessage);
    expect(await third.notification()).toBe("6/7");
    expect(isUp(speaker, "raw")()).toBe(true);
    expect(speaker.handler.downs).toEqual([]);
  });
});

describe("silence", () => {
  it("hold timer: NOTIFICATION 4/0 after the negotiated time", async () => {
    await start(fastClock(10));
    const peer = await RawPeer.established(speaker, openMessage({ holdTime: 3 }));
    await waitFor(isUp(speaker, "raw"), "Established");
    expect(await peer.notification()).toBe("4/0");
    expect(speaker.status("raw").lastError).toMatch(/hold timer expired \(3 s without a message\)/);
    expect(speaker.handler.downs[0]).toMatchObject({ graceful: false, notification: { sent: true, code: 4 } });
  });

  it("an OPEN that never comes: 4/0 after four minutes", async () => {
    await start(fastClock(600));
    const peer = await RawPeer.connect(speaker);
    expect(await peer.notification()).toBe("4/0");
  });

  it("hold time 0: no keepalives, no end", async () => {
    await start(fastClock(1000));
    const peer = await RawPeer.established(speaker, openMessage({ holdTime: 0 }));
    await waitFor(isUp(speaker, "raw"), "Established");
    await new Promise((resolve) => setTimeout(resolve, 400));
    expect(isUp(speaker, "raw")()).toBe(true);
    expect(peer.received.filter(({ type }) => type === 4)).toHaveLength(1);
  });

  it("input that waits to be processed counts as life", async () => {
    await start(fastClock(10));
    const peer = await RawPeer.established(speaker, openMessage({ holdTime: 3 }));
    await waitFor(isUp(speaker, "raw"), "Established");
    // A keepalive lies in the socket while this thread is busy for longer than the hold time.
    peer.send(keepaliveMessage);
    const until = performance.now() + 400;
    while (performance.now() < until);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(speaker.handler.downs).toEqual([]);
    peer.send(keepaliveMessage);
  });
});

describe("a neighbour that does not read", () => {
  const update = message(2, new Array(4077).fill(0));

  it("stops the producer at the high-water mark, resumes it, and loses nothing", async () => {
    await start();
    const peer = await RawPeer.established(speaker);
    await waitFor(isUp(speaker, "raw"), "Established");
    peer.socket.pause();
    const [session] = speaker.handler.sessions;
    let sent = 0;
    const total = 6_000;
    let writable = 0;
    const produce = () => {
      while (sent < total) {
        sent++;
        if (!session.send(update)) return;
      }
    };
    speaker.handler.onWritable = () => {
      writable++;
      produce();
    };
    produce();
    await new Promise((resolve) => setTimeout(resolve, 200));
    const stalledAt = sent;
    expect(stalledAt).toBeLessThan(total);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(sent).toBe(stalledAt);
    peer.socket.removeAllListeners("data");
    let bytes = 0;
    peer.socket.on("data", (chunk: Uint8Array) => {
      bytes += chunk.length;
    });
    peer.socket.resume();
    await waitFor(() => bytes >= total * update.length, "everything");
    expect(sent).toBe(total);
    expect(writable).toBeGreaterThan(0);
    expect(isUp(speaker, "raw")()).toBe(true);
    expect(HIGH_WATER).toBe(1 << 20);
  });

  it("is given up after the send hold time (RFC 9687), although it sends keepalives", async () => {
    // The longest hold time that does not prolong the send hold time.
    await start(fastClock(250), { holdTime: 240 });
    const peer = await RawPeer.established(speaker, openMessage({ holdTime: 240 }));
    await waitFor(isUp(speaker, "raw"), "Established");
    peer.socket.pause();
    const keepalives = setInterval(() => peer.send(keepaliveMessage), 50);
    const [session] = speaker.handler.sessions;
    const produce = () => {
      while (session.send(update));
    };
    speaker.handler.onWritable = produce;
    produce();
    await waitFor(() => speaker.handler.downs.length === 1, "down");
    clearInterval(keepalives);
    expect(speaker.handler.downs[0]).toMatchObject({
      reason: expect.stringContaining("send hold timer expired"),
      notification: { sent: true, code: 8 },
    });
  });

  it("cuts off a producer that ignores the mark", async () => {
    await start();
    const peer = await RawPeer.established(speaker);
    await waitFor(isUp(speaker, "raw"), "Established");
    peer.socket.pause();
    const [session] = speaker.handler.sessions;
    for (let sent = 0; sent < 3 * HARD_LIMIT; sent += update.length) session.send(update);
    await waitFor(() => speaker.handler.downs.length === 1, "down");
    expect(speaker.handler.downs[0]).toMatchObject({ notification: { sent: true, code: 6, subcode: 8 } });
  });
});

describe("a flood of input", () => {
  it("does not keep another session, or a timer, waiting", async () => {
    await start();
    const flood = await RawPeer.established(speaker);
    const healthy = await RawPeer.established(speaker, openMessage(), "127.0.0.4");
    await waitFor(() => isUp(speaker, "raw")() && isUp(speaker, "healthy")(), "both");
    let processed = 0;
    speaker.handler.onUpdate = (session) => {
      if (session.peer.name !== "raw") return;
      processed++;
      // As expensive as an UPDATE can be.
      const until = performance.now() + 1;
      while (performance.now() < until);
    };
    let latest = 0;
    let last = performance.now();
    const ticker = setInterval(() => {
      latest = Math.max(latest, performance.now() - last);
      last = performance.now();
    }, 1);
    const update = message(2, [0, 0, 0, 0]);
    const many = Uint8Array.from({ length: 400 * update.length }, (_, i) => update[i % update.length]);
    flood.send(many);
    await waitFor(() => processed > 20, "the flood to begin");
    const before = speaker.handler.updates.length;
    healthy.send(message(2, [0, 0, 0, 0, 7]));
    await waitFor(() => speaker.handler.updates.some((body) => body.length === 5), "the healthy neighbour's update");
    expect(speaker.handler.updates.length - before).toBeLessThan(200);
    await waitFor(() => processed === 400, "the flood to end");
    clearInterval(ticker);
    expect(latest).toBeLessThan(150);
  });
});

describe("graceful restart of the neighbour", () => {
  const capabilities = [1, 4, 0, 1, 0, 1, 64, 6, 0, 120, 0, 1, 1, 128, 65, 4, 0, 0, 65002 >> 8, 65002 & 255];

  it("the loss of TCP keeps routes, a NOTIFICATION does not", async () => {
    await start(fastClock(1), { gracefulRestart: gracefulRestartOptions });
    const peer = await RawPeer.established(speaker, openMessage({ capabilities }));
    await waitFor(isUp(speaker, "raw"), "Established");
    peer.socket.resetAndDestroy();
    await waitFor(() => speaker.handler.downs.length === 1, "down");
    expect(speaker.handler.downs[0]).toMatchObject({ graceful: true, notification: null });
    const again = await RawPeer.established(speaker, openMessage({ capabilities }));
    await waitFor(isUp(speaker, "raw"), "Established");
    again.send(message(3, [6, 2]));
    await waitFor(() => speaker.handler.downs.length === 2, "down");
    expect(speaker.handler.downs[1].graceful).toBe(false);
  });

  it("a new connection replaces an Established session that TCP still believes in", async () => {
    await start(fastClock(10), { gracefulRestart: gracefulRestartOptions });
    const old = await RawPeer.established(speaker, openMessage({ capabilities }));
    await waitFor(isUp(speaker, "raw"), "Established");
    await new Promise((resolve) => setTimeout(resolve, RESTARTS_AFTER / 10 + 10));
    const fresh = await RawPeer.established(speaker, openMessage({ capabilities }));
    await waitFor(() => speaker.handler.sessions.length === 2, "the new session");
    expect(speaker.handler.downs).toMatchObject([{ graceful: true, notification: null }]);
    await waitFor(() => old.closed, "the old connection to close");
    expect(old.received.some(({ type }) => type === 3)).toBe(false);
    expect(fresh.closed).toBe(false);
    expect(isUp(speaker, "raw")()).toBe(true);
  });

  it("a connection that was made together with the session is a collision, not a restart", async () => {
    await start(fastClock(0.01), { gracefulRestart: gracefulRestartOptions });
    const first = await RawPeer.established(speaker, openMessage({ capabilities }));
    await waitFor(isUp(speaker, "raw"), "Established");
    const late = await RawPeer.connect(speaker);
    late.send(openMessage({ capabilities }));
    expect(await late.notification()).toBe("6/7");
    expect(speaker.handler.downs).toEqual([]);
    expect(first.closed).toBe(false);
  });
});

describe("a neighbour that is connected to", () => {
  it("and hangs up is tried again, ever more slowly", async () => {
    let connections = 0;
    const { server, port } = await rawListener("127.0.0.3", (peer) => {
      connections++;
      peer.close();
    });
    await start(fastClock(100), { passive: false, port });
    await new Promise((resolve) => setTimeout(resolve, 500));
    server.close();
    // 50 s of our time: attempts after about 1, 2, 4, 8, 16 s.
    expect(connections).toBeGreaterThanOrEqual(4);
    expect(connections).toBeLessThanOrEqual(10);
  });

  it("and is not there is reported", async () => {
    await start(fastClock(1), { passive: false, port: 1 });
    await waitFor(() => speaker.status("raw").lastError !== null, "an error");
    expect(speaker.status("raw")).toMatchObject({
      state: "Active",
      lastError: "connection refused: nothing listens there (ECONNREFUSED)",
    });
  });
});
