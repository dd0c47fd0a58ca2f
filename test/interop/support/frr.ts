// FRR in a node's namespace: bgpd alone (no zebra, no kernel), or with zebra and bfdd. Configuration is text as vtysh
// reads it; questions are asked through `vtysh -c "... json"`.
import type { ChildProcess } from "node:child_process";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Node, terminate } from "./namespace.ts";
import { GiveUp, waitFor } from "./wait.ts";

const DAEMON_DIRECTORY = "/usr/lib/frr";
const RUN_DIRECTORY = "/run/frr";

export type FrrDaemon = "zebra" | "bgpd" | "bfdd" | "staticd";

export interface FrrOptions {
  /** Default: bgpd alone, which then keeps its hands off the kernel. */
  readonly daemons?: readonly FrrDaemon[];
  /** Where bgpd listens, if not on 179. */
  readonly port?: number;
  /** More of the command line. */
  readonly arguments?: Readonly<Partial<Record<FrrDaemon, readonly string[]>>>;
}

/** What is used here of `show bgp neighbors X json`. */
export interface FrrNeighbor {
  readonly bgpState: string;
  readonly remoteAs: number;
  readonly remoteRouterId: string;
  readonly connectionsEstablished: number;
  readonly lastResetDueTo?: string;
  readonly lastNotificationReason?: string;
  readonly [key: string]: unknown;
}

export class Frr {
  readonly node: Node;
  readonly #daemons: readonly FrrDaemon[];
  readonly #port: number | undefined;
  readonly #arguments: NonNullable<FrrOptions["arguments"]>;
  readonly #config: string;
  readonly #processes = new Map<FrrDaemon, ChildProcess>();

  private constructor(node: Node, config: string, { daemons = ["bgpd"], port, arguments: more = {} }: FrrOptions) {
    this.node = node;
    this.#config = config;
    this.#daemons = daemons;
    this.#port = port;
    this.#arguments = more;
  }

  /** Resolves when the daemons run and the configuration is applied. */
  static async start(node: Node, config: string, options: FrrOptions = {}): Promise<Frr> {
    const frr = new Frr(node, config, options);
    await frr.#start();
    return frr;
  }

  /** Output of `vtysh -c ... -c ...`. */
  vtysh(...commands: string[]): Promise<string> {
    return this.node.exec("vtysh", "-N", this.#pathspace, ...commands.flatMap((command) => ["-c", command]));
  }

  async json<T = unknown>(command: string): Promise<T> {
    return JSON.parse(await this.vtysh(command.endsWith(" json") ? command : `${command} json`)) as T;
  }

  /** Adds configuration to a running daemon. */
  async configure(text: string): Promise<void> {
    const file = join(this.node.lab.directory, `${this.node.name}.frr.conf`);
    writeFileSync(file, text);
    await this.node.exec("vtysh", "-N", this.#pathspace, "-f", file);
  }

  async neighbor(address: string): Promise<FrrNeighbor> {
    const answer = await this.json<Record<string, FrrNeighbor>>(`show bgp neighbors ${address}`);
    const neighbor = answer[address];
    if (!neighbor) throw new Error(`FRR on ${this.node.name} has no neighbour ${address}: ${JSON.stringify(answer)}`);
    return neighbor;
  }

  waitEstablished(address: string, timeout?: number): Promise<unknown> {
    const established = async () => (await this.neighbor(address)).bgpState === "Established";
    return waitFor(established, `FRR on ${this.node.name} to be Established with ${address}`, { timeout });
  }

  /** Ends one daemon and starts it again with the whole configuration; the others go on. */
  async restartOne(daemon: FrrDaemon, signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    const child = this.#processes.get(daemon);
    if (child) await terminate(child, signal);
    this.#processes.delete(daemon);
    await this.#start([daemon]);
  }

  /** Ends the daemons; SIGKILL leaves the neighbours to find out by themselves. */
  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    await Promise.all([...this.#processes.values()].map((child) => terminate(child, signal)));
    this.#processes.clear();
  }

  /** Stops (see stop) and starts again with the original configuration. */
  async restart(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    await this.stop(signal);
    await this.#start();
  }

  async close(): Promise<void> {
    await this.stop();
    rmSync(this.#runDirectory, { recursive: true, force: true });
  }

  get #pathspace(): string {
    return this.node.netns;
  }

  get #runDirectory(): string {
    return join(RUN_DIRECTORY, this.#pathspace);
  }

  async #start(daemons = this.#daemons): Promise<void> {
    mkdirSync(this.#runDirectory, { recursive: true });
    execFileSync("chown", ["frr:frr", this.#runDirectory]);
    for (const daemon of daemons) {
      const socket = join(this.#runDirectory, `${daemon}.vty`);
      rmSync(socket, { force: true });
      const alone = daemon === "bgpd" && !this.#daemons.includes("zebra") ? ["-Z", "-n"] : [];
      const port = daemon === "bgpd" && this.#port ? ["-p", String(this.#port)] : [];
      const pid = join(this.#runDirectory, `${daemon}.pid`);
      const args = [
        "-N",
        this.#pathspace,
        "-A",
        "127.0.0.1",
        "-P",
        "0",
        "-f",
        "/dev/null",
        "-i",
        pid,
        ...alone,
        ...port,
        ...(this.#arguments[daemon] ?? []),
      ];
      const child = this.node.spawn(join(DAEMON_DIRECTORY, daemon), args);
      this.#processes.set(daemon, child);
      await waitFor(() => existsSync(socket) || failIfGone(child, daemon), `${daemon} to listen on ${socket}`);
    }
    // vtysh complains about a missing vtysh.conf but works; the daemon may still be setting up its socket.
    await waitFor(() => this.vtysh("show version"), `vtysh on ${this.node.name}`);
    await this.configure(this.#config);
  }
}

function failIfGone(child: ChildProcess, daemon: string): false {
  if (child.exitCode !== null) throw new GiveUp(`${daemon} ended with exit code ${child.exitCode}`);
  return false;
}
