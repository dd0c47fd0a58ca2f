// OpenBGPD in a node's namespace. It has no kernel routes on Linux. Configuration is bgpd.conf's text; questions are asked
// through `bgpctl -j`.
import type { ChildProcess } from "node:child_process";
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Node, terminate } from "./namespace.ts";
import { GiveUp, waitFor } from "./wait.ts";

/** Its parts drop their privileges into this directory. */
const CHROOT = "/run/openbgpd";

/** What is used here of `bgpctl -j show neighbor`. */
export interface OpenbgpdNeighbor {
  readonly remote_addr: string;
  /** `Established`, `Active`, ... */
  readonly state: string;
  readonly [key: string]: unknown;
}

export class Openbgpd {
  readonly node: Node;
  #config: string;
  #process: ChildProcess | null = null;

  private constructor(node: Node, config: string) {
    this.node = node;
    this.#config = config;
  }

  /** `config` without `socket` and `fib-update`. Resolves when bgpctl is answered. */
  static async start(node: Node, config: string): Promise<Openbgpd> {
    const openbgpd = new Openbgpd(node, config);
    await openbgpd.#start();
    return openbgpd;
  }

  bgpctl(...args: string[]): Promise<string> {
    return this.node.exec("bgpctl", "-s", this.#socket, ...args);
  }

  async json<T = unknown>(...args: string[]): Promise<T> {
    return JSON.parse(await this.bgpctl("-j", ...args)) as T;
  }

  async neighbor(address: string): Promise<OpenbgpdNeighbor | undefined> {
    const { neighbors = [] } = await this.json<{ neighbors?: OpenbgpdNeighbor[] }>("show", "neighbor", address);
    return neighbors[0];
  }

  /** Prefixes in its Loc-RIB, or what `bgpctl show rib ARGS` selects. */
  async prefixes(...args: string[]): Promise<string[]> {
    const { rib = [] } = await this.json<{ rib?: { prefix: string }[] }>("show", "rib", ...args);
    return [...new Set(rib.map(({ prefix }) => prefix))].sort();
  }

  waitEstablished(address: string, timeout?: number): Promise<unknown> {
    const established = async () => (await this.neighbor(address))?.state === "Established";
    return waitFor(established, `OpenBGPD on ${this.node.name} to be Established with ${address}`, { timeout });
  }

  /** Replaces the configuration of the running daemon. */
  async configure(config: string): Promise<void> {
    this.#config = config;
    this.#write();
    await this.bgpctl("reload");
  }

  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    if (this.#process) await terminate(this.#process, signal);
    this.#process = null;
  }

  async restart(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    await this.stop(signal);
    await this.#start();
  }

  close(): Promise<void> {
    return this.stop();
  }

  get #socket(): string {
    return join(this.node.lab.directory, `${this.node.name}.openbgpd.sock`);
  }

  get #file(): string {
    return join(this.node.lab.directory, `${this.node.name}.openbgpd.conf`);
  }

  #write(): void {
    writeFileSync(this.#file, `fib-update no\nsocket "${this.#socket}"\n${this.#config}`, { mode: 0o600 });
  }

  async #start(): Promise<void> {
    mkdirSync(CHROOT, { recursive: true });
    rmSync(this.#socket, { force: true });
    this.#write();
    const child = this.node.spawn("/usr/sbin/bgpd", ["-d", "-f", this.#file], { stdio: ["ignore", "ignore", "pipe"] });
    let errors = "";
    child.stderr?.on("data", (chunk) => {
      errors = (errors + chunk).slice(-4000);
    });
    this.#process = child;
    await waitFor(
      () => {
        if (child.exitCode !== null) throw new GiveUp(`bgpd ended with exit code ${child.exitCode}: ${errors}`);
        return existsSync(this.#socket) ? this.bgpctl("show", "summary") : "";
      },
      `bgpctl on ${this.node.name}`,
      { timeout: 10_000 },
    );
  }
}
