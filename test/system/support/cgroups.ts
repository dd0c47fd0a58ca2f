// Control groups that container runtimes of a test have made: removed when their processes are gone.
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, rmdirSync } from "node:fs";
import { join } from "node:path";

const cgroups = "/sys/fs/cgroup";

/** Removes the (empty) groups under `name` in every hierarchy; false while a process is still in one. */
export function removeCgroups(name: string): boolean {
  const places = [cgroups, ...readdirSync(cgroups).map((entry) => join(cgroups, entry))].map((at) => join(at, name));
  let clean = true;
  for (const place of places.filter((path) => existsSync(path))) {
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
