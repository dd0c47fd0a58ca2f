// The TCP connection to one monitoring station (RFC 7854 §3.2): connects, and after a failure again, at exponentially
// growing pauses with jitter; says when it may be written to. The station sets the pace: above the high-water mark
// nothing more is written, and what is queued never grows beyond that and one batch. What a station sends is thrown
// away (§3.2: it never sends anything).
//
// Deviation from §3.2: the first pause is 1 s and not 30 s, and the longest one is configured. A connection has to last
// for a minute before the pauses are short again, so that a station that hangs up at once is not sent a whole table
// every second.
import { connect, type Socket } from "node:net";
import { formatAddress } from "../../../net/address.ts";
import type { Clock, Timer } from "../../../net/clock.ts";
import type { Log } from "../../../net/log.ts";
import { FailureLog } from "../../session/failure-log.ts";
import type { BmpCollectorOptions, BmpCollectorView } from "../types.ts";

/** Bytes that wait for the station: nothing is added from HIGH_WATER on, until it is LOW_WATER. */
const HIGH_WATER = 256 * 1024;
const LOW_WATER = HIGH_WATER / 2;
/** Milliseconds. */
const CONNECT_TIMEOUT = 10_000;
const FIRST_PAUSE = 1_000;
const STABLE_AFTER = 60_000;
const LINGER = 1_000;
/** TCP notices a station that has vanished. */
const TCP_KEEPALIVE = 30_000;

/** Before attempt number `failures` + 1. `jitter`: 0 to 1, takes off up to a quarter. */
export function pauseAfter(failures: number, longest: number, jitter: number): number {
  return Math.min(longest, FIRST_PAUSE * 2 ** Math.min(failures - 1, 20)) * (1 - jitter / 4);
}

export interface ConnectionDependencies {
  readonly clock: Clock;
  readonly log: Log;
  readonly random: () => number;
}

/** None of these may throw. */
export interface ConnectionEvents {
  connected(): void;
  lost(): void;
  /** Room again. */
  writable(): void;
}

type State = BmpCollectorView["state"];

export class StationConnection {
  readonly #options: BmpCollectorOptions;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #random: () => number;
  readonly #events: ConnectionEvents;
  readonly #failureLog: FailureLog;
  #socket: Socket | null = null;
  #timer: Timer | null = null;
  #state: State = "stopped";
  #failures = 0;
  #blocked = false;
  #connectedAt = 0;
  #connectedCount = 0;
  #lastError: string | null = null;
  #bytesSent = 0;
  /** When the kernel last took something; null: nothing waits. */
  #stalledSince: number | null = null;

  constructor(options: BmpCollectorOptions, dependencies: ConnectionDependencies, events: ConnectionEvents) {
    this.#options = options;
    this.#clock = dependencies.clock;
    this.#log = dependencies.log;
    this.#random = dependencies.random;
    this.#events = events;
    this.#failureLog = new FailureLog(this.#clock, (fields) =>
      this.#log.warn({ ...this.#fields(), ...fields }, "no connection to the BMP collector"),
    );
  }

  get isConnected(): boolean {
    return this.#state === "connected";
  }

  /** False: wait for `writable`. */
  get isWritable(): boolean {
    return this.isConnected && !this.#blocked;
  }

  get view(): Omit<BmpCollectorView, "pending" | "messagesSent"> {
    const { name, address, port } = this.#options;
    const seconds = (since: number) => Math.floor((this.#clock.now() - since) / 1000);
    return {
      name,
      address: formatAddress(address),
      port,
      state: this.#state,
      uptime: this.isConnected ? seconds(this.#connectedAt) : null,
      connectedCount: this.#connectedCount,
      lastError: this.#lastError,
      bytesSent: this.#bytesSent,
      stalled: this.#stalledSince === null ? 0 : seconds(this.#stalledSince),
    };
  }

  start(): void {
    this.#connect();
  }

  /** The octets must not be changed afterwards. */
  write(octets: Uint8Array): void {
    const socket = this.#socket;
    if (!socket || !this.isConnected) return;
    this.#bytesSent += octets.length;
    this.#stalledSince ??= this.#clock.now();
    socket.write(octets, () => this.#written(socket));
    if (socket.writableLength >= HIGH_WATER) this.#blocked = true;
  }

  /** Hangs up; comes back after the pause. */
  fail(reason: string): void {
    if (this.#socket) this.#lose(this.#socket, reason);
  }

  /** Sends what is queued, if the station takes it within a second. */
  stop(): Promise<void> {
    this.#timer?.cancel();
    this.#timer = null;
    const socket = this.#socket;
    const connected = this.isConnected;
    this.#socket = null;
    this.#state = "stopped";
    this.#stalledSince = null;
    if (!socket) return Promise.resolve();
    if (!connected) {
      socket.destroy();
      return Promise.resolve();
    }
    return new Promise((resolve) => {
      const linger = this.#clock.after(LINGER, () => socket.destroy());
      socket.once("close", () => {
        linger.cancel();
        resolve();
      });
      socket.end();
    });
  }

  #connect(): void {
    const { address, port, localAddress } = this.#options;
    this.#state = "connecting";
    const local = localAddress ? { localAddress: formatAddress(localAddress) } : {};
    const socket = connect({ host: formatAddress(address), port, ...local });
    this.#socket = socket;
    this.#timer = this.#clock.after(CONNECT_TIMEOUT, () => this.#lose(socket, "connection timed out"));
    socket.on("connect", () => this.#connected(socket));
    socket.on("data", () => {});
    socket.on("error", (error) => this.#lose(socket, describe(error)));
    socket.on("end", () => this.#lose(socket, "connection closed by the collector"));
    socket.on("close", () => this.#lose(socket, "connection closed"));
  }

  #connected(socket: Socket): void {
    if (socket !== this.#socket) return;
    this.#timer?.cancel();
    this.#timer = null;
    socket.setKeepAlive(true, TCP_KEEPALIVE);
    this.#state = "connected";
    this.#blocked = false;
    this.#stalledSince = null;
    this.#connectedAt = this.#clock.now();
    this.#connectedCount++;
    this.#log.info(this.#fields(), "connected to the BMP collector");
    this.#events.connected();
  }

  #written(socket: Socket): void {
    if (socket !== this.#socket) return;
    const queued = socket.writableLength;
    this.#stalledSince = queued === 0 ? null : this.#clock.now();
    if (!this.#blocked || queued > LOW_WATER) return;
    this.#blocked = false;
    this.#events.writable();
  }

  #lose(socket: Socket, reason: string): void {
    if (socket !== this.#socket) return;
    this.#socket = null;
    socket.destroy();
    this.#timer?.cancel();
    const wasConnected = this.isConnected;
    if (wasConnected && this.#clock.now() - this.#connectedAt >= STABLE_AFTER) this.#failures = 0;
    this.#failures++;
    this.#state = "waiting";
    this.#stalledSince = null;
    this.#lastError = reason;
    this.#failureLog.add(reason);
    const pause = pauseAfter(this.#failures, this.#options.connectRetry * 1000, this.#random());
    this.#timer = this.#clock.after(pause, () => {
      this.#timer = null;
      this.#connect();
    });
    if (wasConnected) this.#events.lost();
  }

  #fields(): { collector: string; address: string; port: number } {
    const { name, address, port } = this.#options;
    return { collector: name, address: formatAddress(address), port };
  }
}

const explanations: Readonly<Record<string, string>> = {
  ECONNREFUSED: "connection refused: nothing listens there",
  ECONNRESET: "connection reset by the collector",
  EPIPE: "connection closed by the collector",
  ETIMEDOUT: "connection timed out",
  EHOSTUNREACH: "host unreachable",
  ENETUNREACH: "network unreachable",
  EADDRNOTAVAIL: "the configured local address is not one of this host",
};

function describe(error: Error & { code?: string }): string {
  const { code = "" } = error;
  return explanations[code] ? `${explanations[code]} (${code})` : `connection failed: ${error.message}`;
}
