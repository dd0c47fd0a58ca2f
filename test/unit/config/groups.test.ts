// Peer groups: what is inherited and what wins, where faults are reported, and the ranges that groups listen for.
import { describe, expect, it } from "vitest";
import { diffConfig } from "../../../config/diff.ts";
import { ConfigError, parseConfig } from "../../../config/load.ts";
import { formatPrefix } from "../../../net/prefix.ts";
import { NODE } from "./bad/case.ts";

const secrets: Record<string, string> = { "/k/new": "new", "/k/old": "old", "/k/other": "other" };
const readSecret = (file: string) => {
  if (!secrets[file]) throw Object.assign(new Error("gone"), { code: "ENOENT" });
  return { bytes: new TextEncoder().encode(secrets[file]), worldReadable: false };
};
const load = (text: string) => parseConfig(NODE + text, "/k/f.yaml", readSecret);
const config = (text: string) => load(text).config;
const peer = (text: string, name = "a") => config(text).peers.find((entry) => entry.name === name)!;

function faults(text: string): string[] {
  try {
    load(text);
  } catch (error) {
    if (error instanceof ConfigError)
      return error.problems.map(({ line, column, path, message }) => `${line}:${column} ${path}: ${message}`);
    throw error;
  }
  return [];
}

describe("inheritance", () => {
  it("a peer's own key wins, then its group's, then that of the group's group", () => {
    const text = `
peerGroups:
  base: { asn: external, import: default-route, export: blocks, holdTime: 30s, connectRetry: 5s }
  tors: { group: base, holdTime: 9s, multihop: 2 }
peers:
  a: { group: tors, address: 192.0.2.1, multihop: 3 }
  b: { group: base, address: 192.0.2.2 }
  c: { address: 192.0.2.3, asn: 65009, import: all, export: blocks }
`;
    expect(peer(text)).toMatchObject({
      group: "tors",
      remoteAsn: "external",
      import: "default-route",
      holdTime: 9,
      connectRetry: 5,
      multihop: 3,
    });
    expect(peer(text, "b")).toMatchObject({ group: "base", holdTime: 30, multihop: null });
    expect(peer(text, "c")).toMatchObject({ group: null, holdTime: 90, connectRetry: 10 });
    expect(config(text).peerGroups).toEqual([]);
    expect(load(text).warnings).toEqual([]);
  });

  it("maps are merged key by key, lists and everything else replaced, and a key without a value is none", () => {
    const text = `
peerGroups:
  g:
    asn: 65001
    import: all
    export: all
    families: [ipv4, ipv6]
    bfd: { interval: 100ms, multiplier: 5 }
    gracefulRestart: { time: 60s }
    password: { file: new, accept: [old] }
peers:
  a: { group: g, address: 192.0.2.1, families: [ipv6], bfd: { multiplier: 4 }, gracefulRestart: false }
  b: { group: g, address: 192.0.2.2, bfd: true, password: { file: other }, holdTime: }
`;
    expect(peer(text)).toMatchObject({ families: [6], bfd: { interval: 100, multiplier: 4 }, gracefulRestart: null });
    expect(peer(text, "b")).toMatchObject({
      families: [4, 6],
      bfd: { interval: 300, multiplier: 3 },
      gracefulRestart: { time: 60 },
      password: new TextEncoder().encode("other"),
      acceptedPasswords: [new TextEncoder().encode("old")],
    });
  });

  it("works together with YAML's anchors and merge keys", () => {
    const text = `
peerGroups:
  g: &g { asn: 65001, import: all, export: all }
  h: { <<: *g, holdTime: 9s }
peers:
  a: { group: h, address: 192.0.2.1 }
`;
    expect(peer(text)).toMatchObject({ remoteAsn: 65001, holdTime: 9 });
  });
});

describe("faults", () => {
  it("in an inherited value are reported once, where it stands", () => {
    const text = `peerGroups:
  base: { asn: external, import: all, export: all }
  tors:
    group: base
    holdTime: 1s
    bfd: { interval: 1ms }
    families: [ipv4, ipv5]
    table: nowhere
    typo: 1
peers:
  a: { group: tors, address: 192.0.2.1 }
  b: { group: tors, address: 192.0.2.2, holdTime: 2s }
`;
    expect(faults(text)).toEqual([
      "6:15 peerGroups.tors.holdTime: a hold time of 1 s is not allowed (RFC 4271)",
      '7:22 peerGroups.tors.bfd.interval: "1ms" is outside of 50 ms to 60000 ms',
      '8:22 peerGroups.tors.families[1]: "ipv5" is not one of ipv4, ipv6',
      "10:5 peerGroups.tors.typo: is not a known key",
      "13:51 peers.b.holdTime: a hold time of 2 s is not allowed (RFC 4271)",
    ]);
  });

  it("between a peer's own and an inherited value are reported where the latter stands", () => {
    const text = `peerGroups:
  g: { asn: 65001, import: all, export: all, ttlSecurity: 2 }
peers:
  a: { group: g, address: 192.0.2.1, multihop: 3 }
`;
    expect(faults(text)).toEqual(["3:59 peers.a.ttlSecurity: 2 hops here, and 3 in multihop"]);
  });

  it.each([
    [
      "a group that is not there",
      "peerGroups:\n  tors: { asn: 65001 }\npeers:\n  a: { group: tor, address: 192.0.2.1 }\n",
      ['5:15 peers.a.group: there is no peer group "tor"'],
    ],
    [
      "a group's group that is not there",
      "peerGroups:\n  tors: { group: base }\npeers: {}\n",
      ['3:18 peerGroups.tors.group: there is no peer group "base"'],
    ],
    [
      "a group of itself",
      "peerGroups:\n  a: { group: a }\n",
      ["3:15 peerGroups.a.group: a group cannot inherit from itself: a -> a"],
    ],
    [
      "a circle of groups",
      "peerGroups:\n  a: { group: b }\n  b: { group: c }\n  c: { group: a, asn: 65001 }\n",
      ["5:15 peerGroups.c.group: a group cannot inherit from itself: a -> b -> c -> a"],
    ],
    [
      "an address in a group",
      "peerGroups:\n  g: { address: 192.0.2.1 }\n",
      ["3:8 peerGroups.g.address: is not a known key"],
    ],
    [
      "no AS number anywhere",
      "peerGroups:\n  g: { holdTime: 9s }\npeers:\n  a: { group: g, address: 192.0.2.1 }\n",
      ["5:3 peers.a.asn: is missing"],
    ],
    ["groups as a list", "peerGroups:\n  - asn: 65001\n", ["3:3 peerGroups: a list is not a map"]],
    [
      "a policy that is not there",
      "peerGroups:\n  g: { import: nowhere }\n",
      ['3:16 peerGroups.g.import: there is no policy "nowhere"'],
    ],
  ])("%s", (_, text, says) => {
    expect(faults(text)).toEqual(says);
  });

  it("does not multiply without bound", () => {
    const list = new Array(5_000).fill("ipv4").join(", ");
    const peers = Array.from({ length: 5_000 }, (_, i) => `  p${i}: { group: g }\n`).join("");
    const started = performance.now();
    expect(faults(`peerGroups:\n  g: { families: [${list}] }\npeers:\n${peers}`).join("\n")).toContain(
      "peer groups make this too large",
    );
    expect(performance.now() - started).toBeLessThan(15_000);
  });
});

describe("listen ranges", () => {
  const group = (keys: string, rest = "") => `peerGroups:\n  g: { import: all, export: all, ${keys} }\n${rest}`;

  it("come with all that a peer out of them needs", () => {
    const text = `
peerGroups:
  base: { asn: [65001, 65010-65020], import: default-route, export: blocks, password: { file: new } }
  rack: { group: base, listen: [10.0.0.0/24, "2001:db8::/64", "fe80::/64%eth1"], listenLimit: 5, holdTime: 9s }
`;
    const [rack, ...others] = config(text).peerGroups;
    expect(others).toEqual([]);
    expect(rack.listen.map(({ prefix, interface: name }) => `${formatPrefix(prefix)} ${name}`)).toEqual([
      "10.0.0.0/24 null",
      "2001:db8::/64 null",
      "fe80::/64 eth1",
    ]);
    expect(rack).toMatchObject({
      name: "rack",
      listenLimit: 5,
      holdTime: 9,
      import: "default-route",
      remoteAsn: [
        { from: 65001, to: 65001 },
        { from: 65010, to: 65020 },
      ],
      password: new TextEncoder().encode("new"),
      extendedNextHop: null,
      table: 7100,
    });
  });

  it("are on the group's interface where they name none", () => {
    const [only] = config(group('asn: 65001, listen: "fe80::/10", interface: eth7')).peerGroups;
    expect(only.listen[0].interface).toBe("eth7");
    expect(only.listenLimit).toBe(100);
  });

  it.each([
    [
      "no AS number",
      "listen: 10.0.0.0/24",
      "3:3 peerGroups.g.asn: is missing, and neighbours out of the ranges have none of their own",
    ],
    ["no prefix", "asn: 65001, listen: [10.0.0.1]", '3:55 peerGroups.g.listen[0]: "10.0.0.1" is not a range'],
    ["multicast", "asn: 65001, listen: [224.0.0.0/24]", '3:55 peerGroups.g.listen[0]: "224.0.0.0/24" is multicast'],
    [
      "link-local without an interface",
      'asn: 65001, listen: ["fe80::/64"]',
      "3:55 peerGroups.g.listen[0]: fe80::/64 is link-local, which needs an interface",
    ],
    [
      "two interfaces",
      'asn: 65001, listen: ["fe80::/64%eth1"], interface: eth2',
      "3:55 peerGroups.g.listen[0]: fe80::/64%eth1 is on another interface than the group (eth2)",
    ],
    [
      "our own AS among others",
      "asn: [65101, 65001], listen: [10.0.0.0/24]",
      "3:39 peerGroups.g.asn: our own AS 65101 is among them: a neighbour is either in our AS or in another one",
    ],
    [
      "a backward range of ASes",
      "asn: 65009-65001, listen: [10.0.0.0/24]",
      '3:39 peerGroups.g.asn: "65009-65001" ends before it begins',
    ],
    ["an empty list of ASes", "asn: [], listen: [10.0.0.0/24]", "3:39 peerGroups.g.asn: the list is empty"],
    [
      "the limit 0",
      "asn: 65001, listen: [10.0.0.0/24], listenLimit: 0",
      "3:82 peerGroups.g.listenLimit: 0 is outside of 1 to 100000",
    ],
    [
      "a source of the other family",
      'asn: 65001, listen: [10.0.0.0/24], localAddress: "2001:db8::1"',
      "3:83 peerGroups.g.localAddress: 2001:db8::1 is not of the same family as 10.0.0.0/24",
    ],
  ])("refused: %s", (_, keys, says) => {
    expect(faults(group(keys))).toEqual([says]);
  });

  it("one range in two groups is refused, with the line of the other", () => {
    const text = group("asn: 65001, listen: [10.0.0.0/24]", "  h: { group: g, listen: [10.0.0.0/24, 10.0.0.0/25] }\n");
    expect(faults(text)).toEqual(["4:27 peerGroups.h.listen[0]: 10.0.0.0/24 is in group g already (line 3)"]);
  });

  it("what has no password inside of a range with one is refused: the kernel would ask it for signatures", () => {
    const text = group(
      "asn: 65001, listen: [10.0.0.0/16], password: { file: new }",
      "  h: { asn: 65001, import: all, export: all, listen: [10.0.9.0/24] }\npeers:\n  p: { address: 10.0.8.1, asn: 65001, import: all, export: all }\n",
    );
    expect(faults(text).map((line) => line.replace(/,? which has one$/, ""))).toEqual([
      "4:55 peerGroups.h.listen[0]: 10.0.9.0/24 has no password, but lies in 10.0.0.0/16 of group g (line 3)",
      "6:17 peers.p.address: 10.0.8.1 has no password, but lies in 10.0.0.0/16 of group g (line 3)",
    ]);
  });

  it("without a listener there are none", () => {
    expect(faults(`bgp: { listenPort: false }\n${group("asn: 65001, listen: [10.0.0.0/24]")}`)).toEqual([
      "4:46 peerGroups.g.listen: ranges need a listener",
    ]);
  });
});

describe("differences", () => {
  const base = "peerGroups:\n  g: { asn: 65001, import: all, export: all, listen: [10.0.0.0/24], holdTime: 9s }\n";
  const lines = (before: string, after: string) =>
    diffConfig(config(before), config(after)).changes.map(({ kind, path, impact }) => `${kind} ${path} ${impact}`);

  it.each([
    ["holdTime: 9s", "holdTime: 30s", ["changed peerGroups.g.holdTime reset"]],
    ["import: all", "import: none", ["changed peerGroups.g.import live"]],
    ["10.0.0.0/24", "10.0.0.0/24, 10.1.0.0/24", ["changed peerGroups.g.listen live"]],
    ["  g:", "  h:", ["added peerGroups.h live", "removed peerGroups.g live"]],
  ])("%s -> %s", (from, to, says) => {
    expect(lines(base, base.replace(from, to))).toEqual(says);
  });

  it("another secret in place of one is live; one where there was none is not", () => {
    const one = (password: string) => `peers:\n  a: { address: 192.0.2.1, asn: 65101, ${password} }\n`;
    const rolled = lines(one("password: { file: old }"), one("password: { file: new, accept: [old] }"));
    expect(rolled).toEqual(["changed peers.a.password live", "changed peers.a.password.accept live"]);
    expect(lines(one(""), one("password: { file: new }"))).toEqual(["changed peers.a.password reset"]);
    const { changes } = diffConfig(
      config(one("password: { file: old, accept: new }")),
      config(one("password: { file: old }")),
    );
    expect(JSON.stringify(changes)).not.toMatch(/"(new|old)"/);
  });
});
