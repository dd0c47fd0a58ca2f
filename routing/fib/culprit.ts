// Who changed something: a notification carries the port id of the socket that asked for the change. The kernel gives a
// program's first socket its process id, so a live process of that id in our network namespace is taken for it; programs that
// end at once, such as `ip`, are found only when we are quick.
import { readFileSync } from "node:fs";
import { linkTarget } from "../../net/proc.ts";
import type { Culprit } from "../types.ts";

const CACHED = 64;
/** Process ids are given out again, but not so soon. */
const CACHE_MS = 1000;
const LARGEST_PID = 4_194_304;

export class Culprits {
  readonly #now: () => number;
  readonly #cache = new Map<number, { culprit: Culprit; at: number }>();

  constructor(now: () => number) {
    this.#now = now;
  }

  /** Null for the kernel itself (port 0). */
  of(portId: number): Culprit | null {
    if (portId === 0) return null;
    const now = this.#now();
    const cached = this.#cache.get(portId);
    if (cached && now - cached.at < CACHE_MS) return cached.culprit;
    if (this.#cache.size >= CACHED) this.#cache.clear();
    const culprit = { pid: portId, name: portId <= LARGEST_PID ? nameOf(portId) : null };
    this.#cache.set(portId, { culprit, at: now });
    return culprit;
  }
}

export function culpritText(culprit: Culprit | null): string {
  if (!culprit) return "the kernel or an unknown program";
  if (culprit.name) return `${culprit.name} (pid ${culprit.pid})`;
  return culprit.pid <= LARGEST_PID
    ? `a program that has ended or is in a container (pid ${culprit.pid})`
    : `a program with the netlink port ${culprit.pid}`;
}

/** Null: no such process, one of another network namespace (it has ids of its own), or a thread of the kernel. */
function nameOf(pid: number): string | null {
  try {
    const name = readFileSync(`/proc/${pid}/comm`, "utf8").trim();
    const elsewhere = linkTarget(`/proc/${pid}/ns/net`);
    if (elsewhere !== null && elsewhere !== linkTarget("/proc/thread-self/ns/net")) return null;
    return readFileSync(`/proc/${pid}/cmdline`, "utf8") === "" ? null : name;
  } catch {
    return null;
  }
}
