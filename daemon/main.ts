// underlayd: reads its arguments and its configuration, then runs the daemon until a signal ends it.
//
//   underlayd --config FILE [--check | --uninstall] [--version]
//
// Exit codes: 0 a clean stop or a good configuration, 1 it cannot run (the reason is the last line), 2 wrong usage.
import { parseArgs } from "node:util";
import { ConfigError, loadConfig } from "../config/load.ts";
import { systemClock } from "../net/clock.ts";
import { sizeThreadPool } from "../net/thread-pool.ts";
import { Daemon } from "./compose.ts";
import { runUntilSignal } from "./lifecycle/run.ts";
import { uninstallOffline } from "./lifecycle/uninstall.ts";
import { lockStateDirectory, prepareDirectory } from "./lock.ts";
import { createLog } from "./log.ts";
import { version } from "./version.ts";

const usage = `Usage: underlayd --config FILE [--check]
       underlayd --config FILE --uninstall [--force]
       underlayd --version

  --config FILE  the YAML configuration (docs/configuration.md)
  --uninstall    remove all that a daemon with this configuration has made, where none runs (underlayctl uninstall)
  --force        although pods are attached: they lose their network
  --check        read and check the configuration, print what is wrong with it, touch nothing
`;

interface Arguments {
  config?: string;
  check?: boolean;
  uninstall?: boolean;
  force?: boolean;
  version?: boolean;
  help?: boolean;
}

function readArguments(): Arguments {
  try {
    return parseArgs({
      options: {
        config: { type: "string", short: "c" },
        check: { type: "boolean" },
        uninstall: { type: "boolean" },
        force: { type: "boolean" },
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
  if (args.uninstall) {
    const log = createLog("warn", config.node.name);
    const { left, etcd } = await uninstallOffline(config, args.force ?? false, log);
    if (etcd) process.stdout.write(`${etcd.summary}\n`);
    if (left.length > 0) fail(`not removed: ${left.join(", ")}`, 1);
    process.stdout.write("removed: rules, routes, next hops, state; neighbours forget this node by themselves\n");
    if (etcd?.outcome === "remains") process.exitCode = 1;
    return;
  }
  prepareDirectory(config.paths.run, "paths.run");
  const log = createLog(config.log.level, config.node.name);
  for (const warning of warnings) log.warn({ file: config.file }, String(warning));
  await runUntilSignal(new Daemon(config, { log, clock: systemClock }), log);
}

sizeThreadPool();
main().catch((error) => fail(`underlayd: ${error instanceof Error ? error.message : error}`, 1));
