// What is remembered of a neighbour: why its last session ended, whatever fails afterwards, and the distinct events, bounded.
import { afterEach, describe, expect, it } from "vitest";
import type { DynamicHost } from "../../../../bgp/session/dynamic-peers.ts";
import { hardReset } from "../../../../bgp/session/graceful-restart.ts";
import { resetOf } from "../../../../bgp/session/last-reset.ts";
import { PeerHistory } from "../../../../bgp/session/peer-history.ts";
import { PeerRecord } from "../../../../bgp/session/peer-record.ts";
import { RecordMemory } from "../../../../bgp/session/record-memory.ts";
import type { SessionDown } from "../../../../bgp/session/types.ts";
import { shutdownCommunication } from "../../../../bgp/wire/notification.ts";
import { formatAddress } from "../../../../net/address.ts";
import { prefix } from "../../../../net/prefix.ts";
import { ManualClock, Simulation } from "../simulation.ts";
import { fastClock, peerOptions, waitFor } from "./support.ts";
import { isUp, message, openMessage, RawPeer, startSpeaker, stopSpeakers } from "./support-sessions.ts";

afterEach(stopSpeakers);

const down = (more: Partial<SessionDown>): SessionDown => ({
  reason: "why",
  notification: null,
  local: false,
  graceful: false,
  ...more,
});

describe("the last reset", () => {
  it.each([
    [down({}), "connection", null],
    [down({ local: true }), "local", null],
    [
      down({ local: true, notification: { sent: true, code: 3, subcode: 5, data: new Uint8Array(100).fill(0xab) } }),
      "local",
      {
        direction: "sent",
        name: "UPDATE Message Error/Attribute Length Error",
        communication: null,
        data: "ab".repeat(64),
        dataLength: 100,
      },
    ],
    [
      down({ notification: { sent: false, code: 6, subcode: 2, data: shutdownCommunication("rack move") } }),
      "remote",
      { direction: "received", code: 6, subcode: 2, name: "Cease/Administrative Shutdown", communication: "rack move" },
    ],
    [
      down({
        notification: { sent: false, ...hardReset({ code: 6, subcode: 4, data: shutdownCommunication("again") }) },
      }),
      "remote",
      { subcode: 9, name: "Cease/Hard Reset (Cease/Administrative Reset)", communication: "again" },
    ],
  ])("%j", (ended, by, notification) => {
    expect(resetOf(ended, 7)).toMatchObject({ lasted: 7, by, reason: "why", notification });
  });
});

describe("the history", () => {
  const clock = new ManualClock();
  const history = () => new PeerHistory(clock, () => 1_700_000_000_000 + clock.now());
  const texts = (of: PeerHistory) => of.events.map(({ text, count }) => `${text} ${count}`);

  it("counts what happens again, with the first and the last time, the last one first", () => {
    const events = history();
    events.add("attempt", "refused");
    clock.advance(5_000);
    events.add("reset", "hold timer");
    clock.advance(10_000);
    events.add("attempt", "refused");
    clock.advance(2_000);
    expect(events.events).toEqual([
      { kind: "attempt", text: "refused", count: 2, first: 1_700_000_000, last: 1_700_000_015, age: 2 },
      { kind: "reset", text: "hold timer", count: 1, first: 1_700_000_005, last: 1_700_000_005, age: 12 },
    ]);
  });

  it("is bounded, and many words of one kind leave the others alone", () => {
    const events = history();
    events.add("reset", "the one that matters");
    for (let i = 0; i < 1000; i++) events.add("attempt", `attempt ${i} ${"x".repeat(2000)}`);
    expect(events.events).toHaveLength(10);
    expect(texts(events).at(-1)).toBe("the one that matters 1");
    expect(Math.max(...events.events.map(({ text }) => text.length))).toBeLessThan(600);
    for (let i = 0; i < 1000; i++) events.add("reset", `reset ${i}`);
    const kinds = events.events.map(({ kind }) => kind);
    expect([kinds.filter((kind) => kind === "reset").length, kinds.length]).toEqual([5, 10]);
    expect(texts(events)[0]).toBe("reset 999 1");
  });

  it("takes what has one key for one event, in its last words", () => {
    const events = history();
    events.add("routes", "such as 10.0.0.0/8", "martian");
    events.add("routes", "such as 10.1.0.0/16", "martian");
    expect(texts(events)).toEqual(["such as 10.1.0.0/16 2"]);
  });
});

it("has mistakes in routes beside the ends of sessions, in the order of time", () => {
  const simulation = new Simulation();
  const a = simulation.peer("a", "192.0.2.1", 65001);
  const reset = { kind: "reset", text: "hold timer", count: 1, first: 1, last: 1 } as const;
  const view = (age: number) =>
    simulation.rib.peerView({ name: "a", history: [{ ...reset, age }] } as never).history.map(({ text }) => text);
  a.announce(["127.1.0.0/16"]);
  a.announce(["127.2.0.0/16"]);
  simulation.clock.advance(60_000);
  const mistake = expect.stringMatching(/martian|allowMartians/);
  expect(view(5)).toEqual(["hold timer", mistake]);
  expect(view(70)).toEqual([mistake, "hold timer"]);
});

it("records of those that are gone are kept, so many and each once", () => {
  const memory = new RecordMemory();
  const records = Array.from({ length: 2000 }, () => new PeerRecord(new ManualClock()));
  for (const [i, record] of records.entries()) memory.keep(`p${i}`, record);
  expect(memory.take("p1999")).toBe(records[1999]);
  expect(memory.take("p1999")).toBeUndefined();
  expect(memory.take("p976")).toBe(records[976]);
  expect(memory.take("p975")).toBeUndefined();
});

describe("of a neighbour that misbehaves and is gone", () => {
  it("the reason stays while later attempts fail", async () => {
    const speaker = await startSpeaker(Uint8Array.of(127, 0, 0, 1), { clock: fastClock(10) });
    // Nobody listens there: each attempt of ours is refused.
    speaker.manager.addPeer(
      peerOptions({ name: "raw", address: Uint8Array.of(127, 0, 0, 3), port: 9, connectRetry: 1 }),
    );
    await waitFor(() => speaker.status().history.length > 0, "a refusal");
    const peer = await RawPeer.established(speaker);
    await waitFor(isUp(speaker), "Established");
    expect(speaker.status().lastReset).toBeNull();
    // An OPEN, whose place is not here.
    peer.send(openMessage());
    expect(await peer.notification()).toBe("5/3");
    await waitFor(() => speaker.status().lastError?.includes("refused") ?? false, "another refusal");
    const { lastReset, history } = speaker.status();
    expect(lastReset).toMatchObject({
      by: "local",
      reason: expect.stringContaining("unexpected OPEN in state Established"),
      notification: { direction: "sent", code: 5, subcode: 3, name: expect.stringContaining("Established State") },
    });
    expect(Math.abs((lastReset?.time ?? 0) - Date.now() / 1000)).toBeLessThan(60);
    expect(history.map(({ kind, count }) => [kind, count > 1])).toEqual([
      ["attempt", true],
      ["reset", false],
    ]);
  });

  it("a change that makes the peer anew keeps its past, its removal does not", async () => {
    const speaker = await startSpeaker(Uint8Array.of(127, 0, 0, 1), { clock: fastClock(1) });
    const options = peerOptions({ name: "raw", address: Uint8Array.of(127, 0, 0, 3), passive: true });
    speaker.manager.addPeer(options);
    await RawPeer.established(speaker);
    await waitFor(isUp(speaker), "Established");
    speaker.manager.removePeer("raw", "configuration changed", "changed");
    speaker.manager.addPeer(options);
    expect(speaker.status().lastReset).toMatchObject({ by: "local", notification: { code: 6, subcode: 6 } });
    expect(speaker.status().uptime).toBeNull();
    speaker.manager.removePeer("raw", "gone");
    speaker.manager.addPeer(options);
    expect(speaker.status()).toMatchObject({ lastReset: null, history: [], establishedCount: 0 });
  });

  it("one out of a listen range finds its past again", async () => {
    const host: DynamicHost = {
      open: (group, address, device) =>
        peerOptions({
          name: `${group}/${formatAddress(address)}`,
          group,
          dynamic: true,
          passive: true,
          address,
          interface: device,
        }),
      close() {},
      keeps: () => false,
      isPod: () => false,
    };
    const us = await startSpeaker(Uint8Array.of(127, 0, 0, 1), { dynamic: host, clock: fastClock(10) });
    us.manager.setGroup({
      name: "rack",
      listen: [{ prefix: prefix("127.0.0.0/24"), interface: null }],
      listenLimit: 100,
      listenPods: false,
      password: null,
      acceptedPasswords: [],
    });
    const first = await RawPeer.established(us, openMessage(), "127.0.0.9");
    await waitFor(() => us.handler.sessions.length === 1, "Established");
    first.send(message(3, [6, 2, 4, ...new TextEncoder().encode("rest")]));
    await waitFor(() => us.manager.names().length === 0, "the peer to be gone");
    await RawPeer.established(us, openMessage(), "127.0.0.9");
    await waitFor(() => us.handler.sessions.length === 2, "Established again");
    expect(us.status()).toMatchObject({
      name: "rack/127.0.0.9",
      establishedCount: 2,
      lastReset: { by: "remote", notification: { communication: "rest" } },
    });
  });
});
