// The ways out of a running daemon, and that only one of them is taken: restart (restart.ts) and shutdown (shutdown.ts) by
// signal, shutdown and uninstall (uninstall.ts) by request. Neighbours first, then the API and the pods' server, the fib
// worker last. Draining (drain.ts) is no way out: the daemon stays.
import type { Speaker } from "../../bgp/speaker.ts";
import type { CniServer } from "../../cni/server.ts";
import type { Config } from "../../config/types.ts";
import type { Clock } from "../../net/clock.ts";
import type { Log } from "../../net/log.ts";
import type { FibClient } from "../../routing/fib/client.ts";
import { ApiError } from "../api/types.ts";
import type { Blocks } from "../blocks/blocks.ts";
import { type ClusterExit, QUARANTINE_S } from "../shared/leave.ts";
import type { Drain } from "./drain.ts";
import { removeOwnFiles } from "./own-files.ts";
import { endForRestart } from "./restart.ts";
import { endForGood, type ShutdownView } from "./shutdown.ts";
import { refuseWithPods, removeFromKernel, type UninstallView } from "./uninstall.ts";

export type ExitKind = "restart" | "shutdown" | "uninstall";

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
  /** The node leaves the pools that it shares; others can have its blocks after `quarantine` seconds. */
  leaveCluster(quarantine: number): Promise<ClusterExit | null>;
  /** What nobody needs to say anything through: BFD and the API. */
  stopRest(): Promise<void>;
}

const SHUTDOWN = "this node shuts down";
const UNINSTALL = "underlay is removed from this node";

export class Exit {
  readonly #deps: ExitDependencies;
  #begun: ExitKind | null = null;
  /** Pods are counted for an uninstall: there must not be new ones. */
  #counting = false;
  /** Kernel and pods' server have been dealt with. */
  #removed = false;
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

  /** Why pods should not be attached, null: they may be. */
  get refusal(): string | null {
    return this.#counting || this.#begun === "uninstall" ? "underlay is being removed from this node" : null;
  }

  /**
   * Withdraws, and removes all that the daemon has made; it ends after that. Throws ApiError 409, with nothing done, when
   * pods are attached and this is not `forced`: then they lose their interfaces.
   */
  async uninstall(forced: boolean): Promise<UninstallView> {
    const { config, fib, cni, leaveCluster, log } = this.#deps;
    this.#counting = true;
    try {
      await cni.idle();
      if (!forced) refuseWithPods(cni.pods());
      this.#begin("uninstall");
    } finally {
      this.#counting = false;
    }
    try {
      const forgetful = this.#deps.speaker.rememberers().length === 0;
      const { late } = await this.#endForGood(UNINSTALL);
      const view = await removeFromKernel({ config: config(), fib, cni, log });
      this.#removed = true;
      // As long as a block stays that goes back by itself; longer for neighbours that have not heard.
      const pause = Math.ceil(config().routing.withdrawTime / 1000);
      const etcd = await leaveCluster(forgetful && late.length === 0 ? pause : QUARANTINE_S);
      return { ...view, etcd };
    } catch (error) {
      throw new ApiError(500, `not everything has been removed: ${(error as Error).message}`);
    } finally {
      this.#requested("uninstall");
    }
  }

  /** After everything else: nothing is written any more. */
  removeFiles(): void {
    if (!this.#removed) return;
    const left = removeOwnFiles(this.#deps.config());
    if (left.length > 0) this.#deps.log.warn({ left }, "not removed");
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
    if (this.#removed) return;
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
