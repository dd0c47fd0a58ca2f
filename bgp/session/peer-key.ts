// The TCP MD5 keys of one neighbour (RFC 2385) as its sessions need them: which one the next attempt is signed with, and
// that of the Established session, watched for a neighbour that changes to another.
import type { Clock } from "../../net/clock.ts";
import { KeyRollover, keysOf, sameKey } from "./key-rollover.ts";
import { setMd5Key } from "./socket-options.ts";
import type { Transport } from "./transport.ts";
import type { PeerOptions } from "./types.ts";

export interface PeerKeyEvents {
  /** Another key was put on, because the neighbour does not answer. */
  tried(): void;
  failed(error: unknown): void;
}

export class PeerKey {
  readonly #clock: Clock;
  readonly #events: PeerKeyEvents;
  #rollover: KeyRollover | null = null;
  #attempts = 0;

  constructor(clock: Clock, events: PeerKeyEvents) {
    this.#clock = clock;
    this.#events = events;
  }

  /** Of the Established session; null: there is none, or it is not signed. */
  get current(): Uint8Array | null {
    return this.#rollover?.current ?? null;
  }

  /** Keys take turns, until a session is Established with one. */
  forAttempt(options: PeerOptions): Uint8Array | null {
    const keys = keysOf(options);
    return keys.length === 0 ? null : keys[this.#attempts++ % keys.length];
  }

  established(transport: Transport | null, options: PeerOptions): void {
    this.ended();
    if (!transport?.key) return;
    const { fd, remote, key } = transport;
    const keys = keysOf(options);
    // The next attempt begins with the key that works.
    this.#attempts = Math.max(
      0,
      keys.findIndex((other) => sameKey(other, key)),
    );
    const { tried, failed } = this.#events;
    this.#rollover = new KeyRollover(fd, key, this.#clock, {
      use: (next) => setMd5Key(fd, remote, next),
      tried,
      failed,
    });
    this.#rollover.setKeys(keys);
  }

  setKeys(options: PeerOptions): void {
    if (options.password) this.#rollover?.setKeys(keysOf(options));
  }

  ended(): void {
    this.#rollover?.stop();
    this.#rollover = null;
  }
}
