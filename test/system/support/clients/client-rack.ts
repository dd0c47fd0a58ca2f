// Two hosts for container runtimes, each with the real underlayd, between two FRR switches (4-byte AS of their own, eBGP,
// IPv4 and IPv6 apart), and a machine outside behind the first switch:
//
//   outside -- tor1 --+-- host1 (pods 10.244.1.0/24, 2001:db8:244:1::/112)
//              tor2 --+-- host2 (pods 10.244.2.0/24, 2001:db8:244:2::/112)
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { PodView } from "../../../../cni/types.ts";
import { distFile } from "../../../../net/dist.ts";
import { Frr } from "../../../interop/support/frr.ts";
import { Lab, type Node } from "../../../interop/support/namespace.ts";
import { Underlay } from "../../../interop/support/underlay.ts";
import { GiveUp, waitFor } from "../../../interop/support/wait.ts";
import { ask } from "../api.ts";
import { ContainerHost } from "./container-host.ts";

/** Of the machine outside; the web servers listen on IPv6 sockets, and say so of IPv4. */
const OUTSIDE = { ipv4: "203.0.113.2", ipv6: "2001:db8:f::2" };
export const FROM_OUTSIDE = { ipv4: `[::ffff:${OUTSIDE.ipv4}]`, ipv6: `[${OUTSIDE.ipv6}]`, address: OUTSIDE.ipv4 };

/** Of the reference plugins, by the Debian package containernetworking-plugins. */
const REFERENCE_PLUGINS = "/usr/lib/cni";

export class RackHost {
  readonly node: ContainerHost;
  readonly underlay: Underlay;
  readonly number: number;

  constructor(node: ContainerHost, underlay: Underlay, number: number) {
    this.node = node;
    this.underlay = underlay;
    this.number = number;
  }

  /** Of the host itself, as others reach it. */
  get ipv4(): string {
    return `10.1.${this.number}.2`;
  }

  get ipv6(): string {
    return `2001:db8:1:${this.number}::2`;
  }

  exec(command: string, ...args: string[]): Promise<string> {
    return this.node.exec(command, ...args);
  }

  pods(): Promise<PodView[]> {
    return ask<PodView[]>(this.underlay.socket, "/v1/pods");
  }

  /** By the name that its runtime has told, or by its container's id. */
  async pod(name: string): Promise<PodView> {
    const pods = await this.pods();
    const found = pods.find(({ pod, containerId }) => pod === name || containerId === name);
    if (!found) throw new Error(`no pod ${name} among ${JSON.stringify(pods)}`);
    return found;
  }

  /** The verbs that the daemon has answered for a container, oldest first; those that it has refused with an `!`. */
  calls(containerId: string): string[] {
    return this.underlay.log
      .split("\n")
      .filter((line) => line.includes(`"containerId":"${containerId}"`) && line.includes('"msg":"CNI call '))
      .map((line) => JSON.parse(line) as { verb: string; msg: string })
      .map(({ verb, msg }) => (msg === "CNI call answered" ? verb : `${verb}!`));
  }

  /** Free again, and nothing of them in the kernel. */
  async waitGone(addresses: readonly string[]): Promise<void> {
    await waitFor(
      async () => !(await this.pods()).some((pod) => pod.addresses.some((address) => addresses.includes(address))),
      `${addresses.join(", ")} to be released`,
      { timeout: 10_000, interval: 20 },
    );
    const routes = await this.exec("sh", "-c", "ip route show table 7000; ip -6 route show table 7000");
    for (const address of addresses)
      if (routes.split("\n").some((line) => line.startsWith(`${address} `)))
        throw new Error(`${address} is still routed:\n${routes}`);
  }

  /** Something that is done while no daemon runs. */
  async withoutDaemon(work: () => Promise<void>): Promise<void> {
    await this.underlay.stop();
    try {
      await work();
    } finally {
      await this.underlay.start();
    }
  }

  /** The network configuration that runtimes read, written by `underlayctl cni install`. */
  install(...options: string[]): Promise<string> {
    return this.ctl("cni", "install", ...options);
  }

  /** A command that reads the configuration file. */
  ctl(...args: string[]): Promise<string> {
    const config = join(this.underlay.directory, "underlay.yaml");
    return this.exec(process.execPath, distFile("underlayctl.cjs"), ...args, "--config", config);
  }
}

export class ClientRack {
  readonly lab: Lab;
  readonly outside: Node;
  readonly hosts: readonly [RackHost, RackHost];
  readonly tors: readonly Frr[];

  private constructor(lab: Lab, outside: Node, hosts: readonly [RackHost, RackHost], tors: readonly Frr[]) {
    this.lab = lab;
    this.outside = outside;
    this.hosts = hosts;
    this.tors = tors;
  }

  /** Everything runs when it resolves; sessions are on their way (see converged). */
  static async start(part: string): Promise<ClientRack> {
    const lab = new Lab(part);
    try {
      return await ClientRack.#build(lab);
    } catch (error) {
      await closeLab(lab).catch(() => undefined);
      throw error;
    }
  }

  static async #build(lab: Lab): Promise<ClientRack> {
    const outside = lab.addNode("outside");
    const torNodes = [1, 2].map((number) => lab.addNode(`tor${number}`));
    const hostNodes = await Promise.all([1, 2].map((number) => ContainerHost.start(lab, `host${number}`)));
    for (const [t, tor] of torNodes.entries()) {
      await tor.exec("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1");
      for (const [h, node] of hostNodes.entries())
        lab.link(
          { node, name: `eth${t}`, addresses: [`10.${t + 1}.${h + 1}.2/24`, `2001:db8:${t + 1}:${h + 1}::2/64`] },
          { node: tor, name: `swp${h}`, addresses: [`10.${t + 1}.${h + 1}.1/24`, `2001:db8:${t + 1}:${h + 1}::1/64`] },
        );
    }
    lab.link(
      { node: outside, name: "eth0", addresses: [`${OUTSIDE.ipv4}/30`, `${OUTSIDE.ipv6}/64`] },
      { node: torNodes[0], name: "swp9", addresses: ["203.0.113.1/30", "2001:db8:f::1/64"] },
    );
    outside.ip("route", "add", "default", "via", "203.0.113.1");
    outside.ip("-6", "route", "add", "default", "via", "2001:db8:f::1");
    const [tors, hosts] = await Promise.all([
      Promise.all(torNodes.map((node, index) => Frr.start(node, torConfig(index + 1), { daemons: ["zebra", "bgpd"] }))),
      Promise.all([startHost(hostNodes[0], 1), startHost(hostNodes[1], 2)]),
    ]);
    return new ClientRack(lab, outside, hosts, tors);
  }

  /** Each host knows the other's blocks by both switches, and so do the switches. */
  async converged(): Promise<void> {
    for (const host of this.hosts) {
      const other = 3 - host.number;
      await waitFor(
        async () => {
          const [ipv4, ipv6] = [await host.underlay.kernel(4), await host.underlay.kernel(6)];
          const paths = (list: typeof ipv4, dst: string) => list.find((route) => route.dst === dst)?.gateways.length;
          return paths(ipv4, `10.244.${other}.0/24`) === 2 && paths(ipv6, `2001:db8:244:${other}::/112`) === 2;
        },
        `routes of host${host.number} by both switches`,
        { timeout: 20_000, interval: 100 },
      ).catch((error) => {
        throw new Error(`${error.message}\n${host.underlay.log.slice(-3000)}`);
      });
    }
  }

  /**
   * What a web server of the image answers to a machine outside: the address that it is asked from. It may just be
   * starting.
   */
  fromOutside(url: string): Promise<string> {
    const ask = async () => {
      const args = ["-sS", "-m", "3", `http://${url}/cgi-bin/who`];
      const answer = await this.outside.exec("curl", ...args).catch((error: Error) => {
        throw error.message.includes("curl: (7)") ? error : new GiveUp(error.message);
      });
      return answer.trim();
    };
    return waitFor(ask, url, { timeout: 3_000, interval: 20 });
  }

  async close(): Promise<void> {
    await Promise.all(this.tors.map((tor) => tor.close()));
    await closeLab(this.lab);
  }
}

async function closeLab(lab: Lab): Promise<void> {
  const hosts = lab.nodes.filter((node) => node instanceof ContainerHost);
  try {
    await lab.close();
  } finally {
    await Promise.all(hosts.map((host) => host.close()));
  }
}

async function startHost(node: ContainerHost, number: number): Promise<RackHost> {
  if (!existsSync(REFERENCE_PLUGINS))
    throw new Error("the Debian package containernetworking-plugins is not installed");
  await node.exec("sh", "-ec", `ln -s ${REFERENCE_PLUGINS}/* /opt/cni/bin/`);
  const host = new RackHost(node, await Underlay.start(node, hostConfig(number), confined(number)), number);
  await host.install("--chain", "portmap,bandwidth");
  return host;
}

/**
 * With no more capabilities than the service has; on the second host without one that it may do without (units and compose
 * files of before do not have it).
 */
function confined(number: number): string[] {
  const unit = readFileSync("daemon/systemd/underlayd.service", "utf8");
  const [, list] = /^CapabilityBoundingSet=(.+)$/m.exec(unit)!;
  const names = list
    .toLowerCase()
    .split(" ")
    .map((name) => name.replace("cap_", "+"));
  const kept = number === 1 ? names : names.filter((name) => name !== "+net_broadcast");
  return ["setpriv", "--bounding-set", ["-all", ...kept].join(","), "--"];
}

function hostConfig(n: number): string {
  const peers = [1, 2].flatMap((t) => [
    `  tor${t}: { address: 10.${t}.${n}.1, asn: 6500${t}, families: [ipv4], import: all, export: blocks }`,
    `  tor${t}v6: { address: "2001:db8:${t}:${n}::1", asn: 6500${t}, families: [ipv6], import: all, export: blocks }`,
  ]);
  return `
node: { name: host${n}, asn: 6510${n}, routerId: 10.0.0.1${n} }
pools:
  default: { blocks: [10.244.${n}.0/24, "2001:db8:244:${n}::/112"] }
  second: { blocks: [10.245.${n}.0/26], sticky: { by: pod-name } }
peers:
${peers.join("\n")}
`;
}

function torConfig(t: number): string {
  const hosts = [1, 2];
  const neighbors = hosts.flatMap((n) => [
    ` neighbor 10.${t}.${n}.2 remote-as 6510${n}`,
    ` neighbor 10.${t}.${n}.2 timers connect 1`,
    ` neighbor 2001:db8:${t}:${n}::2 remote-as 6510${n}`,
    ` neighbor 2001:db8:${t}:${n}::2 timers connect 1`,
  ]);
  return `
router bgp 6500${t}
 bgp router-id 10.0.1.${t}
 no bgp ebgp-requires-policy
${neighbors.join("\n")}
 address-family ipv4 unicast
${hosts.map((n) => `  no neighbor 2001:db8:${t}:${n}::2 activate`).join("\n")}
  network 203.0.113.0/30
 exit-address-family
 address-family ipv6 unicast
${hosts.map((n) => `  neighbor 2001:db8:${t}:${n}::2 activate`).join("\n")}
  network 2001:db8:f::/64
 exit-address-family
`;
}
