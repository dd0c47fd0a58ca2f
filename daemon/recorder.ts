// The flight recorder: every event of the daemon, a mark of its resources each minute and how everything is now and then,
// to disk (history/), where `underlayctl history` finds it with or without a daemon.
//
// What there may be too much of is held to a rate. Of best routes and sessions that change without end the record says
// how many were left out; bulk loads into the kernel come summed up already.
import { join } from "node:path";
import type { StateFields } from "../history/format.ts";
import { type LastRun, lastRun } from "../history/last-run.ts";
import { Ring } from "../history/ring.ts";
import type { Clock, Timer } from "../net/clock.ts";
import type { Log } from "../net/log.ts";
import { bootId } from "../net/proc.ts";
import { TokenBucket } from "../net/token-bucket.ts";
import type { WatchEvent } from "./api/events.ts";
import type { HistoryView } from "./api/types.ts";
import type { EventHub } from "./events.ts";
import { version } from "./version.ts";

/** Milliseconds between two records of how everything is. */
const STATE_MS = 15 * 60_000;
/** Records of one type: at once, and per second after that. */
const BURST = 2_000;
const PER_SECOND = 20;
/** Best routes that changed, with their names: at once, and per second. */
const ROUTE_BURST = 2_000;
const ROUTES_PER_SECOND = 10;
/** Milliseconds between two records of what was left out. */
const LEFT_OUT_MS = 1_000;

export interface RecorderOptions {
  readonly directory: string;
  /** Bytes. */
  readonly size: number;
  readonly node: string;
}

export interface RecorderDeps {
  readonly events: EventHub;
  readonly clock: Clock;
  readonly log: Log;
  readonly state: () => StateFields;
}

export class Recorder {
  readonly #options: RecorderOptions;
  readonly #deps: RecorderDeps;
  readonly #ring: Ring;
  readonly #buckets = new Map<string, TokenBucket>();
  readonly #routes = new TokenBucket(ROUTE_BURST, ROUTES_PER_SECOND);
  readonly #leftOut = new Map<string, { fields: object; type: string; count: number }>();
  readonly #lastRun: LastRun | null;
  readonly #bootId = bootId();
  #lastStatusOutcome: unknown = null;
  #leftOutTimer: Timer | null = null;
  #stateTimer: Timer | null = null;
  #unsubscribe = () => {};

  constructor(options: RecorderOptions, deps: RecorderDeps) {
    this.#options = options;
    this.#deps = deps;
    this.#lastRun = lastRun(options.directory);
    this.#ring = new Ring(
      {
        directory: options.directory,
        size: options.size,
        header: { node: options.node, version, pid: process.pid, bootId: this.#bootId },
      },
      {
        clock: deps.clock,
        wallTime: Date.now,
        state: deps.state,
        onProblem: (problem) => {
          if (problem) deps.log.warn({}, problem);
          else deps.log.info({}, "the flight recorder goes on");
        },
      },
    );
  }

  get problem(): string | null {
    return this.#ring.problem;
  }

  view(): HistoryView {
    const { bytes, written, lost, problem } = this.#ring;
    return { directory: this.#options.directory, size: this.#options.size, bytes, written, lost, problem };
  }

  /** Records from here on, and how the last run ended. */
  start(): void {
    this.#unsubscribe = this.#deps.events.subscribe({ event: (event) => this.#record(event) });
    this.#deps.events.emit("daemon", {
      kind: "start",
      message: `underlayd ${version} starts, process ${process.pid}; ${this.#ending()}`,
      version,
      pid: process.pid,
      lastRun: this.#lastRun,
    });
    this.#ring.open();
    this.#stateTimer = this.#deps.clock.after(STATE_MS, () => this.#recordState());
  }

  /** The process ends at once: last words, written in this call. */
  crash(message: string): void {
    this.#ring.append("daemon", { kind: "crash", message }, true);
    this.#ring.flushNow();
  }

  /** `kind`: `stopped`, or `failed` for a start that led nowhere. */
  async stop(kind: "stopped" | "failed", message: string): Promise<void> {
    this.#deps.events.emit("daemon", { kind, message });
    this.#unsubscribe();
    this.#leftOutTimer?.cancel();
    this.#tellLeftOut();
    this.#stateTimer?.cancel();
    await this.#ring.close();
  }

  #ending(): string {
    const last = this.#lastRun;
    if (!last) return "no earlier run is on record";
    if (last.end === "stopped") return `the last run was stopped at ${last.time}`;
    if (last.end === "crash") return `the last run crashed at ${last.time}: ${last.message}`;
    const why = last.bootId === this.#bootId ? "was killed or crashed" : "ended with the host";
    return `the last run ${why} after ${last.time}`;
  }

  #record(event: WatchEvent): void {
    const now = this.#deps.clock.now();
    const { type } = event;
    const at = Date.parse(event.time);
    if (type === "route") {
      this.#recordRoutes(event, now, at);
      return;
    }
    if (this.#isRepeated(event)) return;
    const important = isImportant(event);
    if (this.#bucket(important ? "important" : type, now).take()) this.#ring.append(type, event, important, at);
    else this.#leaveOut(type, "recorder", { kind: "leftOut", of: type }, 1);
    // The tables are as they will be for a while: from here on counts are known.
    if (type === "daemon" && event["kind"] === "converged") this.#recordState();
  }

  #recordRoutes(event: WatchEvent, now: number, at: number): void {
    const changes = event["changes"] as readonly unknown[];
    this.#routes.fill(now);
    if (this.#routes.take(changes.length)) this.#ring.append("route", event, false, at);
    else {
      const { table, family, count } = event;
      this.#leaveOut(`route ${table} ${family}`, "route", { table, family, changes: [] }, count as number);
    }
  }

  /** A runtime asks for STATUS every few seconds: the same answer is no news. */
  #isRepeated(event: WatchEvent): boolean {
    if (event.type !== "cni" || event["verb"] !== "STATUS") return false;
    const outcome = event["error"] ?? "";
    const same = outcome === this.#lastStatusOutcome;
    this.#lastStatusOutcome = outcome;
    return same;
  }

  #bucket(type: string, now: number): TokenBucket {
    let bucket = this.#buckets.get(type);
    if (!bucket) {
      bucket = new TokenBucket(BURST, PER_SECOND);
      this.#buckets.set(type, bucket);
    }
    bucket.fill(now);
    return bucket;
  }

  #leaveOut(key: string, type: string, fields: object, count: number): void {
    const known = this.#leftOut.get(key);
    if (known) known.count += count;
    else this.#leftOut.set(key, { type, fields, count });
    this.#leftOutTimer ??= this.#deps.clock.after(LEFT_OUT_MS, () => {
      this.#leftOutTimer = null;
      this.#tellLeftOut();
    });
  }

  #tellLeftOut(): void {
    for (const { type, fields, count } of this.#leftOut.values()) this.#ring.append(type, { ...fields, count });
    this.#leftOut.clear();
  }

  #recordState(): void {
    this.#ring.append("state", this.#deps.state());
    this.#stateTimer?.cancel();
    this.#stateTimer = this.#deps.clock.after(STATE_MS, () => this.#recordState());
  }
}

/** Rare, and what an incident is told by: with a rate of their own, and soon on disk. */
function isImportant({ type, kind, from, to, problem }: WatchEvent): boolean {
  switch (type) {
    case "daemon":
    case "config":
    case "api":
      return true;
    case "problem":
      return problem !== undefined;
    case "session":
      return kind === "state" && (from === "Established" || to === "Established");
    case "kernel":
      return kind !== "operation" && kind !== "operations" && kind !== "link" && kind !== "routesInstalled";
    default:
      return false;
  }
}

/** Where the recorder of a state directory writes. */
export function historyDirectory(state: string): string {
  return join(state, "history");
}
