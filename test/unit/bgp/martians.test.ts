// Prefixes that can be nobody's destination, against the list in words; and what becomes of routes to them.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isMartian } from "../../../bgp/martians.ts";
import { contains, formatPrefix, maskBytes, type Prefix, prefix } from "../../../net/prefix.ts";
import { Ipv4PrefixTable, Ipv6PrefixTable } from "../../../net/prefix-table.ts";
import { Simulation } from "./simulation.ts";

const martians = [
  ...["0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4"],
  ...["::/128", "::1/128", "::ffff:0.0.0.0/96", "fe80::/10", "ff00::/8"],
].map(prefix);

const tables = { 4: new Ipv4PrefixTable(), 6: new Ipv6PrefixTable() };
function martian({ family, bytes, length }: Prefix): boolean {
  return isMartian(tables[family], tables[family].intern(bytes, 0, length));
}

it.each([
  ["0.0.0.0/0", false],
  ["0.0.0.0/1", false],
  ["0.0.0.0/7", false],
  ["0.0.0.0/8", true],
  ["0.0.0.0/32", true],
  ["1.0.0.0/8", false],
  ["126.0.0.0/7", false],
  ["127.0.0.1/32", true],
  ["128.0.0.0/1", false],
  ["169.254.0.0/15", false],
  ["169.254.0.0/16", true],
  ["169.255.0.0/16", false],
  ["192.0.0.0/2", false],
  ["223.255.255.0/24", false],
  ["224.0.0.0/3", false],
  ["224.0.0.0/4", true],
  ["255.255.255.255/32", true],
  ["::/0", false],
  ["::/96", false],
  ["::/127", false],
  ["::/128", true],
  ["::1/128", true],
  ["::2/128", false],
  ["::ffff:0.0.0.0/95", false],
  ["::ffff:192.0.2.0/120", true],
  ["fe80::/9", false],
  ["febf::/16", true],
  ["fec0::/10", false],
  ["fe00::/7", false],
  ["ff02::/16", true],
] as const)("%s: %s", (text, expected) => {
  const [address, length] = text.split("/");
  const whole = prefix(`${address}/${address.includes(":") ? 128 : 32}`);
  expect(martian({ ...whole, bytes: maskBytes(whole.bytes, Number(length)), length: Number(length) })).toBe(expected);
});

it("any prefix: exactly those that lie inside of one of the list", () => {
  /** Near the edges of the list, where it matters. */
  const edge = fc.constantFrom(...martians).chain(({ family, bytes }) =>
    fc.record({ bit: fc.nat(bytes.length * 8 - 1), length: fc.nat(bytes.length * 8) }).map(({ bit, length }) => {
      const changed = Uint8Array.from(bytes);
      changed[bit >> 3] ^= 0x80 >> (bit & 7);
      return { family, bytes: maskBytes(changed, length), length };
    }),
  );
  fc.assert(
    fc.property(edge, (candidate) => {
      const expected = martians.some((known) => contains(known, candidate));
      expect(martian(candidate), formatPrefix(candidate)).toBe(expected);
    }),
    { numRuns: 2000 },
  );
});

describe("a neighbour's martians", () => {
  const announced = ["10.1.0.0/16", "127.0.0.0/8", "224.1.0.0/16"];
  const rejected = (simulation: Simulation) =>
    [...simulation.rib.received("a")].map((route) => `${route.prefix} ${route.rejected}`);

  it("are not used, and said to be what they are, whatever the policy; until the peer may send them", async () => {
    const simulation = new Simulation();
    const a = simulation.peer("a", "192.0.2.1", 65001);
    const b = simulation.peer("b", "192.0.2.2", 65002);
    a.announce(announced);
    a.announce(["::1/128", "2001:db8:7::/48"]);
    for (let i = 0; i < 20; i++) await new Promise(setImmediate);
    const why = "not a valid destination (martian)";
    expect(rejected(simulation)).toEqual([
      "10.1.0.0/16 null",
      `127.0.0.0/8 ${why}`,
      `224.1.0.0/16 ${why}`,
      `::1/128 ${why}`,
      "2001:db8:7::/48 null",
    ]);
    expect([...b.table.keys()]).toEqual(["10.1.0.0/16", "2001:db8:7::/48"]);
    expect(simulation.rib.counts().total).toBe(2);

    simulation.rib.setPolicies({ ...a.options, allowMartians: true });
    for (let i = 0; i < 20; i++) await new Promise(setImmediate);
    expect(rejected(simulation)).toEqual([...announced, "::1/128", "2001:db8:7::/48"].map((text) => `${text} null`));
    expect(b.table.size).toBe(5);

    simulation.rib.setPolicies({ ...a.options, allowMartians: false });
    for (let i = 0; i < 20; i++) await new Promise(setImmediate);
    expect(b.table.size).toBe(2);
  });
});

describe("import: default-route", () => {
  it("takes the two default routes and nothing else, and says so of the rest", () => {
    const simulation = new Simulation();
    const a = simulation.peer("a", "192.0.2.1", 65001, { import: "default-route" });
    a.announce(["0.0.0.0/0", "0.0.0.0/1", "128.0.0.0/1", "10.0.0.0/8", "0.0.0.0/8"]);
    a.announce(["::/0", "2000::/3", "::/128"]);
    expect([...simulation.rib.received("a")].map((route) => `${route.prefix} ${route.rejected}`)).toEqual([
      "0.0.0.0/0 null",
      "0.0.0.0/1 import policy",
      "128.0.0.0/1 import policy",
      "10.0.0.0/8 import policy",
      "0.0.0.0/8 not a valid destination (martian)",
      "::/0 null",
      "2000::/3 import policy",
      "::/128 not a valid destination (martian)",
    ]);
    expect([...simulation.rib.routes()].map((route) => route.prefix)).toEqual(["0.0.0.0/0", "::/0"]);
  });
});
