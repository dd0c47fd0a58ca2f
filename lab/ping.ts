// ping(8) from a node or a pod of it, and what it reports.
import type { ChildProcess } from "node:child_process";
import type { NodeNamespace } from "./runner/node-namespace.ts";

export interface PingReport {
  readonly sent: number;
  readonly received: number;
  /** Milliseconds, null when nothing came back. */
  readonly average: number | null;
}

/** Reads the last two lines of ping's output (iputils). */
export function readPing(output: string): PingReport {
  const counts = /(\d+) packets transmitted, (\d+) received/.exec(output);
  const times = /= [\d.]+\/([\d.]+)\//.exec(output);
  return {
    sent: Number(counts?.[1] ?? 0),
    received: Number(counts?.[2] ?? 0),
    average: times ? Number(times[1]) : null,
  };
}

/** A few packets, 50 ms apart. `source`: address to send from. */
export async function ping(
  node: NodeNamespace,
  prefix: readonly string[],
  target: string,
  source: string | null = null,
): Promise<PingReport> {
  const from = source === null ? [] : ["-I", source];
  const result = await node.run([...prefix, "ping", "-n", "-c", "3", "-i", "0.05", "-W", "1", ...from, target]);
  return readPing(result.stdout);
}

/** Pings until it is stopped. */
export class LongPing {
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;
  #output = "";

  constructor(node: NodeNamespace, prefix: readonly string[], target: string, intervalSeconds: number) {
    const argv = [...prefix, "ping", "-n", "-q", "-i", String(intervalSeconds), target];
    this.#child = node.spawn(argv, { stdio: ["ignore", "pipe", "ignore"] });
    this.#child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      this.#output += text;
    });
    this.#ended = new Promise((resolve) => this.#child.once("close", () => resolve()));
  }

  /** SIGINT makes ping report; it goes to the whole group, as nsenter stands before it. */
  async stop(): Promise<PingReport> {
    if (this.#child.exitCode === null) process.kill(-this.#child.pid!, "SIGINT");
    await this.#ended;
    return readPing(this.#output);
  }
}
