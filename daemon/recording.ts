// What happens, to those who listen: connects the parts that do not know the event hub with it, watches for problems, marks
// the resources once a minute, and owns the flight recorder.
import type { Speaker } from "../bgp/speaker.ts";
import type { CniServer } from "../cni/server.ts";
import type { Config } from "../config/types.ts";
import type { StateFields } from "../history/format.ts";
import type { Clock } from "../net/clock.ts";
import type { Log } from "../net/log.ts";
import type { FibClient } from "../routing/fib/client.ts";
import type { StatusView } from "./api/types.ts";
import type { EventHub } from "./events.ts";
import type { Drain } from "./lifecycle/drain.ts";
import type { LoopDelay } from "./loop-delay.ts";
import { OperationFeed } from "./operation-feed.ts";
import { ProblemWatch } from "./problem-watch.ts";
import { historyDirectory, Recorder } from "./recorder.ts";
import type { Reloader } from "./reload.ts";

interface Parts {
  readonly config: Config;
  readonly events: EventHub;
  readonly clock: Clock;
  readonly log: Log;
  readonly fib: FibClient;
  readonly speaker: Speaker;
  readonly cni: CniServer;
  readonly reloader: Reloader;
  readonly loopDelay: LoopDelay;
  readonly drain: Drain;
  readonly state: () => string;
  readonly status: () => Promise<StatusView>;
}

export class Recording {
  /** Null: nothing is recorded. */
  readonly recorder: Recorder | null;
  readonly #parts: Parts;
  readonly #problems: ProblemWatch;
  #untold: (() => void)[] = [];

  constructor(parts: Parts) {
    const { config, events, clock, log, fib, speaker, cni, reloader, loopDelay, drain } = parts;
    this.#parts = parts;
    this.#problems = new ProblemWatch(events, clock, parts.status);
    const { size } = config.history;
    const directory = historyDirectory(config.paths.state);
    this.recorder =
      size === null
        ? null
        : new Recorder({ directory, size, node: config.node.name }, { events, clock, log, state: () => this.#state() });
    const nameOf = (ifindex: number) => fib.links().find((link) => link.ifindex === ifindex)?.name ?? `if${ifindex}`;
    const feed = new OperationFeed(events, nameOf);
    speaker.onEvent((event) => {
      if (event.type === "session") events.emit("session", event);
      else events.emit("route", event);
    });
    drain.onState = (peer, state) => {
      const what = peer === null ? "the node" : `peer ${peer}`;
      events.emit("daemon", { kind: "drain", message: `${what} is ${state}`, ...(peer !== null && { peer }), state });
    };
    fib.onEvent((event) => events.emit("kernel", event));
    fib.onOperations = (operations) => feed.operations(operations);
    fib.onRouteOperations = (routes) => feed.routes(routes);
    events.onDetail = (wanted) => fib.setDetail(wanted);
    cni.onEvent((event) => this.#afterAnswer(() => events.emit("pod", event)));
    cni.onOperations = (operations) => feed.operations(operations);
    cni.onPool = (fullness) => events.emit("pool", fullness);
    cni.onCall = (call) => this.#afterAnswer(() => events.emit("cni", call));
    reloader.onResult = (event) => events.emit("config", event);
    loopDelay.onWindow = () => this.#mark();
  }

  start(): void {
    this.recorder?.start();
  }

  /** The daemon runs. */
  running(message: string): void {
    this.#parts.events.emit("daemon", { kind: "running", message });
    this.#problems.start();
  }

  converged(swept: number): void {
    const message = `the neighbours have sent everything; ${swept} stale rules and routes removed`;
    this.#parts.events.emit("daemon", { kind: "converged", message, swept });
  }

  /** Problems that come from stopping are none. */
  stopping(message: string): void {
    this.#parts.events.emit("daemon", { kind: "stop", message });
    this.#problems.stop();
  }

  /** Never rejects. `failed`: the start led nowhere. */
  async stop(kind: "stopped" | "failed", message: string): Promise<void> {
    this.#problems.stop();
    this.#tell();
    await this.recorder?.stop(kind, message);
  }

  /** A container runtime has its answer before others are told of it. */
  #afterAnswer(tell: () => void): void {
    if (this.#untold.push(tell) === 1) setImmediate(() => this.#tell());
  }

  #tell(): void {
    const untold = this.#untold;
    this.#untold = [];
    for (const tell of untold) tell();
  }

  #mark(): void {
    const { events, speaker, cni, loopDelay } = this.#parts;
    const { rss, heapUsed } = process.memoryUsage();
    const { peers, kernel } = this.#problems.latest ?? {};
    events.emit("resources", {
      rss,
      heapUsed,
      eventLoopDelay: loopDelay.read(),
      sessions: { configured: peers?.configured ?? 0, established: peers?.established ?? 0 },
      tables: speaker.tableCounts(),
      kernel: kernelCounts(kernel),
      pods: cni.pods().length,
    });
  }

  #state(): StateFields {
    const { speaker, cni, state } = this.#parts;
    const { kernel, problems } = this.#problems.latest ?? {};
    return {
      daemon: state(),
      peers: speaker.peers().map(({ name, state, received, accepted, advertised }) => ({
        name,
        state,
        received,
        accepted,
        advertised,
      })),
      blocks: cni.blocks().map(({ prefix, pool, state }) => ({ prefix, pool, state })),
      tables: speaker.tableCounts(),
      kernel: kernelCounts(kernel),
      pods: cni.pods().length,
      problems: problems ?? [],
    };
  }
}

function kernelCounts(kernel: StatusView["kernel"] | undefined): StateFields["kernel"] {
  return {
    desired: kernel?.desired ?? 0,
    installed: kernel?.installed ?? 0,
    failed: kernel?.failed.length ?? 0,
  };
}
