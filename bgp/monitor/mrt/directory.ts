// Names of MRT files, in order of time, and which of them stay: `updates.20260801.001500.mrt`, `rib.20260801.000000.mrt`
// (UTC, when the file was begun).
import { existsSync } from "node:fs";
import { mkdir, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { PART } from "./file-writer.ts";

export type FileKind = "updates" | "rib";

/** A path that no file has. `time`: milliseconds since 1970. */
export function newPath(directory: string, kind: FileKind, time: number): string {
  const [day, clock] = new Date(time).toISOString().slice(0, 19).replace(/[-:]/g, "").split("T");
  const base = join(directory, `${kind}.${day}.${clock}`);
  for (let number = 0; ; number++) {
    const path = `${base}${number === 0 ? "" : `-${number}`}.mrt`;
    if (!existsSync(path) && !existsSync(path + PART)) return path;
  }
}

/** Milliseconds until a file of `interval` seconds has to end: at whole multiples since 1970, as route collectors do. */
export function untilBoundary(time: number, interval: number): number {
  const ms = interval * 1000;
  return ms - (time % ms);
}

/**
 * Makes the directory, and tidies up after a run that was cut off: what it had of updates is kept, it consists of whole
 * records; half a table is of no use.
 */
export async function prepareDirectory(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o755 });
  for (const name of await readdir(directory)) {
    if (!name.endsWith(`.mrt${PART}`)) continue;
    const path = join(directory, name);
    if (name.startsWith("updates.")) await rename(path, path.slice(0, -PART.length));
    else if (name.startsWith("rib.")) await rm(path, { force: true });
  }
}

/** Removes the oldest files of a kind. */
export async function removeOld(directory: string, kind: FileKind, keep: number): Promise<void> {
  const pattern = new RegExp(`^${kind}\\.\\d{8}\\.\\d{6}(-\\d+)?\\.mrt$`);
  const names = (await readdir(directory)).filter((name) => pattern.test(name)).sort();
  for (const name of names.slice(0, Math.max(0, names.length - keep))) await rm(join(directory, name), { force: true });
}
