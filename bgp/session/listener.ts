// Listening sockets and their incoming connections. One socket per address, IPv4 and IPv6 apart (IPV6_V6ONLY).
// In: addresses, TCP MD5 keys per neighbour. Out: accepted descriptors, offered to one callback that says whose they are.
// SYN-ACKs leave with TTL 255, so that a neighbour with GTSM takes them; the accepted socket gets its neighbour's own TTL.
import { formatAddress } from "../../net/address.ts";
import type { Log } from "../../net/log.ts";
import { check, errnoName, native, type Poll, SystemError, UV_READABLE } from "../../net/native.ts";
import {
  AF_INET,
  AF_INET6,
  decodeSocketAddress,
  encodeSocketAddress,
  localEnd,
  SO_REUSEADDR,
  SOCK_STREAM_NONBLOCK_CLOEXEC,
  SOL_SOCKET,
  type SocketAddress,
  setInteger,
  setMd5Key,
  setTtl,
  setV6Only,
} from "./socket-options.ts";

/** Takes over `fd` and returns true, or false: not one of ours, the listener closes it. */
export type Accept = (fd: number, remote: SocketAddress) => boolean;

interface Bound {
  readonly fd: number;
  readonly length: number;
  readonly poll: Poll;
}

const BACKLOG = 128;
/** Connections accepted per wake-up. */
const ACCEPT_BURST = 32;
/** Between two log lines about strangers, milliseconds. */
const STRANGER_LOG_INTERVAL = 10_000;
/** Pause after the process ran out of descriptors, milliseconds. */
const EXHAUSTED_PAUSE = 1_000;

export class Listener {
  readonly #log: Log;
  readonly #accept: Accept;
  readonly #bound: Bound[] = [];
  readonly #pauses = new Set<NodeJS.Timeout>();
  #strangers = 0;
  #strangersLogged = Number.NEGATIVE_INFINITY;

  constructor(log: Log, accept: Accept) {
    this.#log = log;
    this.#accept = accept;
  }

  /** Empty `addresses`: all, on both families. Throws a clear Error, and then listens nowhere. */
  open(addresses: readonly Uint8Array[], port: number): void {
    const wildcard = addresses.length === 0;
    try {
      for (const address of wildcard ? [new Uint8Array(4), new Uint8Array(16)] : addresses) {
        try {
          this.#bound.push(this.#listen(address, port));
        } catch (error) {
          if (!wildcard || address.length !== 16 || !isNoIpv6(error)) throw explain(error, address, port);
          this.#log.warn({ port }, "no IPv6 on this machine: listening on IPv4 only");
        }
      }
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** The port really bound (of use when 0 was asked for). */
  get port(): number | null {
    return this.#bound.length > 0 ? localEnd(this.#bound[0].fd).port : null;
  }

  /** The kernel demands, and signs with, `key` for segments of these addresses; null removes the key. */
  setKey(neighbour: SocketAddress, key: Uint8Array | null, prefixLength = neighbour.address.length * 8): void {
    for (const { fd, length } of this.#bound) {
      if (length !== neighbour.address.length) continue;
      try {
        setMd5Key(fd, neighbour, key ?? new Uint8Array(0), prefixLength);
      } catch (error) {
        // Removing a key that is not there is what was wanted anyway.
        if (key !== null) throw error;
      }
    }
  }

  close(): void {
    for (const timer of this.#pauses) clearTimeout(timer);
    this.#pauses.clear();
    for (const { fd, poll } of this.#bound.splice(0)) {
      poll.close();
      native().close(fd);
    }
  }

  #listen(address: Uint8Array, port: number): Bound {
    const system = native();
    const domain = address.length === 4 ? AF_INET : AF_INET6;
    const fd = check(system.socket(domain, SOCK_STREAM_NONBLOCK_CLOEXEC, 0), "socket");
    try {
      setInteger(fd, SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR");
      if (domain === AF_INET6) setV6Only(fd);
      setTtl(fd, address.length, 255);
      check(system.bind(fd, encodeSocketAddress({ address, port, scope: 0 })), "bind");
      check(system.listen(fd, BACKLOG), "listen");
      const poll = new system.Poll(fd, () => this.#readable(fd, poll));
      check(poll.start(UV_READABLE), "poll");
      return { fd, length: address.length, poll };
    } catch (error) {
      system.close(fd);
      throw error;
    }
  }

  #readable(fd: number, poll: Poll): void {
    const sockaddr = new Uint8Array(28);
    for (let count = 0; count < ACCEPT_BURST; count++) {
      if (!this.#bound.some((bound) => bound.fd === fd)) return;
      const accepted = native().accept(fd, sockaddr);
      if (accepted < 0) {
        const name = errnoName(accepted);
        if (name === "EMFILE" || name === "ENFILE" || name === "ENOMEM") this.#pause(poll, name);
        return;
      }
      const remote = decodeSocketAddress(sockaddr);
      let taken = false;
      try {
        taken = this.#accept(accepted, remote);
      } catch (error) {
        // The neighbour is gone already, as a rule.
        this.#log.error({ err: error, address: formatAddress(remote.address) }, "accepting a connection failed");
        native().close(accepted);
        continue;
      }
      if (taken) continue;
      native().close(accepted);
      this.#stranger(remote);
    }
  }

  /** Out of descriptors: the pending connection stays in the backlog and would wake us for ever. */
  #pause(poll: Poll, reason: string): void {
    this.#log.error({ reason }, "cannot accept connections: raise the limit of open files (LimitNOFILE)");
    poll.stop();
    const timer = setTimeout(() => {
      this.#pauses.delete(timer);
      poll.start(UV_READABLE);
    }, EXHAUSTED_PAUSE);
    this.#pauses.add(timer);
  }

  #stranger(remote: SocketAddress): void {
    this.#strangers++;
    const now = performance.now();
    if (now - this.#strangersLogged < STRANGER_LOG_INTERVAL) return;
    const scope = remote.scope ? `%${remote.scope}` : "";
    this.#log.warn(
      { address: formatAddress(remote.address) + scope, connections: this.#strangers },
      "connection from an address that is no configured peer: closed",
    );
    this.#strangers = 0;
    this.#strangersLogged = now;
  }
}

function isNoIpv6(error: unknown): boolean {
  return error instanceof SystemError && (error.code === "EAFNOSUPPORT" || error.code === "EADDRNOTAVAIL");
}

function explain(error: unknown, address: Uint8Array, port: number): Error {
  if (!(error instanceof SystemError)) return error as Error;
  const text = formatAddress(address);
  const where = `${address.length === 16 ? `[${text}]` : text}:${port}`;
  switch (error.code) {
    case "EADDRINUSE":
      return new Error(
        `cannot listen on ${where}: the port is in use, probably by another BGP daemon ` +
          `(see: ss -ltnp 'sport = :${port}'); stop that one, or configure another port or listen address`,
        { cause: error },
      );
    case "EACCES":
      return new Error(
        `cannot listen on ${where}: ports below 1024 need CAP_NET_BIND_SERVICE; run as root, ` +
          "grant the capability, or configure a port from 1024 up",
        { cause: error },
      );
    case "EADDRNOTAVAIL":
      return new Error(
        `cannot listen on ${where}: no interface has this address; configure it, or listen on all addresses`,
        { cause: error },
      );
    default:
      return new Error(`cannot listen on ${where}: ${error.message}`, { cause: error });
  }
}
