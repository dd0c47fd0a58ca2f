// Socket addresses and TCP options as the kernel's bytes: struct sockaddr_in(6), tcp_md5sig, TTLs, device binding.
// In: values. Out: calls through the addon that throw SystemError with what was being set.
import { endianness } from "node:os";
import { check, native } from "../../net/native.ts";

export const AF_INET = 2;
export const AF_INET6 = 10;
export const SOCK_STREAM_NONBLOCK_CLOEXEC = 1 | 0o4000 | 0o2000000;

export const SOL_SOCKET = 1;
export const SO_REUSEADDR = 2;
const SO_ERROR = 4;
const SO_BINDTODEVICE = 25;
const IPPROTO_IP = 0;
const IP_TOS = 1;
const IP_TTL = 2;
const IP_MINTTL = 21;
const IPPROTO_TCP = 6;
const TCP_NODELAY = 1;
const TCP_INFO = 11;
/** Of struct tcp_info, as far as it is read. */
const TCP_INFO_LENGTH = 28;
const TCP_INFO_RETRANSMITS_AT = 2;
const TCP_INFO_UNACKED_AT = 24;
const TCP_INFO_LAST_ACK_RECV_AT = 56;
const TCP_INFO_NOTSENT_BYTES_AT = 144;
const TCP_MD5SIG_EXT = 32;
const IPPROTO_IPV6 = 41;
const IPV6_UNICAST_HOPS = 16;
const IPV6_V6ONLY = 26;
const IPV6_TCLASS = 67;
const IPV6_MINHOPCOUNT = 73;
/** Internetwork control, as every BGP speaker marks its packets. */
const DSCP_CS6 = 0xc0;

const little = endianness() === "LE";
const MD5SIG_SIZE = 216;
const MD5SIG_FLAGS_AT = 128;
const MD5SIG_FLAG_PREFIX = 1;
const MD5SIG_PREFIX_LENGTH_AT = 129;
const MD5SIG_KEY_LENGTH_AT = 130;
const MD5SIG_KEY_AT = 136;
/** TCP_MD5SIG_MAXKEYLEN. */
const LONGEST_MD5_KEY = 80;

export interface SocketAddress {
  /** 4 or 16 bytes. */
  readonly address: Uint8Array;
  readonly port: number;
  /** Interface index of a link-local IPv6 address, else 0. */
  readonly scope: number;
}

export function encodeSocketAddress({ address, port, scope }: SocketAddress): Uint8Array {
  const bytes = new Uint8Array(address.length === 4 ? 16 : 28);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, address.length === 4 ? AF_INET : AF_INET6, little);
  view.setUint16(2, port);
  bytes.set(address, address.length === 4 ? 4 : 8);
  if (address.length === 16) view.setUint32(24, scope, little);
  return bytes;
}

export function decodeSocketAddress(bytes: Uint8Array): SocketAddress {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const port = view.getUint16(2);
  if (view.getUint16(0, little) === AF_INET) return { address: bytes.slice(4, 8), port, scope: 0 };
  return { address: bytes.slice(8, 24), port, scope: view.getUint32(24, little) };
}

/** The local end of a bound or connected socket. */
export function localEnd(fd: number): SocketAddress {
  const bytes = new Uint8Array(28);
  check(native().getsockname(fd, bytes), "getsockname");
  return decodeSocketAddress(bytes);
}

export function setInteger(fd: number, level: number, option: number, value: number, what: string): void {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setInt32(0, value, little);
  check(native().setsockopt(fd, level, option, bytes), "setsockopt", what);
}

export function socketError(fd: number): number {
  const bytes = new Uint8Array(4);
  check(native().getsockopt(fd, SOL_SOCKET, SO_ERROR, bytes), "getsockopt", "SO_ERROR");
  return new DataView(bytes.buffer).getInt32(0, little);
}

/** Milliseconds since the other end's TCP acknowledged anything; null: the kernel does not say. */
export function sinceLastAck(fd: number): number | null {
  const info = new Uint8Array(TCP_INFO_LAST_ACK_RECV_AT + 4);
  const length = native().getsockopt(fd, IPPROTO_TCP, TCP_INFO, info);
  return length < info.length ? null : new DataView(info.buffer).getUint32(TCP_INFO_LAST_ACK_RECV_AT, little);
}

/** The other end's TCP has acknowledged all that was written; true also when the kernel does not say. */
export function isAcknowledged(fd: number): boolean {
  const info = new Uint8Array(TCP_INFO_NOTSENT_BYTES_AT + 4);
  const length = native().getsockopt(fd, IPPROTO_TCP, TCP_INFO, info);
  const field = (at: number) => (length < at + 4 ? 0 : new DataView(info.buffer).getUint32(at, little));
  return field(TCP_INFO_UNACKED_AT) === 0 && field(TCP_INFO_NOTSENT_BYTES_AT) === 0;
}

export function bindToDevice(fd: number, name: string): void {
  check(
    native().setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, new TextEncoder().encode(`${name}\0`)),
    "setsockopt",
    `SO_BINDTODEVICE ${name}`,
  );
}

export function setV6Only(fd: number): void {
  setInteger(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1, "IPV6_V6ONLY");
}

/**
 * Key for segments exchanged with `peer` (RFC 2385), or with every address that shares its first `prefixLength` bits; an
 * empty key removes it. On a listener the longest prefix decides.
 */
export function setMd5Key(
  fd: number,
  peer: SocketAddress,
  key: Uint8Array,
  prefixLength = peer.address.length * 8,
): void {
  if (key.length > LONGEST_MD5_KEY)
    throw new RangeError(`a TCP MD5 key has at most ${LONGEST_MD5_KEY} bytes, this one has ${key.length}`);
  const bytes = new Uint8Array(MD5SIG_SIZE);
  bytes.set(encodeSocketAddress({ ...peer, port: 0 }));
  bytes[MD5SIG_FLAGS_AT] = MD5SIG_FLAG_PREFIX;
  bytes[MD5SIG_PREFIX_LENGTH_AT] = prefixLength;
  new DataView(bytes.buffer).setUint16(MD5SIG_KEY_LENGTH_AT, key.length, little);
  bytes.set(key, MD5SIG_KEY_AT);
  check(native().setsockopt(fd, IPPROTO_TCP, TCP_MD5SIG_EXT, bytes), "setsockopt", "TCP_MD5SIG_EXT");
}

/** Retransmissions of data that the other side has acknowledged nothing of since; 0: none is waiting. */
export function unansweredRetransmissions(fd: number): number {
  const info = new Uint8Array(TCP_INFO_LENGTH);
  const length = native().getsockopt(fd, IPPROTO_TCP, TCP_INFO, info);
  if (length < TCP_INFO_LENGTH) return 0;
  const unacknowledged = new DataView(info.buffer).getUint32(TCP_INFO_UNACKED_AT, little);
  return unacknowledged === 0 ? 0 : info[TCP_INFO_RETRANSMITS_AT];
}

export function setTtl(fd: number, length: number, ttl: number): void {
  if (length === 4) setInteger(fd, IPPROTO_IP, IP_TTL, ttl, "IP_TTL");
  else setInteger(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, ttl, "IPV6_UNICAST_HOPS");
}

/** Segments with a smaller TTL are dropped by the kernel (RFC 5082). */
function setMinimumTtl(fd: number, length: number, ttl: number): void {
  if (length === 4) setInteger(fd, IPPROTO_IP, IP_MINTTL, ttl, "IP_MINTTL");
  else setInteger(fd, IPPROTO_IPV6, IPV6_MINHOPCOUNT, ttl, "IPV6_MINHOPCOUNT");
}

export interface HopOptions {
  readonly external: boolean;
  readonly multihop: number | null;
  readonly ttlSecurity: boolean;
}

const DEFAULT_TTL = 64;

/** 255 with GTSM, else 1 for a directly connected eBGP neighbour, `multihop` where configured. */
function outgoingTtl({ external, multihop, ttlSecurity }: HopOptions): number {
  if (ttlSecurity) return 255;
  return multihop ?? (external ? 1 : DEFAULT_TTL);
}

/** What outgoing and accepted sockets have in common: no Nagle delay, CS6, TTL. */
export function setSessionOptions(fd: number, length: number, options: HopOptions): void {
  setInteger(fd, IPPROTO_TCP, TCP_NODELAY, 1, "TCP_NODELAY");
  if (length === 4) setInteger(fd, IPPROTO_IP, IP_TOS, DSCP_CS6, "IP_TOS");
  else setInteger(fd, IPPROTO_IPV6, IPV6_TCLASS, DSCP_CS6, "IPV6_TCLASS");
  setTtl(fd, length, outgoingTtl(options));
}

/** GTSM: with TTL 255 at the sender, fewer than `multihop` routers can have forwarded what is let in. */
export function setTtlSecurity(fd: number, length: number, options: HopOptions): void {
  if (options.ttlSecurity) setMinimumTtl(fd, length, 256 - (options.multihop ?? 1));
}
