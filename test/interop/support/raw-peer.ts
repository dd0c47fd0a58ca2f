// A neighbour made of bare sockets, which does what no real daemon would. The calling process has to be in the
// neighbour's namespace (Node.enter). Its messages are written by hand, independent of the codecs under test.
import { connect, type Socket } from "node:net";
import { waitFor } from "./wait.ts";

export const KEEPALIVE = message(4);

export function message(type: number, body: ArrayLike<number> = [], length = 19 + body.length): Buffer {
  const bytes = Buffer.alloc(19 + body.length, 0xff);
  bytes.writeUInt16BE(length, 16);
  bytes[18] = type;
  bytes.set(body, 19);
  return bytes;
}

/** IPv4 unicast (unless `families` says otherwise), route refresh, 4-octet AS; `more`: whole capabilities. */
export function openMessage({
  asn = 65500,
  holdTime = 90,
  routerId = [6, 6, 6, 6],
  families = [1],
  more = [] as number[],
} = {}): Buffer {
  const capabilities = [
    ...families.flatMap((afi) => [1, 4, 0, afi, 0, 1]),
    ...[2, 0, 65, 4, 0, 0, asn >> 8, asn & 255],
    ...more,
  ];
  const parameters = [2, capabilities.length, ...capabilities];
  return message(1, [4, asn >> 8, asn & 255, 0, holdTime, ...routerId, parameters.length, ...parameters]);
}

/** Attributes of a route: origin, AS path, next hop; more as whole TLVs. */
export function attributes({ asn = 65500, nextHop = [10, 2, 0, 2], more = [] as number[] } = {}): number[] {
  return [0x40, 1, 1, 0, 0x40, 2, 6, 2, 1, 0, 0, asn >> 8, asn & 255, 0x40, 3, 4, ...nextHop, ...more];
}

/** COMMUNITIES with `count` values that differ with `seed`. */
export function communities(count: number, seed: number): number[] {
  const values = Array.from({ length: count }, (_, i) => [seed >> 8, seed, i >> 8, i].map((octet) => octet & 255));
  return [0xd0, 8, (count * 4) >> 8, (count * 4) & 255, ...values.flat()];
}

/** Announces the /32s number `from` to `from + count` of 20.0.0.0/6. */
export function announce(from: number, count: number, attributesOf: number[] = attributes()): Buffer {
  const nlri = Array.from({ length: count }, (_, i) => prefixOctets(from + i)).flat();
  return message(2, [0, 0, attributesOf.length >> 8, attributesOf.length & 255, ...attributesOf, ...nlri]);
}

export function withdraw(from: number, count: number): Buffer {
  const routes = Array.from({ length: count }, (_, i) => prefixOctets(from + i)).flat();
  return message(2, [routes.length >> 8, routes.length & 255, ...routes, 0, 0]);
}

const prefixOctets = (index: number): number[] => [
  32,
  20 + (index >>> 24),
  (index >> 16) & 255,
  (index >> 8) & 255,
  index & 255,
];

export class RawPeer {
  readonly socket: Socket;
  readonly received: { type: number; body: Buffer }[] = [];
  closed = false;
  #buffer: Buffer = Buffer.alloc(0);

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on("error", () => {});
    socket.on("close", () => {
      this.closed = true;
    });
    socket.on("data", (chunk: Buffer) => this.#data(chunk));
  }

  static async connect(host: string, from: string): Promise<RawPeer> {
    const socket = connect({ host, port: 179, localAddress: from });
    const peer = new RawPeer(socket);
    await new Promise<void>((resolve, reject) => socket.once("connect", resolve).once("error", reject));
    return peer;
  }

  /** Connects and exchanges OPENs. */
  static async established(host: string, from: string, open = openMessage()): Promise<RawPeer> {
    const peer = await RawPeer.connect(host, from);
    peer.send(open, KEEPALIVE);
    await waitFor(() => peer.received.some(({ type }) => type === 4), `a KEEPALIVE for ${from}`, {
      interval: 5,
      timeout: 8_000,
    });
    return peer;
  }

  send(...messages: Uint8Array[]): void {
    for (const bytes of messages) this.socket.write(bytes);
  }

  /** Resolves when the kernel has taken everything. */
  drained(): Promise<unknown> {
    return waitFor(() => this.closed || this.socket.writableLength === 0, "the socket to drain", {
      interval: 5,
      timeout: 8_000,
    });
  }

  /** `code/subcode` of the NOTIFICATION received, null when the connection was closed without. */
  async notification(): Promise<string | null> {
    const find = () => this.received.find(({ type }) => type === 3);
    await waitFor(() => this.closed || find(), "a NOTIFICATION or the end of the connection", {
      interval: 5,
      timeout: 8_000,
    });
    const body = find()?.body;
    return body ? `${body[0]}/${body[1]}` : null;
  }

  close(): void {
    this.socket.destroy();
  }

  #data(chunk: Buffer): void {
    this.#buffer = this.#buffer.length === 0 ? chunk : Buffer.concat([this.#buffer, chunk]);
    let at = 0;
    while (this.#buffer.length - at >= 19) {
      const length = this.#buffer.readUInt16BE(at + 16);
      if (this.#buffer.length - at < length) break;
      this.received.push({ type: this.#buffer[at + 18], body: this.#buffer.subarray(at + 19, at + length) });
      at += length;
    }
    this.#buffer = this.#buffer.subarray(at);
  }
}
