// Which ends of a session leave routes in place (RFC 4724, RFC 8538), and what the neighbour is told, octet by octet.
import { afterEach, describe, expect, it } from "vitest";
import { gracefulRestartOptions } from "../support.ts";
import { fastClock, ManualClock, peerOptions, waitFor } from "./support.ts";
import { isUp, message, openMessage, RawPeer, type Speaker, startSpeaker, stopSpeakers } from "./support-sessions.ts";

afterEach(stopSpeakers);

const offer = gracefulRestartOptions;
/** IPv4 unicast; graceful restart of 120 s for it with the F bit, the R and N bits in the first octet; 4-octet AS. */
const capabilities = (bits: number) => [
  ...[1, 4, 0, 1, 0, 1],
  ...[64, 6, bits, 120, 0, 1, 1, 128],
  ...[65, 4, 0, 0, 65002 >> 8, 65002 & 255],
];
const N = 0x40;

let us: Speaker;
let neighbour: RawPeer;

async function start(bits: number, gracefulRestart: typeof offer | null = offer, clock = fastClock(1)): Promise<void> {
  us = await startSpeaker(Uint8Array.of(127, 0, 0, 1), { clock });
  us.manager.addPeer(
    peerOptions({ name: "raw", address: Uint8Array.of(127, 0, 0, 3), passive: true, holdTime: 9, gracefulRestart }),
  );
  neighbour = await RawPeer.established(us, openMessage({ capabilities: capabilities(bits) }));
  await waitFor(isUp(us, "raw"), "Established");
}

async function down() {
  await waitFor(() => us.handler.downs.length === 1, "the session to end");
  return us.handler.downs[0];
}

/** Body of the NOTIFICATION that the neighbour got. */
async function told(): Promise<number[]> {
  await neighbour.notification();
  return [...neighbour.received.find(({ type }) => type === 3)!.body];
}

const bye = [3, 0x62, 0x79, 0x65];

describe("a NOTIFICATION of the neighbour", () => {
  it.each([
    ["Hold Timer Expired", N, offer, [4, 0], true],
    ["UPDATE error", N, offer, [3, 1], true],
    ["Cease/Administrative Reset", N, offer, [6, 4], true],
    ["Cease/Administrative Shutdown", N, offer, [6, 2, ...bye], true],
    ["Send Hold Timer Expired", N, offer, [8, 0], true],
    ["Hard Reset", N, offer, [6, 9, 6, 2, ...bye], false],
    ["Hard Reset without data", N, offer, [6, 9], false],
    ["without its N bit", 0, offer, [4, 0], false],
    ["without our N bit", N, { ...offer, notification: false }, [4, 0], false],
    ["without our capability", N, null, [4, 0], false],
  ] as const)("%s", async (_, bits, options, body, graceful) => {
    await start(bits, options);
    neighbour.send(message(3, [...body]));
    expect(await down()).toMatchObject({ graceful, notification: { sent: false, code: body[0], subcode: body[1] } });
  });

  it("Hard Reset is shown with what it wraps, and is no reason to let the neighbour wait", async () => {
    await start(N);
    neighbour.send(message(3, [6, 9, 6, 2, ...bye]));
    expect((await down()).reason).toBe('received NOTIFICATION Cease/Hard Reset (Cease/Administrative Shutdown: "bye")');
    await RawPeer.established(us, openMessage({ capabilities: capabilities(N) }));
    await waitFor(isUp(us, "raw"), "Established again, inside of the idle hold time");
  });
});

describe("our NOTIFICATION", () => {
  const ends: [string, (speaker: Speaker) => unknown, number[], boolean][] = [
    ["removed peer", ({ manager }) => manager.removePeer("raw", "gone"), [6, 3], false],
    ["operator's reset", ({ manager }) => manager.reset("raw", "bye"), [6, 4, ...bye], false],
    ["shutdown", ({ manager }) => manager.stop("shutdown", "bye"), [6, 2, ...bye], false],
    ["BFD", ({ manager }) => manager.reset("raw", "no packets", 10), [6, 10], false],
    [
      "prefix limit",
      ({ handler }) => handler.sessions[0].reset(6, 1, Uint8Array.of(0, 1, 1, 0, 0, 0, 9), "too many"),
      [6, 1, 0, 1, 1, 0, 0, 0, 9],
      false,
    ],
    ["out of resources", ({ handler }) => handler.sessions[0].reset(6, 8, new Uint8Array(0), "full"), [6, 8], true],
    ["UPDATE error", ({ handler }) => handler.sessions[0].reset(3, 1, new Uint8Array(0), "broken"), [3, 1], true],
  ];

  it.each(ends)("%s: a hard reset unless routes may stay", async (_, end, body, graceful) => {
    await start(N);
    end(us);
    expect(await told()).toEqual(graceful ? body : [6, 9, ...body]);
    const sent = await down();
    expect(sent).toMatchObject({ graceful, notification: { sent: true, code: body[0] } });
    if (!graceful) expect(sent.reason).toContain("sent NOTIFICATION Cease/Hard Reset (Cease/");
  });

  it.each(ends)("%s: as it is, and nothing stays, for a neighbour without the N bit", async (_, end, body) => {
    await start(0);
    end(us);
    expect(await told()).toEqual(body);
    expect((await down()).graceful).toBe(false);
  });

  it.each([
    [N, true],
    [0, false],
  ])("hold timer, N bit %i: routes stay %s", async (bits, graceful) => {
    await start(bits, offer, fastClock(30));
    expect(await told()).toEqual([4, 0]);
    expect((await down()).graceful).toBe(graceful);
  });
});

it.each([
  ["with the N bit", N, offer, true],
  ["without the N bit", 0, offer, true],
  ["without graceful restart", N, null, false],
] as const)(
  "an interface that went down, %s: no NOTIFICATION, and routes stay where that was agreed on",
  async (_, bits, options, graceful) => {
    await start(bits, options);
    us.manager.pathLost("raw", "interface lo went down");
    expect(await down()).toMatchObject({ graceful, notification: null, reason: "interface lo went down" });
    expect(await neighbour.notification()).toBeNull();
    await RawPeer.established(us, openMessage({ capabilities: capabilities(bits) }));
    await waitFor(isUp(us, "raw"), "Established again, inside of the idle hold time");
  },
);

it("offers what is configured", async () => {
  const clock = new ManualClock();
  us = await startSpeaker(Uint8Array.of(127, 0, 0, 1), { clock });
  const gracefulRestart = { ...offer, time: 300, longLived: 86_400 };
  us.manager.addPeer(
    peerOptions({
      name: "raw",
      address: Uint8Array.of(127, 0, 0, 3),
      passive: true,
      families: [4, 6],
      gracefulRestart,
    }),
  );
  us.manager.setRestartState({ restarting: true, forwarding: ({ name }, family) => name === "raw" && family === 6 });
  neighbour = await RawPeer.established(us, openMessage({ capabilities: capabilities(N) }));
  const open = [...neighbour.received.find(({ type }) => type === 1)!.body];
  const text = open.join(" ");
  // R and N bits, 300 s, IPv4 without and IPv6 with the F bit; the same with a day of long-lived stale time.
  expect(text).toContain(`64 10 ${0xc1} 44 0 1 1 0 0 2 1 128`);
  expect(text).toContain("71 14 0 1 1 0 1 81 128 0 2 1 128 1 81 128");
  expect(us.status("raw").capabilities).toContain("graceful restart 120 s, past NOTIFICATIONs");
});
