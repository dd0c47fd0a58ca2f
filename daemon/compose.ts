// The daemon: builds the parts, connects them, and starts and stops them in the order that keeps two promises. Kernel
// first, then the wire: a block is announced when its blackhole and rules are acknowledged. And what a former run left
// in the kernel goes on forwarding: it is adopted, confirmed, and only what nobody asked for again is removed.
//
//   sessions -> Adj-RIB-In -> Loc-RIB -> RouteSync -> FibClient ~> fib worker -> kernel
//                                 \-> Adj-RIB-Out -> sessions
//   BFD worker ~> Bfd -> sessions
//   CNI client -> ApiServer -> CniServer ~> attach worker -> pod namespace
import { dirname, join } from "node:path";
import { Speaker } from "../bgp/speaker.ts";
import { CniServer } from "../cni/server.ts";
import type { ConfigDiff } from "../config/diff.ts";
import type { Config } from "../config/types.ts";
import type { Clock } from "../net/clock.ts";
import { FibClient } from "../routing/fib/client.ts";
import { InterfaceTable } from "../routing/interfaces.ts";
import { watchAcceptRa } from "./accept-ra.ts";
import { ApiServer } from "./api/server.ts";
import { applyConfig } from "./apply.ts";
import { Backend } from "./backend.ts";
import { Bfd } from "./bfd.ts";
import { BlockAnnouncements } from "./blocks/announcements.ts";
import { Blocks } from "./blocks/blocks.ts";
import { shown } from "./blocks/view.ts";
import { EventHub } from "./events.ts";
import { FastFailover } from "./fast-failover.ts";
import { foresee } from "./foresee.ts";
import { isPod, PodIsolation } from "./isolation.ts";
import { Drain } from "./lifecycle/drain.ts";
import { Exit, type ExitKind } from "./lifecycle/exit.ts";
import type { Logger } from "./log.ts";
import { LoopDelay } from "./loop-delay.ts";
import { Recording } from "./recording.ts";
import { Reloader } from "./reload.ts";
import { RestartBits } from "./restart-bits.ts";
import { leaveCluster } from "./shared/leave.ts";
import { makeSource } from "./shared/make-source.ts";
import { nodesOf } from "./shared/nodes.ts";
import { Sharing } from "./shared/sharing.ts";
import { uplinkNames } from "./shared/uplinks.ts";
import { speakerOptionsOf } from "./speaker-options.ts";
import { startWatchdog } from "./systemd.ts";
import { Tables } from "./tables.ts";
import { DaemonWarmUp } from "./warm-up.ts";

export type DaemonState = "starting" | "running" | "stopping";

export class Daemon {
  #config: Config;
  readonly #log: Logger;
  /** Of the parts: each has a level of its own. */
  readonly #logs: Logger[] = [];
  readonly #reloader: Reloader;
  readonly #clock: Clock;
  readonly #events = new EventHub();
  readonly #loopDelay: LoopDelay;
  readonly #fib: FibClient;
  readonly #interfaces: InterfaceTable;
  readonly #speaker: Speaker;
  readonly #restartBits: RestartBits;
  readonly #bfd: Bfd;
  readonly #tables: Tables;
  readonly #isolation: PodIsolation;
  readonly #sharing: Sharing;
  readonly #cni: CniServer;
  readonly #blocks: Blocks;
  readonly #api: ApiServer;
  readonly #recording: Recording;
  readonly #drain: Drain;
  readonly #exit: Exit;
  readonly #warmUp: DaemonWarmUp;
  #state: DaemonState = "starting";
  #stopWatchdog = () => {};
  #failed: (error: Error) => void = () => {};
  #summary: (text: string) => void = () => {};

  constructor(config: Config, deps: { log: Logger; clock: Clock }) {
    this.#config = config;
    this.#log = deps.log;
    this.#clock = deps.clock;
    this.#loopDelay = new LoopDelay(deps.clock);
    const log = (part: string): Logger => {
      const child = deps.log.child({ part });
      this.#logs.push(child);
      return child;
    };

    this.#fib = new FibClient(config.routing, { log: log("routing"), stateDir: config.paths.state });
    this.#fib.onFailure((error) => this.#failed(error));
    this.#interfaces = new InterfaceTable(this.#fib);
    const speakerOptions = speakerOptionsOf(config);
    this.#speaker = new Speaker(speakerOptions, {
      clock: deps.clock,
      log: log("bgp"),
      resolver: this.#interfaces,
      links: this.#fib,
      isPod: (address, ifindex) => isPod(address, ifindex, this.#fib.links(), this.#blocks.status()),
    });
    this.#restartBits = new RestartBits({
      speaker: this.#speaker,
      fib: this.#fib,
      peers: () => [...this.#config.peers, ...this.#config.peerGroups],
    });
    this.#bfd = new Bfd({ speaker: this.#speaker, events: this.#events, log: log("bfd") });
    this.#bfd.onFailure((error) => this.#failed(error));
    this.#tables = new Tables(config.tables, {
      speaker: this.#speaker,
      fib: this.#fib,
      install: config.routing.install,
      log: log("tables"),
    });
    this.#isolation = new PodIsolation(this.#fib);
    const announcements = new BlockAnnouncements({ speaker: this.#speaker, blocks: () => this.#blocks });
    const sharingLog = log("shared pools");
    this.#sharing = new Sharing(config, {
      makeSource: (of) => makeSource(of, { clock: deps.clock, log: sharingLog }),
      blocks: () => this.#blocks,
      uses: () => this.#cni.uses(),
      pods: () => this.#cni.pods(),
      addresses: () => this.#cni.addressesInUse(),
      uplinks: () => uplinkNames(this.#config.peers, this.#speaker, this.#fib),
      clock: deps.clock,
      log: sharingLog,
      onEvent: (event) => this.#events.emit("shared", event),
    });
    this.#cni = new CniServer(
      {
        pools: config.pools,
        stateDir: config.paths.state,
        spoolDir: join(dirname(config.api.socket), "spool"),
        mtu: config.cni.mtu,
        vanishedAfter: config.cni.vanishedAfter,
        ready: {
          level: config.cni.ready,
          timeout: config.cni.readyTimeout,
          fallback: config.cni.readyFallback,
        },
      },
      {
        clock: deps.clock,
        log: log("cni"),
        routes: this.#fib,
        uplinkMtu: () => this.#interfaces.smallestUplinkMtu(this.#config.peers.flatMap((peer) => peer.interface ?? [])),
        connected: () => this.#connected(),
        announcements,
        strictSource: () => this.#isolation.strictSource,
        ready: () => {
          const reason = this.#exit.refusal ?? this.#drain.refusal;
          return reason === null ? { ok: true } : { ok: false, reason };
        },
        onFailure: (error) => this.#failed(error),
        onRetired: () => this.#blocks.podsChanged(),
        exceptions: this.#sharing,
      },
    );
    this.#warmUp = new DaemonWarmUp({
      clock: deps.clock,
      log: deps.log,
      speakerOptions,
      cni: this.#cni,
      fib: this.#fib,
    });
    this.#blocks = new Blocks(config, {
      fib: this.#fib,
      speaker: this.#speaker,
      pods: this.#cni,
      clock: deps.clock,
      log: log("blocks"),
      onChange: (block) => {
        const { state, reason } = shown(block);
        this.#cni.setBlockState(block.prefix, state, reason);
        this.#events.emit("block", { prefix: block.prefix, pool: block.pool, state, reason });
        this.#sharing.blockChanged(block.prefix);
        announcements.changed();
      },
    });
    this.#drain = new Drain({
      speaker: this.#speaker,
      bfd: this.#bfd,
      clock: deps.clock,
      log: log("drain"),
      stateDirectory: config.paths.state,
      peers: () => this.#config.peers,
      groups: () => this.#config.peerGroups,
      blocks: this.#blocks,
    });
    this.#exit = new Exit({
      config: () => this.#config,
      speaker: this.#speaker,
      fib: this.#fib,
      cni: this.#cni,
      blocks: this.#blocks,
      drain: this.#drain,
      clock: deps.clock,
      log: deps.log,
      leaveCluster: async (quarantine) => {
        // It would register anew.
        await this.#sharing.stop();
        return leaveCluster(this.#config, quarantine, { clock: deps.clock, log: sharingLog });
      },
      quiesce: (kind) => this.#quiesce(kind),
      stopRest: () => this.#stopRest(),
    });
    const inForce = () => this.#config;
    this.#reloader = new Reloader(
      {
        get config() {
          return inForce();
        },
        foresee: (next) => foresee(next, { cni: this.#cni, sharing: this.#sharing }),
        apply: (next, diff) => this.#apply(next, diff),
      },
      log("config"),
    );
    this.#recording = new Recording({
      config,
      events: this.#events,
      clock: deps.clock,
      log: log("history"),
      fib: this.#fib,
      speaker: this.#speaker,
      cni: this.#cni,
      reloader: this.#reloader,
      loopDelay: this.#loopDelay,
      drain: this.#drain,
      state: () => this.#state,
      status: () => backend.status(),
    });
    const backend: Backend = new Backend({
      config: inForce,
      reloader: this.#reloader,
      clock: deps.clock,
      fib: this.#fib,
      speaker: this.#speaker,
      bfd: this.#bfd,
      cni: this.#cni,
      blocks: this.#blocks,
      sharing: this.#sharing,
      nodes: nodesOf(inForce, { clock: deps.clock, log: sharingLog }),
      drain: this.#drain,
      exit: this.#exit,
      events: this.#events,
      loopDelay: this.#loopDelay,
      recorder: this.#recording.recorder,
      state: () => this.#state,
    });
    this.#api = new ApiServer({ backend, log: log("api"), socketPath: config.api.socket, listen: config.api.listen });
    this.#connectEvents();
    new FastFailover(this.#fib, this.#speaker);
    watchAcceptRa(this.#speaker, () => this.#config.peers, log("bgp"));
  }

  /** A worker thread ended: the daemon cannot go on, the caller ends the process. */
  onFailure(listener: (error: Error) => void): void {
    this.#failed = listener;
  }

  /**
   * Rejects with the reason when the daemon cannot run; the caller ends the process then. The kernel is as it was: what
   * a former run left stays, for its pods; where there was nothing, nothing remains.
   */
  async start(): Promise<void> {
    this.#loopDelay.start();
    this.#recording.start();
    try {
      await this.#start();
    } catch (error) {
      await this.#recording.stop("failed", `the start failed: ${error instanceof Error ? error.message : error}`);
      throw error;
    }
  }

  async #start(): Promise<void> {
    this.#drain.load();
    await this.#bfd.start(this.#config.peers.filter(({ name }) => !this.#drain.isDrained(name)));
    await this.#fib.start();
    const adopted = (await this.#fib.status()).stale;
    try {
      await this.#run(adopted);
    } catch (error) {
      await this.#api.stop().catch(() => undefined);
      await this.#fib.stop(adopted > 0 ? "keep" : "remove").catch(() => undefined);
      throw error;
    }
  }

  async #run(adopted: number): Promise<void> {
    const { pools, peers, node } = this.#config;
    await this.#sharing.start();
    await this.#blocks.start(this.#sharing.placement());
    await this.#isolation.want(this.#config);
    await this.#cni.start(this.#sharing.blocksAmong(this.#blocks.leftBehind()));
    await this.#sharing.podsKnown(this.#cni.pods());
    this.#blocks.podsChanged();
    await this.#api.start();

    this.#restartBits.started(adopted);
    if (this.#drain.view.state === "serving") this.#blocks.announceAll();
    for (const peer of peers) this.#speaker.addPeer(this.#drain.overlay(peer));
    for (const group of this.#config.peerGroups) this.#speaker.addGroup(this.#drain.overlayGroup(group));
    this.#speaker.onConverged(() => void this.#converged(), this.#config.bgp.deferralTime);
    await this.#speaker.start();

    this.#stopWatchdog = startWatchdog(this.#clock);
    this.#state = "running";
    const count = pools.flatMap(({ blocks }) => blocks).length;
    this.#recording.running(`AS ${node.asn}, ${peers.length} peers, ${count} blocks, ${adopted} adopted`);
    this.#log.info({ asn: node.asn, peers: peers.length, blocks: count, adopted }, "running");
    this.#warmUp.start(this.#config);
  }

  /** A line for the supervisor, now and after each change of a session. */
  onSummary(listener: (text: string) => void): void {
    this.#summary = listener;
    this.#reportSummary();
  }

  /** Reads the configuration file again. Rejects when it is refused; the old one stays in force then. */
  async reload(): Promise<void> {
    await this.#reloader.reload();
  }

  /** The process ends at once, for this reason: that much is still put on record. */
  crashed(reason: string): void {
    this.#recording.recorder?.crash(reason);
  }

  /** A request of the API, not a signal, has the daemon end: `stop` has to be called. */
  onExitRequest(listener: (kind: ExitKind) => void): void {
    this.#exit.onRequest(listener);
  }

  /** `restart` lets neighbours keep our routes, `shutdown` tells them to drop us. Both leave the kernel state. */
  async stop(kind: ExitKind): Promise<void> {
    await this.#exit.end(kind);
    this.#loopDelay.stop();
    await this.#recording.stop("stopped", "the kernel keeps its rules, routes and pods");
    this.#exit.removeFiles();
  }

  #quiesce(kind: ExitKind): void {
    this.#state = "stopping";
    this.#recording.stopping(kind === "restart" ? "stops for a restart" : "shuts down and tells the neighbours");
    this.#warmUp.stop();
    this.#cni.quiesce();
    this.#stopWatchdog();
    // Sessions that end now withdraw their routes from the Loc-RIB: the kernel must not hear of it.
    this.#tables.stop();
  }

  async #stopRest(): Promise<void> {
    await this.#sharing.stop();
    await this.#bfd.stop();
    await this.#api.stop();
  }

  async #apply(config: Config, diff: ConfigDiff): Promise<void> {
    const parts = {
      speaker: this.#speaker,
      tables: this.#tables,
      bfd: this.#bfd,
      drain: this.#drain,
      sharing: this.#sharing,
      blocks: this.#blocks,
      isolation: this.#isolation,
      log: this.#log,
    };
    await applyConfig(parts, this.#config, config, diff);
    for (const log of [this.#log, ...this.#logs]) log.level = config.log.level;
    this.#config = config;
    this.#reportSummary();
  }

  async #converged(): Promise<void> {
    if (this.#state === "stopping") return;
    await this.#tables.settled();
    await this.#fib.flush();
    const swept = await this.#fib.sweepStale();
    this.#restartBits.converged();
    this.#blocks.converged();
    this.#recording.converged(swept);
    this.#log.info({ swept }, swept > 0 ? "converged: stale kernel state removed" : "converged");
  }

  #connectEvents(): void {
    this.#speaker.onDynamicPeer((peer, present) => {
      const done = present ? this.#bfd.update(peer) : this.#bfd.remove(peer.name);
      done.catch((error: Error) =>
        this.#log.error({ peer: peer.name, reason: error.message }, "BFD for a dynamic peer failed"),
      );
    });
    this.#speaker.onEvent((event) => {
      if (event.type !== "session" || event.kind !== "state") return;
      this.#reportSummary();
      this.#sharing.uplinksChanged();
    });
    this.#cni.onPoolChange(() => this.#sharing.look());
    this.#cni.onEvent((event) => this.#sharing.podChanged(event));
  }

  /** A node without peers has nobody to lose. */
  #connected(): boolean {
    const peers = this.#speaker.peers();
    return peers.length === 0 || peers.some((peer) => peer.state === "Established");
  }

  #reportSummary(): void {
    const peers = this.#speaker.peers();
    const established = peers.filter((peer) => peer.state === "Established").length;
    this.#summary(`${established} of ${peers.length} sessions Established`);
  }
}
