// Everything that a running lab has on disk: one temporary directory with the logs and a file that says who runs it.
// A lab that was killed leaves the directory behind; the next start removes it.
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const prefix = "underlay-lab-";
const stateFile = "lab.json";

export interface LabState {
  readonly name: string;
  /** The runner's process, and when it started (ticks since boot), so that a reused number is not taken for it. */
  readonly pid: number;
  readonly startTime: string;
  /** The lab lives in a user namespace of its own: enter that first. */
  readonly userNamespace: boolean;
  /** Node name -> PID 1 of the node. */
  readonly nodes: Readonly<Record<string, number>>;
}

export function createStateDirectory(): string {
  return mkdtempSync(join(tmpdir(), prefix));
}

export function writeState(directory: string, state: Omit<LabState, "pid" | "startTime">): void {
  const whole: LabState = { ...state, pid: process.pid, startTime: startTimeOf(process.pid)! };
  writeFileSync(join(directory, stateFile), `${JSON.stringify(whole, null, 2)}\n`);
}

export function removeStateDirectory(directory: string): void {
  rmSync(directory, { recursive: true, force: true });
}

/** The labs that run now, newest first. */
export function runningLabs(): { directory: string; state: LabState }[] {
  return directories()
    .flatMap(({ directory, modified }) => {
      const state = readState(directory);
      return state && isAlive(state) ? [{ directory, state, modified }] : [];
    })
    .sort((a, b) => b.modified - a.modified);
}

/** Removes what killed labs left behind. Their namespaces and processes are gone already: the kernel saw to it. */
export function removeLeftovers(): string[] {
  const removed: string[] = [];
  for (const { directory, modified } of directories()) {
    const state = readState(directory);
    // Without a state file yet, another lab may just be starting.
    if (state ? isAlive(state) : Date.now() - modified < 60_000) continue;
    try {
      rmSync(directory, { recursive: true, force: true });
      removed.push(directory);
    } catch {
      // Somebody else's.
    }
  }
  return removed;
}

function directories(): { directory: string; modified: number }[] {
  return readdirSync(tmpdir()).flatMap((entry) => {
    if (!entry.startsWith(prefix)) return [];
    const directory = join(tmpdir(), entry);
    try {
      return [{ directory, modified: statSync(directory).mtimeMs }];
    } catch {
      return [];
    }
  });
}

function readState(directory: string): LabState | null {
  try {
    return JSON.parse(readFileSync(join(directory, stateFile), "utf8")) as LabState;
  } catch {
    return null;
  }
}

function isAlive(state: LabState): boolean {
  return startTimeOf(state.pid) === state.startTime;
}

/** Field 22 of /proc/PID/stat; null when there is no such process, or only one that waits to be reaped. */
function startTimeOf(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return /^[ZX]/.test(fields[0]) ? null : fields[19];
  } catch {
    return null;
  }
}
