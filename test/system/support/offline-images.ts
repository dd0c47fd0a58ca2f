// Container images without a registry: the programs installed on this machine with the libraries they need, in a tar
// archive for `docker import`. The images keep the contract of the real ones: FRR reads /etc/frr/{daemons,frr.conf} and
// is started by /usr/lib/frr/docker-start; a node has what docker/node/Dockerfile puts into it.
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  realpathSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";

const root = join(import.meta.dirname, "../../..");

/** Directories that are links into /usr on every merged system; loaders and scripts name both forms. */
const merged = ["bin", "sbin", "lib", "lib64"];

const shell = ["cat", "chmod", "chown", "date", "dirname", "grep", "hostname", "id", "ls", "mkdir", "mount", "mv"];
const more = ["nproc", "ps", "rm", "sed", "seq", "sleep", "stat", "tail", "touch", "true", "uname", "wc"];
const busyboxLinks = [...shell, ...more, "awk", "basename", "install", "kill", "pidof", "test", "["];

export interface Image {
  /** The unpacked small files; programs and libraries are taken from their places. */
  readonly directory: string;
  readonly programs: readonly string[];
  readonly command: string;
}

export function frrImage(directory: string): Image {
  const daemons = ["zebra", "bgpd", "bfdd", "staticd", "watchfrr"].map((name) => `/usr/lib/frr/${name}`);
  prepare(directory, ["frr:x:101:", "frrvty:x:102:frr"], ["frr:x:101:101::/nonexistent:/usr/sbin/nologin"]);
  // Debian builds vtysh with PAM.
  write(directory, "etc/pam.d/frr", "auth sufficient pam_permit.so\naccount sufficient pam_permit.so\n");
  for (const file of ["frrcommon.sh", "watchfrr.sh"]) copy(`/usr/lib/frr/${file}`, directory, `usr/lib/frr/${file}`);
  write(
    directory,
    "usr/lib/frr/docker-start",
    `#!/bin/bash
mkdir -p /run/frr /var/log/frr /var/tmp/frr
chown -R frr:frr /run/frr /var/log/frr /var/tmp/frr
source /usr/lib/frr/frrcommon.sh
exec /usr/lib/frr/watchfrr $(daemon_list)
`,
    0o755,
  );
  const pam = execFileSync(
    "sh",
    ["-c", "ls /usr/lib/*/security/pam_permit.so /lib/*/security/pam_permit.so 2>/dev/null"],
    {
      encoding: "utf8",
    },
  );
  const programs = [
    ...daemons,
    "/usr/bin/vtysh",
    "/bin/bash",
    which("dash"),
    which("ip"),
    which("ping"),
    pam.split("\n")[0],
  ];
  return { directory, programs, command: "/usr/lib/frr/docker-start" };
}

export function nodeImage(directory: string): Image {
  prepare(directory, [], []);
  copy(realpathSync(process.execPath), directory, "usr/local/bin/node");
  cpSync(join(root, "dist"), join(directory, "usr/local/lib/underlay"), {
    recursive: true,
    filter: (source) => !basename(source).startsWith("."),
  });
  for (const name of ["underlayd", "underlayctl"])
    symlinkSync(`../lib/underlay/${name}.cjs`, join(directory, "usr/local/bin", name));
  for (const name of ["entrypoint.sh", "pod"])
    copy(join(root, "docker/node", name), directory, `usr/local/bin/${name}`);
  mkdirSync(join(directory, "opt/cni/bin"), { recursive: true });
  symlinkSync("/usr/local/lib/underlay/underlay", join(directory, "opt/cni/bin/underlay"));
  write(directory, "usr/bin/env", '#!/bin/sh\nexec "$@"\n', 0o755);
  const programs = [realpathSync(process.execPath), which("ip"), which("ping"), which("nsenter"), which("dash")];
  return { directory, programs, command: "/usr/local/bin/entrypoint.sh" };
}

/** Writes the archive; programs keep their paths, so that nothing but the small files is copied twice. */
export function writeArchive(image: Image, archive: string): void {
  execFileSync("tar", ["-cf", archive, "--owner=0", "--group=0", "-C", image.directory, "."]);
  const skipped = realpathSync(process.execPath);
  const files = [...new Set(image.programs.flatMap((program) => [program, ...libraries(program)]).map(physical))]
    .filter((file) => file !== skipped)
    .map((file) => file.slice(1));
  execFileSync("tar", ["-rhf", archive, "--owner=0", "--group=0", "-C", "/", "-T", "-"], { input: files.join("\n") });
}

function prepare(directory: string, groups: readonly string[], users: readonly string[]): void {
  for (const name of ["etc", "proc", "sys", "dev", "run", "tmp", "root", "var/log", "var/lib", "usr/bin", "usr/sbin"])
    mkdirSync(join(directory, name), { recursive: true });
  for (const name of ["usr/lib", "usr/lib64", "usr/local/bin", "usr/local/lib"])
    mkdirSync(join(directory, name), { recursive: true });
  for (const name of merged) symlinkSync(`usr/${name}`, join(directory, name));
  symlinkSync("/run", join(directory, "var/run"));
  chmodSync(join(directory, "tmp"), 0o1777);
  write(directory, "etc/passwd", `${["root:x:0:0:root:/root:/bin/sh", ...users].join("\n")}\n`);
  write(directory, "etc/group", `${["root:x:0:", ...groups].join("\n")}\n`);
  copy(which("busybox"), directory, "usr/bin/busybox");
  // Not busybox's own shell: that prefers busybox's programs (ip, ping) to the real ones.
  symlinkSync("dash", join(directory, "usr/bin/sh"));
  for (const name of busyboxLinks) symlinkSync("busybox", join(directory, "usr/bin", name));
}

/** What the loader would load: all absolute paths that ldd prints. A static program has none. */
function libraries(program: string): string[] {
  try {
    const output = execFileSync("ldd", [program], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
    return [...output.matchAll(/(?:^|\s)(\/\S+)(?= \()/gm)].map(([, path]) => path);
  } catch {
    return [];
  }
}

/** The same file with its directory's links resolved (/lib -> /usr/lib); its own name stays, as the loader asks for it. */
function physical(file: string): string {
  return join(realpathSync(dirname(file)), basename(file));
}

function which(program: string): string {
  for (const directory of ["/usr/sbin", "/usr/bin", "/sbin", "/bin"]) {
    const file = join(directory, program);
    if (existsSync(file)) return file;
  }
  throw new Error(`${program} is not installed`);
}

function copy(source: string, directory: string, target: string): void {
  const file = join(directory, target);
  mkdirSync(dirname(file), { recursive: true });
  copyFileSync(source, file);
  chmodSync(file, 0o755);
}

function write(directory: string, target: string, text: string, mode = 0o644): void {
  const file = join(directory, target);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
  chmodSync(file, mode);
}
