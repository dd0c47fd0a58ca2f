// The TCP MD5 key of a live connection whose neighbour may have one of several. A neighbour that changes its key in place
// shows as one that acknowledges nothing: after some retransmissions the next key is tried, and what is retransmitted from
// then on is signed with it. Nothing is lost: the connection only stands still for about a second.
//
// Two retransmissions per key: where it is the network that has failed, half of them still have the right one.
import type { Clock, Timer } from "../../net/clock.ts";
import { unansweredRetransmissions } from "./socket-options.ts";
import type { PeerOptions } from "./types.ts";

/** Milliseconds between two looks. */
const INTERVAL = 500;
const PER_KEY = 2;

export interface KeyRolloverEvents {
  /** Puts the key onto the connection. May throw. */
  use(key: Uint8Array): void;
  /** It was put on because the neighbour does not answer. */
  tried(): void;
  failed(error: unknown): void;
}

export class KeyRollover {
  readonly #fd: number;
  readonly #clock: Clock;
  readonly #events: KeyRolloverEvents;
  #keys: readonly Uint8Array[] = [];
  #current: Uint8Array;
  #timer: Timer | null = null;
  /** Retransmissions in a row at which the present key was put on. */
  #triedAt = 0;

  /** `current` is the key that the connection has. */
  constructor(fd: number, current: Uint8Array, clock: Clock, events: KeyRolloverEvents) {
    this.#fd = fd;
    this.#current = current;
    this.#clock = clock;
    this.#events = events;
  }

  get current(): Uint8Array {
    return this.#current;
  }

  /** Other keys may be tried from now on. A key that is none of them is replaced by the first at once. */
  setKeys(keys: readonly Uint8Array[]): void {
    this.#keys = keys;
    if (!keys.some((key) => sameKey(key, this.#current))) this.#use(keys[0]);
    this.#timer?.cancel();
    this.#timer = null;
    if (keys.length > 1) this.#schedule();
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = null;
  }

  #schedule(): void {
    this.#timer = this.#clock.after(INTERVAL, () => {
      this.#schedule();
      this.#look();
    });
  }

  #look(): void {
    const retransmissions = unansweredRetransmissions(this.#fd);
    if (retransmissions === 0) this.#triedAt = 0;
    if (retransmissions < this.#triedAt + PER_KEY) return;
    this.#triedAt = retransmissions;
    const at = this.#keys.findIndex((key) => sameKey(key, this.#current));
    this.#use(this.#keys[(at + 1) % this.#keys.length]);
    this.#events.tried();
  }

  #use(key: Uint8Array): void {
    try {
      this.#events.use(key);
      this.#current = key;
    } catch (error) {
      this.#events.failed(error);
    }
  }
}

export function sameKey(a: Uint8Array | null, b: Uint8Array | null): boolean {
  return a !== null && b !== null && Buffer.compare(a, b) === 0;
}

/** The TCP MD5 keys that a neighbour may have, the one of choice first; none: no signatures. */
export function keysOf({
  password,
  acceptedPasswords,
}: Pick<PeerOptions, "password" | "acceptedPasswords">): readonly Uint8Array[] {
  return password ? [password, ...acceptedPasswords] : [];
}
