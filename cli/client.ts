// Asks the daemon over its unix socket. What goes wrong comes out as a CliError: one line for the person, and the exit
// code.
import { type IncomingMessage, request } from "node:http";
import { createInterface } from "node:readline";

/** 1: what was asked about is not well. 2: wrong usage, or no daemon. */
export class CliError extends Error {
  readonly exitCode: 1 | 2;
  /** The daemon's own words: it was asked, and refused. */
  readonly fromDaemon: boolean;
  /** Nobody listens on the socket. */
  noDaemon = false;
  /** Somebody listens, and does not answer. */
  silent = false;
  constructor(message: string, exitCode: 1 | 2, fromDaemon = false) {
    super(message);
    this.name = "CliError";
    this.exitCode = exitCode;
    this.fromDaemon = fromDaemon;
  }
}

export const DEFAULT_SOCKET = "/run/underlay/underlayd.sock";

const NDJSON = "application/x-ndjson";
/** Milliseconds without an answer. */
const TIMEOUT = 30_000;

export class Client {
  readonly socketPath: string;

  constructor(socketPath: string) {
    this.socketPath = socketPath;
  }

  async get<T>(path: string): Promise<T> {
    return JSON.parse(await text(await this.#request(path, "application/json"))) as T;
  }

  /** Asks for something to be done, which may take so many milliseconds. */
  async post<T>(path: string, body = "", timeout = TIMEOUT): Promise<T> {
    return JSON.parse(await text(await this.#request(path, "application/json", body, timeout))) as T;
  }

  /** The items of a list, as they come. */
  async *items<T>(path: string): AsyncGenerator<T> {
    for await (const line of this.lines(path)) yield JSON.parse(line) as T;
  }

  /** The items of a list as JSON text, as they come. */
  async *lines(path: string): AsyncGenerator<string> {
    const response = await this.#request(path, NDJSON);
    yield* createInterface({ input: response, crlfDelay: Number.POSITIVE_INFINITY });
    if (!response.complete) throw new CliError("the daemon ended the connection in the middle of its answer", 1);
  }

  async #request(path: string, accept: string, body?: string, timeout = TIMEOUT): Promise<IncomingMessage> {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const call = request(
        {
          socketPath: this.socketPath,
          method: body === undefined ? "GET" : "POST",
          path,
          headers: { Accept: accept },
          timeout,
        },
        resolve,
      );
      call.on("timeout", () => call.destroy(silence(this.socketPath)));
      call.on("error", (error) => reject(connectionError(error, this.socketPath)));
      call.end(body);
    });
    // An error in the middle shows as an incomplete answer.
    response.on("error", () => {});
    if (response.statusCode === 200) return response;
    const status = response.statusCode ?? 0;
    const said = errorText(await text(response));
    throw new CliError(said ?? `the daemon answered ${status}`, status < 500 ? 2 : 1, said !== null);
  }
}

function silence(socketPath: string): CliError {
  return Object.assign(new CliError(`the daemon at ${socketPath} does not answer`, 2), { silent: true });
}

export function connectionError(error: Error, socketPath: string): CliError {
  if (error instanceof CliError) return error;
  const { code } = error as NodeJS.ErrnoException;
  switch (code) {
    case "ENOENT":
      return noDaemon(`no daemon: there is no ${socketPath}. Is underlayd running? Another socket: --socket PATH`);
    case "ECONNREFUSED":
      return noDaemon(`no daemon: nobody answers on ${socketPath}. Start underlayd, or give --socket PATH`);
    case "EACCES":
    case "EPERM":
      return new CliError(`not allowed to connect to ${socketPath}: run this as root`, 2);
    case "ENOTSOCK":
      return new CliError(`${socketPath} is not a socket`, 2);
    default:
      return new CliError(`cannot ask the daemon on ${socketPath}: ${error.message}`, 2);
  }
}

function noDaemon(message: string): CliError {
  return Object.assign(new CliError(message, 2), { noDaemon: true });
}

async function text(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

/** The message of an error answer, null when it is none of the daemon's. */
export function errorText(body: string): string | null {
  try {
    const { error } = JSON.parse(body) as { error?: unknown };
    return typeof error === "string" ? error : null;
  } catch {
    return null;
  }
}
