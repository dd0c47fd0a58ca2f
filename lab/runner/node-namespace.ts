// One node's namespaces (network, mount, hostname, IPC, processes), held by a pause process.
//
// The pause process is PID 1 of the node and reads from a pipe whose other end is the runner. When the runner ends, in
// whatever way, the pipe closes, PID 1 ends, and the kernel takes everything of the node away with it.
import { type ChildProcess, type SpawnOptions, spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { type CommandOptions, type CommandResult, LabError, mustRun, runCommand } from "./command.ts";

const unshare = [
  "unshare",
  "--net",
  "--mount",
  "--uts",
  "--ipc",
  "--pid",
  "--fork",
  "--kill-child",
  "--mount-proc",
  "--propagation",
  "private",
];

/** What a shell in a container has. */
export const nodePath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** nsenter arguments that put a program into all namespaces of `pid`. */
export function enterArguments(pid: number): string[] {
  return ["nsenter", "-t", String(pid), "-n", "-m", "-u", "-i", "-p"];
}

export class NodeNamespace {
  readonly name: string;
  readonly #pause: ChildProcess;
  /** PID 1 of the node, as the host numbers it. */
  readonly pid: number;
  readonly #env: Record<string, string>;

  private constructor(name: string, pause: ChildProcess, pid: number, env: Readonly<Record<string, string>>) {
    this.name = name;
    this.#pause = pause;
    this.pid = pid;
    this.#env = { PATH: nodePath, HOME: "/tmp", LANG: "C", TERM: process.env.TERM ?? "dumb", ...env };
  }

  static async create(name: string, env: Readonly<Record<string, string>>): Promise<NodeNamespace> {
    const pause = spawn(unshare[0], [...unshare.slice(1), "sh", "-c", "echo ready; exec cat >/dev/null"], {
      detached: true,
      stdio: ["pipe", "pipe", "pipe"],
    });
    await new Promise<void>((resolve, reject) => {
      let errors = "";
      pause.stderr.setEncoding("utf8").on("data", (text: string) => {
        errors += text;
      });
      pause.on("error", (error) => reject(new LabError(`unshare: ${error.message}`)));
      pause.on("exit", () => reject(new LabError(`${name}: no namespaces: ${errors.trim() || "unshare ended"}`)));
      pause.stdout.once("data", () => resolve());
    });
    pause.stdin.on("error", () => {});
    return new NodeNamespace(name, pause, childOf(pause.pid!), env);
  }

  /** The node's environment: for programs that are started in another way. */
  get env(): Readonly<Record<string, string>> {
    return this.#env;
  }

  run(argv: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
    return runCommand([...enterArguments(this.pid), ...argv], this.#options(options));
  }

  async mustRun(argv: readonly string[], options: CommandOptions = {}): Promise<string> {
    try {
      return await mustRun([...enterArguments(this.pid), ...argv], this.#options(options));
    } catch (error) {
      const prefix = `${enterArguments(this.pid).join(" ")} `;
      throw new LabError(`${this.name}: ${(error as Error).message.replace(prefix, "")}`);
    }
  }

  /** Runs a shell script that is given on standard input. */
  async script(text: string): Promise<string> {
    return await this.mustRun(["sh", "-s"], { input: text });
  }

  /** `ip -batch` in the node's network, but with the host's process numbers, so that `netns PID` works. */
  async ipBatch(commands: readonly string[]): Promise<void> {
    if (commands.length === 0) return;
    await mustRun(["nsenter", "-t", String(this.pid), "-n", "ip", "-batch", "-"], {
      input: `${commands.join("\n")}\n`,
    });
  }

  spawn(argv: readonly string[], options: SpawnOptions): ChildProcess {
    const enter = enterArguments(this.pid);
    return spawn(enter[0], [...enter.slice(1), ...argv], { detached: true, ...this.#options(options) });
  }

  /** Ends every process of the node except the one that holds the namespaces. */
  async killAll(): Promise<void> {
    await this.run(["sh", "-c", "kill -9 -1"]);
  }

  /** Ends the node; all that runs in it goes with PID 1. */
  async destroy(): Promise<void> {
    if (this.#pause.exitCode !== null || this.#pause.signalCode !== null) return;
    const ended = new Promise<void>((resolve) => this.#pause.once("exit", () => resolve()));
    // unshare itself ignores SIGTERM; its child is the one to end.
    try {
      process.kill(this.pid, "SIGKILL");
    } catch {
      this.#pause.kill("SIGKILL");
    }
    await ended;
  }

  #options<T extends SpawnOptions>(options: T): T {
    return { ...options, env: { ...this.#env, ...options.env } };
  }
}

/** The one child of a process. */
function childOf(pid: number): number {
  try {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim();
    if (children) return Number(children.split(" ")[0]);
  } catch {
    // A kernel without CONFIG_PROC_CHILDREN: ask every process for its parent.
  }
  for (const entry of readdirSync("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      const stat = readFileSync(`/proc/${entry}/stat`, "utf8");
      if (Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]) === pid) return Number(entry);
    } catch {
      // It has ended meanwhile.
    }
  }
  throw new LabError(`process ${pid} has no child`);
}
