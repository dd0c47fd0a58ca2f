import { spawnSync } from "node:child_process";
import { chmodSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { usualBestPath } from "../../../bgp/loc-rib/best-path-options.ts";
import type { Policy, PrefixMatch } from "../../../bgp/policy/types.ts";
import { plainRules } from "../../../bgp/route-rules.ts";
import { ConfigError, loadConfig, parseConfig } from "../../../config/load.ts";
import type { ReadSecret } from "../../../config/secret.ts";
import { NODE } from "./bad/case.ts";
import { bad } from "./bad.ts";

const root = join(import.meta.dirname, "../../..");

function problemsOf(run: () => unknown): ConfigError["problems"] {
  try {
    run();
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
}

const shown = (problem: ConfigError["problems"][number]) => {
  const what = problem.path === "" ? problem.message : `${problem.path}: ${problem.message}`;
  return problem.line === 0 ? what : `${problem.line}:${problem.column} ${what}`;
};

describe("refused configurations", () => {
  it.each(bad.map((entry) => [entry.name, entry] as const))("%s", (_, entry) => {
    const problems = problemsOf(() => parseConfig(entry.whole ?? NODE + entry.top, "underlay.yaml"));
    if (entry.says.length === 1 && entry.says[0].includes("|"))
      expect(problems.map(shown).join()).toMatch(new RegExp(entry.says[0]));
    else expect(problems.map(shown)).toEqual(entry.says);
    for (const [index, hint] of (entry.hints ?? []).entries())
      if (hint === null) expect(problems[index].hint).toBeNull();
      else expect(problems[index].hint).toContain(hint);
  });

  it("writes one block per problem", () => {
    const run = () => parseConfig(`${NODE}peers:\n  tor-a: { address: 192.0.2.1, asn: abc }\n`, "underlay.yaml");
    expect(run).toThrow(
      'underlay.yaml:3:37: peers.tor-a.asn: "abc" is not an AS number\n  hint: write the neighbour\'s AS number, external or internal',
    );
  });
});

describe("bounds", () => {
  const chain = (levels: number, width: number) => {
    let text = "a0: &a0 [x]\n";
    for (let i = 1; i <= levels; i++) text += `a${i}: &a${i} [${new Array(width).fill(`*a${i - 1}`).join(", ")}]\n`;
    return text;
  };
  it.each([
    ["aliases that multiply", chain(9, 9), /too large or too deep|nested/],
    ["aliases in a long chain", chain(900, 1), /too large or too deep|nested/],
    [
      "merges that multiply",
      `m0: &m0 {}\n${Array.from({ length: 9 }, (_, i) => `m${i + 1}: &m${i + 1} { <<: [${new Array(9).fill(`*m${i}`).join(", ")}] }\n`).join("")}`,
      /too large or too deep/,
    ],
    ["many anchors", Array.from({ length: 2000 }, (_, i) => `k${i}: &k${i} 1\n`).join(""), /anchors/],
    ["brackets", "[".repeat(100_000), /nested/],
    ["dashes", "- ".repeat(100_000), /nested/],
    ["question marks", "? ".repeat(50_000), /nested/],
    ["a large file", `#${"x".repeat(1 << 20)}\n`, /larger than 1 MiB/],
    ["many keys", Array.from({ length: 20_000 }, (_, i) => `k${i}: 1\n`).join(""), /is not a known key/],
    ["many faults in the syntax", "*a ".repeat(20_000), /YAML|alias/],
  ])("%s", (_, text, message) => {
    const started = performance.now();
    expect(() => parseConfig(text, "f")).toThrow(message);
    expect(performance.now() - started).toBeLessThan(15_000);
  });
});

describe("files", () => {
  let directory = "";
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), "ul-config-"));
  });
  afterAll(() => rmSync(directory, { recursive: true }));

  it.each([
    ["nothing", "there is no such file"],
    ["", "it is a directory"],
  ])("cannot read %j", (name, reason) => {
    const file = join(directory, name);
    expect(() => loadConfig(file)).toThrow(`${file}: cannot be read: ${reason}`);
  });

  it("does not read on for ever", () => {
    symlinkSync("/dev/zero", join(directory, "zero"));
    expect(() => loadConfig(join(directory, "zero"))).toThrow("is larger than 1 MiB");
  });

  it("takes bytes that are not UTF-8 for what they are", () => {
    writeFileSync(join(directory, "bytes"), Uint8Array.of(0x61, 0x3a, 0x20, 0xff, 0xfe));
    expect(() => loadConfig(join(directory, "bytes"))).toThrow(`${join(directory, "bytes")}:1:4: is not text`);
  });

  it("takes a byte order mark and Windows line ends", () => {
    writeFileSync(join(directory, "bom"), `\ufeff${NODE.replaceAll("\n", "\r\n")}`);
    expect(loadConfig(join(directory, "bom")).config.node.asn).toBe(65101);
  });

  const secretConfig = (file: string) =>
    `${NODE}peers:\n  t:\n    address: 192.0.2.1\n    asn: 65001\n    import: all\n    export: all\n    password: { file: ${file} }\n`;
  it("reads secrets relative to the configuration", () => {
    const file = join(directory, "c.yaml");
    writeFileSync(file, secretConfig("t.key"));
    expect(() => loadConfig(file)).toThrow(
      `${file}:8:23: peers.t.password.file: cannot read ${join(directory, "t.key")}: there is no such file`,
    );
    writeFileSync(join(directory, "t.key"), "", { mode: 0o600 });
    expect(() => loadConfig(file)).toThrow("is empty");
    writeFileSync(join(directory, "t.key"), "s3cret\r\n");
    const { config, warnings } = loadConfig(file);
    expect(config.peers[0].password).toEqual(new TextEncoder().encode("s3cret"));
    expect(warnings).toEqual([]);
    chmodSync(join(directory, "t.key"), 0o644);
    expect(loadConfig(file).warnings.map(String)).toEqual([
      expect.stringContaining(`everybody on this host can read ${join(directory, "t.key")}`),
    ]);
  });

  const secret =
    (text: string): ReadSecret =>
    () => ({ bytes: new TextEncoder().encode(text), worldReadable: false });
  it.each([
    ["80 bytes", "x".repeat(80), null],
    ["81 bytes", "x".repeat(81), "longer than 80 bytes"],
    ["a line end only", "\n", "is empty"],
    ["two lines", "a\nb\n", "has more than one line"],
  ])("secret of %s", (_, text, message) => {
    const run = () => parseConfig(secretConfig("k"), "/etc/underlay/c.yaml", secret(text));
    if (message === null) expect(run().config.peers[0].password).toHaveLength(80);
    else expect(run).toThrow(message);
  });
});

describe("good configurations", () => {
  const examples = join(root, "config/examples");
  it.each(readdirSync(examples))("example %s loads without a warning", (name) => {
    expect(loadConfig(join(examples, name)).warnings).toEqual([]);
  });

  it("fills in defaults", () => {
    const { maxPaths, maxPathsIbgp, ...bestPath } = usualBestPath;
    const { config } = parseConfig(
      "node: { asn: 65101, routerId: 10.0.0.11 }\npeers:\n  t: { address: 192.0.2.1, asn: internal }\n",
      "f",
    );
    expect(config).toMatchObject({
      file: "f",
      node: { name: expect.stringMatching(/./), asn: 65101, routerId: 0x0a00000b },
      bgp: { listenPort: 179, listenAddresses: [], maxPaths: 64, maxPathsIbgp: 64, bestPath },
      monitoring: { bmp: [], mrt: null },
      pools: [],
      tables: [{ name: "fabric", id: 7100, host: false, fallback: "host", hostRoutes: "first" }],
      routing: {
        install: true,
        protocol: 201,
        localTable: 7000,
        rulePriority: { local: 1000, hostRoutes: 1005, block: 1010, host: 1090 },
        staleTime: 120,
        withdrawTime: 5000,
        sysctls: true,
      },
      cni: { mtu: null, confDir: "/etc/cni/net.d", binDir: "/opt/cni/bin" },
      api: { socket: "/run/underlay/underlayd.sock", listen: null },
      paths: { state: "/var/lib/underlay", run: "/run/underlay" },
      log: { level: "info" },
    });
    expect(config.peers).toEqual([
      {
        name: "t",
        group: null,
        dynamic: false,
        address: Uint8Array.of(192, 0, 2, 1),
        interface: null,
        routerAdvertisements: true,
        localAsn: 65101,
        routerId: 0x0a00000b,
        remoteAsn: "internal",
        port: 179,
        passive: false,
        localAddress: null,
        holdTime: 90,
        connectRetry: 10,
        families: [4, 6],
        extendedNextHop: false,
        password: null,
        acceptedPasswords: [],
        ttlSecurity: false,
        multihop: null,
        extendedMessages: true,
        hostname: null,
        gracefulRestart: {
          time: 120,
          staleTime: 360,
          notification: true,
          longLived: null,
          partialDeployment: false,
        },
        import: "all",
        export: "blocks",
        defaultOriginate: null,
        table: 7100,
        maxPrefixes: null,
        maxPrefixesOut: null,
        monitored: true,
        bfd: null,
        role: null,
        requireRole: false,
        ...plainRules,
        addPath: null,
      },
    ]);
  });

  it.each([
    ["true", { interval: 300, multiplier: 3 }],
    ["false", null],
    ["{}", { interval: 300, multiplier: 3 }],
    ["{ interval: 1s }", { interval: 1000, multiplier: 3 }],
    ["{ interval: 50ms, multiplier: 5 }", { interval: 50, multiplier: 5 }],
    ["{ interval: 0.5 }", { interval: 500, multiplier: 3 }],
  ])("bfd: %s", (text, bfd) => {
    const { config } = parseConfig(`${NODE}peers:\n  t: { address: 192.0.2.1, asn: internal, bfd: ${text} }\n`, "f");
    expect(config.peers[0].bfd).toEqual(bfd);
  });

  const rulesOfPeer = (keys: string, top = "") => {
    const text = `${NODE}peers:\n  t: { address: 192.0.2.1, import: all, export: all, ${keys} }\n${top}`;
    return parseConfig(text, "f").config.peers[0];
  };
  it.each([
    ["asn: 65001", { localAsn: 65101, enforceFirstAs: true, prependReceived: false, hideNodeAsn: false, role: null }],
    ["asn: 65001, localAsn: 65055", { localAsn: 65055, prependReceived: true, hideNodeAsn: false }],
    ["asn: external, localAsn: { asn: 65055, noPrepend: true }", { localAsn: 65055, prependReceived: false }],
    [
      "asn: 65101, localAsn: { asn: 65055, replaceAs: true }",
      { localAsn: 65055, hideNodeAsn: true, enforceFirstAs: true },
    ],
    ["asn: 65001, enforceFirstAs: false", { enforceFirstAs: false }],
    ["asn: 65001, role: route-server-client", { role: 2, enforceFirstAs: false }],
    ["asn: 65001, role: route-server-client, enforceFirstAs: true", { role: 2, enforceFirstAs: true }],
    [
      "asn: internal, nextHopSelf: force, routeReflectorClient: true",
      { nextHopSelf: "force", routeReflectorClient: true },
    ],
    ["asn: 65001, allowAsIn: origin, asOverride: true", { allowAsIn: "origin", asOverride: true }],
    ["asn: 65001, removePrivateAs: true", { removePrivateAs: { all: false, replace: false } }],
    ["asn: 65001, removePrivateAs: replace-all", { removePrivateAs: { all: true, replace: true } }],
  ])("rules of a peer: %s", (keys, expected) => {
    expect(rulesOfPeer(keys)).toMatchObject(expected);
  });

  it.each([
    ["5", { total: 5, ipv4: null, ipv6: null, restartAfter: null, warnAt: 75, action: "close" }],
    [
      "{ ipv4: 8, ipv6: 4, restartAfter: 5m, warnAt: 90 }",
      { total: null, ipv4: 8, ipv6: 4, restartAfter: 300, warnAt: 90, action: "close" },
    ],
    [
      "{ limit: 9, action: drop }",
      { total: 9, ipv4: null, ipv6: null, restartAfter: null, warnAt: 75, action: "drop" },
    ],
  ])("maxPrefixes: %s", (text, expected) => {
    expect(rulesOfPeer(`asn: 65001, maxPrefixes: ${text}`).maxPrefixes).toEqual(expected);
  });
  it("maxPrefixesOut", () => {
    const none = { ipv4: null, ipv6: null, restartAfter: null };
    expect(rulesOfPeer("asn: 65001, maxPrefixesOut: 7").maxPrefixesOut).toEqual({ total: 7, ...none });
    expect(rulesOfPeer("asn: 65001, maxPrefixesOut: { ipv6: 3 }").maxPrefixesOut).toEqual({
      ...none,
      total: null,
      ipv6: 3,
    });
  });

  it("AS sets are allowed for all, or by peer", () => {
    expect(rulesOfPeer("asn: 65001").allowAsSets).toBe(false);
    expect(rulesOfPeer("asn: 65001", "bgp: { allowAsSets: true }\n").allowAsSets).toBe(true);
    expect(rulesOfPeer("asn: 65001, allowAsSets: false", "bgp: { allowAsSets: true }\n").allowAsSets).toBe(false);
    expect(parseConfig(`${NODE}bgp: { clusterId: 10.0.0.1 }\n`, "f").config.bgp.clusterId).toBe(0x0a000001);
  });

  it("builds monitoring", () => {
    const text = `${NODE}peers: { t: { address: 192.0.2.1, asn: internal, monitoring: false } }
monitoring:
  bmp:
    noc: { address: 192.0.2.9, port: 11019 }
    lab: { address: "2001:db8::9", port: 1790, localAddress: "2001:db8::1", adjRibIn: [], statistics: false, connectRetry: 5m }
    all: { address: 192.0.2.8, port: 1790, adjRibIn: post-policy, locRib: false, statistics: 10s }
  mrt: { directory: /var/log/mrt, updates: { interval: 5m }, tables: false, microseconds: true }
`;
    const { config } = parseConfig(text, "f");
    const usual = { localAddress: null, prePolicy: true, postPolicy: true, locRib: true, connectRetry: 60 };
    const bytes = (last: number) => Uint8Array.of(0x20, 1, 0x0d, 0xb8, ...new Array(11).fill(0), last);
    expect(config.peers[0].monitored).toBe(false);
    expect(config.monitoring).toEqual({
      bmp: [
        { ...usual, name: "noc", address: Uint8Array.of(192, 0, 2, 9), port: 11019, statistics: 60 },
        {
          ...usual,
          name: "lab",
          address: bytes(9),
          port: 1790,
          localAddress: bytes(1),
          prePolicy: false,
          postPolicy: false,
          statistics: null,
          connectRetry: 300,
        },
        {
          ...usual,
          name: "all",
          address: Uint8Array.of(192, 0, 2, 8),
          port: 1790,
          prePolicy: false,
          locRib: false,
          statistics: 10,
        },
      ],
      mrt: {
        directory: "/var/log/mrt",
        updates: { interval: 300, keep: 96 },
        tables: null,
        extendedTimestamps: true,
      },
    });
    expect(parseConfig(`${NODE}monitoring: { mrt: {} }\n`, "f").config.monitoring.mrt).toEqual({
      directory: "/var/lib/underlay/mrt",
      updates: { interval: 900, keep: 96 },
      tables: { interval: 7200, keep: 12 },
      extendedTimestamps: false,
    });
  });

  it("takes a peer without an address: found on its interface, IPv4 routes with IPv6 next hops", () => {
    const unnumbered = (rest = "") =>
      parseConfig(`${NODE}peers:\n  t: { interface: eth1, asn: internal${rest} }\n`, "f").config.peers[0];
    expect(unnumbered()).toMatchObject({
      address: null,
      interface: "eth1",
      routerAdvertisements: true,
      extendedNextHop: true,
    });
    expect(unnumbered(", routerAdvertisements: false").routerAdvertisements).toBe(false);
    expect(unnumbered(", families: [ipv6], extendedNextHop: false").extendedNextHop).toBe(false);
    const two = `${NODE}peers:\n  a: { interface: eth1, asn: internal }\n  b: { interface: eth2, asn: internal }\n  c: { interface: eth1, address: 192.0.2.1, asn: internal }\n`;
    expect(parseConfig(two, "f").warnings).toEqual([]);
  });

  it("has peers inherit policies as a whole, and communities key by key", () => {
    const { config } = parseConfig(
      `${NODE}peerGroups:
  tors: { asn: external, import: [base, default-route], export: blocks, communities: { add: "65101:1" } }
peers:
  a: { group: tors, address: 192.0.2.1 }
  b: { group: tors, address: 192.0.2.2, import: base, communities: { remove: "65101:*" } }
policies:
  base: [{ match: { med: 1 }, then: reject }]
`,
      "f",
    );
    const [a, b] = config.peers;
    const base = config.policies[0];
    expect(a.import).toEqual({ name: "base, default-route", chain: [base, "default-route"], onAccept: {} });
    expect(b.import).toBe(base);
    expect(a.export).toMatchObject({ chain: ["blocks"], onAccept: { community: { add: [0xfe4d0001] } } });
    expect(b.export).toMatchObject({ onAccept: { community: { remove: [[65101, null]], add: [0xfe4d0001] } } });
  });

  it("builds policies", () => {
    const { config } = loadConfig(join(examples, "policies.yaml"));
    const leaf = config.peers.find(({ name }) => name === "leaf1")!;
    const policy = leaf.import as Policy;
    expect(policy.statements[0]).toMatchObject({ match: { community: { any: [[65535, 0]] } }, set: { localPref: 0 } });
    expect(policy.statements.map((statement) => statement.then)).toEqual([
      "accept",
      "accept",
      "accept",
      "reject",
      "accept",
      "reject",
    ]);
    expect(
      (policy.statements[2].match.prefix as PrefixMatch[]).map(({ ge, le, prefix }) => [prefix.length, ge, le]),
    ).toEqual([
      [8, 16, 26],
      [32, 32, 64],
    ]);
    expect(policy.statements[2].set).toEqual({ localPref: 200, largeCommunity: { add: [[65101, 1, 1]] } });
    expect((leaf.export as typeof policy).statements[0].set).toEqual({
      community: { remove: [[65101, null]], add: [0xfe4d0007, 0xffffff01] },
      prepend: [4200000107],
    });
    expect(leaf.extendedNextHop).toBe(true);
    expect(config.peers[1]).toMatchObject({ families: [6], gracefulRestart: null, table: 7101 });
  });

  it("merges, with own keys first", () => {
    const { config } = loadConfig(join(examples, "dual-tor.yaml"));
    expect(config.peers.map(({ remoteAsn, holdTime }) => [remoteAsn, holdTime])).toEqual([
      [65001, 9],
      [65002, 9],
    ]);
  });
});

/** A peer that uses policy p. */
const USER = "peers:\n  t: { address: 192.0.2.1, asn: 65001, import: p, export: p }\n";

describe("warnings", () => {
  it.each([
    ["peers:\n  t: { address: 192.0.2.1, asn: 65001 }\n", "3:3: peers.t: imports and exports nothing"],
    ["peers:\n  t: { address: 192.0.2.1, asn: external, import: all }\n", "3:3: peers.t: exports nothing"],
    ["peers:\n  t: { address: 192.0.2.1, asn: 65101 }\n", null],
    [
      "peers:\n  t: { address: 192.0.2.1, asn: 65535, import: all, export: none }\n",
      "3:33: peers.t.asn: AS 65535 is reserved",
    ],
    [`policies: { p: [] }\n${USER}`, "2:13: policies.p: has no statement"],
    [`policies:\n  p: [{ then: accept }, { then: reject }]\n${USER}`, "3:25: policies.p[1]: is never reached"],
    [
      `policies:\n  p: [{ set: { med: none }, then: reject }]\n${USER}`,
      "3:9: policies.p[0].set: changes a route that is rejected",
    ],
    ["policies:\n  p: [{ then: accept }]\n", "3:3: policies.p: is used by no peer and no policy"],
    ["prefixSets:\n  a: 10.0.0.0/8\n", "3:3: prefixSets.a: is used by no policy"],
    [
      "peers:\n  t: { address: 192.0.2.1, asn: 65001, import: [all, default-route], export: none }\n",
      "3:49: peers.t.import[0]: all accepts every route: what follows is never reached",
    ],
    [
      "peers:\n  t: { address: 192.0.2.1, asn: 65001, import: all, export: [none, blocks] }\n",
      "3:62: peers.t.export[0]: none decides nothing among others",
    ],
  ])("%j", (text, warning) => {
    const { warnings } = parseConfig(NODE + text, "f");
    if (warning === null) expect(warnings).toEqual([]);
    else expect(warnings.map(String)).toEqual([expect.stringContaining(`f:${warning}`)]);
  });
});

it("schema.json and docs/configuration.md are current", () => {
  const result = spawnSync(process.execPath, ["scripts/generate-docs.mjs", "--check"], { cwd: root, encoding: "utf8" });
  expect(result.stderr).toBe("");
  expect(result.status).toBe(0);
});
