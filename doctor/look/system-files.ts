// How the host is set up for the daemon: systemd's unit, and the name of our protocol number for iproute2.
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";

const UNIT = "underlayd.service";
const SHUTDOWN_UNIT = "underlay-shutdown.service";
const UNIT_DIRECTORIES = [
  "etc/systemd/system",
  "run/systemd/system",
  "usr/local/lib/systemd/system",
  "usr/lib/systemd/system",
  "lib/systemd/system",
];
const PROTOCOL_FILES = ["etc/iproute2/rt_protos", "usr/share/iproute2/rt_protos", "usr/lib/iproute2/rt_protos"];
const PROTOCOL_DIRECTORIES = ["etc/iproute2/rt_protos.d", "usr/share/iproute2/rt_protos.d"];

export interface SystemFiles {
  /** Null: systemd does not run this host. */
  readonly systemd: null | {
    /** Null: there is no unit. */
    readonly unit: null | {
      readonly path: string;
      /** Started at boot: wanted by some target. */
      readonly enabled: boolean;
      /** Keys of [Service], the last of several. */
      readonly service: Readonly<Record<string, string>>;
    };
    /** What withdraws before a reboot is wanted by some target. */
    readonly shutdownEnabled: boolean;
  };
  /** iproute2's name of our protocol number, null: none. */
  readonly protocolName: string | null;
}

/** `root` stands for `/`. */
export async function lookAtSystem(protocol: number, root = "/"): Promise<SystemFiles> {
  const booted = await stat(join(root, "run/systemd/system")).catch(() => null);
  return {
    systemd: booted ? { unit: await findUnit(root), shutdownEnabled: await isWanted(root, SHUTDOWN_UNIT) } : null,
    protocolName: await findProtocol(protocol, root),
  };
}

async function findUnit(root: string): Promise<NonNullable<SystemFiles["systemd"]>["unit"]> {
  for (const directory of UNIT_DIRECTORIES) {
    const path = join(root, directory, UNIT);
    const text = await readFile(path, "utf8").catch(() => null);
    if (text === null) continue;
    const dropIns = await texts(join(root, "etc/systemd/system", `${UNIT}.d`));
    const service = Object.assign({}, ...[text, ...dropIns].map(serviceKeys)) as Record<string, string>;
    return { path, enabled: await isWanted(root, UNIT), service };
  }
  return null;
}

async function isWanted(root: string, unit: string): Promise<boolean> {
  for (const directory of ["etc/systemd/system", "usr/lib/systemd/system"]) {
    const targets = await readdir(join(root, directory)).catch(() => []);
    for (const target of targets) {
      if (!target.endsWith(".wants") && !target.endsWith(".requires")) continue;
      const names: string[] = await readdir(join(root, directory, target)).catch(() => []);
      if (names.includes(unit)) return true;
    }
  }
  return false;
}

function serviceKeys(text: string): Record<string, string> {
  const keys: Record<string, string> = {};
  let section = "";
  for (const line of text.split("\n")) {
    const header = /^\[(.+)\]\s*$/.exec(line);
    const entry = /^([A-Za-z]+)\s*=\s*(.*?)\s*$/.exec(line);
    if (header) section = header[1];
    else if (entry && section === "Service") keys[entry[1]] = entry[2];
  }
  return keys;
}

async function findProtocol(protocol: number, root: string): Promise<string | null> {
  const files = await Promise.all(PROTOCOL_FILES.map((file) => readFile(join(root, file), "utf8").catch(() => "")));
  const more = await Promise.all(PROTOCOL_DIRECTORIES.map((directory) => texts(join(root, directory))));
  for (const line of [...files, ...more.flat()].join("\n").split("\n")) {
    const match = /^\s*(0x[0-9a-fA-F]+|\d+)\s+([^\s#]+)/.exec(line);
    if (match && Number(match[1]) === protocol) return match[2];
  }
  return null;
}

async function texts(directory: string): Promise<string[]> {
  const names = (await readdir(directory).catch(() => [])).filter((name) => name.endsWith(".conf")).sort();
  return Promise.all(names.map((name) => readFile(join(directory, name), "utf8").catch(() => "")));
}
