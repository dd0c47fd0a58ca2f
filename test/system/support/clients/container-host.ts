// A machine for container runtimes, as far as one kernel has several: namespaces of its own for network, mounts, processes
// and host name. /run and /var/lib are empty and its own, /etc and /opt are layers over the machine's, so that runtimes
// run with their usual paths and leave nothing behind: ending PID 1 ends whatever they have started, however detached,
// and takes all their mounts along.
import { type ChildProcess, type SpawnOptions, spawn } from "node:child_process";
import { existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Lab, Node, run } from "../../../interop/support/namespace.ts";
import { waitFor } from "../../../interop/support/wait.ts";
import { removeCgroups, removeStaleCgroups } from "../cgroups.ts";

/** PID 1: it collects the orphans that daemons make by forking twice. */
const INIT = `
  mount -t tmpfs -o mode=0755 tmpfs /run
  mount -t tmpfs -o mode=0755 tmpfs /var/lib
  mkdir -p /run/lock /run/netns /run/home /run/tmp
  for part in etc opt; do
    mkdir -p "/run/layers/$part" "/run/layers/$part.work"
    mount -t overlay -o "lowerdir=/$part,upperdir=/run/layers/$part,workdir=/run/layers/$part.work" overlay "/$part"
    # What is removed next must be the layer's.
    grep -q "^overlay /$part overlay " /proc/mounts
  done
  rm -rf /etc/cni /etc/containers /etc/containerd /opt/cni
  mkdir -p /etc/cni/net.d /etc/containers /etc/containerd /opt/cni/bin
  hostname "$1"
  echo 1 > /proc/sys/net/ipv4/ip_forward
  : > "$2"
  sleep infinity & wait`;

export class ContainerHost extends Node {
  /** Files that the host and the test see under the same path. */
  readonly directory: string;
  /** Parent of the control groups of everything that runs here. */
  readonly cgroup: string;
  readonly #outer: ChildProcess;
  #pid = 0;
  readonly #onExit = () => this.#kill();

  private constructor(lab: Lab, name: string) {
    super(lab, name);
    this.directory = join(lab.directory, name);
    this.cgroup = this.netns;
    mkdirSync(this.directory);
    const log = openSync(join(this.directory, "init.log"), "w");
    const namespaces = [
      "--mount",
      "--propagation",
      "private",
      "--uts",
      "--pid",
      "--fork",
      "--kill-child",
      "--mount-proc",
    ];
    const init = ["sh", "-ec", INIT, "init", name, this.#ready];
    this.#outer = spawn(
      "nsenter",
      [...super.namespaces, "--", "setpriv", "--pdeathsig", "KILL", "unshare", ...namespaces, ...init],
      { stdio: ["ignore", log, log] },
    );
    process.once("exit", this.#onExit);
  }

  /** Resolves when the host is up. */
  static async start(lab: Lab, name: string): Promise<ContainerHost> {
    removeStaleCgroups(lab.prefix.slice(0, lab.prefix.lastIndexOf("-") + 1));
    const host = lab.add(new ContainerHost(lab, name));
    await waitFor(() => existsSync(host.#ready), `host ${name}`, { timeout: 5_000, interval: 5 }).catch((error) => {
      throw new Error(`${error.message}\n${readFileSync(join(host.directory, "init.log"), "utf8")}`);
    });
    host.#pid = childOf(host.#outer.pid!);
    return host;
  }

  override get namespaces(): readonly string[] {
    return ["--target", String(this.#pid), "--net", "--mount", "--uts", "--pid"];
  }

  override exec(command: string, ...args: string[]): Promise<string> {
    return run("nsenter", [...this.namespaces, "--", "env", ...environment, command, ...args]);
  }

  /** Signals go to the process inside: what nsenter leaves in front of it does not pass them on. */
  override spawn(command: string, args: readonly string[], options: SpawnOptions = {}): ChildProcess {
    const env = { ...(options.env ?? process.env), HOME: "/run/home", TMPDIR: "/run/tmp" };
    const child = super.spawn(command, args, { ...options, env });
    child.kill = (signal = "SIGTERM") => {
      try {
        return process.kill(childOf(child.pid!), signal);
      } catch {
        return false;
      }
    };
    return child;
  }

  /** Writes a file of the host, whole or not at all. */
  async write(path: string, text: string): Promise<void> {
    const staged = join(this.directory, "staged");
    writeFileSync(staged, text);
    await this.exec("sh", "-ec", 'cp "$0" "$1.new"; mv "$1.new" "$1"', staged, path);
  }

  /** Everything that runs here ends, at once. */
  async close(): Promise<void> {
    this.#kill();
    await waitFor(() => this.#outer.exitCode !== null || this.#outer.signalCode !== null, `${this.name} to end`);
    process.removeListener("exit", this.#onExit);
    await waitFor(() => removeCgroups(this.cgroup), `everything in control group ${this.cgroup} to end`, {
      timeout: 5_000,
      interval: 20,
    });
  }

  get #ready(): string {
    return join(this.directory, "ready");
  }

  #kill(): void {
    try {
      process.kill(this.#pid || this.#outer.pid!, "SIGKILL");
    } catch {
      // It has ended already.
    }
  }
}

const environment = ["HOME=/run/home", "TMPDIR=/run/tmp"];

/** The one process that `pid` has started; throws when there is none. */
function childOf(pid: number): number {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim();
  if (children === "") throw new Error(`process ${pid} has no child`);
  return Number(children.split(" ")[0]);
}
