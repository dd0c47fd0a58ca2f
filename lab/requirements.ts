// Programs of the host that a lab needs, the Debian package of each, and installing them where that is possible.
import { spawnSync } from "node:child_process";
import { accessSync, constants, existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { LabError } from "./runner/command.ts";
import { nodePath } from "./runner/node-namespace.ts";
import type { TorProgram } from "./runner/programs.ts";

interface Requirement {
  readonly program: string;
  readonly debianPackage: string;
}

const always: readonly Requirement[] = [
  { program: "ip", debianPackage: "iproute2" },
  { program: "ping", debianPackage: "iputils-ping" },
  { program: "unshare", debianPackage: "util-linux" },
  { program: "nsenter", debianPackage: "util-linux" },
];

const forTor: Readonly<Record<TorProgram, readonly Requirement[]>> = {
  underlay: [],
  frr: [{ program: "/usr/lib/frr/frrinit.sh", debianPackage: "frr" }],
  bird: [{ program: "bird", debianPackage: "bird2" }],
  gobgp: [
    { program: "gobgpd", debianPackage: "gobgpd" },
    { program: "gobgp", debianPackage: "gobgpd" },
  ],
};

/** The Debian packages whose programs are missing. */
export function missingPackages(tor: TorProgram, found: (program: string) => boolean = isFound): string[] {
  const missing = [...always, ...forTor[tor]].filter(({ program }) => !found(program));
  return [...new Set(missing.map(({ debianPackage }) => debianPackage))];
}

function isFound(program: string): boolean {
  if (program.startsWith("/")) return existsSync(program);
  return nodePath.split(delimiter).some((directory) => {
    try {
      accessSync(join(directory, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/**
 * Installs what every lab needs, as root on Debian or Ubuntu. A routing daemon is never installed unasked: its package
 * starts a service.
 */
export function ensureRequirements(tor: TorProgram, progress: (text: string) => void): void {
  const missing = missingPackages("underlay");
  if (missing.length > 0) {
    const advice = `apt-get install ${missing.join(" ")}`;
    if (process.getuid?.() !== 0 || !existsSync("/usr/bin/apt-get"))
      throw new LabError(`missing: ${missing.join(", ")} (names of Debian packages). On Debian or Ubuntu: ${advice}`);
    progress(advice);
    const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
    const stdio: ["ignore", "ignore", "inherit"] = ["ignore", "ignore", "inherit"];
    spawnSync("apt-get", ["update", "-qq"], { env, stdio });
    spawnSync("apt-get", ["install", "-y", "-qq", "--no-install-recommends", ...missing], { env, stdio });
  }
  const rest = missingPackages(tor);
  if (rest.length > 0)
    throw new LabError(
      `--tor ${tor} needs the Debian package ${rest.join(" and ")}: apt-get install --no-install-recommends ${rest.join(" ")}\n` +
        "Its service need not run: systemctl disable --now the service after installing it.",
    );
}

/** How a lab gets the right to make namespaces: it has it, or in a user namespace; an error says why neither works. */
export function namespaceAccess(tor: TorProgram): "direct" | "user-namespace" {
  const probe = spawnSync("unshare", ["--net", "--mount", "--pid", "--fork", "true"], { stdio: "ignore" });
  if (probe.status === 0) return "direct";
  const user = spawnSync("unshare", ["--user", "--map-root-user", "--net", "--mount", "true"], { encoding: "utf8" });
  if (user.status !== 0)
    throw new LabError(
      `No network namespaces for this user: ${user.stderr.trim() || user.error?.message}\n` +
        "Run it as root (sudo npm start), or let users make namespaces:\n" +
        "  sysctl kernel.unprivileged_userns_clone=1              (Debian)\n" +
        "  sysctl kernel.apparmor_restrict_unprivileged_userns=0  (Ubuntu 24.04)\n" +
        "  sysctl user.max_user_namespaces=10000\n" +
        "Inside a container it needs CAP_SYS_ADMIN and CAP_NET_ADMIN.",
    );
  if (tor === "frr") throw new LabError("--tor frr needs root: FRR's daemons change to the user frr. Try --tor bird.");
  return "user-namespace";
}
