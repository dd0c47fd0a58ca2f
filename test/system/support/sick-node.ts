// A node that is well, for faults to be injected into: one ToR (BIRD), one underlayd, pods through the real CNI plugin, a
// container runtime's directories. Everything that a fault needs to do harm, and to take it back.
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import type { Finding } from "../../../doctor/types.ts";
import { distFile } from "../../../net/dist.ts";
import { Bird } from "../../interop/support/bird.ts";
import { Lab, type Node } from "../../interop/support/namespace.ts";
import { Underlay } from "../../interop/support/underlay.ts";
import { waitFor } from "../../interop/support/wait.ts";
import { Pods } from "./pods.ts";

export interface NodeYaml {
  /** Of the peer `tor`. */
  readonly peer?: string;
  readonly peers?: string;
  readonly more?: string;
}

export interface TorConfig {
  readonly asn?: number;
  readonly export?: string;
  readonly gracefulRestart?: "on" | "off";
}

export class SickNode {
  readonly lab: Lab;
  readonly node: Node;
  readonly tor: Node;
  readonly pods: Pods;
  readonly bird: Bird;
  readonly underlay: Underlay;
  /** Addresses of each pod. */
  readonly addresses = new Map<string, readonly string[]>();

  private constructor(lab: Lab, node: Node, tor: Node, bird: Bird, underlay: Underlay) {
    this.lab = lab;
    this.node = node;
    this.tor = tor;
    this.bird = bird;
    this.underlay = underlay;
    this.pods = new Pods(node, underlay.socket);
  }

  static async start(part: string): Promise<SickNode> {
    const lab = new Lab(part);
    const node = lab.addNode("node");
    const tor = lab.addNode("tor");
    lab.link(
      { node, name: "eth0", addresses: ["10.0.0.2/24", "2001:db8::2/64"] },
      { node: tor, name: "eth0", addresses: ["10.0.0.1/24", "10.0.0.5/24", "2001:db8::1/64"] },
    );
    lab.link(
      { node, name: "eth1", addresses: ["10.1.0.2/24"] },
      { node: tor, name: "eth1", addresses: ["10.1.0.1/24"] },
    );
    // Who does not answer is known sooner.
    await node.exec("sysctl", "-qw", "net.ipv4.neigh.eth0.retrans_time_ms=20", "net.ipv4.neigh.eth0.mcast_solicit=1");
    const bird = await Bird.start(tor, torConfig());
    mkdirSync(join(lab.directory, "net.d"));
    mkdirSync(join(lab.directory, "bin"));
    const underlay = await Underlay.start(node, nodeYaml(lab));
    const sick = new SickNode(lab, node, tor, bird, underlay);
    sick.writeNetwork();
    sick.installPlugin();
    await underlay.waitEstablished("tor");
    for (const name of ["a", "b"]) await sick.attach(name);
    return sick;
  }

  async close(): Promise<void> {
    await this.underlay.stop("SIGKILL");
    this.pods.close();
    await this.lab.close();
  }

  // ===== asking =====

  /** GET of the daemon's API. */
  get<T>(path: string, method = "GET"): Promise<T> {
    return new Promise((resolve, reject) => {
      const call = request({ socketPath: this.underlay.socket, path, method, agent: false }, (response) => {
        let text = "";
        response.on("data", (chunk) => {
          text += chunk;
        });
        response.on("end", () => {
          if (response.statusCode === 200) resolve(JSON.parse(text) as T);
          else reject(new Error(`${path}: ${response.statusCode} ${text}`));
        });
      });
      call.once("error", reject);
      call.end();
    });
  }

  /** What is at fault, or worth a look. */
  async findings(): Promise<Finding[]> {
    const all = await this.get<Finding[]>("/v1/doctor");
    return all.filter(({ severity }) => severity === "fault" || severity === "warning");
  }

  waitWell(): Promise<unknown> {
    return waitFor(
      async () => {
        const left = (await this.findings()).filter((one) => !isSetup(one));
        if (left.length > 0) throw new Error(left.map((one) => `${one.check} ${one.subject}: ${one.text}`).join("; "));
        return true;
      },
      "the node to be well",
      { timeout: 20_000, interval: 20 },
    );
  }

  waitFound(check: string, said: RegExp): Promise<Finding> {
    return waitFor(
      async () => {
        const found = await this.findings();
        const match = found.find((one) => one.check === check && said.test(`${one.subject}: ${one.text}`));
        if (!match) throw new Error(found.map((one) => `${one.check} ${one.subject}: ${one.text}`).join("; "));
        return match;
      },
      `${check} ${said}`,
      { timeout: 20_000, interval: 20 },
    );
  }

  // ===== doing and undoing =====

  get configFile(): string {
    return join(this.underlay.directory, "underlay.yaml");
  }

  get state(): string {
    return join(this.underlay.directory, "state");
  }

  get journal(): string {
    return join(this.state, "allocations.journal");
  }

  get confDir(): string {
    return join(this.lab.directory, "net.d");
  }

  get plugin(): string {
    return join(this.lab.directory, "bin", "underlay");
  }

  /** Writes the configuration, and no more. */
  write(yaml: NodeYaml = {}): void {
    this.underlay.configure(nodeYaml(this.lab, yaml));
  }

  async reload(yaml: NodeYaml = {}): Promise<void> {
    this.write(yaml);
    await this.get("/v1/reload", "POST");
  }

  async configureTor(config: TorConfig = {}): Promise<void> {
    await this.bird.configure(torConfig(config));
  }

  writeNetwork(plugin: object = {}, file = "10-underlay.conflist", chain: readonly object[] = []): void {
    const plugins = [{ type: "underlay", pool: "default", socket: this.underlay.socket, ...plugin }, ...chain];
    writeFileSync(join(this.confDir, file), JSON.stringify({ cniVersion: "1.0.0", name: "pods", plugins }));
  }

  installPlugin(): void {
    copyFileSync(distFile("underlay"), this.plugin);
  }

  async attach(name: string, pool?: string): Promise<void> {
    this.pods.create(name);
    const { code, stdout, addresses } = await this.pods.call("ADD", name, { pool });
    if (code !== 0) throw new Error(stdout);
    this.addresses.set(name, addresses);
  }

  async detach(name: string): Promise<void> {
    await this.pods.call("DEL", name);
    this.pods.destroy(name);
  }

  /** IPv4 and IPv6 of a pod. */
  address(pod: string): [string, string] {
    const [ipv4, ipv6] = this.addresses.get(pod) ?? [];
    return [ipv4, ipv6];
  }

  /** Name of a pod's host interface. */
  async hostEnd(pod: string): Promise<string> {
    const pods = await this.get<{ containerId: string; hostInterface: string }[]>("/v1/pods");
    const found = pods.find(({ containerId }) => containerId === `c-${pod}`);
    if (!found) throw new Error(`there is no pod ${pod}`);
    return found.hostInterface;
  }

  ip(...args: string[]): string {
    return this.node.ip(...args);
  }

  /** `ip` inside of a pod. */
  inPod(pod: string, ...args: string[]): string {
    return execFileSync("ip", ["-n", this.pods.namespace(pod), ...args], { encoding: "utf8" });
  }

  /** A setting of the node's namespace. */
  sysctl(name: string, value: number): Promise<unknown> {
    return this.node.exec("sysctl", "-qw", `${name}=${value}`);
  }

  /** Runs a command in the node's namespace over and over; returns the end of that. */
  again(command: string): () => void {
    const child = this.node.spawn("sh", ["-c", `while :; do ${command}; done`]);
    return () => void child.kill("SIGKILL");
  }
}

/** What the machine that the test runs on is to blame for. */
function isSetup({ check }: Finding): boolean {
  return ["state-in-memory", "state-nearly-full", "memory-short", "event-loop-late", "unit-missing"].includes(check);
}

function nodeYaml(lab: Lab, { peer = "import: all", peers = "", more = "" }: NodeYaml = {}): string {
  const chosen = peer.includes("export") ? peer : `${peer}, export: blocks`;
  return `
node: { name: node1, asn: 65101, routerId: 10.0.0.11 }
bgp: { listenAddresses: [10.0.0.2, "2001:db8::2"] }
cni: { confDir: ${lab.directory}/net.d, binDir: ${lab.directory}/bin, vanishedAfter: 24h }
pools:
  default: { blocks: [10.244.1.0/26, "2001:db8:244:1::/122"] }
  tiny: { blocks: [10.244.9.0/31] }
peers:
  tor: { address: 10.0.0.1, asn: 65001, connectRetry: 1s, ${chosen} }
${peers}
${more}
`;
}

function torConfig({ asn = 65001, export: exported = "all", gracefulRestart = "on" }: TorConfig = {}): string {
  return `
router id 10.0.0.1;
protocol device {}
protocol static s4 { ipv4; route 0.0.0.0/0 blackhole; route 10.8.0.0/16 blackhole; route 10.9.0.0/16 blackhole; }
protocol static s6 { ipv6; route ::/0 blackhole; }
protocol bgp node {
  local 10.0.0.1 as ${asn};
  neighbor 10.0.0.2 as 65101;
  connect delay time 1; connect retry time 1; error wait time 1, 2; error forget time 1;
  graceful restart ${gracefulRestart};
  ipv4 { import all; export ${exported}; };
  ipv6 { import all; export ${exported}; next hop address 2001:db8::1; };
}
`;
}
