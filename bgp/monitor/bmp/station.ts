// One monitoring station and what it is told: Initiation, then of each peer Peer Up and its Adj-RIBs-In, of each table
// Peer Up and its Loc-RIB, changes, statistics, Peer Down. In: the RIB's events. Out: BMP messages, at the pace of the
// station.
//
// Nothing is queued: of a peer it is known which session the station was told of and which one there is, of a view
// which prefixes changed. A station that reads nothing costs these marks; one that comes back is told everything anew.
//
// With Peer Down the station forgets the peer's routes (RFC 7854 §4.9), also those that we keep as stale for a neighbour that
// restarts (RFC 4724); they are in the Loc-RIB still, and are reported again with the next Peer Up.
import type { Log } from "../../../net/log.ts";
import type { Slices, SliceTask } from "../../../net/slices.ts";
import type { EstablishedSession, SessionDown } from "../../session/types.ts";
import { Writer } from "../../wire/writer.ts";
import type { BmpCollectorOptions, BmpCollectorView } from "../types.ts";
import { type ConnectionDependencies, StationConnection } from "./connection.ts";
import type { Feed } from "./feed.ts";
import {
  InformationType,
  writeInitiation,
  writePeerDown,
  writePeerUp,
  writeStatistics,
  writeTermination,
} from "./messages.ts";
import { RouteMonitoringWriter } from "./route-monitoring.ts";
import type { LocRibSubject, PeerSubject, Subjects } from "./subjects.ts";

/** What a step writes at most, give or take a batch. */
const STEP_OCTETS = 64 * 1024;

export interface StationDependencies extends ConnectionDependencies {
  readonly slices: Slices;
  readonly log: Log;
  readonly subjects: Subjects;
  readonly sysName: string;
  readonly sysDescr: string;
  /** Milliseconds since 1970. */
  readonly wallTime: () => number;
}

/** What the station knows of a peer's sessions. */
interface Report {
  readonly subject: PeerSubject;
  /** The session it was told of, and how that ended; `down` undefined: it goes on. */
  told: EstablishedSession | null;
  down: Pick<SessionDown, "notification" | "local"> | null | undefined;
  downAt: number;
  feeds: Feed[];
}

interface TableReport {
  readonly subject: LocRibSubject;
  feeds: Feed[];
}

export class Station implements SliceTask {
  readonly options: BmpCollectorOptions;
  readonly #dependencies: StationDependencies;
  readonly #connection: StationConnection;
  readonly #writer = new RouteMonitoringWriter(new Writer(2 * STEP_OCTETS));
  readonly #reports = new Map<string, Report>();
  #tables: TableReport[] = [];
  /** Closed, with prefixes to give back. */
  #closed: Feed[] = [];
  /** Reports that may have something to say besides routes. */
  readonly #changed = new Set<Report>();
  #greeted = false;
  #statisticsDue = false;
  #statisticsTimer: { cancel(): void } | null = null;
  #messages = 0;
  /** The feed that comes first in the next step. */
  #turn = 0;

  constructor(options: BmpCollectorOptions, dependencies: StationDependencies) {
    this.options = options;
    this.#dependencies = dependencies;
    this.#connection = new StationConnection(options, dependencies, {
      connected: () => this.#connected(),
      lost: () => this.#lost(),
      writable: () => this.#wake(),
    });
  }

  get view(): BmpCollectorView {
    let pending = 0;
    for (const feed of this.#feeds()) pending += feed.pending;
    const { stalled, ...view } = this.#connection.view;
    return { ...view, messagesSent: this.#messages, pending, stalled };
  }

  start(): void {
    this.#connection.start();
  }

  /** Says goodbye (RFC 7854 §4.5); resolves within a second or so. */
  async stop(): Promise<void> {
    this.#statisticsTimer?.cancel();
    if (this.#connection.isConnected) {
      if (this.#greeted) this.#writeSessions();
      writeTermination(this.#writer.writer, "underlayd stops");
      this.#messages++;
      this.#send();
    }
    await this.#connection.stop();
    this.#forget();
  }

  /** A session of the peer began or ended, or the peer is monitored from now on, or no longer. */
  peerChanged(subject: PeerSubject, ended: { session: EstablishedSession; down: SessionDown } | null): void {
    if (!this.#connection.isConnected) return;
    const report = this.#report(subject);
    if (report.told && report.down === undefined) {
      if (ended?.session === report.told) this.#end(report, ended.down);
      else if (subject.session === null) this.#end(report, null);
    }
    this.#changed.add(report);
    this.#wake();
  }

  step(): boolean {
    if (this.#closed.length > 0) {
      if (!this.#closed[0].release()) this.#closed.shift();
      if (!this.#connection.isWritable) return this.#closed.length > 0;
    }
    if (!this.#connection.isWritable) return false;
    try {
      return this.#write() || this.#closed.length > 0;
    } catch (error) {
      // What was written so far may be half a message.
      this.#connection.fail(`internal error: ${error instanceof Error ? error.message : String(error)}`);
      throw error;
    }
  }

  /** True: there is more. */
  #write(): boolean {
    const { writer } = this.#writer;
    if (!this.#greeted) this.#greet();
    this.#writeSessions();
    if (this.#statisticsDue) this.#writeStatistics();
    const feeds = [...this.#feeds()];
    let more = false;
    for (let i = 0; i < feeds.length; i++) {
      const feed = feeds[(this.#turn + i) % feeds.length];
      if (!feed.due) continue;
      if (writer.offset >= STEP_OCTETS) {
        // The one that had no turn comes first next time.
        this.#turn = (this.#turn + i) % feeds.length;
        more = true;
        break;
      }
      feed.write(this.#writer);
      more ||= feed.due;
    }
    this.#send();
    return more && this.#connection.isWritable;
  }

  *#feeds(): Generator<Feed> {
    for (const { feeds } of this.#reports.values()) yield* feeds;
    for (const { feeds } of this.#tables) yield* feeds;
  }

  #connected(): void {
    const { subjects, clock } = this.#dependencies;
    for (const subject of subjects.peers()) this.#changed.add(this.#report(subject));
    const { statistics } = this.options;
    const again = () => {
      if (statistics === null) return;
      this.#statisticsTimer = clock.after(statistics * 1000, () => {
        this.#statisticsDue = true;
        this.#wake();
        again();
      });
    };
    again();
    this.#wake();
  }

  #lost(): void {
    this.#statisticsTimer?.cancel();
    this.#forget();
    this.#wake();
  }

  #forget(): void {
    for (const feed of this.#feeds()) this.#close(feed);
    this.#reports.clear();
    this.#changed.clear();
    this.#tables = [];
    this.#greeted = false;
    this.#statisticsDue = false;
    this.#writer.writer.reset();
  }

  #report(subject: PeerSubject): Report {
    let report = this.#reports.get(subject.name);
    if (report?.subject !== subject) {
      report = { subject, told: null, down: undefined, downAt: 0, feeds: [] };
      this.#reports.set(subject.name, report);
    }
    return report;
  }

  #end(report: Report, down: Report["down"]): void {
    report.down = down;
    report.downAt = this.#dependencies.wallTime();
    for (const feed of report.feeds) this.#close(feed);
    report.feeds = [];
  }

  #close(feed: Feed): void {
    feed.close();
    this.#closed.push(feed);
  }

  #greet(): void {
    const { sysName, sysDescr, subjects, wallTime } = this.#dependencies;
    const { writer } = this.#writer;
    writeInitiation(writer, [
      { type: InformationType.SYS_DESCR, text: sysDescr },
      { type: InformationType.SYS_NAME, text: sysName },
    ]);
    this.#messages++;
    this.#greeted = true;
    if (!this.options.locRib) return;
    for (const subject of subjects.tables()) {
      const { peer, localAddress, handshake, information } = subject;
      writePeerUp(writer, peer, wallTime(), localAddress, handshake, information);
      this.#messages++;
      this.#tables.push({ subject, feeds: subject.feeds(() => this.#wake()) });
    }
  }

  /** Peer Down and Peer Up, for all that happened since. */
  #writeSessions(): void {
    const { writer } = this.#writer;
    for (const report of this.#changed) {
      const { subject } = report;
      if (report.told && report.down !== undefined) {
        writePeerDown(writer, subject.headerOf(report.told), report.downAt, report.down);
        this.#messages++;
        report.told = null;
        report.down = undefined;
      }
      const { session } = subject;
      if (session && !report.told) {
        const peer = subject.headerOf(session);
        writePeerUp(writer, peer, subject.establishedAt, subject.localAddress, session.handshake, []);
        this.#messages++;
        report.told = session;
        report.feeds = subject.feeds(this.options, () => this.#wake());
      }
      if (!report.told && subject.isRemoved && this.#reports.get(subject.name) === report)
        this.#reports.delete(subject.name);
    }
    this.#changed.clear();
  }

  #writeStatistics(): void {
    this.#statisticsDue = false;
    const { writer } = this.#writer;
    const time = this.#dependencies.wallTime();
    for (const { subject, told, down } of this.#reports.values()) {
      if (!told || down !== undefined) continue;
      writeStatistics(writer, subject.headerOf(told), time, subject.statistics());
      this.#messages++;
    }
    for (const { subject } of this.#tables) {
      writeStatistics(writer, subject.peer, time, subject.statistics());
      this.#messages++;
    }
  }

  #send(): void {
    const { writer } = this.#writer;
    this.#messages += this.#writer.messages;
    this.#writer.messages = 0;
    if (writer.offset === 0) return;
    const octets = writer.slice();
    writer.reset();
    this.#connection.write(octets);
  }

  #wake(): void {
    this.#dependencies.slices.schedule(this);
  }
}
