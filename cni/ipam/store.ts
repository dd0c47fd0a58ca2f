// The allocations on disk: one journal file (cni/ipam/journal.ts has the format), written before anyone is told. Calls
// that come while a write is under way share the next one.
//
// The rules that make it last:
//   - A line goes into room that the file has already: one write, no metadata. When the room is used up the file is replaced by
//     what it adds up to: written beside itself, on disk before it gets the name, and nothing is acknowledged before the name
//     is on disk too. A snapshot and a journal in one file, so that there is no moment at which the two disagree.
//   - After a write that failed nobody knows what is on disk, and what the page cache shows may never get there. Nothing is
//     written to that file again: the next call replaces it with a new one, or is refused as well.
//   - For the same reason a start never goes on with the file that it finds: settle() replaces it.
//   - The last part of the room is for what gives addresses back: on a full disk pods can still go.
//   - What is damaged is kept beside as `.damaged`, the rest is used, and the kernel has the last word (cni/recovery.ts).
import { dirname, join } from "node:path";
import type { Log } from "../../net/log.ts";
import { bootId } from "../../net/proc.ts";
import { CniError, CniErrorCode } from "../protocol/error.ts";
import { type Disk, type DiskFile, realDisk } from "./disk.ts";
import { decodeJournal, describeDamage, encodeLine, JOURNAL_HEADER, JournalVersionError } from "./journal.ts";
import { Ledger } from "./ledger.ts";
import type { PodRecord, ReleasedAddress, StoreOperation } from "./records.ts";

interface Waiting {
  readonly operation: StoreOperation;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/** Bytes of room in a new file; less where the disk has no more. */
const ROOM = [64 << 10, 16 << 10, 4 << 10, 0];
/** With more content, this many times as much. */
const ROOM_FACTOR = 3;
/** Of the room, for operations that give addresses back. */
const RESERVE = 1 / 4;

/** What was found at the start. */
export interface Found {
  /** Null: there was no journal. */
  readonly boot: string | null;
  readonly missing: boolean;
  /** In words; null: it was whole. */
  readonly damage: string | null;
}

export const JOURNAL_NAME = "allocations.journal";

export class Store {
  readonly path: string;
  readonly #log: Log;
  readonly #disk: Disk;
  readonly #boot: () => string | null;
  readonly #ledger = new Ledger();
  /** The one that has the name, with all that was acknowledged; null: there is none in a known state. */
  #file: DiskFile | null = null;
  #length = 0;
  /** With the room. */
  #size = 0;
  #room = 0;
  #waiting: Waiting[] = [];
  #writing: Promise<void> | null = null;

  constructor(directory: string, log: Log, disk: Disk = realDisk, boot: () => string | null = currentBoot) {
    this.path = join(directory, JOURNAL_NAME);
    this.#log = log;
    this.#disk = disk;
    this.#boot = boot;
  }

  get pods(): ReadonlyMap<string, PodRecord> {
    return this.#ledger.pods;
  }

  /** Addresses given back and not given out since, oldest first. */
  get released(): Iterable<ReleasedAddress> {
    return this.#ledger.released.entries;
  }

  /** The greatest sequence of an allocation so far. */
  get lastSequence(): number {
    return this.#ledger.released.lastSequence;
  }

  /** Forgets released addresses outside every block, so that the list cannot grow with each change of the pools. */
  keepReleased(addresses: Iterable<ReleasedAddress>): void {
    this.#ledger.released.replace(addresses);
  }

  /** Reads the journal and writes nothing. Rejects when it cannot be read, or when a later version has written it. */
  async open(): Promise<Found> {
    const bytes = await this.#disk.read(this.path).catch((error: Error) => {
      throw new Error(`cannot read the allocation journal ${this.path}: ${error.message}`);
    });
    if (!bytes) return { boot: null, missing: true, damage: null };
    try {
      const { operations, damage, length, torn } = decodeJournal(bytes);
      for (const operation of operations) this.#ledger.apply(operation);
      const words = describeDamage(damage);
      if (words !== null) await this.#keepDamaged(bytes, words);
      if (torn > 0)
        this.#log.warn(
          { file: this.path, offset: length, bytes: torn },
          "the last record of the allocation journal was cut off by a crash; nobody was told of it, it is dropped",
        );
      return { boot: this.#ledger.boot, missing: false, damage: words };
    } catch (error) {
      if (!(error instanceof JournalVersionError)) throw error;
      throw new Error(
        `allocation journal ${this.path} ${error.message}; it was left as it is. Start that version again, or move it away ` +
          `(mv ${this.path} ${this.path}.later): running pods are then recovered from their interfaces`,
      );
    }
  }

  /** Before settle(): what the kernel knows of a pod. Not on disk yet. */
  adopt(record: PodRecord): void {
    this.#ledger.apply({ op: "add", pod: record });
  }

  /** Before settle(): its pod is gone. */
  drop(removal: StoreOperation & { op: "remove" }): void {
    this.#ledger.apply(removal);
  }

  /**
   * Makes all of it last, in a new file. Resolves also when that fails: each call tries again then, before it is
   * answered.
   */
  async settle(): Promise<void> {
    const id = this.#boot();
    if (id !== null) this.#ledger.apply({ op: "boot", id });
    try {
      await this.#replace();
    } catch (error) {
      const failure = unwritable(this.path, error);
      this.#log.error({ file: this.path, error: (error as Error).message }, failure.message);
    }
  }

  /** Resolves when the operation is on disk; rejects with code 5, and then nothing has happened. */
  commit(operation: StoreOperation): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ operation, resolve, reject });
      this.#writing ??= this.#drain();
    });
  }

  /**
   * Is the file still the one at its path? One that was deleted is written anew. So is one that another has taken the
   * place of, by a person or a backup; that one is kept beside as `.displaced`. Never rejects.
   */
  async watch(): Promise<void> {
    await this.#writing;
    const mine = this.#file;
    if (!mine) return;
    const there = await this.#disk.identity(this.path).catch(() => mine.identity);
    if (there === mine.identity || this.#file !== mine || this.#writing) return;
    this.#writing = this.#writeAnew(mine, there !== null).then(() => this.#drain());
    return this.#writing;
  }

  async #writeAnew(lost: DiskFile, displaced: boolean): Promise<void> {
    const what = displaced ? `replaced by another file, which is kept as ${this.path}.displaced` : "deleted";
    this.#log.error({ file: this.path }, `the allocation journal was ${what}; it is written anew`);
    this.#file = null;
    await lost.close().catch(() => undefined);
    if (displaced) await this.#disk.rename(this.path, `${this.path}.displaced`).catch(() => undefined);
    await this.settle();
  }

  /** Waits for what is under way and closes the file. */
  async close(): Promise<void> {
    await this.#writing;
    await this.#file?.close();
    this.#file = null;
  }

  async #drain(): Promise<void> {
    while (this.#waiting.length > 0) await this.#write(this.#waiting.splice(0));
    this.#writing = null;
  }

  /** Settles all of them. */
  async #write(batch: readonly Waiting[]): Promise<void> {
    let left = batch;
    try {
      if (!this.#file) await this.#replace();
      let line = encodeLine(left.map(({ operation }) => operation));
      if (!this.#fits(line, left)) {
        try {
          await this.#replace();
        } catch (error) {
          // The file in use is whole. Its reserve is for what gives addresses back.
          if (!this.#file) throw error;
          const taking = left.filter(({ operation }) => operation.op !== "remove");
          left = left.filter(({ operation }) => operation.op === "remove");
          refuse(taking, this.#report(error));
          if (left.length === 0) return;
          line = encodeLine(left.map(({ operation }) => operation));
        }
      }
      await this.#append(line);
    } catch (error) {
      return refuse(left, this.#report(error));
    }
    for (const { operation, resolve } of left) {
      this.#ledger.apply(operation);
      resolve();
    }
  }

  /** More than the room: the file grows, once, and is replaced with the next write. */
  #fits(line: Buffer, batch: readonly Waiting[]): boolean {
    const reserve = batch.some(({ operation }) => operation.op !== "remove") ? this.#room * RESERVE : 0;
    return this.#length + line.length <= this.#size - reserve;
  }

  async #append(line: Buffer): Promise<void> {
    const file = this.#file!;
    try {
      await file.write(line, this.#length);
    } catch (error) {
      this.#file = null;
      await file.close().catch(() => undefined);
      throw error;
    }
    this.#length += line.length;
  }

  /** A new file with all there is. Rejects; then #file is the one before, if that still has the name for certain. */
  async #replace(): Promise<void> {
    const operations = this.#ledger.operations();
    const lines = operations.length > 0 ? [encodeLine(operations)] : [];
    const content = Buffer.concat([Buffer.from(JOURNAL_HEADER), ...lines]);
    await this.#disk.makeDirectory(dirname(this.path), 0o700);
    for (const [i, least] of ROOM.entries()) {
      const room = i === 0 ? Math.max(least, content.length * ROOM_FACTOR) : least;
      try {
        return await this.#replaceWith(content, room);
      } catch (error) {
        if (!isFull(error) || i === ROOM.length - 1) throw error;
      }
    }
  }

  async #replaceWith(content: Buffer, room: number): Promise<void> {
    const temporary = `${this.path}.new`;
    const directory = dirname(this.path);
    const file = await this.#disk.create(temporary, 0o600);
    try {
      await file.write(Buffer.concat([content, Buffer.alloc(room)]), 0);
    } catch (error) {
      await file.close().catch(() => undefined);
      // On a full disk every byte counts.
      await this.#disk.remove(temporary).catch(() => undefined);
      throw error;
    }
    // From here on it is not certain which of the two has the name.
    const former = this.#file;
    this.#file = null;
    await former?.close().catch(() => undefined);
    try {
      await this.#disk.rename(temporary, this.path);
      await this.#disk.syncDirectory(directory);
    } catch (error) {
      await file.close().catch(() => undefined);
      throw error;
    }
    this.#file = file;
    this.#length = content.length;
    this.#size = content.length + room;
    this.#room = room;
  }

  #report(error: unknown): CniError {
    const failure = unwritable(this.path, error);
    this.#log.error({ file: this.path, error: (error as Error).message }, failure.message);
    return failure;
  }

  async #keepDamaged(bytes: Buffer, damage: string): Promise<void> {
    const kept = `${this.path}.damaged`;
    try {
      const file = await this.#disk.create(kept, 0o600);
      try {
        await file.write(bytes, 0);
      } finally {
        await file.close();
      }
    } catch (error) {
      this.#log.error({ file: kept, error: (error as Error).message }, "the damaged allocation journal cannot be kept");
    }
    this.#log.error(
      { file: this.path, kept },
      `the allocation journal ${damage}; the rest of it is used, and running pods are found by their interfaces`,
    );
  }
}

function refuse(batch: readonly Waiting[], error: CniError): void {
  for (const { reject } of batch) reject(error);
}

/** Null without /proc. */
export function currentBoot(): string | null {
  try {
    return bootId();
  } catch {
    return null;
  }
}

function isFull(error: unknown): boolean {
  return ["ENOSPC", "EDQUOT", "EFBIG"].includes((error as NodeJS.ErrnoException).code ?? "");
}

const reasons: Readonly<Record<string, string>> = {
  ENOSPC: "the disk is full",
  EDQUOT: "the disk quota is used up",
  EROFS: "the file system is read-only",
  EACCES: "permission denied",
  EPERM: "permission denied",
  ENOTDIR: "part of the path is not a directory",
  ELOOP: "a symbolic link is in its place",
};

function unwritable(path: string, error: unknown): CniError {
  const code = (error as NodeJS.ErrnoException).code ?? "";
  const reason = reasons[code] ?? (error as Error).message;
  return new CniError(CniErrorCode.io, `cannot write the allocation store: ${reason}`, `${path}: ${code || reason}`);
}
