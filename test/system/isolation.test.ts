// What a pod tries that it has no business to: frames made by hand inside real pods, against the real daemon and kernel. Each
// attack is made twice: with the pods kept to their addresses, where nothing may come of it, and without, where it has to
// work, so that a test that proves nothing is found out.
//
//   pod a, pod b -- node -- far, which has UDP sinks and routes to the pods
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { PodView } from "../../cni/types.ts";
import type { StatusView } from "../../daemon/api/types.ts";
import { distFile } from "../../net/dist.ts";
import { Lab, type Node } from "../interop/support/namespace.ts";
import { Underlay } from "../interop/support/underlay.ts";
import { sleep, waitFor } from "../interop/support/wait.ts";
import { ask } from "./support/api.ts";
import {
  advertisements,
  BOGUS_MAC,
  broadcasts,
  FAR4,
  FAR6,
  floods,
  impersonations,
  NODE4,
  PORT,
  sourceRouted,
  spoofed,
  spoofedFragments,
} from "./support/attacks.ts";
import { frame, ip, Protocol, Sink, syn, udp, Wire } from "./support/frames.ts";
import { Pods } from "./support/pods.ts";

const API = 7180;
/** Addresses that a pod makes up, in one flood. */
const FLOOD = 300;

const lab = new Lab("isolation");
let node: Node;
let far: Node;
let underlay: Underlay;
let pods: Pods;
const sinks: Sink[] = [];
const wires = new Map<string, Wire>();
const own = new Map<string, { v4: string; v6: string; mac: string; host: string }>();

const yaml = (sourceValidation: boolean) => `
node: { name: node1, asn: 65101, routerId: 10.0.0.11 }
pools: { default: { blocks: [10.244.1.0/26, "2001:db8:244:1::/122"] } }
cni: { sourceValidation: ${sourceValidation} }
api: { listen: 127.0.0.1:${API} }
peerGroups: { any: { asn: external, import: all, export: all, listen: [0.0.0.0/0, "::/0"], listenPods: ${!sourceValidation} } }
`;

/** A pod, or (`ifname`) another interface of it, which goes under `name.ifname`. */
async function attach(pod: string, ifname?: string): Promise<void> {
  if (!ifname) pods.create(pod);
  const inside = ifname ?? "eth0";
  const { code, stdout, addresses } = await pods.call("ADD", pod, { ifname: inside });
  if (code !== 0) throw new Error(stdout);
  const { interfaces } = JSON.parse(stdout) as { interfaces: { name: string; mac: string; sandbox?: string }[] };
  const link = interfaces.find(({ sandbox }) => sandbox)!;
  const host = interfaces.find(({ sandbox }) => !sandbox)!;
  const text = node.ip("-n", pods.namespace(pod), "-j", "link", "show", inside);
  const [{ ifindex }] = JSON.parse(text) as { ifindex: number }[];
  const name = ifname ? `${pod}.${ifname}` : pod;
  own.set(name, { v4: addresses[0], v6: addresses[1], mac: link.mac, host: host.name });
  wires.set(name, new Wire(`/run/netns/${pods.namespace(pod)}`, ifindex));
}

beforeAll(async () => {
  node = lab.addNode("node");
  far = lab.addNode("far");
  lab.link(
    { node, name: "eth0", addresses: [`${NODE4}/24`, "2001:db8:1::1/64"] },
    { node: far, name: "eth0", addresses: [`${FAR4}/24`, `${FAR6}/64`] },
  );
  far.ip("route", "add", "10.244.1.0/26", "via", NODE4);
  far.ip("-6", "route", "add", "2001:db8:244:1::/122", "via", "2001:db8:1::1");
  // As careless as a host can be: kube-proxy sets the first, guides on the web the others.
  await node.exec(
    "sysctl",
    "-qw",
    "net.ipv4.conf.all.route_localnet=1",
    "net.ipv4.conf.all.proxy_arp=1",
    "net.ipv4.conf.all.rp_filter=0",
    "net.ipv4.conf.default.rp_filter=0",
    "net.ipv4.conf.all.accept_source_route=1",
    "net.ipv4.conf.default.accept_source_route=1",
    "net.ipv6.conf.default.accept_ra=2",
  );
  await far.exec(
    "sysctl",
    "-qw",
    "net.ipv4.conf.all.rp_filter=0",
    "net.ipv4.conf.default.rp_filter=0",
    "net.ipv4.conf.eth0.rp_filter=0",
    "net.ipv4.conf.all.accept_source_route=1",
    "net.ipv4.conf.eth0.accept_source_route=1",
  );
  underlay = await Underlay.start(node, yaml(true));
  pods = new Pods(node, underlay.socket);
  await attach("a");
  await attach("b");
  for (const family of [4, 6] as const) sinks.push(new Sink(far.path, family, PORT), new Sink(node.path, family, PORT));
});

afterAll(async () => {
  for (const sink of sinks) sink.close();
  for (const wire of wires.values()) wire.close();
  await underlay?.stop("SIGKILL");
  pods?.close();
  await lab.close();
});

let serial = 0;
const a = () => own.get("a")!;
const b = () => own.get("b")!;
const wire = () => wires.get("a")!;

/** Texts that reach the far host or the node until packets of pod a's own, sent behind all, have come through. */
async function arriving(frames: readonly Buffer[], fromOthers = () => {}): Promise<string[]> {
  const mark = `own ${++serial}`;
  for (const sink of sinks) sink.read();
  fromOthers();
  wire().send(
    ...frames,
    frame(udp(a().v4, FAR4, PORT, mark), { from: a().mac }),
    frame(udp(a().v6, FAR6, PORT, mark), { from: a().mac }),
  );
  const arrived: string[] = [];
  await waitFor(
    () => {
      for (const sink of sinks) arrived.push(...sink.read());
      return arrived.filter((text) => text === mark).length === 2;
    },
    "a pod's own packets",
    { interval: 2, timeout: 3000 },
  );
  return arrived.filter((text) => text !== mark);
}

const isolation = async () => (await ask<StatusView>(underlay.socket, "/v1/status")).kernel.isolation;
/** As pod a sends it, whatever addresses it has. */
const ofA = (payload: number[]) => frame(payload, { from: a().mac });
const dropped = async () => (await isolation()).dropped;

/** What the node believes of its neighbours on pod a's interface. */
const neighbours = (extra: string[] = []) =>
  [4, 6].flatMap((family) =>
    node
      .ip(`-${family}`, "neighbour", "show", "dev", a().host, ...extra)
      .split("\n")
      .filter((line) => line.trim() !== "" && !line.includes("FAILED")),
  );

async function flood(make: (n: number) => Buffer): Promise<number> {
  for (let n = 0; n < FLOOD; n++) wire().send(make(n));
  await arriving([]);
  return neighbours().length;
}

describe("pods kept to their own addresses", () => {
  it("send from them, to other hosts, to their node and to each other", async () => {
    const texts = await arriving([
      ofA(udp(a().v4, NODE4, PORT, "to the node 4")),
      ofA(udp(a().v6, "2001:db8:1::1", PORT, "to the node 6")),
    ]);
    expect(texts.sort()).toEqual(["to the node 4", "to the node 6"]);
    await node.exec("nsenter", `--net=/run/netns/${pods.namespace("a")}`, "ping", "-c1", "-W2", b().v4);
    await node.exec("nsenter", `--net=/run/netns/${pods.namespace("a")}`, "ping", "-c1", "-W2", b().v6);
    await far.exec("ping", "-c1", "-W2", a().v4);
    await far.exec("ping", "-c1", "-W2", a().v6);
    expect(await dropped()).toMatchObject({ source: 0, loopback: 0, options: 0, redirect: 0 });
  });

  it("cannot send from another's, a free one, the node's, a foreign one", async () => {
    const before = await dropped();
    expect(await arriving(spoofed(a(), b()).map(({ bytes }) => bytes))).toEqual([]);
    expect((await dropped()).source - before.source).toBe(spoofed(a(), b()).length);
  });

  it("are told from an uplink whose name begins in the same way", async () => {
    lab.link({ node, name: "ulink0" }, { node: far, name: "spare" });
    const [{ ifindex }] = JSON.parse(far.ip("-j", "link", "show", "spare")) as { ifindex: number }[];
    const [{ address }] = JSON.parse(node.ip("-j", "link", "show", "ulink0")) as { address: string }[];
    const spare = new Wire(far.path, ifindex);
    const bytes = frame(udp("203.0.113.7", NODE4, PORT, "from elsewhere"), { from: BOGUS_MAC, to: address });
    expect(await arriving([], () => spare.send(bytes))).toEqual(["from elsewhere"]);
    spare.close();
    node.ip("link", "delete", "ulink0");
  });

  it("cannot in fragments either", async () => {
    expect(await arriving(spoofedFragments(a(), b(), serial))).toEqual([]);
  });

  it("cannot speak from or to loopback addresses", async () => {
    wire().read();
    await arriving([
      ofA(udp("127.0.0.1", FAR4, PORT, "from loopback")),
      ofA(syn(a().v4, "127.0.0.1", API)),
      ofA(syn("127.0.0.1", "127.0.0.1", API)),
    ]);
    expect(answers("127.0.0.1")).toEqual([]);
    expect((await dropped()).loopback).toBe(2);
  });

  it("cannot reach the API over the node's addresses", async () => {
    wire().read();
    for (const address of [NODE4, "169.254.1.1"]) wire().send(ofA(syn(a().v4, address, API)));
    await arriving([]);
    expect(answers(NODE4)).toEqual(["reset"]);
    expect(answers("169.254.1.1")).toEqual([]);
  });

  it("cannot have the node route by their options, or by a routing header", async () => {
    const before = await dropped();
    expect(await arriving(sourceRouted(a()))).toEqual([]);
    expect((await dropped()).options - before.options).toBe(2);
  });

  it("cannot fill the node's neighbour tables", async () => {
    for (const [what, make] of Object.entries(floods)) expect([what, await flood(make)]).toEqual([what, 2]);
    expect((await dropped()).arp).toBeGreaterThanOrEqual(2 * FLOOD);
  });

  it("cannot answer for others", async () => {
    const before = neighbours(["nud", "permanent"]);
    const others = node.ip("neighbour", "show", "dev", b().host) + node.ip("-6", "neighbour", "show", "dev", b().host);
    await arriving(impersonations(a(), b()));
    expect(neighbours(["nud", "permanent"])).toEqual(before);
    expect(neighbours()).toHaveLength(2);
    expect(node.ip("neighbour", "show", "dev", b().host) + node.ip("-6", "neighbour", "show", "dev", b().host)).toBe(
      others,
    );
  });

  it("cannot advertise a router to the node, or redirect it", async () => {
    const before = await dropped();
    node.ip("link", "show", a().host);
    await node.exec("sysctl", "-qw", `net.ipv6.conf.${a().host}.accept_ra=2`);
    await arriving(advertisements(a()));
    expect(node.ip("-6", "route", "show", "default")).toBe("");
    const after = await dropped();
    expect([after.advertisement - before.advertisement, after.redirect - before.redirect]).toEqual([1, 2]);
  });

  it("cannot speak BGP with the node, though a listen range covers them", async () => {
    expect(await heardOverBgp(NODE4)).toBe(0);
    expect(await heardOverBgp("2001:db8:1::1")).toBe(0);
    expect(underlay.log).toContain("a pod of this node, and listenPods is false: connection refused");
  });

  it("cannot speak to the daemon, not even where they see its socket", async () => {
    const ctl = [process.execPath, distFile("underlayctl.cjs"), "--socket", underlay.socket, "pods"];
    expect(await node.exec(ctl[0], ...ctl.slice(1))).toContain(a().v4);
    await expect(node.exec("nsenter", `--net=/run/netns/${pods.namespace("a")}`, ...ctl)).rejects.toThrow(
      /underlayctl/,
    );
    expect(
      await node.exec("nsenter", `--net=/run/netns/${pods.namespace("a")}`, "cat", "/proc/net/unix"),
    ).not.toContain("underlay");
  });

  it("with several interfaces send from any of their addresses over each, as long as there are several", async () => {
    await attach("c");
    await attach("c", "net1");
    const [first, second] = [own.get("c")!, own.get("c.net1")!];
    const crossed = () => {
      wires
        .get("c")!
        .send(
          frame(udp(second.v4, FAR4, PORT, "second 4 over first"), { from: first.mac }),
          frame(udp(second.v6, FAR6, PORT, "second 6 over first"), { from: first.mac }),
        );
      wires
        .get("c.net1")
        ?.send(
          frame(udp(first.v4, FAR4, PORT, "first 4 over second"), { from: second.mac }),
          frame(udp(first.v6, FAR6, PORT, "first 6 over second"), { from: second.mac }),
          frame(udp(a().v4, FAR4, PORT, "another's over second"), { from: second.mac }),
        );
    };
    const arrived = async () => (await arriving([], crossed)).sort();
    const all = ["first 4 over second", "first 6 over second", "second 4 over first", "second 6 over first"];
    expect(await arrived()).toEqual(all);
    // Written anew they are as they were.
    await node.exec("nft", "flush", "ruleset");
    await waitFor(
      () => node.exec("nft", "list", "chain", "inet", "underlay", "source6").catch(() => null),
      "the tables",
      { interval: 10 },
    );
    expect(await arrived()).toEqual(all);
    wires.get("c.net1")!.close();
    wires.delete("c.net1");
    expect((await pods.call("DEL", "c", { ifname: "net1" })).code).toBe(0);
    expect(await arrived()).toEqual([]);
    expect((await pods.call("DEL", "c")).code).toBe(0);
  });

  it("with addresses of another plugin reach others from these, and from no others", async () => {
    pods.create("d");
    const given = ["10.250.0.5", "2001:db8:250::5"];
    const config = {
      ipam: { type: "static", addresses: [`${given[0]}/24`, `${given[1]}/64`].map((address) => ({ address })) },
    };
    const added = await pods.call("ADD", "d", { config, path: "/usr/lib/cni" });
    expect(added.addresses, added.stdout).toEqual(given);
    far.ip("route", "add", "10.250.0.0/24", "via", NODE4);
    far.ip("-6", "route", "add", "2001:db8:250::/64", "via", "2001:db8:1::1");
    const inside = pods.namespace("d");
    for (const target of [FAR4, FAR6, a().v4, a().v6])
      execFileSync("ip", ["netns", "exec", inside, "ping", "-c1", "-W1", target]);
    for (const address of given) await far.exec("ping", "-c1", "-W1", address);
    execFileSync("ip", ["-n", inside, "address", "add", `${b().v4}/32`, "dev", "eth0"]);
    expect(() =>
      execFileSync("ip", ["netns", "exec", inside, "ping", "-c1", "-W0.2", "-I", b().v4, FAR4], { stdio: "ignore" }),
    ).toThrow();
    const views = await ask<PodView[]>(underlay.socket, "/v1/pods");
    expect(views.find(({ containerId }) => containerId === "c-d")).toMatchObject({
      ipam: "static",
      unannounced: given,
    });
    expect((await pods.call("DEL", "d", { config, path: "/usr/lib/cni" })).code).toBe(0);
    pods.destroy("d");
  });

  it("cannot broadcast or multicast to the node", async () => {
    expect(await arriving(broadcasts(a()))).toEqual([]);
  });
});

/** How many octets a BGP speaker hears that connects from pod a: an OPEN, or nothing before the connection is closed. */
async function heardOverBgp(address: string): Promise<number> {
  const script = `exec 3<>/dev/tcp/${address}/179 && head -c 19 <&3 | wc -c`;
  return Number(
    await node.exec("nsenter", `--net=/run/netns/${pods.namespace("a")}`, "timeout", "3", "bash", "-c", script),
  );
}

/** What the kernel did with a SYN to the API's port at this address: frames that came back to pod a. */
function answers(address: string): string[] {
  return wire()
    .read()
    .filter((bytes) => bytes.readUInt16BE(12) === 0x0800 && bytes[23] === Protocol.tcp)
    .filter((bytes) => bytes.subarray(26, 30).equals(Buffer.from(ip(address))))
    .map((bytes) => ((bytes[14 + 20 + 13] & 0x04) !== 0 ? "reset" : "accepted"));
}

describe("the tables", () => {
  const tables = async () => (await node.exec("nft", "list", "tables")).trim().split("\n").sort();

  it("come back when somebody flushes, deletes or changes them, and it is said who", async () => {
    const list = async () => {
      const table = (family: string) => node.exec("nft", "list", "table", family, "underlay").catch(() => "");
      return `${await table("inet")}${await table("arp")}`;
    };
    const whole = await list();
    const uncounted = (text: string) => text.replaceAll(/packets \d+ bytes \d+/g, "");
    for (const harm of [
      ["flush", "ruleset"],
      ["delete", "table", "inet", "underlay"],
      ["flush", "chain", "inet", "underlay", "pods4"],
      ["insert", "rule", "inet", "underlay", "pods4", "accept"],
      ["add", "table", "inet", "underlay", "{ flags dormant; }"],
    ]) {
      await node.exec("nft", ...harm);
      await waitFor(
        async () => uncounted(await list()) === uncounted(whole),
        `the tables after nft ${harm.join(" ")}`,
        { interval: 10, timeout: 8000 },
      );
    }
    expect(underlay.log).toMatch(/put back: nftables table inet underlay, .*by nft \(pid/);
    expect(await arriving(spoofed(a(), b()).map(({ bytes }) => bytes))).toEqual([]);
  });

  it("go on counting when they were put back", async () => {
    expect((await dropped()).loopback).toBe(2);
  });

  it("stay as they are beside others', and are not written anew when they are what they were", async () => {
    const before = await node.exec("nft", "-a", "list", "table", "inet", "underlay");
    await node.exec("nft", "add", "table", "inet", "other");
    await node.exec("nft", "delete", "table", "inet", "other");
    await node.exec("nft", "add counter inet underlay x; delete counter inet underlay x");
    await sleep(100);
    const handles = (text: string) => [...text.matchAll(/# handle \d+/g)].map(String);
    expect(handles(await node.exec("nft", "-a", "list", "table", "inet", "underlay"))).toEqual(handles(before));
    expect(await tables()).toEqual(["table arp underlay", "table inet underlay"]);
  });

  it("of another program are left alone, and are a finding until they go", async () => {
    const other = 'table inet underlay { comment "of another"; }';
    await node.exec("nft", `delete table inet underlay; ${other}`);
    const reason = async () => (await isolation()).reason;
    await waitFor(reason, "the problem", { interval: 10 });
    expect(await isolation()).toMatchObject({
      state: "unavailable",
      reason: expect.stringContaining("nftables table inet underlay is another program's"),
    });
    const findings = await underlay.ctl<{ check: string; text: string }[]>("doctor");
    expect(findings.filter(({ check }) => check === "isolation-missing")).toHaveLength(1);
    expect(await node.exec("nft", "list", "table", "inet", "underlay")).toContain("of another");
    await node.exec("nft", "delete", "table", "inet", "underlay");
    await waitFor(async () => (await reason()) === null, "the end of the problem", { interval: 10 });
    expect((await isolation()).state).toBe("active");
  });

  it("stay when the daemon ends, and pods stay kept to their addresses", async () => {
    await underlay.stop();
    expect(await tables()).toEqual(["table arp underlay", "table inet underlay"]);
    expect(await arriving(spoofed(a(), b()).map(({ bytes }) => bytes))).toEqual([]);
  });
});

describe("on a kernel without nf_tables", () => {
  beforeAll(async () => {
    await node.exec("nft", "flush", "ruleset");
    const program = join(lab.directory, "without-nftables");
    execFileSync("cc", ["-O2", "-Wall", "-o", program, join(import.meta.dirname, "support/without-nftables.c")]);
    underlay.wrapper = [program];
    await underlay.start();
    await attach("d");
  });

  afterAll(async () => {
    underlay.wrapper = [];
    await underlay.stop();
  });

  it("it is a problem of the status, said once", async () => {
    const { reason, state } = await isolation();
    expect(state).toBe("unavailable");
    expect(reason).toMatch(/^the kernel has no nf_tables .*: pods can send from addresses that are not theirs$/);
    expect(underlay.log.split("has no nf_tables for nftables table inet").length - 1).toBe(1);
  });

  it("pods are served, and kept to their IPv4 addresses by the kernel's own check", async () => {
    const d = own.get("d")!;
    const sent = () =>
      wires
        .get("d")!
        .send(
          frame(udp(d.v4, FAR4, PORT, "own 4"), { from: d.mac }),
          frame(udp(b().v4, FAR4, PORT, "another's 4"), { from: d.mac }),
          frame(udp(b().v6, FAR6, PORT, "another's 6"), { from: d.mac }),
        );
    expect((await arriving([], sent)).sort()).toEqual(["another's 6", "own 4"]);
  });
});

describe("pods that may do what they like", () => {
  beforeAll(async () => {
    underlay.configure(yaml(false));
    await underlay.start();
  });

  it("are not counted, and the tables are gone", async () => {
    expect(await node.exec("nft", "list", "tables")).toBe("");
    expect((await isolation()).state).toBe("off");
  });

  it("send from any address, in fragments too", async () => {
    const texts = spoofed(a(), b()).map(({ text }) => text);
    const arrived = await arriving([
      ...spoofed(a(), b()).map(({ bytes }) => bytes),
      ...spoofedFragments(a(), b(), serial),
    ]);
    // The kernel itself drops what claims to come from the node.
    expect(arrived.map((text) => text.replace(/^fragments x+$/, "fragments")).sort()).toEqual(
      [
        ...texts.filter((text) => !text.startsWith("node") && text !== "gateway 4"),
        "fragments",
        "fragments",
        ...arrived.filter((text) => /^(node|gateway)/.test(text)),
      ].sort(),
    );
  });

  it("reach what listens on loopback alone", async () => {
    wire().read();
    await arriving([ofA(syn(a().v4, "127.0.0.1", API))]);
    expect(answers("127.0.0.1")).toEqual(["accepted"]);
  });

  it("have the node route by their options", async () => {
    expect(await arriving(sourceRouted(a()))).toContain("source route 4");
  });

  it("fill the node's neighbour table", async () => {
    const counts: Record<string, number> = {};
    for (const [what, make] of Object.entries(floods)) {
      counts[what] = await flood(make);
      node.ip("neighbour", "flush", "dev", a().host, "nud", "all");
    }
    expect(counts["ARP requests for another host's address"]).toBeGreaterThan(FLOOD / 2);
    expect(counts["neighbour solicitations"]).toBeGreaterThan(FLOOD / 2);
  });

  it("speak BGP with the node", async () => {
    expect(await heardOverBgp(NODE4)).toBe(19);
  });

  it("advertise a router", async () => {
    await node.exec("sysctl", "-qw", `net.ipv6.conf.${a().host}.accept_ra=2`);
    await arriving(advertisements(a()));
    expect(node.ip("-6", "route", "show", "default")).toContain(`via fe80::66 dev ${a().host}`);
  });

  it("broadcast and multicast to the node", async () => {
    expect((await arriving(broadcasts(a()))).sort()).toEqual(["broadcast", "multicast 4", "multicast 6"]);
  });
});
