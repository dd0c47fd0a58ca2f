// Nodes with the real underlayd that share pools of addresses in a real etcd, behind one FRR switch; a machine outside
// of the rack:
//
//   outside -- tor (AS 65001, etcd on 10.1.0.1) --+-- node1 (AS 65101)
//                                                +-- node2 (AS 65102)
//                                                +-- node3 (AS 65103)

import type { ChildProcess } from "node:child_process";
import { rmSync } from "node:fs";
import type { BlockView, PodView } from "../../../cni/types.ts";
import { distFile } from "../../../net/dist.ts";
import { Frr } from "../../interop/support/frr.ts";
import { Lab, type Node, terminate } from "../../interop/support/namespace.ts";
import { Underlay } from "../../interop/support/underlay.ts";
import { waitFor } from "../../interop/support/wait.ts";
import { ask } from "./api.ts";
import { dataDirectory } from "./etcd.ts";
import { type Answer, Pods } from "./pods.ts";

const ETCD = "10.1.0.1";

export class SharedNode {
  readonly node: Node;
  readonly underlay: Underlay;
  readonly pods: Pods;
  readonly number: number;

  constructor(node: Node, underlay: Underlay, number: number) {
    this.node = node;
    this.underlay = underlay;
    this.number = number;
    this.pods = new Pods(node, underlay.socket);
  }

  /** What underlayctl says to a person. */
  run(...args: string[]): Promise<{ readonly code: number | null; readonly stdout: string; readonly stderr: string }> {
    const command = [distFile("underlayctl.cjs"), "--socket", this.underlay.socket, ...args];
    return new Promise((resolve) => {
      const child = this.node.spawn(process.execPath, command, { stdio: ["ignore", "pipe", "pipe"] });
      let [stdout, stderr] = ["", ""];
      child.stdout?.on("data", (chunk) => {
        stdout += chunk;
      });
      child.stderr?.on("data", (chunk) => {
        stderr += chunk;
      });
      child.once("close", (code) => resolve({ code, stdout, stderr }));
    });
  }

  /** The same; rejects with it when the exit code is not 0. */
  async ctl(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.run(...args);
    if (code !== 0) throw new Error(stderr || stdout);
    return stdout;
  }

  /** Writes its configuration anew. */
  configure(pools: string): void {
    this.underlay.configure(nodeConfig(this.number, pools));
  }

  blocks(): Promise<BlockView[]> {
    return ask(this.underlay.socket, "/v1/blocks");
  }

  views(): Promise<PodView[]> {
    return ask(this.underlay.socket, "/v1/pods");
  }

  /** A pod called so, in a namespace of its own. */
  add(name: string, options: Parameters<Pods["call"]>[2] = {}): Promise<Answer> {
    if (!this.pods.has(name)) this.pods.create(name);
    return this.pods.call("ADD", name, options);
  }

  async del(name: string, options: Parameters<Pods["call"]>[2] = {}): Promise<void> {
    const { code, stdout } = await this.pods.call("DEL", name, options);
    if (code !== 0) throw new Error(`DEL of ${name}: ${stdout}`);
    this.pods.destroy(name);
  }

  /** Until the blocks are as `is` says. */
  waitBlocks(what: string, is: (blocks: readonly BlockView[]) => boolean, timeout = 15_000): Promise<BlockView[]> {
    let last: BlockView[] = [];
    return waitFor(
      async () => {
        last = await this.blocks();
        return is(last);
      },
      `${what} on ${this.node.name}`,
      { timeout, interval: 20 },
    ).then(
      () => last,
      (error) => {
        throw new Error(`${error.message}\n${JSON.stringify(last)}\n${this.underlay.log.slice(-4000)}`);
      },
    );
  }

  /** One answer from an address, asked for from inside of a pod, or from the node itself. */
  async ping(from: string | null, to: string): Promise<boolean> {
    const net = from === null ? this.node.path : `/run/netns/${this.pods.namespace(from)}`;
    const args = [`--net=${net}`, "--", "ping", "-c", "1", "-W", "1", to];
    return this.node.lab.nodes[0]
      .exec("nsenter", ...args)
      .then(() => true)
      .catch(() => false);
  }

  /** Until it answers. */
  reaches(from: string | null, to: string): Promise<boolean> {
    return waitFor(() => this.ping(from, to), `${this.node.name} ${from ?? ""} to reach ${to}`, {
      timeout: 8_000,
      interval: 20,
    });
  }
}

export class SharedRack {
  readonly lab: Lab;
  readonly tor: Frr;
  readonly torNode: Node;
  readonly outside: Node;
  readonly nodes: readonly SharedNode[];
  readonly #data: string;
  #etcd: ChildProcess | null = null;

  private constructor(lab: Lab, data: string, parts: Pick<SharedRack, "tor" | "torNode" | "outside" | "nodes">) {
    this.#data = data;
    this.lab = lab;
    this.tor = parts.tor;
    this.torNode = parts.torNode;
    this.outside = parts.outside;
    this.nodes = parts.nodes;
  }

  /** `pools`: of every node's configuration, by its number. */
  static async start(part: string, pools: (n: number) => string): Promise<SharedRack> {
    const lab = new Lab(part);
    const data = dataDirectory();
    try {
      const torNode = lab.addNode("tor");
      const outside = lab.addNode("outside");
      lab.link(
        { node: outside, name: "eth0", addresses: ["203.0.113.2/30", "2001:db8:9::2/64"] },
        { node: torNode, name: "swp9", addresses: ["203.0.113.1/30", "2001:db8:9::1/64"] },
      );
      outside.ip("route", "add", "default", "via", "203.0.113.1");
      outside.ip("-6", "route", "add", "default", "via", "2001:db8:9::1");
      torNode.addAddress("lo", `${ETCD}/32`);
      const hosts = [1, 2, 3].map((n) => {
        const node = lab.addNode(`node${n}`);
        lab.link(
          { node: torNode, name: `swp${n}`, addresses: [`10.1.${n}.1/24`, `2001:db8:${n}::1/64`] },
          { node, name: "eth1", addresses: [`10.1.${n}.2/24`, `2001:db8:${n}::2/64`] },
        );
        node.ip("route", "add", "default", "via", `10.1.${n}.1`);
        node.ip("-6", "route", "add", "default", "via", `2001:db8:${n}::1`);
        return node;
      });
      await torNode.exec("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1");
      const etcd = startEtcd(torNode, data);
      await etcdAnswers(torNode);
      const [tor, nodes] = await Promise.all([
        Frr.start(torNode, torConfig(), { daemons: ["zebra", "bgpd"] }),
        Promise.all(
          hosts.map(
            async (node, i) => new SharedNode(node, await Underlay.start(node, nodeConfig(i + 1, pools(i + 1))), i + 1),
          ),
        ),
      ]);
      const rack = new SharedRack(lab, data, { tor, torNode, outside, nodes });
      rack.#etcd = etcd;
      return rack;
    } catch (error) {
      await lab.close().catch(() => undefined);
      rmSync(data, { recursive: true, force: true });
      throw error;
    }
  }

  async stopEtcd(): Promise<void> {
    if (this.#etcd) await terminate(this.#etcd, "SIGKILL");
    this.#etcd = null;
  }

  async startEtcd(): Promise<void> {
    this.#etcd = startEtcd(this.torNode, this.#data);
    await etcdAnswers(this.torNode);
  }

  etcdctl(...args: string[]): Promise<string> {
    return this.torNode.exec("etcdctl", "--endpoints", `http://${ETCD}:2379`, ...args);
  }

  /** What the switch has for a prefix: the nodes that announce it, and its communities. */
  async announced(prefix: string): Promise<{ readonly by: number[]; readonly communities: string[] }> {
    const route = await this.tor.json<{ paths?: { peer: { peerId: string }; community?: { string: string } }[] }>(
      `show bgp ${prefix.includes(":") ? "ipv6" : "ipv4"} unicast ${prefix}`,
    );
    const paths = route.paths ?? [];
    return {
      by: paths.map(({ peer }) => Number(peer.peerId.split(".")[2])).sort(),
      communities: paths.flatMap(({ community }) => community?.string ?? []),
    };
  }

  waitAnnounced(prefix: string, by: readonly number[]): Promise<unknown> {
    const is = async () => (await this.announced(prefix)).by.join() === by.join();
    return waitFor(is, `${prefix} to be announced by [${by}]`, { timeout: 10_000, interval: 30 }).catch((error) => {
      throw new Error(
        `${error.message}\n${this.nodes.map(({ underlay }) => underlay.log.slice(-3000)).join("\n---\n")}`,
      );
    });
  }

  async close(): Promise<void> {
    for (const { pods } of this.nodes) pods.close();
    await this.tor.close();
    await this.lab.close();
    rmSync(this.#data, { recursive: true, force: true });
  }
}

function startEtcd(node: Node, directory: string): ChildProcess {
  const urls = (port: number, address: string) => `http://${address}:${port}`;
  return node.spawn("etcd", [
    // Alone: nobody else could be the leader.
    ...["--heartbeat-interval", "20", "--election-timeout", "200"],
    ...["--data-dir", directory, "--name", "tor", "--log-level", "error"],
    ...["--listen-client-urls", urls(2379, ETCD), "--advertise-client-urls", urls(2379, ETCD)],
    ...["--listen-peer-urls", urls(2380, "127.0.0.1"), "--initial-advertise-peer-urls", urls(2380, "127.0.0.1")],
    ...["--initial-cluster", `tor=${urls(2380, "127.0.0.1")}`],
  ]);
}

function etcdAnswers(node: Node): Promise<unknown> {
  const health = () => node.exec("etcdctl", "--endpoints", `http://${ETCD}:2379`, "--command-timeout=1s", "get", "x");
  return waitFor(() => health().then(() => true), "etcd", { timeout: 15_000, interval: 50 });
}

function nodeConfig(n: number, pools: string): string {
  return `
node: { name: node${n}, asn: 6510${n}, routerId: 10.0.0.1${n}, rack: r1 }
routing: { withdrawTime: 100ms }
etcd: { endpoints: "http://${ETCD}:2379", timeout: 1s }
peers:
  tor: { address: 10.1.${n}.1, asn: 65001, import: default-route, export: blocks, connectRetry: 1s }
${pools}`;
}

function torConfig(): string {
  const each = (text: (n: number) => string) => [1, 2, 3].map(text).join("\n");
  return `
router bgp 65001
 bgp router-id 10.0.1.1
 no bgp ebgp-requires-policy
${each((n) => ` neighbor 10.1.${n}.2 remote-as 6510${n}\n neighbor 10.1.${n}.2 timers connect 1`)}
 address-family ipv4 unicast
${each((n) => `  neighbor 10.1.${n}.2 default-originate`)}
 exit-address-family
 address-family ipv6 unicast
${each((n) => `  neighbor 10.1.${n}.2 activate\n  neighbor 10.1.${n}.2 default-originate`)}
 exit-address-family
`;
}
