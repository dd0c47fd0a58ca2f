// The configuration file as it is on disk now.
import { ConfigError, type ConfigProblem, loadConfig } from "../../config/load.ts";
import type { Config } from "../../config/types.ts";

export interface ConfigFile {
  readonly path: string;
  /** Null: it has faults. */
  readonly config: Config | null;
  readonly problems: readonly ConfigProblem[];
  readonly warnings: readonly ConfigProblem[];
}

export function lookAtConfigFile(path: string): ConfigFile {
  try {
    const { config, warnings } = loadConfig(path);
    return { path, config, problems: [], warnings };
  } catch (error) {
    if (error instanceof ConfigError) return { path, config: null, problems: error.problems, warnings: [] };
    throw error;
  }
}
