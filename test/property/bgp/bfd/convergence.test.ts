// Two sessions over a channel that loses, delays and reorders what it likes: whatever has happened, as soon as the channel
// is a good one they come up, agree on a pace and stay up; and when it is cut, both notice in time.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type ControlPacket, decodeControl, encodeControl } from "../../../../bgp/bfd/packet.ts";
import { BfdSession, type BfdTiming } from "../../../../bgp/bfd/session.ts";
import { ManualClock } from "../../../unit/bgp/session/support.ts";

/** What the channel does to one packet: lost, or delivered after so many milliseconds. */
type Fate = number | "lost";
const LATENCY = 1;

class Pair {
  readonly clock = new ManualClock();
  readonly sessions: readonly [BfdSession, BfdSession];
  /** When either session changed its state. */
  readonly changes: number[] = [];
  /** When each last sent something. */
  readonly sent: [number, number] = [0, 0];
  readonly longestGap: [number, number] = [0, 0];
  fate: () => Fate;

  constructor(timings: readonly [BfdTiming, BfdTiming], random: () => number, fate: () => Fate) {
    this.fate = fate;
    this.sessions = [this.#session(0, timings[0], random), this.#session(1, timings[1], random)];
    for (const session of this.sessions) session.start();
  }

  #session(index: 0 | 1, timing: BfdTiming, random: () => number): BfdSession {
    return new BfdSession(index + 1, timing, {
      clock: this.clock,
      random,
      catchUp() {},
      stateChanged: () => this.changes.push(this.clock.now()),
      send: (packet) => {
        expect(packet.poll && packet.final).toBe(false);
        const now = this.clock.now();
        this.longestGap[index] = Math.max(this.longestGap[index], now - this.sent[index]);
        this.sent[index] = now;
        this.#carry(index, packet);
      },
    });
  }

  #carry(from: 0 | 1, packet: ControlPacket): void {
    const fate = this.fate();
    if (fate === "lost") return;
    const bytes = new Uint8Array(24);
    encodeControl(packet, bytes);
    this.clock.after(fate, () => {
      const decoded = decodeControl(bytes, bytes.length);
      expect(decoded).toEqual(packet);
      this.sessions[from === 0 ? 1 : 0].receive(decoded as ControlPacket);
    });
  }
}

const timing = fc.record({ interval: fc.integer({ min: 50, max: 1500 }), multiplier: fc.integer({ min: 1, max: 8 }) });
const fates = fc.array(fc.oneof(fc.constant<Fate>("lost"), fc.integer({ min: 0, max: 2_500 })), { minLength: 1 });
const jitter = fc.array(fc.double({ min: 0, max: 0.999, noNaN: true }), { minLength: 1, maxLength: 50 });

/** Endless, from the start again and again. */
const cycle = <T>(values: readonly T[]) => {
  let next = 0;
  return () => values[next++ % values.length];
};

describe("two BFD sessions", () => {
  it("come up after any trouble, agree, stay up, and notice a cut within the detection time", () => {
    fc.assert(
      fc.property(timing, timing, fates, fc.nat(30_000), jitter, (a, b, fate, trouble, random) => {
        const pair = new Pair([a, b], cycle(random), cycle(fate));
        const { clock, sessions, changes } = pair;
        clock.advance(trouble);

        // What was delayed arrives meanwhile; a session that it confuses needs a detection time and a handshake.
        pair.fate = () => LATENCY;
        const slowest = Math.max(1000, a.interval, b.interval);
        clock.advance(2_500 + slowest * (Math.max(a.multiplier, b.multiplier) + 4));
        expect(sessions.map(({ state }) => state)).toEqual(["Up", "Up"]);
        const pace = Math.max(a.interval, b.interval) * 1000;
        expect(sessions.map(({ transmitInterval }) => transmitInterval)).toEqual([pace, pace]);
        expect(sessions.map(({ detectionTime }) => detectionTime)).toEqual([b.multiplier * pace, a.multiplier * pace]);

        changes.length = 0;
        pair.longestGap.fill(0);
        clock.advance(60_000);
        expect(changes).toEqual([]);
        for (const gap of pair.longestGap) expect(gap).toBeLessThanOrEqual(pace / 1000);

        pair.fate = () => "lost";
        const cut = clock.now();
        clock.advance((Math.max(a.multiplier, b.multiplier) * pace) / 1000 + LATENCY);
        expect(sessions.map(({ state }) => state)).toEqual(["Down", "Down"]);
        expect(changes).toHaveLength(2);
        for (const [index, at] of [...changes].sort((x, y) => x - y).entries()) {
          const sorted = [a.multiplier, b.multiplier].sort((x, y) => x - y);
          expect(at - cut).toBeLessThanOrEqual((sorted[index] * pace) / 1000 + LATENCY);
        }
      }),
      { numRuns: 150 },
    );
  });
});
