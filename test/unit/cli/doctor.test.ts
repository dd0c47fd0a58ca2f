// underlayctl doctor as a process, against a real ApiServer with findings of our choice, and against nobody.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from "vitest";
import type { Finding } from "../../../doctor/types.ts";
import { Harness } from "../api/harness.ts";

const root = join(import.meta.dirname, "../../..");
const directory = mkdtempSync(join(tmpdir(), "ul-cli-doctor-"));
const program = join(directory, "underlayctl.cjs");
let harness: Harness;

beforeAll(() =>
  build({
    entryPoints: [join(root, "cli/main.ts")],
    outfile: program,
    bundle: true,
    platform: "node",
    format: "cjs",
    define: { __VERSION__: '"0.1.0"' },
    logLevel: "error",
  }),
);
afterAll(() => rmSync(directory, { recursive: true }));
beforeEach(async () => {
  harness = new Harness();
  await harness.server.start();
});
afterEach(() => harness.stop());

function ask(...args: string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
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

const finding = (fields: Partial<Finding>): Finding => ({
  check: "peer-down",
  severity: "fault",
  subject: "tor-a",
  text: "is Idle with 192.0.2.1: Cease",
  cure: "underlayctl peers PEER",
  ...fields,
});

it("tells that all is well, warnings or not, and exits 0", async () => {
  expect(await ask("--socket", harness.socketPath, "doctor")).toEqual({ code: 0, stdout: "all well\n", stderr: "" });
  harness.backend.findings = [finding({ check: "clock-jumped", severity: "warning", subject: "clock", cure: "" })];
  const { code, stdout } = await ask("--socket", harness.socketPath, "doctor");
  expect(stdout.trimEnd().split("\n").at(-1)).toBe("all well, with 1 warning");
  expect(code).toBe(0);
});

it("puts findings under their part of the node, and what others have written on one line without harm", async () => {
  harness.backend.findings = [
    finding({ text: "NOTIFICATION received: \u001b[2Jbye\nbye" }),
    finding({ check: "cni-socket", subject: "/etc/cni/net.d/10-underlay.conflist", text: "names another socket" }),
    finding({
      check: "firewall-drops-pods",
      severity: "skipped",
      subject: "",
      text: "not looked at: no nft",
      cure: "",
    }),
    finding({ check: "firewall-unread", severity: "skipped", subject: "", text: "not looked at: no nft", cure: "" }),
  ];
  const { code, stdout } = await ask("--socket", harness.socketPath, "doctor");
  expect(stdout).toBe(`Neighbours
  fault    tor-a: NOTIFICATION received: \\x1b[2Jbye\\x0abye  [peer-down]
           -> underlayctl peers PEER
Container runtime
  fault    /etc/cni/net.d/10-underlay.conflist: names another socket  [cni-socket]
           -> underlayctl peers PEER
not looked at: no nft (firewall-drops-pods, firewall-unread)
2 faults
`);
  expect(code).toBe(1);
});

it("says when it is of another version than the daemon", async () => {
  harness.backend.statusView = { ...harness.backend.statusView, version: "0.0.9" };
  const { code, stdout } = await ask("--socket", harness.socketPath, "--json", "doctor");
  expect(JSON.parse(stdout)).toMatchObject([
    { check: "version-differs", text: "runs as 0.0.9, and underlayctl is 0.1.0" },
  ]);
  expect(code).toBe(0);
});

it("takes a daemon that fails for what it is, and arguments for wrong usage", async () => {
  harness.backend.doctor = () => Promise.reject(new Error("broken"));
  expect(await ask("--socket", harness.socketPath, "doctor")).toMatchObject({ code: 1, stdout: "" });
  expect(await ask("--socket", harness.socketPath, "doctor", "tor-a")).toMatchObject({ code: 2, stdout: "" });
});

it("looks by itself where nobody answers, and where somebody else does says so", async () => {
  const nobody = await ask("--socket", join(directory, "no.sock"), "doctor", "--config", join(directory, "no.yaml"));
  expect(nobody.stdout).toMatch(/^Daemon\n {2}fault {4}underlayd: the daemon is not running: there is no .*no\.sock/);
  expect(nobody.stdout).toMatch(/Configuration\n {2}fault {4}.*no\.yaml: cannot be read: there is no such file/);
  expect(nobody.code).toBe(1);
  const other = createServer((_, response) => response.writeHead(404).end("not here"));
  const socket = join(directory, "other.sock");
  await new Promise<void>((resolve) => other.listen(socket, resolve));
  const answer = await ask("--socket", socket, "doctor");
  other.close();
  expect(answer).toMatchObject({ code: 2, stdout: "" });
});
