// A "host" for CNI tests: a namespace of its own, a CNI daemon process in it, pod namespaces beside it, and the real
// client executable called as a runtime calls it. Everything is removed by close().
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildSync } from "esbuild";
import type { BlockStateName, CniOptions, PodView } from "../../../cni/types.ts";

const root = join(import.meta.dirname, "../../..");

export interface Called {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  // biome-ignore lint/suspicious/noExplicitAny: results of six formats, looked into by tests
  readonly json: any;
}

export interface CallOptions {
  readonly pod?: string;
  readonly id?: string;
  readonly ifname?: string;
  readonly netns?: string;
  readonly version?: string;
  readonly config?: object;
  readonly args?: string;
  readonly env?: Record<string, string | undefined>;
  readonly stdin?: string;
  /** Milliseconds until the client is killed (SIGKILL). */
  readonly killAfter?: number;
}

export function sh(command: string): string {
  return execFileSync("sh", ["-ec", command], { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
}

let counter = 0;

export class CniHost {
  readonly directory = mkdtempSync(join(tmpdir(), "ul-cni-"));
  readonly name = `ul-cni-${process.pid}-${counter++}`;
  readonly socket = join(this.directory, "run/underlayd.sock");
  readonly spool = join(this.directory, "run/spool");
  state = join(this.directory, "state");
  pools: CniOptions["pools"] = [
    { name: "default", blocks: ["10.244.1.0/24", "2001:db8:244:1::/112"], exclude: ["10.244.1.0"], table: 7100 },
  ];
  daemon: ChildProcess | null = null;
  errors = "";
  readonly #pods = new Set<string>();

  constructor() {
    mkdirSync(join(this.directory, "run"), { recursive: true });
    mkdirSync(join(this.directory, "bundle"));
    symlinkSync(join(root, "dist"), join(this.directory, "dist"));
    buildSync({
      entryPoints: [join(root, "test/system/support/cni-daemon.ts")],
      outfile: join(this.directory, "bundle/daemon.cjs"),
      bundle: true,
      platform: "node",
      target: "node20",
      format: "cjs",
      logLevel: "error",
    });
    sh(`ip netns add ${this.name}
      ip -n ${this.name} link set lo up
      ip -n ${this.name} addr add 10.255.0.1/32 dev lo
      ip -n ${this.name} addr add 2001:db8:ffff::1/128 dev lo
      ip -n ${this.name} rule add pref 1000 table 7000
      ip -n ${this.name} -6 rule add pref 1000 table 7000
      ip netns exec ${this.name} sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1`);
  }

  /** Starts the daemon; the returned text is "ready" or why it failed. */
  async start(extra: object = {}): Promise<string> {
    const options = { pools: this.pools, stateDir: this.state, mtu: 1500, spoolDir: this.spool, socket: this.socket };
    const child = spawn(
      "nsenter",
      [
        `--net=/var/run/netns/${this.name}`,
        process.execPath,
        join(this.directory, "bundle/daemon.cjs"),
        JSON.stringify({ ...options, ...extra }),
      ],
      { stdio: ["ignore", "pipe", "pipe"] },
    );
    this.daemon = child;
    rmSync(this.socket, { force: true });
    child.stderr!.on("data", (chunk) => {
      this.errors += chunk;
    });
    return new Promise((resolve) => {
      child.stdout!.once("data", (chunk) => resolve(String(chunk).trim()));
      child.once("exit", (code) => resolve(`exit ${code}: ${this.errors}`));
    });
  }

  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    const child = this.daemon;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill(signal);
    await ended;
  }

  addPod(name: string): string {
    const netns = `${this.name}-${name}`;
    sh(`ip netns add ${netns}`);
    this.#pods.add(netns);
    return `/var/run/netns/${netns}`;
  }

  removePod(name: string): void {
    const netns = `${this.name}-${name}`;
    if (this.#pods.delete(netns)) sh(`ip netns del ${netns}`);
  }

  podPath(name: string): string {
    return `/var/run/netns/${this.name}-${name}`;
  }

  config(version: string, extra: object = {}): object {
    return { cniVersion: version, name: "net1", type: "underlay", pool: "default", socket: this.socket, ...extra };
  }

  /** Runs dist/underlay. Without a `pod` the namespace is left empty unless `netns` says otherwise. */
  call(command: string, options: CallOptions = {}): Promise<Called> {
    const env: Record<string, string> = {};
    const wanted: Record<string, string | undefined> = {
      CNI_COMMAND: command,
      CNI_CONTAINERID: options.id ?? (options.pod ? `c-${options.pod}` : "c-none"),
      CNI_NETNS: options.netns ?? (options.pod ? this.podPath(options.pod) : ""),
      CNI_IFNAME: options.ifname ?? "eth0",
      CNI_ARGS: options.args ?? "",
      CNI_PATH: "/opt/cni/bin",
      ...options.env,
    };
    for (const [key, value] of Object.entries(wanted)) if (value !== undefined) env[key] = value;
    const stdin = options.stdin ?? JSON.stringify(this.config(options.version ?? "1.0.0", options.config));
    const child = spawn(join(root, "dist/underlay"), [], { env, stdio: ["pipe", "pipe", "pipe"] });
    let stdout = "";
    let stderr = "";
    child.stdout.on("data", (chunk) => {
      stdout += chunk;
    });
    child.stderr.on("data", (chunk) => {
      stderr += chunk;
    });
    child.stdin.on("error", () => undefined);
    child.stdin.end(stdin);
    const { killAfter } = options;
    if (killAfter !== undefined) setTimeout(() => child.kill("SIGKILL"), killAfter);
    return new Promise((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (code) => {
        let json: unknown = null;
        try {
          json = stdout === "" ? null : JSON.parse(stdout);
        } catch {
          json = null;
        }
        resolve({ code: code ?? -1, stdout, stderr, json });
      });
    });
  }

  /** POST when there is a body. */
  get<T>(path: string, body?: string): Promise<T> {
    return new Promise((resolve, reject) => {
      const method = body === undefined ? "GET" : "POST";
      const call = request({ socketPath: this.socket, path, method, agent: false }, (response) => {
        let text = "";
        response.on("data", (chunk) => {
          text += chunk;
        });
        response.on("end", () => resolve(JSON.parse(text) as T));
      });
      call.once("error", reject);
      call.end(body);
    });
  }

  /** What the rest of a daemon would know of sessions and blocks. */
  setOutside(outside: {
    connected?: boolean;
    blockState?: BlockStateName;
    uplinkMtu?: number | null;
    routeDelay?: number;
  }): Promise<null> {
    return this.get("/outside", JSON.stringify(outside));
  }

  pods(): Promise<PodView[]> {
    return this.get("/pods");
  }

  async used(): Promise<number[]> {
    return (await this.get<{ used: number }[]>("/blocks")).map((block) => block.used);
  }

  /** Names of the veths on the host. */
  links(): string[] {
    const text = sh(`ip -n ${this.name} -o link show type veth`);
    return text
      .split("\n")
      .filter(Boolean)
      .map((line) => line.split(": ")[1].split("@")[0]);
  }

  inHost(command: string): string {
    return sh(`ip netns exec ${this.name} ${command}`);
  }

  inPod(name: string, command: string): string {
    return sh(`ip netns exec ${this.name}-${name} ${command}`);
  }

  async close(): Promise<void> {
    await this.stop("SIGKILL");
    for (const pod of [...this.#pods]) sh(`ip netns del ${pod} || true`);
    sh(`ip netns del ${this.name} || true`);
    rmSync(this.directory, { recursive: true, force: true });
  }
}
