// Small parts: aliases that survive, exclusions as people write them, locks that keep order.
import { describe, expect, it } from "vitest";
import { decodeAlias, encodeAlias, isAliasOf } from "../../../cni/attach/alias.ts";
import { crc32 } from "../../../cni/ipam/crc32.ts";
import { mergeRanges, parseRange } from "../../../cni/ipam/range.ts";
import { Locks } from "../../../cni/locks.ts";
import { formatAddress } from "../../../net/address.ts";

describe("alias of a host interface", () => {
  const content = {
    network: "n",
    containerId: "c".repeat(64),
    ifname: "eth0",
    pool: "p",
    addresses: ["10.244.100.100", "2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff"],
    mac: "02:00:00:00:00:01",
    sequence: 4_000_000_000,
  };
  const { network, containerId, ifname, pool, addresses } = content;

  it("names the owner, in at most 255 bytes; what does not fit is left out, the most dispensable first", () => {
    expect(decodeAlias(encodeAlias(content))).toEqual(content);
    const grown = (length: number) => encodeAlias({ ...content, containerId: "c".repeat(length) });
    const forms = new Set<string>();
    for (let length = 1; length < 400; length++) {
      const text = grown(length);
      expect(Buffer.byteLength(text)).toBeLessThan(256);
      expect(isAliasOf(text, { ...content, containerId: "c".repeat(length) })).toBe(true);
      const read = decodeAlias(text)!;
      expect(read.addresses).toEqual(addresses);
      if (read.containerId !== undefined) {
        expect(read).toMatchObject({ network, containerId: "c".repeat(length), ifname });
        expect(isAliasOf(text, content)).toBe(length === 64);
      }
      forms.add(Object.keys(read).join());
    }
    expect([...forms]).toEqual([
      "network,containerId,ifname,pool,mac,sequence,addresses",
      "network,containerId,ifname,pool,mac,addresses",
      "network,containerId,ifname,pool,addresses",
      "addresses",
    ]);
    expect(encodeAlias({ ...content, network: "" })).toBe(grown(399)); // read back from such an alias
  });

  it("reads what earlier builds wrote", () => {
    const old = `underlay ${JSON.stringify({ network, containerId, ifname, pool, addresses })}`;
    expect(decodeAlias(old)).toEqual({ network, containerId, ifname, pool, addresses });
    expect(isAliasOf(old, content)).toBe(true);
    expect(isAliasOf(old, { ...content, ifname: "eth1" })).toBe(false);
    expect(isAliasOf(old, { ...content, addresses: addresses.slice(1) })).toBe(false);
  });

  it.each([
    null,
    "",
    "uplink",
    "underlay",
    "underlay {",
    'underlay {"network":1}',
    'underlay ["n","c","eth0","p"]',
    'underlay ["n","c","eth0","p",[1]]',
    'underlay ["n","c","eth0","p",[],"m","7"]',
    "underlay null",
    "underlay 7",
  ])("is none: %s", (alias) => {
    expect(decodeAlias(alias)).toBeNull();
  });
});

describe("exclusions", () => {
  it.each([
    ["10.0.0.5", "10.0.0.5", "10.0.0.5"],
    ["10.0.0.5-10.0.0.9", "10.0.0.5", "10.0.0.9"],
    ["10.0.0.8/30", "10.0.0.8", "10.0.0.11"],
    ["2001:db8::/120", "2001:db8::", "2001:db8::ff"],
  ])("%s", (text, first, last) => {
    const range = parseRange(text)!;
    expect([formatAddress(range.first), formatAddress(range.last)]).toEqual([first, last]);
  });

  it.each(["", "x", "10.0.0.9-10.0.0.5", "10.0.0.1-::1", "10.0.0.1/24", "1-2-3", "10.0.0.1-10.0.0.2-10.0.0.3"])(
    "%s is none",
    (text) => expect(parseRange(text)).toBeNull(),
  );

  it("merges what overlaps", () => {
    const merged = mergeRanges(
      ["10.0.0.4-10.0.0.9", "10.0.0.0-10.0.0.5", "10.0.0.6", "10.0.0.20"].map((t) => parseRange(t)!),
    );
    expect(merged.map((range) => `${formatAddress(range.first)}-${formatAddress(range.last)}`)).toEqual([
      "10.0.0.0-10.0.0.9",
      "10.0.0.20-10.0.0.20",
    ]);
  });
});

describe("locks", () => {
  it("one holder per key in order, also after a failure; other keys go ahead", async () => {
    const locks = new Locks();
    const seen: string[] = [];
    const step = (key: string, name: string, turns: number) =>
      locks.with(key, async () => {
        for (let i = 0; i < turns; i++) await Promise.resolve();
        seen.push(name);
        if (name === "a2") throw new Error(name);
      });
    const results = await Promise.allSettled([
      step("a", "a1", 50),
      step("a", "a2", 5),
      step("a", "a3", 0),
      step("b", "b1", 0),
    ]);
    expect(results.map((result) => result.status)).toEqual(["fulfilled", "rejected", "fulfilled", "fulfilled"]);
    expect(seen).toEqual(["b1", "a1", "a2", "a3"]);
    await locks.idle();
  });
});

it("crc32 is the one of zlib", () => {
  expect(crc32(Buffer.from("123456789"))).toBe(0xcbf43926);
});
