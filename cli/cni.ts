// underlayctl cni: puts the plugin and its network configuration where container runtimes look, and takes both away. No
// daemon is needed. Runtimes watch these directories: files appear whole, the plugin before the list that names it, and
// leave in the opposite order.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import type { PodView } from "../cni/types.ts";
import type { Config } from "../config/types.ts";
import { distFile } from "../net/dist.ts";
import { replaceFile } from "../net/durable-file.ts";
import { CliError, Client, DEFAULT_SOCKET } from "./client.ts";
import { type ChainedPlugin, chainable, type NetworkListOptions, networkList } from "./cni-list.ts";
import type { Invocation, Options } from "./commands.ts";
import { DEFAULT_CONFIG, readConfiguration } from "./configuration.ts";
import { type Output, plain } from "./output.ts";

const DEFAULT_NETWORK = "underlay";
/** Milliseconds. */
const VERSION_LIMIT = 5_000;
const usage =
  "usage: underlayctl cni install [--chain PLUGIN,PLUGIN] [--network NAME] [--pool POOL] [--config FILE]\n       underlayctl cni uninstall [--force] [--config FILE]";

export const cniOptions = {
  chain: { type: "string" },
  network: { type: "string" },
  pool: { type: "string" },
} as const;

export type CniOptions = { readonly [K in keyof typeof cniOptions]?: string };

interface Change {
  readonly path: string;
  readonly action: "written" | "unchanged" | "removed";
}

export async function cni({ client, output, options, arguments: [verb] }: Invocation): Promise<number> {
  if (verb === "install")
    await tell(output, options, install(await readConfiguration(options.config ?? DEFAULT_CONFIG), options));
  else if (verb === "uninstall")
    await tell(
      output,
      options,
      await uninstall(client, await readConfiguration(options.config ?? DEFAULT_CONFIG), options),
    );
  else throw new CliError(`cni: install or uninstall\n${usage}`, 2);
  return 0;
}

function install(config: Config, options: Options): Change[] {
  if (options.force) throw new CliError(`cni install takes no --force\n${usage}`, 2);
  const { confDir, binDir } = config.cni;
  const network = options.network ?? DEFAULT_NETWORK;
  if (!/^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(network))
    throw new CliError(`--network: ${JSON.stringify(network)} is no name of a network: letters, digits, _ . -`, 2);
  const list = listOf({
    network,
    pool: poolOf(config, options.pool),
    socket: config.api.socket === DEFAULT_SOCKET ? null : config.api.socket,
    chain: chainOf(options.chain, binDir),
  });
  for (const directory of [binDir, confDir]) mkdirSync(directory, { recursive: true, mode: 0o755 });
  return [
    put(join(binDir, "underlay"), readFileSync(distFile("underlay")), 0o755),
    put(join(confDir, `10-${network}.conflist`), Buffer.from(list), 0o644),
  ];
}

function listOf(options: NetworkListOptions): string {
  try {
    return networkList(options);
  } catch (error) {
    throw error instanceof RangeError ? new CliError(`--chain: ${error.message}`, 2) : error;
  }
}

function poolOf(config: Config, wanted: string | undefined): string | null {
  const names = config.pools.map(({ name }) => name);
  if (wanted === undefined) {
    const open = config.pools.filter(({ namespaces = [] }) => namespaces.length === 0);
    if (open.length <= 1 || open.some(({ name }) => name === "default")) return null;
    throw new CliError(`--pool is needed: there are ${names.join(", ")}, and none of them is called default`, 2);
  }
  if (names.includes(wanted)) return wanted;
  throw new CliError(`--pool ${wanted}: there is no such pool, there are ${names.join(", ") || "none"}`, 2);
}

function chainOf(list: string | undefined, binDir: string): NetworkListOptions["chain"] {
  return (list === undefined || list === "" ? [] : list.split(",")).map((name) => {
    if (!isChainable(name))
      throw new CliError(`--chain ${name}: what can be chained by name is ${chainable.join(", ")}`, 2);
    const path = join(binDir, name);
    if (!existsSync(path)) throw new CliError(`--chain ${name}: ${path} is not there; every pod would be refused`, 2);
    return { name, versions: versionsOf(path) };
  });
}

/** What a plugin answers to VERSION. */
function versionsOf(path: string): string[] {
  const env = {
    CNI_COMMAND: "VERSION",
    CNI_CONTAINERID: "",
    CNI_NETNS: "dummy",
    CNI_IFNAME: "dummy",
    CNI_PATH: "dummy",
  };
  const input = JSON.stringify({ cniVersion: "1.0.0" });
  const { stdout, error } = spawnSync(path, { env, input, encoding: "utf8", timeout: VERSION_LIMIT });
  try {
    // A plugin may answer without having read what it is asked.
    if (error && (error as NodeJS.ErrnoException).code !== "EPIPE") throw error;
    const { supportedVersions } = JSON.parse(stdout) as { supportedVersions?: unknown };
    if (!Array.isArray(supportedVersions)) throw new Error("it names no supportedVersions");
    return supportedVersions.map(String);
  } catch (why) {
    throw new CliError(`${path} does not say which versions it speaks: ${(why as Error).message}`, 2);
  }
}

function isChainable(name: string): name is ChainedPlugin {
  return (chainable as readonly string[]).includes(name);
}

async function uninstall(client: Client, config: Config, options: Options): Promise<Change[]> {
  for (const key of ["chain", "network", "pool"] as const)
    if (options[key] !== undefined) throw new CliError(`cni uninstall takes no --${key}\n${usage}`, 2);
  const pods = options.force ? [] : await attached(client, config);
  if (pods.length > 0)
    throw new CliError(
      `${pods.length} pods are attached, and their runtime needs the plugin to detach them: remove them first, or --force`,
      1,
    );
  const { confDir, binDir } = config.cni;
  const lists = listsIn(confDir).filter((path) => /"type"\s*:\s*"underlay"/.test(readFileSync(path, "utf8")));
  return [...lists, join(binDir, "underlay")].filter((path) => existsSync(path)).map(remove);
}

/** Without a daemon nobody knows. */
async function attached(given: Client, config: Config): Promise<PodView[]> {
  const client = given.socketPath === DEFAULT_SOCKET ? new Client(config.api.socket) : given;
  try {
    return await client.get<PodView[]>("/v1/pods");
  } catch (error) {
    if (error instanceof CliError && error.noDaemon) return [];
    throw error;
  }
}

function listsIn(confDir: string): string[] {
  if (!existsSync(confDir)) return [];
  return readdirSync(confDir)
    .filter((name) => /\.(conf|conflist|json)$/.test(name))
    .sort()
    .map((name) => join(confDir, name));
}

/** A file that is as it should be is left alone: whoever watches the directory would read everything anew. */
function put(path: string, content: Buffer, mode: number): Change {
  const there = statSync(path, { throwIfNoEntry: false });
  if (there?.isFile() && (there.mode & 0o777) === mode && readFileSync(path).equals(content))
    return { path, action: "unchanged" };
  replaceFile(path, content, mode);
  return { path, action: "written" };
}

function remove(path: string): Change {
  unlinkSync(path);
  return { path, action: "removed" };
}

async function tell(output: Output, options: Options, changes: readonly Change[]): Promise<void> {
  if (options.json) return output.line(JSON.stringify(changes, null, 2));
  if (changes.length === 0) await output.line("nothing is installed");
  for (const { path, action } of changes) await output.line(`${action} ${plain(path)}`);
}
