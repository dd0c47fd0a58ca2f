// underlayctl policy as a process: against the API, and on a file alone.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { PolicyTrace } from "../../../bgp/policy/trace.ts";
import { CONFIG } from "../api/backend.ts";
import { Harness } from "../api/harness.ts";

const root = join(import.meta.dirname, "../../..");
const directory = mkdtempSync(join(tmpdir(), "ul-cli-policy-"));
const program = join(directory, "underlayctl.cjs");
const file = join(directory, "underlay.yaml");
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
  writeFileSync(file, CONFIG);
  harness = new Harness();
  await harness.server.start();
});
afterAll(async () => {
  await harness.stop();
  rmSync(directory, { recursive: true });
});

function run(...args: string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const child = spawn(process.execPath, [program, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  let [stdout, stderr] = ["", ""];
  child.stdout.on("data", (chunk) => {
    stdout += chunk;
  });
  child.stderr.on("data", (chunk) => {
    stderr += chunk;
  });
  return new Promise((resolve) => child.once("close", (code) => resolve({ code, stdout, stderr })));
}
const ask = (...args: string[]) => run("--socket", harness.socketPath, "policy", ...args);

const ROUTE = ["10.1.0.0/16", "--as-path", "65001 65002", "--community", "65001:100,no-export", "--peer", "tor-a"];

describe("policy test", () => {
  it("shows each statement, condition and change, and the verdict", async () => {
    const { code, stdout, stderr } = await ask("test", "tor-in", ...ROUTE, "--next-hop", "192.0.2.1");
    expect(stderr).toBe("");
    expect(stdout).toBe(`10.1.0.0/16 from tor-a through tor-in
  tor-in: accept
    statement 1 matches, next
      bogons: undecided
        statement 1 does not match
          no  prefix: 192.168.0.0/16 le 32   the route has: 10.1.0.0/16
    statement 2 matches, accept
      yes prefix: ours (1)   the route has: 10.1.0.0/16
      yes community: all of 65001:100, no-export   the route has: 65001:100 no-export
      yes not: not all of these
          no  asPath: _65009_   the route has: 65001 65002
      set localPref: none -> 200
      set table: the peer's own -> storage
      set community: 65001:100 no-export -> 65001:100 no-export 65101:1
accepted by tor-in, statement 2
  origin            igp
  asPath            65001 65002
  nextHop           192.0.2.1
  localPref         200
  table             storage
  community         65001:100 no-export 65101:1
`);
    expect(code).toBe(0);
  });

  it("answers with 1 for a route that is rejected, and says by whom", async () => {
    const byStatement = await ask("test", "tor-in", "192.168.7.0/24");
    expect(byStatement.code).toBe(1);
    expect(byStatement.stdout).toMatch(/rejected by bogons, statement 1\n$/);
    const byNobody = await ask("test", "tor-in", "11.0.0.0/8");
    expect(byNobody.code).toBe(1);
    expect(byNobody.stdout).toMatch(/rejected: no statement decides, and what nobody accepts is rejected\n$/);
    // What a policy in a condition decides is no decision.
    expect(byNobody.stdout).toContain("default-route: undecided");
  });

  it("takes the policy of a peer, with what is done to all that is sent to it", async () => {
    const { code, stdout } = await ask("test", "--export", "tor-a", "10.244.1.0/26");
    expect(code).toBe(0);
    expect(stdout).toContain("10.244.1.0/26 from local through blocks");
    expect(stdout).toContain("set community: none -> 65101:9");
    const chain = await ask("--json", "test", "--import", "tor-b", "10.0.0.0/8");
    const [trace] = JSON.parse(chain.stdout) as PolicyTrace[];
    expect(trace).toMatchObject({ policy: "bogons, all", peer: "tor-b", verdict: "accept" });
    expect(trace.decidedBy).toEqual({ policy: "all", statement: 1 });
    expect((await ask("test", "bogons,default-route", "0.0.0.0/0")).code).toBe(0);
  });

  it("takes a route that a neighbour has announced", async () => {
    const { code, stdout } = await ask("--json", "test", "all", "0.0.0.0/0", "--received", "tor-a");
    expect(code).toBe(0);
    const [trace] = JSON.parse(stdout) as PolicyTrace[];
    expect(trace).toMatchObject({ peer: "tor-a", before: { asPath: "65001" } });
    const missing = await ask("test", "all", "0.0.0.0/0", "--received", "tor-b");
    expect([missing.code, missing.stderr]).toEqual([2, "underlayctl: tor-b has announced no 0.0.0.0/0\n"]);
    const both = await ask("test", "all", "0.0.0.0/0", "--received", "tor-a", "--med", "5");
    expect(both.stderr).toContain("leave med away");
  });

  it("needs no daemon with --config, and says the same as one", async () => {
    const args = ["--json", "policy", "test", "tor-in", ...ROUTE, "--med", "5", "--local-pref", "7", "--origin", "egp"];
    const offline = await run("--socket", "/nonexistent", ...args, "--config", file);
    expect(offline.code).toBe(0);
    expect(offline).toEqual(await run("--socket", harness.socketPath, ...args));
    const [trace] = JSON.parse(offline.stdout) as PolicyTrace[];
    expect(trace.before).toMatchObject({ med: "5", localPref: "7", origin: "egp" });
  });

  it.each([
    [["test"], "NAME and PREFIX are wanted"],
    [["test", "tor-in"], "NAME and PREFIX are wanted"],
    [["test", "--import", "tor-a", "tor-in", "10.0.0.0/8"], "PREFIX are wanted"],
    [["show"], "list or test"],
    [["test", "tor-im", "10.0.0.0/8"], 'there is no policy "tor-im"; did you mean tor-in?'],
    [["test", "--import", "tor-c", "10.0.0.0/8"], 'there is no peer "tor-c"'],
    [["test", "tor-in", "10.0.0.1/8"], "the prefix is 10.0.0.0/8"],
    [["test", "tor-in", "10.0.0.0/8", "--as-path", "65001 x"], '"x" is not an AS number'],
    [["test", "tor-in", "10.0.0.0/8", "--community", "no-exprt"], "is not a community"],
    [["test", "tor-in", "10.0.0.0/8", "--next-hop", "here"], '"here" is not a next hop'],
    [["test", "tor-in", "10.0.0.0/8", "--med", "-1"], "med"],
    [["test", "tor-in", "10.0.0.0/8", "--med", "4294967296"], "is not a MED"],
    [["test", "tor-in", "10.0.0.0/8", "--origin", "x"], '"x" is not an origin'],
    [["test", "tor-in", "10.0.0.0/8", "--best"], "policy takes no --best"],
    [["test", "tor-in", "10.0.0.0/8", "--config", "/nonexistent"], "cannot be read"],
    [["test", "tor-in", "10.0.0.0/8", "--config", file, "--received", "tor-a"], "known to the daemon only"],
  ])("%j is wrong usage: %s", async (args, message) => {
    const { code, stdout, stderr } = await ask(...args);
    expect(stderr).toContain(message);
    expect([code, stdout]).toEqual([2, ""]);
  });
});

it("policy list: who uses what", async () => {
  const { code, stdout } = await ask("--json", "list");
  expect(code).toBe(0);
  expect(JSON.parse(stdout)).toEqual([
    { name: "bogons", statements: 1, importOf: ["tor-b"], exportOf: [] },
    { name: "tor-in", statements: 3, importOf: ["tor-a"], exportOf: [] },
  ]);
  expect((await ask("list")).stdout).toContain("tor-in  ");
});
