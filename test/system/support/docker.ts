// A Docker daemon of the test's own: its namespaces (network, mounts, processes), its data in one directory. Whatever
// happens, ending its PID 1 takes all containers with it; nothing of the machine's own Docker is touched.
import { type ChildProcess, execFile, execFileSync, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sleep, waitFor } from "../../interop/support/wait.ts";
import { removeCgroups } from "./cgroups.ts";

export class Docker {
  readonly directory: string;
  readonly #daemon: ChildProcess;
  /** PID 1 of the daemon's process namespace, as the host numbers it. */
  #pid = 0;
  readonly #cgroup: string;
  readonly #onExit = () => this.#kill();

  private constructor() {
    this.directory = mkdtempSync(join(tmpdir(), "ul-docker-"));
    this.#cgroup = `ul-docker-${process.pid}`;
    mkdirSync(join(this.directory, "data"));
    const script = `
      mount -t tmpfs -o mode=0755 tmpfs /run
      mount --bind "$0/data" "$0/data"
      ip link set lo up
      echo 1 > /proc/sys/net/ipv4/ip_forward
      exec dockerd --data-root "$0/data" -H "unix://$0/docker.sock" --pidfile "$0/docker.pid" --bridge none \\
        --iptables=false --cgroup-parent "/${this.#cgroup}"`;
    const log = openSync(join(this.directory, "dockerd.log"), "w");
    const namespaces = [
      "--net",
      "--mount",
      "--propagation",
      "private",
      "--pid",
      "--fork",
      "--kill-child",
      "--mount-proc",
    ];
    this.#daemon = spawn("unshare", [...namespaces, "sh", "-ec", script, this.directory], {
      stdio: ["ignore", log, log],
      env: { ...process.env, DOCKER_HOST: "", DOCKER_RAMDISK: "" },
    });
    process.once("exit", this.#onExit);
  }

  static async start(): Promise<Docker> {
    const docker = new Docker();
    try {
      await waitFor(() => docker.#findPid(), "the daemon's process", { timeout: 5_000 });
      await waitFor(() => docker.run("docker", "version", "--format", "{{.Server.Version}}"), "dockerd", {
        timeout: 20_000,
      });
    } catch (error) {
      const log = readFileSync(join(docker.directory, "dockerd.log"), "utf8").split("\n").slice(-8).join("\n");
      await docker.close();
      throw new Error(`${(error as Error).message}\n${log}`);
    }
    return docker;
  }

  /** Runs a program (docker, docker-compose) against this daemon; returns its standard output. */
  run(program: string, ...args: string[]): Promise<string> {
    const env = {
      ...process.env,
      DOCKER_HOST: `unix://${this.directory}/docker.sock`,
      DOCKER_CONFIG: this.directory,
      COMPOSE_INTERACTIVE_NO_CLI: "1",
      ...this.environment,
    };
    return new Promise((resolve, reject) => {
      execFile(program, args, { env, maxBuffer: 16 << 20, timeout: 90_000 }, (error, stdout, stderr) => {
        if (error) reject(new Error(`${program} ${args.join(" ")}: ${stderr || stdout || error.message}`));
        else resolve(stdout);
      });
    });
  }

  /** Variables for compose files. */
  environment: Readonly<Record<string, string>> = {};

  importImage(archive: string, name: string, command: string): Promise<string> {
    return this.run("docker", "import", "--change", `CMD ["${command}"]`, archive, name);
  }

  async close(): Promise<void> {
    this.#kill();
    await waitFor(() => this.#daemon.exitCode !== null || this.#daemon.signalCode !== null, "dockerd to end").catch(
      () => {},
    );
    for (let attempt = 0; attempt < 20 && !removeCgroups(this.#cgroup); attempt++) await sleep(100);
    rmSync(this.directory, { recursive: true, force: true });
    process.removeListener("exit", this.#onExit);
  }

  #findPid(): number {
    const { pid } = this.#daemon;
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim();
    this.#pid = Number(children.split(" ")[0]);
    return this.#pid;
  }

  #kill(): void {
    try {
      if (this.#pid > 0) process.kill(this.#pid, "SIGKILL");
      else this.#daemon.kill("SIGKILL");
    } catch {
      // It has ended already.
    }
  }
}

/** `docker compose` where there is the plugin, else `docker-compose`. */
export async function composeCommand(): Promise<readonly string[]> {
  for (const command of [["docker", "compose"], ["docker-compose"]]) {
    try {
      execFileSync(command[0], [...command.slice(1), "version"], { stdio: "ignore" });
      return command;
    } catch {
      // The next one.
    }
  }
  throw new Error("neither `docker compose` nor `docker-compose` is installed (Debian package docker-compose)");
}
