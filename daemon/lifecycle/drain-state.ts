// What is drained, on disk: `drain.json` in the state directory, so that neither a restart of the daemon nor a reboot
// brings a node back into service that somebody has taken out of it.
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { replaceFile } from "../../net/durable-file.ts";

export interface DrainRecord {
  /** ISO 8601: since when the whole node is drained; null: it is not. */
  node: string | null;
  /** The same for peers drained one by one. */
  readonly peers: Map<string, string>;
}

export const DRAIN_FILE = "drain.json";

/** Throws with what to do when the file cannot be read: whether the node may take traffic is not to be guessed. */
export function readDrainState(directory: string): DrainRecord {
  const path = join(directory, DRAIN_FILE);
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return { node: null, peers: new Map() };
    throw new Error(`cannot read ${path}: ${(error as Error).message}`);
  }
  try {
    return decode(JSON.parse(text));
  } catch {
    throw new Error(
      `${path} is damaged, so it is not known what is drained: remove it, start, and drain again what has to be`,
    );
  }
}

/** Throws with the file and the reason; what was on disk stays then. */
export function writeDrainState(directory: string, { node, peers }: DrainRecord): void {
  const path = join(directory, DRAIN_FILE);
  try {
    if (node === null && peers.size === 0) return void rmSync(path, { force: true });
    replaceFile(path, `${JSON.stringify({ node, peers: Object.fromEntries(peers) }, null, 2)}\n`, 0o644);
  } catch (error) {
    throw new Error(`cannot write ${path}: ${(error as Error).message}`);
  }
}

function decode(value: { node?: unknown; peers?: unknown }): DrainRecord {
  const { node, peers } = value;
  if (node !== null && typeof node !== "string") throw new TypeError("node");
  if (typeof peers !== "object" || peers === null) throw new TypeError("peers");
  const entries = Object.entries(peers);
  if (entries.some(([, since]) => typeof since !== "string")) throw new TypeError("peers");
  return { node, peers: new Map(entries) };
}
