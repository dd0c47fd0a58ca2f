// Pods on two nodes, attached by four different clients, reach each other through the switches: both families, ICMP and
// TCP, with their own addresses all the way.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ClientRack, RackHost } from "../support/clients/client-rack.ts";
import type { Containerd } from "../support/clients/containerd.ts";
import type { LibcniRuntime } from "../support/clients/libcni-runtime.ts";
import { POD_IMAGE } from "../support/clients/pod-image.ts";
import type { Podman } from "../support/clients/podman.ts";

export interface Clients {
  readonly rack: ClientRack;
  readonly podman: Podman;
  readonly containerd: Containerd;
  readonly libcni: LibcniRuntime;
}

interface Endpoint {
  readonly client: string;
  readonly host: RackHost;
  readonly addresses: readonly string[];
  /** Runs a shell script in the pod, with busybox only (whose wget cannot wait with a limit). */
  readonly run: (script: string) => Promise<string>;
}

const LIST = "/etc/cni/net.d/10-underlay.conflist";

export function reachTests(given: () => Clients): void {
  describe("pods of different clients on two nodes", () => {
    const endpoints: Endpoint[] = [];
    let remove = async (): Promise<void> => {};

    beforeAll(async () => {
      const { rack, podman, containerd, libcni } = given();
      const [one, two] = rack.hosts;
      const netns = await libcni.namespace("go");
      const args = "IgnoreUnknown=1;K8S_POD_NAME=go";
      const [, sandbox] = await Promise.all([
        podman.run("pod", "--cap-add", "NET_RAW"),
        containerd.cri.run({ name: "sandbox", cgroupParent: `/${two.node.cgroup}` }),
        containerd.ctr("run", "-d", "--cni", "--cgroup", `/${two.node.cgroup}/task`, POD_IMAGE, "task"),
        libcni.call("add", LIST, { netns, id: "go", args }),
      ]);
      const shell = (host: RackHost, path: string) => (script: string) =>
        host.exec("nsenter", `--net=${path}`, "busybox", "sh", "-c", script);
      one.node.spawn("nsenter", [`--net=${netns}`, "busybox", "httpd", "-f", "-p", "80", "-h", libcni.webRoot]);
      const pods = await Promise.all([
        one.pod("pod"),
        one.pod("go"),
        two.pod("default/sandbox"),
        two.pod("default-task"),
      ]);
      const runs = [
        (script: string) => podman.exec("pod", "sh", "-c", script),
        shell(one, netns),
        shell(two, pods[2].netns),
        (script: string) => containerd.ctr("task", "exec", "--exec-id", "reach", "task", "sh", "-c", script),
      ];
      for (const [index, client] of ["podman", "libcni", "containerd", "ctr"].entries())
        endpoints.push({
          client,
          host: index < 2 ? one : two,
          addresses: pods[index].addresses,
          run: runs[index],
        });
      remove = async () => {
        await Promise.all([
          podman.remove("pod"),
          containerd.cri.remove(sandbox),
          containerd.ctr("task", "kill", "-s", "KILL", "task"),
          libcni.call("del", LIST, { netns, id: "go", args }),
        ]);
      };
    });

    afterAll(async () => {
      await remove();
      for (const { host, addresses } of endpoints) await host.waitGone(addresses);
    });

    it.each(["podman", "libcni", "containerd", "ctr"])("from %s to all others", async (client) => {
      const from = endpoints.find((endpoint) => endpoint.client === client)!;
      const targets = endpoints.filter((endpoint) => endpoint !== from).flatMap(({ addresses }) => addresses);
      const script = targets.map((address) => {
        const url = address.includes(":") ? `[${address}]` : address;
        return `ping -c 1 -W 1 ${address} >/dev/null && echo "$(wget -qO- http://${url}/cgi-bin/who)"`;
      });
      const answers = (await from.run(script.join("\n"))).trim().split(/\s+/);
      const [ipv4, ipv6] = from.addresses;
      expect(answers).toEqual(targets.map((address) => (address.includes(":") ? `[${ipv6}]` : `[::ffff:${ipv4}]`)));
    });

    it("the switches forward between the nodes, and know blocks, not pods", async () => {
      const { rack } = given();
      const [from] = endpoints;
      const target = endpoints.find(({ host }) => host !== from.host)!;
      for (const address of target.addresses)
        expect(await from.run(`ping -c 1 -W 1 ${address}`)).toMatch(/ttl=(61|62) /);
      for (const tor of rack.tors) {
        const routes = await tor.node.exec("sh", "-c", "ip route show proto bgp; ip -6 route show proto bgp");
        expect(routes).toContain("10.244.1.0/24");
        expect(routes).toContain("2001:db8:244:2::/112");
        for (const { addresses } of endpoints)
          for (const address of addresses)
            expect(routes.split("\n").some((line) => line.startsWith(`${address} `))).toBe(false);
      }
    });
  });
}
