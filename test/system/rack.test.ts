// The rack as users run it: all checks with each kind of switch, two racks at once, as an ordinary user, and ended in
// every way. Each run has a temporary directory of its own, so that what is left of it can be told.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { chownSync, cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const root = join(import.meta.dirname, "../..");
const nobody = 65534;
const passed = /12 checks, all passed/;

let directory: string;
let before: string[];
const running = new Set<ChildProcess>();

/** What a lab could leave in the namespace it was started from; other tests may run there at the same time. */
function hostState(): string[] {
  const show = (...argv: string[]) => spawnSync("ip", argv, { encoding: "utf8" }).stdout;
  return [
    ...(show("-br", "link").match(/^(eth[123]|ul[0-9a-f]{13})\b/gm) ?? []),
    ...(show("rule").match(/.*proto 201$/gm) ?? []),
    ...(show("-6", "rule").match(/.*proto 201$/gm) ?? []),
    ...(show("netns").match(/^pod\d[ab]\b/gm) ?? []),
  ];
}

class Lab {
  readonly temporary: string;
  readonly child: ChildProcess;
  readonly ended: Promise<number | null>;
  output = "";

  constructor(argv: readonly string[], options: { temporary?: string; cwd?: string; uid?: number } = {}) {
    this.temporary = options.temporary ?? mkdtempSync(join(directory, "t"));
    const identity = options.uid === undefined ? {} : { uid: options.uid, gid: options.uid };
    if (options.uid !== undefined) chownSync(this.temporary, options.uid, options.uid);
    this.child = spawn(process.execPath, argv, {
      cwd: options.cwd ?? root,
      env: { ...process.env, TMPDIR: this.temporary, HOME: this.temporary, NO_COLOR: "1" },
      stdio: ["ignore", "pipe", "pipe"],
      ...identity,
    });
    running.add(this.child);
    for (const stream of [this.child.stdout, this.child.stderr])
      stream?.setEncoding("utf8").on("data", (text: string) => {
        this.output += text;
      });
    this.ended = new Promise((resolve) =>
      this.child.once("close", (code) => {
        running.delete(this.child);
        resolve(code);
      }),
    );
  }

  async until(text: string): Promise<void> {
    while (!this.output.includes(text)) {
      if (this.child.exitCode !== null) throw new Error(`ended before "${text}":\n${this.output}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  /** PID 1 of every node. */
  pids(): number[] {
    const [name] = this.left();
    const state = JSON.parse(readFileSync(join(this.temporary, name, "lab.json"), "utf8"));
    return Object.values(state.nodes as Record<string, number>);
  }

  left(): string[] {
    return readdirSync(this.temporary).filter((name) => name.startsWith("underlay-lab-"));
  }

  async expectPassed(): Promise<void> {
    const code = await this.ended;
    expect(this.output).toMatch(passed);
    expect(code).toBe(0);
    expect(this.left()).toEqual([]);
  }
}

const lab = (...args: string[]) => new Lab([join(root, "dist/lab.cjs"), ...args]);

async function untilGone(pids: readonly number[]): Promise<void> {
  const until = Date.now() + 3000;
  while (pids.some(isRunning) && Date.now() < until) await new Promise((resolve) => setTimeout(resolve, 20));
  expect(pids.filter(isRunning)).toEqual([]);
}

/** Not gone, and not waiting either for a parent that takes no notice. */
function isRunning(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return !/^[ZX]/.test(stat.slice(stat.lastIndexOf(")") + 2));
  } catch {
    return false;
  }
}

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "ul-rack-"));
  // Others than its owner pass through to the runs of an ordinary user.
  spawnSync("chmod", ["755", directory]);
  before = hostState();
});

afterAll(() => {
  for (const child of running) child.kill("SIGTERM");
  rmSync(directory, { recursive: true, force: true });
});

describe("the rack passes all checks and leaves nothing behind", () => {
  it("with underlayd as switches, as npm start runs it", async () => {
    const run = new Lab([join(root, "scripts/start.mjs"), "--once"]);
    await run.expectPassed();
    expect(hostState()).toEqual(before);
  });

  it("with FRR", async () => {
    await lab("--once", "--tor", "frr").expectPassed();
    expect(hostState()).toEqual(before);
  });

  it("with BIRD and with GoBGP, two racks at once", async () => {
    const both = [lab("--once", "--tor", "bird"), lab("--once", "--tor", "gobgp")];
    for (const run of both) await run.expectPassed();
    expect(hostState()).toEqual(before);
  });

  it("without addresses on its links: with FRR, and with underlayd", async () => {
    const both = [lab("--once", "--unnumbered", "--tor", "frr"), lab("--once", "--unnumbered")];
    for (const run of both) {
      await run.expectPassed();
      expect(run.output).toMatch(/node1 +tor1 +fe80::\S+%eth1 +65001 +Established/);
    }
    expect(hostState()).toEqual(before);
  });

  it("says that GoBGP cannot be found without addresses", async () => {
    const run = lab("--once", "--unnumbered", "--tor", "gobgp");
    expect(await run.ended).toBe(2);
    expect(run.output).toContain("GoBGP sends no router advertisements");
  });

  const namespaces = spawnSync("unshare", ["--user", "--map-root-user", "--net", "--mount", "true"], {
    uid: nobody,
    gid: nobody,
  });
  // Where users may not make namespaces, the kernel's answer is what is tested instead.
  it(`as an ordinary user${namespaces.status === 0 ? "" : " who may not make namespaces"}`, async () => {
    const copy = mkdtempSync(join(directory, "c"));
    spawnSync("chmod", ["755", copy]);
    cpSync(join(root, "dist"), join(copy, "dist"), { recursive: true });
    mkdirSync(join(copy, "lab"));
    cpSync(join(root, "lab/topologies"), join(copy, "lab/topologies"), { recursive: true });
    const run = new Lab(["dist/lab.cjs", "--once"], { cwd: copy, uid: nobody });
    if (namespaces.status === 0) return await run.expectPassed();
    expect(await run.ended).toBe(1);
    expect(run.output).toContain("Run it as root");
  });
});

describe("a rack that stays up", () => {
  const exec = (run: Lab, ...words: string[]) =>
    spawnSync(process.execPath, [join(root, "dist/lab.cjs"), "exec", ...words], {
      env: { ...process.env, TMPDIR: run.temporary },
      encoding: "utf8",
    });

  it("can be looked into, ends with an interrupt, and a killed one is cleared away by the next", async () => {
    const killed = lab();
    await killed.until("Ctrl-C takes it down.");
    const peers = exec(killed, "node2", "underlayctl", "--json", "peers");
    expect(JSON.parse(peers.stdout).map(({ name, state }: { name: string; state: string }) => [name, state])).toEqual([
      ["tor1", "Established"],
      ["tor2", "Established"],
    ]);
    expect(exec(killed, "node3", "sh", "-c", "exit 7").status).toBe(7);
    expect(exec(killed, "node9", "true").stderr).toContain('no node "node9" nodes: tor1, tor2, node1');

    const pids = killed.pids();
    killed.child.kill("SIGKILL");
    await killed.ended;
    await untilGone(pids);
    expect(killed.left()).toHaveLength(1);
    expect(exec(killed, "node1", "true").stderr).toContain("no rack is up");

    const next = new Lab([join(root, "dist/lab.cjs")], { temporary: killed.temporary });
    await next.until("addresses and programs");
    expect(next.output).toContain(`removed ${join(killed.temporary, "underlay-lab-")}`);
    const nextPids = next.pids();
    next.child.kill("SIGINT");
    expect(await next.ended).toBe(1);
    expect(next.left()).toEqual([]);
    await untilGone(nextPids);
    expect(hostState()).toEqual(before);
  });
});

describe("wrong usage is told", () => {
  it.each([
    [["--tor", "junos"], 2, "--tor junos: one of underlay, frr, bird, gobgp"],
    [["--onec"], 2, "--onec"],
    [["--topology", "/nonexistent.clab.yml"], 1, "cannot be read (ENOENT)"],
    [["check", "lab/topologies/dual-tor.clab.yml"], 0, "good (5 nodes, 6 links)"],
    [["exec", "node1", "true"], 1, "no rack is up"],
  ])("%s", async (args, code, text) => {
    const run = lab(...args);
    expect(await run.ended).toBe(code);
    expect(run.output).toContain(text);
  });
});
