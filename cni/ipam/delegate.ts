// Addresses from another plugin (specification section 4, "Plugin Delegation"): a configuration with an `ipam.type` has
// that plugin asked instead of a pool.
//
// In: the caller's environment and configuration, handed on as they came. Out: its addresses, routes and DNS settings, or its
// error under its own code. Whatever ADD may have allocated is given back by DEL, which always runs.
// Executed in the daemon's namespaces: CNI_PATH has to be the same there.
import { spawn } from "node:child_process";
import { stat } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { formatAddress, parseAddress, unmapped } from "../../net/address.ts";
import { formatPrefix, maskBytes } from "../../net/prefix.ts";
import type { NetworkConfig } from "../protocol/config.ts";
import type { Verb } from "../protocol/environment.ts";
import { CniError, CniErrorCode } from "../protocol/error.ts";
import { field, isObject, type JsonObject, objectField, textField } from "../protocol/json.ts";
import { type CniResult, parsePrevResult } from "../protocol/result.ts";

/** Milliseconds; the client waits for two minutes. */
const TIMEOUT = 60_000;
const OUTPUT_LIMIT = 1 << 20;
/** Set for what we execute. A plugin that is ours under another name comes back to us with it. */
export const DELEGATE_MARK = "CNI_UNDERLAY_DELEGATE";

/** Whom to ask, and with what: enough to give addresses back when nobody asks for it. */
export interface Delegate {
  readonly type: string;
  /** CNI_PATH. */
  readonly path: string;
  /** CNI_ARGS. */
  readonly args: string;
  /** Without prevResult. */
  readonly config: string;
}

/** What a delegate gave. */
export interface Delegated {
  /** Canonical, at least one. */
  readonly addresses: readonly string[];
  /** Prefixes; undefined: it gave none. */
  readonly routes: readonly string[] | undefined;
  readonly dns: JsonObject;
}

/** Null: addresses come from a pool. Throws 2 and 7 for a type that cannot be. */
export function delegateOf(config: NetworkConfig, env: Readonly<Record<string, string>>): Delegate | null {
  const type = textField(objectField(config.raw, "ipam"), "type");
  if (type === null) return null;
  if (type.includes("/")) throw invalid(`"ipam": {"type": "${type}"} must be a name, not a path`);
  if (type === "underlay" || type === field(config.raw, "type"))
    throw invalid(`"ipam": {"type": "${type}"} is this plugin itself: leave ipam out to have addresses from a pool`);
  if (type === "dhcp")
    throw new CniError(
      CniErrorCode.unsupportedField,
      '"ipam": {"type": "dhcp"} is not supported: leases belong to a layer 2 network, pods are routed',
    );
  const { prevResult: _left, ...rest } = config.raw;
  return { type, path: env.CNI_PATH ?? "", args: env.CNI_ARGS ?? "", config: JSON.stringify(rest) };
}

/** As delegateOf(), for DEL: what could never have been asked has nothing to give back. */
export function delegateForDel(config: NetworkConfig, env: Readonly<Record<string, string>>): Delegate | null {
  try {
    return delegateOf(config, env);
  } catch {
    return null;
  }
}

/** ADD. Nothing stays allocated when it rejects. */
export async function allocateBy(
  delegate: Delegate,
  env: Readonly<Record<string, string>>,
  config: NetworkConfig,
): Promise<Delegated> {
  try {
    const stdout = await run(delegate, "ADD", env, JSON.stringify(config.raw));
    return readResult(delegate.type, stdout, config);
  } catch (error) {
    await run(delegate, "DEL", env, delegate.config).catch(() => undefined);
    throw error;
  }
}

/** DEL for an attachment, also when nobody called. */
export async function releaseBy(
  delegate: Delegate,
  id: { readonly containerId: string; readonly ifname: string; readonly netns?: string },
  prevResult?: unknown,
): Promise<void> {
  const env = { CNI_CONTAINERID: id.containerId, CNI_IFNAME: id.ifname, CNI_NETNS: id.netns ?? "" };
  const config = JSON.parse(delegate.config) as JsonObject;
  await run(delegate, "DEL", env, JSON.stringify(prevResult === undefined ? config : { ...config, prevResult }));
}

/** CHECK, STATUS and GC. */
export async function askDelegate(
  delegate: Delegate,
  verb: Verb,
  env: Readonly<Record<string, string>>,
  config: NetworkConfig,
): Promise<void> {
  await run(delegate, verb, env, JSON.stringify(config.raw));
}

function readResult(type: string, stdout: string, config: NetworkConfig): Delegated {
  let value: unknown;
  try {
    value = JSON.parse(stdout);
  } catch {
    value = null;
  }
  if (!isObject(value))
    throw failed(CniErrorCode.decode, type, "its result is not a JSON object", stdout.slice(0, 200));
  const { ips, routes, dns } = readAs(type, value, config);
  const addresses = new Set(ips.map(({ address }) => formatAddress(unmapped(parseAddress(address.split("/")[0])!))));
  if (addresses.size === 0) throw failed(CniErrorCode.internal, type, "it gave no address");
  const families = new Set([...addresses].map((address) => address.includes(":")));
  const destinations = routes.map(({ dst }) => {
    const [text, length] = dst.split("/");
    const bytes = parseAddress(text)!;
    return formatPrefix({
      family: bytes.length === 4 ? 4 : 6,
      bytes: maskBytes(bytes, Number(length)),
      length: Number(length),
    });
  });
  const usable = [...new Set(destinations)].filter((destination) => families.has(destination.includes(":")));
  return { addresses: [...addresses], routes: destinations.length === 0 ? undefined : usable, dns };
}

function readAs(type: string, value: JsonObject, config: NetworkConfig): CniResult {
  try {
    return parsePrevResult(value, config.cniVersion);
  } catch (error) {
    throw failed(CniErrorCode.decode, type, (error as Error).message.replace("prevResult", "its result"));
  }
}

async function run(
  { type, path, args }: Delegate,
  verb: Verb,
  env: Readonly<Record<string, string>>,
  stdin: string,
): Promise<string> {
  const file = await find(type, path);
  const child = spawn(file, [], {
    cwd: "/",
    env: {
      ...(process.env.PATH === undefined ? {} : { PATH: process.env.PATH }),
      CNI_CONTAINERID: "",
      CNI_NETNS: "",
      CNI_IFNAME: "",
      CNI_ARGS: args,
      ...env,
      CNI_PATH: path,
      CNI_COMMAND: verb,
      [DELEGATE_MARK]: "1",
    },
    stdio: ["pipe", "pipe", "pipe"],
    timeout: TIMEOUT,
    killSignal: "SIGKILL",
  });
  const stdout = collect(child.stdout);
  const stderr = collect(child.stderr);
  child.stdin.on("error", () => undefined);
  child.stdin.end(stdin);
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once("error", (error) =>
      reject(failed(CniErrorCode.internal, type, `cannot execute ${file} (${(error as NodeJS.ErrnoException).code})`)),
    );
    child.once("close", resolve);
  });
  if (code === 0) return stdout();
  if (code === null) throw failed(CniErrorCode.tryAgainLater, type, `${verb} ended by a signal, or took too long`);
  throw errorOf(type, stdout(), stderr());
}

/** As much as is of interest. */
function collect(stream: NodeJS.ReadableStream): () => string {
  const chunks: Buffer[] = [];
  let length = 0;
  stream.on("data", (chunk: Buffer) => {
    if (length < OUTPUT_LIMIT) chunks.push(chunk);
    length += chunk.length;
  });
  return () => Buffer.concat(chunks).toString("utf8").slice(0, OUTPUT_LIMIT);
}

async function find(type: string, path: string): Promise<string> {
  for (const directory of path.split(delimiter)) {
    if (directory === "") continue;
    const file = join(directory, type);
    const found = await stat(file).catch(() => null);
    if (found?.isFile() && (found.mode & 0o111) !== 0) return file;
  }
  throw invalid(`the ipam plugin "${type}" is in no directory of CNI_PATH (${path})`);
}

/** A delegate's own error, under its own code. */
function errorOf(type: string, stdout: string, stderr: string): CniError {
  try {
    const value: unknown = JSON.parse(stdout);
    if (isObject(value) && typeof value.code === "number" && value.code > 0)
      return failed(value.code, type, String(value.msg ?? ""), String(value.details ?? ""));
  } catch {
    // Said below.
  }
  return failed(
    CniErrorCode.internal,
    type,
    "it failed without a word that can be read",
    (stderr || stdout).slice(0, 500),
  );
}

function failed(code: number, type: string, message: string, details = ""): CniError {
  return new CniError(code, `ipam plugin "${type}": ${message}`, details);
}

function invalid(message: string): CniError {
  return new CniError(CniErrorCode.invalidConfig, message);
}
