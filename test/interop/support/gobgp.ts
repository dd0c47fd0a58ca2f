// GoBGP in a node's namespace. Configuration is gobgpd.conf's TOML; questions are asked through `gobgp -j`.
import type { ChildProcess } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Node, terminate } from "./namespace.ts";
import { GiveUp, waitFor } from "./wait.ts";

const API = "127.0.0.1:50051";
/** session_state of the API's PeerState. */
const ESTABLISHED = 6;

/** What is used here of `gobgp neighbor -j`. */
export interface GobgpNeighbor {
  readonly conf: { readonly neighbor_address: string; readonly peer_asn?: number };
  readonly state: { readonly session_state?: number; readonly neighbor_address?: string };
  readonly [key: string]: unknown;
}

export class Gobgp {
  readonly node: Node;
  readonly #config: string;
  #process: ChildProcess | null = null;

  private constructor(node: Node, config: string) {
    this.node = node;
    this.#config = config;
  }

  /** Resolves when the API answers. GoBGP needs some seconds more before its first connection attempt. */
  static async start(node: Node, config: string): Promise<Gobgp> {
    const gobgp = new Gobgp(node, config);
    await gobgp.#start();
    return gobgp;
  }

  /** Output of a gobgp command. */
  gobgp(...args: string[]): Promise<string> {
    return this.node.exec("gobgp", ...args);
  }

  async json<T = unknown>(...args: string[]): Promise<T> {
    return JSON.parse(await this.gobgp("-j", ...args)) as T;
  }

  async neighbor(address: string): Promise<GobgpNeighbor | undefined> {
    const neighbors = (await this.json<GobgpNeighbor[] | null>("neighbor")) ?? [];
    return neighbors.find(({ conf, state }) => (conf.neighbor_address ?? state.neighbor_address) === address);
  }

  waitEstablished(address: string, timeout?: number): Promise<unknown> {
    const established = async () => (await this.neighbor(address))?.state.session_state === ESTABLISHED;
    return waitFor(established, `GoBGP on ${this.node.name} to be Established with ${address}`, { timeout });
  }

  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    if (this.#process) await terminate(this.#process, signal);
    this.#process = null;
  }

  /** `-r` has it say that it has restarted, and that it kept its forwarding state; otherwise it never says the latter. */
  async restart(signal: NodeJS.Signals = "SIGTERM", ...more: string[]): Promise<void> {
    await this.stop(signal);
    await this.#start(more);
  }

  close(): Promise<void> {
    return this.stop();
  }

  async #start(more: readonly string[] = []): Promise<void> {
    const file = join(this.node.lab.directory, `${this.node.name}.gobgpd.toml`);
    writeFileSync(file, this.#config);
    const child = this.node.spawn("gobgpd", ["-f", file, "-p", "--pprof-disable", "--api-hosts", API, ...more], {
      stdio: ["ignore", "pipe", "ignore"],
    });
    let output = "";
    child.stdout?.on("data", (chunk) => {
      output = (output + chunk).slice(-4000);
    });
    this.#process = child;
    await waitFor(
      () => {
        if (child.exitCode !== null) throw new GiveUp(`gobgpd ended with exit code ${child.exitCode}: ${output}`);
        return this.gobgp("global");
      },
      `gobgpd on ${this.node.name}`,
      { timeout: 15_000 },
    );
  }
}
