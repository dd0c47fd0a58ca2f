// Network namespaces by path: which one it is, and whether it may be a pod's.
import { readlinkSync, statfsSync, statSync } from "node:fs";
import { stat, statfs } from "node:fs/promises";
import { CniError, CniErrorCode } from "./protocol/error.ts";

const NSFS_MAGIC = 0x6e736673;

/** Where runtimes keep namespaces: memory of the kernel, so that looking there never waits for a disk or a server. */
const IN_MEMORY = /^\/(var\/run|run|proc)\//;

const own = statSync("/proc/self/ns/net");

/** `device:inode` of the namespace behind `path`. Throws code 8; `allowOwn` accepts the daemon's own namespace. */
export async function namespaceId(path: string, allowOwn: boolean): Promise<string> {
  let file: { dev: number; ino: number };
  let type = NSFS_MAGIC;
  try {
    const inMemory = IN_MEMORY.test(path);
    file = inMemory ? statSync(path) : await stat(path);
    // All namespaces are files of one file system, also of our own; there is no need to ask what it is.
    if (file.dev !== own.dev) type = inMemory ? statfsSync(path).type : (await statfs(path)).type;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const why = code === "ENOENT" ? "the path does not exist" : `cannot look at it (${code})`;
    throw new CniError(CniErrorCode.invalidNetns, `CNI_NETNS is not a usable network namespace: ${why}`, path);
  }
  if (type !== NSFS_MAGIC)
    throw new CniError(CniErrorCode.invalidNetns, "CNI_NETNS is not a usable network namespace: it is none", path);
  if (!allowOwn && file.dev === own.dev && file.ino === own.ino)
    throw new CniError(CniErrorCode.invalidNetns, "CNI_NETNS is the network namespace of the host itself", path);
  return `${file.dev}:${file.ino}`;
}

/** Whether it is the daemon's own: a caller that says CNI_NETNS_OVERRIDE may want that. */
export function isOwnNamespace(id: string): boolean {
  return id === `${own.dev}:${own.ino}`;
}

/** True when `path` still leads to the namespace `id`. */
export async function isNamespace(path: string, id: string): Promise<boolean> {
  const file = await stat(path).catch(() => null);
  return file !== null && `${file.dev}:${file.ino}` === id;
}

/**
 * A runtime in another network namespace than the daemon's would get interfaces that it cannot see. Throws code 7.
 * A process that is gone or may not be looked at is not checked.
 */
export function requireSameHost(pid: number | null): void {
  if (!pid) return;
  const theirs = namespaceInode(pid);
  if (theirs === null || theirs === ownInode) return;
  throw new CniError(
    CniErrorCode.invalidConfig,
    "the container runtime runs in another network namespace than underlayd: run one underlayd in each and name its socket in the network configuration",
    `runtime net:[${theirs}], underlayd net:[${ownInode}]`,
  );
}

/** Of the daemon's own network namespace. */
export const ownInode = String(own.ino);

/** Of the network namespace that a process is in; null: it is gone, or may not be looked at. */
export function namespaceInode(pid: number): string | null {
  try {
    return /^net:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/ns/net`))?.[1] ?? null;
  } catch {
    return null;
  }
}
