// Runs the RIB's code before a neighbour needs it. V8 compiles what has run often enough, and a neighbour's table of 100,000
// routes is over before that has happened: in a daemon that has just started it takes three times as long as in one that
// has seen a table before (decision 0007).
//
// A RIB of its own hears the same things as the real one, in sessions over the loopback interface: tables of both
// families from two neighbours, the loss of each; and tells a third. In slices of a few milliseconds, so that sessions
// that come up meanwhile are not kept waiting. Nothing of it is left afterwards but compiled code.
import type { Clock, Timer } from "../../net/clock.ts";
import { silentLog } from "../../net/log.ts";
import { WorkQueue } from "../../net/work-queue.ts";
import type { LocRibView } from "../loc-rib/types.ts";
import { Rib } from "../rib.ts";
import type { SpeakerOptions, SpeakerPeer } from "../speaker-types.ts";
import { ScratchNeighbour } from "./scratch-neighbour.ts";
import { scratchTable, UPDATES } from "./scratch-table.ts";

/** Each is about 40,000 changes of a prefix; after four of them a table of 100,000 takes 1.3 times as long as after six. */
const ROUNDS = 6;
/** Milliseconds per turn of the event loop. */
const SLICE = 4;
/** Milliseconds for what should take a few. */
const PATIENCE = 2000;

export class WarmUp {
  readonly #clock: Clock;
  readonly #options: SpeakerOptions;
  readonly #template: SpeakerPeer;
  readonly #follow: (locRib: LocRibView) => void;
  #stopped = false;

  /**
   * `options`, `template`: what the speaker and one of its peers are configured with; `follow`: connects whoever follows
   * the Loc-RIBs in the daemon, as the RIB's own code is compiled for those too.
   */
  constructor(
    clock: Clock,
    options: SpeakerOptions,
    template: SpeakerPeer,
    follow: (locRib: LocRibView) => void = () => undefined,
  ) {
    this.#clock = clock;
    this.#options = options;
    this.#template = template;
    this.#follow = follow;
  }

  stop(): void {
    this.#stopped = true;
  }

  /** Resolves when all has been run. False: it was stopped, or there is no loopback interface to run it over. */
  async run(): Promise<boolean> {
    const work = new WorkQueue(this.#clock, SLICE);
    for (let round = 0; round < ROUNDS; round++) if (this.#stopped || !(await this.#round(round, work))) return false;
    return true;
  }

  /** One RIB from its first session to its last; another each time, so that nothing is compiled for one alone. */
  async #round(round: number, work: WorkQueue): Promise<boolean> {
    const odd = (round & 1) === 1;
    const deferring = new DeferringClock(this.#clock);
    const rib = new Rib(
      {
        ...this.#options,
        tables: [{ name: "warm-up", id: 0 }],
        bestPath: { ...this.#options.bestPath, maxPaths: odd ? 2 : 1 },
        monitoring: undefined,
      },
      {
        clock: odd ? this.#clock : deferring,
        log: silentLog,
        resolver: { resolve: (gateway) => ({ ifindex: 1, gateway }), onChange() {} },
      },
    );
    for (const locRib of rib.locRibs()) this.#follow(locRib);
    rib.onEvent(() => undefined);
    const dependencies = { handler: rib, clock: this.#clock, work };
    const source = (host: number) =>
      new ScratchNeighbour(this.#template, host, { import: "all", export: "none" }, dependencies);
    const sources = [source(1), source(2)];
    const sink = new ScratchNeighbour(this.#template, 3, { import: "none", export: "all" }, dependencies);
    const neighbours = [...sources, sink];
    for (const { options } of neighbours) rib.addPeer(options);
    const idle = () => rib.core.slices.pending === 0 && rib.untold().length === 0;
    const up = async (neighbour: ScratchNeighbour) =>
      (await neighbour.connect()) && (await this.#until(() => neighbour.isEstablished && idle()));
    const announces = (neighbour: ScratchNeighbour) => {
      neighbour.announce(scratchTable(round, neighbour.asn), UPDATES);
      return this.#until(() => neighbour.isHeard && idle());
    };
    try {
      // Now and then there is a table already when the first neighbour comes that is told of it.
      const order = odd ? neighbours : [sink, ...sources];
      for (const neighbour of order)
        if (!(await up(neighbour)) || (neighbour !== sink && !(await announces(neighbour)))) return false;
      // Everything at once: longer batches than those of a table that is read in slices.
      for (const family of [4, 6] as const) sink.requestRefresh(family);
      await this.#until(() => sink.isHeard && idle());
      for (const neighbour of neighbours) {
        neighbour.vanish();
        await this.#until(() => !neighbour.isEstablished && idle());
      }
      deferring.catchUp();
      await this.#until(idle);
      return true;
    } finally {
      for (const neighbour of neighbours) await neighbour.stop();
      rib.stop();
    }
  }

  /** Turns of the event loop until it is so; false: it does not become so. */
  async #until(holds: () => boolean): Promise<boolean> {
    const end = this.#clock.now() + PATIENCE;
    while (!holds()) {
      if (this.#stopped || this.#clock.now() >= end) return false;
      await new Promise(setImmediate);
    }
    return true;
  }
}

/** What a RIB puts off for a second is run when asked for. */
class DeferringClock implements Clock {
  readonly #clock: Clock;
  readonly #later: (() => void)[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  now(): number {
    return this.#clock.now();
  }

  after(_delay: number, callback: () => void): Timer {
    this.#later.push(callback);
    return { cancel: () => undefined };
  }

  catchUp(): void {
    for (const callback of this.#later.splice(0)) callback();
  }
}
