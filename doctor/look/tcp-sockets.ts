// Other programs' TCP sockets in this network namespace that have a BGP port at one end, out of /proc/net/tcp and tcp6.
import { readdir, readFile, readlink } from "node:fs/promises";
import { formatAddress } from "../../net/address.ts";
import { LITTLE } from "../../routing/netlink/attribute.ts";

const STATES: Readonly<Record<string, TcpSocket["state"]>> = {
  "01": "connected",
  "02": "connecting",
  "0A": "listening",
};

/** Characters of one part. */
const PART = 256 * 1024;

export interface TcpSocket {
  readonly state: "connected" | "connecting" | "listening";
  /** `10.0.0.2:179` */
  readonly local: string;
  readonly remote: string;
  /** `bird (process 123)` */
  readonly owner: string;
}

interface Entry extends Omit<TcpSocket, "owner"> {
  readonly inode: string;
}

/** Those of other processes than this one. */
export async function lookAtTcpSockets(ports: ReadonlySet<number>): Promise<TcpSocket[]> {
  const tables = await Promise.all(
    ["tcp", "tcp6"].map((name) => readFile(`/proc/net/${name}`, "utf8").catch(() => "")),
  );
  const entries: Entry[] = [];
  for (const part of tables.flatMap(parts)) {
    entries.push(...parseTcpTable(part, ports));
    await new Promise((resolve) => setImmediate(resolve));
  }
  if (entries.length === 0) return [];
  const own = await socketsOf("self");
  const others = entries.filter(({ inode }) => inode !== "0" && !own.has(inode));
  if (others.length === 0) return [];
  const owners = await ownersOf(new Set(others.map(({ inode }) => inode)));
  // One that nobody has is one that was closed meanwhile.
  return others.flatMap(({ inode, ...socket }) => {
    const owner = owners.get(inode);
    return owner === undefined ? [] : [{ ...socket, owner }];
  });
}

/** Whole lines, as many as fit into one turn of the event loop. */
function parts(text: string): string[] {
  const cut: string[] = [];
  for (let from = 0; from < text.length; ) {
    const end = text.indexOf("\n", from + PART);
    cut.push(text.slice(from, end < 0 ? text.length : end + 1));
    from = end < 0 ? text.length : end + 1;
  }
  return cut;
}

/** Lines of /proc/net/tcp with one of these ports at either end. */
export function parseTcpTable(text: string, ports: ReadonlySet<number>): Entry[] {
  const hex = [...ports].map((port) => port.toString(16).toUpperCase().padStart(4, "0"));
  const line = /^ *\d+: ([0-9A-F]+):([0-9A-F]{4}) ([0-9A-F]+):([0-9A-F]{4}) (01|02|0A)(?: +\S+){3} +\d+ +\d+ +(\d+)/gm;
  const entries: Entry[] = [];
  for (const [, localAddress, localPort, remoteAddress, remotePort, state, inode] of text.matchAll(line)) {
    if (!hex.includes(localPort) && !hex.includes(remotePort)) continue;
    const local = endText(localAddress, localPort);
    entries.push({ state: STATES[state], local, remote: endText(remoteAddress, remotePort), inode });
  }
  return entries;
}

/** Words of 32 bits in host order. */
function endText(address: string, port: string): string {
  const bytes = Buffer.from(address, "hex");
  if (LITTLE) bytes.swap32();
  const text = formatAddress(bytes);
  return `${text.includes(":") ? `[${text}]` : text}:${Number.parseInt(port, 16)}`;
}

async function socketsOf(process: string): Promise<Set<string>> {
  const directory = `/proc/${process}/fd`;
  const inodes = new Set<string>();
  for (const fd of await readdir(directory).catch(() => [])) {
    const target = await readlink(`${directory}/${fd}`).catch(() => "");
    const match = /^socket:\[(\d+)\]$/.exec(target);
    if (match) inodes.add(match[1]);
  }
  return inodes;
}

async function ownersOf(inodes: ReadonlySet<string>): Promise<Map<string, string>> {
  const owners = new Map<string, string>();
  for (const pid of await readdir("/proc")) {
    if (!/^\d+$/.test(pid) || owners.size === inodes.size) continue;
    for (const inode of await socketsOf(pid)) {
      if (!inodes.has(inode) || owners.has(inode)) continue;
      const name = (await readFile(`/proc/${pid}/comm`, "utf8").catch(() => "")).trim();
      owners.set(inode, `${name || "a program"} (process ${pid})`);
    }
  }
  return owners;
}
