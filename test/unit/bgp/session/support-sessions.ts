// Two real session managers, or one and a raw TCP neighbour, over loopback on unprivileged ports.
import { connect, createServer, type Server, type Socket } from "node:net";
import type { DynamicHost } from "../../../../bgp/session/dynamic-peers.ts";
import { SessionManager } from "../../../../bgp/session/session-manager.ts";
import type {
  EstablishedSession,
  PeerOptions,
  PeerStatus,
  SessionDown,
  SessionHandler,
  SessionState,
} from "../../../../bgp/session/types.ts";
import type { Family } from "../../../../net/address.ts";
import { type Clock, systemClock } from "../../../../net/clock.ts";
import type { Log } from "../../../../net/log.ts";
import { waitFor } from "./support.ts";

/** Keeps what it was told. */
export class RecordingHandler implements SessionHandler {
  readonly sessions: EstablishedSession[] = [];
  readonly updates: Uint8Array[] = [];
  readonly refreshes: Family[] = [];
  readonly refreshMarkers: string[] = [];
  readonly downs: SessionDown[] = [];
  readonly states: string[] = [];
  onEstablished: (session: EstablishedSession) => void = () => {};
  onUpdate: (session: EstablishedSession, body: Uint8Array) => void = () => {};
  onWritable: (session: EstablishedSession) => void = () => {};

  established(session: EstablishedSession): void {
    this.sessions.push(session);
    this.onEstablished(session);
  }

  update(session: EstablishedSession, buffer: Uint8Array, start: number, end: number): void {
    const body = buffer.slice(start, end);
    this.updates.push(body);
    this.onUpdate(session, body);
  }

  routeRefresh(_session: EstablishedSession, family: Family): void {
    this.refreshes.push(family);
  }

  refreshMarker(_session: EstablishedSession, family: Family, marker: "begin" | "end"): void {
    this.refreshMarkers.push(`${marker} ${family}`);
  }

  writable(session: EstablishedSession): void {
    this.onWritable(session);
  }

  down(_session: EstablishedSession, down: SessionDown): void {
    this.downs.push(down);
  }

  stateChanged(peer: PeerOptions, from: SessionState, to: SessionState): void {
    this.states.push(`${peer.name} ${from}>${to}`);
  }
}

export class RecordingLog implements Log {
  readonly lines: { level: string; fields: object; message: string }[] = [];
  debug(fields: object, message: string): void {
    this.lines.push({ level: "debug", fields, message });
  }
  info(fields: object, message: string): void {
    this.lines.push({ level: "info", fields, message });
  }
  warn(fields: object, message: string): void {
    this.lines.push({ level: "warn", fields, message });
  }
  error(fields: object, message: string): void {
    this.lines.push({ level: "error", fields, message });
  }
}

export interface Speaker {
  readonly manager: SessionManager;
  readonly handler: RecordingHandler;
  readonly log: RecordingLog;
  readonly address: Uint8Array;
  readonly port: number;
  status(name?: string): PeerStatus;
}

const running: SessionManager[] = [];

/** Listens on a free port of `address`. */
export async function startSpeaker(
  address: Uint8Array,
  { clock = systemClock, listen = true, dynamic }: { clock?: Clock; listen?: boolean; dynamic?: DynamicHost } = {},
): Promise<Speaker> {
  const handler = new RecordingHandler();
  const log = new RecordingLog();
  const manager = new SessionManager({
    handler,
    clock,
    log,
    listenPort: listen ? 0 : null,
    listenAddresses: [address],
    dynamic,
  });
  await manager.start();
  running.push(manager);
  return {
    manager,
    handler,
    log,
    address,
    port: manager.port ?? 0,
    status(name) {
      const all = manager.status();
      const found = name === undefined ? all[0] : all.find((peer) => peer.name === name);
      if (!found) throw new Error(`no peer ${name}`);
      return found;
    },
  };
}

export async function stopSpeakers(): Promise<void> {
  for (const peer of rawPeers.splice(0)) peer.close();
  await Promise.all(running.splice(0).map((manager) => manager.stop("restart")));
}

export const isUp = (speaker: Speaker, name?: string) => () => speaker.status(name).state === "Established";

export const bothUp = (a: Speaker, b: Speaker): Promise<void> =>
  waitFor(
    () => isUp(a)() && isUp(b)(),
    `both Established; ${JSON.stringify([a.status().state, a.status().lastError, b.status().state, b.status().lastError])}`,
  );

// ---- messages by hand, so that they are independent of the codecs ----

export function message(type: number, body: readonly number[] = [], length = 19 + body.length): Uint8Array {
  return Uint8Array.from([...new Array(16).fill(0xff), length >> 8, length & 255, type, ...body]);
}

export const keepaliveMessage = message(4);

export function openMessage({
  version = 4,
  asn = 65002,
  holdTime = 90,
  routerId = [10, 0, 0, 2],
  capabilities = [1, 4, 0, 1, 0, 1, 2, 0, 65, 4, 0, 0, asn >> 8, asn & 255],
}: {
  version?: number;
  asn?: number;
  holdTime?: number;
  routerId?: number[];
  capabilities?: number[];
} = {}): Uint8Array {
  const parameters = capabilities.length > 0 ? [2, capabilities.length, ...capabilities] : [];
  return message(1, [
    version,
    asn >> 8,
    asn & 255,
    holdTime >> 8,
    holdTime & 255,
    ...routerId,
    parameters.length,
    ...parameters,
  ]);
}

const rawPeers: RawPeer[] = [];

/** A neighbour that says exactly what it is told to. */
export class RawPeer {
  readonly socket: Socket;
  readonly received: { type: number; body: Uint8Array }[] = [];
  closed = false;
  #buffer = new Uint8Array(0);

  constructor(socket: Socket) {
    this.socket = socket;
    rawPeers.push(this);
    socket.on("error", () => {});
    socket.on("close", () => {
      this.closed = true;
    });
    socket.on("data", (chunk: Uint8Array) => this.#data(chunk));
  }

  static async connect(to: Speaker, from = "127.0.0.3"): Promise<RawPeer> {
    const socket = connect({ host: "127.0.0.1", port: to.port, localAddress: from });
    const peer = new RawPeer(socket);
    await new Promise<void>((resolve, reject) => socket.once("connect", resolve).once("error", reject));
    return peer;
  }

  /** Connects and goes through the handshake. */
  static async established(to: Speaker, open: Uint8Array = openMessage(), from?: string): Promise<RawPeer> {
    const peer = await RawPeer.connect(to, from);
    peer.send(open, keepaliveMessage);
    await waitFor(() => peer.received.some(({ type }) => type === 4), "a KEEPALIVE from us");
    return peer;
  }

  send(...messages: Uint8Array[]): void {
    for (const bytes of messages) this.socket.write(bytes);
  }

  /** `code/subcode` of the NOTIFICATION received, once there is one or the connection is closed. */
  async notification(): Promise<string | null> {
    const find = () => this.received.find(({ type }) => type === 3);
    await waitFor(() => this.closed || find() !== undefined, "a NOTIFICATION or the end of the connection");
    const found = find();
    return found ? `${found.body[0]}/${found.body[1]}` : null;
  }

  close(): void {
    this.socket.destroy();
  }

  #data(chunk: Uint8Array): void {
    this.#buffer = Uint8Array.from([...this.#buffer, ...chunk]);
    while (this.#buffer.length >= 19) {
      const length = (this.#buffer[16] << 8) | this.#buffer[17];
      if (this.#buffer.length < length) break;
      this.received.push({ type: this.#buffer[18], body: this.#buffer.slice(19, length) });
      this.#buffer = this.#buffer.slice(length);
    }
  }
}

/** A raw neighbour that is connected to; each connection becomes a RawPeer. */
export async function rawListener(
  host: string,
  accepted: (peer: RawPeer) => void,
): Promise<{ server: Server; port: number }> {
  const server = createServer((socket) => accepted(new RawPeer(socket)));
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  const address = server.address();
  return { server, port: typeof address === "object" && address ? address.port : 0 };
}
