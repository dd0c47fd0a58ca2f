// One daemon per state directory: an flock on <state>/lock, which the kernel releases however the process ends.
import { chmodSync, constants, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { check, native } from "../net/native.ts";

const LOCK_EX = 2;
const LOCK_NB = 4;
const EWOULDBLOCK = -11;

/** Creates `directory` when needed and takes its lock for the life of the process. Throws with what to do. */
export function lockStateDirectory(directory: string): void {
  prepareDirectory(directory, "paths.state");
  const path = join(directory, "lock");
  makeOurs(path);
  const fd = check(native().open(path, constants.O_RDWR | constants.O_CREAT), "open", path);
  const result = native().flock(fd, LOCK_EX | LOCK_NB);
  if (result === EWOULDBLOCK) {
    native().close(fd);
    throw new Error(
      `${directory} is in use by another underlayd (process ${readPid(path)}): stop it, or give this one its own paths.state`,
    );
  }
  check(result, "flock", path);
  writeFileSync(path, `${process.pid}\n`);
}

/** Creates a directory of ours and checks that it can be written to. `key` names it in the configuration. */
export function prepareDirectory(directory: string, key: string): void {
  try {
    mkdirSync(directory, { recursive: true, mode: 0o755 });
    const probe = join(directory, `.probe-${process.pid}`);
    try {
      writeFileSync(probe, "underlay");
    } finally {
      rmSync(probe, { force: true });
    }
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    const why =
      code === "EROFS"
        ? "is on a read-only file system"
        : code === "ENOSPC"
          ? "is on a full disk"
          : `cannot be written to (${code})`;
    throw new Error(
      `${key}: ${directory} ${why}; make it writable for user ${process.getuid?.()} or choose another directory`,
    );
  }
}

/** Earlier builds made it without any permission, and a service is without CAP_DAC_OVERRIDE. */
function makeOurs(path: string): void {
  try {
    chmodSync(path, 0o600);
  } catch {
    // Not there yet, or not ours: opening it tells.
  }
}

function readPid(path: string): string {
  try {
    return readFileSync(path, "utf8").trim() || "unknown";
  } catch {
    return "unknown";
  }
}
