// Frames as an attacker in a pod would make them, byte by byte, and a way to put them on the wire inside a namespace: a
// packet socket, on which the kernel checks nothing.

import { parseAddress } from "../../../net/address.ts";
import { check, native } from "../../../net/native.ts";

const AF_INET = 2;
const AF_INET6 = 10;
const AF_PACKET = 17;
const SOCK_DGRAM = 2;
const SOCK_RAW = 3;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const ETH_P_ALL = 3;
const IPPROTO_IPV6 = 41;
const IPV6_V6ONLY = 26;

const ETHERTYPE = { 4: 0x0800, 6: 0x86dd, arp: 0x0806 } as const;
export const Protocol = { icmp: 1, igmp: 2, tcp: 6, udp: 17, routing: 43, fragment: 44, icmp6: 58 } as const;
/** Of every host end. */
export const GATEWAY_MAC = "ee:ee:ee:ee:ee:ee";

const be16 = (value: number) => [(value >> 8) & 255, value & 255];
const be32 = (value: number) => [...be16(value >>> 16), ...be16(value & 0xffff)];
export const mac = (text: string) => text.split(":").map((part) => Number.parseInt(part, 16));
export const ip = (text: string) => [...parseAddress(text)!];

function sum(bytes: readonly number[]): number {
  let total = 0;
  for (let i = 0; i < bytes.length; i += 2) total += (bytes[i] << 8) | (bytes[i + 1] ?? 0);
  while (total > 0xffff) total = (total & 0xffff) + (total >>> 16);
  return ~total & 0xffff;
}

function transport(
  source: readonly number[],
  destination: readonly number[],
  protocol: number,
  body: readonly number[],
  at: number,
): number[] {
  const pseudo =
    source.length === 4
      ? [...source, ...destination, 0, protocol, ...be16(body.length)]
      : [...source, ...destination, ...be32(body.length), 0, 0, 0, protocol];
  const bytes = [...body];
  const [high, low] = be16(sum([...pseudo, ...body]));
  bytes[at] = high;
  bytes[at + 1] = low;
  return bytes;
}

export interface PacketOptions {
  readonly ttl?: number;
  /** IPv4: a multiple of four octets. */
  readonly options?: readonly number[];
  /** IPv6: extension headers before the payload, each whole but for its next header, which is filled in. */
  readonly extensions?: readonly { readonly type: number; readonly bytes: readonly number[] }[];
  /** IPv4: flags and offset of a fragment. */
  readonly fragment?: number;
}

/** A packet without its Ethernet header; `payload` is what follows all IP headers, as it is. */
export function packet(
  source: string,
  destination: string,
  protocol: number,
  payload: readonly number[],
  options: PacketOptions = {},
): number[] {
  const [from, to] = [ip(source), ip(destination)];
  const { ttl = 64 } = options;
  if (from.length === 4) {
    const extra = options.options ?? [];
    const length = 20 + extra.length;
    const header = [
      0x40 | (length / 4),
      0,
      ...be16(length + payload.length),
      0x12,
      0x34,
      ...be16(options.fragment ?? 0),
      ttl,
      protocol,
      0,
      0,
      ...from,
      ...to,
      ...extra,
    ];
    const [high, low] = be16(sum(header));
    header[10] = high;
    header[11] = low;
    return [...header, ...payload];
  }
  const extensions = options.extensions ?? [];
  const types = [...extensions.map(({ type }) => type), protocol];
  const chain = extensions.flatMap(({ bytes }, i) => [types[i + 1], ...bytes.slice(1)]);
  return [0x60, 0, 0, 0, ...be16(chain.length + payload.length), types[0], ttl, ...from, ...to, ...chain, ...payload];
}

/** UDP from port 9 to `port`. */
export function udp(
  source: string,
  destination: string,
  port: number,
  text: string,
  options: PacketOptions = {},
): number[] {
  const data = [...Buffer.from(text)];
  const body = [...be16(9), ...be16(port), ...be16(8 + data.length), 0, 0, ...data];
  return packet(
    source,
    destination,
    Protocol.udp,
    transport(ip(source), ip(destination), Protocol.udp, body, 6),
    options,
  );
}

/** A SYN from port 9. */
export function syn(source: string, destination: string, port: number): number[] {
  const body = [...be16(9), ...be16(port), ...be32(1), ...be32(0), 0x50, 0x02, ...be16(1024), 0, 0, 0, 0];
  return packet(source, destination, Protocol.tcp, transport(ip(source), ip(destination), Protocol.tcp, body, 16));
}

/** ICMPv6; `body` begins after the checksum. */
export function icmp6(
  source: string,
  destination: string,
  type: number,
  body: readonly number[],
  options: PacketOptions = {},
): number[] {
  const message = transport(ip(source), ip(destination), Protocol.icmp6, [type, 0, 0, 0, ...body], 2);
  return packet(source, destination, Protocol.icmp6, message, { ttl: 255, ...options });
}

export function icmp4(
  source: string,
  destination: string,
  type: number,
  code: number,
  body: readonly number[],
): number[] {
  const message = [type, code, 0, 0, ...body];
  const [high, low] = be16(sum(message));
  return packet(source, destination, Protocol.icmp, [type, code, high, low, ...body]);
}

export function routerAdvertisement(source: string, own: string, options: PacketOptions = {}): number[] {
  const lifetime = [64, 0, ...be16(1800), ...be32(0), ...be32(0)];
  return icmp6(source, "ff02::1", 134, [...lifetime, 1, 1, ...mac(own)], options);
}

export function neighbourSolicitation(source: string, target: string, own: string): number[] {
  return icmp6(source, target, 135, [0, 0, 0, 0, ...ip(target), 1, 1, ...mac(own)]);
}

/** Unsolicited, overriding. */
export function neighbourAdvertisement(source: string, target: string, own: string, destination = "ff02::1"): number[] {
  return icmp6(source, destination, 136, [0x20, 0, 0, 0, ...ip(target), 2, 1, ...mac(own)]);
}

export function arp(
  operation: "request" | "reply",
  sender: readonly [address: string, mac: string],
  target: readonly [address: string, mac: string],
): number[] {
  return [
    0,
    1,
    8,
    0,
    6,
    4,
    0,
    operation === "request" ? 1 : 2,
    ...mac(sender[1]),
    ...ip(sender[0]),
    ...mac(target[1]),
    ...ip(target[0]),
  ];
}

export function frame(
  payload: readonly number[],
  {
    to = GATEWAY_MAC,
    from,
    type = payload[0] >> 4 === 4 ? ETHERTYPE[4] : ETHERTYPE[6],
  }: { to?: string; from: string; type?: number },
): Buffer {
  return Buffer.from([...mac(to), ...mac(from), ...be16(type), ...payload]);
}

export const arpFrame = (payload: readonly number[], from: string, to = "ff:ff:ff:ff:ff:ff") =>
  frame(payload, { from, to, type: ETHERTYPE.arp });

/** A socket of type and protocol inside the namespace at `path`. */
function socketIn(path: string, domain: number, type: number, protocol: number): number {
  const sys = native();
  const [there, here] = [
    check(sys.open(path, 0), "open", path),
    check(sys.open("/proc/thread-self/ns/net", 0), "open"),
  ];
  try {
    return check(sys.socketIn(there, here, domain, type | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol), "socket", path);
  } finally {
    sys.close(there);
    sys.close(here);
  }
}

/** An interface of a pod, below everything that would check what is sent. */
export class Wire {
  readonly #fd: number;
  readonly #address: Buffer;

  constructor(netns: string, ifindex: number) {
    this.#fd = socketIn(netns, AF_PACKET, SOCK_RAW, 0);
    this.#address = Buffer.alloc(20); // struct sockaddr_ll
    this.#address.writeUInt16LE(AF_PACKET);
    this.#address.writeUInt16BE(ETH_P_ALL, 2);
    this.#address.writeInt32LE(ifindex, 4);
    check(native().bind(this.#fd, this.#address), "bind", netns);
  }

  send(...frames: readonly Uint8Array[]): void {
    for (const bytes of frames) check(native().send(this.#fd, bytes, bytes.length, 0), "send");
  }

  /** What has come in or gone out since, and can be read without waiting. */
  read(): Buffer[] {
    const frames: Buffer[] = [];
    for (const buffer = Buffer.alloc(2048); ; ) {
      const length = native().recv(this.#fd, buffer, 0);
      if (length < 0) return frames;
      frames.push(Buffer.from(buffer.subarray(0, length)));
    }
  }

  close(): void {
    native().close(this.#fd);
  }
}

/** A UDP socket in a namespace, of either family, on every address. */
export class Sink {
  readonly #fd: number;

  constructor(netns: string, family: 4 | 6, port: number) {
    this.#fd = socketIn(netns, family === 4 ? AF_INET : AF_INET6, SOCK_DGRAM, 0);
    if (family === 6)
      check(native().setsockopt(this.#fd, IPPROTO_IPV6, IPV6_V6ONLY, Buffer.from([1, 0, 0, 0])), "setsockopt");
    const address = Buffer.alloc(family === 4 ? 16 : 28);
    address.writeUInt16LE(family === 4 ? AF_INET : AF_INET6);
    address.writeUInt16BE(port, 2);
    check(native().bind(this.#fd, address), "bind", netns);
  }

  /** Texts that have arrived. */
  read(): string[] {
    const texts: string[] = [];
    for (const buffer = Buffer.alloc(2048); ; ) {
      const length = native().recv(this.#fd, buffer, 0);
      if (length < 0) return texts;
      texts.push(buffer.toString("utf8", 0, length));
    }
  }

  close(): void {
    native().close(this.#fd);
  }
}
