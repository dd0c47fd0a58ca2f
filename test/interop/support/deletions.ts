// What leaves a node's kernel, line by line, as `ip monitor route` tells: for tests in which nothing may.
import type { ChildProcess } from "node:child_process";
import type { Node } from "./namespace.ts";
import { sleep, waitFor } from "./wait.ts";

export class Deletions {
  readonly #child: ChildProcess;
  #seen = "";

  private constructor(child: ChildProcess) {
    this.#child = child;
    child.stdout?.on("data", (chunk: Buffer) => {
      this.#seen += chunk.toString();
    });
  }

  /** Watching when it resolves. */
  static async watch(node: Node): Promise<Deletions> {
    const deletions = new Deletions(node.spawn("ip", ["monitor", "route"], { stdio: ["ignore", "pipe", "ignore"] }));
    // A route of our own that comes and goes proves that it listens.
    const probe = ["blackhole", "192.0.2.255", "table", "4242"];
    await waitFor(() => {
      node.ip("route", "add", ...probe);
      node.ip("route", "delete", ...probe);
      return deletions.of("192.0.2.255").length > 0;
    }, "ip monitor to listen");
    return deletions;
  }

  /** Lines about deleted routes that have this text in them. */
  of(text: string): string[] {
    return this.#seen.split("\n").filter((line) => line.startsWith("Deleted") && line.includes(text));
  }

  /** All of them, a moment later, and no more. */
  async end(text: string): Promise<string[]> {
    await sleep(300);
    this.#child.kill();
    return this.of(text);
  }
}
