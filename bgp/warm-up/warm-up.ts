// Runs the RIB's code before a neighbour needs it. V8 compiles what has run often enough, and a neighbour's table of 100,000
// routes is over before that has happened: in a daemon that has just started it takes three times as long as in one that
// has seen a table before (decision 0007).
//
// A RIB of its own, without sockets, hears the same things as the real one: tables of both families from two neighbours,
// the loss of each; and tells a third. In slices of a few milliseconds, so that sessions that come up meanwhile are not kept
// waiting. Nothing of it is left afterwards but compiled code.
import type { Clock } from "../../net/clock.ts";
import { silentLog } from "../../net/log.ts";
import type { LocRibView } from "../loc-rib/types.ts";
import { Rib } from "../rib.ts";
import type { EstablishedSession } from "../session/types.ts";
import type { SpeakerOptions, SpeakerPeer } from "../speaker-types.ts";
import { Framer } from "../wire/framer.ts";
import { scratchPeer } from "./scratch-session.ts";
import { scratchTable } from "./scratch-table.ts";

/** Each is about 40,000 changes of a prefix; after four of them a table of 100,000 takes 1.3 times as long as after six. */
const ROUNDS = 6;
/** Milliseconds per turn of the event loop. */
const SLICE = 4;
const LOST = { reason: "warm-up", notification: null, local: true, graceful: false };

export class WarmUp {
  readonly #clock: Clock;
  readonly #options: SpeakerOptions;
  readonly #template: SpeakerPeer;
  readonly #follow: (locRib: LocRibView) => void;
  #sent = 0;
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

  /** Resolves when all has been run, or after stop(). */
  async run(): Promise<void> {
    for (let round = 0; round < ROUNDS && !this.#stopped; round++) await this.#round(round);
  }

  /** One RIB from its first session to its last; another each time, so that nothing is compiled for one alone. */
  async #round(round: number): Promise<void> {
    // What a RIB puts off for a second is run at the end.
    const later: (() => void)[] = [];
    const clock: Clock = {
      now: () => this.#clock.now(),
      after(_delay, callback) {
        later.push(callback);
        return { cancel: () => undefined };
      },
    };
    const bestPath = { ...this.#options.bestPath, maxPaths: 1 + (round & 1) };
    const rib = new Rib(
      { ...this.#options, tables: [{ name: "warm-up", id: 0 }], bestPath, monitoring: undefined },
      { clock, log: silentLog, resolver: { resolve: (gateway) => ({ ifindex: 1, gateway }), onChange() {} } },
    );
    for (const locRib of rib.locRibs()) this.#follow(locRib);
    const sent = (octets: number) => {
      this.#sent += octets;
    };
    const sources = [1, 2].map((host) => scratchPeer(this.#template, host, { import: "all", export: "none" }, sent));
    const sink = scratchPeer(this.#template, 3, { import: "none", export: "all" }, sent);
    const sessions = [...sources, sink].map(({ peer, establish }) => {
      rib.addPeer(peer);
      const session = establish();
      rib.established(session);
      return session;
    });
    const [first, second, told] = sessions;
    await this.#read(rib, first, scratchTable(round, sources[0].asn));
    await this.#settled();
    await this.#read(rib, second, scratchTable(round, sources[1].asn));
    await this.#settled();
    // Everything at once: longer batches than those of a table that is read in slices.
    for (const family of [4, 6] as const) rib.routeRefresh(told, family);
    await this.#settled();
    for (const session of sessions) {
      rib.down(session, LOST);
      await this.#settled();
    }
    for (const callback of later) callback();
    await this.#settled();
    rib.stop();
  }

  async #read(rib: Rib, session: EstablishedSession, table: Uint8Array): Promise<void> {
    const framer = new Framer();
    framer.push(table);
    for (let until = this.#clock.now() + SLICE; framer.next() && !this.#stopped; ) {
      rib.update(session, framer.buffer, framer.start, framer.end);
      if (this.#clock.now() < until) continue;
      await turn();
      until = this.#clock.now() + SLICE;
    }
  }

  /** Nothing more is told to anybody. */
  async #settled(): Promise<void> {
    for (let before = -1; before !== this.#sent && !this.#stopped; await turn()) before = this.#sent;
  }
}

function turn(): Promise<void> {
  return new Promise(setImmediate);
}
