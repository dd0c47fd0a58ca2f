// What neighbours say, as it comes: BGP4MP records of UPDATEs received and of changes of state, in files that begin anew
// every interval. Records are gathered while the one before is being written; when the disk cannot keep up, or is full,
// records are lost, counted and logged, and BGP does not notice.
import type { Clock, Timer } from "../../../net/clock.ts";
import type { Log } from "../../../net/log.ts";
import { FailureLog } from "../../session/failure-log.ts";
import type { EstablishedSession, PeerOptions, SessionState } from "../../session/types.ts";
import { HEADER_LENGTH } from "../../wire/message.ts";
import { layoutUpdate, locateMultiprotocol, type MpLayout } from "../../wire/update.ts";
import { Writer } from "../../wire/writer.ts";
import type { MrtFiles } from "../types.ts";
import { newPath, prepareDirectory, removeOld, untilBoundary } from "./directory.ts";
import { FileWriter, fileErrorText } from "./file-writer.ts";
import { type MrtSession, writeMessage, writeStateChange } from "./records.ts";

/** Octets that wait for the disk at most. */
const LONGEST_QUEUE = 8 << 20;
/** Octets that are on their way to the disk before the next ones are sent after them. */
const LONGEST_CHUNKS = 256 * 1024;
/** Milliseconds until a disk that failed is tried again. */
const RETRY = 10_000;

export interface UpdateFilesOptions extends MrtFiles {
  readonly directory: string;
  readonly extendedTimestamps: boolean;
}

export interface UpdateFilesDependencies {
  readonly clock: Clock;
  readonly log: Log;
  readonly wallTime: () => number;
}

export class UpdateFiles {
  readonly #options: UpdateFilesOptions;
  readonly #dependencies: UpdateFilesDependencies;
  readonly #failures: FailureLog;
  readonly #writer = new Writer(64 * 1024);
  /** Records in #writer. */
  #gathered = 0;
  /** Records in each chunk that was handed to the file and is not written yet. */
  #handed: number[] = [];
  #file: FileWriter | null = null;
  #timer: Timer | null = null;
  #retryAt = 0;
  /** Opening, or closing a file: one after the other. */
  #turn: Promise<void> = Promise.resolve();
  #stopped = false;
  written = 0;
  lost = 0;
  lastError: string | null = null;

  constructor(options: UpdateFilesOptions, dependencies: UpdateFilesDependencies) {
    this.#options = options;
    this.#dependencies = dependencies;
    const { clock, log } = dependencies;
    const { directory } = options;
    this.#failures = new FailureLog(clock, (fields) =>
      log.error({ directory, ...fields }, "MRT: updates are not written"),
    );
  }

  get path(): string | null {
    return this.#file?.path ?? null;
  }

  start(): void {
    this.#rotate();
  }

  /** Ends the file that is being written. */
  async stop(): Promise<void> {
    this.#timer?.cancel();
    this.#flush();
    this.#stopped = true;
    this.#turn = this.#turn.then(() => this.#close());
    await this.#turn;
  }

  /** An UPDATE's body is buffer[start, end), its header stands before it. */
  update({ negotiated }: EstablishedSession, buffer: Uint8Array, start: number, end: number): void {
    if (!this.#hasRoom()) return;
    const message = buffer.subarray(start - HEADER_LENGTH, end);
    const withIds = negotiated.addPath?.receive ?? [];
    const addPath =
      withIds.length > 0 &&
      (withIds.length === negotiated.families.length || withIds.includes(familyOf(buffer, start, end)));
    writeMessage(this.#writer, this.#now(), negotiated, message, addPath);
    this.#gather();
  }

  stateChanged(peer: PeerOptions, session: EstablishedSession | null, from: SessionState, to: SessionState): void {
    if (!this.#hasRoom()) return;
    writeStateChange(this.#writer, this.#now(), session?.negotiated ?? unconnected(peer), from, to);
    this.#gather();
  }

  #now(): { time: number; extended: boolean } {
    return { time: this.#dependencies.wallTime(), extended: this.#options.extendedTimestamps };
  }

  #hasRoom(): boolean {
    if (this.#stopped) return false;
    const failing = this.#dependencies.clock.now() < this.#retryAt;
    if (!failing && this.#writer.offset + (this.#file?.pending ?? 0) < LONGEST_QUEUE) return true;
    this.lost++;
    if (!failing) {
      this.lastError = "the disk is too slow";
      this.#failures.add(this.lastError);
    }
    return false;
  }

  #gather(): void {
    // The first of a turn asks for the flush; the others of this turn go with it.
    if (this.#gathered++ === 0) setImmediate(() => this.#flush());
  }

  #flush(): void {
    const file = this.#file;
    // Meanwhile more is gathered, for fewer and larger writes.
    if (!file || this.#gathered === 0 || file.pending > LONGEST_CHUNKS) return;
    if (file.error) file.retry();
    this.#handed.push(this.#gathered);
    this.#gathered = 0;
    file.write(this.#writer.slice());
    this.#writer.reset();
  }

  #progress(file: FileWriter): void {
    if (file.error) {
      for (const records of this.#handed.splice(0)) this.lost += records;
      this.#failed(fileErrorText(file.error));
    } else {
      this.written += this.#handed.shift() ?? 0;
      this.lastError = null;
    }
    // What was gathered meanwhile; after an error it waits for the next record behind the pause.
    if (!file.error) setImmediate(() => this.#flush());
  }

  #failed(reason: string): void {
    this.lastError = reason;
    this.#retryAt = this.#dependencies.clock.now() + RETRY;
    this.#failures.add(reason);
    if (this.#gathered === 0) return;
    this.lost += this.#gathered;
    this.#gathered = 0;
    this.#writer.reset();
  }

  #rotate(): void {
    const { clock, wallTime } = this.#dependencies;
    this.#turn = this.#turn.then(async () => {
      await this.#close();
      if (!this.#stopped) await this.#open();
    });
    const again = () => this.#rotate();
    this.#timer = clock.after(untilBoundary(wallTime(), this.#options.interval) + 1, again);
  }

  async #open(): Promise<void> {
    const { directory, keep } = this.#options;
    try {
      await prepareDirectory(directory);
      await removeOld(directory, "updates", keep - 1);
      const file = await FileWriter.create(newPath(directory, "updates", this.#dependencies.wallTime()));
      file.onProgress = () => this.#progress(file);
      this.#file = file;
      this.lastError = null;
      this.#flush();
    } catch (error) {
      this.#failed(fileErrorText(error));
      if (this.#stopped) return;
      this.#timer?.cancel();
      this.#timer = this.#dependencies.clock.after(RETRY, () => this.#rotate());
    }
  }

  async #close(): Promise<void> {
    const file = this.#file;
    if (!file) return;
    if (this.#gathered > 0 && !file.error) {
      this.#handed.push(this.#gathered);
      this.#gathered = 0;
      file.write(this.#writer.slice());
      this.#writer.reset();
    }
    this.#file = null;
    try {
      await file.finishAnyway();
    } catch (error) {
      this.#failed(fileErrorText(error));
    }
  }
}

/** Before there is a session: what is configured. */
function unconnected({ address, remoteAsn, localAsn, localAddress }: PeerOptions): MrtSession {
  const asn = remoteAsn === "internal" ? localAsn : typeof remoteAsn === "number" ? remoteAsn : 0;
  return {
    remoteAsn: asn,
    localAsn,
    ifindex: 0,
    // An unnumbered neighbour that has not been found has none.
    remoteAddress: address ?? new Uint8Array(16),
    localAddress: localAddress ?? new Uint8Array(address?.length ?? 16),
    as4: true,
  };
}

const layout = { withdrawnStart: 0, withdrawnEnd: 0, attributesStart: 0, attributesEnd: 0, nlriStart: 0, nlriEnd: 0 };
const mp: MpLayout = { reachStart: -1, reachEnd: -1, unreachStart: -1, unreachEnd: -1 };

/** Which family an UPDATE is about. One that is broken is about none, and recorded all the same. */
function familyOf(buffer: Uint8Array, start: number, end: number): 4 | 6 {
  try {
    layoutUpdate(buffer, start, end, layout);
  } catch {
    return 4;
  }
  locateMultiprotocol(buffer, layout.attributesStart, layout.attributesEnd, mp);
  const at = mp.reachStart >= 0 ? mp.reachStart : mp.unreachStart;
  if (at < 0) return 4;
  const value = at + ((buffer[at] & 0x10) !== 0 ? 4 : 3);
  return buffer[value + 1] === 2 ? 6 : 4;
}
