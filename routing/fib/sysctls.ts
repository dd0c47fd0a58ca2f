// The settings of the network namespace that routing depends on, through /proc/sys. In: whether to set them, where to
// remember what they were. Out: problems in words, and which had to be set again because somebody changed them.
//
// What a setting was before we changed it is on disk before it is changed, so that an uninstall can put it back. The file
// is of one boot and one network namespace; of another one it says nothing.
import { readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { replaceFile } from "../../net/durable-file.ts";
import { bootId } from "../../net/proc.ts";
import { sysctlName } from "../sysctl-name.ts";
import type { RestoredSetting } from "../types.ts";

const IPV4_FORWARDING = "net/ipv4/ip_forward";
const IPV6_FORWARDING = "net/ipv6/conf/all/forwarding";
const FILE = "sysctls.json";

interface Setting {
  readonly path: string;
  readonly value: string;
  /** What follows when it is not so. */
  readonly consequence: string;
}

const SETTINGS: readonly Setting[] = [
  { path: IPV4_FORWARDING, value: "1", consequence: "pods' IPv4 packets are not forwarded" },
  { path: IPV6_FORWARDING, value: "1", consequence: "pods' IPv6 packets are not forwarded" },
  {
    path: "net/ipv4/nexthop_compat_mode",
    value: "0",
    consequence: "replacing a next-hop group takes time for every route that uses it",
  },
  {
    path: "net/ipv4/fib_multipath_hash_policy",
    value: "1",
    consequence: "flows between two hosts all take the same uplink",
  },
  {
    path: "net/ipv6/fib_multipath_hash_policy",
    value: "1",
    consequence: "flows between two hosts all take the same uplink",
  },
];

interface Memory {
  readonly boot: string;
  readonly namespace: string;
  /** By path below /proc/sys: what it was, and what we set. */
  readonly settings: Record<string, { before: string; set: string }>;
}

/** A setting of ours that had another value. */
export interface ChangedSetting {
  readonly name: string;
  readonly found: string;
  /** It had been as it should be before. */
  readonly repaired: boolean;
}

export class Sysctls {
  readonly #stateDir: string | null;
  readonly #memory: Memory;
  /** Paths whose refusal has been reported, until they are as they should be. */
  readonly #refused = new Set<string>();
  /** Paths that were as they should be, once. */
  readonly #confirmed = new Set<string>();
  #uplinks: readonly string[] = [];
  /** Told of each setting that was written. */
  onWritten: (name: string, value: string) => void = () => {};

  /** `stateDir` null: what was before is not remembered. */
  constructor(stateDir: string | null) {
    this.#stateDir = stateDir;
    this.#memory = (stateDir && recall(stateDir)) || { boot: bootId(), namespace: namespaceId(), settings: {} };
  }

  /** Names of interfaces that next hops are on: they forward, whatever `all` was when they came. */
  set uplinks(names: readonly string[]) {
    this.#uplinks = names;
  }

  /** Writes what differs. Returns those, and one line for each new failure: which, why, what follows, what to do. */
  apply(): { changed: ChangedSetting[]; problems: string[] } {
    const changed: ChangedSetting[] = [];
    const problems: string[] = [];
    for (const setting of this.#wanted()) {
      const { path, value, consequence } = setting;
      try {
        const found = read(path);
        if (found === value) {
          this.#refused.delete(path);
          this.#confirmed.add(path);
          continue;
        }
        const forgotten = this.#prepare(path, value, found);
        if (forgotten) problems.push(forgotten);
        this.#set(path, value);
        this.#refused.delete(path);
        changed.push({ name: sysctlName(path), found, repaired: this.#confirmed.has(path) });
        this.#confirmed.add(path);
      } catch (error) {
        const reason = (error as NodeJS.ErrnoException).code;
        if (reason === "ENOENT" && (path.startsWith("net/ipv6/") || path.includes("/conf/"))) continue;
        if (this.#refused.has(path)) continue;
        this.#refused.add(path);
        const key = sysctlName(path);
        problems.push(`cannot set ${key} (${reason}): ${consequence}. Set it with: sysctl -w ${key}=${value}`);
      }
    }
    return { changed, problems };
  }

  *#wanted(): Iterable<Setting> {
    yield* SETTINGS;
    for (const name of this.#uplinks)
      yield {
        path: `net/ipv4/conf/${name}/forwarding`,
        value: "1",
        consequence: `IPv4 packets that arrive on ${name} are not forwarded to pods`,
      };
  }

  /**
   * Remembers what is about to change; writing one of the first two changes every interface's own setting too. Returns
   * what cannot be remembered, in words.
   */
  #prepare(path: string, value: string, found: string): string | null {
    const before: Memory["settings"] = { [path]: { before: found, set: value } };
    const forwarding = path === IPV4_FORWARDING ? 4 : path === IPV6_FORWARDING ? 6 : null;
    const advertised: string[] = [];
    for (const name of forwarding ? interfaces(forwarding) : []) {
      const own = `net/ipv${forwarding}/conf/${name}/forwarding`;
      const was = readOrNull(own);
      if (was !== null) before[own] = { before: was, set: value };
      // An interface with accept_ra 1 loses its advertised default route, perhaps the host's only one, when forwarding
      // is switched on; 2 means the same with forwarding. Interfaces yet to come (pods) keep the kernel's default.
      const accept = `net/ipv6/conf/${name}/accept_ra`;
      if (forwarding !== 6 || name === "default" || readOrNull(accept) !== "1") continue;
      before[accept] = { before: "1", set: "2" };
      advertised.push(accept);
    }
    const problem = this.#remember(before);
    for (const accept of advertised) this.#set(accept, "2");
    return problem;
  }

  #set(path: string, value: string): void {
    writeFileSync(`/proc/sys/${path}`, value);
    this.onWritten(sysctlName(path), value);
  }

  /** What is remembered already stays: that is what it was before us. */
  #remember(before: Memory["settings"]): string | null {
    const fresh = Object.entries(before).filter(([path]) => !this.#memory.settings[path]);
    for (const [path, entry] of fresh) this.#memory.settings[path] = entry;
    if (fresh.length === 0 || !this.#stateDir) return null;
    try {
      store(this.#stateDir, this.#memory);
      return null;
    } catch (error) {
      const names = fresh.map(([path]) => sysctlName(path)).join(", ");
      return `what ${names} was before cannot be remembered for an uninstall: ${(error as Error).message}`;
    }
  }
}

/**
 * Puts settings back to what they were before the daemon set them, in the network namespace of the calling thread, and
 * forgets them. One that has another value than ours by now is somebody else's and stays.
 */
export function restoreSysctls(stateDir: string): RestoredSetting[] {
  const memory = recall(stateDir);
  const restored: RestoredSetting[] = [];
  // In the order in which they were set: `all` takes every interface along, whose own values come after it.
  const entries = Object.entries(memory?.settings ?? {});
  const own = (path: string) => /\/conf\/(?!all\/)/.test(path);
  const ordered = [...entries.filter(([path]) => !own(path)), ...entries.filter(([path]) => own(path))];
  // Read before any is written: writing `all` changes the others.
  const found = new Map(ordered.map(([path]) => [path, readOrNull(path)]));
  for (const [path, { before, set }] of ordered) {
    const name = sysctlName(path);
    if (found.get(path) === null) restored.push({ name, before, outcome: "gone" });
    else if (found.get(path) !== set && found.get(path) !== before) restored.push({ name, before, outcome: "kept" });
    else restored.push({ name, before, outcome: write(path, before) });
  }
  rmSync(join(stateDir, FILE), { force: true });
  return restored;
}

function write(path: string, value: string): string {
  try {
    if (read(path) !== value) writeFileSync(`/proc/sys/${path}`, value);
    return "restored";
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error);
  }
}

/** The value of a setting below /proc/sys; throws when it cannot be read. */
function read(path: string): string {
  return readFileSync(`/proc/sys/${path}`, "utf8").trim();
}

/** The value of a setting below /proc/sys, such as net/ipv4/ip_forward; null: there is none. */
export function readOrNull(path: string): string | null {
  try {
    return read(path);
  } catch {
    return null;
  }
}

function interfaces(family: 4 | 6): string[] {
  return readdirSync(`/proc/sys/net/ipv${family}/conf`).filter((name) => name !== "all");
}

function namespaceId(): string {
  return readlinkSync("/proc/thread-self/ns/net");
}

/** Null: nothing remembered, or of another boot or namespace, or damaged. */
function recall(stateDir: string): Memory | null {
  try {
    const memory = JSON.parse(readFileSync(join(stateDir, FILE), "utf8")) as Memory;
    const valid = memory.boot === bootId() && memory.namespace === namespaceId() && typeof memory.settings === "object";
    return valid ? memory : null;
  } catch {
    return null;
  }
}

function store(stateDir: string, memory: Memory): void {
  replaceFile(join(stateDir, FILE), `${JSON.stringify(memory, null, 2)}\n`, 0o600);
}
