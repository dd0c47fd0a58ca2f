// GET /v1/watch: events over WebSocket. What waits for a client is bounded: above the high-water mark its events are
// dropped and counted; when it has caught up it gets {"type":"resync","dropped":n} and must read the lists again.
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { type WebSocket, WebSocketServer } from "ws";
import type { Log } from "../../net/log.ts";
import { eventTypes, type WatchEvent } from "./events.ts";
import { type ApiBackend, ApiError } from "./types.ts";

const MAX_CLIENTS = 64;
/** Nothing is expected from a client but pings and a close. */
const MAX_MESSAGE = 1024;

export interface WatchOptions {
  readonly backend: ApiBackend;
  readonly log: Log;
  /** Bytes that may wait for a client before its events are dropped. */
  readonly highWater: number;
  /** Milliseconds between pings; a client that answers none is disconnected. */
  readonly heartbeat: number;
}

interface Client {
  readonly socket: WebSocket;
  /** Null: all. */
  readonly types: ReadonlySet<string> | null;
  dropped: number;
  alive: boolean;
}

export class Watch {
  readonly #options: WatchOptions;
  readonly #server = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload: MAX_MESSAGE,
    // ws would queue an answer for each ping of a client that reads nothing.
    autoPong: false,
  });
  readonly #clients = new Set<Client>();
  #unsubscribe: (() => void) | null = null;
  /** Somebody watches the kernel, and so gets every single operation. */
  #detailed = false;
  #heartbeat: NodeJS.Timeout | null = null;

  constructor(options: WatchOptions) {
    this.#options = options;
  }

  get clients(): number {
    return this.#clients.size;
  }

  /** Throws ApiError when the request cannot be served; the socket is untouched then. */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer, query: URLSearchParams): void {
    const types = selectTypes(query);
    if (this.#clients.size >= MAX_CLIENTS) throw new ApiError(503, `there are ${MAX_CLIENTS} watchers already`);
    this.#server.handleUpgrade(request, socket, head, (client) =>
      this.#add({ socket: client, types, dropped: 0, alive: true }),
    );
  }

  stop(): void {
    for (const { socket } of this.#clients) {
      socket.close(1001, "the daemon stops");
      setTimeout(() => socket.terminate(), 500).unref();
    }
  }

  #add(client: Client): void {
    const { socket } = client;
    socket.on("pong", () => {
      client.alive = true;
    });
    socket.on("ping", (data) => {
      client.alive = true;
      if (socket.bufferedAmount < this.#options.highWater) socket.pong(data);
    });
    // A fault of the client's (too large a message, broken frames) closes the connection; there is nothing else to do.
    socket.on("error", (error) => this.#options.log.debug({ error: error.message }, "a watcher's connection failed"));
    socket.on("close", () => this.#remove(client));
    this.#clients.add(client);
    this.#subscribe();
    if (this.#clients.size > 1) return;
    this.#heartbeat = setInterval(() => this.#beat(), this.#options.heartbeat);
    this.#heartbeat.unref();
  }

  #remove(client: Client): void {
    this.#clients.delete(client);
    this.#subscribe();
    if (this.#clients.size > 0) return;
    if (this.#heartbeat) clearInterval(this.#heartbeat);
    this.#heartbeat = null;
  }

  /** Brings the subscription in line with what the clients want. */
  #subscribe(): void {
    const detailed = [...this.#clients].some(wantsKernel);
    if (this.#unsubscribe && this.#clients.size > 0 && detailed === this.#detailed) return;
    this.#unsubscribe?.();
    this.#unsubscribe = null;
    this.#detailed = detailed;
    if (this.#clients.size === 0) return;
    const event = (event: WatchEvent) => this.#broadcast(event);
    const lost = (count: number) => this.#lost(count);
    this.#unsubscribe = this.#options.backend.onEvent(detailed ? { event, lost } : { event });
  }

  #lost(count: number): void {
    for (const client of this.#clients) {
      if (!wantsKernel(client)) continue;
      const waiting = client.dropped > 0;
      client.dropped += count;
      if (!waiting && client.socket.bufferedAmount <= this.#options.highWater) this.#resync(client);
    }
  }

  #broadcast(event: WatchEvent): void {
    let text: string | null = null;
    for (const client of this.#clients) {
      if (client.types && !client.types.has(event.type)) continue;
      if (client.dropped > 0 || client.socket.bufferedAmount > this.#options.highWater) {
        client.dropped++;
        continue;
      }
      text ??= JSON.stringify(event);
      this.#send(client, text);
    }
  }

  #send(client: Client, text: string): void {
    client.socket.send(text, (error) => {
      if (error || client.dropped === 0 || client.socket.bufferedAmount > this.#options.highWater / 4) return;
      this.#resync(client);
    });
  }

  #resync(client: Client): void {
    const event = { time: new Date().toISOString(), type: "resync", dropped: client.dropped };
    client.dropped = 0;
    this.#send(client, JSON.stringify(event));
  }

  #beat(): void {
    for (const client of this.#clients) {
      if (!client.alive) {
        client.socket.terminate();
        continue;
      }
      client.alive = false;
      client.socket.ping();
    }
  }
}

const wantsKernel = ({ types }: Client) => types === null || types.has("kernel");

/** `?types=session,pod`; nothing: all. */
function selectTypes(query: URLSearchParams): ReadonlySet<string> | null {
  const text = query.get("types");
  if (text === null) return null;
  const types = text.split(",");
  const unknown = types.find((type) => !(eventTypes as readonly string[]).includes(type));
  if (unknown !== undefined)
    throw new ApiError(400, `unknown event type ${unknown}; there are ${eventTypes.join(", ")}`);
  return new Set(types);
}
