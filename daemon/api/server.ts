// The API server: HTTP and WebSocket on a unix socket (mode 0600) and, read-only, on an optional loopback TCP port.
//
//   unix-listener (who calls) -> node:http -> routes | cni-call | watch -> ApiBackend
//                             -> cni-fast-path -> ApiBackend
//
// Whatever a client sends or leaves out ends with its own connection, never with the daemon: sizes, times and numbers of
// connections are limited, and nothing thrown by a handler leaves #serve.
import { createServer, type IncomingMessage, type Server, type ServerResponse, STATUS_CODES } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { Log } from "../../net/log.ts";
import { BodyReader } from "./body.ts";
import { CniCalls } from "./cni-call.ts";
import { CniFastPath } from "./cni-fast-path.ts";
import { only } from "./query.ts";
import { findRoute, sendJson } from "./routes.ts";
import { type ApiBackend, ApiError } from "./types.ts";
import { UnixListener } from "./unix-listener.ts";
import { Watch } from "./watch.ts";
import { MAX_WRITE_BODY, writeRoutes } from "./write-routes.ts";

export interface ApiServerOptions {
  readonly backend: ApiBackend;
  readonly log: Log;
  readonly socketPath: string;
  readonly listen: { readonly host: string; readonly port: number } | null;
  readonly limits?: Partial<ApiLimits>;
}

/** Times in milliseconds, sizes in bytes. */
export interface ApiLimits {
  /** From the connection, or the last answer, to a request's complete headers. */
  readonly headersTimeout: number;
  /** For a CNI request's body. */
  readonly bodyTimeout: number;
  readonly connections: number;
  /** Of these at most so many on the TCP listener, where any user of the host may knock. */
  readonly tcpConnections: number;
  readonly watchHighWater: number;
  readonly watchHeartbeat: number;
  /** How long stop() waits for answers under way. */
  readonly stopTimeout: number;
}

const defaultLimits: ApiLimits = {
  headersTimeout: 10_000,
  bodyTimeout: 30_000,
  connections: 512,
  tcpConnections: 128,
  watchHighWater: 1 << 20,
  watchHeartbeat: 30_000,
  stopTimeout: 2_000,
};

const MAX_HEADER_BYTES = 16 << 10;
const KEEP_ALIVE = 5_000;
const MAX_PIPELINED = 16;
/** Characters of a request's path that an event names. */
const LONGEST_NAMED = 500;

interface Connection {
  readonly socket: Socket;
  readonly pid: number | null;
  readonly tcp: boolean;
  deadline: NodeJS.Timeout | null;
  /** Requests not yet answered. */
  busy: number;
}

export class ApiServer {
  readonly #options: ApiServerOptions;
  readonly #limits: ApiLimits;
  readonly #cni: CniCalls;
  readonly #fastCni: CniFastPath;
  readonly #bodies: BodyReader;
  readonly #watch: Watch;
  readonly #unixHttp: Server;
  readonly #tcpHttp: Server;
  readonly #unix: UnixListener;
  readonly #connections = new Map<Duplex, Connection>();
  #tcpConnections = 0;
  #stopping = false;

  constructor(options: ApiServerOptions) {
    this.#options = options;
    this.#limits = { ...defaultLimits, ...options.limits };
    const { backend, log } = options;
    const { bodyTimeout, watchHighWater, watchHeartbeat } = this.#limits;
    this.#cni = new CniCalls(backend, bodyTimeout);
    this.#fastCni = new CniFastPath(
      backend,
      () => !this.#stopping && !this.#full,
      (fd, pid) => this.#unix.adopt(fd, pid),
    );
    this.#bodies = new BodyReader({ one: MAX_WRITE_BODY, all: 8 * MAX_WRITE_BODY, timeout: bodyTimeout });
    this.#watch = new Watch({ backend, log, highWater: watchHighWater, heartbeat: watchHeartbeat });
    this.#unixHttp = this.#http(false);
    this.#tcpHttp = this.#http(true);
    this.#unix = new UnixListener({
      path: options.socketPath,
      log,
      refuses: (pid) => backend.isPod?.(pid) ?? false,
      take: (fd, pid) => this.#fastCni.take(fd, pid),
      onConnection: (socket, pid) => {
        if (this.#track(socket, pid, false)) this.#unixHttp.emit("connection", socket);
      },
    });
  }

  /** Port of the TCP listener, null without one. */
  get port(): number | null {
    const address = this.#tcpHttp.address();
    return typeof address === "object" && address !== null ? address.port : null;
  }

  /** Rejects with what is in the way of listening. */
  async start(): Promise<void> {
    this.#unix.open();
    const { listen } = this.#options;
    if (!listen) return;
    try {
      await new Promise<void>((resolve, reject) => {
        this.#tcpHttp.once("error", reject);
        this.#tcpHttp.listen(listen.port, listen.host, () => {
          this.#tcpHttp.off("error", reject);
          resolve();
        });
      });
    } catch (error) {
      this.#unix.close();
      throw new Error(`api.listen: cannot listen on ${listen.host} port ${listen.port}: ${(error as Error).message}`);
    }
    this.#tcpHttp.on("error", (error) =>
      this.#options.log.error({ error: error.message }, "the API's TCP listener failed"),
    );
  }

  /** Takes no new connections, lets answers under way finish for a moment, then ends all. */
  async stop(): Promise<void> {
    this.#stopping = true;
    this.#unix.close();
    if (this.#tcpHttp.listening) this.#tcpHttp.close();
    this.#watch.stop();
    const until = performance.now() + this.#limits.stopTimeout;
    while (this.#connections.size + this.#fastCni.busy > 0 && performance.now() < until) {
      for (const { socket, busy } of this.#connections.values()) if (busy === 0) socket.end();
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    for (const { socket } of this.#connections.values()) socket.destroy();
    this.#fastCni.close();
  }

  #http(readOnly: boolean): Server {
    const server = createServer(
      { maxHeaderSize: MAX_HEADER_BYTES, keepAliveTimeout: KEEP_ALIVE, requestTimeout: 0, headersTimeout: 0 },
      (request, response) => void this.#serve(request, response, readOnly),
    );
    server.maxHeadersCount = 100;
    if (readOnly) server.on("connection", (socket) => this.#track(socket, null, true));
    server.on("upgrade", (request, socket, head) => this.#upgrade(request, socket, head, readOnly));
    server.on("checkContinue", (request, response) => {
      response.writeContinue();
      void this.#serve(request, response, readOnly);
    });
    server.on("clientError", (error: NodeJS.ErrnoException, socket) => {
      const status = error.code === "HPE_HEADER_OVERFLOW" ? 431 : 400;
      if (socket.writable && error.code !== "ECONNRESET")
        refuse(socket, status, "this is not a request that HTTP knows");
      else socket.destroy();
    });
    return server;
  }

  get #full(): boolean {
    return this.#connections.size + this.#fastCni.connections >= this.#limits.connections;
  }

  /** False when there are too many; the connection is closed then. */
  #track(socket: Socket, pid: number | null, tcp: boolean): boolean {
    const full = this.#full || (tcp && this.#tcpConnections >= this.#limits.tcpConnections);
    if (this.#stopping || full) {
      socket.destroy();
      return false;
    }
    const connection: Connection = { socket, pid, tcp, deadline: null, busy: 0 };
    this.#connections.set(socket, connection);
    if (tcp) this.#tcpConnections++;
    this.#awaitHeaders(connection);
    socket.on("error", () => socket.destroy());
    socket.once("close", () => {
      if (connection.deadline) clearTimeout(connection.deadline);
      this.#connections.delete(socket);
      if (connection.tcp) this.#tcpConnections--;
    });
    return true;
  }

  #awaitHeaders(connection: Connection): void {
    connection.deadline = setTimeout(() => connection.socket.destroy(), this.#limits.headersTimeout);
    connection.deadline.unref();
  }

  async #serve(request: IncomingMessage, response: ServerResponse, readOnly: boolean): Promise<void> {
    const connection = this.#connections.get(request.socket);
    if (connection?.deadline) clearTimeout(connection.deadline);
    // Requests sent ahead of the answers are worked on at once, so their number is limited too.
    if (connection && ++connection.busy > MAX_PIPELINED) return void connection.socket.destroy();
    response.once("close", () => {
      if (connection && --connection.busy === 0 && !connection.socket.destroyed) this.#awaitHeaders(connection);
    });
    response.on("error", () => response.destroy());
    if (this.#stopping) response.setHeader("Connection", "close");
    response.setHeader("Cache-Control", "no-store");
    try {
      if (readOnly) requireLoopbackName(request);
      await this.#dispatch(request, response, readOnly, connection?.pid ?? null);
    } catch (error) {
      this.#failed(request, response, error);
    }
  }

  async #dispatch(
    request: IncomingMessage,
    response: ServerResponse,
    readOnly: boolean,
    pid: number | null,
  ): Promise<void> {
    const { path, query } = target(request);
    if (path === "/v1/cni") {
      if (readOnly) throw new ApiError(403, "CNI calls are served on the unix socket only");
      requireMethod(request, response, "POST");
      return this.#cni.handle(request, response, pid);
    }
    if (Object.hasOwn(writeRoutes, path)) {
      if (readOnly) throw new ApiError(403, "changes are made on the unix socket only");
      requireMethod(request, response, "POST");
      return this.#write(path, request, response, query, pid);
    }
    const found = findRoute(path);
    if (!found) {
      if (path === "/v1/watch") throw new ApiError(426, "this is a WebSocket: connect to it with Upgrade: websocket");
      throw new ApiError(404, `there is nothing at ${path}`);
    }
    requireMethod(request, response, "GET");
    await found.handler({ backend: this.#options.backend, request, response, query, parameter: found.parameter });
  }

  async #write(
    path: string,
    request: IncomingMessage,
    response: ServerResponse,
    query: URLSearchParams,
    pid: number | null,
  ): Promise<void> {
    const { backend } = this.#options;
    const called = (error: string | null) => {
      if (path !== "/v1/plan") backend.called({ request: (request.url ?? path).slice(0, LONGEST_NAMED), pid, error });
    };
    try {
      await writeRoutes[path]({ backend, request, response, query, bodies: this.#bodies });
      called(null);
    } catch (error) {
      called(error instanceof Error ? error.message : String(error));
      throw error;
    }
  }

  #failed(request: IncomingMessage, response: ServerResponse, error: unknown): void {
    const known = error instanceof ApiError;
    if (!known)
      this.#options.log.error(
        { path: request.url?.slice(0, 200), error: error instanceof Error ? error.stack : String(error) },
        "an API request failed",
      );
    // Cut off in the middle: the client must not take a part for the whole.
    if (response.headersSent || response.destroyed) return void response.destroy();
    // What is still to come of the request is not worth reading.
    if (!request.complete) response.setHeader("Connection", "close");
    sendJson(response, known ? error.status : 500, {
      error: known ? error.message : "the request failed inside of the daemon; its log says why",
    });
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer, readOnly: boolean): void {
    const connection = this.#connections.get(socket);
    if (connection?.deadline) clearTimeout(connection.deadline);
    socket.on("error", () => socket.destroy());
    try {
      if (readOnly) {
        requireLoopbackName(request);
        requireSameOrigin(request);
      }
      const { path, query } = target(request);
      if (path !== "/v1/watch") throw new ApiError(404, `there is no WebSocket at ${path}`);
      if (this.#stopping) throw new ApiError(503, "the daemon stops");
      only(query, ["types"]);
      this.#watch.upgrade(request, socket, head, query);
    } catch (error) {
      refuse(socket, error instanceof ApiError ? error.status : 400, (error as Error).message);
    }
  }
}

function target(request: IncomingMessage): { path: string; query: URLSearchParams } {
  const url = request.url ?? "";
  if (!url.startsWith("/")) throw new ApiError(400, "the request's target must be a path");
  const mark = url.indexOf("?");
  const path = mark < 0 ? url : url.slice(0, mark);
  try {
    decodeURIComponent(path);
  } catch {
    throw new ApiError(400, "the path is wrongly encoded");
  }
  return { path, query: new URLSearchParams(mark < 0 ? "" : url.slice(mark + 1)) };
}

function requireMethod(request: IncomingMessage, response: ServerResponse, method: string): void {
  if (request.method === method) return;
  response.setHeader("Allow", method);
  throw new ApiError(405, `only ${method} is allowed here`);
}

const LOOPBACK_NAME = /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?$/i;

/** Web pages that have their own name resolve to 127.0.0.1 must not be able to read the API. */
function requireLoopbackName(request: IncomingMessage): void {
  if (request.headers.host === undefined || LOOPBACK_NAME.test(request.headers.host)) return;
  throw new ApiError(403, "the Host header must name a loopback address");
}

/** Browsers let any page open a WebSocket to anywhere; the Origin header tells which page. */
function requireSameOrigin(request: IncomingMessage): void {
  const { origin, host } = request.headers;
  if (origin === undefined || origin === `http://${host}`) return;
  throw new ApiError(403, "a page of another origin may not watch");
}

/** An answer on a connection that node:http does not handle (any more). */
function refuse(socket: Duplex, status: number, message: string): void {
  const body = `${JSON.stringify({ error: message })}\n`;
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nConnection: close\r\nContent-Type: application/json\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
  setTimeout(() => socket.destroy(), 1000).unref();
}
