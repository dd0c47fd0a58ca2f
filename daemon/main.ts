// underlayd: reads its arguments and its configuration, then runs the daemon until a signal ends it.
//
//   underlayd --config FILE [--check] [--version]
//
// Exit codes: 0 a clean stop or a good configuration, 1 it cannot run (the reason is the last line), 2 wrong usage.
import { parseArgs } from "node:util";
import { ConfigError, loadConfig } from "../config/load.ts";
import { systemClock } from "../net/clock.ts";
import { Daemon } from "./compose.ts";
import { runUntilSignal } from "./lifecycle/run.ts";
import { lockStateDirectory, prepareDirectory } from "./lock.ts";
import { createLog } from "./log.ts";
import { version } from "./version.ts";

const usage = `Usage: underlayd --config FILE [--check]
       underlayd --version

  --config FILE  the YAML configuration (docs/configuration.md)
  --check        read and check the configuration, print what is wrong with it, touch nothing
`;

interface Arguments {
  config?: string;
  check?: boolean;
  version?: boolean;
  help?: boolean;
}

function readArguments(): Arguments {
  try {
    return parseArgs({
      options: {
        config: { type: "string", short: "c" },
        check: { type: "boolean" },
        version: { type: "boolean" },
        help: { type: "boolean", short: "h" },
      },
    }).values;
  } catch (error) {
    return fail(`${(error as Error).message}\n\n${usage}`, 2);
  }
}

function fail(message: string, code: number): never {
  process.stderr.write(message.endsWith("\n") ? message : `${message}\n`);
  process.exit(code);
}

async function main(): Promise<void> {
  const args = readArguments();
  if (args.help) return void process.stdout.write(usage);
  if (args.version) return void process.stdout.write(`underlayd ${version}\n`);
  if (!args.config) fail(usage, 2);

  let loaded: ReturnType<typeof loadConfig>;
  try {
    loaded = loadConfig(args.config);
  } catch (error) {
    if (error instanceof ConfigError) fail(error.message, 1);
    throw error;
  }
  const { config, warnings } = loaded;
  if (args.check) {
    for (const warning of warnings) process.stderr.write(`${warning}\n`);
    process.stdout.write(`${args.config}: good (${config.peers.length} peers, ${config.pools.length} pools)\n`);
    return;
  }

  lockStateDirectory(config.paths.state);
  prepareDirectory(config.paths.run, "paths.run");
  const log = createLog(config.log.level, config.node.name);
  for (const warning of warnings) log.warn({ file: config.file }, String(warning));
  await runUntilSignal(new Daemon(config, { log, clock: systemClock }), log);
}

main().catch((error) => fail(`underlayd: ${error instanceof Error ? error.message : error}`, 1));
