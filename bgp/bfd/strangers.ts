// Who sends BFD packets without being a peer: told now and then, however many there are.
import { formatAddress } from "../../net/address.ts";
import type { Clock } from "../../net/clock.ts";

/** Milliseconds. */
const REPORT_INTERVAL = 60_000;

export class Strangers {
  readonly #clock: Clock;
  readonly #report: (address: string, packets: number) => void;
  #reportedAt = Number.NEGATIVE_INFINITY;
  #packets = 0;

  constructor(clock: Clock, report: (address: string, packets: number) => void) {
    this.#clock = clock;
    this.#report = report;
  }

  seen(source: Uint8Array): void {
    this.#packets++;
    const now = this.#clock.now();
    if (now - this.#reportedAt < REPORT_INTERVAL) return;
    this.#reportedAt = now;
    this.#report(formatAddress(source), this.#packets);
    this.#packets = 0;
  }
}
