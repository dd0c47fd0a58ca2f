// A CNI client as runtimes embed it: network lists, prevResult from plugin to plugin, capabilities into runtimeConfig,
// the cache of results, garbage collection and status. Two generations of the Go library, which differ in what they know:
//
//   1.1  podman 4, containerd 1.6: `cniVersions` is not read, results of 1.1.0 are refused after the plugin has run
//   1.3  containerd 2, CRI-O: the highest version of `cniVersions` that it knows; GC and STATUS
//
// What it does not know of a result it drops, as the Go structures do.
import { spawn } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export type Generation = "1.1" | "1.3";
// biome-ignore lint/suspicious/noExplicitAny: configurations and results, looked into by tests
type Json = any;

const versionsOf: Record<Generation, readonly string[]> = {
  "1.1": ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0"],
  "1.3": ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"],
};
const interfaceFields: Record<Generation, readonly string[]> = {
  "1.1": ["name", "mac", "sandbox"],
  "1.3": ["name", "mac", "mtu", "sandbox", "socketPath", "pciID"],
};
const routeFields: Record<Generation, readonly string[]> = {
  "1.1": ["dst", "gw"],
  "1.3": ["dst", "gw", "mtu", "advmss", "priority", "table", "scope"],
};

export interface LibcniOptions {
  readonly generation: Generation;
  /** CNI_PATH. */
  readonly path: readonly string[];
  readonly cacheDir: string;
  /** Path of the network namespace that the runtime runs in; absent: the test's own. */
  readonly netns?: string;
  /** What `nsenter` enters to run plugins, as its arguments; for a host of more namespaces than that. */
  readonly enter?: readonly string[];
}

export interface NetworkList {
  readonly name: string;
  readonly cniVersion: string;
  readonly disableCheck: boolean;
  readonly disableGc: boolean;
  readonly plugins: readonly Json[];
  readonly text: string;
}

/** One interface of one container. */
export interface RuntimeConf {
  readonly containerId: string;
  readonly netns: string;
  readonly ifname: string;
  readonly args?: readonly (readonly [string, string])[];
  readonly capabilityArgs?: Readonly<Record<string, unknown>>;
}

export interface GcAttachment {
  readonly containerID: string;
  readonly ifname: string;
}

/** What a plugin said on stdout with a non-zero exit code; code 0: it said nothing that can be read. */
class PluginError extends Error {
  readonly plugin: string;
  readonly code: number;
  readonly details: string;
  constructor(plugin: string, verb: string, message: string, code = 0, details = "") {
    super(`plugin type="${plugin}" failed (${verb.toLowerCase()}): ${message}${details ? `; ${details}` : ""}`);
    this.plugin = plugin;
    this.code = code;
    this.details = details;
  }
}

export class Libcni {
  readonly #options: LibcniOptions;
  /** Every execution, oldest first. */
  readonly calls: { verb: string; plugin: string; stdin: Json; stderr: string }[] = [];

  constructor(options: LibcniOptions) {
    this.#options = options;
    mkdirSync(this.#results, { recursive: true });
  }

  /** A conflist. Throws for what the library refuses to load. */
  parse(text: string): NetworkList {
    const raw = JSON.parse(text) as Json;
    if (typeof raw.name !== "string") throw new Error("error parsing configuration list: no name");
    if (!Array.isArray(raw.plugins) || raw.plugins.length === 0) throw new Error("no plugins in list");
    for (const plugin of raw.plugins) if (!plugin.type) throw new Error("missing 'type'");
    return {
      name: raw.name,
      cniVersion: this.#negotiate(raw.cniVersion ?? "", raw.cniVersions),
      disableCheck: String(raw.disableCheck).toLowerCase() === "true",
      disableGc: String(raw.disableGC).toLowerCase() === "true",
      plugins: raw.plugins,
      text,
    };
  }

  /** The result of the last plugin. Nothing is undone after a failure: that is the runtime's to do. */
  async add(list: NetworkList, conf: RuntimeConf): Promise<Json> {
    let result: Json;
    for (const plugin of list.plugins) {
      const stdin = this.#config(list, plugin, conf, result);
      const stdout = await this.#execute("ADD", plugin.type, stdin, conf);
      result = this.#readResult(plugin.type, stdout, list.cniVersion);
    }
    this.#remember(list, conf, result);
    return result;
  }

  async check(list: NetworkList, conf: RuntimeConf): Promise<void> {
    if (!this.#atLeast(list, "0.4.0"))
      throw new Error(`configuration version ${list.cniVersion} does not support CHECK`);
    if (list.disableCheck) return;
    const result = this.cached(list, conf)?.result;
    for (const plugin of list.plugins)
      await this.#execute("CHECK", plugin.type, this.#config(list, plugin, conf, result), conf);
  }

  /** The last plugin first; ends at the first that fails. */
  async del(list: NetworkList, conf: RuntimeConf): Promise<void> {
    const result = this.#atLeast(list, "0.4.0") ? this.cached(list, conf)?.result : undefined;
    for (const plugin of [...list.plugins].reverse())
      await this.#execute("DEL", plugin.type, this.#config(list, plugin, conf, result), conf);
    if (result !== undefined) rmSync(this.#cachePath(list.name, conf), { force: true });
  }

  /** DEL for what is cached and not valid, then GC. `valid` undefined: no list is given; null: a nil slice of Go. */
  async gc(list: NetworkList, valid: readonly GcAttachment[] | null | undefined): Promise<void> {
    if (this.#options.generation === "1.1") throw new Error("libcni 1.1 has no GC");
    if (list.disableGc) return;
    const alive = new Set((valid ?? []).map(({ containerID, ifname }) => `${containerID} ${ifname}`));
    const errors: Error[] = [];
    const attempt = (work: Promise<unknown>) => work.catch((error: Error) => void errors.push(error));
    for (const entry of this.#cachedEntries(list.name)) {
      if (alive.has(`${entry.containerId} ${entry.ifName}`)) continue;
      const conf = { containerId: entry.containerId, netns: entry.netns ?? "", ifname: entry.ifName };
      await attempt(this.del(list, { ...conf, args: entry.cniArgs, capabilityArgs: entry.capabilityArgs }));
    }
    const attachments = valid === undefined ? {} : { "cni.dev/valid-attachments": valid, "cni.dev/attachments": valid };
    if (this.#atLeast(list, "1.1.0"))
      for (const plugin of list.plugins)
        await attempt(this.#execute("GC", plugin.type, { ...this.#named(list, plugin), ...attachments }, null));
    if (errors.length === 1) throw errors[0];
    if (errors.length > 1) throw new AggregateError(errors, errors.map((error) => error.message).join("\n"));
  }

  /** Silent where the list is older than STATUS. */
  async status(list: NetworkList): Promise<void> {
    if (this.#options.generation === "1.1" || !this.#atLeast(list, "1.1.0")) return;
    for (const plugin of list.plugins) await this.#execute("STATUS", plugin.type, this.#named(list, plugin), null);
  }

  /** VERSION of every plugin, as podman asks before it does anything. */
  async validate(list: NetworkList): Promise<void> {
    const dummy = { containerId: "", netns: "dummy", ifname: "dummy" };
    for (const { type } of list.plugins) {
      const stdin = { cniVersion: versionsOf[this.#options.generation].at(-1) };
      const info = JSON.parse(await this.#execute("VERSION", type, stdin, dummy, "dummy")) as Json;
      if (!info.cniVersion) throw new Error("decoding version info: missing field cniVersion");
      const supported: string[] = info.supportedVersions ?? (info.cniVersion === "0.2.0" ? ["0.1.0", "0.2.0"] : []);
      if (!supported.includes(list.cniVersion || "0.1.0"))
        throw new Error(`plugin ${type} does not support config version "${list.cniVersion}"`);
    }
  }

  /** What ADD has left for CHECK and DEL. */
  cached(list: NetworkList, conf: RuntimeConf): Json | undefined {
    try {
      return JSON.parse(readFileSync(this.#cachePath(list.name, conf), "utf8"));
    } catch {
      return undefined;
    }
  }

  get #results(): string {
    return join(this.#options.cacheDir, "results");
  }

  #cachePath(network: string, { containerId, ifname }: RuntimeConf): string {
    return join(this.#results, `${network}-${containerId}-${ifname}`);
  }

  #cachedEntries(network: string): Json[] {
    return readdirSync(this.#results)
      .map((name) => JSON.parse(readFileSync(join(this.#results, name), "utf8")) as Json)
      .filter((entry) => entry.networkName === network);
  }

  #remember(list: NetworkList, conf: RuntimeConf, result: Json): void {
    const entry = {
      kind: "cniCacheV1",
      containerId: conf.containerId,
      config: Buffer.from(list.text).toString("base64"),
      ifName: conf.ifname,
      networkName: list.name,
      ...(this.#options.generation === "1.3" ? { netns: conf.netns } : {}),
      cniArgs: conf.args,
      capabilityArgs: conf.capabilityArgs,
      result,
    };
    writeFileSync(this.#cachePath(list.name, conf), JSON.stringify(entry), { mode: 0o600 });
  }

  #negotiate(version: string, versions: unknown): string {
    if (this.#options.generation === "1.1" || versions === undefined) return version;
    const known = versionsOf["1.3"];
    const usable = [...(versions as string[]), version].filter((candidate) => known.includes(candidate));
    return usable.sort((a, b) => known.indexOf(a) - known.indexOf(b)).at(-1) ?? version;
  }

  #atLeast(list: NetworkList, minimum: string): boolean {
    const known = versionsOf["1.3"];
    return known.indexOf(list.cniVersion || "0.1.0") >= known.indexOf(minimum);
  }

  #named(list: NetworkList, plugin: Json): Json {
    return { ...plugin, name: list.name, cniVersion: list.cniVersion };
  }

  /** `capabilities` stays in, as the library leaves it in. */
  #config(list: NetworkList, plugin: Json, conf: RuntimeConf, prevResult: Json): Json {
    const runtimeConfig = Object.fromEntries(
      Object.entries(conf.capabilityArgs ?? {}).filter(([name]) => plugin.capabilities?.[name] === true),
    );
    return {
      ...this.#named(list, plugin),
      ...(prevResult === undefined ? {} : { prevResult }),
      ...(Object.keys(runtimeConfig).length > 0 ? { runtimeConfig } : {}),
    };
  }

  #readResult(plugin: string, stdout: string, version: string): Json {
    const result = JSON.parse(stdout) as Json;
    const { generation } = this.#options;
    if (!versionsOf[generation].includes(result.cniVersion || "0.1.0"))
      throw new PluginError(plugin, "ADD", `unsupported CNI result version "${result.cniVersion}"`);
    if (result.cniVersion !== (version || "0.1.0"))
      throw new PluginError(plugin, "ADD", `a result of version ${result.cniVersion} for a ${version} configuration`);
    const pick = (fields: readonly string[]) => (entry: Json) =>
      Object.fromEntries(fields.filter((field) => entry[field] !== undefined).map((field) => [field, entry[field]]));
    return {
      ...result,
      ...(result.interfaces ? { interfaces: result.interfaces.map(pick(interfaceFields[generation])) } : {}),
      ...(result.routes ? { routes: result.routes.map(pick(routeFields[generation])) } : {}),
      ...(generation === "1.1" ? { dns: result.dns ?? {} } : {}),
    };
  }

  #find(plugin: string): string {
    if (plugin.includes("/")) throw new Error(`invalid plugin name: ${plugin}`);
    for (const directory of this.#options.path) {
      const file = join(directory, plugin);
      if (statSync(file, { throwIfNoEntry: false })?.isFile()) return file;
    }
    throw new Error(`failed to find plugin "${plugin}" in path [${this.#options.path.join(" ")}]`);
  }

  /** All six variables are always set, possibly to nothing. */
  #execute(verb: string, plugin: string, stdin: Json, conf: RuntimeConf | null, path?: string): Promise<string> {
    const env = {
      ...process.env,
      CNI_COMMAND: verb,
      CNI_CONTAINERID: conf?.containerId ?? "",
      CNI_NETNS: conf?.netns ?? "",
      CNI_IFNAME: conf?.ifname ?? "",
      CNI_ARGS: (conf?.args ?? []).map((pair) => pair.join("=")).join(";"),
      CNI_PATH: path ?? this.#options.path.join(":"),
    };
    const file = this.#find(plugin);
    const { netns, enter = netns ? [`--net=${netns}`] : [] } = this.#options;
    const child = enter.length > 0 ? spawn("nsenter", [...enter, "--", file], { env }) : spawn(file, [], { env });
    const call = { verb, plugin, stdin, stderr: "" };
    this.calls.push(call);
    let stdout = "";
    child.stdout.on("data", (chunk) => {
      stdout += chunk;
    });
    child.stderr.on("data", (chunk) => {
      call.stderr += chunk;
    });
    child.stdin.on("error", () => undefined);
    child.stdin.end(JSON.stringify(stdin));
    return new Promise((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (code) => {
        if (code === 0) return resolve(stdout);
        if (stdout === "")
          return reject(new PluginError(plugin, verb, `netplugin failed: ${JSON.stringify(call.stderr)}`));
        try {
          const error = JSON.parse(stdout) as Json;
          reject(new PluginError(plugin, verb, error.msg, error.code, error.details));
        } catch {
          reject(new PluginError(plugin, verb, `netplugin failed but error parsing its diagnostic message: ${stdout}`));
        }
      });
    });
  }
}
