// Small files that must be whole and there after a crash or a loss of power.
import { closeSync, fchmodSync, fsyncSync, openSync, renameSync, writeFileSync } from "node:fs";
import { open, rename } from "node:fs/promises";
import { dirname } from "node:path";

/**
 * Replaces a file: written beside itself as `<path>.new`, fsynced, renamed, and the directory fsynced, so that the name is on
 * disk too. Throws the system's error; what was there stays then.
 */
export function replaceFile(path: string, content: string | Uint8Array, mode: number): void {
  const fd = openSync(`${path}.new`, "w", mode);
  try {
    fchmodSync(fd, mode);
    writeFileSync(fd, content);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(`${path}.new`, path);
  const directory = openSync(dirname(path), "r");
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}

/**
 * As replaceFile, on the thread pool: for files that are written while the daemon has other things to do. One call at a
 * time.
 */
export async function replaceFileLater(path: string, text: string, mode: number): Promise<void> {
  const file = await open(`${path}.new`, "w", mode);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(`${path}.new`, path);
  const directory = await open(dirname(path), "r");
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
