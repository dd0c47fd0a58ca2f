// Small files that must be whole and there after a crash or a loss of power.
import { closeSync, fchmodSync, fsyncSync, openSync, renameSync, writeFileSync } from "node:fs";
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
