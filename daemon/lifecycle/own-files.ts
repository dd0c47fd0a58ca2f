// What the daemon has made in its directories, by name: an uninstall removes that and nothing else, so that a directory
// shared with others, or what an operator has put there, is safe. A part of the daemon that writes a new file adds it here.
import { readdirSync, rmdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { LOCAL_COPY_FILE } from "../../cni/blocks/local-copy.ts";
import { JOURNAL_NAME } from "../../cni/ipam/store.ts";
import type { Config } from "../../config/types.ts";
import { historyDirectory } from "../recorder.ts";
import { DRAIN_FILE } from "./drain-state.ts";

type Paths = Pick<Config, "paths" | "api">;

/** Files and directories, those that others live in last. */
function ownFiles({ paths: { state }, api: { socket } }: Paths): string[] {
  const inState = [JOURNAL_NAME, DRAIN_FILE, "sysctls.json", LOCAL_COPY_FILE].flatMap((name) => [name, `${name}.new`]);
  inState.push(...["damaged", "displaced", "before-repair"].map((ending) => `${JOURNAL_NAME}.${ending}`));
  return [
    ...inState.map((name) => join(state, name)),
    historyDirectory(state),
    join(state, "mrt"),
    join(dirname(socket), "spool"),
    socket,
    lockFile({ paths: { state } }),
  ];
}

/** Goes last: it keeps others out. */
export function lockFile({ paths: { state } }: { readonly paths: { readonly state: string } }): string {
  return join(state, "lock");
}

/** Directories of ours: removed when nothing is left in them. */
export function ownDirectories({ paths: { state, run }, api: { socket } }: Paths): string[] {
  return [...new Set([dirname(socket), run, state])].filter((path) => path === state || path === run);
}

/** Removes what is ours; returns what is left in our directories, or cannot be removed. */
export function removeOwnFiles(paths: Paths): string[] {
  const left: string[] = [];
  for (const path of ownFiles(paths)) {
    try {
      rmSync(path, { recursive: true, force: true });
    } catch (error) {
      left.push(`${path} (${(error as NodeJS.ErrnoException).code})`);
    }
  }
  for (const directory of ownDirectories(paths)) {
    try {
      rmdirSync(directory);
    } catch {
      // Not empty, or systemd has put it there: underlayctl removes that, from outside of the service.
      left.push(...entries(directory));
    }
  }
  return left;
}

function entries(directory: string): string[] {
  try {
    return readdirSync(directory).map((name) => join(directory, name));
  } catch {
    return [];
  }
}
