// A neighbour that sends a family again and says so (RFC 7313 §4): between BoRR and EoRR what it said before goes on being
// used, and what it has not said again by EoRR is withdrawn. A neighbour that never comes to the end is given a time.
import type { Family } from "../net/address.ts";
import type { Clock, Timer } from "../net/clock.ts";
import type { Log } from "../net/log.ts";
import type { PeerFamily } from "./peer-family.ts";

/** Seconds from BoRR to EoRR at most (RFC 7313 §4 asks for a bound). */
const REFRESH_TIME = 360;

export class InboundRefresh {
  readonly #announced: PeerFamily;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #fields: { readonly peer: string; readonly family: Family };
  readonly #doomed: () => void;
  #timer: Timer | null = null;

  /** `doomed`: there are routes to be withdrawn. */
  constructor(
    announced: PeerFamily,
    { clock, log }: { readonly clock: Clock; readonly log: Log },
    fields: { readonly peer: string; readonly family: Family },
    doomed: () => void,
  ) {
    this.#announced = announced;
    this.#clock = clock;
    this.#log = log;
    this.#fields = fields;
    this.#doomed = doomed;
  }

  begin(): void {
    this.#announced.beginRefresh();
    this.#timer?.cancel();
    this.#timer = this.#clock.after(REFRESH_TIME * 1000, () => {
      this.#log.warn(this.#fields, `no end of the refresh after ${REFRESH_TIME} s: taken as ended`);
      this.end();
    });
  }

  /** Without a beginning it says nothing. */
  end(): void {
    this.#timer?.cancel();
    this.#timer = null;
    const routes = this.#announced.endRefresh();
    if (routes === 0) return;
    this.#log.info({ ...this.#fields, routes }, "withdrawn: not sent again in a refresh");
    this.#doomed();
  }

  /** The session is gone. */
  abandon(): void {
    this.#timer?.cancel();
    this.#timer = null;
    this.#announced.abandonRefresh();
  }
}
