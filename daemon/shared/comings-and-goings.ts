// What pods that come and go mean for what is kept in etcd: identities that a pod has here from now on, or has no more; borrowed
// addresses that go back. In: pods, exceptions that have left. Out: what the keeper of identities and the source of blocks are told.
import type { BlockSource } from "../../cni/blocks/types.ts";
import { identityOf } from "../../cni/ipam/records.ts";
import type { PodView } from "../../cni/types.ts";
import type { Clock } from "../../net/clock.ts";
import type { Log } from "../../net/log.ts";
import { asSourceError } from "./claims.ts";
import type { Entry, ExceptionRoutes } from "./exceptions.ts";
import { identityIn } from "./identities.ts";
import type { Requests } from "./requests.ts";

/** A borrowed address that could not be given back is tried again then. */
const RETURN_AGAIN_MS = 10_000;

export interface ComingsAndGoingsDependencies {
  /** Null: no pool is shared. */
  readonly source: () => BlockSource | null;
  readonly requests: Pick<Requests, "keeperOf">;
  readonly exceptions: Pick<ExceptionRoutes, "find">;
  readonly pods: () => readonly PodView[];
  readonly clock: Clock;
  readonly log: Log;
}

export class ComingsAndGoings {
  readonly #deps: ComingsAndGoingsDependencies;

  constructor(deps: ComingsAndGoingsDependencies) {
    this.#deps = deps;
  }

  attached(pod: PodView): void {
    const keeper = this.#deps.requests.keeperOf(pod.pool);
    if (keeper && pod.pod !== null) keeper.identities.attached(identityIn(pod.pool, identityOf(pod)), pod.addresses);
  }

  detached(pod: PodView): void {
    const { requests, exceptions } = this.#deps;
    const keeper = requests.keeperOf(pod.pool);
    if (!keeper) return;
    for (const address of pod.addresses) {
      const entry = exceptions.find(address);
      if (entry && keeper.identities.held(identityIn(pod.pool, identityOf(pod)))) entry.why = "moved";
    }
    // What is withdrawn first lets its identity go when that is done.
    if (pod.addresses.some((address) => exceptions.find(address)?.why === "moved")) return;
    keeper.identities.detached(identityIn(pod.pool, identityOf(pod)), keeper.milliseconds);
  }

  /** No neighbour looks for it here any more. */
  async left(entry: Entry): Promise<void> {
    const { source, requests, exceptions, pods, clock, log } = this.#deps;
    if (entry.why === "moved") {
      const keeper = requests.keeperOf(entry.pool);
      // Its pod may be here as before, with a block around the address now.
      if (pods().some(({ addresses }) => addresses.includes(entry.address))) return;
      if (entry.identity !== null)
        keeper?.identities.detached(identityIn(entry.pool, entry.identity), keeper.milliseconds);
      return;
    }
    if (entry.why !== "borrowed") return;
    try {
      await source()?.giveBackLoan(entry.address);
    } catch (error) {
      const { code, message } = asSourceError(error);
      log.warn({ address: entry.address, code, reason: message }, "a borrowed address could not be given back");
      // Nobody else has it meanwhile: it stays for the next pod, and is given back when that is gone.
      if (code !== "unavailable" || exceptions.find(entry.address)) return;
      clock.after(RETURN_AGAIN_MS, () => void this.left(entry));
    }
  }

  /** Identities whose pods have gone while nobody ran, with addresses of our own blocks; others leave with their exceptions. */
  letGoOfAbsent(pods: readonly PodView[]): void {
    const { source, requests, exceptions } = this.#deps;
    const here = new Set(pods.flatMap(({ addresses }) => addresses));
    for (const { pool, namespace, name, addresses } of source()?.held() ?? []) {
      const keeper = requests.keeperOf(pool);
      if (keeper && addresses.every((address) => !here.has(address) && !exceptions.find(address)))
        keeper.identities.detached({ pool, namespace, name }, keeper.milliseconds);
    }
  }
}
