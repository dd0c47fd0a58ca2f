// The bundled underlayctl as a process, against a real ApiServer.
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { commands } from "../../../cli/commands.ts";
import { duration, plain } from "../../../cli/output.ts";
import { eventLine } from "../../../cli/watch.ts";
import { peer, route } from "../api/backend.ts";
import { Harness, until } from "../api/harness.ts";

const root = join(import.meta.dirname, "../../..");
const directory = mkdtempSync(join(tmpdir(), "ul-cli-"));
const program = join(directory, "underlayctl.cjs");
let harness: Harness;

beforeAll(async () => {
  await build({
    entryPoints: [join(root, "cli/main.ts")],
    outfile: program,
    bundle: true,
    platform: "node",
    format: "cjs",
    define: { __VERSION__: '"1.2.3"' },
    logLevel: "error",
  });
});
afterAll(() => rmSync(directory, { recursive: true }));
beforeEach(async () => {
  harness = new Harness();
  await harness.server.start();
});
const children = new Set<ChildProcess>();
afterEach(async () => {
  for (const child of children) child.kill("SIGKILL");
  await harness.stop();
});

interface Result {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function launch(args: string[]): ChildProcess {
  const child = spawn(process.execPath, [program, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  children.add(child);
  child.once("close", () => children.delete(child));
  return child;
}

function run(args: string[]): Promise<Result> {
  const child = launch(args);
  let [stdout, stderr] = ["", ""];
  child.stdout!.on("data", (chunk) => {
    stdout += chunk;
  });
  child.stderr!.on("data", (chunk) => {
    stderr += chunk;
  });
  return new Promise((resolve) => child.once("close", (code) => resolve({ code, stdout, stderr })));
}

const ask = (...args: string[]) => run(["--socket", harness.socketPath, ...args]);

describe("monitoring", () => {
  it("status shows collectors and MRT files", async () => {
    const collector = {
      name: "noc",
      address: "2001:db8::5",
      port: 11019,
      state: "connected" as const,
      uptime: 3725,
      connectedCount: 1,
      lastError: null,
      messagesSent: 12,
      bytesSent: 3000,
      pending: 7,
      stalled: 0,
    };
    const away = { ...collector, name: "lab", address: "192.0.2.5", state: "waiting" as const, uptime: null };
    const mrt = {
      directory: "/var/lib/underlay/mrt",
      updatesFile: "/var/lib/underlay/mrt/updates.20260801.001500.mrt",
      updatesWritten: 40,
      updatesLost: 2,
      lastDump: "/var/lib/underlay/mrt/rib.20260801.000000.mrt",
      lastError: null,
    };
    const { backend } = harness;
    const bmp = [collector, { ...collector, stalled: 65 }, { ...away, lastError: "refused\u001b[2J" }];
    backend.statusView = { ...backend.statusView, monitoring: { bmp, mrt } };
    const { stdout } = await ask("status");
    const lines = stdout.split("\n").filter((line) => /^ {2}(bmp|mrt) /.test(line));
    expect(lines).toEqual([
      "  bmp        noc ([2001:db8::5]:11019) connected, up 1h02m, 12 messages, 7 prefixes to go",
      "  bmp        noc ([2001:db8::5]:11019) connected, up 1h02m, 12 messages, 7 prefixes to go, has read nothing for 1m05s",
      "  bmp        lab (192.0.2.5:11019) waiting: refused\\x1b[2J",
      "  mrt        /var/lib/underlay/mrt, 40 updates written, 2 lost, newest table rib.20260801.000000.mrt",
    ]);
  });

  it("dump has the daemon write a file, and says when that fails", async () => {
    const file = join(directory, "rib.mrt");
    expect(await ask("dump", file)).toMatchObject({
      code: 0,
      stdout: `${file}: 2 prefixes, 3 routes, 100 bytes in 1 ms\n`,
    });
    const json = await ask("--json", "dump", "rib.mrt");
    expect(JSON.parse(json.stdout)).toMatchObject({ file: join(process.cwd(), "rib.mrt"), routes: 3 });
    expect(await ask("dump", "/full/rib.mrt")).toMatchObject({ code: 1, stderr: /no space left on the device/ });
  });
});

describe("ways out of service", () => {
  it("drains a neighbour, says how it comes back, and shows it in the status", async () => {
    expect(await ask("drain", "tor-a", "--wait", "2s")).toEqual({
      code: 0,
      stdout: "tor-a is drained: `underlayctl undrain tor-a` brings it back\n",
      stderr: "",
    });
    expect(harness.backend.drains).toEqual([{ peer: "tor-a", wait: 2000 }]);
    harness.backend.statusView = { ...harness.backend.statusView, drain: harness.backend.drainView };
    expect((await ask("status")).stdout).toContain("tor-a is out of service (drained) since 2026-01-02T03:04:05.000Z");
    expect(await ask("undrain", "tor-a")).toMatchObject({ code: 0, stdout: "tor-a is back in service\n" });
    expect(await ask("undrain", "tor-a")).toMatchObject({ code: 2, stderr: expect.stringContaining("not drained") });
    expect(await ask("drain", "--wait", "soon")).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("--wait soon: write seconds"),
    });
  });

  it("says who has been told of a shutdown, and who has not acknowledged it", async () => {
    const { code, stdout } = await ask("shutdown");
    expect(code).toBe(0);
    expect(stdout).toMatch(/told tor-a.*\nnot acknowledged in time by tor\/b\n$/);
  });

  it("does not uninstall without being sure", async () => {
    expect(await ask("uninstall")).toMatchObject({
      code: 2,
      stdout: "",
      stderr: expect.stringContaining("Confirm with --yes"),
    });
    expect(await ask("uninstall", "--yes")).toMatchObject({
      code: 1,
      stdout: "",
      stderr: expect.stringContaining("1 pods are attached"),
    });
    expect(await ask("uninstall", "--yes", "--force")).toMatchObject({
      code: 0,
      stdout: expect.stringContaining("ip_forward is 0 again"),
    });
  });
});

describe("--json", () => {
  it("gives what the API has", async () => {
    const { backend } = harness;
    const expected: [string[], unknown][] = [
      [["status"], backend.statusView],
      [["peers"], backend.peerViews],
      [["peers", "tor/b"], [backend.peerViews[1]]],
      [["routes"], [route(1), route(2)]],
      [
        ["received", "tor-a"],
        [route(1), route(2)],
      ],
      [
        ["advertised", "tor/b"],
        [route(1), route(2)],
      ],
      [["pods"], backend.pods()],
      [["blocks"], backend.blocks()],
      [["blocks", "10.244.1.0/26"], backend.addresses("10.244.1.0/26")],
      [["pools"], backend.pools()],
      [["rules"], await backend.rules()],
    ];
    const results = await Promise.all(expected.map(([args]) => ask(...args, "--json")));
    for (const [index, [args, value]] of expected.entries()) {
      const { code, stdout, stderr } = results[index];
      expect([args, code, stderr]).toEqual([args, 0, ""]);
      expect(JSON.parse(stdout)).toEqual(value);
    }
  });

  it("streams a long array, one item per line", async () => {
    harness.backend.routeViews = function* () {
      for (let i = 0; i < 20_000; i++) yield route(i);
    };
    const { code, stdout } = await ask("routes", "--json");
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toHaveLength(20_000);
    expect(stdout.split("\n")).toHaveLength(20_003);
  });

  it("of nothing is an empty array", async () => {
    harness.backend.routeViews = () => [];
    expect(await ask("routes", "--json")).toEqual({ code: 0, stdout: "[]\n", stderr: "" });
    expect(await ask("routes", "10.9.9.9", "--json")).toEqual({ code: 1, stdout: "[]\n", stderr: "" });
  });
});

describe("tables", () => {
  it("are aligned, without colour and without escape sequences of others", async () => {
    harness.backend.peerViews = [peer("tor-a", "Established"), peer("tor-long-name", "Idle")];
    const { code, stdout } = await ask("peers");
    expect(code).toBe(1);
    expect(stdout).toBe(
      [
        "PEER           ADDRESS       AS  STATE        UPTIME  RECEIVED  ACCEPTED  ADVERTISED  LAST ERROR",
        "tor-a          192.0.2.1  65001  Established   1h02m         5         4           3  -",
        "tor-long-name  192.0.2.1  65001  Idle              -         5         4           3  NOTIFICATION received: Cease\\x1b[2J",
        "",
      ].join("\n"),
    );
  });

  it.each([
    [["status"], 0, "2 of 2 Established"],
    [["peers", "tor-a"], 0, "import default-route, export blocks, table fabric"],
    [["routes"], 0, "10.0.0.1/32  fabric  tor-a  192.0.2.1 192.0.2.3  65001 65002  igp"],
    [["routes", "10.0.0.1", "--table", "fabric", "--family", "ipv4", "--best"], 0, "best multipath installed"],
    [["received", "tor-a"], 0, "10.0.0.2/32"],
    [["pods"], 0, "default/web  underlay  eth0  10.244.1.2 2001:db8:244:1::2  default"],
    [["blocks"], 0, "10.244.1.0/26  default  static        63     1    60        1       0         1  announced"],
    [["blocks", "10.244.1.0/26"], 0, "10.244.1.3  cooling  12s  c0ffee@underlay/eth0       10.244.1.0/26"],
    [["pools"], 0, "default  IPv4         1        63     1      1%    60        1       0         1  fine"],
    [["nodes"], 1, "node2  r1    not seen  2026-11-26T07:00:00.000Z  10.244.2.0/26     0         1           0"],
    [["nodes", "remove", "node2", "--yes"], 0, "node2 is removed; free in 120 s: 10.244.2.0/26"],
    [["nodes", "define-pools", "--yes"], 0, "in etcd: default"],
    [["rules"], 0, "1000  IPv4    underlay  from all lookup 7000"],
  ])("%j", async (args, code, text) => {
    const result = await ask(...args);
    expect([result.code, result.stderr]).toEqual([code, ""]);
    expect(result.stdout).toContain(text);
  });

  it("say what the kernel said when it refused a route", async () => {
    const refused = "EEXIST: a route of another program with this prefix and metric 201 is in the table";
    harness.backend.routeViews = () => [{ ...route(1), installed: false, refused }];
    expect((await ask("routes")).stdout).toContain(`best multipath refused by the kernel: ${refused}`);
  });

  it("say why a neighbour's last session ended, and what has gone wrong how often", async () => {
    harness.backend.peerViews = [
      {
        ...peer("tor-a", "Active"),
        lastReset: {
          time: 1_700_000_000,
          age: 200,
          lasted: 3600,
          by: "local",
          reason: "AS_PATH: \u001b[2J",
          graceful: false,
          notification: {
            direction: "sent",
            code: 3,
            subcode: 11,
            name: "UPDATE Message Error/Malformed AS_PATH",
            communication: null,
            data: "40020103",
            dataLength: 4,
          },
        },
        history: [
          { kind: "attempt", text: "refused", count: 12, first: 1_700_000_001, last: 1_700_000_199, age: 1 },
          { kind: "reset", text: "AS_PATH", count: 1, first: 1_700_000_000, last: 1_700_000_000, age: 200 },
        ],
      },
    ];
    expect((await ask("peers", "tor-a")).stdout).toContain(`
  last reset    3m20s ago (2023-11-14T22:13:20Z), by us, after 1h00m: AS_PATH: \\x1b[2J
                NOTIFICATION sent: 3/11 UPDATE Message Error/Malformed AS_PATH, data 40020103 (4 octets)
  history       1s ago, 12 times since 2023-11-14T22:13:21Z, no session: refused
                3m20s ago, reset: AS_PATH
`);
  });

  it("say which way a neighbour without policies is silent", async () => {
    harness.backend.peerViews = [{ ...peer("tor-a", "Established"), import: "none", export: "none" }];
    expect((await ask("peers", "tor-a")).stdout).toContain(
      "import none, export none, table fabric (takes and gives nothing; a neighbour in another AS needs both, RFC 8212)",
    );
  });

  it("pass filters on", async () => {
    await ask("routes", "2001:db8::/32", "--table", "fabric", "--family", "ipv6", "--best");
    expect(harness.backend.filters).toEqual([{ prefix: "2001:db8::/32", table: "fabric", family: 6, best: true }]);
  });

  it("status says what is wrong, and exits 1", async () => {
    harness.backend.statusView = { ...harness.backend.statusView, state: "degraded", problems: ["peer tor-b is Idle"] };
    const { code, stdout } = await ask("status");
    expect(code).toBe(1);
    expect(stdout).toContain("problem    peer tor-b is Idle");
  });
});

describe("what goes wrong", () => {
  it.each([
    [[], 2, "Usage: underlayctl"],
    [["frobnicate"], 2, 'there is no command "frobnicate"; there are status, peers'],
    [["received"], 2, "received: an argument is missing\nusage: underlayctl received PEER"],
    [["pods", "x"], 2, "pods: x is none of inspect, verify, repair"],
    [["pods", "x", "y"], 2, "pods: too many arguments: y"],
    [["pods", "--table", "x"], 2, "pods takes no --table"],
    [["status", "--verbose"], 2, "Unknown option '--verbose'"],
    [["peers", "nobody"], 2, "no peer nobody; there are tor-a, tor/b"],
    [["routes", "10.0.0.1/8"], 2, "did you mean 10.0.0.0/8?"],
    [["routes", "--family", "ipx"], 2, "write ipv4 or ipv6"],
    [["watch", "--types", "all"], 2, "unknown event type all"],
  ] as [string[], number, string][])("%j", async (args, code, text) => {
    const result = await ask(...args);
    expect(result.code).toBe(code);
    expect(result.stderr).toContain(text);
    expect(result.stdout).toBe("");
  });

  it("no route to an address is exit code 1", async () => {
    harness.backend.routeViews = () => [];
    expect(await ask("routes", "10.9.9.9")).toEqual({ code: 1, stdout: "", stderr: "no route to 10.9.9.9\n" });
  });

  it("no daemon is one line and exit code 2", async () => {
    for (const args of [["status"], ["watch"]]) {
      const missing = join(directory, "none.sock");
      const result = await run(["--socket", missing, ...args]);
      expect(result).toEqual({
        code: 2,
        stdout: "",
        stderr: `underlayctl: no daemon: there is no ${missing}. Is underlayd running? Another socket: --socket PATH\n`,
      });
    }
  });

  it("a daemon that fails in the middle is exit code 1", async () => {
    harness.backend.routeViews = function* () {
      for (let i = 0; i < 5_000; i++) yield route(i);
      throw new Error("gone");
    };
    const result = await ask("routes", "--json");
    expect(result.code).toBe(1);
    expect(result.stderr).toMatch(/underlayctl: (the daemon ended the connection|.*aborted)/);
  });

  it("something else on the socket is told as such", async () => {
    const path = join(directory, "odd.sock");
    const odd = createServer((socket) => socket.end("hello\n")).listen(path);
    const result = await run(["--socket", path, "status"]);
    odd.close();
    expect(result.code).toBe(2);
    expect(result.stderr).toContain(`cannot ask the daemon on ${path}`);
  });

  it("a reader that goes away ends it quietly", async () => {
    harness.backend.routeViews = function* () {
      for (let i = 0; i < 1_000_000; i++) yield route(i);
    };
    const child = launch(["--socket", harness.socketPath, "routes"]);
    let stderr = "";
    child.stderr!.on("data", (chunk) => {
      stderr += chunk;
    });
    child.stdout!.once("data", () => child.stdout!.destroy());
    const code = await new Promise((resolve) => child.once("exit", resolve));
    expect([code, stderr]).toEqual([0, ""]);
  });
});

describe("watch", () => {
  it("prints events as they come, and says when the daemon has gone", async () => {
    const child = launch(["--socket", harness.socketPath, "watch", "--json", "--types", "session"]);
    let [stdout, stderr] = ["", ""];
    child.stdout!.on("data", (chunk) => {
      stdout += chunk;
    });
    child.stderr!.on("data", (chunk) => {
      stderr += chunk;
    });
    await until(() => harness.backend.listeners.size === 1, "the subscription");
    const event = { time: "2026-01-02T03:04:05.678Z", type: "session", peer: "tor-a", to: "Established" } as const;
    harness.backend.emit({ ...event, type: "route" });
    harness.backend.emit(event);
    await until(() => stdout.includes("\n"), "the event");
    expect(JSON.parse(stdout)).toEqual(event);
    const closed = new Promise((resolve) => child.once("close", resolve));
    await harness.server.stop();
    expect(await closed).toBe(1);
    expect(stderr).toBe("underlayctl: the daemon ended the connection\n");
  });

  it("writes an event in one line", () => {
    const event = {
      time: "2026-01-02T03:04:05.678Z",
      type: "session",
      peer: "tor-a",
      reason: "a b\u001b[1m",
      gone: null,
    } as const;
    const line = eventLine(event, { paint: (text) => text });
    expect(line).toMatch(/^\d\d:\d\d:05\.678 {2}session {4}peer=tor-a {2}reason="a b\\u001b\[1m"$/);
  });
});

it("--help and --version need no daemon", async () => {
  expect(await run(["--version"])).toEqual({ code: 0, stdout: "underlayctl 1.2.3\n", stderr: "" });
  const { code, stdout } = await run(["--help"]);
  expect(code).toBe(0);
  for (const { usage } of Object.values(commands)) expect(stdout).toContain(`  ${usage} `);
});

it("docs/cli.md has every command and option", () => {
  const text = readFileSync(join(root, "docs/cli.md"), "utf8");
  for (const { usage } of Object.values(commands)) expect(text).toContain(`| \`${usage}\` |`);
});

it.each([
  [null, "-"],
  [0.4, "0s"],
  [59, "59s"],
  [61, "1m01s"],
  [3725, "1h02m"],
  [90000, "1d01h"],
])("duration of %j is %s", (seconds, text) => expect(duration(seconds)).toBe(text));

it("control characters are made visible", () => {
  expect(plain("a\u001b[31m\n\u009b\u202eé")).toBe("a\\x1b[31m\\x0a\\x9b\\u{202e}é");
});

describe("explain", () => {
  it("walks the rules and ends with what the kernel says", async () => {
    const { code, stdout } = await ask("explain", "any", "203.0.113.9", "--mark", "0x1f");
    expect({ code, stdout }).toEqual({
      code: 0,
      stdout: `from an address still to be chosen to 203.0.113.9, made on this host, mark 0x1f
  0: from all lookup local  [boot]  -> no route
  32766: from all lookup main  [boot]  -> decides
      0.0.0.0/0 via 192.0.0.2 dev up0 proto boot
goes via 192.0.0.2 dev up0, by table main
  from 192.0.0.1
the kernel agrees: via 192.0.0.2 dev up0 src 192.0.0.1
`,
    });
  });

  it("exits 1 for a packet that goes nowhere, 2 for what is no question", async () => {
    const nowhere = await ask("explain", "10.0.0.77", "203.0.113.9");
    expect(nowhere).toMatchObject({ code: 1, stdout: expect.stringContaining("goes nowhere: ENETUNREACH, 10.0.0.77") });
    const wrong = await ask("explain", "any", "203.0.113.0/24");
    expect(wrong).toMatchObject({ code: 2, stderr: expect.stringContaining("a packet has an address, not a prefix") });
    expect(await ask("explain", "any", "::1", "--table", "x")).toMatchObject({ code: 2 });
    const json = JSON.parse((await ask("--json", "explain", "any", "203.0.113.9")).stdout);
    expect(json).toMatchObject({ goesSomewhere: true, verdicts: [{ nextHops: [{ interface: "up0" }] }] });
  });
});

describe("routes --why", () => {
  it("says that nobody has announced a prefix, and what is no prefix", async () => {
    const { code, stdout } = await ask("routes", "192.0.2.0/24", "--why");
    expect({ code, stdout }).toEqual({
      code: 1,
      stdout: "192.0.2.0/24: no neighbour has announced it, and it is not ours\nno learned route covers it\n",
    });
    expect(await ask("routes", "--why")).toMatchObject({ code: 2, stderr: expect.stringContaining("which prefix") });
    expect(await ask("routes", "192.0.2.0/24", "--why", "--best")).toMatchObject({ code: 2 });
    const hostBits = await ask("routes", "192.0.2.7/24", "--why");
    expect(hostBits).toMatchObject({ code: 2, stderr: expect.stringContaining("did you mean 192.0.2.0/24?") });
  });
});
