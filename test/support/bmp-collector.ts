// A BMP monitoring station for tests (RFC 7854, RFC 9069): listens, decodes by itself and shares nothing with the code under
// test, and keeps what a station would: which peers are up, and what is in each of their RIB views.
import { createServer, type Server, type Socket } from "node:net";

export interface BmpPeerHeader {
  readonly type: number;
  readonly flags: number;
  readonly distinguisher: string;
  readonly address: string;
  readonly asn: number;
  readonly routerId: string;
  readonly seconds: number;
  readonly microseconds: number;
}

export interface BmpRoute {
  readonly asPath: string;
  readonly nextHop: string;
  readonly localPref: number | null;
  readonly med: number | null;
  readonly communities: readonly string[];
  readonly codes: readonly number[];
}

export interface BmpMessage {
  readonly type: number;
  readonly octets: Buffer;
  readonly peer: BmpPeerHeader | null;
  /** After the headers. */
  readonly body: Buffer;
}

export interface PeerUp {
  readonly peer: BmpPeerHeader;
  readonly localAddress: string;
  readonly localPort: number;
  readonly remotePort: number;
  readonly sentOpen: Buffer;
  readonly receivedOpen: Buffer;
  readonly information: readonly { readonly type: number; readonly text: string }[];
}

export interface PeerDown {
  readonly peer: BmpPeerHeader;
  readonly reason: number;
  readonly data: Buffer;
}

/** `type distinguisher address`, and ` post` after policy. */
export function viewName({ type, flags, distinguisher, address }: BmpPeerHeader): string {
  return `${type} ${distinguisher} ${address}${type !== 3 && (flags & 0x40) !== 0 ? " post" : ""}`;
}

/** What one connection has told. */
export class BmpStream {
  readonly messages: BmpMessage[] = [];
  readonly ups: PeerUp[] = [];
  readonly downs: PeerDown[] = [];
  readonly statistics: { readonly peer: BmpPeerHeader; readonly values: ReadonlyMap<string, bigint> }[] = [];
  readonly information: { readonly type: number; readonly text: string }[] = [];
  readonly endOfRibs: string[] = [];
  /** View -> prefix -> route; views of peers that are up. */
  readonly views = new Map<string, Map<string, BmpRoute>>();
  terminated: number | null = null;
  #buffer: Buffer = Buffer.alloc(0);
  /** By peer: families whose prefixes have path identifiers. */
  readonly #addPath = new Map<string, (4 | 6)[]>();
  /** Flags of the last Route Monitoring message by view. */
  readonly flags = new Map<string, number>();
  octets = 0;

  push(chunk: Buffer): void {
    this.octets += chunk.length;
    this.#buffer = this.#buffer.length === 0 ? chunk : Buffer.concat([this.#buffer, chunk]);
    let at = 0;
    while (this.#buffer.length - at >= 6) {
      if (this.#buffer[at] !== 3) throw new Error(`BMP version ${this.#buffer[at]}`);
      const length = this.#buffer.readUInt32BE(at + 1);
      if (length < 6) throw new Error(`BMP message of ${length} octets`);
      if (this.#buffer.length - at < length) break;
      this.#message(this.#buffer.subarray(at, at + length));
      at += length;
    }
    this.#buffer = this.#buffer.subarray(at);
  }

  view(name: string): ReadonlyMap<string, BmpRoute> {
    return this.views.get(name) ?? new Map();
  }

  #message(octets: Buffer): void {
    const type = octets[5];
    const peer = type === 4 || type === 5 ? null : readPeer(octets);
    const body = octets.subarray(peer ? 48 : 6);
    this.messages.push({ type, octets, peer, body });
    if (this.messages.length === 1 && type !== 4) throw new Error("the first message is not Initiation");
    if (this.terminated !== null) throw new Error("a message after Termination");
    if (type === 4) this.information.push(...readInformation(body));
    else if (type === 5) this.#termination(body);
    else if (peer) this.#ofPeer(type, peer, body);
  }

  #termination(body: Buffer): void {
    for (let at = 0; at < body.length; at += 4 + body.readUInt16BE(at + 2))
      if (body.readUInt16BE(at) === 1) this.terminated = body.readUInt16BE(at + 4);
  }

  #ofPeer(type: number, peer: BmpPeerHeader, body: Buffer): void {
    const name = viewName(peer);
    const isUp = this.views.has(name.replace(" post", ""));
    if ((type === 3) === isUp) throw new Error(`message ${type} about ${name}, which is ${isUp ? "up" : "down"}`);
    switch (type) {
      case 0:
        this.flags.set(name, peer.flags);
        this.#update(name, peer, body);
        break;
      case 1:
        this.statistics.push({ peer, values: readStatistics(body) });
        break;
      case 2:
        this.downs.push({ peer, reason: body[0], data: Buffer.from(body.subarray(1)) });
        this.views.delete(name);
        this.views.delete(`${name} post`);
        break;
      case 3: {
        const sentEnd = 20 + body.readUInt16BE(20 + 16);
        const receivedEnd = sentEnd + body.readUInt16BE(sentEnd + 16);
        this.ups.push({
          peer,
          localAddress: readAddress(body.subarray(0, 16), (peer.flags & 0x80) !== 0 && peer.type !== 3),
          localPort: body.readUInt16BE(16),
          remotePort: body.readUInt16BE(18),
          sentOpen: Buffer.from(body.subarray(20, sentEnd)),
          receivedOpen: Buffer.from(body.subarray(sentEnd, receivedEnd)),
          information: readInformation(body.subarray(receivedEnd)),
        });
        this.views.set(name, new Map());
        this.#addPath.set(name, addPathFamilies(body.subarray(sentEnd, receivedEnd)));
        if (peer.type !== 3) this.views.set(`${name} post`, new Map());
        break;
      }
      default:
        throw new Error(`BMP message type ${type}`);
    }
  }

  #update(name: string, { flags, type }: BmpPeerHeader, update: Buffer): void {
    const view = this.views.get(name) as Map<string, BmpRoute>;
    if (update.readUInt16BE(16) !== update.length || update[18] !== 2) throw new Error("not one UPDATE");
    const withdrawnEnd = 21 + update.readUInt16BE(19);
    const attributesEnd = withdrawnEnd + 2 + update.readUInt16BE(withdrawnEnd);
    const as4 = type === 3 || (flags & 0x20) === 0;
    const withIds = (family: 4 | 6) => this.#addPath.get(name.replace(" post", ""))?.includes(family) ?? false;
    for (const prefix of readPrefixes(update.subarray(21, withdrawnEnd), 4, withIds(4))) withdraw(view, prefix, name);
    const announced = readPrefixes(update.subarray(attributesEnd), 4, withIds(4));
    const attributes = readAttributes(update.subarray(withdrawnEnd + 2, attributesEnd));
    const reach = attributes.get(14);
    const unreach = attributes.get(15);
    if (update.length === 23) this.endOfRibs.push(`${name} 4`);
    if (unreach?.length === 3 && !reach) this.endOfRibs.push(`${name} ${unreach[1] === 2 ? 6 : 4}`);
    const familyOf = (value: Buffer) => (value[1] === 2 ? 6 : 4);
    if (unreach) {
      const family = familyOf(unreach);
      for (const prefix of readPrefixes(unreach.subarray(3), family, withIds(family))) withdraw(view, prefix, name);
    }
    if (announced.length > 0) {
      const route = readRoute(attributes, readAddress(attributes.get(3) ?? Buffer.alloc(0), false), as4);
      for (const prefix of announced) view.set(prefix, route);
    }
    if (reach) {
      const nextHop = reach.subarray(4, 4 + reach[3]);
      const route = readRoute(attributes, readAddress(nextHop.subarray(0, 16), nextHop.length >= 16), as4);
      const family = familyOf(reach);
      const prefixes = readPrefixes(reach.subarray(5 + reach[3]), family, withIds(family));
      for (const prefix of prefixes) view.set(prefix, route);
    }
  }
}

/** Accepts one connection after the other; each has its stream. */
export class BmpCollector {
  readonly streams: BmpStream[] = [];
  readonly errors: Error[] = [];
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** False: connections are accepted, and nothing is read. */
  reads = true;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async listen(port = 0, host = "127.0.0.1"): Promise<BmpCollector> {
    const server = createServer();
    const collector = new BmpCollector(server);
    server.on("connection", (socket) => collector.#accept(socket));
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(port, host, resolve);
    });
    return collector;
  }

  get port(): number {
    const address = this.#server.address();
    return typeof address === "object" && address ? address.port : 0;
  }

  /** The newest connection's. */
  get stream(): BmpStream {
    const stream = this.streams.at(-1);
    if (!stream) throw new Error("no connection to the collector yet");
    if (this.errors.length > 0) throw this.errors[0];
    return stream;
  }

  /** Reads again. */
  resume(): void {
    this.reads = true;
    for (const socket of this.#sockets) socket.resume();
  }

  hangUp(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async close(): Promise<void> {
    this.hangUp();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #accept(socket: Socket): void {
    const stream = new BmpStream();
    this.streams.push(stream);
    this.#sockets.add(socket);
    socket.on("close", () => this.#sockets.delete(socket));
    socket.on("error", () => {});
    socket.on("data", (chunk: Buffer) => {
      try {
        stream.push(chunk);
      } catch (error) {
        this.errors.push(error as Error);
        socket.destroy();
      }
    });
    if (!this.reads) socket.pause();
  }
}

/** Those that the neighbour says it sends several paths of (RFC 7911 §4); that we take them has to be in our OPEN. */
function addPathFamilies(open: Buffer): (4 | 6)[] {
  const families: (4 | 6)[] = [];
  for (let at = 29; at < open.length; ) {
    const end = at + 2 + open[at + 1];
    for (let code = at + 2; code < end; code += 2 + open[code + 1])
      if (open[code] === 69)
        for (let entry = code + 2; entry < code + 2 + open[code + 1]; entry += 4)
          if ((open[entry + 3] & 2) !== 0) families.push(open[entry + 1] === 2 ? 6 : 4);
    at = end;
  }
  return families;
}

function withdraw(view: Map<string, BmpRoute>, prefix: string, name: string): void {
  if (!view.delete(prefix)) throw new Error(`${prefix} withdrawn from ${name}, where it is not`);
}

function readPeer(octets: Buffer): BmpPeerHeader {
  const [type, flags] = [octets[6], octets[7]];
  return {
    type,
    flags,
    distinguisher: octets.readBigUInt64BE(8).toString(),
    address: readAddress(octets.subarray(16, 32), type !== 3 && (flags & 0x80) !== 0),
    asn: octets.readUInt32BE(32),
    routerId: readAddress(octets.subarray(36, 40), false),
    seconds: octets.readUInt32BE(40),
    microseconds: octets.readUInt32BE(44),
  };
}

/** IPv6 in full groups; IPv4 from the last four octets. */
function readAddress(octets: Buffer, ipv6: boolean): string {
  if (!ipv6) return [...octets.subarray(-4)].join(".");
  return Array.from({ length: 8 }, (_, i) => octets.readUInt16BE(i * 2).toString(16)).join(":");
}

function readInformation(octets: Buffer): { type: number; text: string }[] {
  const entries = [];
  for (let at = 0; at < octets.length; ) {
    const end = at + 4 + octets.readUInt16BE(at + 2);
    entries.push({ type: octets.readUInt16BE(at), text: octets.subarray(at + 4, end).toString() });
    at = end;
  }
  return entries;
}

/** `type`, or `type/afi/safi`. */
function readStatistics(octets: Buffer): Map<string, bigint> {
  const values = new Map<string, bigint>();
  let at = 4;
  for (let left = octets.readUInt32BE(0); left > 0; left--) {
    const type = octets.readUInt16BE(at);
    const length = octets.readUInt16BE(at + 2);
    const value = octets.subarray(at + 4, at + 4 + length);
    if (length === 4) values.set(`${type}`, BigInt(value.readUInt32BE(0)));
    else if (length === 8) values.set(`${type}`, value.readBigUInt64BE(0));
    else if (length === 11) values.set(`${type}/${value.readUInt16BE(0)}/${value[2]}`, value.readBigUInt64BE(3));
    else throw new Error(`statistic ${type} of ${length} octets`);
    at += 4 + length;
  }
  if (at !== octets.length) throw new Error("octets behind the statistics");
  return values;
}

/** `prefix`, or `prefix id` with path identifiers. */
function readPrefixes(octets: Buffer, family: 4 | 6, withIds: boolean): string[] {
  const prefixes: string[] = [];
  for (let at = 0; at < octets.length; ) {
    const id = withIds ? ` ${octets.readUInt32BE(at)}` : "";
    if (withIds) at += 4;
    const length = octets[at++];
    const bytes = Buffer.alloc(family === 4 ? 4 : 16);
    const count = Math.ceil(length / 8);
    octets.copy(bytes, 0, at, at + count);
    at += count;
    if (at > octets.length) throw new Error("a prefix reaches past the end");
    prefixes.push(`${readAddress(bytes, family === 6)}/${length}${id}`);
  }
  return prefixes;
}

function readAttributes(octets: Buffer): Map<number, Buffer> {
  const attributes = new Map<number, Buffer>();
  for (let at = 0; at < octets.length; ) {
    const extended = (octets[at] & 0x10) !== 0;
    const start = at + (extended ? 4 : 3);
    const end = start + (extended ? octets.readUInt16BE(at + 2) : octets[at + 2]);
    if (end > octets.length) throw new Error("an attribute reaches past the end");
    if (attributes.has(octets[at + 1])) throw new Error(`attribute ${octets[at + 1]} twice`);
    attributes.set(octets[at + 1], octets.subarray(start, end));
    at = end;
  }
  return attributes;
}

function readRoute(attributes: Map<number, Buffer>, nextHop: string, as4: boolean): BmpRoute {
  for (const code of [1, 2]) if (!attributes.has(code)) throw new Error(`attribute ${code} is missing`);
  const path = attributes.get(2) as Buffer;
  const size = as4 ? 4 : 2;
  const words: string[] = [];
  for (let at = 0; at < path.length; ) {
    const count = path[at + 1];
    const asns = Array.from({ length: count }, (_, i) => path.readUIntBE(at + 2 + i * size, size));
    words.push(path[at] === 1 ? `{${asns.join(",")}}` : asns.join(" "));
    at += 2 + count * size;
  }
  const communities = attributes.get(8) ?? Buffer.alloc(0);
  return {
    asPath: words.join(" "),
    nextHop,
    localPref: attributes.get(5)?.readUInt32BE(0) ?? null,
    med: attributes.get(4)?.readUInt32BE(0) ?? null,
    communities: Array.from(
      { length: communities.length / 4 },
      (_, i) => `${communities.readUInt16BE(i * 4)}:${communities.readUInt16BE(i * 4 + 2)}`,
    ),
    codes: [...attributes.keys()],
  };
}
