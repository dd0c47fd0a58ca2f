// MRT files as configured: updates as they come, tables every interval or when somebody asks. Dumps run one after another.
import type { Clock, Timer } from "../../../net/clock.ts";
import type { Log } from "../../../net/log.ts";
import type { RibCore } from "../../rib-core.ts";
import type { DumpResult, MrtOptions, MrtView } from "../types.ts";
import { newPath, prepareDirectory, removeOld, untilBoundary } from "./directory.ts";
import { fileErrorText } from "./file-writer.ts";
import { type DumpedPeer, TableDump } from "./table-dump.ts";
import { UpdateFiles } from "./update-files.ts";

export interface MrtDependencies {
  readonly clock: Clock;
  readonly log: Log;
  readonly core: RibCore;
  readonly wallTime: () => number;
  /** Whose tables are dumped. */
  readonly peers: () => readonly DumpedPeer[];
}

/** Dumps of tables, one after another. */
export class TableDumps {
  readonly #dependencies: MrtDependencies;
  #last: Promise<unknown> = Promise.resolve();

  constructor(dependencies: MrtDependencies) {
    this.#dependencies = dependencies;
  }

  /** Rejects with an Error in words when the file cannot be written. */
  write(path: () => string): Promise<DumpResult> {
    const { core, peers, wallTime } = this.#dependencies;
    const run = this.#last.then(async () => {
      const file = path();
      try {
        return await TableDump.write(file, core, peers(), wallTime());
      } catch (error) {
        throw new Error(`cannot write ${file}: ${fileErrorText(error)}`);
      }
    });
    this.#last = run.catch(() => undefined);
    return run;
  }
}

export class Mrt {
  readonly options: MrtOptions;
  readonly updates: UpdateFiles | null;
  readonly #dependencies: MrtDependencies;
  readonly #dumps: TableDumps;
  #timer: Timer | null = null;
  #lastDump: string | null = null;
  #dumpError: string | null = null;
  #stopped = false;

  constructor(options: MrtOptions, dumps: TableDumps, dependencies: MrtDependencies) {
    this.options = options;
    this.#dumps = dumps;
    this.#dependencies = dependencies;
    const { updates, directory, extendedTimestamps } = options;
    this.updates = updates && new UpdateFiles({ ...updates, directory, extendedTimestamps }, dependencies);
  }

  get view(): MrtView {
    return {
      directory: this.options.directory,
      updatesFile: this.updates?.path ?? null,
      updatesWritten: this.updates?.written ?? 0,
      updatesLost: this.updates?.lost ?? 0,
      lastDump: this.#lastDump,
      lastError: this.updates?.lastError ?? this.#dumpError,
    };
  }

  start(): void {
    this.updates?.start();
    this.#awaitDump();
  }

  /** Ends the file of updates; a table that is being dumped is left unfinished. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    await this.updates?.stop();
  }

  #awaitDump(): void {
    const { tables } = this.options;
    const { clock, wallTime } = this.#dependencies;
    if (!tables || this.#stopped) return;
    this.#timer = clock.after(untilBoundary(wallTime(), tables.interval) + 1, () => {
      this.#awaitDump();
      void this.#dump(tables.keep);
    });
  }

  async #dump(keep: number): Promise<void> {
    const { directory } = this.options;
    const { log, wallTime } = this.#dependencies;
    try {
      await prepareDirectory(directory);
      const result = await this.#dumps.write(() => newPath(directory, "rib", wallTime()));
      await removeOld(directory, "rib", keep);
      this.#lastDump = result.file;
      this.#dumpError = null;
      log.debug(result, "MRT: table written");
    } catch (error) {
      this.#dumpError = fileErrorText(error);
      log.error({ directory, reason: this.#dumpError }, "MRT: table is not written");
    }
  }
}
