// Control groups that container runtimes of a test have made: removed when their processes are gone.
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, rmdirSync } from "node:fs";
import { join } from "node:path";

const cgroups = "/sys/fs/cgroup";

/** Those of a former run of the same tests that could not end well: `<prefix><pid>-...`, where there is no such process. */
export function removeStaleCgroups(prefix: string): void {
  const names = new Set(hierarchies().flatMap((at) => readdirSync(at)));
  for (const name of names) {
    const pid = name.startsWith(prefix) ? Number.parseInt(name.slice(prefix.length), 10) : Number.NaN;
    if (pid > 0 && !existsSync(`/proc/${pid}`)) removeCgroups(name);
  }
}

/** Removes the (empty) groups under `name` in every hierarchy; false while a process is still in one. */
export function removeCgroups(name: string): boolean {
  let clean = true;
  for (const place of hierarchies().map((at) => join(at, name))) {
    if (!existsSync(place)) continue;
    for (const directory of directoriesIn(place)) {
      try {
        rmdirSync(directory);
      } catch {
        clean = false;
      }
    }
  }
  return clean;
}

/** One, or with version 1 of control groups one per controller. */
function hierarchies(): string[] {
  const entries = readdirSync(cgroups, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  return [cgroups, ...entries.map(({ name }) => join(cgroups, name))];
}

/** The deepest ones first. */
function directoriesIn(place: string): string[] {
  try {
    const found = execFileSync("find", [place, "-depth", "-type", "d"], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    });
    return found.split("\n").filter(Boolean);
  } catch {
    return [];
  }
}
