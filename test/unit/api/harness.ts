// A running ApiServer on a socket of its own, and plain clients for it.
import { mkdtempSync, rmSync } from "node:fs";
import { type IncomingHttpHeaders, request } from "node:http";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ApiLimits, ApiServer } from "../../../daemon/api/server.ts";
import type { Log } from "../../../net/log.ts";
import { MemoryBackend } from "./backend.ts";

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export class Harness {
  readonly backend = new MemoryBackend();
  readonly errors: object[] = [];
  readonly socketPath: string;
  readonly server: ApiServer;
  readonly #directory = mkdtempSync(join(tmpdir(), "ul-api-"));

  constructor(limits: Partial<ApiLimits> = {}, tcp = false) {
    this.socketPath = join(this.#directory, "d.sock");
    const log: Log = { debug() {}, info() {}, warn() {}, error: (fields) => this.errors.push(fields) };
    const listen = tcp ? { host: "127.0.0.1", port: 0 } : null;
    this.server = new ApiServer({ backend: this.backend, log, socketPath: this.socketPath, listen, limits });
  }

  async stop(): Promise<void> {
    await this.server.stop();
    rmSync(this.#directory, { recursive: true, force: true });
  }

  fetch(
    path: string,
    options: { method?: string; headers?: Record<string, string>; body?: Uint8Array; tcp?: boolean } = {},
  ): Promise<Answer> {
    const target = options.tcp ? { host: "127.0.0.1", port: this.server.port! } : { socketPath: this.socketPath };
    return new Promise((resolve, reject) => {
      const call = request(
        { ...target, path, method: options.method, headers: options.headers, agent: false },
        (response) => {
          const chunks: Buffer[] = [];
          response.on("data", (chunk) => chunks.push(chunk));
          response.on("error", reject);
          response.on("end", () =>
            resolve({
              status: response.statusCode!,
              headers: response.headers,
              body: Buffer.concat(chunks).toString(),
            }),
          );
        },
      );
      call.on("error", reject);
      call.end(options.body);
    });
  }

  raw(): Socket {
    const socket = connect(this.socketPath);
    socket.on("error", () => {});
    return socket;
  }
}

/** All that a raw connection says until it ends. */
export function untilClosed(socket: Socket): Promise<string> {
  return new Promise((resolve) => {
    let text = "";
    socket.on("data", (chunk) => {
      text += chunk;
    });
    socket.once("close", () => resolve(text));
  });
}

export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

export async function until(condition: () => boolean, what: string, timeout = 10_000): Promise<void> {
  const end = performance.now() + timeout;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`not within ${timeout} ms: ${what}`);
    await sleep(5);
  }
}
