// What was wrong with a peer's UPDATEs without ending the session (RFC 7606): counted, the last one kept for the
// operator, and logged now and then: a broken neighbour must not fill the log.
import { formatAddress } from "../net/address.ts";
import type { Clock } from "../net/clock.ts";
import type { Log } from "../net/log.ts";
import type { PeerOptions } from "./session/types.ts";
import type { WireError } from "./wire/error.ts";

/** Milliseconds between two log lines. */
const LOG_INTERVAL = 10_000;

export class PeerErrors {
  /** Routes treated as withdrawn, attributes left out. */
  treatedAsWithdrawn = 0;
  attributesDiscarded = 0;
  /** One line, null: none yet. */
  last: string | null = null;
  readonly #peer: PeerOptions;
  readonly #clock: Clock;
  readonly #log: Log;
  #logged = Number.NEGATIVE_INFINITY;
  #unlogged = 0;

  constructor(peer: PeerOptions, clock: Clock, log: Log) {
    this.#peer = peer;
    this.#clock = clock;
    this.#log = log;
  }

  add(errors: readonly WireError[]): void {
    for (const error of errors) {
      if (error.action === "discard") this.attributesDiscarded++;
      this.last = `UPDATE: ${error.message}`;
      this.#unlogged++;
    }
    const now = this.#clock.now();
    if (now - this.#logged < LOG_INTERVAL) return;
    this.#logged = now;
    const fields = { peer: this.#peer.name, address: formatAddress(this.#peer.address), count: this.#unlogged };
    this.#log.warn(fields, `errors in received routes, last one: ${this.last}`);
    this.#unlogged = 0;
  }
}
