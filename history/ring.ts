// The flight recorder's disk side: records in, appended to segments whose total size is bounded; the oldest segment goes
// first. append() never waits and never throws. Lines gather for a moment and are written on the thread pool; one write
// is under way at a time, and what waits is bounded, so a slow disk costs records (they are counted), never the daemon.
//
//   append -> waiting lines --every 100 ms--> segment file -> (important ones) fdatasync
//
// A disk that cannot be written to pauses the recording: lines wait as long as there is room for them, and are tried again.
import { closeSync, fstatSync, openSync, readSync, writeSync } from "node:fs";
import { type FileHandle, mkdir, open, readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Clock, Timer } from "../net/clock.ts";
import { FORMAT, parseRecord, segmentName, segmentSeq } from "./format.ts";

/** Milliseconds that a line waits for others. */
const FLUSH_MS = 100;
/** Milliseconds between two attempts to write to a disk that refused. */
const RETRY_MS = 2_000;
/** Milliseconds between two fdatasync. */
const SYNC_MS = 1_000;
/** Bytes that may wait. */
const WAITING_LIMIT = 4 << 20;
const BATCH = 256 * 1024;
/** Milliseconds between two looks whether the files are still there. */
const LOOK_MS = 10_000;
/** Milliseconds by which the clocks may drift apart between two records. */
const CLOCK_JUMP_MS = 1_000;
/** Bytes of `{"seq":`, a number and a comma. */
const NUMBER_BYTES = 25;
const NEWLINE = 10;
/** Segments of a full directory. */
const SEGMENTS = 16;

export interface RingOptions {
  readonly directory: string;
  /** Bytes of all segments together, at most. */
  readonly size: number;
  /** Written as the first record of each segment, beside the format. */
  readonly header: Readonly<Record<string, unknown>>;
}

export interface RingDeps {
  readonly clock: Clock;
  /** Milliseconds since 1970. */
  readonly wallTime: () => number;
  /** The fields of the `state` record that a new segment begins with; null: nothing is known yet. */
  readonly state: () => object | null;
  /** Recording has paused for this reason, or (null) goes on. */
  readonly onProblem: (problem: string | null) => void;
}

interface Line {
  /** Without its number, which it gets when it is written. */
  readonly text: string;
  /** With the number. */
  readonly bytes: number;
  readonly important: boolean;
}

export class Ring {
  readonly #options: RingOptions;
  readonly #deps: RingDeps;
  readonly #segmentSize: number;
  #waiting: Line[] = [];
  #waitingBytes = 0;
  /** Since the last record that says so. */
  #dropped = 0;
  /** First number of each segment, and bytes. */
  #segments: { seq: number; bytes: number }[] = [];
  #file: FileHandle | null = null;
  #seq = 0;
  #timer: Timer | null = null;
  #writing: Promise<void> | null = null;
  #inFlight: { bytes: Buffer; position: number } | null = null;
  #problem: string | null = null;
  #pausedAt = 0;
  #needsSync = false;
  #lastSync = Number.NEGATIVE_INFINITY;
  #lastLook = 0;
  /** Wall clock minus monotonic clock. */
  #clockOffset: number;
  /** The directory has been looked at; nothing is written before. */
  #opened = false;
  #closing = false;
  #closed = false;
  /** Records written and lost, since the start. */
  written = 0;
  lost = 0;

  constructor(options: RingOptions, deps: RingDeps) {
    this.#options = options;
    this.#deps = deps;
    this.#segmentSize = Math.floor(options.size / SEGMENTS);
    this.#clockOffset = deps.wallTime() - deps.clock.now();
  }

  /** Why nothing can be recorded, in words; null: all is well. */
  get problem(): string | null {
    return this.#problem;
  }

  /** Bytes on disk. */
  get bytes(): number {
    return this.#segments.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** Continues what is in the directory. Never rejects: what is in the way becomes `problem`, and is tried again. */
  open(): Promise<void> {
    this.#writing = this.#openDirectory()
      .catch((error) => this.#paused(error))
      .finally(() => {
        this.#writing = null;
        this.#opened = true;
        this.#schedule();
      });
    return this.#writing;
  }

  /** `at`: milliseconds since 1970. `important`: to be on disk also when the host loses its power a second later. */
  append(type: string, fields: object, important = false, at: number = this.#deps.wallTime()): void {
    if (this.#closed) return;
    this.#noticeClock();
    const line = lineOf(this.#text(type, fields, at), important);
    if (this.#waitingBytes + line.bytes > WAITING_LIMIT || line.bytes > this.#options.size / 2) {
      this.#dropped++;
      this.lost++;
      return;
    }
    this.#waiting.push(line);
    this.#waitingBytes += line.bytes;
    this.#schedule();
  }

  /** Writes what waits, in this call: for the last words of a process that ends at once. Never throws. */
  flushNow(): void {
    const file = this.#file;
    if (!file || this.#closed) return;
    const { seq } = this.#segments[this.#segments.length - 1];
    let position = this.#inFlight?.position ?? this.#segments[this.#segments.length - 1].bytes;
    try {
      const fd = openSync(join(this.#options.directory, segmentName(seq)), "r+");
      // The same bytes at the same place: whichever write comes first.
      if (this.#inFlight) position += writeSync(fd, this.#inFlight.bytes, 0, this.#inFlight.bytes.length, position);
      const rest = Buffer.from(this.#waiting.map(({ text }) => `{"seq":${this.#seq++},${text}`).join(""));
      if (rest.length > 0) writeSync(fd, rest, 0, rest.length, position);
      closeSync(fd);
    } catch {
      // There is nobody left to tell.
    }
    this.#closed = true;
  }

  /** Writes what waits, brings it to disk and ends. Does not reject, and does not wait for a disk that is full. */
  async close(): Promise<void> {
    this.#closing = true;
    this.#timer?.cancel();
    this.#timer = null;
    await this.#writing;
    if (this.#file) await this.#write(true);
    this.#closed = true;
    await this.#file?.close().catch(() => undefined);
    this.#file = null;
  }

  #text(type: string, fields: object, at: number): string {
    const { type: _type, time: _time, ...rest } = fields as Record<string, unknown>;
    const up = Math.round(this.#deps.clock.now());
    return `${JSON.stringify({ time: new Date(at).toISOString(), up, type, ...rest }).slice(1)}\n`;
  }

  /** The wall clock was set: `time` jumps here, `up` does not. */
  #noticeClock(): void {
    const offset = this.#deps.wallTime() - this.#deps.clock.now();
    const jump = offset - this.#clockOffset;
    if (Math.abs(jump) < CLOCK_JUMP_MS) return;
    this.#clockOffset = offset;
    const seconds = Math.abs(jump / 1000).toFixed(1);
    const message = `the clock was set ${jump > 0 ? "forward" : "back"} by ${seconds} s`;
    this.append("recorder", { kind: "clock", milliseconds: Math.round(jump), message });
  }

  #schedule(): void {
    if (!this.#opened || this.#closing || this.#timer || this.#writing || this.#closed) return;
    const busy = this.#waiting.length > 0 || this.#dropped > 0 || this.#needsSync;
    if (!busy && this.#problem === null) return;
    const delay = this.#problem !== null ? RETRY_MS : this.#waiting.length > 0 ? FLUSH_MS : SYNC_MS;
    this.#timer = this.#deps.clock.after(delay, () => {
      this.#timer = null;
      this.#writing = this.#write(false).finally(() => {
        this.#writing = null;
        this.#schedule();
      });
    });
  }

  /** Everything that waits. Never rejects. `last`: nothing comes after it. */
  async #write(last: boolean): Promise<void> {
    try {
      if (!this.#file && this.#segments.length === 0) await this.#openDirectory();
      if (this.#problem !== null) await this.#resume();
      await this.#noticeRemoval();
      while (this.#waiting.length > 0 || this.#dropped > 0) await this.#writeBatch();
      const now = this.#deps.clock.now();
      if (this.#file && (last || (this.#needsSync && now - this.#lastSync >= SYNC_MS))) {
        this.#lastSync = now;
        this.#needsSync = false;
        await this.#file.datasync();
      }
    } catch (error) {
      this.#paused(error);
    }
  }

  /** Somebody removed the files: what is written goes nowhere. A new segment is for everybody to see. */
  async #noticeRemoval(): Promise<void> {
    const now = this.#deps.clock.now();
    if (!this.#file || now - this.#lastLook < LOOK_MS) return;
    this.#lastLook = now;
    if ((await this.#file.stat()).nlink > 0) return;
    await this.#file.close();
    this.#file = null;
    this.#segments = [];
    await this.#newSegment();
  }

  async #writeBatch(): Promise<void> {
    if (this.#dropped > 0) {
      const fields = { kind: "lost", count: this.#dropped, message: `${this.#dropped} records were lost here` };
      this.#waiting.unshift(lineOf(this.#text("recorder", fields, this.#deps.wallTime()), false));
      this.#dropped = 0;
    }
    let count = 0;
    let size = 0;
    const limit = Math.min(BATCH, this.#segmentSize / 2);
    while (count < this.#waiting.length && (count === 0 || size + this.#waiting[count].bytes <= limit))
      size += this.#waiting[count++].bytes;
    await this.#ensureSegment(size);
    const batch = this.#waiting.slice(0, count);
    const text = batch.map((line, i) => `{"seq":${this.#seq + i},${line.text}`).join("");
    await this.#put(Buffer.from(text));
    this.#waiting.splice(0, count);
    this.#waitingBytes = this.#waiting.reduce((sum, line) => sum + line.bytes, 0);
    this.#seq += count;
    this.written += count;
    if (batch.some(({ important }) => important)) this.#needsSync = true;
  }

  /** At the end of the newest segment; what a failed attempt left there is written over. */
  async #put(bytes: Buffer): Promise<void> {
    const segment = this.#segments[this.#segments.length - 1];
    this.#inFlight = { bytes, position: segment.bytes };
    try {
      for (let done = 0; done < bytes.length; ) {
        const { bytesWritten } = await this.#file!.write(bytes, done, bytes.length - done, segment.bytes + done);
        done += bytesWritten;
      }
      segment.bytes += bytes.length;
    } finally {
      this.#inFlight = null;
    }
  }

  async #ensureSegment(size: number): Promise<void> {
    const current = this.#segments[this.#segments.length - 1];
    if (this.#file && current.bytes + size <= this.#segmentSize) return;
    await this.#file?.close();
    this.#file = null;
    const beginning = this.#beginning();
    const needed = Math.max(this.#segmentSize, beginning.length + size);
    while (this.#segments.length > 0 && this.bytes + needed > this.#options.size) {
      await rm(join(this.#options.directory, segmentName(this.#segments[0].seq)), { force: true });
      this.#segments.shift();
    }
    await this.#newSegment(beginning);
  }

  async #newSegment(beginning: Buffer = this.#beginning()): Promise<void> {
    await mkdir(this.#options.directory, { recursive: true, mode: 0o700 });
    const seq = this.#seq;
    const path = join(this.#options.directory, segmentName(seq));
    const file = await open(path, "w", 0o600);
    this.#segments.push({ seq, bytes: 0 });
    this.#file = file;
    try {
      await this.#put(beginning);
      this.#seq += beginning.filter((byte) => byte === NEWLINE).length;
    } catch (error) {
      // A segment has its beginning, or is none.
      this.#segments.pop();
      this.#file = null;
      await file.close();
      await rm(path, { force: true });
      throw error;
    }
  }

  /** What a segment begins with, from the next number on. */
  #beginning(): Buffer {
    const now = this.#deps.wallTime();
    const lines = [this.#text("segment", { format: FORMAT, ...this.#options.header }, now)];
    const state = this.#deps.state();
    const text = state && this.#text("state", state, now);
    // Thousands of neighbours in a very small ring: their changes are worth more.
    if (text && text.length < this.#segmentSize / 2) lines.push(text);
    return Buffer.from(lines.map((line, i) => `{"seq":${this.#seq + i},${line}`).join(""));
  }

  /** Takes stock of the segments there are; the daemon's first record begins a new one. */
  async #openDirectory(): Promise<void> {
    const { directory } = this.#options;
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const segments: { seq: number; bytes: number }[] = [];
    for (const file of (await readdir(directory)).sort()) {
      const seq = segmentSeq(file);
      if (seq !== null) segments.push({ seq, bytes: (await stat(join(directory, file))).size });
    }
    this.#segments = segments;
    const newest = segments[segments.length - 1];
    this.#seq = newest ? lastSeq(join(directory, segmentName(newest.seq)), newest.seq) + 1 : 1;
    // Nothing of it could be read: its name is the next segment's.
    if (newest?.seq === this.#seq) segments.pop();
    await this.#ensureSegment(0);
  }

  #paused(error: unknown): void {
    const { code, message } = error as NodeJS.ErrnoException;
    const reason =
      code === "ENOSPC" ? "no space left on the disk" : code === "EROFS" ? "read-only file system" : message;
    if (this.#problem === null) this.#pausedAt = this.#deps.clock.now();
    const problem = `the flight recorder pauses, ${this.#options.directory}: ${reason}`;
    if (problem === this.#problem) return;
    this.#problem = problem;
    this.#deps.onProblem(problem);
  }

  /** Probes the disk with a record that says why there was a pause. */
  async #resume(): Promise<void> {
    const seconds = Math.round((this.#deps.clock.now() - this.#pausedAt) / 1000);
    const lost = this.#dropped > 0 ? `, ${this.#dropped} records are lost` : "";
    const message = `${this.#problem} (for ${seconds} s${lost})`;
    const line = this.#text("recorder", { kind: "paused", message, lost: this.#dropped }, this.#deps.wallTime());
    await this.#ensureSegment(lineOf(line, false).bytes);
    await this.#file!.truncate(this.#segments[this.#segments.length - 1].bytes);
    await this.#put(Buffer.from(`{"seq":${this.#seq},${line}`));
    this.#seq++;
    this.#dropped = 0;
    this.#problem = null;
    this.#deps.onProblem(null);
  }
}

function lineOf(text: string, important: boolean): Line {
  return { text, bytes: Buffer.byteLength(text) + NUMBER_BYTES, important };
}

/** Number of the last whole record in a file; `first - 1` when there is none. */
function lastSeq(path: string, first: number): number {
  const fd = openSync(path, "r");
  try {
    const size = fstatSync(fd).size;
    const tail = Buffer.alloc(Math.min(size, 1 << 20));
    readSync(fd, tail, 0, tail.length, size - tail.length);
    const lines = tail.toString("utf8").split("\n");
    for (const line of lines.reverse()) {
      const record = parseRecord(line);
      if (record) return record.seq;
    }
    return first - 1;
  } finally {
    closeSync(fd);
  }
}
