// containerd on host2: through CRI as the kubelet asks it, and `ctr run --cni`, which calls plugins in its own process and
// never sends a DEL for what it has left in the background.
import { existsSync, readdirSync } from "node:fs";
import { basename, join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { waitFor } from "../../interop/support/wait.ts";
import { type ClientRack, FROM_OUTSIDE } from "../support/clients/client-rack.ts";
import type { Containerd } from "../support/clients/containerd.ts";
import type { Sandbox } from "../support/clients/cri.ts";
import { POD_IMAGE } from "../support/clients/pod-image.ts";

export function containerdTests(given: () => { readonly rack: ClientRack; readonly containerd: Containerd }): void {
  const host = () => given().containerd.host;
  const cri = () => given().containerd.cri;
  const sandbox = (name: string, more: Partial<Sandbox> = {}) =>
    cri().run({ name, namespace: "shop", cgroupParent: `/${host().node.cgroup}`, ...more });
  const spool = () => join(host().underlay.directory, "run/spool");
  const spooled = () => (existsSync(spool()) ? readdirSync(spool()).filter((name) => name.endsWith(".del")) : []);

  describe("containerd by CRI", () => {
    afterEach(async () => {
      for (const id of await cri().list()) await cri().remove(id);
      expect(await host().pods()).toEqual([]);
    });

    it("a sandbox has the addresses that the kubelet is told, by pod name, and is released by three DELs", async () => {
      const id = await sandbox("web");
      const { addresses, ifname, containerId } = await host().pod("shop/web");
      expect({ ifname, containerId }).toEqual({ ifname: "eth0", containerId: id });
      expect(await cri().status(id)).toEqual({ ready: true, addresses });
      expect(await given().rack.fromOutside(addresses[0])).toBe(FROM_OUTSIDE.ipv4);
      expect(await given().rack.fromOutside(`[${addresses[1]}]`)).toBe(FROM_OUTSIDE.ipv6);
      await cri().stop(id);
      await host().waitGone(addresses);
      await cri().stop(id);
      await cri().remove(id);
      expect(host().calls(id)).toEqual(["ADD", "DEL", "DEL", "DEL"]);
    });

    it("hostPort by portmap, limits by bandwidth on our host interface", async () => {
      const annotations = { "kubernetes.io/ingress-bandwidth": "10M", "kubernetes.io/egress-bandwidth": "20M" };
      const id = await sandbox("web", { annotations, ports: [{ containerPort: 80, hostPort: 18081 }] });
      const { hostInterface } = await host().pod("shop/web");
      expect(await host().exec("tc", "qdisc", "show", "dev", hostInterface)).toMatch(/tbf .* rate 10Mbit/);
      expect(await given().rack.fromOutside(`${host().ipv4}:18081`)).toBe(FROM_OUTSIDE.ipv4);
      expect(await given().rack.fromOutside(`[${host().ipv6}]:18081`)).toBe(FROM_OUTSIDE.ipv6);
      await cri().stop(id);
      expect(await host().exec("sh", "-c", "iptables-save; ip6tables-save; ip link")).not.toMatch(/18081|bwp/);
    });

    it("annotations of the pod choose pool, addresses and MAC", async () => {
      const id = await sandbox("chosen", {
        annotations: {
          "underlay.dev/addresses": "10.244.2.200,2001:db8:244:2::200",
          "underlay.dev/mac": "02:00:5e:10:00:01",
        },
      });
      const { addresses, netns } = await host().pod("shop/chosen");
      expect(addresses).toEqual(["10.244.2.200", "2001:db8:244:2::200"]);
      expect(await cri().status(id)).toEqual({ ready: true, addresses });
      expect(await host().exec("nsenter", `--net=${netns}`, "ip", "link", "show", "eth0")).toContain(
        "02:00:5e:10:00:01",
      );
      await sandbox("elsewhere", { annotations: { "underlay.dev/pool": "second" } });
      expect((await host().pod("shop/elsewhere")).addresses).toEqual([expect.stringMatching(/^10\.245\.2\./)]);
      const nowhere = sandbox("nowhere", { annotations: { "underlay.dev/pool": "third" } });
      await expect(nowhere).rejects.toThrow(/pool "third" is unknown; configured pools: default, second/);
    });

    it("a pod that comes again under its name finds its address where the pool keeps them", async () => {
      const annotations = { "underlay.dev/pool": "second" };
      const first = await sandbox("db-0", { annotations });
      const { addresses } = await host().pod("shop/db-0");
      await cri().stop(first);
      await cri().remove(first);
      await sandbox("db-1", { annotations });
      expect((await host().pod("shop/db-1")).addresses).not.toEqual(addresses);
      await sandbox("db-0", { annotations, uid: "another" });
      expect((await host().pod("shop/db-0")).addresses).toEqual(addresses);
    });

    it("many at once", async () => {
      const names = Array.from({ length: 8 }, (_, index) => `many${index}`);
      const ids = await Promise.all(names.map((name) => sandbox(name)));
      const pods = await host().pods();
      expect(pods.map(({ pod }) => pod).sort()).toEqual(names.map((name) => `shop/${name}`));
      expect(new Set(pods.flatMap(({ addresses }) => addresses)).size).toBe(16);
      await Promise.all(ids.map((id) => cri().stop(id)));
    });

    it("a daemon killed and started again keeps sandboxes, and goes on where it was", async () => {
      const before = await sandbox("before");
      const { addresses } = await host().pod("shop/before");
      await host().underlay.restart("SIGKILL");
      expect((await host().pod("shop/before")).addresses).toEqual(addresses);
      expect(await given().rack.fromOutside(addresses[0])).toBe(FROM_OUTSIDE.ipv4);
      const after = await sandbox("after");
      expect((await host().pod("shop/after")).addresses[0]).not.toBe(addresses[0]);
      for (const id of [before, after]) await cri().stop(id);
      await host().waitGone(addresses);
    });

    it("a daemon killed in the middle of many starts: what runs has its addresses, what failed has left none", async () => {
      const names = Array.from({ length: 8 }, (_, index) => `mid${index}`);
      const starts = names.map((name) => sandbox(name).catch((error: Error) => error));
      await waitFor(async () => (await host().pods()).length >= 2, "some of them to be attached", { interval: 2 });
      await host().underlay.restart("SIGKILL");
      const outcomes = await Promise.all(starts);
      const running = outcomes.filter((outcome) => typeof outcome === "string");
      for (const outcome of outcomes)
        if (outcome instanceof Error) expect(outcome.message).toMatch(/underlayd .*try again/);
      const attached = async () => (await host().pods()).map(({ containerId }) => containerId).sort();
      await expect.poll(attached, { timeout: 10_000, interval: 20 }).toEqual([...running].sort());
      for (const id of running) {
        const { addresses } = await host().pod(id);
        expect((await cri().status(id)).addresses).toEqual(addresses);
        expect(await given().rack.fromOutside(addresses[0])).toBe(FROM_OUTSIDE.ipv4);
      }
    });

    it("containerd killed and started again, and a sandbox that vanished meanwhile: both are released", async () => {
      const [kept, vanished] = await Promise.all([sandbox("kept"), sandbox("vanished")]);
      const before = await host().pod("shop/kept");
      const { netns, addresses } = await host().pod("shop/vanished");
      await given().containerd.crash();
      expect((await cri().status(kept)).addresses).toEqual(before.addresses);
      await host().exec("sh", "-ec", `kill -9 $(ip netns pids ${basename(netns)}); ip netns delete ${basename(netns)}`);
      await host().waitGone(addresses);
      for (const id of [kept, vanished]) await cri().stop(id);
      await host().waitGone(before.addresses);
      expect(host().calls(vanished)).toEqual(["ADD", "DEL"]);
    });

    it("stops sandboxes while the daemon is away, and starts none; the daemon catches up", async () => {
      const id = await sandbox("web");
      const { addresses } = await host().pod("shop/web");
      await host().withoutDaemon(async () => {
        await expect(sandbox("other")).rejects.toThrow(/underlayd is not running.*try again/);
        await cri().stop(id);
        await cri().remove(id);
        expect(spooled().length).toBeGreaterThan(0);
      });
      await host().waitGone(addresses);
      expect(spooled()).toEqual([]);
      await cri().stop(await sandbox("other"));
    });

    it("is not ready without our network configuration, and ready with it, as soon as it is there", async () => {
      const ready = (pattern: RegExp) =>
        waitFor(async () => pattern.test(await cri().networkReady()), String(pattern), {
          timeout: 5_000,
          interval: 20,
        });
      await host().ctl("cni", "uninstall");
      try {
        await ready(/not initialized/);
        await expect(sandbox("refused")).rejects.toThrow(/not initialized/);
      } finally {
        await host().install("--chain", "portmap,bandwidth");
      }
      await ready(/^ready$/);
      await cri().stop(await sandbox("web"));
    });
  });

  describe("ctr run --cni", () => {
    const cgroup = (name: string) => `/${host().node.cgroup}/${name}`;

    it("attached: a container without a pod's name, released at its end", async () => {
      const command = ["run", "--rm", "--cni", "--cgroup", cgroup("front"), POD_IMAGE, "front", "ip", "addr", "show"];
      const shown = await given().containerd.ctr(...command, "eth0");
      const [, ipv4] = /inet (\S+)\/32/.exec(shown)!;
      const [, ipv6] = /inet6 (\S+)\/128/.exec(shown)!;
      await host().waitGone([ipv4, ipv6]);
      expect(host().calls("default-front")).toEqual(["ADD", "DEL"]);
    });

    it("detached: no DEL ever comes, the daemon sees that the pod is gone", async () => {
      await given().containerd.ctr("run", "-d", "--cni", "--cgroup", cgroup("back"), POD_IMAGE, "back");
      const { addresses } = await host().pod("default-back");
      expect(await given().rack.fromOutside(addresses[0])).toBe(FROM_OUTSIDE.ipv4);
      await given().containerd.ctr("task", "kill", "-s", "KILL", "back");
      await host().waitGone(addresses);
      expect(host().calls("default-back")).toEqual(["ADD"]);
      await waitFor(
        () =>
          given()
            .containerd.ctr("container", "rm", "back")
            .then(() => true),
        "the task to end",
        {
          interval: 50,
        },
      );
    });
  });
}
