// Several tables at once, end to end: two fabrics and a storage network behind two FRR routers, a management network that
// table main knows, pods of three pools, and the host itself. Each router answers with its name, so that it is the
// packets that say which way they went. The routers are hostile, too: they announce what is the host's own.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { RouteView } from "../../bgp/views.ts";
import type { StatusView } from "../../daemon/api/types.ts";
import type { PlanView } from "../../daemon/reload.ts";
import { distFile } from "../../net/dist.ts";
import { Frr } from "../interop/support/frr.ts";
import { Lab, type Node, run } from "../interop/support/namespace.ts";
import { Underlay } from "../interop/support/underlay.ts";
import { waitFor } from "../interop/support/wait.ts";
import { Pods } from "./support/pods.ts";

const WORLD4 = "203.0.113.1";
const WORLD6 = "2001:db8:cafe::1";
/** On router a only, by way of a table of its own. */
const STORAGE4 = "198.51.100.1";
const STORAGE6 = "2001:db8:570a::1";
/** What only the host's own traffic has a learned route to. */
const EDGE4 = "203.0.113.200";
const EDGE6 = "2001:db8:ed9e::1";
/** Static in table main, via the management network. */
const STATIC4 = "198.18.0.1";
const STATIC6 = "2001:db8:18::1";

const routers = { a: 10, b: 20, m: 30 } as const;
type Router = keyof typeof routers;
const link4 = (router: Router, host: number) => `192.168.${routers[router]}.${host}`;
const link6 = (router: Router, host: number) => `2001:db8:${routers[router]}::${host}`;
const pools = { red: 1, blue: 2, green: 3 } as const;
type Pool = keyof typeof pools;
const block4 = (pool: Pool) => `10.244.${pools[pool]}.0/28`;
const block6 = (pool: Pool) => `2001:db8:244:${pools[pool]}::/124`;

const usual = {
  b: "id: 7200, fallback: unreachable, hostRoutes: last",
  storage: "id: 7300, fallback: unreachable",
  edge: "id: 7400, host: true",
};

/** `edge` may have another name, and then is another table. */
const yaml = ({ b, storage, ...others }: Record<string, string> = usual, [edge] = Object.keys(others)) => `
node: { name: node1, asn: 65101, routerId: 10.0.0.11 }
tables:
  a: { id: 7100 }
  b: { ${b} }
  storage: { ${storage} }
  ${edge}: { ${others[edge]} }
pools:
  red: { blocks: [${block4("red")}, "${block6("red")}"], table: a }
  blue: { blocks: [${block4("blue")}, "${block6("blue")}"], table: b }
  green: { blocks: [${block4("green")}, "${block6("green")}"], table: storage, announceIn: [a] }
policies:
  split:
    - { match: { prefix: [198.51.100.0/24, "2001:db8:570a::/48"] }, set: { table: storage }, then: accept }
    - { match: { prefix: [${EDGE4}/32, "2001:db8:ed9e::/48", 192.168.30.0/26, "2001:db8:30::/96", 192.168.10.0/25, "2001:db8:10::/96"] }, set: { table: ${edge} }, then: accept }
    - { then: accept }
peers:
${(["a", "b"] as const)
  .flatMap((router) => [
    `  ${router}4: { address: ${link4(router, 1)}, asn: 6500${router === "a" ? 1 : 2}, families: [ipv4], import: split, export: blocks, table: ${router}, gracefulRestart: false }`,
    `  ${router}6: { address: "${link6(router, 1)}", asn: 6500${router === "a" ? 1 : 2}, families: [ipv6], import: split, export: blocks, table: ${router}, gracefulRestart: false }`,
  ])
  .join("\n")}
`;

const announced = {
  a: {
    4: ["0.0.0.0/0", "198.51.100.0/24", `${EDGE4}/32`],
    6: ["::/0", "2001:db8:570a::/48", "2001:db8:ed9e::/48"],
  },
  b: { 4: ["0.0.0.0/0"], 6: ["::/0"] },
};
/** The host's connected networks, more specifics and addresses of them; its static routes; its blocks and pods. */
const hostile = {
  4: [
    ...["192.168.30.0/25", "192.168.30.0/26", "192.168.30.2/32", "192.168.30.1/32", "192.168.10.0/25"],
    ...["198.18.0.0/24", "169.254.7.0/24", block4("red"), "10.244.1.0/29", "10.244.1.1/32", "10.244.1.2/32"],
  ],
  6: [
    ...["2001:db8:30::/65", "2001:db8:30::/96", "2001:db8:30::2/128", "2001:db8:30::1/128", "2001:db8:10::/96"],
    ...["2001:db8:18::/64", block6("red"), "2001:db8:244:1::/125", "2001:db8:244:1::1/128"],
  ],
};

const frrConfig = (router: "a" | "b") => `
router bgp ${router === "a" ? 65001 : 65002}
 bgp router-id 10.0.0.${routers[router]}
 no bgp ebgp-requires-policy
 no bgp network import-check
${[link4(router, 2), link6(router, 2)].map((address) => ` neighbor ${address} remote-as 65101\n neighbor ${address} timers connect 1`).join("\n")}
 address-family ipv4 unicast
  no neighbor ${link6(router, 2)} activate
${[...announced[router][4], ...hostile[4]].map((prefix) => `  network ${prefix}`).join("\n")}
 exit-address-family
 address-family ipv6 unicast
  neighbor ${link6(router, 2)} activate
${[...announced[router][6], ...hostile[6]].map((prefix) => `  network ${prefix}`).join("\n")}
 exit-address-family
`;

/** Answers each connection with a name. */
const server = `require("node:net").createServer((s) => s.end(process.argv[1])).listen(7, "::")`;

let lab: Lab;
let host: Node;
const nodes = {} as Record<Router, Node>;
const frr = {} as Record<"a" | "b", Frr>;
let underlay: Underlay;
let pods: Pods;
/** Pod -> its addresses. */
const address = {} as Record<"red1" | "red2" | "blue1" | "green1", { 4: string; 6: string }>;

/** Who answers there, asked from a namespace: a name, or the kernel's words. */
async function ask(netns: string, destination: string): Promise<string> {
  const script = `exec 3<>/dev/tcp/${destination}/7 && cat <&3`;
  const command = ["netns", "exec", netns, "timeout", "2", "bash", "-c", script];
  return run("ip", command).catch(
    ({ message }: Error) => /(unreachable|No route to host)/.exec(message)?.[0] ?? message,
  );
}

const fromPod = (pod: keyof typeof address, destination: string) => ask(pods.namespace(pod), destination);
const fromHost = (destination: string) => ask(host.netns, destination);

/** Of both families at once. */
async function both(ask: (destination: string) => Promise<string>, four: string, six: string): Promise<string> {
  const answers = await Promise.all([ask(four), ask(six)]);
  return answers[0] === answers[1] ? answers[0] : answers.join(" | ");
}

const learnedCount = ({ routes }: StatusView) => routes.ipv4 + routes.ipv6;
const STOPPED = /^(.*unreachable|No route to host)( \| (.*unreachable|No route to host))?$/;

beforeAll(async () => {
  lab = new Lab("tables");
  host = lab.addNode("host");
  for (const router of Object.keys(routers) as Router[]) {
    const node = lab.addNode(router);
    nodes[router] = node;
    lab.link(
      { node: host, name: `e${router}`, addresses: [`${link4(router, 2)}/24`, `${link6(router, 2)}/64`] },
      { node, name: "host", addresses: [`${link4(router, 1)}/24`, `${link6(router, 1)}/64`] },
    );
    for (const own of [WORLD4, STORAGE4, EDGE4, STATIC4]) node.addAddress("lo", `${own}/32`);
    for (const own of [WORLD6, STORAGE6, EDGE6, STATIC6]) node.addAddress("lo", `${own}/128`);
    node.ip("route", "add", "10.244.0.0/16", "via", link4(router, 2));
    node.ip("route", "add", "2001:db8:244::/48", "via", link6(router, 2));
    node.spawn(process.execPath, ["-e", server, router]);
  }
  host.spawn(process.execPath, ["-e", server, "host"]);
  // A pod that is told "unreachable" is told so every time.
  await host.exec("sysctl", "-qw", "net.ipv4.icmp_ratelimit=0", "net.ipv6.icmp.ratelimit=0");
  host.ip("route", "add", "default", "via", link4("m", 1));
  host.ip("route", "add", "default", "via", link6("m", 1));
  host.ip("route", "add", "198.18.0.0/15", "via", link4("m", 1));
  host.ip("route", "add", "2001:db8:18::/48", "via", link6("m", 1));
  [frr.a, frr.b, underlay] = await Promise.all([
    Frr.start(nodes.a, frrConfig("a")),
    Frr.start(nodes.b, frrConfig("b")),
    Underlay.start(host, yaml()),
  ]);
  pods = new Pods(host, underlay.socket);
  for (const pod of ["red1", "red2", "blue1", "green1"] as const) {
    pods.create(pod);
    const { code, stdout, addresses } = await pods.call("ADD", pod, { pool: pod.slice(0, -1) });
    if (code !== 0) throw new Error(stdout);
    address[pod] = { 4: addresses[0], 6: addresses[1] };
  }
  await Promise.all(["a4", "a6", "b4", "b6"].map((peer) => underlay.waitEstablished(peer)));
  // Default, ten (nine) hostile ones, the peer's own.
  await waitFor(async () => learnedCount(await underlay.status()) >= 40, "all routes", { interval: 20 });
  await waitFor(async () => (await underlay.kernel(6, "7300")).length > 0, "the storage table", { interval: 20 });
});
afterAll(async () => {
  pods?.close();
  await frr.a?.close();
  await frr.b?.close();
  await lab.close();
});

describe("with all sessions", () => {
  it("pods of two pools leave by different fabrics, and a peer feeds several tables", async () => {
    expect(await both((to) => fromPod("red1", to), WORLD4, WORLD6)).toBe("a");
    expect(await both((to) => fromPod("blue1", to), WORLD4, WORLD6)).toBe("b");
    expect(await both((to) => fromPod("green1", to), STORAGE4, STORAGE6)).toBe("a");
    expect((await underlay.kernel(4, "7300")).map(({ dst }) => dst)).toEqual(["198.51.100.0/24"]);
    const told = async (peer: string) => (await underlay.advertised(peer)).map((route) => route.prefix).sort();
    expect(await told("a4")).toEqual([block4("red"), block4("green")]);
    expect(await told("b6")).toEqual([block6("blue")]);
    expect((await underlay.blocks()).map(({ state }) => state)).toEqual(Array(6).fill("announced"));
  });

  it("a table without a route is the end with fallback: unreachable, whatever the host has", async () => {
    expect(await both(fromHost, WORLD4, WORLD6)).toBe("m");
    expect(await both((to) => fromPod("green1", to), WORLD4, WORLD6)).toMatch(STOPPED);
  });

  it("the host's networks and static routes are the host's, whatever the neighbours say", async () => {
    const connected = [link4("m", 1), link6("m", 1)] as const;
    expect((await underlay.kernel(4, "7100")).map(({ dst }) => dst)).toContain("192.168.30.0/25");
    for (const pod of ["red1", "blue1", "green1"] as const)
      expect(await both((to) => fromPod(pod, to), ...connected)).toBe("m");
    expect(await both(fromHost, ...connected)).toBe("m");
    expect(await both((to) => fromPod("red1", to), STATIC4, STATIC6)).toBe("m");
    expect(await both(fromHost, STATIC4, STATIC6)).toBe("m");
  });

  it("what can be nobody's destination is not used", async () => {
    const [route] = await underlay.ctl<RouteView[]>("received", "a4", "169.254.7.0/24");
    expect(route.rejected).toContain("martian");
    expect((await underlay.kernel(4, "7100")).map(({ dst }) => dst)).not.toContain("169.254.7.0/24");
  });

  it("with hostRoutes: last only the connected networks are", async () => {
    expect(await both((to) => fromPod("blue1", to), STATIC4, STATIC6)).toBe("b");
  });

  it("the host's addresses and its pods are reached directly", async () => {
    const listed = (await underlay.kernel(4, "7100")).map(({ dst }) => dst);
    expect(listed).toEqual(expect.arrayContaining(["192.168.30.2", address.red2[4], "10.244.1.0/29"]));
    expect(await both((to) => fromPod("red1", to), link4("m", 2), link6("m", 2))).toBe("host");
    const reply = (four: string) => run("ip", ["netns", "exec", pods.namespace("red1"), "ping", "-c1", "-W2", four]);
    expect(await reply(address.red2[4])).toContain("ttl=63");
    expect(await reply(address.red2[6])).toContain("ttl=63");
  });

  it("a neighbour stays reachable on its link when another one announces its address, for the host too", async () => {
    expect((await underlay.kernel(4, "7400")).map(({ dst }) => dst)).toContain("192.168.10.0/25");
    expect(await both(fromHost, link4("a", 1), link6("a", 1))).toBe("a");
    expect(await both((to) => fromPod("blue1", to), link4("a", 1), link6("a", 1))).toBe("a");
    expect(await both(fromHost, EDGE4, EDGE6)).toBe("a");
  });
});

describe("tables of a running daemon", () => {
  const reload = async (text: string) => {
    underlay.configure(text);
    return (await underlay.ctl<PlanView>("reload")).changes.map(({ path, impact }) => `${path} ${impact}`);
  };
  const rules = async () => (await underlay.rules()).filter(({ ours }) => ours).map(({ text }) => text);

  it("are treated otherwise, added and removed without a word on the sessions", async () => {
    const changed = {
      b: "id: 7200, fallback: unreachable",
      storage: "id: 7300",
      more: "id: 7500, host: true",
    };
    expect((await reload(yaml(changed))).filter((change) => !change.startsWith("peers."))).toEqual([
      "tables.b.hostRoutes live",
      "tables.storage.fallback live",
      "tables.more live",
      "tables.edge live",
      "policies.split live",
    ]);
    expect(await both((to) => fromPod("blue1", to), STATIC4, STATIC6)).toBe("m");
    expect(await both((to) => fromPod("green1", to), WORLD4, WORLD6)).toBe("m");
    await waitFor(async () => (await both(fromHost, EDGE4, EDGE6)) === "a", "the new table in use", { interval: 20 });
    await waitFor(async () => underlay.log.includes("table is gone"), "the old table to go", { interval: 20 });
    expect([await underlay.kernel(4, "7400"), await underlay.kernel(6, "7400")]).toEqual([[], []]);
    expect((await rules()).filter((text) => /lookup 7[45]00/.test(text))).toEqual(
      ["1090: from all lookup 7500", "1090: from all lookup 7500"], // IPv4 and IPv6
    );

    await reload(yaml());
    await waitFor(async () => (await underlay.kernel(6, "7500")).length === 0, "the table to be empty", {
      interval: 20,
    });
    await waitFor(async () => (await both(fromHost, EDGE4, EDGE6)) === "a", "the first one in use", { interval: 20 });
    expect(await both((to) => fromPod("blue1", to), STATIC4, STATIC6)).toBe("b");
    expect(await both((to) => fromPod("green1", to), WORLD4, WORLD6)).toMatch(STOPPED);
    expect((await frr.a.neighbor(link4("a", 2))).connectionsEstablished).toBe(1);
  });

  it("do not get another number", async () => {
    underlay.configure(yaml({ ...usual, b: "id: 7201" }));
    const answer = host.exec("sh", "-c", `"$@" 2>&1 || true`, "sh", process.execPath, ...reloadCommand());
    expect(await answer).toContain("takes a restart of the daemon (which keeps forwarding): tables.b.id");
    expect(await both((to) => fromPod("blue1", to), WORLD4, WORLD6)).toBe("b");
  });
});

const reloadCommand = () => [distFile("underlayctl.cjs"), "--socket", underlay.socket, "reload"];

describe("without any", () => {
  it("the host keeps what it has, pods fall back to it or stop", async () => {
    await Promise.all([frr.a.stop(), frr.b.stop()]);
    await waitFor(async () => learnedCount(await underlay.status()) === 8, "no learned routes", { interval: 20 });
    await waitFor(async () => (await underlay.kernel(6, "7400")).length === 0, "an empty table", { interval: 20 });
    expect(await both(fromHost, WORLD4, WORLD6)).toBe("m");
    expect(await both(fromHost, EDGE4, EDGE6)).toBe("m");
    expect(await both(fromHost, link4("m", 1), link6("m", 1))).toBe("m");
    expect(await both((to) => fromPod("red1", to), WORLD4, WORLD6)).toBe("m");
    expect(await both((to) => fromPod("blue1", to), WORLD4, WORLD6)).toMatch(STOPPED);
    expect(await both((to) => fromPod("green1", to), STORAGE4, STORAGE6)).toMatch(STOPPED);
    expect(await both((to) => fromPod("blue1", to), link4("m", 1), link6("m", 1))).toBe("m");
  });
});
