// The plugin as a runtime sees it: dist/underlay executed with CNI_* and a configuration on stdin, against the real
// server and the real kernel.
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { CniHost } from "./support/cni-host.ts";

const versions = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];

describe("CNI on one node", () => {
  const host = new CniHost();
  const podNames = new Set<string>();
  const pod = (name: string) => {
    podNames.add(name);
    return host.addPod(name);
  };

  beforeAll(async () => {
    expect(await host.start()).toBe("ready");
  });
  afterEach(async () => {
    for (const name of podNames) {
      for (const ifname of ["eth0", "net1"]) await host.call("DEL", { pod: name, ifname });
      host.removePod(name);
    }
    podNames.clear();
    expect(host.links()).toEqual([]);
    expect(await host.used()).toEqual([0, 0]);
    expect(host.inHost("ip route show table 7000 || true")).toBe("");
  });
  afterAll(() => host.close());

  it.each(versions)("ADD, CHECK and DEL in version %s", async (version) => {
    pod("a");
    const added = await host.call("ADD", { pod: "a", version });
    expect(added.code, added.stdout).toBe(0);
    expect(added.json.cniVersion).toBe(version);
    const old = version < "0.3.0";
    const [v4, v6] = old
      ? [added.json.ip4.ip, added.json.ip6.ip]
      : added.json.ips.map((ip: { address: string }) => ip.address);
    expect(v4).toMatch(/^10\.244\.1\.\d+\/32$/);
    expect(v6).toMatch(/^2001:db8:244:1::[0-9a-f]*\/128$/);
    if (!old) {
      expect(added.json.interfaces[1]).toMatchObject({ name: "eth0", sandbox: host.podPath("a") });
      expect(added.json.interfaces[0].sandbox).toBeUndefined();
      expect(added.json.ips[0].version).toBe(version < "1.0.0" ? "4" : undefined);
      expect("mtu" in added.json.interfaces[1]).toBe(version === "1.1.0");
    }
    const checked = await host.call("CHECK", { pod: "a", version, config: { prevResult: added.json } });
    expect(checked.code, checked.stdout).toBe(version < "0.4.0" ? 1 : 0);
    if (version < "0.4.0") expect(checked.json).toMatchObject({ code: 1, cniVersion: version });
    else expect(checked.stdout).toBe("");
    const deleted = await host.call("DEL", { pod: "a", version, config: { prevResult: added.json } });
    expect([deleted.code, deleted.stdout, deleted.stderr]).toEqual([0, "", ""]);
  });

  it("pods reach the host and each other in both families, at once", async () => {
    for (const name of ["a", "b"]) pod(name);
    const [a, b] = await Promise.all(["a", "b"].map((name) => host.call("ADD", { pod: name })));
    const address = (called: typeof a, i: number) => called.json.ips[i].address.split("/")[0];
    for (const target of [address(b, 0), address(b, 1), "10.255.0.1", "2001:db8:ffff::1"])
      host.inPod("a", `ping -c1 -W1 ${target}`);
    for (const target of [address(a, 0), address(a, 1)]) host.inHost(`ping -c1 -W1 ${target}`);
    host.inPod("b", "ping -c1 -W1 fe80::1%eth0");
    expect(host.inPod("a", "ip -6 addr show dev eth0 scope global")).not.toContain("tentative");
    expect(host.inPod("a", "ip neigh show 169.254.1.1")).toContain("PERMANENT");
  });

  it("sets what a host end needs, whatever the host's defaults are", async () => {
    pod("a");
    const defaults = (forwarding: number) =>
      host.inHost(
        `sysctl -qw net.ipv4.conf.default.forwarding=${forwarding} net.ipv6.conf.default.accept_ra=${2 - forwarding} net.ipv6.conf.default.disable_ipv6=${1 - forwarding}`,
      );
    defaults(0);
    try {
      expect((await host.call("ADD", { pod: "a" })).code).toBe(0);
    } finally {
      defaults(1);
    }
    const [name] = host.links();
    const keys = [
      "ipv4.conf.X.forwarding",
      "ipv6.conf.X.accept_ra",
      "ipv6.conf.X.addr_gen_mode",
      "ipv6.conf.X.disable_ipv6",
    ];
    expect(host.inHost(`sysctl -n ${keys.map((key) => `net.${key.replace("X", name)}`).join(" ")}`)).toBe(
      "1\n0\n1\n0\n",
    );
    // One queue in each direction, and packets at once: nothing is on its way to being set up.
    expect(host.inHost(`ip -d link show ${name}`)).toContain("numtxqueues 1 numrxqueues 1");
    expect(host.inHost(`ip link show ${name}`)).toContain("qdisc noqueue state UP");
    host.inPod("a", "ping -c1 -W1 10.255.0.1");
  });

  it("warms up among calls, and leaves nothing of it", async () => {
    pod("a");
    expect((await host.call("ADD", { pod: "a" })).code).toBe(0);
    const state = async () => {
      // The kernel is done with the link's IPv6 only when it has seen its carrier, which may be after the ADD.
      await expect
        .poll(() => host.inHost("ip -6 route show table local"), { interval: 10 })
        .toContain("anycast fe80::");
      return [host.inHost("ip addr"), host.inHost("ip route show table all"), host.inHost("ip neigh")];
    };
    const before = await state();
    const [warmedUp, deleted] = await Promise.all([host.get("/warm-up"), host.call("DEL", { pod: "a" })]);
    expect([warmedUp, deleted.code]).toEqual([null, 0]);
    expect((await host.call("ADD", { pod: "a" })).code).toBe(0);
    expect(await host.get("/warm-up")).toBe(null);
    expect([await host.used(), (await host.pods()).length, host.links().length]).toEqual([[1, 1], 1, 1]);
    const shape = (text: string) =>
      text.replace(/ul[0-9a-f]{13}|@if\d+|10\.244\.1\.\d+|2001:db8:244:1::[0-9a-f]*|^\d+:|[0-9a-f:]{17}/gm, "");
    const after = await state();
    expect(after.map(shape)).toEqual(before.map(shape));
  });

  it("refuses a second ADD and keeps the first", async () => {
    pod("a");
    const first = await host.call("ADD", { pod: "a" });
    const second = await host.call("ADD", { pod: "a" });
    expect(second).toMatchObject({ code: 1, json: { code: 104 } });
    expect((await host.call("CHECK", { pod: "a", config: { prevResult: first.json } })).code).toBe(0);
    expect(await host.used()).toEqual([1, 1]);
  });

  it("leaves a taken interface name alone and leaks nothing", async () => {
    pod("a");
    host.inPod("a", "ip link add eth0 type bridge");
    const added = await host.call("ADD", { pod: "a" });
    expect(added).toMatchObject({ code: 1, json: { code: 103 } });
    expect(await host.used()).toEqual([0, 0]);
    expect(host.links()).toEqual([]);
    expect(host.inPod("a", "ip -d link show eth0")).toContain("bridge");
    expect((await host.call("DEL", { pod: "a" })).code).toBe(0);
    expect(host.inPod("a", "ip -d link show eth0")).toContain("bridge");
  });

  it("attaches two interfaces of one pod at the same time", async () => {
    pod("a");
    const added = await Promise.all(["eth0", "net1"].map((ifname) => host.call("ADD", { pod: "a", ifname })));
    expect(added.map((called) => called.stdout + called.code).filter((text) => !text.endsWith("0"))).toEqual([]);
    host.inPod("a", "ping -c1 -W1 10.255.0.1");
  });

  it("unplugs a pod whose DEL names no namespace or a foreign one", async () => {
    for (const netns of ["", "/etc/hostname"]) {
      pod("a");
      expect((await host.call("ADD", { pod: "a" })).code).toBe(0);
      expect((await host.call("DEL", { id: "c-a", netns, args: "garbage" })).code).toBe(0);
      expect(await host.used()).toEqual([0, 0]);
      expect(() => host.inPod("a", "ip link show eth0")).toThrow();
      host.removePod("a");
    }
  });

  it("frees the addresses of a pod whose namespace vanishes", async () => {
    pod("a");
    await host.call("ADD", { pod: "a" });
    host.removePod("a");
    await expect.poll(() => host.used()).toEqual([0, 0]);
    expect(await host.pods()).toEqual([]);
  });

  it("gives the address, MAC and MTU that were asked for", async () => {
    pod("a");
    pod("b");
    const mac = "02:11:22:33:44:55";
    const args = `IgnoreUnknown=1;K8S_POD_NAME=p;K8S_POD_NAMESPACE=ns;IP=10.244.1.77;MAC=${mac}`;
    const added = await host.call("ADD", { pod: "a", args, config: { mtu: 1400 } });
    expect(added.json.ips[0].address).toBe("10.244.1.77/32");
    expect(added.json.interfaces[1].mac).toBe(mac);
    expect(host.inPod("a", "ip link show eth0")).toMatch(/mtu 1400[\s\S]*02:11:22:33:44:55/);
    expect((await host.pods())[0]).toMatchObject({ pod: "ns/p", network: "net1", containerId: "c-a", ifname: "eth0" });
    host.inHost("ping -c1 -W1 10.244.1.77");
    expect((await host.call("ADD", { pod: "b", args })).json.code).toBe(101);
    const ips = { runtimeConfig: { IPs: ["10.244.1.78", "2001:db8:244:1::78/64"] } };
    const both = await host.call("ADD", { pod: "b", config: ips, args });
    expect(both.json.ips.map((ip: { address: string }) => ip.address)).toEqual([
      "10.244.1.78/32",
      "2001:db8:244:1::78/128",
    ]);
  });

  it("finds damage with CHECK and says what", async () => {
    pod("a");
    const added = await host.call("ADD", { pod: "a", version: "1.1.0" });
    const check = () => host.call("CHECK", { pod: "a", version: "1.1.0", config: { prevResult: added.json } });
    host.inPod("a", "sh -c 'ip route show default | xargs ip route del'");
    expect((await check()).json).toMatchObject({ code: 105, msg: expect.stringContaining("default route") });
    host.inPod("a", "ip route add default via 169.254.1.1 dev eth0 onlink table 100");
    expect((await check()).code).toBe(0);
    host.inPod("a", "ip addr del 10.244.1.1/32 dev eth0 || true; true");
    host.inPod("a", "ip -4 addr flush dev eth0");
    expect((await check()).json.msg).toContain("is missing on eth0");
    expect((await host.call("CHECK", { pod: "a" })).json.code).toBe(7);
    expect(
      (await host.call("CHECK", { id: "other", netns: host.podPath("a"), config: { prevResult: added.json } })).json
        .code,
    ).toBe(3);
  });

  it("gives an IPv6 address to a pod in which IPv6 is switched off", async () => {
    pod("a");
    host.inPod("a", "sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1");
    const added = await host.call("ADD", { pod: "a" });
    expect(added.code, added.stdout).toBe(0);
    host.inPod("a", "ping -c1 -W1 2001:db8:ffff::1");
  });

  it("collects garbage by the list, and nothing without one", async () => {
    for (const name of ["a", "b"]) {
      pod(name);
      await host.call("ADD", { pod: name });
    }
    const gc = (config: object) => host.call("GC", { version: "1.1.0", config, id: "" });
    expect((await gc({})).code).toBe(0);
    expect(await host.used()).toEqual([2, 2]);
    await gc({ "cni.dev/valid-attachments": [{ containerID: "c-a", ifname: "eth0" }] });
    expect((await host.pods()).map((view) => view.containerId)).toEqual(["c-a"]);
    await gc({ "cni.dev/attachments": null });
    expect(await host.used()).toEqual([0, 0]);
    expect((await host.call("STATUS", { version: "1.1.0" })).code).toBe(0);
    expect((await gc({ cniVersion: "1.0.0" })).json.code).toBe(1);
  });

  it("serves 50 ADDs and DELs at once", async () => {
    const names = Array.from({ length: 50 }, (_, i) => `p${i}`);
    for (const name of names) pod(name);
    const added = await Promise.all(names.map((name) => host.call("ADD", { pod: name })));
    expect(added.filter((called) => called.code !== 0).map((called) => called.stdout)).toEqual([]);
    const addresses = added.flatMap((called) => called.json.ips.map((ip: { address: string }) => ip.address));
    expect(new Set(addresses).size).toBe(100);
    host.inPod("p49", "ping -c1 -W1 10.255.0.1");
    const deleted = await Promise.all(names.map((name) => host.call("DEL", { pod: name })));
    expect(deleted.filter((called) => called.code !== 0).map((called) => called.stdout)).toEqual([]);
  });
});
