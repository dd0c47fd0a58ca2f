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
import type { EstablishedSession, PeerOptions, SessionDown, SessionState } from "../session/types.ts";
import { Station } from "./bmp/station.ts";
import { Subjects } from "./bmp/subjects.ts";
import type { MonitoringOptions, MonitoringView, RibMonitor, UpdateTap } from "./types.ts";

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
  #stations: readonly Station[] = [];
  #running = false;

  constructor(options: MonitoringOptions, dependencies: MonitoringDependencies) {
    const { core, asn, peers, wallTime } = dependencies;
    this.#dependencies = dependencies;
    this.#wallTime = wallTime;
    this.#subjects = new Subjects(core, asn, peers, wallTime);
    this.setOptions(options);
  }

  /** Stations that are configured as before keep their connections. */
  setOptions({ sysName, sysDescr, bmp }: MonitoringOptions): void {
    const before = this.#stations;
    const { core, clock, log, random, wallTime } = this.#dependencies;
    this.#stations = bmp.map((options) => {
      const known = before.find((station) => isDeepStrictEqual(station.options, options));
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
    return { bmp: this.#stations.map((station) => station.view), mrt: null };
  }

  /** For every UPDATE; null: nobody wants them. */
  get updateTap(): UpdateTap | null {
    return null;
  }

  start(): void {
    this.#running = true;
    for (const station of this.#stations) station.start();
  }

  /** Called when the sessions have ended and the RIB still works. */
  async stop(): Promise<void> {
    this.#running = false;
    await Promise.all(this.#stations.map((station) => station.stop()));
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

  stateChanged(_peer: PeerOptions, _session: EstablishedSession | null, _from: SessionState, _to: SessionState): void {}

  optionsChanged(peer: PeerRib): void {
    for (const station of this.#stations) station.peerChanged(this.#subjects.of(peer), null);
  }

  removed(peer: PeerRib): void {
    const subject = this.#subjects.remove(peer);
    for (const station of this.#stations) station.peerChanged(subject, null);
  }
}
