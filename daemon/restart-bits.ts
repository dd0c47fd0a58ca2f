// The R and F bits of our OPENs (RFC 4724 §3, §4.1): that we have restarted, and that the kernel went on forwarding. In: what the
// fib worker found and has since, when neighbours have said all they have. Out: an answer per table and family, given
// when an OPEN is built.
//
// From start to convergence the F bit is for what a former run left and was found whole. Where some peer's routes are taken into
// the table that is learned routes; in a table that takes none it is our own rules and blackholes. After convergence it
// is for what the kernel has now, so that a session that is lost without a restart says so when it comes back.
// Without routes in the kernel (`routing.install: false`) there is nothing to preserve.
import type { Speaker } from "../bgp/speaker.ts";
import type { SpeakerPeer } from "../bgp/speaker-types.ts";
import type { Family } from "../net/address.ts";
import type { Fib } from "../routing/types.ts";

export interface RestartBitsDependencies {
  readonly speaker: Pick<Speaker, "setRestartState">;
  readonly fib: Pick<Fib, "forwarding">;
  /** As configured now. */
  peers(): readonly SpeakerPeer[];
}

export class RestartBits {
  readonly #dependencies: RestartBitsDependencies;
  #phase: "first start" | "restarting" | "converged" = "first start";

  constructor(dependencies: RestartBitsDependencies) {
    this.#dependencies = dependencies;
  }

  /** `adopted`: rules and routes of a former run that were found. */
  started(adopted: number): void {
    this.#enter(adopted > 0 ? "restarting" : "first start");
  }

  converged(): void {
    this.#enter("converged");
  }

  #enter(phase: "first start" | "restarting" | "converged"): void {
    this.#phase = phase;
    this.#dependencies.speaker.setRestartState({
      restarting: phase === "restarting",
      forwarding: (table, family) => this.#forwards(table, family),
    });
  }

  #forwards(table: number, family: Family): boolean {
    if (this.#phase === "first start") return false;
    const { tables, owned } = this.#dependencies.fib.forwarding();
    if (tables.some((entry) => entry.table === table && entry.family === family)) return true;
    return this.#phase === "restarting" && !this.#learns(table, family) && owned.includes(family);
  }

  #learns(table: number, family: Family): boolean {
    return this.#dependencies
      .peers()
      .some((peer) => peer.table === table && peer.import !== "none" && peer.families.includes(family));
  }
}
