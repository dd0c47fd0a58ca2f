// The R and F bits of our OPENs (RFC 4724 §3, §4.1): that we have restarted, and that the kernel went on forwarding.
// In: what the fib worker found and has since, when neighbours have said all they have. Out: an answer per table and
// family, given when an OPEN is built.
//
// From start to convergence the F bit is for what a former run left and was found whole, afterwards for what the kernel
// has now, so that a session that is lost without a restart says so when it comes back. What has to be whole is what
// neighbours keep routes for: where no peer of a table is told more than our blocks, the rules and blackholes that
// packets to them meet; where routes of others are passed on, or may be, the table's learned routes. A node whose
// neighbours have no IPv6 route for it has not lost the way to its own IPv6 block. Without routes in the kernel
// (`routing.install: false`) there is nothing to preserve.
import type { Speaker } from "../bgp/speaker.ts";
import type { SpeakerPeer } from "../bgp/speaker-types.ts";
import type { Family } from "../net/address.ts";
import type { Fib } from "../routing/types.ts";

const ownOnly: ReadonlySet<SpeakerPeer["export"]> = new Set(["blocks", "none"]);

export interface RestartBitsDependencies {
  readonly speaker: Pick<Speaker, "setRestartState">;
  readonly fib: Pick<Fib, "forwarding">;
  /** As configured now, peer groups that listen among them. */
  peers(): readonly Pick<SpeakerPeer, "table" | "import" | "export" | "families">[];
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
    if (!owned.includes(family)) return false;
    return !this.#passesOn(table, family) || (this.#phase === "restarting" && !this.#learns(table, family));
  }

  /** Some peer is told, or may be, routes that are not our own. */
  #passesOn(table: number, family: Family): boolean {
    return this.#dependencies
      .peers()
      .some((peer) => peer.table === table && peer.families.includes(family) && !ownOnly.has(peer.export));
  }

  #learns(table: number, family: Family): boolean {
    return this.#dependencies
      .peers()
      .some((peer) => peer.table === table && peer.import !== "none" && peer.families.includes(family));
  }
}
