// Which of the routers on a link is the neighbour: kept while it is there, left within three seconds when it is not.
import { describe, expect, it } from "vitest";
import { Neighbours } from "../../../../bgp/unnumbered/neighbours.ts";
import { formatAddress } from "../../../../net/address.ts";
import { ManualClock } from "../session/support.ts";
import { address } from "../support.ts";

const MAC = Uint8Array.of(2, 0, 0, 0, 0, 1);
const a = address("fe80::a");
const b = address("fe80::b");
const c = address("fe80::c");

function link() {
  const clock = new ManualClock();
  const probes: string[] = [];
  const changes: string[] = [];
  /** Milliseconds since the session's TCP last heard of the neighbour; null: no session. */
  const session: { silence: number | null; provoked: number } = { silence: null, provoked: 0 };
  const subject = new Neighbours("eth1", {
    clock,
    probe: (target) => probes.push(formatAddress(target)),
    provoke: () => session.provoked++,
    heardWithin: (milliseconds) => session.silence !== null && session.silence <= milliseconds,
    changed: ({ kind, reason }) => changes.push(`${kind} ${present()}: ${reason}`),
  });
  const present = () => subject.present && formatAddress(subject.present.address);
  const hear = (...addresses: Uint8Array[]) => addresses.map((from) => subject.advertised(from, MAC, 0));
  const listed = () => subject.list().map((entry) => formatAddress(entry.address));
  return { subject, clock, probes, changes, session, present, hear, listed };
}

describe("Neighbours", () => {
  it("takes the first router heard and says so once", () => {
    const { clock, probes, changes, hear } = link();
    expect(hear(a)).toEqual([true]);
    clock.advance(10_000);
    expect(hear(a)).toEqual([false]);
    expect(changes).toEqual(["found fe80::a: found on eth1"]);
    expect(probes).toEqual([]);
  });

  it("keeps the present one of two that are there, whoever speaks last", () => {
    const { subject, clock, probes, changes, hear, listed } = link();
    hear(a);
    for (let round = 0; round < 20; round++) {
      hear(b);
      subject.answered(a);
      clock.advance(10_000);
      hear(a);
    }
    expect(changes).toHaveLength(1);
    expect(probes).toEqual(new Array(20).fill("fe80::a"));
    expect(listed()).toEqual(["fe80::a", "fe80::b"]);
  });

  it("leaves a neighbour that has changed its address within three seconds", () => {
    const { clock, probes, changes, hear, listed } = link();
    hear(a);
    clock.advance(60_000);
    hear(b);
    clock.advance(2_999);
    expect(changes).toHaveLength(1);
    clock.advance(1);
    expect(probes).toEqual(["fe80::a", "fe80::a", "fe80::a"]);
    expect(changes[1]).toBe("moved fe80::b: fe80::a on eth1 is gone, fe80::b is there");
    expect(listed()).toEqual(["fe80::b"]);
  });

  it("takes an answer to the second or third question, and an advertisement, for a sign of life", () => {
    const { subject, clock, changes, hear } = link();
    hear(a, b);
    clock.advance(2_500);
    subject.answered(a);
    clock.advance(10_000);
    hear(b);
    clock.advance(1_500);
    hear(a);
    clock.advance(10_000);
    expect(changes).toHaveLength(1);
  });

  it("does not take another's answer for the present one's", () => {
    const { subject, clock, present, hear } = link();
    hear(a, b);
    subject.answered(b);
    clock.advance(3_000);
    expect(present()).toBe("fe80::b");
  });

  it("believes a session's TCP when no answer comes, and only what it has heard since the question", () => {
    const { clock, present, session, hear } = link();
    hear(a);
    session.silence = 2_900;
    hear(b);
    expect(session.provoked).toBe(1);
    clock.advance(3_000);
    expect(present()).toBe("fe80::a");
    clock.advance(1_000);
    session.silence = 3_100;
    hear(b);
    clock.advance(3_000);
    expect(present()).toBe("fe80::b");
  });

  it("goes to the one heard last when the present one is dead", () => {
    const { clock, present, hear } = link();
    hear(a, b, c);
    clock.advance(1_000);
    hear(b);
    clock.advance(2_000);
    expect(present()).toBe("fe80::b");
  });

  it("takes who connects while no session is up, without a word to the sessions", () => {
    const { subject, changes, present, hear } = link();
    expect(subject.spoke(a, false)).toBe(true);
    expect(changes).toEqual(["turned fe80::a: fe80::a on eth1 has connected"]);
    hear(b);
    expect(present()).toBe("fe80::a");
    expect(subject.spoke(b, false)).toBe(true);
    expect(present()).toBe("fe80::b");
    expect(subject.spoke(b, true)).toBe(true);
  });

  it("refuses a stranger while a session is up, but looks whether its neighbour is still there", () => {
    const { subject, clock, probes, present, hear } = link();
    hear(a);
    expect(subject.spoke(b, true)).toBe(false);
    expect(probes).toEqual(["fe80::a"]);
    subject.answered(a);
    clock.advance(5_000);
    expect(present()).toBe("fe80::a");
    expect(subject.spoke(b, true)).toBe(false);
    clock.advance(3_000);
    expect(present()).toBe("fe80::b");
    expect(subject.spoke(b, false)).toBe(true);
  });

  it("tries those heard in turn while no session comes about, but not those silent for long", () => {
    const { subject, clock, present, hear } = link();
    hear(a);
    subject.failed();
    expect(present()).toBe("fe80::a");
    hear(b);
    subject.answered(a);
    const turns = [1, 2, 3].map(() => {
      subject.failed();
      return present();
    });
    expect(turns).toEqual(["fe80::b", "fe80::a", "fe80::b"]);
    clock.advance(29_999);
    hear(b);
    clock.advance(1);
    subject.failed();
    expect(present()).toBe("fe80::b");
    subject.advertised(a, MAC, 1800);
    subject.answered(b);
    clock.advance(1_799_999);
    subject.failed();
    expect(present()).toBe("fe80::a");
  });

  it("forgets everybody when the link goes", () => {
    const { subject, clock, changes, hear, listed } = link();
    hear(a, b);
    subject.clear("interface eth1 went down");
    expect(changes[1]).toBe("lost null: interface eth1 went down");
    expect(listed()).toEqual([]);
    expect(clock.pending).toBe(0);
    subject.clear("again");
    expect(changes).toHaveLength(2);
    hear(b);
    expect(changes[2]).toBe("found fe80::b: found on eth1");
  });

  it("does not grow in a flood, asks once a second at most, and keeps the present one", () => {
    const { subject, clock, probes, changes, hear, listed } = link();
    hear(a);
    for (let i = 0; i < 10_000; i++) {
      subject.advertised(Uint8Array.of(0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, i >> 8, i & 255), null, 9000);
      subject.answered(a);
      clock.advance(1);
    }
    expect(listed()).toHaveLength(8);
    expect(listed()[0]).toBe("fe80::a");
    expect(changes).toHaveLength(1);
    expect(probes.length).toBeLessThanOrEqual(11);
  });
});
