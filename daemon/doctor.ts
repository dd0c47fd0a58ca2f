// Gathers what `underlayctl doctor` looks at, from every part of the running daemon and from the host, and has it examined.
// Each part has a time in which to answer; one that does not is a finding of its own, and does not keep the others.
import { totalmem } from "node:os";
import type { PeerView, RouteView } from "../bgp/views.ts";
import type { CniServer } from "../cni/server.ts";
import type { BlockView } from "../cni/types.ts";
import type { Config } from "../config/types.ts";
import { lookAtCni } from "../doctor/look/cni-files.ts";
import { lookAtConfigFile } from "../doctor/look/config-file.ts";
import { lookAtFirewall } from "../doctor/look/firewall.ts";
import { lookAtState } from "../doctor/look/state-directory.ts";
import { lookAtSystem } from "../doctor/look/system-files.ts";
import { lookAtTcpSockets } from "../doctor/look/tcp-sockets.ts";
import { diagnose } from "../doctor/run.ts";
import { hostEndSettings, nodeSettings } from "../doctor/settings.ts";
import type {
  DaemonFacts,
  Fact,
  Facts,
  Finding,
  Gathered,
  OutOfService,
  SharedFacts,
  UnresolvedNextHops,
} from "../doctor/types.ts";
import type { Clock } from "../net/clock.ts";
import type { FibClient } from "../routing/fib/client.ts";
import { version } from "./version.ts";

/** Milliseconds. */
const PATIENCE = 20_000;
/** Routes of one neighbour that are looked at for their next hops, and how many in one turn of the loop. */
const MOST_ROUTES = 2_000;
const ROUTES_PER_TURN = 200;
const EXAMPLES = 3;

export interface DoctorParts {
  /** The configuration in force. */
  readonly config: () => Config;
  readonly clock: Clock;
  readonly fib: Pick<FibClient, "survey" | "status">;
  readonly cni: Pick<CniServer, "look" | "pods">;
  readonly loopDelay: { read(): { readonly p99: number; readonly max: number } };
  readonly peers: () => readonly PeerView[];
  readonly blocks: () => readonly BlockView[];
  readonly shared: () => Promise<SharedFacts>;
  readonly received: (peer: string) => Iterable<RouteView>;
  readonly outOfService: () => OutOfService;
  readonly monitoringProblems: () => readonly string[];
  readonly historyProblem: () => string | null;
}

export class Doctor {
  readonly #parts: DoctorParts;
  /** Wall clock minus monotonic clock, at the start. */
  readonly #clockOffset: number;
  /** One run at a time, whoever asks. */
  #running: Promise<Finding[]> | null = null;

  constructor(parts: DoctorParts) {
    this.#parts = parts;
    this.#clockOffset = Date.now() - parts.clock.now();
  }

  /** Never rejects for what is wrong with the node. */
  examine(): Promise<Finding[]> {
    this.#running ??= diagnose(
      () => this.#gather(),
      (milliseconds) => new Promise((resolve) => this.#parts.clock.after(milliseconds, resolve)),
    ).finally(() => {
      this.#running = null;
    });
    return this.#running;
  }

  async #gather(): Promise<Gathered> {
    const { fib, cni, peers, blocks, outOfService } = this.#parts;
    const config = this.#parts.config();
    const facts: { -readonly [F in Fact]?: Facts[F] } = { config };
    const missing: Partial<Record<Fact, string>> = {};
    const silent: DaemonFacts["silent"][number][] = [];
    /** `part`: one of ours, whose silence is a fault. */
    const take = async <F extends Fact>(fact: F, look: () => Facts[F] | Promise<Facts[F]>, part?: string) => {
      try {
        facts[fact] = (await this.#inTime(Promise.resolve().then(look))) as (typeof facts)[F];
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        missing[fact] = reason;
        if (part) silent.push({ part, reason });
      }
    };
    await Promise.all([
      take("file", () => lookAtConfigFile(config.file)),
      take("state", () => lookAtState({ state: config.paths.state, socket: config.api.socket })),
      take("cni", () => lookAtCni(config.cni)),
      take("system", () => lookAtSystem(config.routing.protocol)),
      take("sockets", () => lookAtTcpSockets(bgpPorts(config))),
      take("firewall", lookAtFirewall),
      take("unresolved", () => this.#unresolved()),
      take("shared", () => this.#parts.shared()),
      take("fib", () => fib.status(), "fib worker"),
      take("pods", () => cni.look(), "attach worker"),
      take(
        "kernel",
        () => fib.survey({ tables: config.tables.map(({ id }) => id), settings: this.#settings() }),
        "fib worker",
      ),
    ]);
    facts.peers = peers();
    facts.outOfService = outOfService();
    facts.blocks = blocks();
    facts.daemon = this.#daemon(silent);
    return { facts, missing };
  }

  #daemon(silent: DaemonFacts["silent"]): DaemonFacts {
    const { clock, loopDelay, monitoringProblems, historyProblem } = this.#parts;
    const allowed = process.constrainedMemory();
    const limit = Math.min(totalmem(), allowed > 0 ? allowed : Number.POSITIVE_INFINITY);
    return {
      version,
      memory: { rss: process.memoryUsage.rss(), limit },
      eventLoopDelay: loopDelay.read(),
      clockDrift: Date.now() - clock.now() - this.#clockOffset,
      monitoring: monitoringProblems(),
      historyProblem: historyProblem(),
      silent,
    };
  }

  /** Kernel settings of the node, and of pods' host interfaces. */
  #settings(): string[] {
    const ends = this.#parts.cni.pods().map(({ hostInterface }) => hostInterface);
    return [...nodeSettings, ...ends.flatMap(hostEndSettings)];
  }

  /** Of the first routes of each neighbour: a full table need not be read to see that next hops are wrong. */
  async #unresolved(): Promise<UnresolvedNextHops[]> {
    const found: UnresolvedNextHops[] = [];
    for (const { name, state } of this.#parts.peers()) {
      if (state !== "Established") continue;
      let looked = 0;
      let count = 0;
      const examples: { prefix: string; nextHops: readonly string[] }[] = [];
      for (const { rejected, prefix, nextHops } of this.#parts.received(name)) {
        if (rejected === "unresolved next hop" && count++ < EXAMPLES) examples.push({ prefix, nextHops });
        if (++looked >= MOST_ROUTES) break;
        if (looked % ROUTES_PER_TURN === 0) await new Promise((resolve) => setImmediate(resolve));
      }
      if (count > 0) found.push({ peer: name, count, examples });
    }
    return found;
  }

  async #inTime<T>(answer: Promise<T>): Promise<T> {
    let timer: { cancel(): void } | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = this.#parts.clock.after(PATIENCE, () => reject(new Error(`no answer within ${PATIENCE / 1000} s`)));
    });
    return Promise.race([answer, late]).finally(() => timer?.cancel());
  }
}

/** Ours, and those of our neighbours. */
function bgpPorts({ bgp, peers }: Config): Set<number> {
  return new Set([...(bgp.listenPort === null ? [] : [bgp.listenPort]), ...peers.map(({ port }) => port)]);
}
