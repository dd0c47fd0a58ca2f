// What the daemon has compiled before it is needed, once it runs: the calls of runtimes, where there are pods; and
// large tables, for whoever takes them: a default route is soon read. In: the configuration at the start. Out: nothing
// but compiled code.
import { setFlagsFromString } from "node:v8";
import type { SpeakerOptions } from "../bgp/speaker-types.ts";
import { WarmUp } from "../bgp/warm-up/warm-up.ts";
import type { CniServer } from "../cni/server.ts";
import type { Config } from "../config/types.ts";
import type { Clock, Timer } from "../net/clock.ts";
import type { Log } from "../net/log.ts";
import type { FibClient } from "../routing/fib/client.ts";
import { nowhere, RouteSync } from "../routing/route-sync.ts";

/** Milliseconds after the start, which has more urgent things to do; a runtime's first call seldom comes sooner. */
const CNI_WARM_UP_MS = 300;

export interface WarmUpParts {
  readonly clock: Clock;
  readonly log: Log;
  readonly speakerOptions: SpeakerOptions;
  readonly cni: Pick<CniServer, "warmUp">;
  readonly fib: Pick<FibClient, "warmUp">;
}

export class DaemonWarmUp {
  readonly #parts: WarmUpParts;
  #rib: WarmUp | null = null;
  #cniTimer: Timer | null = null;
  #stopped = false;

  constructor(parts: WarmUpParts) {
    this.#parts = parts;
  }

  start({ pools, peers, routing }: Pick<Config, "pools" | "peers" | "routing">): void {
    const { clock, log, speakerOptions, cni, fib } = this.#parts;
    const failed = (error: unknown) => {
      if (!this.#stopped) log.error({ err: error }, "the warm-up failed; the start is slower");
    };
    if (pools.length > 0) this.#cniTimer = clock.after(CNI_WARM_UP_MS, () => void cni.warmUp().catch(failed));
    const taker = peers.find((peer) => peer.import !== "none" && peer.import !== "default-route");
    if (!taker) return;
    this.#rib = new WarmUp(clock, speakerOptions, taker, (locRib) => {
      if (routing.install) new RouteSync(locRib, nowhere);
    });
    this.#rib.run().then(holdYoungGeneration).catch(failed);
    fib.warmUp().catch(failed);
  }

  stop(): void {
    this.#stopped = true;
    this.#rib?.stop();
    this.#cniTimer?.cancel();
  }
}

/**
 * The young generation stays as large as the warm-up has made it. V8 doubles it, to 32 MiB and more, as what survives adds
 * up; a large table has little that survives, and is no slower without (decision 0007).
 */
function holdYoungGeneration(): void {
  setFlagsFromString("--semi-space-growth-factor=1");
}
