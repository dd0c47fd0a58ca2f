// The ways out of a running daemon, and that only one of them is taken: restart (restart.ts) and shutdown (shutdown.ts) by
// signal, shutdown by request. Neighbours first, then the API and the pods' server, the fib
// worker last. Draining (drain.ts) is no way out: the daemon stays.
import type { Speaker } from "../../bgp/speaker.ts";
import type { CniServer } from "../../cni/server.ts";
import type { Config } from "../../config/types.ts";
import type { Clock } from "../../net/clock.ts";
import type { Log } from "../../net/log.ts";
import type { FibClient } from "../../routing/fib/client.ts";
import { ApiError } from "../api/types.ts";
import type { Blocks } from "../blocks/blocks.ts";
import type { Drain } from "./drain.ts";
import { endForRestart } from "./restart.ts";
import { endForGood, type ShutdownView } from "./shutdown.ts";

export type ExitKind = "restart" | "shutdown";

export interface ExitDependencies {
  readonly config: () => Config;
  readonly speaker: Speaker;
  readonly fib: FibClient;
  readonly cni: CniServer;
  readonly blocks: Blocks;
  readonly drain: Drain;
  readonly clock: Clock;
  readonly log: Log;
  /** The daemon takes nothing new on, and the kernel hears nothing of sessions that end. */
  quiesce(kind: ExitKind): void;
  /** What nobody needs to say anything through: BFD and the API. */
  stopRest(): Promise<void>;
}

const SHUTDOWN = "this node shuts down";

export class Exit {
  readonly #deps: ExitDependencies;
  #begun: ExitKind | null = null;
  #requested: (kind: ExitKind) => void = () => {};

  constructor(deps: ExitDependencies) {
    this.#deps = deps;
  }

  /** Told when a request, not a signal, has the daemon end; the caller calls `end` then. */
  onRequest(listener: (kind: ExitKind) => void): void {
    this.#requested = listener;
  }

  /** Resolves when the neighbours have been told; the daemon ends after that. Throws ApiError 409: it ends already. */
  async shutdown(): Promise<ShutdownView> {
    this.#begin("shutdown");
    try {
      return await this.#endForGood(SHUTDOWN);
    } finally {
      this.#requested("shutdown");
    }
  }

  /** The rest of the way out, after a request or a signal. */
  async end(kind: ExitKind): Promise<void> {
    const { fib, cni, stopRest } = this.#deps;
    if (this.#begun === null) {
      this.#begin(kind);
      if (kind === "restart") await endForRestart(this.#deps);
      else await this.#endForGood(SHUTDOWN);
    }
    await stopRest();
    await cni.stop();
    await fib.stop("keep");
  }

  #begin(kind: ExitKind): void {
    if (this.#begun !== null) throw new ApiError(409, `the daemon ends already (${this.#begun})`);
    this.#begun = kind;
    this.#deps.drain.stop();
    this.#deps.quiesce(kind);
  }

  async #endForGood(text: string): Promise<ShutdownView> {
    const { config, speaker, blocks, clock, log } = this.#deps;
    const peers = () => config().peers;
    const groups = () => config().peerGroups;
    const view = await endForGood({ speaker, blocks, clock, log, peers, groups }, text);
    blocks.stop();
    return view;
  }
}
