// Where lost packets are counted:
//
//            /--- tor1 FRR  AS 65001 ---\
//   node1 --<           |                >-- far      static ECMP to both ToRs, 198.51.100.1, 2001:db8:ffff::1
//    pod     \--- tor2 BIRD AS 65002 ---/
//   node2 -- to both, when asked for: announces the same block as a second choice, with a pod of the same address
//
// Once the ToRs are joined, one that loses its own way to the block sends packets over the link to the other one, as a fabric
// does; before that nothing hides what it loses. Both restart gracefully. node1 also has a management link to the far host,
// for what is not learned from a neighbour.
//
// What is not ours and would lose packets all the same: BIRD 2 changes an IPv6 route by deleting and adding it, and so
// does zebra without --v6-rr-semantics. BIRD's host has a wider route to the other ToR for the microseconds between. FRR
// that comes to an IPv6 path with a next hop it has not tracked so far has no route for some 50 ms: when its bgpd restarts
// and the other ToR says End-of-RIB at once, for one. Hence no ToR restarts once they are joined.
import type { StatusView } from "../../../daemon/api/types.ts";
import { Bird } from "../../interop/support/bird.ts";
import { Frr } from "../../interop/support/frr.ts";
import { Lab, type Node } from "../../interop/support/namespace.ts";
import { Underlay } from "../../interop/support/underlay.ts";
import { waitFor } from "../../interop/support/wait.ts";
import { ask } from "./api.ts";
import { Pods } from "./pods.ts";
import { type EndOptions, Traffic } from "./traffic.ts";

export const BLOCK4 = "10.244.1.0/26";
export const BLOCK6 = "2001:db8:244:1::/122";
export const FAR4 = "198.51.100.1";
export const FAR6 = "2001:db8:ffff::1";

const frrConfig = `
ip route ${FAR4}/32 10.9.1.2
ipv6 route ${FAR6}/128 2001:db8:91::2
router bgp 65001
 bgp router-id 10.0.0.1
 no bgp ebgp-requires-policy
 no bgp network import-check
 bgp graceful-restart
 bgp graceful-restart preserve-fw-state
 bgp graceful-restart notification
 timers bgp 3 9
 neighbor 10.1.1.2 remote-as 65101
 neighbor 10.1.1.2 timers connect 1
 address-family ipv4 unicast
  network ${FAR4}/32
 exit-address-family
 address-family ipv6 unicast
  network ${FAR6}/128
  neighbor 10.1.1.2 activate
 exit-address-family
`;

const birdPeer = (name: string, address: string, asn: number) => `
protocol bgp ${name} {
  local as 65002; neighbor ${address} as ${asn}; hold time 9;
  connect retry time 1; connect delay time 1; error wait time 1, 2;
  graceful restart on; graceful restart time 60; long lived graceful restart off;
  ipv4 { import filter learned; export all; };
  ipv6 { import filter learned; export all; };
}`;

const birdConfig = `
router id 10.0.0.2;
protocol device {}
protocol kernel k4 { ipv4 { export where source != RTS_DEVICE; }; persist; graceful restart on; }
protocol kernel k6 { ipv6 { export where source != RTS_DEVICE; }; persist; graceful restart on; }
protocol static s4 { ipv4; route ${FAR4}/32 via 10.9.2.2; }
protocol static s6 { ipv6; route ${FAR6}/128 via 2001:db8:92::2; }
filter learned { if (65535, 0) ~ bgp_community then bgp_local_pref = 0; accept; }
${birdPeer("node1", "10.2.1.2", 65101)}
`;

/** Between the ToRs, when they are joined. */
const frrJoined = `
router bgp 65001
 neighbor 10.9.3.2 remote-as 65002
 neighbor 10.9.3.2 timers connect 1
 address-family ipv6 unicast
  neighbor 10.9.3.2 activate
 exit-address-family
`;
const birdJoined = `${birdConfig}${birdPeer("tor1", "10.9.3.1", 65001)}`;

/** What a ToR is told about node2, when it comes: one that waits for a neighbour would restart less than gracefully. */
const frrSecond = `
router bgp 65001
 neighbor 10.1.2.2 remote-as 65102
 neighbor 10.1.2.2 timers connect 1
 address-family ipv6 unicast
  neighbor 10.1.2.2 activate
 exit-address-family
`;

const nodeYaml = (n: 1 | 2, extra: string) => `
node: { name: node${n}, asn: ${65100 + n}, routerId: 10.0.0.1${n} }
pools: { default: { blocks: [${BLOCK4}, "${BLOCK6}"] } }
peers:
  tor1: { address: 10.1.${n}.1, asn: 65001, import: all, export: ${n === 1 ? "blocks" : "second-choice"}, connectRetry: 1s, holdTime: 9s }
  tor2: { address: 10.2.${n}.1, asn: 65002, import: all, export: ${n === 1 ? "blocks" : "second-choice"}, connectRetry: 1s, holdTime: 9s }
${n === 2 ? "policies: { second-choice: [{ match: { peer: local }, set: { prepend: 3 }, then: accept }] }\n" : ""}${extra}
`;

export class LossRig {
  readonly lab: Lab;
  readonly far: Node;
  readonly tor1: Node;
  readonly tor2: Node;
  readonly node1: Node;
  frr!: Frr;
  bird!: Bird;
  underlay!: Underlay;
  pods!: Pods;
  second: { readonly node: Node; readonly underlay: Underlay; readonly pods: Pods } | null = null;
  addresses!: readonly [string, string];
  traffic!: Traffic;
  #program = "";

  private constructor(part: string) {
    this.lab = new Lab(part);
    [this.far, this.tor1, this.tor2, this.node1] = ["far", "tor1", "tor2", "node1"].map((name) =>
      this.lab.addNode(name),
    );
  }

  /** Resolves when everybody knows everybody's routes and packets can flow. */
  static async start(part: string, extra = ""): Promise<LossRig> {
    const rig = new LossRig(part);
    try {
      await rig.#build(extra);
    } catch (error) {
      await rig.close();
      throw error;
    }
    return rig;
  }

  /** From here on a ToR without a way of its own to the block takes the other one's. */
  async joinTors(): Promise<void> {
    this.tor2.ip("-6", "route", "add", "2001:db8:244::/48", "via", "2001:db8:93::1");
    await Promise.all([this.frr.configure(frrJoined), this.bird.configure(birdJoined)]);
    await this.frr.waitEstablished("10.9.3.2");
    const other = async (family: "ipv4" | "ipv6", block: string) => {
      const { paths = [] } = await this.frr.json<{ paths?: unknown[] }>(`show bgp ${family} unicast ${block}`);
      return paths.length === 2;
    };
    const known = async () => (await other("ipv4", BLOCK4)) && (await other("ipv6", BLOCK6));
    await waitFor(known, "each ToR's second path", { interval: 20 });
  }

  /** Another configuration on node1, taken over by a reload. */
  async reload(change: (yaml: string) => string): Promise<void> {
    this.underlay.configure(change(nodeYaml(1, "")));
    await this.underlay.ctl("reload");
  }

  /** node2, with a pod of the same addresses. */
  async addSecond(): Promise<void> {
    const node = this.lab.addNode("node2");
    this.#connect(node, 2);
    const [underlay] = await Promise.all([
      Underlay.start(node, nodeYaml(2, "")),
      this.frr.configure(frrSecond),
      this.bird.configure(`${birdJoined}${birdPeer("node2", "10.2.2.2", 65102)}`),
    ]);
    const pods = new Pods(node, underlay.socket);
    this.second = { node, underlay, pods };
    pods.create("a");
    const { code, stdout } = await pods.call("ADD", "a", { args: `IP=${this.addresses.join(",")}` });
    if (code !== 0) throw new Error(`ADD on node2: ${stdout}`);
    await Promise.all(["tor1", "tor2"].map((peer) => underlay.waitEstablished(peer)));
    await this.#addressesUsable();
    await this.traffic.close();
    await this.#startTraffic();
  }

  /** The host's own way to the far host, which its pods' packets take when no neighbour has told a route. */
  addDefaultRoute(): void {
    this.node1.ip("route", "add", "default", "via", "10.9.9.1");
    this.node1.ip("-6", "route", "add", "default", "via", "2001:db8:99::1");
  }

  status(): Promise<StatusView> {
    return ask(this.underlay.socket, "/v1/status");
  }

  /** Both ToRs have the block from node1, and node1 has the far host over both. */
  async whole(): Promise<void> {
    for (const family of [4, 6] as const) {
      const [block, far] = family === 4 ? [BLOCK4, FAR4] : [BLOCK6, FAR6];
      await waitFor(
        async () => {
          const at = await this.torRoutes(family);
          if (!at.tor1.includes("dev n1") || !at.tor2.includes("dev n1")) throw new Error(JSON.stringify(at));
          const { peers } = await this.status();
          if (peers.established !== 2) throw new Error(`${peers.established} sessions`);
          const ours = (await this.underlay.kernel(family)).find(({ dst }) => dst === far);
          if (ours?.gateways.length !== 2) throw new Error(`node1: ${JSON.stringify(ours)}`);
          return true;
        },
        `IPv${family} routes everywhere (${block})`,
        { timeout: 20_000, interval: 20 },
      );
    }
  }

  /** The kernel's route for the block at each ToR; empty: none. */
  async torRoutes(family: 4 | 6): Promise<{ tor1: string; tor2: string }> {
    const show = (node: Node) => node.ip(`-${family}`, "route", "show", family === 4 ? BLOCK4 : BLOCK6).trim();
    return { tor1: show(this.tor1), tor2: show(this.tor2) };
  }

  async close(): Promise<void> {
    await this.traffic?.close();
    await Promise.all([this.underlay?.stop("SIGKILL"), this.second?.underlay.stop("SIGKILL")]);
    await Promise.all([this.frr?.close(), this.bird?.close()]);
    this.pods?.close();
    this.second?.pods.close();
    await this.lab.close();
  }

  async #build(extra: string): Promise<void> {
    const { lab, far, tor1, tor2, node1 } = this;
    this.#program = Traffic.compile(lab.directory);
    for (const [i, tor] of [tor1, tor2].entries()) {
      const n = i + 1;
      lab.link(
        { node: far, name: `t${n}`, addresses: [`10.9.${n}.2/24`, `2001:db8:9${n}::2/64`] },
        { node: tor, name: "far", addresses: [`10.9.${n}.1/24`, `2001:db8:9${n}::1/64`] },
      );
    }
    lab.link(
      { node: tor1, name: "x", addresses: ["10.9.3.1/24", "2001:db8:93::1/64"] },
      { node: tor2, name: "x", addresses: ["10.9.3.2/24", "2001:db8:93::2/64"] },
    );
    this.#connect(node1, 1);
    far.addAddress("lo", `${FAR4}/32`);
    far.addAddress("lo", `${FAR6}/128`);
    const settings = [
      "net.ipv4.ip_forward=1",
      "net.ipv6.conf.all.forwarding=1",
      "net.ipv4.fib_multipath_hash_policy=1",
      "net.ipv6.fib_multipath_hash_policy=1",
    ];
    await Promise.all([far, tor1, tor2].map((node) => node.exec("sysctl", "-qw", ...settings)));
    far.ip("route", "add", BLOCK4, "nexthop", "via", "10.9.1.1", "nexthop", "via", "10.9.2.1");
    far.ip("-6", "route", "add", BLOCK6, "nexthop", "via", "2001:db8:91::1", "nexthop", "via", "2001:db8:92::1");
    lab.link(
      { node: far, name: "mgmt", addresses: ["10.9.9.1/24", "2001:db8:99::1/64"] },
      { node: node1, name: "mgmt", addresses: ["10.9.9.2/24", "2001:db8:99::2/64"] },
    );
    [this.frr, this.bird, this.underlay] = await Promise.all([
      Frr.start(tor1, frrConfig, {
        daemons: ["zebra", "staticd", "bgpd"],
        arguments: { zebra: ["--v6-rr-semantics"] },
      }),
      Bird.start(tor2, birdConfig),
      Underlay.start(node1, nodeYaml(1, extra)),
    ]);
    this.pods = new Pods(node1, this.underlay.socket);
    this.pods.create("a");
    const { code, stdout, addresses } = await this.pods.call("ADD", "a");
    if (code !== 0) throw new Error(`ADD: ${stdout}`);
    this.addresses = [addresses[0], addresses[1]];
    await this.#startTraffic();
    await this.whole();
    await this.#addressesUsable();
  }

  /** A link whose link-local address is still being checked for duplicates (a second or two) cannot ask for a neighbour. */
  async #addressesUsable(): Promise<void> {
    const usable = () => this.lab.nodes.every((node) => node.ip("-6", "address", "show", "tentative").trim() === "");
    await waitFor(usable, "the end of duplicate address detection", { interval: 20 });
  }

  #connect(node: Node, n: 1 | 2): void {
    for (const [i, tor] of [this.tor1, this.tor2].entries()) {
      const t = i + 1;
      this.lab.link(
        { node, name: `eth${i}`, addresses: [`10.${t}.${n}.2/24`, `2001:db8:${t}${n}::2/64`] },
        { node: tor, name: `n${n}`, addresses: [`10.${t}.${n}.1/24`, `2001:db8:${t}${n}::1/64`] },
      );
    }
  }

  async #startTraffic(): Promise<void> {
    const pod = (pods: Pods, silent: boolean): EndOptions => ({
      netns: `/run/netns/${pods.namespace("a")}`,
      addresses: this.addresses,
      silent,
    });
    const ends = [pod(this.pods, false), ...(this.second ? [pod(this.second.pods, true)] : [])];
    this.traffic = await Traffic.start(this.#program, ends, [{ netns: this.far.path, addresses: [FAR4, FAR6] }]);
  }
}
