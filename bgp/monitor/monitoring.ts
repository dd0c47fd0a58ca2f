// Monitoring protocols: connects the RIB with BMP stations and MRT files. In: what the RIB tells, one call per event.
// Out: nothing that BGP would have to wait for.
//
//   RIB -> Monitoring -> Station (one per BMP collector) -> TCP
//                    \-> UpdateFiles, TableDump -> MRT files
import { isDeepStrictEqual } from "node:util";
import type { Clock } from "../../net/clock.ts";
import type { Log } from "../../net/log.ts";
import type { PeerRib } from "../peer-rib.ts";
import type { RibCore } from "../rib-core.ts";
import type { EstablishedSession, SessionDown, SessionState } from "../session/types.ts";
import { Station } from "./bmp/station.ts";
import { Subjects } from "./bmp/subjects.ts";
import { Mrt, type MrtDependencies, TableDumps } from "./mrt/mrt.ts";
import type { DumpedPeer } from "./mrt/table-dump.ts";
import type { DumpResult, MonitoringOptions, MonitoringView, RibMonitor, UpdateTap } from "./types.ts";

/** Of an unnumbered neighbour that has not been found. */
const unspecified6 = new Uint8Array(16);

export interface MonitoringDependencies {
  readonly clock: Clock;
  readonly log: Log;
  readonly core: RibCore;
  readonly asn: number;
  readonly peers: () => readonly PeerRib[];
  /** Milliseconds since 1970. */
  readonly wallTime: () => number;
  readonly random: () => number;
}

export class Monitoring implements RibMonitor {
  readonly #dependencies: MonitoringDependencies;
  readonly #subjects: Subjects;
  readonly #wallTime: () => number;
  readonly #dumps: TableDumps;
  readonly #mrtDependencies: MrtDependencies;
  readonly #startedAt: number;
  #stations: readonly Station[] = [];
  #mrt: Mrt | null = null;
  /** The end of files of a former configuration. */
  #ending: Promise<unknown> = Promise.resolve();
  #running = false;
  #options: MonitoringOptions;

  constructor(options: MonitoringOptions, dependencies: MonitoringDependencies) {
    const { core, asn, peers, wallTime } = dependencies;
    this.#dependencies = dependencies;
    this.#wallTime = wallTime;
    this.#startedAt = wallTime();
    this.#subjects = new Subjects(core, asn, peers, wallTime);
    this.#mrtDependencies = { ...dependencies, peers: () => this.#dumpedPeers() };
    this.#dumps = new TableDumps(this.#mrtDependencies);
    this.#options = options;
    this.setOptions(options);
  }

  /**
   * Stations that are configured as before keep their connections, files go on. `updateTap` may be another one
   * afterwards.
   */
  setOptions(options: MonitoringOptions): void {
    this.#setStations(options, () => true);
    this.#options = options;
    const { mrt } = options;
    if (isDeepStrictEqual(this.#mrt?.options ?? null, mrt)) return;
    const before = this.#mrt;
    this.#mrt = mrt && new Mrt(mrt, this.#dumps, this.#mrtDependencies);
    if (!this.#running) return;
    const next = this.#mrt;
    this.#ending = this.#ending.then(() => before?.stop()).then(() => next?.start());
  }

  /** Stations that are told of Loc-RIBs connect again: RFC 9069 has no way to say that there is another one now. */
  tablesChanged(): void {
    this.#subjects.tablesChanged();
    this.#setStations(this.#options, ({ options }) => !options.locRib);
  }

  #setStations({ sysName, sysDescr, bmp }: MonitoringOptions, keeps: (station: Station) => boolean): void {
    const before = this.#stations;
    const { core, clock, log, random, wallTime } = this.#dependencies;
    this.#stations = bmp.map((options) => {
      const known = before.find((station) => keeps(station) && isDeepStrictEqual(station.options, options));
      if (known) return known;
      const station = new Station(options, {
        slices: core.slices,
        subjects: this.#subjects,
        clock,
        log,
        random,
        sysName,
        sysDescr,
        wallTime,
      });
      if (this.#running) station.start();
      return station;
    });
    for (const station of before) if (!this.#stations.includes(station)) void station.stop();
  }

  get view(): MonitoringView {
    return { bmp: this.#stations.map((station) => station.view), mrt: this.#mrt?.view ?? null };
  }

  /** For every UPDATE; null: nobody wants them. */
  get updateTap(): UpdateTap | null {
    const updates = this.#mrt?.updates;
    if (!updates) return null;
    return ({ options }, session, buffer, start, end) => {
      if (options.monitored !== false) updates.update(session, buffer, start, end);
    };
  }

  /** Writes a table dump now. Rejects with an Error in words. */
  dump(file: string): Promise<DumpResult> {
    return this.#dumps.write(() => file);
  }

  start(): void {
    this.#running = true;
    for (const station of this.#stations) station.start();
    this.#mrt?.start();
  }

  /** Called when the sessions have ended and the RIB still works. */
  async stop(): Promise<void> {
    this.#running = false;
    await this.#ending;
    await Promise.all([...this.#stations.map((station) => station.stop()), this.#mrt?.stop()]);
  }

  // RibMonitor

  established(peer: PeerRib): void {
    const subject = this.#subjects.of(peer);
    subject.establishedAt = this.#wallTime();
    for (const station of this.#stations) station.peerChanged(subject, null);
  }

  down(peer: PeerRib, session: EstablishedSession, down: SessionDown): void {
    for (const station of this.#stations) station.peerChanged(this.#subjects.of(peer), { session, down });
  }

  stateChanged({ options, session }: PeerRib, from: SessionState, to: SessionState): void {
    if (options.monitored !== false) this.#mrt?.updates?.stateChanged(options, session, from, to);
  }

  optionsChanged(peer: PeerRib): void {
    for (const station of this.#stations) station.peerChanged(this.#subjects.of(peer), null);
  }

  removed(peer: PeerRib): void {
    const subject = this.#subjects.remove(peer);
    for (const station of this.#stations) station.peerChanged(subject, null);
  }

  /** This node first, then the neighbours. */
  #dumpedPeers(): DumpedPeer[] {
    const { core, asn, peers } = this.#dependencies;
    const own = { routerId: core.routerId, address: new Uint8Array(4), asn, since: this.#startedAt, families: null };
    const monitored = peers().filter(({ options }) => options.monitored !== false);
    return [
      own,
      ...monitored.map((peer): DumpedPeer => {
        const { remoteAsn, address } = peer.options;
        const { negotiated } = peer.session ?? {};
        const configured = typeof remoteAsn === "number" ? remoteAsn : remoteAsn === "internal" ? asn : 0;
        return {
          routerId: negotiated?.remoteRouterId ?? 0,
          address: negotiated?.remoteAddress ?? address ?? unspecified6,
          asn: negotiated?.remoteAsn ?? configured,
          since: this.#subjects.of(peer).establishedAt || this.#startedAt,
          families: peer.families,
        };
      }),
    ];
  }
}
