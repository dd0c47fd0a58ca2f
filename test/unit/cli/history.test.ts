// underlayctl history as a process, with nothing but files.
import { spawn, spawnSync } from "node:child_process";
import { appendFileSync, cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventText } from "../../../cli/event-text.ts";

const root = join(import.meta.dirname, "../../..");
const directory = mkdtempSync(join(tmpdir(), "ul-history-cli-"));
const files = join(directory, "history");
const program = join(directory, "underlayctl.cjs");

const state = {
  type: "state",
  daemon: "running",
  peers: [
    { name: "tor-a", state: "Established", received: 10, accepted: 9, advertised: 2 },
    { name: "tor-b", state: "Idle", received: 0, accepted: 0, advertised: 0 },
  ],
  blocks: [{ prefix: "10.244.1.0/26", pool: "default", state: "announced" }],
  tables: [{ table: "fabric", ipv4: 9, ipv6: 0 }],
  kernel: { desired: 9, installed: 9, failed: 0 },
  pods: 3,
  problems: ["peer tor-b is Idle"],
};
const records: [time: string, fields: { type: string; [key: string]: unknown }][] = [
  ["03:00:00", { type: "segment", format: 1, version: "0.1.0", pid: 7 }],
  ["03:00:00", state],
  [
    "03:10:00",
    {
      type: "kernel",
      kind: "operation",
      operation: "add",
      object: "route",
      prefix: "10.1.0.0/16",
      table: 7100,
      nextHop: 5,
    },
  ],
  [
    "03:11:00",
    {
      type: "kernel",
      kind: "operations",
      operation: "delete",
      object: "route",
      count: 4000,
      table: 7100,
      lowest: "10.0.0.0/24",
      highest: "10.9.0.0/24",
      shortest: 24,
      milliseconds: 1500,
    },
  ],
  [
    "03:12:00",
    {
      type: "session",
      kind: "state",
      peer: "tor-a",
      from: "Established",
      to: "Idle",
      reason: "hold timer expired",
      prefixes: { received: 10, accepted: 9, advertised: 2 },
    },
  ],
  ["03:12:01", { type: "problem", kind: "appeared", problem: "peer tor-a is Idle" }],
  [
    "03:12:30",
    {
      type: "resources",
      rss: 1 << 20,
      eventLoopDelay: { p50: 0, p99: 1, max: 2 },
      sessions: { configured: 2, established: 1 },
      tables: [{ table: "fabric", ipv4: 8, ipv6: 1 }],
      kernel: { desired: 9, installed: 8, failed: 1 },
      pods: 3,
    },
  ],
  [
    "03:13:00",
    {
      type: "pod",
      kind: "added",
      pod: { containerId: "c1", addresses: ["10.244.1.9"], hostInterface: "ul1", pod: "ns/web" },
    },
  ],
];

beforeAll(async () => {
  await build({
    entryPoints: [join(root, "cli/main.ts")],
    outfile: program,
    bundle: true,
    platform: "node",
    format: "cjs",
    logLevel: "error",
  });
  mkdirSync(files);
  const lines = records.map(([time, fields], i) =>
    JSON.stringify({ seq: i + 1, time: `2026-11-26T${time}.000Z`, up: i, ...fields }),
  );
  writeFileSync(join(files, "00000000000001.ndjson"), `${lines.slice(0, 4).join("\n")}\n`);
  writeFileSync(join(files, "00000000000005.ndjson"), `${lines.slice(4).join("\n")}\n{"seq":9,"ti`);
});
afterAll(() => rmSync(directory, { recursive: true }));

function run(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, "history", "--file", files, ...args], {
    encoding: "utf8",
    env: { ...process.env, TZ: "UTC" },
  });
  return { status, stdout, stderr, lines: stdout.split("\n").filter(Boolean) };
}

describe("underlayctl history", () => {
  it("tells what happened, one line each, and what is damaged", () => {
    const { status, lines, stderr } = run();
    expect(lines).toEqual([
      "2026-11-26 03:10:00.000  kernel     added route 10.1.0.0/16 in table 7100 via nexthop 5",
      "2026-11-26 03:11:00.000  kernel     deleted 4000 routes in table 7100 in 1.5 s, between 10.0.0.0/24 and 10.9.0.0/24",
      "2026-11-26 03:12:00.000  session    tor-a: Established -> Idle: hold timer expired (10 prefixes received, 9 accepted, 2 advertised)",
      "2026-11-26 03:12:01.000  problem    appeared: peer tor-a is Idle",
      "2026-11-26 03:13:00.000  pod        added ns/web: 10.244.1.9 on ul1",
    ]);
    expect(stderr).toBe("1 damaged lines were passed over\n");
    expect(status).toBe(0);
  });

  it.each([
    [["--since", "2026-11-26T03:12", "--until", "2026-11-26T03:12:30"], 2],
    [["--types", "kernel,pod"], 3],
    [["--types", "resources"], 1],
    [["--peer", "tor-a"], 2],
    [["--prefix", "10.1.0.0/16"], 2],
    [["--prefix", "10.244.1.9"], 1],
    [["--prefix", "10.1.0.0/16", "--until", "2026-11-26T03:10Z"], 1],
  ])("selects with %j", (args, count) => {
    const { status, lines } = run(...args);
    expect(lines).toHaveLength(count);
    expect(status).toBe(0);
  });

  it("says when a summary may have the prefix", () => {
    const { lines } = run("--prefix", "10.5.5.0/24");
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(/deleted 4000 routes .*\(a summary: perhaps\)$/);
    const [json] = run("--prefix", "10.5.5.0/24", "--json").lines;
    expect(JSON.parse(json)).toMatchObject({ seq: 4, match: "perhaps", count: 4000 });
  });

  it("prints records as they are with --json", () => {
    const { lines } = run("--json", "--types", "session");
    expect(JSON.parse(lines[0])).toEqual({ seq: 5, time: "2026-11-26T03:12:00.000Z", up: 4, ...records[4][1] });
  });

  it("goes on with --follow as more is recorded, in this file and the next", async () => {
    const copy = join(directory, "growing");
    cpSync(files, copy, { recursive: true });
    const child = spawn(process.execPath, [program, "history", "--file", copy, "--follow", "--types", "pod"]);
    try {
      let seen = "";
      child.stdout.on("data", (data) => {
        seen += data;
      });
      const until = async (count: number) => {
        while (seen.split("\n").length <= count) await new Promise((resolve) => setTimeout(resolve, 20));
      };
      await until(1);
      const line = (seq: number) =>
        `${JSON.stringify({ seq, time: "2026-11-26T03:14:00.000Z", up: seq, ...records[7][1] })}\n`;
      writeFileSync(join(copy, "00000000000009.ndjson"), line(9));
      await until(2);
      appendFileSync(join(copy, "00000000000009.ndjson"), line(10));
      await until(3);
      expect(seen.match(/added ns\/web/g)).toHaveLength(3);
    } finally {
      child.kill();
    }
  });

  it("tells how everything was at a time", () => {
    const before = run("--at", "2026-11-26T03:11:30");
    expect(before.stdout).toContain("tor-a Established, 10 prefixes received, 2 advertised");
    expect(before.stdout).toMatch(/daemon +running \(last record 30s before\)/);
    const { stdout, status } = run("--at", "2026-11-26T03:13", "--json");
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toEqual({
      at: "2026-11-26T03:13:00.000Z",
      lastRecord: "2026-11-26T03:13:00.000Z",
      daemon: "running",
      peers: [
        { name: "tor-a", state: "Idle", since: "2026-11-26T03:12:00.000Z", received: 0, accepted: 0, advertised: 0 },
        { name: "tor-b", state: "Idle", since: null, received: 0, accepted: 0, advertised: 0 },
      ],
      blocks: [{ prefix: "10.244.1.0/26", pool: "default", state: "announced" }],
      tables: [{ table: "fabric", ipv4: 8, ipv6: 1 }],
      kernel: { desired: 9, installed: 8, failed: 1 },
      pods: 4,
      problems: ["peer tor-b is Idle", "peer tor-a is Idle"],
      countedAt: "2026-11-26T03:12:30.000Z",
    });
  });

  it.each([
    [["--since", "2026-11-27T00:00Z"], 1, "nothing of that is on record; the record begins at 2026-11-26 03:00:00.000"],
    [["--at", "2020-01-01"], 1, "nothing is on record from before 2020-01-01 00:00:00.000"],
    [["--since", "25:00"], 2, 'history: --since "25:00" is no time; write 10m'],
    [["--at", "soon"], 2, 'history: --at "soon" is no time'],
    [["--since", "2026-11-26", "--until", "2026-11-25"], 2, "history: --until 2026-11-25 is before --since 2026-11-26"],
    [["--prefix", "10.1.0.1/16"], 2, "history: 10.1.0.1/16 is neither a prefix (without host bits) nor an address"],
    [["--types", "ker nel"], 2, 'history: "ker nel" is no type of events'],
    [["--at", "10m", "--peer", "tor-a"], 2, "history: --at takes no --peer"],
    [["--file", "/nonexistent/history"], 2, "history: there is no /nonexistent/history"],
    [["--file", "/etc/passwd"], 2, "history: /etc/passwd is no directory"],
    [["--table", "fabric"], 2, "history takes no --table"],
    [["03:12"], 2, "history: too many arguments"],
  ])("refuses or misses with %j: exit code %i", (args, code, message) => {
    const { status, stdout, stderr } = run(...args);
    expect(stdout).toBe("");
    expect(stderr).toContain(message);
    expect(status).toBe(code);
  });
});

describe("an event in words", () => {
  const text = (type: string, fields: object) => eventText({ time: "", type, ...fields });
  it.each([
    [
      "session",
      { kind: "notification", peer: "a", direction: "sent", code: 6, subcode: 4, text: "Cease" },
      "a: sent NOTIFICATION Cease (6/4)",
    ],
    [
      "session",
      { kind: "endOfRib", peer: "a", direction: "received", family: 4, prefixes: 3 },
      "a: received End-of-RIB for IPv4 after 3 prefixes",
    ],
    ["bfd", { peer: "a", from: "Up", to: "Down", reason: "silence" }, "a: Up -> Down: silence"],
    [
      "route",
      {
        table: "t",
        family: 4,
        count: 9,
        changes: [
          { prefix: "10.0.0.0/8", peer: "a", nextHops: ["1.1.1.1"] },
          { prefix: "11.0.0.0/8", peer: null, nextHops: [] },
        ],
      },
      "best routes in table t, IPv4: 10.0.0.0/8 from a via 1.1.1.1; 11.0.0.0/8 withdrawn; 7 more",
    ],
    ["route", { table: "t", family: 4, count: 9, changes: [] }, "best routes in table t, IPv4: 9, not named"],
    [
      "kernel",
      { kind: "operation", operation: "add", object: "route", prefix: "10.0.0.0/8", table: 7, error: "ENETUNREACH" },
      "add route 10.0.0.0/8 in table 7 was refused: ENETUNREACH",
    ],
    [
      "kernel",
      { kind: "operation", operation: "add", object: "route", prefix: "10.0.0.0/8", table: 7, routeType: "blackhole" },
      "added blackhole 10.0.0.0/8 in table 7",
    ],
    [
      "kernel",
      { kind: "operation", operation: "delete", object: "rule", family: 6, rule: "9: from all" },
      "deleted IPv6 rule 9: from all",
    ],
    [
      "kernel",
      { kind: "operation", operation: "replace", object: "group", id: 5, members: ["1.1.1.1 dev eth0"] },
      "replaced nexthop group 5: 1.1.1.1 dev eth0",
    ],
    [
      "kernel",
      { kind: "operation", operation: "set", object: "sysctl", name: "net.ipv4.ip_forward", value: "1" },
      "set net.ipv4.ip_forward=1",
    ],
    [
      "kernel",
      { kind: "operation", operation: "add", object: "address", prefix: "10.0.0.1/32", interface: "eth0", netns: "/n" },
      "added address 10.0.0.1/32 on eth0 in /n",
    ],
    [
      "kernel",
      { kind: "operations", operation: "add", object: "route", count: 2, table: 7, milliseconds: 5, error: "EINVAL" },
      "add 2 routes in table 7 in 0.0 s were refused: EINVAL",
    ],
    ["kernel", { kind: "repaired", message: "put back" }, "put back"],
    ["cni", { verb: "ADD", containerId: "c", ifname: "eth0", error: null, milliseconds: 3 }, "ADD c eth0: done (3 ms)"],
    ["config", { kind: "refused", file: "f", error: "line 3" }, "f was refused: line 3"],
    [
      "config",
      {
        kind: "reloaded",
        file: "f",
        impact: "live",
        changes: [{ path: "log.level", kind: "changed", from: "info", to: "debug" }],
      },
      "f was read again (live): log.level info -> debug",
    ],
    ["api", { request: "/v1/reload", pid: 7, error: null }, "POST /v1/reload by process 7"],
    ["recorder", { kind: "leftOut", of: "session", count: 7 }, "7 more events of type session are left out"],
    ["pod", { kind: "added", pod: null }, "kind=added"],
    ["__proto__", { a: 1 }, "a=1"],
    ["new", { a: 1, b: "x y", time: "t", seq: 1 }, 'a=1  b="x y"'],
  ])("%s %j", (type, fields, expected) => expect(text(type, fields)).toBe(expected));
});
