// BIRD 2 in a node's namespace. Configuration is bird.conf's text; questions are asked through birdc.
import type { ChildProcess } from "node:child_process";
import { existsSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Node, terminate } from "./namespace.ts";
import { GiveUp, waitFor } from "./wait.ts";

export interface BirdProtocol {
  readonly name: string;
  /** `up`, `start`, `down`. */
  readonly state: string;
  /** `Established`, `Active        Socket: Connection refused`, ... */
  readonly info: string;
}

export class Bird {
  readonly node: Node;
  #config: string;
  #process: ChildProcess | null = null;

  private constructor(node: Node, config: string) {
    this.node = node;
    this.#config = config;
  }

  /** Resolves when birdc answers. */
  static async start(node: Node, config: string): Promise<Bird> {
    const bird = new Bird(node, config);
    await bird.#start();
    return bird;
  }

  /** Output of a birdc command, without the banner. */
  async birdc(command: string): Promise<string> {
    const output = await this.node.exec("birdc", "-s", this.#socket, ...command.split(" "));
    return output.replace(/^BIRD .* ready\.\n/, "");
  }

  async protocols(): Promise<BirdProtocol[]> {
    const lines = (await this.birdc("show protocols")).split("\n").slice(1).filter(Boolean);
    return lines.map((line) => {
      const [, name, state, info] = /^(\S+)\s+\S+\s+\S+\s+(\S+)\s+\S+\s*(.*)$/.exec(line) ?? ["", line, "", ""];
      return { name, state, info: info.trim() };
    });
  }

  /** Text of `show protocols all NAME`: states, negotiated capabilities, route counts, last error. */
  protocol(name: string): Promise<string> {
    return this.birdc(`show protocols all ${name}`);
  }

  waitEstablished(name: string, timeout?: number): Promise<unknown> {
    const established = async () =>
      (await this.protocols()).some((protocol) => protocol.name === name && protocol.info === "Established");
    return waitFor(established, `BIRD on ${this.node.name}: ${name} Established`, { timeout });
  }

  /** Replaces the configuration of the running daemon. */
  async configure(text: string): Promise<string> {
    this.#config = text;
    writeFileSync(this.#file, text);
    return this.birdc("configure");
  }

  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    if (this.#process) await terminate(this.#process, signal);
    this.#process = null;
  }

  /** `-R` has it say that it recovers from a restart. */
  async restart(signal: NodeJS.Signals = "SIGTERM", ...more: string[]): Promise<void> {
    await this.stop(signal);
    await this.#start(more);
  }

  close(): Promise<void> {
    return this.stop();
  }

  get #socket(): string {
    return join(this.node.lab.directory, `${this.node.name}.bird.ctl`);
  }

  get #file(): string {
    return join(this.node.lab.directory, `${this.node.name}.bird.conf`);
  }

  async #start(more: readonly string[] = []): Promise<void> {
    rmSync(this.#socket, { force: true });
    writeFileSync(this.#file, this.#config);
    const args = ["-f", "-c", this.#file, "-s", this.#socket, ...more];
    const child = this.node.spawn("bird", args, { stdio: ["ignore", "ignore", "pipe"] });
    let errors = "";
    child.stderr?.on("data", (chunk) => {
      errors = (errors + chunk).slice(-4000);
    });
    this.#process = child;
    await waitFor(
      () => {
        if (child.exitCode !== null) throw new GiveUp(`bird ended with exit code ${child.exitCode}: ${errors}`);
        return existsSync(this.#socket) ? this.birdc("show status") : "";
      },
      `birdc on ${this.node.name}`,
      { timeout: 10_000 },
    );
  }
}
