// The allocations on disk: one journal file, appended and fsynced before anyone is told (cni/ipam/journal.ts has the
// format). Calls that come while a write is under way share the next write and its fsync. When the file has grown to
// several times what it says, it is rewritten beside itself and renamed. A write that fails changes nothing: the file
// goes back to its last good length before the next attempt, or is rewritten when even that fails.
import { constants, readFileSync } from "node:fs";
import { type FileHandle, mkdir, open, rename, unlink } from "node:fs/promises";
import { join } from "node:path";
import type { Log } from "../../net/log.ts";
import { bootId } from "../../net/proc.ts";
import { CniError, CniErrorCode } from "../protocol/error.ts";
import { decodeJournal, encodeLine, JOURNAL_HEADER, JournalError } from "./journal.ts";
import { type PodRecord, podKey, type ReleasedAddress, type StoreOperation } from "./records.ts";
import { ReleasedList } from "./released-list.ts";

interface Waiting {
  readonly operation: StoreOperation;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/** O_DSYNC: a write returns when it is on disk, in one trip through the thread pool instead of two. */
const WRITE_THROUGH = constants.O_RDWR | constants.O_DSYNC;
const REWRITE_MINIMUM = 64 * 1024;
const REWRITE_FACTOR = 4;

export class Store {
  readonly path: string;
  readonly #directory: string;
  readonly #log: Log;
  readonly #boot: string;
  /** The file does not say yet that the machine has booted. It is said with the next operation. */
  #bootPending = false;
  readonly #pods = new Map<string, PodRecord>();
  readonly #released = new ReleasedList();
  #file: FileHandle | null = null;
  #length = 0;
  /** Length right after the last rewrite. */
  #compactLength = 0;
  /** The file is missing or not in a known state: it is rewritten before anything is appended. */
  #rewrite = false;
  #waiting: Waiting[] = [];
  #writing: Promise<void> | null = null;

  /** `boot`: of this boot of the machine. */
  constructor(directory: string, log: Log, boot = bootId()) {
    this.#directory = directory;
    this.#boot = boot;
    this.path = join(directory, "allocations.journal");
    this.#log = log;
  }

  get pods(): ReadonlyMap<string, PodRecord> {
    return this.#pods;
  }

  /** Addresses given back and not given out since, oldest first. */
  get released(): Iterable<ReleasedAddress> {
    return this.#released.entries;
  }

  /** The greatest sequence of an allocation so far. */
  get lastSequence(): number {
    return this.#released.lastSequence;
  }

  /** Forgets released addresses outside every block, so that the list cannot grow with each change of the pools. */
  keepReleased(addresses: Iterable<ReleasedAddress>): void {
    this.#released.replace(addresses);
  }

  /** Reads the journal. Rejects when it is damaged in a way that is not a torn tail; the file is then left as it is. */
  async open(): Promise<void> {
    try {
      this.#load(readFileSync(this.path));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw this.#readable(error);
      this.#rewrite = true;
    }
    this.#bootPending = this.#released.boot !== this.#boot;
    this.#apply(this.#bootOperation);
    try {
      await this.#prepare();
    } catch (error) {
      this.#log.error({ file: this.path, error: (error as Error).message }, unwritable(this.path, error).message);
    }
  }

  /** Resolves when the operation is on disk; rejects with code 5, and then nothing has happened. */
  commit(operation: StoreOperation): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ operation, resolve, reject });
      this.#writing ??= this.#drain();
    });
  }

  /** Waits for what is under way and closes the file. */
  async close(): Promise<void> {
    await this.#writing;
    await this.#file?.close();
    this.#file = null;
  }

  async #drain(): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0);
      const operations = batch.map(({ operation }) => operation);
      try {
        await this.#append(encodeLine(this.#bootPending ? [this.#bootOperation, ...operations] : operations));
        this.#bootPending = false;
        for (const { operation, resolve } of batch) {
          this.#apply(operation);
          resolve();
        }
      } catch (error) {
        const failure = unwritable(this.path, error);
        this.#log.error({ file: this.path, error: (error as Error).message }, failure.message);
        for (const { reject } of batch) reject(failure);
      }
      await this.#rewriteWhenGrown();
    }
    this.#writing = null;
  }

  async #append(line: Buffer): Promise<void> {
    await this.#prepare();
    try {
      await writeAll(this.#file!, line, this.#length);
    } catch (error) {
      this.#rewrite = true;
      await this.#cutTail();
      throw error;
    }
    this.#length += line.length;
  }

  /** After a failed write: back to the last good length, now if possible. After a failed fsync nothing is certain. */
  async #cutTail(): Promise<void> {
    try {
      await this.#file!.truncate(this.#length);
    } catch (error) {
      this.#log.debug({ file: this.path, error: (error as Error).message }, "cannot cut the journal back yet");
    }
  }

  /** An open file in a known state. */
  async #prepare(): Promise<void> {
    if (this.#rewrite) await this.#rewriteFile();
    this.#file ??= await open(this.path, WRITE_THROUGH);
  }

  async #rewriteWhenGrown(): Promise<void> {
    if (this.#length < Math.max(REWRITE_MINIMUM, this.#compactLength * REWRITE_FACTOR)) return;
    try {
      await this.#rewriteFile();
    } catch (error) {
      // The old file is whole and stays in use; the next attempt is due after as much growth again.
      this.#compactLength = this.#length;
      this.#log.warn({ file: this.path, error: (error as Error).message }, "cannot compact the allocation journal");
    }
  }

  async #rewriteFile(): Promise<void> {
    const operations = this.#released.operations();
    for (const pod of this.#pods.values()) operations.push({ op: "add", pod });
    const lines = operations.length > 0 ? [encodeLine(operations)] : [];
    const content = Buffer.concat([Buffer.from(JOURNAL_HEADER), ...lines]);

    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    const temporary = `${this.path}.new`;
    const file = await open(temporary, "w", 0o600);
    try {
      await writeAll(file, content, 0);
      await file.sync();
      await rename(temporary, this.path);
    } catch (error) {
      // On a full disk every byte counts.
      await unlink(temporary).catch(() => undefined);
      throw error;
    } finally {
      await file.close();
    }
    const former = this.#file;
    this.#file = null;
    this.#length = content.length;
    this.#compactLength = content.length;
    await former?.close();
    const directory = await open(this.#directory, "r");
    try {
      await directory.sync();
    } finally {
      await directory.close();
    }
    this.#rewrite = false;
    this.#bootPending = this.#released.size === 0;
  }

  get #bootOperation(): StoreOperation {
    return { op: "boot", id: this.#boot };
  }

  #load(bytes: Buffer): void {
    const { operations, length, torn } = decodeJournal(bytes);
    for (const operation of operations) this.#apply(operation);
    this.#length = length;
    this.#compactLength = length;
    if (torn === 0) return;
    this.#rewrite = true;
    this.#log.warn(
      { file: this.path, offset: length, bytes: torn },
      "the last record of the allocation journal was cut off by a crash; nobody was told of it, it is dropped",
    );
  }

  #apply(operation: StoreOperation): void {
    const before = operation.op === "remove" ? this.#pods.get(operation.key) : undefined;
    this.#released.apply(operation, before);
    if (operation.op === "add") this.#pods.set(podKey(operation.pod), operation.pod);
    if (operation.op === "remove") this.#pods.delete(operation.key);
  }

  #readable(error: unknown): Error {
    if (error instanceof JournalError)
      return new Error(
        `allocation journal ${this.path} ${error.message} at offset ${error.offset}; it was left as it is. ` +
          `Restore it from a backup, or move it away (mv ${this.path} ${this.path}.damaged) and start again: ` +
          "running pods are then recovered from their interfaces, each with its addresses",
      );
    return new Error(`cannot read the allocation journal ${this.path}: ${(error as Error).message}`);
  }
}

async function writeAll(file: FileHandle, bytes: Buffer, position: number): Promise<void> {
  for (let written = 0; written < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, written, bytes.length - written, position + written);
    if (bytesWritten === 0) throw Object.assign(new Error("nothing was written"), { code: "EIO" });
    written += bytesWritten;
  }
}

const reasons: Readonly<Record<string, string>> = {
  ENOSPC: "the disk is full",
  EDQUOT: "the disk quota is used up",
  EROFS: "the file system is read-only",
  EACCES: "permission denied",
  EPERM: "permission denied",
  ENOTDIR: "part of the path is not a directory",
};

function unwritable(path: string, error: unknown): CniError {
  const code = (error as NodeJS.ErrnoException).code ?? "";
  const reason = reasons[code] ?? (error as Error).message;
  return new CniError(CniErrorCode.io, `cannot write the allocation store: ${reason}`, `${path}: ${code || reason}`);
}
