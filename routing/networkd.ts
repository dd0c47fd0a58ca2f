// systemd-networkd's attitude to what it did not make, from its configuration files (networkd.conf(5)). In: a way to read
// files. Out: three settings, or null when it does not run. A setting counts that a restart of networkd would read; what the
// running one has read, it does not tell.
import { readdirSync, readFileSync } from "node:fs";

/** Where our drop-in belongs. */
export const networkdDropIn = "/etc/systemd/networkd.conf.d/10-underlay.conf";

/** systemd keeps it as long as the unit is active. */
const ACTIVE = "/run/systemd/units/invocation:systemd-networkd.service";
/** In order of precedence, for files of the same name. */
const DIRECTORIES = ["/etc/systemd", "/run/systemd", "/usr/local/lib/systemd", "/usr/lib/systemd", "/lib/systemd"];

export interface NetworkdSettings {
  readonly manageForeignRoutes: boolean;
  readonly manageForeignRoutingPolicyRules: boolean;
  readonly manageForeignNextHops: boolean;
}

export interface FileReader {
  /** Null: there is no such file, or it cannot be read. */
  read(path: string): string | null;
  /** Names in the directory; none when it is not there. */
  list(path: string): readonly string[];
}

export const hostFiles: FileReader = {
  read(path) {
    try {
      return readFileSync(path, "utf8");
    } catch {
      return null;
    }
  },
  list(path) {
    try {
      return readdirSync(path);
    } catch {
      return [];
    }
  },
};

/** Null: it does not run on this host. */
export function readNetworkd(files: FileReader): NetworkdSettings | null {
  const [directory, name] = [ACTIVE.slice(0, ACTIVE.lastIndexOf("/")), ACTIVE.slice(ACTIVE.lastIndexOf("/") + 1)];
  if (!files.list(directory).includes(name)) return null;
  return networkdSettings(files);
}

/** The first main file counts; then every drop-in in order of its name, of equal names the first. */
export function networkdSettings(files: FileReader): NetworkdSettings {
  const values = new Map<string, string>();
  const main = DIRECTORIES.map((directory) => files.read(`${directory}/networkd.conf`)).find((text) => text !== null);
  if (main) parse(main, values);
  const dropIns = new Map<string, string>();
  for (const directory of DIRECTORIES)
    for (const name of files.list(`${directory}/networkd.conf.d`))
      if (name.endsWith(".conf") && !dropIns.has(name)) dropIns.set(name, `${directory}/networkd.conf.d/${name}`);
  for (const name of [...dropIns.keys()].sort()) {
    const text = files.read(dropIns.get(name)!);
    if (text) parse(text, values);
  }
  const yes = (key: string) => !["0", "no", "n", "false", "f", "off"].includes(values.get(key)?.toLowerCase() ?? "");
  return {
    manageForeignRoutes: yes("ManageForeignRoutes"),
    manageForeignRoutingPolicyRules: yes("ManageForeignRoutingPolicyRules"),
    manageForeignNextHops: yes("ManageForeignNextHops"),
  };
}

/** Assignments of the section [Network]; an empty one takes back what came before. */
function parse(text: string, into: Map<string, string>): void {
  let section = "";
  for (const raw of text.split("\n")) {
    const line = raw.trim();
    if (line === "" || line.startsWith("#") || line.startsWith(";")) continue;
    const header = /^\[(.*)\]$/.exec(line);
    if (header) section = header[1];
    const assignment = /^([A-Za-z0-9]+)\s*=\s*(.*)$/.exec(line);
    if (section === "Network" && assignment) into.set(assignment[1], assignment[2].trim());
  }
}
