// One TCP connection as a stream of BGP messages. In: chunks; out: whole messages, one call each, in slices of time shared
// with the other sessions (net/work-queue.ts). While a slice was not enough the socket is paused, so what a neighbour can
// make us hold is a few read buffers. The other way: messages queued are coalesced per turn, and a high-water mark tells
// the producer when to stop.
import { formatAddress } from "../../net/address.ts";
import type { Clock, Timer } from "../../net/clock.ts";
import { native } from "../../net/native.ts";
import type { WorkQueue } from "../../net/work-queue.ts";
import { WireError } from "../wire/error.ts";
import { Framer } from "../wire/framer.ts";
import { ErrorCode } from "../wire/registry.ts";
import { isAcknowledged } from "./socket-options.ts";
import type { Transport } from "./transport.ts";

/** Bytes queued above which write() says stop. */
export const HIGH_WATER = 1 << 20;
/** Bytes queued below which a stopped producer may go on. */
const LOW_WATER = HIGH_WATER / 2;
/** A producer that does not stop is cut off here. */
export const HARD_LIMIT = 16 << 20;
/** How long a closed connection may take to deliver its last message, milliseconds. */
export const LINGER = 1_000;

const MSG_PEEK_DONTWAIT = 0x02 | 0x40;

/** None of these may throw. */
export interface ConnectionEvents {
  message(type: number, buffer: Uint8Array, start: number, end: number): void;
  /** The stream is no longer a sequence of BGP messages. */
  malformed(error: WireError): void;
  /** Closed by the neighbour or by the network; once, and never after close(). */
  lost(reason: string): void;
  /** The queue has room again after write() returned false. */
  writable(): void;
  /** HARD_LIMIT was reached. */
  overflow(): void;
}

export class Connection {
  readonly transport: Transport;
  /** Resolves when the descriptor is closed. */
  readonly closed: Promise<void>;
  readonly #clock: Clock;
  readonly #work: WorkQueue;
  readonly #events: ConnectionEvents;
  readonly #framer = new Framer();
  #finished = false;
  /** Input waits for its next slice; the socket is paused. */
  #backlogged = false;
  #lostReason: string | null = null;
  #blocked = false;
  #overflowed = false;
  #corked = false;
  /** When the kernel last took everything we had, or a write; null: nothing is queued. */
  #stalledSince: number | null = null;
  #linger: Timer | null = null;

  constructor(transport: Transport, clock: Clock, work: WorkQueue, events: ConnectionEvents) {
    this.transport = transport;
    this.#clock = clock;
    this.#work = work;
    this.#events = events;
    const { socket } = transport;
    this.closed = new Promise((resolve) => {
      socket.once("close", () => {
        this.#linger?.cancel();
        this.#lose("connection closed");
        resolve();
      });
    });
    transport.received = (buffer, start, end) => this.#received(buffer, start, end);
    socket.on("end", () => this.#lose("connection closed by the neighbour"));
    socket.on("error", (error) => this.#lose(describe(error)));
  }

  get remoteText(): string {
    return formatAddress(this.transport.remote.address);
  }

  /** Queues whole messages. False: above the high-water mark, wait for `writable`. */
  write(messages: Uint8Array): boolean {
    if (this.#finished || this.#overflowed) return false;
    const { socket } = this.transport;
    if (socket.destroyed || socket.writableEnded) return false;
    if (socket.writableLength + messages.length > HARD_LIMIT) {
      this.#overflowed = true;
      setImmediate(() => {
        if (!this.#finished) this.#events.overflow();
      });
      return false;
    }
    if (!this.#corked) {
      this.#corked = true;
      socket.cork();
      process.nextTick(() => {
        this.#corked = false;
        socket.uncork();
      });
    }
    this.#stalledSince ??= this.#clock.now();
    socket.write(messages, this.#written);
    // Once stopped the producer stays stopped until `writable`: a KEEPALIVE that goes out meanwhile changes nothing.
    if (socket.writableLength >= HIGH_WATER) this.#blocked = true;
    return !this.#blocked;
  }

  /** Milliseconds since the kernel last took something, 0 when nothing is queued. */
  get stalledFor(): number {
    return this.#stalledSince === null ? 0 : this.#clock.now() - this.#stalledSince;
  }

  /** Nothing is on its way any more: the neighbour's TCP has all that was written. */
  get delivered(): boolean {
    const { socket, fd } = this.transport;
    if (this.#finished || socket.destroyed) return true;
    return !this.#corked && socket.writableLength === 0 && isAcknowledged(fd);
  }

  /** Bytes have arrived that were not processed yet: the neighbour is alive, it is us who are behind. */
  get pendingInput(): boolean {
    if (this.#finished || this.transport.socket.destroyed) return false;
    return (
      this.#backlogged ||
      this.transport.socket.readableLength > 0 ||
      native().recv(this.transport.fd, new Uint8Array(1), MSG_PEEK_DONTWAIT) > 0
    );
  }

  set maxMessage(bytes: number) {
    this.#framer.maxMessage = bytes;
  }

  /** Sends what is queued, then closes; input is thrown away. Bounded by LINGER. */
  close(): void {
    if (this.#finished) return;
    this.#finished = true;
    this.#work.remove(this.#pump);
    const { socket } = this.transport;
    if (socket.destroyed) return;
    // Unread input would turn our close into a reset, which can overtake the NOTIFICATION.
    socket.resume();
    socket.end();
    this.#linger = this.#clock.after(LINGER, () => socket.destroy());
  }

  readonly #written = (): void => {
    const queued = this.transport.socket.writableLength;
    this.#stalledSince = queued === 0 ? null : this.#clock.now();
    if (!this.#blocked || queued > LOW_WATER || this.#finished) return;
    this.#blocked = false;
    this.#events.writable();
  };

  #received(buffer: Uint8Array, start: number, end: number): void {
    if (this.#finished) return;
    this.#framer.push(buffer, start, end);
    if (!this.#backlogged && !this.#work.run(this.#pump)) {
      this.#backlogged = true;
      this.transport.socket.pause();
    }
    this.#framer.keep();
  }

  readonly #pump = (until: number): boolean => {
    while (!this.#finished) {
      try {
        if (!this.#framer.next()) {
          this.#caughtUp();
          return false;
        }
      } catch (error) {
        this.#backlogged = false;
        this.#events.malformed(
          error instanceof WireError ? error : new WireError(String(error), ErrorCode.MESSAGE_HEADER_ERROR, 0),
        );
        return false;
      }
      const { type, buffer, start, end } = this.#framer;
      this.#events.message(type, buffer, start, end);
      if (this.#clock.now() >= until) return !this.#finished;
    }
    return false;
  };

  #caughtUp(): void {
    if (!this.#backlogged) return;
    this.#backlogged = false;
    if (this.#lostReason !== null) this.#reportLost();
    else this.transport.socket.resume();
  }

  /** What arrived before the end is processed first: it may be a NOTIFICATION. */
  #lose(reason: string): void {
    if (this.#finished || this.#lostReason !== null) return;
    this.#lostReason = reason;
    if (!this.#backlogged) this.#reportLost();
  }

  #reportLost(): void {
    if (this.#finished) return;
    this.#finished = true;
    this.transport.socket.destroy();
    this.#events.lost(this.#lostReason ?? "connection closed");
  }
}

function describe(error: Error & { code?: string }): string {
  switch (error.code) {
    case "ECONNRESET":
      return "connection reset by the neighbour (ECONNRESET)";
    case "EPIPE":
      return "connection closed by the neighbour (EPIPE)";
    case "ETIMEDOUT":
      return "connection timed out (ETIMEDOUT)";
    case "EHOSTUNREACH":
    case "ENETUNREACH":
      return `neighbour unreachable (${error.code})`;
    default:
      return `connection failed: ${error.message}`;
  }
}
