// A lab of network namespaces: nodes, veth links with addresses between them, processes inside. Names are
// `ul-<part>-<pid>-<node>`; what a crashed run of the same part left behind is removed first. Needs root.
//
//   const lab = new Lab("session");
//   const tor = lab.addNode("tor"), host = lab.addNode("host");
//   lab.link({ node: tor, name: "swp1", addresses: ["10.0.0.1/24", "2001:db8::1/64"] },
//            { node: host, name: "eth0", addresses: ["10.0.0.2/24", "2001:db8::2/64"] });
//   ...
//   await lab.close();
import { type ChildProcess, execFile, execFileSync, type SpawnOptions, spawn } from "node:child_process";
import { chmodSync, closeSync, existsSync, mkdtempSync, openSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { check, native } from "../../../net/native.ts";
import { CLONE_NEWNET } from "../../../net/network-namespace.ts";
import { Capture, type CaptureReport } from "./capture.ts";
import { captured } from "./proofs.ts";

const NETNS_DIRECTORY = "/run/netns";

export interface LinkEnd {
  readonly node: Node;
  readonly name: string;
  /** `address/length`; IPv6 without duplicate address detection. */
  readonly addresses?: readonly string[];
}

export class Lab {
  /** `ul-<part>-<pid>`. */
  readonly prefix: string;
  /** Temporary; readable by daemons that drop privileges. */
  readonly directory: string;
  readonly nodes: Node[] = [];
  readonly #onExit = () => this.#remove();

  constructor(part: string) {
    this.prefix = `ul-${part}-${process.pid}`;
    removeStale(`ul-${part}-`);
    this.directory = mkdtempSync(join(tmpdir(), `${this.prefix}-`));
    chmodSync(this.directory, 0o755);
    process.once("exit", this.#onExit);
  }

  /** A namespace with loopback up. */
  addNode(name: string): Node {
    return this.add(new Node(this, name));
  }

  /** A node that is more than a network namespace; ends with the lab. */
  add<T extends Node>(node: T): T {
    this.nodes.push(node);
    return node;
  }

  /** A veth pair, both ends up. A link-local address among those given replaces the automatic one. */
  link(a: LinkEnd, b: LinkEnd): void {
    ip("link", "add", a.name, "netns", a.node.netns, "type", "veth", "peer", "name", b.name, "netns", b.node.netns);
    for (const { node, name, addresses = [] } of [a, b]) {
      // One link-local address, so that it is the source of what goes to a link-local neighbour.
      if (addresses.some((address) => address.startsWith("fe80:"))) node.ip("link", "set", name, "addrgenmode", "none");
      for (const address of addresses) node.addAddress(name, address);
      node.ip("link", "set", name, "up");
    }
  }

  /** Ends every process, removes namespaces and files. Rejects when an independent decoder finds fault with what we sent. */
  async close(): Promise<void> {
    const reports = await Promise.all(this.nodes.map((node) => node.endCapture()));
    await Promise.all(this.nodes.map((node) => node.stopProcesses()));
    this.#remove();
    process.removeListener("exit", this.#onExit);
    captured(reports.reduce((sum, report) => sum + (report?.messages ?? 0), 0));
    const faults = reports.flatMap((report) => report?.faults ?? []);
    if (faults.length > 0) throw new Error(`tshark about what we sent:\n${faults.slice(0, 20).join("\n")}`);
  }

  #remove(): void {
    for (const node of this.nodes.splice(0)) removeNamespace(node.netns);
    rmSync(this.directory, { recursive: true, force: true });
  }
}

export class Node {
  readonly lab: Lab;
  readonly name: string;
  readonly netns: string;
  readonly #processes = new Set<ChildProcess>();
  #capture: Capture | null = null;

  constructor(lab: Lab, name: string) {
    this.lab = lab;
    this.name = name;
    this.netns = `${lab.prefix}-${name}`;
    ip("netns", "add", this.netns);
    this.ip("link", "set", "lo", "up");
  }

  /** Path of the namespace's file. */
  get path(): string {
    return join(NETNS_DIRECTORY, this.netns);
  }

  /** What `nsenter` enters, as its arguments. */
  get namespaces(): readonly string[] {
    return [`--net=${this.path}`];
  }

  /** `ip -n <this namespace> ...`, waits. */
  ip(...args: string[]): string {
    return ip("-n", this.netns, ...args);
  }

  addAddress(device: string, address: string): void {
    this.ip("address", "add", address, "dev", device, ...(address.includes(":") ? ["nodad"] : []));
  }

  /** Runs a command inside, returns its standard output. Rejects with its standard error. */
  exec(command: string, ...args: string[]): Promise<string> {
    return run("nsenter", [...this.namespaces, "--", command, ...args]);
  }

  /** Starts a process inside; it ends with the lab at the latest. */
  spawn(command: string, args: readonly string[], options: SpawnOptions = {}): ChildProcess {
    const child = spawn("nsenter", [...this.namespaces, "--", command, ...args], { stdio: "ignore", ...options });
    this.#processes.add(child);
    child.once("exit", () => this.#processes.delete(child));
    return child;
  }

  /** From here on what this node sends is captured, and read by tshark when the lab closes. */
  capture(only = ""): void {
    this.#capture ??= new Capture(this, join(this.lab.directory, `${this.name}.pcapng`), only);
  }

  async endCapture(): Promise<CaptureReport | null> {
    const capture = this.#capture;
    this.#capture = null;
    return capture ? capture.report() : null;
  }

  /**
   * Moves the calling thread, and so every socket it makes from now on, into the namespace. Returns the way back.
   * Only for test processes that run one file each. What this thread sends from there is `tested`, or hostile on purpose.
   */
  enter({ tested = true } = {}): () => void {
    if (tested) this.capture();
    const home = openSync("/proc/thread-self/ns/net", "r");
    const there = openSync(this.path, "r");
    check(native().setns(there, CLONE_NEWNET), "setns", this.netns);
    closeSync(there);
    return () => {
      check(native().setns(home, CLONE_NEWNET), "setns");
      closeSync(home);
    };
  }

  async stopProcesses(): Promise<void> {
    await Promise.all([...this.#processes].map((child) => terminate(child)));
  }
}

/** SIGTERM, then SIGKILL after a grace period; resolves when the process is gone. */
export async function terminate(child: ChildProcess, signal: NodeJS.Signals = "SIGTERM", grace = 3_000): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  child.kill(signal);
  const timer = setTimeout(() => child.kill("SIGKILL"), grace);
  await gone;
  clearTimeout(timer);
}

export function run(command: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(command, args, { maxBuffer: 64 << 20 }, (error, stdout, stderr) => {
      if (error) reject(new Error(`${command} ${args.join(" ")}: ${stderr || stdout || error.message}`));
      else resolve(stdout);
    });
  });
}

function ip(...args: string[]): string {
  return execFileSync("ip", args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
}

/** Kills what runs in the namespace and deletes it. */
function removeNamespace(name: string): void {
  try {
    for (const pid of ip("netns", "pids", name).split("\n").filter(Boolean))
      if (Number(pid) !== process.pid) process.kill(Number(pid), "SIGKILL");
  } catch {
    // A process that ended meanwhile, or a namespace that is gone.
  }
  try {
    ip("netns", "delete", name);
  } catch {
    // Gone already.
  }
}

function removeStale(prefix: string): void {
  for (const name of staleNames(NETNS_DIRECTORY, prefix)) removeNamespace(name);
  for (const parent of [tmpdir(), "/run/frr"])
    for (const name of staleNames(parent, prefix)) rmSync(join(parent, name), { recursive: true, force: true });
}

/** Of runs whose process is gone. */
function staleNames(directory: string, prefix: string): string[] {
  if (!existsSync(directory)) return [];
  return readdirSync(directory).filter((name) => {
    const pid = name.startsWith(prefix) ? Number(name.slice(prefix.length).split("-")[0]) : Number.NaN;
    return Number.isInteger(pid) && pid > 0 && !isAlive(pid);
  });
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
