// Which records are about a prefix, or a neighbour.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { HistoryRecord } from "../../../history/format.ts";
import { matchPeer, matchPrefix, parseWanted } from "../../../history/match.ts";

const record = (type: string, fields: object): HistoryRecord => ({
  seq: 1,
  time: "2026-11-26T03:12:00.000Z",
  up: 1,
  type,
  ...fields,
});
const match = (wanted: string, type: string, fields: object) => matchPrefix(record(type, fields), parseWanted(wanted)!);

describe("a prefix", () => {
  const route = (prefix: string) => ({ kind: "operation", object: "route", operation: "add", prefix, table: 7100 });

  it.each([
    ["10.1.0.0/16", "10.1.0.0/16", "yes"],
    ["10.1.0.0/16", "10.1.2.0/24", "yes"],
    ["10.1.2.0/24", "10.1.0.0/16", null],
    ["10.1.2.0/24", "10.1.3.0/24", null],
    ["10.1.2.3", "10.1.0.0/16", "yes"],
    ["10.1.2.3", "0.0.0.0/0", "yes"],
    ["10.1.2.3", "10.1.2.3/32", "yes"],
    ["10.1.2.3", "10.1.2.4/32", null],
    ["2001:db8::/32", "2001:db8:1::/48", "yes"],
    ["2001:db8::1", "::/0", "yes"],
    ["2001:db8::1", "10.0.0.0/8", null],
    ["0.0.0.0/0", "10.1.0.0/16", "yes"],
  ])("%s: a route to %s: %s", (wanted, prefix, expected) => {
    expect(match(wanted, "kernel", route(prefix))).toBe(expected);
  });

  it("is found in rules, messages, pods and changes", () => {
    expect(match("10.244.1.0/26", "kernel", { rule: "1010: from 10.244.1.0/26 lookup 7100" })).toBe("yes");
    expect(match("10.244.1.0/26", "kernel", { message: "put back: rule from 10.244.1.0/26, deleted by ip" })).toBe(
      "yes",
    );
    expect(match("10.244.1.9", "pod", { kind: "added", pod: { addresses: ["10.244.1.9"] } })).toBe("yes");
    const changes = [{ prefix: "2001:db8::/32", peer: "tor-a", nextHops: ["fe80::1"] }];
    expect(match("2001:db8::/32", "route", { family: 6, count: 1, changes })).toBe("yes");
    expect(match("10.0.0.0/8", "route", { family: 6, count: 1, changes })).toBeNull();
    expect(match("10.0.0.2", "kernel", { object: "address", prefix: "10.0.0.2/24" })).toBe("yes");
  });

  it("is not found in what only looks like one", () => {
    for (const text of ["version 1.2.3.4.5", "03:12:04", "aa:bb:cc:dd:ee:ff", "999.1.1.1", "10.1.0.0/99", "x10.1.2.3"])
      expect(match("0.0.0.0/0", "kernel", { message: text })).toBeNull();
  });

  it("may be in a summary, and never is missed in one", () => {
    const summary = (lowest: string, highest: string) => ({ kind: "operations", count: 9, lowest, highest });
    expect(match("10.1.0.0/16", "kernel", summary("10.0.0.0/24", "10.2.0.0/24"))).toBe("perhaps");
    expect(match("10.3.0.0/16", "kernel", summary("10.0.0.0/24", "10.2.0.0/24"))).toBeNull();
    expect(match("10.1.0.0/16", "kernel", summary("2001:db8::/32", "2001:db9::/32"))).toBeNull();
    expect(match("10.1.0.0/16", "route", { family: 4, count: 100, changes: [] })).toBe("perhaps");
    expect(match("10.1.0.0/16", "route", { family: 6, count: 100, changes: [] })).toBeNull();
    const prefix = fc.tuple(fc.nat(255), fc.nat(255), fc.integer({ min: 8, max: 32 })).map(([a, b, length]) => {
      const value = ((10 << 24) | (a << 16) | (b << 8)) >>> 0;
      const masked = Number(BigInt(value) & ((0xffffffffn << BigInt(32 - length)) & 0xffffffffn));
      return {
        value: masked,
        length,
        text: `${masked >>> 24}.${(masked >>> 16) & 255}.${(masked >>> 8) & 255}.${masked & 255}/${length}`,
      };
    });
    fc.assert(
      fc.property(fc.array(prefix, { minLength: 1, maxLength: 20 }), fc.nat(), fc.nat(), (prefixes, which, offset) => {
        const sorted = [...prefixes].sort((a, b) => a.value - b.value || a.length - b.length);
        const shortest = Math.min(...prefixes.map(({ length }) => length));
        const fields = { ...summary(sorted[0].text, sorted[sorted.length - 1].text), shortest };
        const one = prefixes[which % prefixes.length];
        expect(match(one.text, "kernel", fields)).not.toBeNull();
        const inside = one.value + (offset % 2 ** (32 - one.length));
        const address = [24, 16, 8, 0].map((shift) => (inside >>> shift) & 255).join(".");
        expect(match(address, "kernel", fields)).not.toBeNull();
      }),
    );
  });

  it.each(["10.1.2.3/24", "10.1.0.0/33", "tor-a", "", "10.1/16", "::1/129"])("%j is none", (text) => {
    expect(parseWanted(text)).toBeNull();
  });
});

it("a neighbour is found by name, in sessions, routes, problems and what was asked for", () => {
  const about = (type: string, fields: object) => matchPeer(record(type, fields), "tor-a");
  expect(about("session", { peer: "tor-a" })).toBe(true);
  expect(about("session", { peer: "tor-ab" })).toBe(false);
  expect(about("route", { changes: [{ peer: "tor-b" }, { peer: "tor-a" }] })).toBe(true);
  expect(about("problem", { problem: "peer tor-a is Idle" })).toBe(true);
  expect(about("problem", { problem: "peer tor-ab is Idle" })).toBe(false);
  expect(about("api", { request: "/v1/reset?peer=tor-a&reason=x" })).toBe(true);
  expect(about("api", { request: "/v1/reload" })).toBe(false);
  expect(about("kernel", { message: "tor-a" })).toBe(false);
});
