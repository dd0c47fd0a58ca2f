// When advertisements and solicitations are sent, in seconds of a clock that moves when told to.
import { describe, expect, it } from "vitest";
import { Advertiser } from "../../../../bgp/unnumbered/advertiser.ts";
import { formatAddress } from "../../../../net/address.ts";
import { ManualClock } from "../session/support.ts";
import { address } from "../support.ts";

function advertiser({ advertises = true, random = 1 } = {}) {
  const clock = new ManualClock();
  const begin = clock.now();
  const sent: string[] = [];
  const at = () => (clock.now() - begin) / 1000;
  const subject = new Advertiser(advertises, {
    clock,
    random: () => random,
    advertise: (to) => sent.push(`${at()} RA ${to ? formatAddress(to) : "all"}`),
    solicit: () => sent.push(`${at()} RS`),
  });
  const take = () => sent.splice(0);
  return { subject, clock, take };
}

const a = address("fe80::a");
const b = address("fe80::b");
const nowhere = new Uint8Array(16);

describe("Advertiser", () => {
  it("advertises at once, every 3 s at first and every 10 s then; solicits three times", () => {
    const { subject, clock, take } = advertiser();
    subject.start();
    clock.advance(40_000);
    expect(take()).toEqual([
      "0 RA all",
      "0 RS",
      "3 RA all",
      "4 RS",
      "6 RA all",
      "8 RS",
      "16 RA all",
      "26 RA all",
      "36 RA all",
    ]);
  });

  it("varies the interval, so that routers on a link do not speak in step", () => {
    const { subject, clock, take } = advertiser({ random: 0 });
    subject.start();
    clock.advance(22_000);
    expect(take().filter((line) => line.includes("RA"))).toEqual([
      "0 RA all",
      "3 RA all",
      "6 RA all",
      "13.5 RA all",
      "21 RA all",
    ]);
  });

  it("answers who solicits, by itself, within half a second", () => {
    const { subject, clock, take } = advertiser();
    subject.start();
    clock.advance(18_000);
    take();
    subject.solicited(a);
    subject.solicited(a);
    clock.advance(500);
    expect(take()).toEqual(["18.5 RA fe80::a"]);
  });

  it("answers several, or one without an address, with one advertisement to all", () => {
    const { subject, clock, take } = advertiser();
    subject.start();
    clock.advance(20_000);
    take();
    subject.solicited(a);
    subject.solicited(b);
    subject.solicited(a);
    clock.advance(500);
    expect(take()).toEqual(["20.5 RA all"]);
    clock.advance(4_000);
    subject.solicited(nowhere);
    clock.advance(500);
    expect(take()).toEqual(["25 RA all"]);
  });

  it("never advertises to all more often than every 3 s, whatever is asked (RFC 4861 §6.2.6)", () => {
    const { subject, clock, take } = advertiser({ random: 0.3 });
    subject.start();
    for (let step = 0; step < 3_000; step++) {
      subject.solicited(step % 2 ? a : b);
      subject.solicited(nowhere);
      clock.advance(10);
    }
    const times = take().flatMap((line) => (line.endsWith("RA all") ? [Number(line.split(" ")[0])] : []));
    expect(times.length).toBeGreaterThan(5);
    expect(times.length).toBeLessThan(12);
    for (const [i, time] of times.slice(1).entries()) expect(time - times[i]).toBeGreaterThanOrEqual(3);
  });

  it("solicits no more when somebody was found, and tells that one of us", () => {
    const { subject, clock, take } = advertiser();
    subject.start();
    clock.advance(1_000);
    subject.found(a);
    clock.advance(9_000);
    expect(take()).toEqual(["0 RA all", "0 RS", "1.5 RA fe80::a", "3 RA all", "6 RA all"]);
    subject.lost();
    clock.advance(9_000);
    expect(take().filter((line) => line.endsWith("RS"))).toEqual(["10 RS", "14 RS", "18 RS"]);
  });

  it("only solicits when advertisements are switched off", () => {
    const { subject, clock, take } = advertiser({ advertises: false });
    subject.start();
    subject.solicited(a);
    subject.found(b);
    subject.lost();
    clock.advance(30_000);
    expect(take()).toEqual(["0 RS", "0 RS", "4 RS", "8 RS"]);
  });

  it("is silent after stop, and begins anew at start", () => {
    const { subject, clock, take } = advertiser();
    subject.start();
    subject.solicited(a);
    subject.stop();
    subject.solicited(b);
    clock.advance(30_000);
    expect(take()).toEqual(["0 RA all", "0 RS"]);
    expect(clock.pending).toBe(0);
    subject.start();
    clock.advance(3_000);
    expect(take()).toEqual(["30 RA all", "30 RS", "33 RA all"]);
  });
});
