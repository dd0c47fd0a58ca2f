// The configuration file, for commands that need no daemon. What reads it is large, and loaded only where it is needed.
import type { Config } from "../config/types.ts";
import { CliError } from "./client.ts";

export const DEFAULT_CONFIG = "/etc/underlay/underlay.yaml";

/** Rejects with a CliError that has everything that is wrong with the file. */
export async function readConfiguration(file: string): Promise<Config> {
  const { ConfigError, loadConfig } = await import("../config/load.ts");
  try {
    return loadConfig(file).config;
  } catch (error) {
    throw error instanceof ConfigError ? new CliError(error.message, 2) : error;
  }
}
