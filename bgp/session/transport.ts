// One outgoing TCP connection: a non-blocking socket with everything set that Node has no words for before connect()
// (source address, device, MD5 key, TTL), then handed to net.Socket. No timer here: the FSM's ConnectRetryTimer aborts.
// GTSM's minimum TTL is set once connected, so that a closed port still says "connection refused".
import { Socket, type SocketConstructorOpts, type TcpSocketConnectOpts } from "node:net";
import { constants } from "node:os";
import { isLinkLocal } from "../../net/address.ts";
import { check, errnoName, native, SystemError, UV_WRITABLE } from "../../net/native.ts";
import { MAX_EXTENDED_MESSAGE } from "../wire/message.ts";
import { isExternal } from "./remote-asn.ts";
import {
  AF_INET,
  AF_INET6,
  bindToDevice,
  encodeSocketAddress,
  type HopOptions,
  localEnd,
  SOCK_STREAM_NONBLOCK_CLOEXEC,
  type SocketAddress,
  setMd5Key,
  setSessionOptions,
  setTtlSecurity,
  socketError,
} from "./socket-options.ts";
import type { PeerOptions } from "./types.ts";

/** An open TCP connection with a neighbour, from either direction. */
export interface Transport {
  readonly socket: Socket;
  readonly fd: number;
  readonly local: SocketAddress;
  readonly remote: SocketAddress;
  readonly initiator: "local" | "remote";
  /** The TCP MD5 key that it began with; null: none. */
  readonly key: Uint8Array | null;
  /**
   * Hears of octets that have arrived: buffer[start, end), which the next read of whatever connection overwrites. What is
   * before `start` is free.
   */
  received: (buffer: Uint8Array, start: number, end: number) => void;
}

/** What a read takes at most. */
const READ_SIZE = 65536;
/** All connections read into the same memory, where net.Socket by itself takes a new 64 KiB for each read. */
const arrivals = new Uint8Array(MAX_EXTENDED_MESSAGE + READ_SIZE);

export interface ConnectAttempt {
  /** Gives the attempt up; neither callback is called any more. */
  abort(): void;
}

/**
 * Starts connecting to `address`, which is the peer's, or was found for it; signed with `key`. Exactly one callback is
 * called later, never synchronously.
 */
export function connect(
  options: PeerOptions,
  address: Uint8Array,
  key: Uint8Array | null,
  connected: (transport: Transport) => void,
  failed: (reason: string) => void,
): ConnectAttempt {
  const system = native();
  let fd = -1;
  let poll: InstanceType<typeof system.Poll> | null = null;
  let done = false;
  const release = () => {
    poll?.close();
    poll = null;
    if (fd >= 0) system.close(fd);
    fd = -1;
  };
  const fail = (error: unknown) => {
    release();
    const reason = error instanceof Error ? error.message : String(error);
    setImmediate(() => {
      if (done) return;
      done = true;
      failed(reason);
    });
  };
  const finish = (remote: SocketAddress) => {
    // The watcher must be gone from the loop before libuv is given the descriptor again.
    setImmediate(() => {
      if (done) return;
      done = true;
      let transport: Transport;
      try {
        transport = wrap(fd, remote, "local", key);
      } catch (error) {
        release();
        failed(error instanceof Error ? error.message : String(error));
        return;
      }
      connected(transport);
    });
  };
  try {
    const remote = remoteEnd(options, address);
    fd = openSocket(options, key, remote);
    const result = system.connect(fd, encodeSocketAddress(remote));
    if (result < 0 && -result !== constants.errno.EINPROGRESS) throw new SystemError("connect", result);
    poll = new system.Poll(fd, () => {
      poll?.close();
      poll = null;
      try {
        const errno = socketError(fd);
        if (errno !== 0) throw new Error(describeConnectError(errno));
        setTtlSecurity(fd, address.length, hopOptions(options));
      } catch (error) {
        fail(error);
        return;
      }
      finish(remote);
    });
    check(poll.start(UV_WRITABLE), "poll");
  } catch (error) {
    fail(error);
  }
  return {
    abort() {
      if (done) return;
      done = true;
      release();
    },
  };
}

export function hopOptions(options: PeerOptions): HopOptions {
  return { external: isExternal(options), multihop: options.multihop, ttlSecurity: options.ttlSecurity };
}

/** The descriptor belongs to the socket from here on. */
export function wrap(
  fd: number,
  remote: SocketAddress,
  initiator: "local" | "remote",
  key: Uint8Array | null,
): Transport {
  const local = localEnd(fd);
  const onread = {
    buffer: arrivals.subarray(MAX_EXTENDED_MESSAGE),
    callback(length: number): boolean {
      transport.received(arrivals, MAX_EXTENDED_MESSAGE, MAX_EXTENDED_MESSAGE + length);
      return true;
    },
  };
  // What @types/node has for a socket that connects; the constructor takes it for one that is connected, too.
  const options: SocketConstructorOpts & Pick<TcpSocketConnectOpts, "onread"> = {
    fd,
    readable: true,
    writable: true,
    allowHalfOpen: false,
    onread,
  };
  const transport: Transport = { socket: new Socket(options), fd, local, remote, initiator, key, received() {} };
  return transport;
}

function remoteEnd(options: PeerOptions, address: Uint8Array): SocketAddress {
  let scope = 0;
  if (options.interface !== null && address.length === 16 && isLinkLocal(address)) {
    scope = native().ifNameToIndex(options.interface);
    if (scope <= 0) throw new Error(`interface ${options.interface} does not exist`);
  }
  return { address, port: options.port, scope };
}

function openSocket(options: PeerOptions, key: Uint8Array | null, remote: SocketAddress): number {
  const system = native();
  const { length } = remote.address;
  const domain = length === 4 ? AF_INET : AF_INET6;
  const fd = check(system.socket(domain, SOCK_STREAM_NONBLOCK_CLOEXEC, 0), "socket");
  try {
    if (options.interface !== null) bindToDevice(fd, options.interface);
    setSessionOptions(fd, length, hopOptions(options));
    if (key) setMd5Key(fd, remote, key);
    if (options.localAddress) {
      const local = { address: options.localAddress, port: 0, scope: remote.scope };
      check(system.bind(fd, encodeSocketAddress(local)), "bind", "the configured local address");
    }
    return fd;
  } catch (error) {
    system.close(fd);
    throw error;
  }
}

const explanations: Readonly<Record<string, string>> = {
  ECONNREFUSED: "connection refused: nothing listens there",
  ETIMEDOUT: "connection timed out",
  EHOSTUNREACH: "host unreachable",
  ENETUNREACH: "network unreachable",
  ECONNRESET: "connection reset by the neighbour",
};

function describeConnectError(errno: number): string {
  const name = errnoName(errno);
  return explanations[name] ? `${explanations[name]} (${name})` : `connect: ${name}`;
}
