// The directory of spooled DELs, as somebody else may have prepared it: what is not ours is not read. A DEL takes a
// pod's network away, so only root's files count, and a file that is none (a pipe, a link to elsewhere) must neither be
// followed nor waited for.
import { constants } from "node:fs";
import { lstat, open } from "node:fs/promises";

/** As much as a client sends. */
const LARGEST = 16 << 20;
const WRITABLE_BY_OTHERS = 0o022;

/** Why a directory is not to be trusted; null: it is. Rejects when it is not there. */
export async function distrust(directory: string): Promise<string | null> {
  const { uid, mode, isDirectory } = described(await lstat(directory));
  if (!isDirectory) return "it is not a directory";
  if (!isTrusted(uid)) return `it belongs to user ${uid}`;
  if ((mode & WRITABLE_BY_OTHERS) !== 0) return `others may write to it (mode ${(mode & 0o7777).toString(8)})`;
  return null;
}

export type SpoolFile = { readonly bytes: Buffer } | { readonly refused: string };

/** Rejects when the file is not there, or cannot be read. */
export async function readSpooled(path: string): Promise<SpoolFile> {
  const { uid, isFile, size } = described(await lstat(path));
  if (!isFile) return { refused: "it is not a file" };
  if (!isTrusted(uid)) return { refused: `it belongs to user ${uid}` };
  if (size > LARGEST) return { refused: `it has ${size} bytes` };
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    return { bytes: await file.readFile() };
  } finally {
    await file.close();
  }
}

function isTrusted(uid: number): boolean {
  return uid === 0 || uid === process.getuid?.();
}

function described(entry: Awaited<ReturnType<typeof lstat>>) {
  const { uid, mode, size } = entry;
  return {
    uid: Number(uid),
    mode: Number(mode),
    size: Number(size),
    isFile: entry.isFile(),
    isDirectory: entry.isDirectory(),
  };
}
