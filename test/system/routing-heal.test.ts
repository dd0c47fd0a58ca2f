// What others do to our kernel state: it comes back, and who did it, how often, and what stands in the way is said.
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { native } from "../../net/native.ts";
import type { FibClient } from "../../routing/fib/client.ts";
import { restoreSysctls } from "../../routing/fib/sysctls.ts";
import { batch, eventually, member, Namespace, options, owned } from "./routing-namespace.ts";

let ns: Namespace;
let up0: number;
let up1: number;
const children: ChildProcess[] = [];
const cleanups: (() => void)[] = [];
beforeEach(() => {
  ns = new Namespace();
  up0 = ns.ifindex("up0");
  up1 = ns.ifindex("up1");
});
afterEach(async () => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
  await ns.remove();
  for (const cleanup of cleanups.splice(0)) cleanup();
});

const messages = (kind: string) => ns.events.filter((event) => event.kind === kind).map(({ message }) => message);
const rules = () => ns.run("ip rule show proto 201; ip -6 rule show proto 201");

/** As eventually, for what has to be asked. */
async function until(what: () => Promise<void>): Promise<void> {
  for (const end = Date.now() + 8000; ; ) {
    try {
      return await what();
    } catch (error) {
      if (Date.now() > end) throw error;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
}

/** A program that stays, and does to routes what it is told. */
function program(): { pid: number; run(command: string): void } {
  const child = spawn("ip", ["netns", "exec", ns.name, "ip", "-force", "-batch", "-"], {
    stdio: ["pipe", "ignore", "ignore"],
  });
  children.push(child);
  return { pid: child.pid!, run: (command) => child.stdin!.write(`${command}\n`) };
}

/** Runs with the test's own thread in the namespace. */
function inside<T>(action: () => T): T {
  const [self, there] = ["/proc/thread-self/ns/net", ns.path].map((path) => native().open(path, 0));
  native().setns(there, 0x40000000);
  try {
    return action();
  } finally {
    native().setns(self, 0x40000000);
    native().close(self);
    native().close(there);
  }
}

async function started(changes = {}): Promise<FibClient> {
  const fib = ns.client({}, changes);
  await fib.start();
  await fib.setOwned(owned);
  fib.setNextHopSet(1, [member(`192.0.0.2%${up0}`), member(`192.0.1.2%${up1}`)]);
  fib.apply(batch(7100, { "10.1.0.0/16": 1, "10.2.0.0/16": 1 }));
  await fib.flush();
  return fib;
}

describe("a change by another program", () => {
  it("is undone and named with the program; done again and again, it is a fight as long as it lasts", async () => {
    const fib = await started();
    const before = rules();
    const other = program();
    other.run("rule del pref 1010 from 10.244.1.0/26");
    await eventually(() =>
      expect(messages("repaired")).toEqual([
        `put back: IPv4 rule 1010: from 10.244.1.0/26 lookup 7100 was deleted by ip (pid ${other.pid})`,
      ]),
    );
    expect(rules()).toBe(before);
    expect(ns.events.find(({ kind }) => kind === "repaired")).toMatchObject({
      count: 1,
      by: { pid: other.pid, name: "ip" },
    });
    other.run("route del 10.1.0.0/16 table 7100");
    await eventually(() =>
      expect(messages("repaired").at(-1)).toBe(
        `put back: IPv4 routes in table 7100 (10.1.0.0/16) were deleted by ip (pid ${other.pid})`,
      ),
    );
    expect(await fib.status()).toMatchObject({ installed: 2, fights: [] });
    for (let i = 2; i <= 5; i++) {
      other.run("rule del pref 1010 from 10.244.1.0/26");
      await eventually(() => expect(messages("repaired")).toHaveLength(i + 1));
    }
    const { fights } = await fib.status();
    expect(fights).toEqual([
      {
        subject: "IPv4 rule 1010: from 10.244.1.0/26 lookup 7100",
        by: { pid: other.pid, name: "ip" },
        since: expect.any(Number),
        repairs: 5,
      },
    ]);
    expect(messages("fight")).toEqual([expect.stringContaining(`again and again since`)]);
    expect(rules()).toBe(before);
  });

  it("of a setting is undone too; at the end settings are what they were before us", async () => {
    const state = mkdtempSync(join(tmpdir(), "underlay-heal-"));
    cleanups.push(() => rmSync(state, { recursive: true }));
    const read = () =>
      ns.run(
        "cd /proc/sys/net; cat ipv4/ip_forward ipv6/conf/all/forwarding ipv4/nexthop_compat_mode ipv4/conf/up1/forwarding " +
          "ipv6/conf/up0/accept_ra ipv6/conf/up1/accept_ra ipv4/fib_multipath_hash_policy",
      );
    ns.run("echo 0 > /proc/sys/net/ipv4/ip_forward; echo 0 > /proc/sys/net/ipv6/conf/all/forwarding");
    ns.run("echo 1 > /proc/sys/net/ipv4/conf/up1/forwarding; echo 0 > /proc/sys/net/ipv6/conf/up1/accept_ra");
    const before = read();
    await started({ stateDir: state });
    const ours = read();
    expect(ours).toBe("1\n1\n0\n1\n2\n0\n1\n");
    for (const [path, name] of [
      ["ipv4/ip_forward", "net.ipv4.ip_forward was changed to 0"],
      ["ipv4/conf/up1/forwarding", "net.ipv4.conf.up1.forwarding was changed to 0"],
      ["ipv6/conf/all/forwarding", "net.ipv6.conf.all.forwarding was changed to 0"],
      ["ipv4/fib_multipath_hash_policy", "net.ipv4.fib_multipath_hash_policy was changed to 0"],
    ]) {
      ns.run(`echo 0 > /proc/sys/net/${path}`);
      await eventually(() => expect(read()).toBe(ours));
      await eventually(() => expect(messages("repaired").join()).toContain(name));
    }
    await ns.clients[0].stop("keep");
    // A later run does not take what an earlier one set for what was there before.
    await ns.client({}, { stateDir: state }).start();
    await ns.clients[1].stop("keep");
    ns.run("echo 2 > /proc/sys/net/ipv4/fib_multipath_hash_policy");
    const restored = inside(() => restoreSysctls(state));
    expect(restored).toContainEqual({ name: "net.ipv4.ip_forward", before: "0", outcome: "restored" });
    expect(restored).toContainEqual({ name: "net.ipv4.fib_multipath_hash_policy", before: "0", outcome: "kept" });
    expect(read()).toBe(before.replace(/0\n$/, "2\n"));
    expect(inside(() => restoreSysctls(state))).toEqual([]);
  });
});

it("a route of ours that is replaced under our own number, without our nexthop objects, is put right", async () => {
  await started();
  const shown = () => ns.run("ip route show table 7100; ip nexthop show");
  const right = shown();
  ns.run("ip route replace 10.1.0.0/16 via 192.0.1.2 table 7100 proto 201 metric 201");
  await eventually(() => expect(shown()).toBe(right));
  await eventually(() => expect(messages("repaired").join()).toMatch(/10\.1\.0\.0\/16\) were changed by/));
});

it("another program's route beside ours, with the same prefix and metric, is not in its place", async () => {
  const fib = await started();
  const right = ns.run("ip route show table 7100");
  for (const verb of ["append", "prepend"])
    ns.run(`ip route ${verb} 10.1.0.0/16 via 192.0.1.${verb.length} table 7100 proto 77 metric 201`);
  // What comes after it has been seen.
  ns.run("ip route del 10.2.0.0/16 table 7100");
  await eventually(() => expect(ns.run("ip route show table 7100")).toContain("10.2.0.0/16"));
  expect(await fib.status()).toMatchObject({ installed: 2, failed: [] });
  ns.run("ip route flush table 7100 proto 77");
  expect(ns.run("ip route show table 7100")).toBe(right);
  expect(await fib.status()).toMatchObject({ installed: 2, failed: [] });
});

it("what stands in the way is in the status as long as it does, and its cure cures it", async () => {
  // Everything but what would have the daemon set it again.
  const fib = await started();
  const ended = () => messages("cleared").join("\n");
  const found = async () =>
    (await fib.status()).hazards.filter(({ severity }) => severity === "problem").map(({ kind }) => kind);
  for (const [cause, kind, cure] of [
    ["ip rule add pref 900 lookup main", "rulePrecedes", "ip rule del pref 900"],
    ["ip -6 rule add pref 30000 lookup 7100", "ruleIntoTable", "ip -6 rule del pref 30000"],
    ["ip route add blackhole 10.9.0.0/16 table 7100", "foreignRoutes", "ip route del blackhole 10.9.0.0/16 table 7100"],
    [
      "echo 1 > /proc/sys/net/ipv4/conf/all/rp_filter",
      "rpFilterStrict",
      "for i in up0 up1; do sysctl -qw net.ipv4.conf.$i.rp_filter=2; done",
    ],
  ]) {
    ns.run(cause);
    await until(async () => expect(await found()).toContain(kind));
    ns.run(cure);
    await until(async () => expect(await found()).toEqual([]));
    expect(ended()).toContain("no longer so: ");
  }
  expect(messages("foreign").filter((text) => text.includes("IPv4 rule 900:"))).toHaveLength(1);
});

it("what only looks like ours stays byte for byte as it is, whatever happens to ours", async () => {
  ns.run(
    "ip link add theirs type veth peer name beyond; ip link set beyond up; ip link set theirs up; ip addr add 198.51.100.1/24 dev theirs",
  );
  const base = options.nextHopIds.base;
  const twins = [
    // the selectors and priorities of our rules
    "rule add pref 1000 lookup 7000 proto 77",
    "rule add pref 1010 from 10.244.1.0/26 lookup 7100 proto 77",
    "rule add pref 1005 lookup main suppress_prefixlength 0 proto 77",
    "rule add pref 1010 from 10.244.9.0/24 lookup 7200",
    // our prefixes: beside ours, and with our metric in their place
    "route add blackhole 10.244.1.0/26 table 7000 proto 77",
    "route add blackhole 10.244.9.0/24 table 7000 metric 65535 proto 77",
    "route add 10.244.1.5 dev theirs table 7000 metric 201 proto 77",
    "route add 10.1.0.0/16 dev theirs table 7100 proto 77",
    "route add 10.2.0.0/16 dev theirs table 7100 metric 201 proto 77",
    "route add blackhole 10.3.0.0/16 table 7100 metric 201 proto 77",
    "route add 10.1.0.0/16 dev theirs metric 201 proto 77",
    // our ids
    `nexthop add id ${base} blackhole proto 77`,
    `nexthop add id ${base + 2} dev theirs proto 77`,
    `nexthop add id ${base + 3} group ${base + 2} proto 77`,
  ];
  ns.run("ip -batch -", twins.join("\n"));
  ns.run(
    "ip -6 -batch -",
    [
      "rule add pref 1000 lookup 7000 proto 77",
      "rule add pref 1010 from 2001:db8:244:1::/122 lookup 7100 proto 77",
      "route add blackhole 2001:db8:244:1::/122 table 7000 metric 65535 proto 77",
      "route add 2001:db8:77::/48 dev theirs table 7100 metric 201 proto 77",
      "route add 2001:db8:78::/48 dev theirs table 7100 metric 200 proto 77",
    ].join("\n"),
  );
  const others = () =>
    ns
      .run("ip rule; ip -6 rule; ip route show table all; ip -6 route show table all; ip nexthop")
      .split("\n")
      // The kernel's own routes go and come with their links.
      .filter((line) => !line.includes("proto 201") && !line.includes("proto kernel"))
      .join("\n");

  let fib = ns.client();
  await fib.start();
  // One of ours cannot be there, because theirs is: that is said, and the rest is done.
  expect((await fib.setOwned(owned)).refused).toEqual([
    {
      prefix: "2001:db8:244:1::/122",
      table: 7100,
      error: expect.stringContaining("a route of another program with this prefix and metric is there"),
    },
  ]);
  ns.run("ip -6 route del blackhole 2001:db8:244:1::/122 table 7000 metric 65535");
  await fib.setOwned(owned);
  ns.run("ip -6 route add blackhole 2001:db8:244:1::/122 table 7000 metric 65534 proto 77");
  const seen = others();
  const asSeen = async () => eventually(() => expect(others()).toBe(seen));
  const learn = (fib: FibClient) => {
    fib.setNextHopSet(1, [member(`192.0.0.2%${up0}`), member(`192.0.1.2%${up1}`)]);
    fib.setNextHopSet(2, [member(`fe80::2%${up0}`)]);
    fib.apply(batch(7100, { "10.1.0.0/16": 1, "10.2.0.0/16": 1, "10.3.0.0/16": 1, "10.4.0.0/16": 1 }));
    fib.apply(batch(7100, { "2001:db8:77::/48": 2, "2001:db8:78::/48": 2 }));
  };
  learn(fib);
  await fib.flush();
  const refused = () =>
    fib.status().then(({ failed }) =>
      failed
        .filter(({ error }) => error.includes("EEXIST: a route of another program"))
        .map(({ prefix }) => prefix)
        .sort(),
    );
  expect(await refused()).toEqual(["10.2.0.0/16", "10.3.0.0/16", "2001:db8:77::/48"]);
  await asSeen();
  const pod = [{ address: Uint8Array.of(10, 244, 1, 5), ifindex: up1 }];
  await expect(fib.addPodRoutes(pod)).rejects.toThrow("a route of another program");
  await fib.removePodRoutes(pod);
  await asSeen();

  // Theirs takes an id and a route that were ours a moment ago.
  const [ours] = ns
    .json<{ id: number; gateway?: string; protocol: string }>("nexthop")
    .filter(({ gateway }) => gateway);
  ns.run(`ip nexthop replace id ${ours.id} dev theirs proto 77`);
  await eventually(() =>
    expect(
      ns
        .run("ip nexthop show proto 201")
        .match(/via 192.0.[01].2/g)
        ?.sort(),
    ).toEqual(["via 192.0.0.2", "via 192.0.1.2"]),
  );
  await eventually(() => expect(ns.run("ip route show table 7100 proto 201").match(/nhid/g)).toHaveLength(2));
  ns.run(`ip nexthop del id ${ours.id}`);
  await asSeen();
  ns.run("ip route replace 10.4.0.0/16 dev theirs table 7100 metric 201 proto 77");
  await eventually(() => expect(messages("foreign").join()).toContain("(10.4.0.0/16) were replaced by"));
  await eventually(() => expect(ns.run("ip route show 10.4.0.0/16 table 7100")).toContain("proto 77"));
  ns.run("ip route del 10.4.0.0/16 table 7100 proto 77");
  await eventually(() => expect(ns.run("ip route show 10.4.0.0/16 table 7100")).toContain("proto 201"));
  await asSeen();

  for (const attack of [
    "ip rule flush protocol 201",
    "ip route flush table all proto 201",
    "ip nexthop flush proto 201",
  ])
    ns.run(`${attack}; true`);
  ns.run("ip link set far0 down; ip link set far1 down; ip link set far0 up; ip link set far1 up");
  await asSeen();
  await eventually(() => expect(ns.run("ip route show table 7100 proto 201").match(/nhid/g)).toHaveLength(2));

  await fib.stop("keep");
  fib = ns.client();
  await fib.start();
  await fib.setOwned(owned);
  learn(fib);
  await fib.flush();
  await fib.sweepStale();
  expect(await refused()).toEqual(["10.2.0.0/16", "10.3.0.0/16", "2001:db8:77::/48"]);
  await asSeen();
  await fib.setOwned({ blocks: [], tables: [] });
  fib.apply(batch(7100, { "10.1.0.0/16": 0, "10.2.0.0/16": 0, "10.3.0.0/16": 0 }));
  await fib.flush();
  await asSeen();
  await fib.stop("remove");
  await asSeen();
  expect(ns.run("ip rule; ip -6 rule; ip route show table all; ip -6 route show table all; ip nexthop")).not.toContain(
    "proto 201",
  );
});
