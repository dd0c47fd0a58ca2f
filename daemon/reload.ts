// A new configuration on a running daemon. In: the file, read again, or the text of another one. Out: what is different
// and what that does (plan), or the same, done (reload). A file with a fault, and a change that takes a restart, are
// refused as a whole, before anything is touched.
import { type ConfigChange, type ConfigDiff, diffConfig } from "../config/diff.ts";
import type { Impact } from "../config/impact.ts";
import { ConfigError, type LoadedConfig, loadConfig, parseConfig } from "../config/load.ts";
import type { Config } from "../config/types.ts";
import type { Log } from "../net/log.ts";
import type { ConfigEvent } from "./api/events.ts";
import { ApiError } from "./api/types.ts";

export interface PlanView {
  readonly changes: readonly ConfigChange[];
  /** The strongest of all changes; null: nothing is different. */
  readonly impact: Impact | null;
  readonly warnings: readonly string[];
}

export interface ReloadTarget {
  /** The configuration in force. */
  readonly config: Config;
  /** What a configuration brings about beside its changes, in words. */
  foresee(config: Config): readonly string[];
  /** Takes over a configuration whose differences are all less than a restart. Rejects with nothing changed. */
  apply(config: Config, diff: ConfigDiff): Promise<void>;
}

export class Reloader {
  readonly #target: ReloadTarget;
  readonly #log: Log;
  /** Told of each reload, done or refused. */
  onResult: (event: ConfigEvent) => void = () => {};
  /** One at a time. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(target: ReloadTarget, log: Log) {
    this.#target = target;
    this.#log = log;
  }

  /** Throws ApiError 400 with everything that is wrong. `file` names the text, and secrets are relative to it. */
  plan(text: string, file: string): PlanView {
    const { config, warnings } = checked(() => parseConfig(text, file));
    const { changes, impact } = diffConfig(this.#target.config, { ...config, file: this.#target.config.file });
    return { changes, impact, warnings: [...warnings.map(String), ...this.#target.foresee(config)] };
  }

  /** Rejects with ApiError 400 (the file has faults) or 409 (takes a restart); the old configuration stays in force then. */
  reload(): Promise<PlanView> {
    const run = this.#last.then(() => this.#reload());
    this.#last = run.catch(() => undefined);
    return run;
  }

  async #reload(): Promise<PlanView> {
    const { file } = this.#target.config;
    try {
      const { config, warnings } = checked(() => loadConfig(file));
      const diff = diffConfig(this.#target.config, config);
      const { changes, impact } = diff;
      refuseRestart(changes);
      const foreseen = this.#target.foresee(config);
      if (impact !== null) await this.#apply(config, diff);
      for (const warning of warnings) this.#log.warn({ file }, String(warning));
      this.onResult({ kind: "reloaded", file, impact, changes, error: null });
      this.#log.info({ file, impact, changes: changes.map(({ path }) => path) }, "configuration reloaded");
      return { changes, impact, warnings: [...warnings.map(String), ...foreseen] };
    } catch (error) {
      const reason = errorText(error);
      this.onResult({ kind: "refused", file, impact: null, changes: [], error: reason });
      this.#log.error({ file, reason }, "the configuration was not reloaded: the old one stays in force");
      throw error;
    }
  }

  async #apply(config: Config, diff: ConfigDiff): Promise<void> {
    try {
      await this.#target.apply(config, diff);
    } catch (error) {
      throw new ApiError(409, `nothing was changed: ${errorText(error)}`);
    }
  }
}

const errorText = (error: unknown) => (error instanceof Error ? error.message : String(error));

function refuseRestart(changes: readonly ConfigChange[]): void {
  const paths = changes.filter(({ impact }) => impact === "restart").map(({ path }) => path);
  if (paths.length === 0) return;
  throw new ApiError(
    409,
    `nothing was changed, because this takes a restart of the daemon (which keeps forwarding): ${paths.join(", ")}`,
  );
}

function checked(load: () => LoadedConfig): LoadedConfig {
  try {
    return load();
  } catch (error) {
    if (error instanceof ConfigError) throw new ApiError(400, error.message);
    throw error;
  }
}
