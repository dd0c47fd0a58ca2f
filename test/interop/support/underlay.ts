// underlayd as users run it: dist/underlayd.cjs in a node's namespace, asked through dist/underlayctl.cjs --json.
import type { ChildProcess } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { PeerView, RouteView } from "../../../bgp/views.ts";
import type { BlockView, PodView } from "../../../cni/types.ts";
import type { StatusView } from "../../../daemon/api/types.ts";
import { distFile } from "../../../net/dist.ts";
import type { KernelRule } from "../../../routing/types.ts";
import { type Node, terminate } from "./namespace.ts";
import { GiveUp, waitFor } from "./wait.ts";

/** A route of the kernel with the gateways that its nexthop object or group stands for, sorted. */
export interface KernelRoute {
  readonly dst: string;
  readonly protocol: string;
  readonly gateways: readonly string[];
}

interface IpRoute {
  readonly dst: string;
  readonly protocol: string;
  readonly gateway?: string;
  readonly nhid?: number;
}

interface IpNexthop {
  readonly id: number;
  readonly gateway?: string;
  readonly via?: { readonly host: string };
  readonly group?: readonly { readonly id: number }[];
}

export class Underlay {
  readonly node: Node;
  readonly directory: string;
  /** Another build than the one under test. */
  dist: string | null = null;
  /** A command that runs it, before its own: `setpriv ...`. */
  wrapper: readonly string[] = [];
  #process: ChildProcess | null = null;

  private constructor(node: Node) {
    this.node = node;
    this.directory = join(node.lab.directory, `${node.name}.underlay`);
  }

  /** `yaml` without paths and api, which are put into the lab's directory. Resolves when the API answers. */
  static async start(node: Node, yaml: string, wrapper: readonly string[] = []): Promise<Underlay> {
    node.capture();
    const underlay = new Underlay(node);
    underlay.wrapper = wrapper;
    mkdirSync(underlay.directory, { recursive: true });
    underlay.configure(yaml);
    await underlay.start();
    return underlay;
  }

  get socket(): string {
    return join(this.directory, "run", "underlayd.sock");
  }

  get log(): string {
    return readFileSync(join(this.directory, "log"), "utf8");
  }

  /** Replaces the configuration file; takes effect at the next start or reload. */
  configure(yaml: string): void {
    const paths = `paths: { state: ${this.directory}/state, run: ${this.directory}/run }\n`;
    const socket = `api: { socket: ${this.socket}`;
    // What the file says of the API beside that stays.
    const rest = /^api: \{/m.test(yaml) ? yaml.replace(/^api: \{/m, `${socket},`) : `${socket} }\n${yaml}`;
    writeFileSync(join(this.directory, "underlay.yaml"), `${paths}log: { level: debug }\n${rest}`);
  }

  async start(): Promise<void> {
    const script = 'exec "$0" "$@" 2>>"$LOG"';
    const args = [
      "-c",
      script,
      ...this.wrapper,
      process.execPath,
      this.dist === null ? distFile("underlayd.cjs") : join(this.dist, "underlayd.cjs"),
      "--config",
      join(this.directory, "underlay.yaml"),
    ];
    const child = this.node.spawn("sh", args, { env: { ...process.env, LOG: join(this.directory, "log") } });
    this.#process = child;
    await waitFor(
      () => {
        if (child.exitCode !== null) throw new GiveUp(`underlayd ended with exit code ${child.exitCode}`);
        // A process to ask with costs more than a look at whether there is anybody.
        return existsSync(this.socket) ? this.status() : null;
      },
      `underlayd on ${this.node.name}`,
      { timeout: 15_000, interval: 20 },
    ).catch((error) => {
      throw new Error(`${error.message}\n${this.log}`);
    });
  }

  async ctl<T>(...args: string[]): Promise<T> {
    const command = [distFile("underlayctl.cjs"), "--socket", this.socket, "--json", ...args];
    return JSON.parse(await this.node.exec("sh", "-c", '"$0" "$@" || [ $? = 1 ]', process.execPath, ...command)) as T;
  }

  async status(): Promise<StatusView> {
    const answer = await this.ctl<StatusView | StatusView[]>("status");
    return Array.isArray(answer) ? answer[0] : answer;
  }

  async peer(name: string): Promise<PeerView> {
    const [peer] = await this.ctl<PeerView[]>("peers", name);
    return peer;
  }

  routes(...args: string[]): Promise<RouteView[]> {
    return this.ctl("routes", ...args);
  }

  received(peer: string): Promise<RouteView[]> {
    return this.ctl("received", peer);
  }

  advertised(peer: string): Promise<RouteView[]> {
    return this.ctl("advertised", peer);
  }

  pods(): Promise<PodView[]> {
    return this.ctl("pods");
  }

  blocks(): Promise<BlockView[]> {
    return this.ctl("blocks");
  }

  rules(): Promise<KernelRule[]> {
    return this.ctl("rules");
  }

  waitEstablished(peer: string, timeout = 30_000): Promise<unknown> {
    const established = async () =>
      (await this.peer(peer)).state === "Established" || (await this.peer(peer)).lastError;
    return waitFor(async () => (await this.peer(peer)).state === "Established", `${peer} Established`, {
      timeout,
    }).catch(async (error) => {
      throw new Error(`${error.message}; last error: ${await established()}\n${this.log.slice(-4000)}`);
    });
  }

  /** A table straight from the kernel. */
  async kernel(family: 4 | 6, table = "7100"): Promise<KernelRoute[]> {
    const nexthops = new Map((await this.#ip<IpNexthop>("nexthop")).map((nexthop) => [nexthop.id, nexthop]));
    const gatewaysOf = (id: number): string[] => {
      const { group, gateway, via } = nexthops.get(id) ?? {};
      return group ? group.flatMap((member) => gatewaysOf(member.id)) : [gateway ?? via?.host ?? "?"];
    };
    const routes = await this.#ip<IpRoute>(`-${family}`, "route", "show", "table", table);
    return routes.map(({ dst, protocol, gateway, nhid }) => ({
      dst,
      protocol,
      gateways: nhid === undefined ? [gateway ?? "?"] : gatewaysOf(nhid).sort(),
    }));
  }

  async #ip<T>(...args: string[]): Promise<T[]> {
    const missing = (error: Error) =>
      error.message.includes("FIB table does not exist") ? "[]" : Promise.reject(error);
    const output = await this.node.exec("ip", "-j", ...args).catch(missing);
    return JSON.parse(output.trim() || "[]") as T[];
  }

  /** Resolves with the exit code when the daemon ends by itself. */
  async ended(): Promise<number | null> {
    const child = this.#process;
    if (!child) throw new Error("underlayd does not run");
    await waitFor(() => child.exitCode !== null || child.signalCode !== null, "underlayd to end", { interval: 10 });
    this.#process = null;
    return child.exitCode;
  }

  signal(signal: NodeJS.Signals): void {
    this.#process?.kill(signal);
  }

  /** SIGTERM keeps the kernel state; SIGKILL is a crash. */
  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    if (this.#process) await terminate(this.#process, signal, 10_000);
    this.#process = null;
  }

  async restart(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    await this.stop(signal);
    await this.start();
  }
}
