// DELs that the client could not deliver: one file each, in the client's own request format, named by time. They are
// replayed before anything else is answered, and before each ADD, because a DEL that a runtime holds for done must not strike
// the ADD that follows it. Their order among each other does not matter, so neither does a clock that is set.
import { statSync } from "node:fs";
import { readdir, rename, unlink } from "node:fs/promises";
import { join } from "node:path";
import type { Log } from "../net/log.ts";
import { CniErrorCode } from "./protocol/error.ts";
import { distrust, readSpooled } from "./spool-directory.ts";
import type { CniRequest, CniResponse } from "./types.ts";

/** Milliseconds; file systems stamp with the kernel's tick. */
const TIMESTAMP_GRANULARITY = 100;

/** Renamed before it is carried out; after a crash it is carried out again, before anything else is answered. */
const PENDING = /\.(del|doing)$/;

const RETRIABLE: readonly number[] = [CniErrorCode.io, CniErrorCode.tryAgainLater, CniErrorCode.internal];

export class Spool {
  readonly #directory: string | null;
  readonly #log: Log;
  readonly #handle: (request: CniRequest) => Promise<CniResponse>;
  /** Carried out, and not removed yet: never carried out again. */
  readonly #done = new Set<string>();
  readonly #refused = new Set<string>();
  #seen = -1;
  #running: Promise<void> | null = null;

  constructor(directory: string | null, log: Log, handle: (request: CniRequest) => Promise<CniResponse>) {
    this.#directory = directory;
    this.#log = log;
    this.#handle = handle;
  }

  /** Replays what has come since the last time. Never rejects. */
  async replay(): Promise<void> {
    if (this.#directory === null) return;
    await this.#running;
    // Beside the socket, in /run: memory, so looking at it does not wait.
    const changed = mtimeOf(this.#directory);
    if (changed === this.#seen) return;
    this.#running ??= this.#replayAll(this.#directory, changed).finally(() => {
      this.#running = null;
    });
    await this.#running;
  }

  async #replayAll(directory: string, changed: number): Promise<void> {
    try {
      const reason = await distrust(directory);
      if (reason !== null) {
        this.#refuse(directory, reason);
        this.#seen = changed;
        return;
      }
      let left = 0;
      const names = (await readdir(directory)).filter((name) => PENDING.test(name) && !name.startsWith("."));
      for (const name of names.sort()) if (!(await this.#attempt(join(directory, name)))) left++;
      // Taking files away has changed the directory; and a change of this very moment may have a twin with the same time.
      const settled = names.length === 0 && Date.now() - changed > TIMESTAMP_GRANULARITY;
      if (left === 0) this.#seen = settled ? changed : -1;
    } catch (error) {
      this.#log.warn({ directory, error: (error as Error).message }, "cannot read the spool of DEL calls");
    }
  }

  /** A file that is in trouble does not keep the others waiting. False when it has to be tried again. */
  async #attempt(path: string): Promise<boolean> {
    try {
      return await this.#replayOne(path);
    } catch (error) {
      // The client takes its file back when it could deliver the DEL after all.
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return true;
      this.#log.warn(
        { file: path, error: (error as Error).message },
        "cannot replay a spooled DEL, it stays for later",
      );
      return false;
    }
  }

  /** What will never succeed is kept for a person to look at, and not tried again. */
  async #setAside(path: string, why: string): Promise<true> {
    this.#log.error({ file: path, why }, "a spooled DEL cannot be carried out; it is set aside");
    await rename(path, `${path.replace(/\.doing$/, ".del")}.bad`);
    return true;
  }

  /** False when it has to be tried again. */
  async #replayOne(path: string): Promise<boolean> {
    if (this.#done.has(path)) return this.#remove(path);
    const file = await readSpooled(path);
    if ("refused" in file) return this.#refuse(path, file.refused);
    const request = parseSpooled(file.bytes);
    if (request?.env.CNI_COMMAND !== "DEL") return this.#setAside(path, "it is no DEL call");
    // What cannot be renamed could not be removed either, and would strike a later attachment of the same name.
    const claimed = path.replace(/\.del$/, ".doing");
    if (claimed !== path) await rename(path, claimed);
    const { exitCode, stdout } = await this.#handle(request);
    if (exitCode !== 0) {
      const { code } = JSON.parse(stdout) as { code: number };
      if (!RETRIABLE.includes(code)) return this.#setAside(claimed, stdout.trim());
      this.#log.warn({ file: claimed, error: stdout.trim() }, "a spooled DEL failed and stays for later");
      return false;
    }
    this.#done.add(claimed);
    this.#log.info(
      { containerId: request.env.CNI_CONTAINERID, ifname: request.env.CNI_IFNAME },
      "spooled DEL replayed",
    );
    return this.#remove(claimed);
  }

  async #remove(path: string): Promise<true> {
    await unlink(path);
    this.#done.delete(path);
    return true;
  }

  /** Left where it is, and told of once. */
  #refuse(path: string, why: string): true {
    if (!this.#refused.has(path)) this.#log.error({ file: path, why }, "a file in the spool of DEL calls is not read");
    this.#refused.add(path);
    return true;
  }
}

function mtimeOf(directory: string): number {
  try {
    return statSync(directory, { throwIfNoEntry: false })?.mtimeMs ?? -1;
  } catch {
    return -1;
  }
}

/** `KEY=VALUE\0 ... \0 stdin`; null when it is something else. */
function parseSpooled(bytes: Buffer): CniRequest | null {
  const env: Record<string, string> = {};
  for (let at = 0; ; ) {
    const end = bytes.indexOf(0, at);
    if (end < 0) return null;
    if (end === at) return { env, stdin: bytes.subarray(at + 1), pid: null };
    const entry = bytes.toString("utf8", at, end);
    const equals = entry.indexOf("=");
    if (equals < 1 || !entry.startsWith("CNI_")) return null;
    env[entry.slice(0, equals)] = entry.slice(equals + 1);
    at = end + 1;
  }
}
