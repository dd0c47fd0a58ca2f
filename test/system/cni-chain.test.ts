// Chained with the plugins of the reference distribution, through a client that behaves as libcni does.
//
// Faults of containernetworking-plugins 1.1.1 that the tests go around: portmap's CHECK looks for IPv4 rules in ip6tables,
// sbr's DEL fails when the interface is gone already.
import { spawn } from "node:child_process";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { CniHost } from "./support/cni-host.ts";
import { type Generation, Libcni, type NetworkList, type RuntimeConf } from "./support/libcni.ts";

const bandwidth = { type: "bandwidth", capabilities: { bandwidth: true } };
const portmap = { type: "portmap", capabilities: { portMappings: true }, snat: true };
const firewall = { type: "firewall" };
const sbr = { type: "sbr" };

/** As containerd sends it: the names of Go's fields. */
const capabilityArgs = {
  bandwidth: { IngressRate: 8_000_000, IngressBurst: 8_000_000, EgressRate: 0, EgressBurst: 0 },
  portMappings: [{ HostPort: 8080, ContainerPort: 80, Protocol: "tcp", HostIP: "" }],
};

const byte = (value: number) => (value & 255).toString(16).padStart(2, "0");

describe("CNI in a chain", () => {
  const host = new CniHost();
  const bin = join(host.directory, "bin");
  const tuning = {
    type: "tuning",
    dataDir: join(host.directory, "tuning"),
    sysctl: { "net.core.somaxconn": "500" },
    mtu: 1400,
  };
  const client = (generation: Generation) =>
    new Libcni({
      generation,
      path: [bin, "/usr/lib/cni"],
      cacheDir: join(host.directory, "cache"),
      netns: `/var/run/netns/${host.name}`,
    });
  const [older, newer] = [client("1.1"), client("1.3")];

  beforeAll(async () => {
    host.pools = [...host.pools, { name: "edge", blocks: ["10.244.9.0/28"], exclude: [], table: 7100 }];
    mkdirSync(bin);
    symlinkSync(join(import.meta.dirname, "../../dist/underlay"), join(bin, "underlay"));
    expect(await host.start()).toBe("ready");
  });
  afterEach(async () => {
    host.removePod("a");
    await expect.poll(() => host.used(), { interval: 10 }).toEqual([0, 0, 0]);
    expect(host.links()).toEqual([]);
  });
  afterAll(() => host.close());

  const ours = (extra: object = {}) => ({ type: "underlay", pool: "default", socket: host.socket, ...extra });
  const conflist = (plugins: object[], extra: object = {}) =>
    JSON.stringify({ cniVersion: "1.0.0", name: "chain", ...extra, plugins });
  const pod = (extra: Partial<RuntimeConf> = {}): RuntimeConf => ({
    containerId: "c1",
    netns: host.addPod("a"),
    ifname: "eth0",
    args: [["IgnoreUnknown", "1"]],
    ...extra,
  });
  const without = (list: NetworkList, ...types: string[]): NetworkList => ({
    ...list,
    plugins: list.plugins.filter((plugin) => !types.includes(plugin.type)),
  });

  it("works with bandwidth, portmap, tuning, firewall and sbr behind it", async () => {
    const list = older.parse(conflist([ours(), bandwidth, portmap, tuning, firewall, sbr]));
    const conf = pod({ capabilityArgs });
    await older.validate(list);
    const result = await older.add(list, conf);
    const [hostEnd] = result.interfaces;
    const [v4, v6] = result.ips.map((ip: { address: string }) => ip.address.split("/")[0]);
    expect(host.inHost(`tc qdisc show dev ${hostEnd.name}`)).toContain("tbf");
    expect(host.inHost("iptables -t nat -S")).toContain(`--to-destination ${v4}:80`);
    expect(host.inHost("iptables -S")).toContain(`-d ${v4}/32`);
    expect(host.inPod("a", "sysctl -n net.core.somaxconn")).toBe("500\n");
    expect(host.inPod("a", "ip link show eth0")).toContain("mtu 1400");
    expect(host.inPod("a", "ip route show default")).toBe("");
    for (const address of [v4, v6]) host.inHost(`ping -c1 -W1 ${address}`);
    host.inPod("a", `ping -c1 -W1 -I ${v4} 10.255.0.1`);
    host.inPod("a", `ping -c1 -W1 -I ${v6} 2001:db8:ffff::1`);
    await older.check(without(list, "portmap"), conf);
    await older.del(list, conf);
    expect(await host.used()).toEqual([0, 0, 0]);
    expect(host.inHost("iptables -t nat -S")).not.toContain(v4);
    expect(older.cached(list, conf)).toBeUndefined();
    await older.del(without(list, "sbr"), conf);
    await older.del(without(list, "sbr"), { ...conf, netns: "" });
  });

  it.each(["0.3.0", "0.3.1", "0.4.0", "1.0.0"])("works in version %s", async (cniVersion) => {
    const list = newer.parse(conflist([ours(), tuning, bandwidth], { cniVersion }));
    const conf = pod({ capabilityArgs });
    const result = await newer.add(list, conf);
    expect(result.interfaces.slice(0, 2)).toEqual([
      { name: expect.stringMatching(/^ul/), mac: "ee:ee:ee:ee:ee:ee" },
      { name: "eth0", mac: expect.any(String), sandbox: conf.netns },
    ]);
    expect(result.ips.map((ip: { interface: number }) => ip.interface)).toEqual([1, 1]);
    if (cniVersion >= "0.4.0") await newer.check(list, conf);
    // Older than GC and STATUS: the library asks nobody, and does with DEL what a GC would.
    await newer.status(list);
    await newer.gc(list, []);
    expect(newer.cached(list, conf) ?? null).toEqual(cniVersion < "0.4.0" ? expect.anything() : null);
    await newer.del(list, conf);
  });

  it("adds to the result of a plugin before it", async () => {
    const before = { type: "static", ipam: { type: "static", addresses: [{ address: "192.0.2.7/24" }] } };
    const list = newer.parse(conflist([before, ours(), tuning]));
    const conf = pod();
    const result = await newer.add(list, conf);
    expect(result.ips[0]).toEqual({ address: "192.0.2.7/24" });
    expect(result.ips.slice(1).map((ip: { interface: number }) => ip.interface)).toEqual([1, 1]);
    await newer.check(without(list, "static"), conf);
    await newer.del(list, conf);
  });

  it.each([
    ["another", "02:00:00:00:aa:01", "02:00:00:00:aa:02"],
    ["the same", "02:00:00:00:aa:01", "02:00:00:00:aa:01"],
  ])("follows a plugin that sets %s MAC, at once and after a restart", async (_what, first, second) => {
    const list = older.parse(conflist([ours({ capabilities: { mac: true } }), { ...tuning, mac: second }]));
    const conf = pod({ capabilityArgs: { mac: first } });
    const result = await older.add(list, conf);
    expect(result.interfaces[1].mac).toBe(second);
    const [v4, v6] = result.ips.map((ip: { address: string }) => ip.address.split("/")[0]);
    // A packet within the millisecond that the daemon takes to hear of it may be lost.
    const bothWays = () => {
      for (const address of [v4, v6]) host.inHost(`ping -c3 -i0.02 -W1 ${address}`);
      for (const address of ["10.255.0.1", "2001:db8:ffff::1"]) host.inPod("a", `ping -c3 -i0.02 -W1 ${address}`);
    };
    bothWays();
    await older.check(list, conf);
    for (const mac of ["02:00:00:00:aa:03", "02:00:00:00:aa:04", second])
      host.inPod("a", `ip link set eth0 address ${mac}`);
    bothWays();
    await older.check(list, conf);
    await host.stop();
    host.inPod("a", "ip link set eth0 address 02:00:00:00:aa:05");
    expect(await host.start()).toBe("ready");
    await expect.poll(() => host.inPod("a", "ip neigh show 169.254.1.1"), { interval: 10 }).toContain("PERMANENT");
    bothWays();
    await expect(older.check(list, conf)).rejects.toThrow("02:00:00:00:aa:05 instead of");
    // Down, the kernel drops routes and neighbour entries; who does that in a pod brings its own routes back.
    const routes = ["ip route add 169.254.1.1 dev eth0", "ip route add default via 169.254.1.1"];
    host.inPod("a", `sh -ec '${["ip link set eth0 down", "ip link set eth0 up", ...routes].join("; ")}'`);
    host.inPod("a", "ping -c3 -i0.02 -W1 10.255.0.1");
    await older.del(list, conf);
  });

  it("keeps serving others while a pod sets its MAC without end, and has the last one", async () => {
    const list = older.parse(conflist([ours()]));
    const conf = pod();
    const result = await older.add(list, conf);
    const netns = host.addPod("b");
    const lines = Array.from(
      { length: 3000 },
      (_, i) => `link set eth0 address 02:00:00:01:${byte(i >> 8)}:${byte(i)}`,
    );
    writeFileSync(join(host.directory, "batch"), lines.join("\n"));
    const batch = spawn("ip", ["-n", `${host.name}-a`, "-batch", join(host.directory, "batch")]);
    const ended = new Promise((resolve) => batch.once("exit", resolve));
    for (let i = 0; i < 5; i++) {
      const other = { ...conf, containerId: `b${i}`, netns };
      await older.add(list, other);
      await older.check(list, other);
      await older.del(list, other);
    }
    expect(await ended).toBe(0);
    const v4 = result.ips[0].address.split("/")[0];
    await expect
      .poll(() => host.inHost(`ip neigh show ${v4}`), { interval: 20, timeout: 5000 })
      .toContain(lines[2999].slice(-17));
    host.inPod("a", "ping -c1 -W1 10.255.0.1");
    host.removePod("b");
    await older.del(list, conf);
  });

  it("takes pool, addresses and MAC from the pod's annotations", async () => {
    const name = "io.kubernetes.cri.pod-annotations";
    const list = older.parse(conflist([ours({ capabilities: { [name]: true, dns: true } }), bandwidth]));
    const annotations = {
      "underlay.dev/pool": "edge",
      "underlay.dev/addresses": "10.244.9.7",
      "Underlay.dev/MAC": "02:00:00:00:09:07",
      "other.example/x": "y",
    };
    const dns = { Servers: ["10.0.0.53"], Searches: null, Options: [] };
    const conf = pod({ capabilityArgs: { ...capabilityArgs, [name]: annotations, dns } });
    const result = await older.add(list, conf);
    expect(result.ips).toEqual([{ interface: 1, address: "10.244.9.7/32", gateway: "169.254.1.1" }]);
    expect(result.interfaces[1].mac).toBe("02:00:00:00:09:07");
    expect(result.dns).toEqual({ nameservers: ["10.0.0.53"] });
    expect((await host.pods())[0].pool).toBe("edge");
    // Without the capability it is not asked for: what ADD has chosen stays.
    await older.check(older.parse(conflist([ours()])), conf);
    await older.del(list, conf);
  });

  it("is asked for its status and its garbage is collected", async () => {
    const list = newer.parse(conflist([ours()], { cniVersions: ["0.4.0", "1.1.0", "9.0.0"] }));
    expect(list.cniVersion).toBe("1.1.0");
    await newer.status(list);
    const conf = pod();
    expect((await newer.add(list, conf)).interfaces[1]).toMatchObject({ name: "eth0", mtu: 1500 });
    await newer.check(list, conf);
    await newer.gc(list, [{ containerID: "c1", ifname: "eth0" }]);
    expect(await host.used()).toEqual([1, 1, 0]);
    await newer.gc(list, null);
    expect(await host.used()).toEqual([0, 0, 0]);
    expect(newer.calls.slice(-2).map(({ verb }) => verb)).toEqual(["DEL", "GC"]);
    await newer.del(list, conf);
  });

  it("older libraries refuse 1.1.0 after the fact, and their DEL gives the address back", async () => {
    const list = older.parse(conflist([ours()], { cniVersion: "1.1.0" }));
    const conf = pod();
    await expect(older.add(list, conf)).rejects.toThrow('unsupported CNI result version "1.1.0"');
    expect(await host.used()).toEqual([1, 1, 0]);
    await older.del(list, conf);
    expect(await host.used()).toEqual([0, 0, 0]);
    expect(older.parse(conflist([ours()], { cniVersions: ["1.1.0"] })).cniVersion).toBe("1.0.0");
  });
});
