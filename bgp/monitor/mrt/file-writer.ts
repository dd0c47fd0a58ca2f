// One file on its way to disk: written under a name of its own (`.part`), renamed when it is whole. Octets given are
// queued and written one chunk after the other, off this thread; whoever gives them looks at `pending` and waits.
// After an error the file holds whole chunks only, and is as good as before the one that failed.
import { type FileHandle, open, rename, rm } from "node:fs/promises";

export const PART = ".part";

const explanations: Readonly<Record<string, string>> = {
  ENOSPC: "no space left on the device",
  EDQUOT: "the disk quota is used up",
  EACCES: "permission denied",
  EROFS: "the file system is read-only",
  ENOENT: "there is no such directory",
  ENOTDIR: "a part of the path is not a directory",
  EISDIR: "there is a directory of that name",
  EIO: "input/output error",
};

/** A failure of the file system in words. */
export function fileErrorText(error: unknown): string {
  const { code = "", message } = error as NodeJS.ErrnoException;
  return explanations[code] ? `${explanations[code]} (${code})` : message;
}

export class FileWriter {
  readonly path: string;
  readonly #handle: FileHandle;
  /** Octets in the file for good. */
  written = 0;
  #queue: Uint8Array[] = [];
  #pending = 0;
  #running: Promise<void> | null = null;
  #error: Error | null = null;
  /** Something was written, or has failed. */
  onProgress: () => void = () => {};

  private constructor(path: string, handle: FileHandle) {
    this.path = path;
    this.#handle = handle;
  }

  /** Rejects when the file cannot be made. */
  static async create(path: string): Promise<FileWriter> {
    return new FileWriter(path, await open(path + PART, "w", 0o644));
  }

  /** Octets that wait to be written. */
  get pending(): number {
    return this.#pending;
  }

  /** What went wrong; what was pending then is lost. `retry` makes it writable again. */
  get error(): Error | null {
    return this.#error;
  }

  /** The octets must not be changed afterwards. */
  write(octets: Uint8Array): void {
    if (this.#error) return;
    this.#queue.push(octets);
    this.#pending += octets.length;
    this.#running ??= this.#run();
  }

  retry(): void {
    this.#error = null;
  }

  /** Waits for what is pending, gives the file its name. Rejects with what went wrong, and removes the part then. */
  async finish(): Promise<void> {
    try {
      await this.#running;
      if (this.#error) throw this.#error;
      await this.#handle.close();
      await rename(this.path + PART, this.path);
    } catch (error) {
      await this.abandon();
      throw error;
    }
  }

  /** As finish, but keeps what was written even after an error. */
  async finishAnyway(): Promise<void> {
    await this.#running;
    this.#error = null;
    await this.finish();
  }

  async abandon(): Promise<void> {
    this.#error ??= new Error("abandoned");
    this.#queue = [];
    await this.#running;
    await this.#handle.close().catch(() => undefined);
    await rm(this.path + PART, { force: true }).catch(() => undefined);
  }

  async #run(): Promise<void> {
    for (let octets = this.#queue.shift(); octets; octets = this.#queue.shift()) {
      try {
        let done = 0;
        while (done < octets.length)
          done += (await this.#handle.write(octets, done, octets.length - done, this.written + done)).bytesWritten;
        this.written += octets.length;
        this.#pending -= octets.length;
      } catch (error) {
        this.#error = error as Error;
        this.#queue = [];
        this.#pending = 0;
        await this.#handle.truncate(this.written).catch(() => undefined);
      }
      this.onProgress();
    }
    this.#running = null;
  }
}
