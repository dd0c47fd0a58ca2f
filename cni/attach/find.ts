// Which pods host ends lead to, when nobody remembers: every network namespace that has a path (a mount, or a process
// in it) is looked into for the other end of the cable. Runs in the attach worker, at a start that has lost its books.
import { readdirSync, readFileSync, statSync } from "node:fs";
import { decodeLink, encodeLinkDump } from "../../routing/netlink/link.ts";
import { decodeNamespaceId, encodeGetNamespaceId } from "../../routing/netlink/namespace.ts";
import type { NetlinkSocket } from "../../routing/netlink/socket.ts";
import { formatMac } from "./gateway.ts";
import type { FoundPod, HostLink } from "./messages.ts";
import { inNamespace } from "./pod-namespace.ts";

export function findPods(host: NetlinkSocket, links: readonly HostLink[]): FoundPod[] {
  const wanted = new Map(links.map((link) => [link.ifindex, link]));
  const found: FoundPod[] = [];
  const seen = new Set<string>([identity("/proc/self/ns/net") ?? ""]);
  for (const netns of paths()) {
    if (wanted.size === 0) break;
    const netnsId = identity(netns);
    if (netnsId === null || seen.has(netnsId)) continue;
    seen.add(netnsId);
    try {
      const { id, inside } = inNamespace(netns, netnsId, (fd, pod) => ({
        id: host.get((out) => encodeGetNamespaceId(out, fd), decodeNamespaceId),
        inside: pod.dump(encodeLinkDump, decodeLink),
      }));
      for (const { kind, name, ifindex, peerIndex, mac } of inside) {
        const link = wanted.get(peerIndex || ifindex);
        if (kind !== "veth" || link?.peerIndex !== ifindex || link.peerNamespace !== id) continue;
        wanted.delete(link.ifindex);
        found.push({ hostIfindex: link.ifindex, netns, netnsId, ifname: name, mac: formatMac(mac) });
      }
    } catch {
      // It went while it was looked at, or is not ours to look into.
    }
  }
  return found;
}

/** Mounted ones first: those are the paths that runtimes give. */
function* paths(): Iterable<string> {
  // <id> <parent> <device> <root> <mount point> ...
  for (const line of read("/proc/self/mountinfo").split("\n")) {
    const [, , , root, path] = line.split(" ");
    if (root?.startsWith("net:["))
      yield path.replace(/\\([0-7]{3})/g, (_, octal) => String.fromCharCode(Number.parseInt(octal, 8)));
  }
  for (const name of readdirSync("/proc")) if (/^[0-9]+$/.test(name)) yield `/proc/${name}/ns/net`;
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

function identity(path: string): string | null {
  try {
    const { dev, ino } = statSync(path);
    return `${dev}:${ino}`;
  } catch {
    return null;
  }
}
