// The kernel contract: rules, tables, blackholes, next-hop groups, pods, adoption and removal, seen through `ip -j`.
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { parseAddress } from "../../net/address.ts";
import { METRIC } from "../../routing/ownership.ts";
import { batch, eventually, member, Namespace, options, owned } from "./routing-namespace.ts";

let ns: Namespace;
let up0: number;
let up1: number;
beforeEach(() => {
  ns = new Namespace();
  up0 = ns.ifindex("up0");
  up1 = ns.ifindex("up1");
});
afterEach(() => ns.remove());

const both = () => [member(`192.0.0.2%${up0}`), member(`192.0.1.2%${up1}`)];
/** `ip route show`, with gateways looked up by nexthop id: with nexthop_compat_mode=0 the kernel shows the id only. */
const routes = (table: number, family = 4) => {
  const objects = new Map(
    ns.json<{ id: number; gateway?: string; group?: { id: number }[] }>("nexthop").map((object) => [object.id, object]),
  );
  return ns
    .run(`ip -${family} route show table ${table}`)
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      const [, type, dst, rest] = /^(blackhole |unreachable |)(\S+)(.*)$/.exec(line)!;
      const members = objects.get(Number(/ nhid (\d+)/.exec(rest)?.[1]))?.group ?? [];
      return {
        dst,
        type: type.trim() || "unicast",
        protocol: / proto (\S+)/.exec(rest)?.[1],
        via: members.map(({ id }) => objects.get(id)?.gateway),
      };
    });
};
const all = () => ns.run("ip rule; ip -6 rule; ip route show table all; ip -6 route show table all; ip nexthop");

describe("owned state", () => {
  it("appears with our protocol, changes as a diff, and leaves no trace", async () => {
    const before = all();
    const fib = ns.client();
    await fib.start();
    await fib.setOwned(owned);
    expect(ns.rules()).toEqual([
      "1000: from all lookup 7000",
      "1005: from 10.244.1.0/26 lookup main suppress_prefixlength 1",
      "1010: from 10.244.1.0/26 lookup 7100",
    ]);
    expect(ns.rules(6)).toEqual([
      "1000: from all lookup 7000",
      "1005: from 2001:db8:244:1::/122 lookup main suppress_prefixlength 4",
      "1010: from 2001:db8:244:1::/122 lookup 7100",
    ]);
    expect(routes(7000)).toEqual([{ dst: "10.244.1.0/26", type: "blackhole", protocol: "201", via: [] }]);
    expect(routes(7000, 6)).toEqual([{ dst: "2001:db8:244:1::/122", type: "blackhole", protocol: "201", via: [] }]);

    const monitor = spawn("ip", ["netns", "exec", ns.name, "ip", "monitor", "rule", "route"]);
    let seen = "";
    monitor.stdout.on("data", (data) => {
      seen += data;
    });
    await eventually(() => expect(monitor.pid).toBeDefined());
    await new Promise((resolve) => setTimeout(resolve, 200));
    await fib.setOwned({
      blocks: [owned.blocks[0], { prefix: "10.244.9.0/24", table: 7200 }],
      tables: [...owned.tables, { name: "storage", id: 7200, host: true, fallback: "unreachable", hostRoutes: "last" }],
    });
    await eventually(() => expect(seen).toContain("Deleted blackhole 2001:db8:244:1::/122"));
    monitor.kill();
    expect(seen).not.toContain("10.244.1.0");
    expect(ns.rules()).toEqual([
      "1000: from all lookup 7000",
      "1005: from 10.244.1.0/26 lookup main suppress_prefixlength 1",
      "1005: from 10.244.9.0/24 to 192.0.0.0/24 lookup main suppress_prefixlength 1",
      "1005: from 10.244.9.0/24 to 192.0.1.0/24 lookup main suppress_prefixlength 1",
      "1010: from 10.244.1.0/26 lookup 7100",
      "1010: from 10.244.9.0/24 lookup 7200",
      "1011: from 10.244.9.0/24 unreachable",
      "1089: from all to 192.0.0.0/24 lookup main suppress_prefixlength 1",
      "1089: from all to 192.0.1.0/24 lookup main suppress_prefixlength 1",
      "1090: from all lookup 7200",
    ]);
    expect(ns.rules(6)).toEqual([
      "1000: from all lookup 7000",
      "1089: from all to fe80::/10 lookup main suppress_prefixlength 4",
      "1089: from all to 2001:db8::/64 lookup main suppress_prefixlength 4",
      "1089: from all to 2001:db8:1::/64 lookup main suppress_prefixlength 4",
      "1090: from all lookup 7200",
    ]);
    expect(routes(7000, 6)).toEqual([]);

    // Networks that come and go take their rules with them.
    ns.run("ip addr add 198.51.100.1/25 dev up1; ip addr del 192.0.0.1/24 dev up0; ip addr add 192.0.1.65/26 dev up1");
    await eventually(() =>
      expect(ns.rules().filter((rule) => rule.startsWith("1089"))).toEqual([
        "1089: from all to 192.0.1.0/24 lookup main suppress_prefixlength 1",
        "1089: from all to 198.51.100.0/25 lookup main suppress_prefixlength 1",
      ]),
    );
    ns.run("ip addr del 198.51.100.1/25 dev up1; ip addr add 192.0.0.1/24 dev up0; ip addr del 192.0.1.65/26 dev up1");

    await fib.stop("remove");
    expect(all()).toBe(before);
  });

  it("names a default route in main that the kernel does not get past", async () => {
    ns.run(
      "ip route add blackhole 10.0.0.0/8; ip route add unreachable default metric 9000;" +
        "ip -6 route add prohibit 2000::/3 metric 700; ip -6 route add unreachable 2001:db8:5::/48",
    );
    const fib = ns.client({ sysctls: false });
    await fib.start();
    const dead = async () =>
      (await fib.status()).hazards.filter(({ kind }) => kind === "defaultEndsLookup").map(({ subject }) => subject);
    await fib.setOwned(owned);
    expect(await dead()).toEqual(["IPv4 unreachable 0.0.0.0/0 metric 9000", "IPv6 prohibit 2000::/3 metric 700"]);
    // It is so: a learned default route is not used, one more specific than main's neither.
    fib.setNextHopSet(1, both());
    fib.apply(batch(7100, { "0.0.0.0/0": 1 }));
    await fib.flush();
    ns.run("ip addr add 10.244.1.1/32 dev lo");
    expect(() => ns.run("ip route get 203.0.113.1 from 10.244.1.1")).toThrow("No route to host");
    await fib.setOwned({ ...owned, tables: [{ ...owned.tables[0], hostRoutes: "last" }] });
    expect(await dead()).toEqual([]);
    expect(ns.run("ip route get 203.0.113.1 from 10.244.1.1")).toContain("table 7100");
  });

  it("sets what forwarding depends on", async () => {
    ns.run("echo 0 > /proc/sys/net/ipv4/ip_forward; echo 0 > /proc/sys/net/ipv6/conf/all/forwarding");
    await ns.client().start();
    expect(ns.run("cat /proc/sys/net/ipv6/conf/up0/accept_ra /proc/sys/net/ipv6/conf/all/forwarding")).toBe("2\n1\n");
    expect(ns.run("cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/nexthop_compat_mode")).toBe("1\n0\n");
  });

  it("never touches what looks the same but is somebody else's", async () => {
    ns.run(
      "ip rule add pref 1000 table 7000; ip rule add pref 1010 from 10.244.1.0/26 table 7100 proto 99;" +
        "ip route add blackhole 10.244.1.0/26 table 7000 proto 99; ip route add 10.9.0.0/16 dev up0 table 7100 proto 99;" +
        "ip route add 10.8.0.0/16 dev up0 table 7100 proto 99 metric 201; ip nexthop add id 20100000 via 192.0.0.9 dev up0;" +
        "ip route add blackhole 10.7.0.0/16 table 7100 proto 99 metric 201",
    );
    const before = all();
    const fib = ns.client();
    await fib.start();
    await fib.setOwned(owned);
    fib.setNextHopSet(1, both());
    fib.apply(batch(7100, { "10.9.0.0/16": 1, "10.8.0.0/16": 1, "10.7.0.0/16": 1 }));
    await fib.flush();
    const status = await fib.status();
    expect(status.failed.map(({ prefix }) => prefix).sort()).toEqual(["10.7.0.0/16", "10.8.0.0/16"]);
    expect(status.failed[0].error).toContain("EEXIST: a route of another program");
    expect(status.installed).toBe(1);
    await fib.setOwned({ blocks: [], tables: [] });
    fib.apply(batch(7100, { "10.9.0.0/16": 0, "10.8.0.0/16": 0, "10.7.0.0/16": 0 }));
    await fib.flush();
    expect((await fib.status()).failed).toEqual([]);
    await fib.stop("remove");
    expect(all()).toBe(before);
  });
});

describe("learned routes", () => {
  it("use a group per set; replacing a set is one message however many routes use it", async () => {
    const fib = ns.client();
    await fib.start();
    fib.setNextHopSet(1, both());
    fib.setNextHopSet(2, [member(`2001:db8:0::2%${up0}*3`), member(`fe80::2%${up1}`)]);
    fib.apply(batch(7100, { "0.0.0.0/0": 1, "10.1.0.0/16": 1, "10.2.0.0/16": 2 }));
    fib.apply(batch(7100, { "::/0": 2, "2001:db8:77::/48": 2 }));
    await fib.flush();
    expect(routes(7100).map(({ dst, via }) => [dst, via])).toEqual([
      ["default", ["192.0.0.2", "192.0.1.2"]],
      ["10.1.0.0/16", ["192.0.0.2", "192.0.1.2"]],
      ["10.2.0.0/16", ["2001:db8::2", "fe80::2"]],
    ]);
    expect(ns.run("ip nexthop")).toMatch(/group \d+,3\/\d+ proto 201/);
    expect(
      routes(7100, 6)
        .map(({ dst }) => dst)
        .sort(),
    ).toEqual(["2001:db8:77::/48", "default"]);

    const objects = ns.run("ip nexthop");
    expect(
      objects
        .split("\n")
        .filter((line) => line !== "")
        .every((line) => line.includes("proto 201")),
    ).toBe(true);
    fib.setNextHopSet(1, [member(`192.0.1.2%${up1}`)]);
    await fib.flush();
    expect(routes(7100)[0].via).toEqual(["192.0.1.2"]);
    expect(await fib.status()).toMatchObject({ desired: 5, installed: 5, nextHopSets: 2, failed: [] });
    expect((await fib.routes(7100)).find((route) => route.prefix === "10.1.0.0/16")).toEqual({
      prefix: "10.1.0.0/16",
      table: 7100,
      type: "unicast",
      nextHops: [{ gateway: "192.0.1.2", interface: "up1", weight: 1 }],
    });

    expect(await fib.routes(7999)).toEqual([]);

    fib.apply(batch(7100, { "0.0.0.0/0": 0, "10.1.0.0/16": 2, "10.2.0.0/16": 0 }));
    fib.removeNextHopSet(1);
    await fib.flush();
    expect(routes(7100).map(({ dst }) => dst)).toEqual(["10.1.0.0/16"]);
    expect(ns.run("ip nexthop")).not.toContain("192.0.0.2");
  });

  it("come back after the loss of a link, of its carrier, and of everything", async () => {
    const fib = ns.client();
    await fib.start();
    await fib.setOwned(owned);
    fib.setNextHopSet(1, both());
    fib.setNextHopSet(2, [member(`192.0.0.2%${up0}`)]);
    fib.apply(batch(7100, { "10.1.0.0/16": 1, "10.2.0.0/16": 2 }));
    await fib.flush();
    const full = ns.run("ip route show table 7100; ip nexthop");
    for (const [down, up] of [
      ["ip link set up0 down", "ip link set up0 up"],
      ["ip link set far0 down", "ip link set far0 up"],
    ]) {
      ns.run(down);
      await eventually(() => {
        expect(routes(7100).map(({ dst, via }) => [dst, via])).toEqual([["10.1.0.0/16", ["192.0.1.2"]]]);
      });
      await eventually(() => expect(fib.links().find((link) => link.name === "up0")?.up).toBe(false));
      ns.run(up);
      await eventually(() => expect(ns.run("ip route show table 7100; ip nexthop")).toBe(full));
    }
    ns.run("ip link set up0 down; ip link set up1 down");
    await eventually(() => expect(routes(7100)).toEqual([]));
    ns.run("ip link set up1 up; ip link set up0 up");
    await eventually(() => expect(ns.run("ip route show table 7100; ip nexthop")).toBe(full));
    expect(ns.events.some(({ message }) => message === "up0 is down")).toBe(true);
    // A link that goes while its next hop is being written is the one thing that may be said.
    const errors = ns.events.filter(({ kind }) => kind === "error").map(({ message }) => message);
    expect(errors.filter((message) => !message.includes("ENETDOWN"))).toEqual([]);
  });

  it("that the kernel refuses are listed with its words, and tried again", async () => {
    const fib = ns.client();
    await fib.start();
    fib.setNextHopSet(1, [member(`192.0.0.2%${up0}`)]);
    // An IPv6 route cannot use an IPv4 next hop.
    fib.apply(batch(7100, { "2001:db8:1::/48": 1 }));
    await fib.flush();
    expect((await fib.status()).failed).toEqual([
      { prefix: "2001:db8:1::/48", table: 7100, error: "EINVAL: IPv6 routes can not use an IPv4 nexthop" },
    ]);
    fib.setNextHopSet(1, [member(`fe80::2%${up0}`)]);
    await eventually(() => expect(routes(7100, 6).length).toBe(1));
    expect((await fib.status()).failed).toEqual([]);
  });
});

describe("pods", () => {
  it("whose routes came with their link are kept, and let go with it", async () => {
    ns.run("ip link add pod0 type veth peer name eth0");
    const pod = ns.ifindex("pod0");
    const fib = ns.client();
    await fib.start();
    await fib.setOwned(owned);
    const table = () => ns.run("ip route show table 7000; ip -6 route show table 7000");
    const pods = ["10.244.1.5", "2001:db8:244:1::5"].map((text) => ({ address: parseAddress(text)!, ifindex: pod }));
    fib.keepPodRoutes(pods);
    await fib.status();
    ns.run("ip link set pod0 up; ip link set eth0 up");
    for (const address of ["10.244.1.5", "2001:db8:244:1::5"])
      ns.run(`ip route replace ${address} dev pod0 table 7000 proto 201 metric ${METRIC} scope link`);
    const full = table();
    await eventually(() => expect(fib.links().find((link) => link.name === "pod0")?.up).toBe(true));
    expect(table()).toBe(full);
    ns.run("ip route flush table 7000 dev pod0; ip -6 route flush table 7000 dev pod0");
    await eventually(() => expect(table()).toBe(full));
    ns.run("ip link set pod0 down");
    await eventually(() => expect(ns.events.map(({ message }) => message)).toContain("pod0 is down"));
    ns.run("ip link set pod0 up");
    await eventually(() => expect(table()).toBe(full));
    await eventually(() => expect(ns.events.map(({ message }) => message)).toContain("pod0 is up"));

    fib.dropPodRoutes(pods.map(({ address }) => ({ address, ifindex: up0 })));
    ns.run("ip route del 10.244.1.5 table 7000");
    await eventually(() => expect(table()).toBe(full));
    fib.dropPodRoutes(pods);
    await fib.status();
    ns.run("ip route del 10.244.1.5 table 7000");
    ns.run("ip link del pod0");
    await eventually(() => expect(fib.links().find((link) => link.name === "pod0")).toBe(undefined));
    expect(table()).not.toContain("10.244.1.5");
    const told = ns.events.filter(({ kind }) => kind === "link" || kind === "error").map(({ message }) => message);
    expect(told.filter((message) => message.startsWith("pod0"))).toEqual(["pod0 is down", "pod0 is up"]);
  });

  it("have host routes above the blackhole, which follow their link", async () => {
    ns.run("ip link add pod0 type veth peer name eth0; ip link set pod0 up; ip link set eth0 up");
    const pod = ns.ifindex("pod0");
    const fib = ns.client();
    await fib.start();
    await fib.setOwned(owned);
    const pods = ["10.244.1.5", "2001:db8:244:1::5"].map((text) => ({ address: parseAddress(text)!, ifindex: pod }));
    await fib.addPodRoutes(pods);
    await fib.addPodRoutes(pods);
    const full = ns.run("ip route show table 7000; ip -6 route show table 7000");
    expect(full).toContain("10.244.1.5 dev pod0 proto 201 scope link");
    expect(full).toContain("2001:db8:244:1::5 dev pod0 proto 201");
    ns.run(
      "ip addr add 169.254.7.7/32 dev pod0; ip addr del 169.254.7.7/32 dev pod0; ip link set eth0 down; ip link set eth0 up",
    );
    await eventually(() => expect(ns.run("ip route show table 7000; ip -6 route show table 7000")).toBe(full));
    await fib.removePodRoutes(pods);
    await fib.removePodRoutes(pods);
    expect(ns.run("ip route show table 7000")).not.toContain("pod0");
    ns.run("ip link set pod0 down");
    await eventually(() => expect(fib.links().find((link) => link.name === "pod0")?.up).toBe(false));
    await fib.addPodRoutes(pods);
    ns.run("ip link set pod0 up");
    await eventually(() => expect(ns.run("ip route show table 7000; ip -6 route show table 7000")).toBe(full));
    await fib.removePodRoutes(pods);
    await expect(fib.addPodRoutes([{ address: pods[0].address, ifindex: 9999 }])).rejects.toThrow(/ENODEV|EINVAL/);
    await fib.addPodRoutes(pods);
    ns.run("ip link del pod0");
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(ns.run("ip route show table 7000; ip -6 route show table 7000")).not.toContain("pod0");
    expect(ns.events.filter(({ kind }) => kind === "error")).toEqual([]);
  });
});

describe("what others do to our state", () => {
  it("is undone at once; theirs that matters is reported", async () => {
    const fib = ns.client();
    await fib.start();
    await fib.setOwned({ ...owned, tables: [{ ...owned.tables[0], fallback: "unreachable" }] });
    fib.setNextHopSet(1, both());
    fib.apply(batch(7100, { "10.1.0.0/16": 1, "10.2.0.0/16": 1 }));
    fib.apply(batch(7100, { "2001:db8:77::/48": 1 }));
    fib.setNextHopSet(2, [member(`fe80::2%${up0}`)]);
    fib.apply(batch(7100, { "2001:db8:77::/48": 2 }));
    await fib.flush();
    const full = all();
    for (const attack of [
      "ip rule del pref 1000",
      "ip rule del pref 1010; ip -6 rule del pref 1000; ip rule del pref 1005",
      "ip rule add pref 1005 from 10.244.1.0/26 lookup main proto 201; ip rule del pref 1011",
      "ip route del 10.1.0.0/16 table 7100; ip -6 route del 2001:db8:77::/48 table 7100",
      "ip route del blackhole 10.244.1.0/26 table 7000; ip -6 route flush table 7000",
      "ip route flush table 7100",
      "ip nexthop flush",
      "ip link set lo down; ip link set lo up",
    ]) {
      ns.run(attack);
      await eventually(() => expect(all().split("\n").sort()).toEqual(full.split("\n").sort()));
      await fib.status();
    }
    expect(ns.events.filter(({ kind }) => kind === "repaired").length).toBeGreaterThan(4);
    ns.run("ip rule add pref 500 from 10.244.0.0/16 table main");
    await eventually(() => {
      const foreign = ns.events.filter(({ kind }) => kind === "foreign").map(({ message }) => message);
      expect(foreign).toEqual([expect.stringContaining("500: from 10.244.0.0/16 lookup main")]);
    });
    expect((await fib.rules()).filter(({ family }) => family === 4).map(({ text, ours }) => [text, ours])).toEqual([
      ["0: from all lookup local", false],
      ["500: from 10.244.0.0/16 lookup main", false],
      ["1000: from all lookup 7000", true],
      ["1005: from 10.244.1.0/26 lookup main suppress_prefixlength 1", true],
      ["1010: from 10.244.1.0/26 lookup 7100", true],
      ["1011: from 10.244.1.0/26 unreachable", true],
      ["32766: from all lookup main", false],
      ["32767: from all lookup default", false],
    ]);
  });

  it("may be more than the receive buffer holds: everything is compared anew", async () => {
    const fib = ns.client({}, { receiveBuffer: 1 });
    await fib.start();
    await fib.setOwned(owned);
    fib.setNextHopSet(1, both());
    const prefixes = Array.from({ length: 500 }, (_, i) => `10.${i >> 8}.${i & 255}.0/24`);
    fib.apply(batch(7100, Object.fromEntries(prefixes.map((prefix) => [prefix, 1]))));
    await fib.flush();
    const full = ns.run("ip route show table 7100");
    const flood = Array.from({ length: 20_000 }, (_, i) => `route add 11.${i >> 8}.${i & 255}.0/24 dev up0 table 9000`);
    ns.run("ip -batch -", [...prefixes.map((prefix) => `route del ${prefix} table 7100`), ...flood].join("\n"));
    await eventually(() => expect(ns.run("ip route show table 7100")).toBe(full), 10_000);
    const status = await fib.status();
    expect(status.overruns).toBeGreaterThan(0);
    expect(status).toMatchObject({ desired: 500, installed: 500 });
    await eventually(() => expect(ns.events.some(({ kind }) => kind === "resync")).toBe(true));
  });
});

describe("a restart", () => {
  const wanted = { "10.1.0.0/16": 1, "10.2.0.0/16": 1, "10.3.0.0/16": 2 };

  it("adopts in place without a write, and sweeps only what nobody asked for", async () => {
    ns.run("ip link add pod0 type veth peer name eth0; ip link set pod0 up; ip link set eth0 up");
    const pods = [{ address: parseAddress("10.244.1.5")!, ifindex: ns.ifindex("pod0") }];
    const first = ns.client();
    await first.start();
    await first.setOwned(owned);
    await first.addPodRoutes(pods);
    first.setNextHopSet(1, both());
    first.setNextHopSet(2, [member(`192.0.0.2%${up0}`)]);
    first.apply(batch(7100, { ...wanted, "10.4.0.0/16": 2 }));
    first.apply(batch(7300, { "10.5.0.0/16": 1 }));
    await first.flush();
    await first.stop("keep");

    const monitor = spawn("ip", ["netns", "exec", ns.name, "ip", "monitor", "route", "rule", "nexthop"]);
    let seen = "";
    // Not the kernel's own routes of addresses, which come with duplicate address detection.
    createInterface({ input: monitor.stdout }).on("line", (line) => {
      if (!line.includes("proto kernel")) seen += `${line}\n`;
    });
    await new Promise((resolve) => setTimeout(resolve, 200));
    const second = ns.client();
    await second.start();
    // 6 rules, 2 blackholes, 5 learned routes
    expect((await second.status()).stale).toBe(13);
    await second.setOwned(owned);
    second.setNextHopSet(7, [member(`192.0.0.2%${up0}`)]);
    second.setNextHopSet(8, [...both()].reverse());
    second.apply(batch(7100, { "10.1.0.0/16": 8, "10.2.0.0/16": 8, "10.3.0.0/16": 7 }));
    await second.flush();
    expect((await second.status()).stale).toBe(2);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(seen).toBe("");

    expect(await second.sweepStale()).toBe(2);
    await eventually(() => expect(seen.split("\n").filter((line) => line !== "").length).toBe(2));
    monitor.kill();
    expect(seen).toContain("Deleted 10.4.0.0/16");
    expect(seen).toContain("Deleted 10.5.0.0/16");
    expect(routes(7100).map(({ dst }) => dst)).toEqual(["10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16"]);
    expect(ns.run("ip route show table 7000")).toContain("10.244.1.5 dev pod0");
    expect(await second.status()).toMatchObject({ desired: 3, installed: 3, stale: 0, nextHopSets: 2 });
  });

  it("never leaves a gap when the next hops differ, and the timer sweeps", async () => {
    const first = ns.client();
    await first.start();
    first.setNextHopSet(1, both());
    first.apply(batch(7100, { "10.1.0.0/16": 1, "10.9.0.0/16": 1 }));
    await first.flush();
    await first.stop("keep");
    const second = ns.client({ staleTime: 0.3 });
    await second.start();
    const monitor = spawn("ip", ["netns", "exec", ns.name, "ip", "monitor", "route"]);
    let seen = "";
    monitor.stdout.on("data", (data) => {
      seen += data;
    });
    second.setNextHopSet(1, [member(`192.0.1.2%${up1}`)]);
    second.apply(batch(7100, { "10.1.0.0/16": 1 }));
    await eventually(() =>
      expect(routes(7100).map(({ dst, via }) => [dst, via])).toEqual([["10.1.0.0/16", ["192.0.1.2"]]]),
    );
    await eventually(() => expect(ns.run("ip nexthop").split("\n").length).toBe(3));
    monitor.kill();
    expect(seen).not.toContain("Deleted 10.1.0.0/16");
  });
});

describe("permissions", () => {
  it("without CAP_NET_ADMIN the start is refused with what to do; with install: false it is not", async () => {
    // The capability is dropped for the thread of a child process only.
    const script = `
      const { Worker } = require("node:worker_threads");
      const start = (install) => new Promise((resolve) => {
        const worker = new Worker(process.argv[1], { workerData: { routing: { ...JSON.parse(process.argv[2]), install }, netns: null, receiveBuffer: 65536 } });
        let links = 0;
        worker.on("message", (message) => {
          if (message.kind === "links") links = message.changes.changed.length;
          if (message.kind !== "result" && message.kind !== "failure") return;
          worker.terminate();
          resolve(message.kind === "failure" ? message.message : "started with " + links + " links");
        });
        worker.postMessage({ kind: "request", id: 1, name: "start", argument: null });
      });
      (async () => console.log(JSON.stringify([await start(true), await start(false)])))();`;
    const { distFile } = await import("../../net/dist.ts");
    const output = ns.run(
      `setpriv --bounding-set=-net_admin --inh-caps=-net_admin node -e '${script}' ${distFile("fib-worker.cjs")} '${JSON.stringify(options)}'`,
    );
    expect(JSON.parse(output)).toEqual([
      expect.stringContaining("CAP_NET_ADMIN is missing"),
      expect.stringMatching(/^started with 5 links/),
    ]);
  });
});
