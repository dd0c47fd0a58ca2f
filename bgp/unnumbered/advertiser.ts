// When to advertise and when to solicit on one interface (RFC 4861 §6.2.4, §6.2.6, §6.3.7). Pure but for the injected
// clock. In: the interface coming and going, solicitations heard, neighbours heard for the first time. Out: calls to send.
//
// Advertisements go out every 10 s as FRR's do, and every 3 s at first; more often is not allowed to all nodes. Who
// solicits is answered by itself within half a second; several at once are answered by one advertisement to all.
import { sameBytes } from "../../net/address.ts";
import type { Clock, Timer } from "../../net/clock.ts";

export interface AdvertiserEvents {
  /** Null: to all nodes. */
  advertise(to: Uint8Array | null): void;
  solicit(): void;
}

export interface AdvertiserDependencies extends AdvertiserEvents {
  readonly clock: Clock;
  /** 0 to 1. */
  random(): number;
}

/** Milliseconds. */
const INTERVAL = 10_000;
/** RFC 4861 §10. */
const INITIAL_ADVERTISEMENTS = 3;
const MIN_DELAY_BETWEEN_RAS = 3_000;
const MAX_RA_DELAY_TIME = 500;
const RTR_SOLICITATIONS = 3;
const RTR_SOLICITATION_INTERVAL = 4_000;

export class Advertiser {
  readonly #dependencies: AdvertiserDependencies;
  /** False: solicit only. */
  readonly #advertises: boolean;
  #running = false;
  #initial = 0;
  #solicitations = 0;
  #lastToAll = Number.NEGATIVE_INFINITY;
  #periodic: Timer | null = null;
  #answer: Timer | null = null;
  /** Whom the pending answer is for; null: all. */
  #asked: Uint8Array | null = null;
  #solicit: Timer | null = null;

  constructor(advertises: boolean, dependencies: AdvertiserDependencies) {
    this.#advertises = advertises;
    this.#dependencies = dependencies;
  }

  /** The interface can send: advertises and solicits at once. */
  start(): void {
    this.stop();
    this.#running = true;
    this.#initial = INITIAL_ADVERTISEMENTS;
    this.#solicitations = RTR_SOLICITATIONS;
    this.#lastToAll = Number.NEGATIVE_INFINITY;
    if (this.#advertises) this.#toAll();
    this.#solicitAgain();
  }

  stop(): void {
    this.#running = false;
    for (const timer of [this.#periodic, this.#answer, this.#solicit]) timer?.cancel();
    this.#periodic = null;
    this.#answer = null;
    this.#solicit = null;
  }

  /** Somebody asks for routers; `source` may be unspecified. */
  solicited(source: Uint8Array): void {
    if (!this.#running || !this.#advertises) return;
    const unspecified = source.every((octet) => octet === 0);
    if (this.#answer) {
      if (this.#asked && (unspecified || !sameBytes(this.#asked, source))) this.#answerAll();
      return;
    }
    if (unspecified) {
      this.#answerAll();
      return;
    }
    this.#asked = source;
    this.#schedule(0, () => this.#dependencies.advertise(source));
  }

  /** A neighbour that was not there before may not have heard us either. It need not be asked for any more. */
  found(source: Uint8Array): void {
    this.#solicit?.cancel();
    this.#solicit = null;
    this.solicited(source);
  }

  /** The neighbour is lost while the interface is as it was. */
  lost(): void {
    if (!this.#running || this.#solicit) return;
    this.#solicitations = RTR_SOLICITATIONS;
    this.#solicitAgain();
  }

  #answerAll(): void {
    this.#answer?.cancel();
    this.#asked = null;
    const { clock } = this.#dependencies;
    this.#schedule(Math.max(0, this.#lastToAll + MIN_DELAY_BETWEEN_RAS - clock.now()), () => this.#toAll());
  }

  #schedule(delay: number, send: () => void): void {
    const { clock, random } = this.#dependencies;
    this.#answer = clock.after(delay + random() * MAX_RA_DELAY_TIME, () => {
      this.#answer = null;
      send();
    });
  }

  #toAll(): void {
    const { clock, random, advertise } = this.#dependencies;
    this.#lastToAll = clock.now();
    this.#periodic?.cancel();
    this.#answer?.cancel();
    this.#answer = null;
    if (this.#initial > 0) this.#initial--;
    const delay = this.#initial > 0 ? MIN_DELAY_BETWEEN_RAS : INTERVAL * (0.75 + 0.25 * random());
    this.#periodic = clock.after(delay, () => this.#toAll());
    advertise(null);
  }

  #solicitAgain(): void {
    const { clock, solicit } = this.#dependencies;
    this.#solicit = null;
    if (this.#solicitations === 0) return;
    this.#solicitations--;
    this.#solicit = clock.after(RTR_SOLICITATION_INTERVAL, () => this.#solicitAgain());
    solicit();
  }
}
