// One session against what RFC 5880 says, with a clock of its own. `random` is 1 unless said otherwise: no jitter.
import { describe, expect, it } from "vitest";
import { type BfdState, Diagnostic } from "../../../../bgp/bfd/packet.ts";
import { packet, TestSession } from "./support.ts";

describe("state machine (RFC 5880 §6.2, §6.8.6)", () => {
  const table: Record<BfdState, Record<BfdState, BfdState>> = {
    AdminDown: { AdminDown: "AdminDown", Down: "AdminDown", Init: "AdminDown", Up: "AdminDown" },
    Down: { AdminDown: "Down", Down: "Init", Init: "Up", Up: "Down" },
    Init: { AdminDown: "Down", Down: "Init", Init: "Up", Up: "Up" },
    Up: { AdminDown: "Down", Down: "Down", Init: "Up", Up: "Up" },
  };
  const cases = Object.entries(table).flatMap(([from, row]) =>
    Object.entries(row).map(([received, to]) => [from, received, to] as [BfdState, BfdState, BfdState]),
  );
  it.each(cases)("%s, received %s: %s", (from, received, to) => {
    const { session, changes, sent } = new TestSession().to(from);
    const [changed, said] = [changes.length, sent.length];
    session.receive(packet(received));
    expect(session.state).toBe(to);
    expect(changes.slice(changed)).toEqual(
      from === to
        ? []
        : [{ from, to, reason: expect.any(String), failed: from === "Up" && received === "Down", independent: false }],
    );
    // The neighbour hears of it at once, and from nothing else than a change.
    expect(sent.slice(said).map(({ state }) => state)).toEqual(from === to ? [] : [to]);
  });

  it("keeps why it went down until it is up again", () => {
    const { session } = new TestSession().to("Up");
    session.receive(packet("Down", { diagnostic: Diagnostic.DETECTION_TIME_EXPIRED }));
    expect(session.diagnostic).toBe(Diagnostic.NEIGHBOR_SIGNALED_DOWN);
    session.receive(packet("Down"));
    expect([session.state, session.diagnostic]).toEqual(["Init", Diagnostic.NEIGHBOR_SIGNALED_DOWN]);
    session.receive(packet("Init"));
    expect([session.state, session.diagnostic]).toEqual(["Up", Diagnostic.NONE]);
  });
});

describe("transmission", () => {
  const gaps = (sent: readonly { at: number }[]) => sent.slice(1).map(({ at }, index) => at - sent[index].at);

  it("says Down every second, however fast it is configured, until it is Up", () => {
    const test = new TestSession({ interval: 50, multiplier: 3 });
    test.clock.advance(5_000);
    expect(gaps(test.sent)).toEqual([1000, 1000, 1000, 1000, 1000]);
    expect(test.sent[0]).toMatchObject({
      state: "Down",
      desiredMinTx: 1_000_000,
      requiredMinRx: 50_000,
      yourDiscriminator: 0,
      detectMultiplier: 3,
      controlPlaneIndependent: false,
      demand: false,
      poll: false,
    });
  });

  it("agrees on its own pace with a poll as soon as it is Up", () => {
    const test = new TestSession();
    test.session.receive(packet("Down"));
    test.session.receive(packet("Init"));
    expect(test.sent.at(-1)).toMatchObject({ state: "Up", poll: true, desiredMinTx: 300_000, yourDiscriminator: 7 });
    test.talk(900, 300, packet("Up"));
    expect(test.sent.slice(-3).map(({ poll, at }) => [poll, at])).toEqual([
      [true, 1300],
      [true, 1600],
      [true, 1900],
    ]);
    test.session.receive(packet("Up", { final: true }));
    test.talk(300, 300, packet("Up"));
    expect(test.sent.at(-1)).toMatchObject({ poll: false });
  });

  it("polls nobody when its pace is the slow one anyway", () => {
    const test = new TestSession({ interval: 1000, multiplier: 3 }).to("Up");
    expect(test.sent.some(({ poll }) => poll)).toBe(false);
  });

  it("goes by the slower of its own wish and the neighbour's", () => {
    const test = new TestSession().to("Up");
    expect(test.session.transmitInterval).toBe(300_000);
    test.session.receive(packet("Up", { requiredMinRx: 700_000 }));
    expect(test.session.transmitInterval).toBe(700_000);
    const before = test.sent.length;
    test.talk(2100, 100, packet("Up", { requiredMinRx: 700_000 }));
    expect(test.sent.length - before).toBe(3);
  });

  it("sends at once when the neighbour's new pace has made the next packet overdue", () => {
    const test = new TestSession().to("Up");
    test.session.receive(packet("Up", { requiredMinRx: 2_000_000 }));
    test.talk(500, 100, packet("Up", { requiredMinRx: 2_000_000 }));
    const before = test.sent.length;
    test.session.receive(packet("Up"));
    test.clock.advance(0);
    expect(test.sent.length).toBe(before + 1);
  });

  it.each([
    [3, 0, 225],
    [3, 0.999, 300],
    [1, 0, 225],
    [1, 0.999, 270],
  ])("multiplier %i, random %f: every %i ms", (multiplier, random, expected) => {
    const test = new TestSession({ interval: 300, multiplier }, () => random).to("Up");
    const before = test.sent.length - 1;
    test.talk(3_000, 50, packet("Up", { detectMultiplier: 50 }));
    for (const gap of gaps(test.sent.slice(before))) expect(Math.abs(gap - expected)).toBeLessThan(1);
  });

  it("stops for a neighbour that wants no packets, and goes on when it wants them again", () => {
    const test = new TestSession().to("Up");
    test.session.receive(packet("Up", { requiredMinRx: 0 }));
    const before = test.sent.length;
    test.talk(5_000, 500, packet("Up", { requiredMinRx: 0 }));
    expect([test.sent.length, test.session.state]).toEqual([before, "Up"]);
    test.talk(600, 300, packet("Up"));
    expect(test.sent.length).toBeGreaterThan(before);
  });

  it("stops for a neighbour in demand mode while both are Up, and answers its polls", () => {
    const test = new TestSession().to("Up");
    const before = test.sent.length;
    test.session.receive(packet("Up", { demand: true }));
    test.talk(900, 300, packet("Up", { demand: true }));
    expect(test.sent.length).toBe(before);
    test.session.receive(packet("Up", { demand: true, poll: true }));
    expect(test.sent.slice(before)).toMatchObject([{ final: true, poll: false }]);
  });

  it("answers a poll at once, never with a poll in the same packet", () => {
    const test = new TestSession();
    test.session.receive(packet("Down"));
    test.session.receive(packet("Init"));
    test.session.receive(packet("Up", { poll: true }));
    expect(test.sent.at(-1)).toMatchObject({ final: true, poll: false });
    expect(test.sent.filter(({ poll, final }) => poll && final)).toEqual([]);
  });
});

describe("detection", () => {
  it("goes by the neighbour's multiplier and the slower of both paces, and resets what it knew", () => {
    const test = new TestSession({ interval: 100, multiplier: 5 }).to("Up");
    test.session.receive(packet("Up", { desiredMinTx: 200_000, detectMultiplier: 4 }));
    expect(test.session.detectionTime).toBe(800_000);
    test.clock.advance(799);
    expect(test.session.state).toBe("Up");
    test.clock.advance(1);
    expect(test.changes.at(-1)).toEqual({
      from: "Up",
      to: "Down",
      reason: "nothing received for 800 ms (detection time 800 ms)",
      failed: true,
      independent: false,
    });
    expect(test.sent.at(-1)).toMatchObject({
      state: "Down",
      diagnostic: Diagnostic.DETECTION_TIME_EXPIRED,
      yourDiscriminator: 0,
      desiredMinTx: 1_000_000,
      poll: false,
    });
    expect(test.session.detectionTime).toBe(0);
  });

  it.each([
    ["its detection time expired", Diagnostic.DETECTION_TIME_EXPIRED, true],
    ["its path is down", Diagnostic.PATH_DOWN, true],
    ["it has lost its client", Diagnostic.NEIGHBOR_SIGNALED_DOWN, false],
    ["no diagnostic", Diagnostic.NONE, false],
  ])(
    "a neighbour with the C bit says Down, %s: a failure that no restart explains %s",
    (_, diagnostic, independent) => {
      for (const controlPlaneIndependent of [true, false]) {
        const test = new TestSession().to("Up");
        test.session.receive(packet("Down", { controlPlaneIndependent, diagnostic }));
        expect(test.changes.at(-1)).toMatchObject({
          failed: true,
          independent: controlPlaneIndependent && independent,
        });
      }
    },
  );

  it("says whether the neighbour's BFD outlives its control plane (C bit), as the last packet before said", () => {
    const test = new TestSession().to("Up");
    test.session.receive(packet("Up", { controlPlaneIndependent: true }));
    test.clock.advance(900);
    expect(test.changes.at(-1)).toMatchObject({ to: "Down", failed: true, independent: true });
    // Ours does not.
    expect(test.sent.every(({ controlPlaneIndependent }) => !controlPlaneIndependent)).toBe(true);
  });

  it("is no failure in Init, and forgets the neighbour in Down", () => {
    const init = new TestSession().to("Init");
    init.clock.advance(3_000);
    expect(init.changes.at(-1)).toMatchObject({ from: "Init", to: "Down", failed: false });
    const down = new TestSession();
    down.session.receive(packet("AdminDown"));
    expect(down.session.remoteDiscriminator).toBe(7);
    down.clock.advance(3_000);
    expect([down.session.state, down.session.remoteDiscriminator]).toEqual(["Down", 0]);
  });

  it("follows a faster pace with the packet that announces it", () => {
    const test = new TestSession();
    test.session.receive(packet("Down"));
    expect(test.session.detectionTime).toBe(3_000_000);
    test.session.receive(packet("Up"));
    test.clock.advance(900);
    expect(test.session.state).toBe("Down");
  });

  it("reads what has arrived before it believes in silence", () => {
    const test = new TestSession().to("Up");
    test.waiting = [packet("Up")];
    test.clock.advance(1_500);
    expect(test.session.state).toBe("Up");
    test.clock.advance(400);
    expect(test.session.state).toBe("Down");
  });

  it("believes what it reads then", () => {
    const test = new TestSession().to("Up");
    test.waiting = [packet("AdminDown")];
    test.clock.advance(900);
    expect(test.changes.at(-1)).toMatchObject({ to: "Down", failed: false });
  });
});

describe("a new pace for a running session (RFC 5880 §6.8.3)", () => {
  it("sends slower, and expects packets faster, only when the neighbour has confirmed it", () => {
    const test = new TestSession().to("Up");
    test.session.configure({ interval: 500, multiplier: 3 });
    expect(test.sent.at(-1)).toMatchObject({ poll: true, desiredMinTx: 500_000, requiredMinRx: 500_000 });
    expect([test.session.transmitInterval, test.session.detectionTime]).toEqual([300_000, 1_500_000]);
    test.session.receive(packet("Up", { final: true }));
    expect([test.session.transmitInterval, test.session.detectionTime]).toEqual([500_000, 1_500_000]);
    test.session.configure({ interval: 200, multiplier: 3 });
    expect([test.session.transmitInterval, test.session.detectionTime]).toEqual([300_000, 1_500_000]);
    test.session.receive(packet("Up", { final: true, requiredMinRx: 200_000, desiredMinTx: 200_000 }));
    expect([test.session.transmitInterval, test.session.detectionTime]).toEqual([200_000, 600_000]);
    expect(test.changes.filter(({ from }) => from === "Up")).toEqual([]);
  });
});

describe("the end", () => {
  it("says AdminDown at once, takes nothing more, and is silent when closed", () => {
    const test = new TestSession().to("Up");
    test.session.shutdown();
    expect(test.sent.at(-1)).toMatchObject({ state: "AdminDown", diagnostic: Diagnostic.ADMINISTRATIVELY_DOWN });
    expect(test.changes.at(-1)).toMatchObject({ from: "Up", to: "AdminDown", failed: false });
    test.session.close();
    const before = test.sent.length;
    test.clock.advance(10_000);
    expect([test.sent.length, test.clock.pending]).toEqual([before, 0]);
  });
});
