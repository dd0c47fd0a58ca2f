// What the store asks of a disk, and nothing else, so that a simulated one can stand in. The real one opens what is written
// with O_DSYNC: a write that has returned is on disk, in one trip through the thread pool instead of two.
import { constants } from "node:fs";
import { type FileHandle, mkdir, open, readFile, rename, stat, unlink } from "node:fs/promises";
import { dirname } from "node:path";

export interface DiskFile {
  /** Device and inode. */
  readonly identity: string;
  /** Resolves when all of it is on disk. Rejects with the system's error; what is on disk then is not known. */
  write(bytes: Buffer, position: number): Promise<void>;
  close(): Promise<void>;
}

export interface Disk {
  /** Null: there is no such file. */
  read(path: string): Promise<Buffer | null>;
  /** New, or emptied; a symbolic link is refused. */
  create(path: string, mode: number): Promise<DiskFile>;
  rename(from: string, to: string): Promise<void>;
  /** Resolves also when there is none. */
  remove(path: string): Promise<void>;
  /** With what is above it, unless it is there. What is made is made to last. */
  makeDirectory(path: string, mode: number): Promise<void>;
  /** Names in it are on disk when this resolves. */
  syncDirectory(path: string): Promise<void>;
  /** Device and inode of what is there now; null: nothing. */
  identity(path: string): Promise<string | null>;
}

const CREATE = constants.O_RDWR | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW | constants.O_DSYNC;

export const realDisk: Disk = {
  async read(path) {
    try {
      return await readFile(path);
    } catch (error) {
      if (isMissing(error)) return null;
      throw error;
    }
  },
  async create(path, mode) {
    const handle = await open(path, CREATE, mode);
    try {
      const { dev, ino } = await handle.stat();
      return {
        identity: `${dev}:${ino}`,
        write: (bytes, position) => writeAll(handle, bytes, position),
        close: () => handle.close(),
      };
    } catch (error) {
      await handle.close().catch(() => undefined);
      throw error;
    }
  },
  rename,
  async remove(path) {
    await unlink(path).catch((error: unknown) => {
      if (!isMissing(error)) throw error;
    });
  },
  async makeDirectory(path, mode) {
    const first = await mkdir(path, { recursive: true, mode });
    if (first === undefined) return;
    for (let made = path; ; made = dirname(made)) {
      await this.syncDirectory(dirname(made));
      if (made === first) return;
    }
  },
  async syncDirectory(path) {
    const directory = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      await directory.sync();
    } finally {
      await directory.close();
    }
  },
  async identity(path) {
    try {
      const { dev, ino } = await stat(path);
      return `${dev}:${ino}`;
    } catch (error) {
      if (isMissing(error) || (error as NodeJS.ErrnoException).code === "ENOTDIR") return null;
      throw error;
    }
  },
};

async function writeAll(file: FileHandle, bytes: Buffer, position: number): Promise<void> {
  for (let written = 0; written < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, written, bytes.length - written, position + written);
    if (bytesWritten === 0) throw Object.assign(new Error("nothing was written"), { code: "EIO" });
    written += bytesWritten;
  }
}

function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === "ENOENT";
}
