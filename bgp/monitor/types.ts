// What monitoring is configured with, what it shows of itself, and how the RIB tells it what happens.
import type { PeerRib } from "../peer-rib.ts";
import type { EstablishedSession, SessionDown, SessionState } from "../session/types.ts";

/** One BMP monitoring station. Times in seconds. */
export interface BmpCollectorOptions {
  readonly name: string;
  /** 4 or 16 bytes. */
  readonly address: Uint8Array;
  readonly port: number;
  readonly localAddress: Uint8Array | null;
  /** What it gets: the Adj-RIBs-In before and after import policy, the Loc-RIBs. */
  readonly prePolicy: boolean;
  readonly postPolicy: boolean;
  readonly locRib: boolean;
  /** Between two Statistics Reports; null: none. */
  readonly statistics: number | null;
  /** Longest pause between attempts to connect. */
  readonly connectRetry: number;
}

/** Files of one kind: a new one every `interval` seconds, the `keep` newest ones stay. */
export interface MrtFiles {
  readonly interval: number;
  readonly keep: number;
}

export interface MrtOptions {
  readonly directory: string;
  /** UPDATEs received and changes of session state; null: not written. */
  readonly updates: MrtFiles | null;
  /** All Adj-RIBs-In and our own routes; null: only on demand. */
  readonly tables: MrtFiles | null;
  /** Microseconds in the records of updates (BGP4MP_ET). */
  readonly extendedTimestamps: boolean;
}

export interface MonitoringOptions {
  /** Sent as sysName and sysDescr. */
  readonly sysName: string;
  readonly sysDescr: string;
  readonly bmp: readonly BmpCollectorOptions[];
  readonly mrt: MrtOptions | null;
}

export const noMonitoring: MonitoringOptions = { sysName: "", sysDescr: "", bmp: [], mrt: null };

export interface BmpCollectorView {
  readonly name: string;
  readonly address: string;
  readonly port: number;
  readonly state: "connecting" | "connected" | "waiting" | "stopped";
  /** Seconds connected, null when not. */
  readonly uptime: number | null;
  readonly connectedCount: number;
  readonly lastError: string | null;
  readonly messagesSent: number;
  readonly bytesSent: number;
  /** Prefixes that it has yet to hear of. */
  readonly pending: number;
  /** Seconds since it last took anything, while something waits; 0: it keeps up. */
  readonly stalled: number;
}

export interface MrtView {
  readonly directory: string;
  /** File being written, null: none. */
  readonly updatesFile: string | null;
  readonly updatesWritten: number;
  /** Not written because the disk was full, failed, or was too slow. */
  readonly updatesLost: number;
  /** The newest table dump. */
  readonly lastDump: string | null;
  /** What does not work right now. */
  readonly lastError: string | null;
}

export interface MonitoringView {
  readonly bmp: readonly BmpCollectorView[];
  /** Null: not configured. */
  readonly mrt: MrtView | null;
}

/** A table dump that was asked for. */
export interface DumpResult {
  readonly file: string;
  readonly prefixes: number;
  readonly routes: number;
  readonly bytes: number;
  /** Milliseconds. */
  readonly duration: number;
}

/** What the RIB tells; after it has acted itself. */
export interface RibMonitor {
  established(peer: PeerRib, session: EstablishedSession): void;
  down(peer: PeerRib, session: EstablishedSession, down: SessionDown): void;
  /** Told before a session that has ended is gone. */
  stateChanged(peer: PeerRib, from: SessionState, to: SessionState): void;
  /** New options for a peer whose session goes on. */
  optionsChanged(peer: PeerRib): void;
  /** Not configured any more; its session has ended before. */
  removed(peer: PeerRib): void;
}

/** An UPDATE as it arrived: its body is buffer[start, end), the header stands before it. */
export type UpdateTap = (
  peer: PeerRib,
  session: EstablishedSession,
  buffer: Uint8Array,
  start: number,
  end: number,
) => void;
