// What container runtimes read: the network configurations, in the order in which runtimes take them, and the plugin.
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { distFile } from "../../net/dist.ts";

export interface NetworkFile {
  readonly path: string;
  /** Why it is none, null: it is one. */
  readonly error: string | null;
  /** As it is written, a list of plugins in any case. */
  readonly plugins: readonly Readonly<Record<string, unknown>>[];
}

export interface CniFiles {
  readonly confDir: string;
  readonly binDir: string;
  /** Files in binDir. */
  readonly programs: readonly string[];
  readonly networks: readonly NetworkFile[];
  readonly plugin: {
    readonly path: string;
    readonly state: "missing" | "not executable" | "another" | "ours";
  };
}

export async function lookAtCni({ confDir, binDir }: { confDir: string; binDir: string }): Promise<CniFiles> {
  const names = (await readdir(confDir).catch(() => [])).filter((name) => /\.(conf|conflist|json)$/.test(name)).sort();
  return {
    confDir,
    binDir,
    programs: await readdir(binDir).catch(() => []),
    networks: await Promise.all(names.map((name) => readNetwork(join(confDir, name)))),
    plugin: await lookAtPlugin(join(binDir, "underlay")),
  };
}

async function readNetwork(path: string): Promise<NetworkFile> {
  try {
    const value: unknown = JSON.parse(await readFile(path, "utf8"));
    if (!isObject(value)) return { path, error: "it is not a JSON object", plugins: [] };
    const plugins = path.endsWith(".conflist") ? value["plugins"] : [value];
    if (!Array.isArray(plugins) || !plugins.every(isObject))
      return { path, error: "it has no list of plugins", plugins: [] };
    if (typeof value["name"] !== "string") return { path, error: "it has no name", plugins };
    return { path, error: null, plugins };
  } catch (error) {
    return { path, error: (error as Error).message, plugins: [] };
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The plugin is compared with the one of this build: it is small, and need not be executed to know it. */
async function lookAtPlugin(path: string): Promise<CniFiles["plugin"]> {
  const file = await stat(path).catch(() => null);
  if (!file?.isFile()) return { path, state: "missing" };
  if ((file.mode & 0o111) === 0) return { path, state: "not executable" };
  const [there, ours] = await Promise.all([readFile(path).catch(() => null), readFile(distFile("underlay"))]);
  return { path, state: there?.equals(ours) ? "ours" : "another" };
}
