// The script that gives a node a file tree of its own inside its mount namespace: the host's files, with private
// /run, /tmp, /var/lib and /var/log, and with the node's binds and programs in place. Nothing reaches the host's disk.
//
// The host's whole tree stays reachable below `hostRoot`. A directory that needs an additional entry is covered by a
// tmpfs that holds links to everything that was in it; one that must not show the host's files is covered by an
// empty one.
import { dirname, join } from "node:path";
import { quote } from "./command.ts";

/** Where something goes in the node: a file of the host bound there, a link, or text. */
export type Placement =
  | { readonly kind: "bind"; readonly source: string; readonly target: string; readonly readOnly: boolean }
  | { readonly kind: "link"; readonly source: string; readonly target: string }
  | { readonly kind: "script"; readonly text: string; readonly target: string };

const privateDirectories = ["/run", "/tmp", "/var/tmp", "/var/log"];
const mountPoints = ["/mnt", "/media", "/srv"];

/** A directory to put the host's tree under; one that holds none of the paths that are needed from the host. */
export function chooseHostRoot(needed: readonly string[], exists: (path: string) => boolean): string {
  const free = mountPoints.find((point) => exists(point) && !needed.some((path) => path.startsWith(`${point}/`)));
  return `${free ?? mountPoints[0]}/host`;
}

/** A POSIX shell script, to be run as root of the node's namespaces. */
export function fileTreeScript(options: {
  readonly hostRoot: string;
  readonly hostname: string;
  readonly placements: readonly Placement[];
}): string {
  const { hostRoot, hostname, placements } = options;
  const lines = [
    "set -e",
    `host=${quote(hostRoot)}`,
    `mount -t tmpfs -o mode=0755 tmpfs ${quote(dirname(hostRoot))}`,
    `stash=${quote(join(dirname(hostRoot), "stash"))}`,
    'mkdir "$host" "$stash"',
    'mount --rbind / "$host"',
    // What is not covered below stays as it is on the host; where the privileges do not reach so far, nothing writes there.
    'mount -o remount,bind,ro "$host" 2>/dev/null || :',
    ...functions,
    // A link among them (/var/log -> /run/log) leads to another one of them.
    ...privateDirectories.map((directory) => `[ -L ${directory} ] || fresh ${directory}`),
    "chmod 1777 /tmp /var/tmp",
    "mkdir -p /run/netns",
    "cover /var/lib",
    // The network devices below /sys are those of the namespace that mounts it.
    "mount -t sysfs sysfs /sys 2>/dev/null || :",
    `hostname ${quote(hostname)} 2>/dev/null || printf '%s' ${quote(hostname)} > /proc/sys/kernel/hostname`,
  ];
  const parents = [...new Set(placements.map(({ target }) => dirname(target)))];
  for (const parent of parents) lines.push(`make ${quote(parent)}`);
  // Only now, as making one directory may cover another's parent. Configuration directories (/etc/frr) show only what
  // the topology puts there; others keep what the host has.
  for (const parent of parents) lines.push(`${/^\/etc\/./.test(parent) ? "fresh" : "cover"} ${quote(parent)}`);
  lines.push("mount -o remount,bind,ro / 2>/dev/null || :");
  for (const placement of placements) lines.push(...placementLines(placement));
  return `${lines.join("\n")}\n`;
}

const functions = [
  // An empty directory of the node's own in place of the host's.
  'fresh() { mount -t tmpfs -o mode=0755 tmpfs "$1"; }',
  // The same, with links to what was there. A symbolic link is copied: it may be relative.
  `cover() {
  case " $covered " in *" $1 "*) return 0;; esac
  covered="$covered $1"
  count=$((count + 1))
  mkdir "$stash/$count"
  mount --bind "$1" "$stash/$count"
  mount -t tmpfs -o mode=0755 tmpfs "$1"
  for entry in "$stash/$count"/* "$stash/$count"/.[!.]*; do
    if [ -L "$entry" ]; then cp -P "$entry" "$1/"; elif [ -e "$entry" ]; then ln -s "$entry" "$1/"; fi
  done
}`,
  // Makes a directory, in a cover of the nearest one that exists, so that nothing is made on the host.
  `make() {
  near=$1
  while [ ! -d "$near" ]; do near=$(dirname "$near"); done
  if [ "$near" != "$1" ]; then cover "$near"; mkdir -p "$1"; covered="$covered $1"; fi
}`,
];

function placementLines(placement: Placement): string[] {
  const target = quote(placement.target);
  if (placement.kind === "link") return [`ln -sfn "$host"${quote(placement.source)} ${target}`];
  if (placement.kind === "script")
    return [`rm -f ${target}`, `printf '%s' ${quote(placement.text)} > ${target}`, `chmod 755 ${target}`];
  const source = `"$host"${quote(placement.source)}`;
  return [
    `rm -f ${target}`,
    `if [ -d ${source} ]; then mkdir -p ${target}; else : > ${target}; fi`,
    `mount --bind ${source} ${target}`,
    // Without privileges over the mount's owner a remount must repeat flags that cannot be known here: then it stays
    // writable.
    ...(placement.readOnly ? [`mount -o remount,bind,ro ${target} 2>/dev/null || :`] : []),
  ];
}
