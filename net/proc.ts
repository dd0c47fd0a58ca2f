// What /proc says of the host and of processes.
import { readFileSync, readlinkSync } from "node:fs";

/** Another one after each boot. Throws without /proc. */
export function bootId(): string {
  return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
}

/** Where a symbolic link points to, such as `net:[4026531840]`; null: no such link, or not ours to read. */
export function linkTarget(path: string): string | null {
  try {
    return readlinkSync(path);
  } catch {
    return null;
  }
}
