// podman and buildah on host1. podman asks every plugin for its VERSION before each command, sends static addresses in two
// ways, and reloads by DEL and ADD.
import { afterEach, describe, expect, it } from "vitest";
import { type ClientRack, FROM_OUTSIDE } from "../support/clients/client-rack.ts";
import { POD_IMAGE } from "../support/clients/pod-image.ts";
import type { Podman } from "../support/clients/podman.ts";

export function podmanTests(given: () => { readonly rack: ClientRack; readonly podman: Podman }): void {
  const host = () => given().podman.host;
  const run = (name: string, ...options: string[]) => given().podman.run(name, ...options);
  const exec = (name: string, command: string) => given().podman.exec(name, ...command.split(" "));
  const call = (command: string) => given().podman.call(...command.split(" "));

  describe("podman", () => {
    afterEach(async () => {
      await call("rm -f -t 0 -a");
      expect(await host().pods()).toEqual([]);
    });

    it("run, exec, rm: a pod by its name, reached from outside in both families without translation", async () => {
      await run("web");
      const { network, addresses, ifname, pool } = await host().pod("web");
      expect({ network, ifname, pool }).toEqual({ network: "underlay", ifname: "eth0", pool: "default" });
      const [ipv4, ipv6] = addresses;
      expect(await exec("web", "ip addr show eth0")).toContain(`inet ${ipv4}/32 `);
      expect(await exec("web", "ip addr show eth0")).toContain(`inet6 ${ipv6}/128 `);
      expect((await given().podman.networks("web")).underlay).toMatchObject({
        IPAddress: ipv4,
        GlobalIPv6Address: ipv6,
      });
      expect(await given().rack.fromOutside(ipv4)).toBe(FROM_OUTSIDE.ipv4);
      expect(await given().rack.fromOutside(`[${ipv6}]`)).toBe(FROM_OUTSIDE.ipv6);
      await call("rm -f -t 0 web");
      await host().waitGone(addresses);
    });

    it("a container that ends by itself gives its addresses back", async () => {
      const { cgroup } = host().node;
      const shown = await call(`run --rm --name short --cgroup-parent /${cgroup} ${POD_IMAGE} ip -4 addr show eth0`);
      const [, address] = /inet (\S+)\/32/.exec(shown)!;
      await host().waitGone([address]);
    });

    it("--ip and --mac-address by CNI_ARGS, --ip with --ip6 by runtimeConfig", async () => {
      const mac = "02:11:22:33:44:55";
      await run("one", "--ip", "10.244.1.77", "--mac-address", mac);
      await run("two", "--ip", "10.244.1.78", "--ip6", "2001:db8:244:1::78", "--mac-address", "02:11:22:33:44:56");
      expect((await host().pod("one")).addresses[0]).toBe("10.244.1.77");
      expect(await exec("one", "ip link show eth0")).toContain(mac);
      expect((await host().pod("two")).addresses).toEqual(["10.244.1.78", "2001:db8:244:1::78"]);
      expect(await exec("two", "ip link show eth0")).toContain("02:11:22:33:44:56");
      await expect(run("taken", "--ip", "10.244.1.77")).rejects.toThrow("10.244.1.77 is in use by another pod");
      await expect(run("outside", "--ip", "10.9.9.9")).rejects.toThrow('10.9.9.9 is in no block of pool "default"');
      expect(await host().pods()).toHaveLength(2);
    });

    it("network reload and restart: static addresses come again, whatever way they were asked for", async () => {
      await run("one", "--ip", "10.244.1.77");
      await run("two", "--ip", "10.244.1.78", "--ip6", "2001:db8:244:1::78");
      await run("any");
      await call("network reload -a");
      expect((await host().pods()).map(({ pod }) => pod).sort()).toEqual(["any", "one", "two"]);
      await call("restart -t 0 one two any");
      for (const [name, first] of [
        ["one", "10.244.1.77"],
        ["two", "10.244.1.78"],
      ])
        expect((await host().pod(name)).addresses[0]).toBe(first);
      expect((await host().pod("two")).addresses[1]).toBe("2001:db8:244:1::78");
      for (const { pod, addresses } of await host().pods()) {
        expect(await given().rack.fromOutside(addresses[0]), pod ?? "").toBe(FROM_OUTSIDE.ipv4);
        expect(await given().rack.fromOutside(`[${addresses[1]}]`), pod ?? "").toBe(FROM_OUTSIDE.ipv6);
      }
    });

    it("published ports, by portmap behind us, closed again with the container", async () => {
      const { rack } = given();
      const places = [`${host().ipv4}:18080`, `[${host().ipv6}]:18080`];
      await Promise.all([run("web", "-p", "18080:80"), run("beside")]);
      expect(await host().exec("iptables-save")).toContain("18080");
      expect(await rack.fromOutside(places[0])).toBe(FROM_OUTSIDE.ipv4);
      expect(await rack.fromOutside(places[1])).toBe(FROM_OUTSIDE.ipv6);
      const who = "cgi-bin/who";
      for (const place of places) {
        expect(await exec("web", `wget -qO- http://${place}/${who}`), "from itself").not.toBe("");
        expect(await exec("beside", `wget -qO- http://${place}/${who}`), "from a pod beside it").not.toBe("");
      }
      expect(await host().exec("curl", "-sS", "-m", "3", `http://127.0.0.1:18080/${who}`)).not.toBe("");
      await call("rm -f -t 0 web");
      expect(await host().exec("sh", "-c", "iptables-save; ip6tables-save")).not.toContain("18080");
    });

    it("pods: one interface for all containers, under the pod's name", async () => {
      const { cgroup } = host().node;
      const server = "/bin/httpd -f -p 80 -h /www";
      await given().podman.call(
        ...["pod", "create", "--name", "group", "--cgroup-parent", `/${cgroup}`, "--infra-image", POD_IMAGE],
        ...["--infra-command", server],
      );
      await call("pod start group");
      await call(`run -d --pod group --name member ${POD_IMAGE} sleep 100`);
      const pods = await host().pods();
      expect(pods.map(({ pod }) => pod)).toEqual(["group"]);
      expect(await exec("member", "ip addr show eth0")).toContain(`inet ${pods[0].addresses[0]}/32 `);
      expect(await given().rack.fromOutside(pods[0].addresses[0])).toBe(FROM_OUTSIDE.ipv4);
      await call("pod rm -f -t 0 group");
      await host().waitGone(pods[0].addresses);
    });

    it("several networks for one container, from the start and later", async () => {
      await host().install("--network", "second", "--pool", "second");
      await run("both", "--network", "underlay", "--network", "second");
      await run("later");
      await call("network connect second later");
      for (const name of ["both", "later"]) {
        const mine = (await host().pods()).filter(({ pod }) => pod === name);
        // Which of two networks comes first podman leaves to chance.
        expect(mine.map(({ network, pool }) => `${network} ${pool}`).sort()).toEqual([
          "second second",
          "underlay default",
        ]);
        expect(mine.map(({ ifname }) => ifname).sort()).toEqual(["eth0", "eth1"]);
        for (const { addresses } of mine) expect(await given().rack.fromOutside(addresses[0])).toBe(FROM_OUTSIDE.ipv4);
      }
      await call("network disconnect second later");
      expect((await host().pods()).filter(({ pod }) => pod === "later").map(({ ifname }) => ifname)).toEqual(["eth0"]);
    });

    it("says why nothing can be attached while the daemon is away; what is removed meanwhile is not lost", async () => {
      await run("web");
      const { addresses } = await host().pod("web");
      await host().withoutDaemon(async () => {
        await expect(run("other")).rejects.toThrow(/underlayd is not running.*try again/);
        await call("rm -f -t 0 web");
      });
      await host().waitGone(addresses);
      await run("third", "--ip", addresses[0]);
    });
  });

  it("buildah: each RUN has the network, and gives its addresses back", async () => {
    // It takes the parent for the group itself.
    const cgroup = `/${host().node.cgroup}/build`;
    await host().exec("buildah", "from", "--name", "build", "--cgroup-parent", cgroup, POD_IMAGE);
    try {
      const command = ["run", "--isolation", "oci", "--runtime", "runc", "build", "ip", "-4", "addr", "show", "eth0"];
      const [, address] = /inet (\S+)\/32/.exec(await host().exec("buildah", ...command))!;
      expect(address).toMatch(/^10\.244\.1\.\d+$/);
      await host().waitGone([address]);
    } finally {
      await host().exec("buildah", "rm", "build");
    }
  });
}
