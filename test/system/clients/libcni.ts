// libcni itself on host1: the Go library of Debian with our network configuration in every version that it knows; and
// what only later libraries have, GC and STATUS, by the client of the tests against the same daemon.
import { writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { distFile } from "../../../net/dist.ts";
import { type ClientRack, FROM_OUTSIDE } from "../support/clients/client-rack.ts";
import type { LibcniRuntime } from "../support/clients/libcni-runtime.ts";
import { Libcni } from "../support/libcni.ts";

export function libcniTests(given: () => { readonly rack: ClientRack; readonly libcni: LibcniRuntime }): void {
  const host = () => given().rack.hosts[0];
  const shipped = async (name: string) => JSON.parse(await host().exec("cat", `/etc/cni/net.d/10-${name}.conflist`));

  /** Our list in another version; portmap behind us where it speaks it. */
  async function listOf(version: string): Promise<string> {
    const { cniVersions, disableCheck, plugins, ...list } = await shipped("underlay");
    const path = join(host().node.directory, `${version}.conflist`);
    const chain = plugins.slice(0, version < "0.3" || version > "1.0.0" ? 1 : 2);
    writeFileSync(path, JSON.stringify({ ...list, name: `net-${version}`, cniVersion: version, plugins: chain }));
    return path;
  }

  const versions = ["0.2.0", "0.3.1", "0.4.0", "1.0.0"];

  describe("libcni", () => {
    afterEach(async () => {
      await given().libcni.removeNamespaces();
      expect(await host().pods()).toEqual([]);
    });

    it.each(versions)("a list of %s: valid, ADD, CHECK, DEL, DEL again", async (version) => {
      const { libcni, rack } = given();
      const list = await listOf(version);
      const wanted = `10.244.1.9${versions.indexOf(version)}`;
      const attach = {
        netns: await libcni.namespace(`v${version}`),
        id: `v${version}`,
        args: "IgnoreUnknown=1;K8S_POD_NAMESPACE=ns;K8S_POD_NAME=go;COLOUR=blue",
        capabilities: { ips: [wanted], portMappings: [] },
      };
      expect((await libcni.call("validate", list)).split(/\s/)).toContain("ips");
      const result = JSON.parse(await libcni.call("add", list, attach));
      expect(result.cniVersion).toBe(version);
      const [ipv4] = version === "0.2.0" ? [result.ip4.ip] : result.ips.map((ip: { address: string }) => ip.address);
      expect(ipv4).toBe(`${wanted}/32`);
      expect(await host().pod("ns/go")).toMatchObject({ containerId: attach.id, network: `net-${version}` });
      const ping = ["ip", "netns", "exec", `v${version}`, "ping", "-c", "1", "-W", "1", FROM_OUTSIDE.address];
      expect(await host().exec(...(ping as [string, ...string[]]))).toContain(" 0% packet loss");
      if (version >= "0.4") await libcni.call("check", list, attach);
      await expect(libcni.call("add", list, attach)).rejects.toThrow("already attached");
      await libcni.call("del", list, attach);
      await libcni.call("del", list, attach);
      await libcni.call("del", list, { ...attach, netns: "" });
      await host().waitGone([ipv4.split("/")[0]]);
      expect(host().calls(attach.id)).toEqual([
        "ADD",
        ...(version >= "0.4" ? ["CHECK"] : []),
        "ADD!",
        ...["DEL", "DEL", "DEL"],
      ]);
      expect(rack.hosts[0].underlay.log).not.toContain("internal error");
    });

    it("the list as it is shipped is read as 1.0.0; one of 1.1.0 is refused by the library, and DEL undoes it", async () => {
      const { libcni } = given();
      const attach = { netns: await libcni.namespace("shipped"), id: "shipped" };
      const list = "/etc/cni/net.d/10-underlay.conflist";
      expect(JSON.parse(await libcni.call("add", list, attach)).cniVersion).toBe("1.0.0");
      expect((await shipped("underlay")).cniVersions.at(-1)).toBe("1.0.0");
      await libcni.call("check", list, attach);
      await libcni.call("del", list, attach);
      const newest = await listOf("1.1.0");
      await expect(libcni.call("validate", newest)).resolves.toContain("ips");
      await expect(libcni.call("add", newest, attach)).rejects.toThrow('unsupported CNI result version "1.1.0"');
      await libcni.call("del", newest, attach);
      expect(await host().pods()).toEqual([]);
    });

    it("a later library: STATUS of the daemon, and GC of what its runtime has lost", async () => {
      const { libcni } = given();
      const later = new Libcni({
        generation: "1.3",
        path: [dirname(distFile("underlay")), "/usr/lib/cni"],
        cacheDir: join(host().node.directory, "cache"),
        enter: host().node.namespaces,
      });
      // Without the reference plugins of this Debian, which know neither 1.1.0 nor its verbs.
      await host().install("--network", "alone", "--pool", "default");
      const list = later.parse(JSON.stringify(await shipped("alone")));
      expect(list.cniVersion).toBe("1.1.0");
      await later.status(list);
      const confs = [];
      for (const containerId of ["kept", "lost"])
        confs.push({ containerId, netns: await libcni.namespace(containerId), ifname: "eth0" });
      for (const conf of confs) await later.add(list, conf);
      const { addresses } = await host().pod("lost");
      await later.gc(list, [{ containerID: "kept", ifname: "eth0" }]);
      await host().waitGone(addresses);
      expect((await host().pods()).map(({ containerId }) => containerId)).toEqual(["kept"]);
      await later.del(list, confs[0]);
    });
  });
}
