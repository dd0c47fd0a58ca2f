// Addresses from another plugin: host-local and static of the reference distribution, and one that knows GC and STATUS.
import { mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { CniHost } from "./support/cni-host.ts";

describe("CNI with addresses from another plugin", () => {
  const host = new CniHost();
  const bin = join(host.directory, "bin");
  const dataDir = join(host.directory, "host-local");
  const calls = join(host.directory, "calls");
  const env = { CNI_PATH: `/nonexistent:${bin}:/usr/lib/cni` };
  const hostLocal = {
    ipam: {
      type: "host-local",
      dataDir,
      ranges: [[{ subnet: "10.99.0.0/24" }], [{ subnet: "2001:db8:99::/64" }]],
      routes: [{ dst: "10.0.0.0/8" }, { dst: "::/0" }],
      resolvConf: "",
    },
  };
  const fixed = (...addresses: string[]) => ({
    ipam: {
      type: "static",
      addresses: addresses.map((address) => ({ address })),
      dns: { nameservers: ["192.0.2.53"] },
    },
  });
  /** What host-local has given out. */
  const allocated = () => {
    try {
      return readdirSync(join(dataDir, "net1")).filter((name) => /^[0-9a-f]+[.:]/.test(name));
    } catch {
      return [];
    }
  };

  beforeAll(async () => {
    mkdirSync(bin);
    symlinkSync(join(import.meta.dirname, "../../dist/underlay"), join(bin, "another-name"));
    // Knows every verb of 1.1.0, which the packaged ones do not.
    const script = `#!/bin/sh
printf '%s %s %s %s\\n' "$CNI_COMMAND" "$CNI_CONTAINERID" "$CNI_IFNAME" "$(cat)" >> ${calls}
case $CNI_COMMAND in
  ADD) echo '{"cniVersion":"1.1.0","ips":[{"address":"10.98.0.1/24"}]}' ;;
  STATUS) test ! -e ${calls}.down || { echo '{"code":51,"msg":"the address server is away"}'; exit 1; } ;;
  GC) test ! -e ${calls}.down || { echo '{"code":5,"msg":"no such file or directory"}'; exit 1; } ;;
  DEL) test ! -e ${calls}.down || { echo '{"code":11,"msg":"lease not found: no such file or directory"}'; exit 1; } ;;
esac
`;
    writeFileSync(join(bin, "recorder"), script, { mode: 0o755 });
    expect(await host.start()).toBe("ready");
  });
  afterEach(async () => {
    host.removePod("a");
    rmSync(calls, { force: true });
    await expect.poll(() => host.pods(), { interval: 10 }).toEqual([]);
    await expect.poll(allocated, { interval: 10 }).toEqual([]);
    await expect.poll(() => host.used(), { interval: 10 }).toEqual([0, 0]);
    expect(host.links()).toEqual([]);
  });
  afterAll(() => host.close());

  it("uses host-local's addresses and routes, and gives them back", async () => {
    host.addPod("a");
    const added = await host.call("ADD", { pod: "a", config: hostLocal, env });
    expect(added.code, added.stdout).toBe(0);
    const [v4, v6] = added.json.ips.map((ip: { address: string }) => ip.address.split("/")[0]);
    expect(added.json.ips[0]).toEqual({ interface: 1, address: `${v4}/32`, gateway: "169.254.1.1" });
    expect(added.json.routes).toEqual([
      { dst: "10.0.0.0/8", gw: "169.254.1.1" },
      { dst: "::/0", gw: "fe80::1" },
    ]);
    expect(allocated()).toHaveLength(2);
    for (const address of [v4, v6]) host.inHost(`ping -c1 -W1 ${address}`);
    for (const address of ["10.255.0.1", "2001:db8:ffff::1"]) host.inPod("a", `ping -c1 -W1 ${address}`);
    expect(host.inPod("a", "ip route show default")).toBe("");
    expect(await host.pods()).toMatchObject([{ pool: "", ipam: "host-local", unannounced: [v4, v6] }]);
    const prevResult = added.json;
    const check = () => host.call("CHECK", { pod: "a", config: { ...hostLocal, prevResult }, env });
    expect(await check()).toMatchObject({ code: 0, stdout: "" });
    host.inPod("a", "ip route del 10.0.0.0/8");
    expect((await check()).json).toMatchObject({ code: 105, msg: "the route to 10.0.0.0/8 through eth0 is missing" });

    expect((await host.call("ADD", { pod: "a", config: hostLocal, env })).json.code).toBe(104);
    expect(allocated()).toHaveLength(2);
    await host.stop("SIGKILL");
    expect(await host.start()).toBe("ready");
    for (const netns of [undefined, ""]) {
      const deleted = await host.call("DEL", { pod: "a", ...(netns === "" && { netns }), config: hostLocal, env });
      expect(deleted, deleted.stdout).toMatchObject({ code: 0, stdout: "" });
      expect(allocated()).toEqual([]);
    }
  });

  it("rolls the allocation back when the pod cannot be attached, and frees it when the pod vanishes", async () => {
    host.addPod("a");
    host.inPod("a", "ip link add eth0 type bridge");
    expect((await host.call("ADD", { pod: "a", config: hostLocal, env })).json.code).toBe(103);
    expect(allocated()).toEqual([]);
    host.inPod("a", "ip link del eth0");
    expect((await host.call("ADD", { pod: "a", config: hostLocal, env })).code).toBe(0);
    expect(allocated()).toHaveLength(2);
  });

  it("takes an address of its own block from that, and refuses one that is in use", async () => {
    host.addPod("a");
    const config = fixed("10.244.1.99/24", "2001:db8:99::1/64");
    const added = await host.call("ADD", { pod: "a", config, env });
    expect(added.json.routes.map(({ dst }: { dst: string }) => dst)).toEqual(["0.0.0.0/0", "::/0"]);
    expect(added.json.dns).toEqual({ nameservers: ["192.0.2.53"] });
    expect(await host.used()).toEqual([1, 0]);
    expect(await host.pods()).toMatchObject([{ ipam: "static", unannounced: ["2001:db8:99::1"] }]);
    const again = await host.call("ADD", { pod: "a", ifname: "net1", config, env });
    expect(again.json).toMatchObject({ code: 101, msg: expect.stringContaining("10.244.1.99") });
    expect((await host.call("DEL", { pod: "a", ifname: "net1", config, env })).code).toBe(0);
    expect(await host.used()).toEqual([1, 0]);
  });

  it("hands GC, STATUS and a DEL of nothing on, with errors under their own codes", async () => {
    const config = { ipam: { type: "recorder", more: { x: 1 } } };
    const call = (verb: string, extra: object = {}) =>
      host.call(verb, { version: "1.1.0", config: { ...config, ...extra }, env, ...(verb === "GC" && { id: "" }) });
    const said = () => readFileSync(calls, "utf8").trim().split("\n");
    expect((await call("DEL")).code).toBe(0);
    expect(said()).toEqual([expect.stringMatching(/^DEL c-none eth0 .*"more":\{"x":1\}/)]);
    host.addPod("a");
    expect((await host.call("ADD", { pod: "a", version: "1.1.0", config, env })).code).toBe(0);
    expect((await call("STATUS")).code).toBe(0);
    expect((await call("GC", { "cni.dev/valid-attachments": [{ containerID: "c-a", ifname: "eth0" }] })).code).toBe(0);
    expect(said().map((line) => line.split(" ")[0])).toEqual(["DEL", "ADD", "STATUS", "GC"]);
    expect((await host.pods())[0].addresses).toEqual(["10.98.0.1"]);
    writeFileSync(`${calls}.down`, "");
    expect((await call("STATUS")).json).toMatchObject({
      code: 51,
      msg: 'ipam plugin "recorder": the address server is away',
    });
    const failed = await host.call("DEL", { pod: "a", version: "1.1.0", config, env });
    expect(failed.json.code).toBe(11);
    expect(failed.stdout.toLowerCase()).not.toMatch(/no such file|not found/);
    expect((await call("GC", { "cni.dev/valid-attachments": [] })).code).toBe(1);
    rmSync(`${calls}.down`);
    expect((await call("GC", { "cni.dev/valid-attachments": [] })).code).toBe(0);
    expect(said().at(-2)).toMatch(/^DEL c-a eth0 /);
    expect(await host.pods()).toEqual([]);
  });

  it.each<[string, string, number, string]>([
    ["this plugin", "underlay", 7, "is this plugin itself"],
    ["this plugin under another name", "another-name", 7, "is underlay itself"],
    ["a path", "../bin/static", 7, "must be a name"],
    ["dhcp", "dhcp", 2, "not supported"],
    ["a plugin that is not there", "missing", 7, "CNI_PATH"],
  ])("refuses %s", async (_what, type, code, message) => {
    host.addPod("a");
    const config = { ipam: { type } };
    const added = await host.call("ADD", { pod: "a", config, env });
    expect(added.json).toMatchObject({ code, msg: expect.stringContaining(message) });
    const deleted = await host.call("DEL", { pod: "a", config, env });
    expect(deleted.stdout.toLowerCase()).not.toMatch(/no such file|not found/);
  });
});
