// Peer groups and listen ranges with the daemon as users run it: what peers inherit, neighbours that nobody has configured
// one by one, over IPv4, IPv6 and link-local addresses, and what underlayctl tells of them and does to them.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { PeerView } from "../../bgp/views.ts";
import type { RefreshView } from "../../daemon/api/types.ts";
import { Bird } from "./support/bird.ts";
import { Frr } from "./support/frr.ts";
import { Lab, type Node } from "./support/namespace.ts";
import { proves } from "./support/proofs.ts";
import { Underlay } from "./support/underlay.ts";
import { waitFor } from "./support/wait.ts";

let lab: Lab;
let us: Node;
let underlay: Underlay;
let frr: Frr;
let bird: Bird;

const config = (extra = "") => `
node: { name: node1.rack7.example.net, asn: 65101, routerId: 10.0.0.11 }
pools: { default: { blocks: [10.244.1.0/26] } }
peerGroups:
  base: { import: all, export: blocks, connectRetry: 1s, advertiseHostname: true, gracefulRestart: false }
  tors: { group: base, asn: 65001-65009, holdTime: 30s }
  rack:
    group: base
    asn: external
    listen: [10.2.0.0/24, "2001:db8:2::/64", "fe80::/64%bird"]
    listenLimit: 2
    password: { file: rack.key }
  one: { group: base, asn: 65002, listen: [10.2.0.9/32], password: { file: rack.key } }
peers:
  tor: { group: tors, address: 10.1.0.2 }
${extra}`;

const birdConfig = (sessions: string) => `
router id 10.0.0.2;
protocol device {}
protocol static { ipv4; route 198.51.100.0/24 blackhole; }
template bgp rack {
  local as 65002;
  password "open sesame";
  connect delay time 1; connect retry time 1; error wait time 1, 2;
  ipv4 { import all; export where source = RTS_STATIC; extended next hop on; };
  ipv6 { import all; export none; };
}
${sessions}`;

beforeAll(async () => {
  lab = new Lab("groups");
  us = lab.addNode("us");
  const [frrNode, birdNode] = [lab.addNode("frr"), lab.addNode("bird")];
  lab.link(
    { node: us, name: "frr", addresses: ["10.1.0.1/24"] },
    { node: frrNode, name: "eth0", addresses: ["10.1.0.2/24"] },
  );
  lab.link(
    { node: us, name: "bird", addresses: ["10.2.0.1/24", "10.2.0.3/24", "2001:db8:2::1/64", "fe80::1/64"] },
    { node: birdNode, name: "eth0", addresses: ["10.2.0.2/24", "10.2.0.9/24", "2001:db8:2::2/64", "fe80::2/64"] },
  );
  frr = await Frr.start(
    frrNode,
    `
router bgp 65001
 bgp router-id 10.0.0.1
 no bgp ebgp-requires-policy
 neighbor 10.1.0.1 remote-as 65101
 neighbor 10.1.0.1 timers connect 1
`,
  );
  underlay = await Underlay.start(us, config().replaceAll("password: { file: rack.key }", "holdTime: 90s"));
  await us.exec(
    "sh",
    "-c",
    `printf "open sesame" > ${underlay.directory}/rack.key; chmod 600 ${underlay.directory}/rack.key`,
  );
  underlay.configure(config());
  await underlay.restart();
});

afterAll(async () => {
  await underlay?.stop();
  await frr?.close();
  await bird?.close();
  await lab.close();
});

const peers = () => underlay.ctl<PeerView[]>("peers");
const names = async () => (await peers()).map(({ name }) => name).sort();
/** What a person reads. */
const text = (...args: string[]) =>
  us.exec(
    "sh",
    "-c",
    '"$@" || [ $? = 1 ]',
    "sh",
    process.execPath,
    `${import.meta.dirname}/../../dist/underlayctl.cjs`,
    "--socket",
    underlay.socket,
    ...args,
  );

describe("a peer of a group", () => {
  it("is like its group", async () => {
    await underlay.waitEstablished("tor");
    await frr.waitEstablished("10.1.0.1");
    const tor = await underlay.peer("tor");
    expect(tor).toMatchObject({
      group: "tors",
      dynamic: false,
      asn: 65001,
      import: "all",
      export: "blocks",
      timers: { holdTime: { local: 30, remote: 180, negotiated: 30 }, keepalive: 10, connectRetry: 1 },
      maxMessage: 65535,
    });
    // FRR says who it is, and shows who we are.
    expect(tor.hostname).not.toBeNull();
    expect(await frr.neighbor("10.1.0.1")).toMatchObject({ hostname: "node1", domainname: "rack7.example.net" });
    expect(await text("peers", "tor")).toMatch(/peer group +tors\n[\s\S]*timers +hold 30 s \(ours 30, theirs 180\)/);
  });

  it("is asked for its routes, and reset, from the command line", async () => {
    proves("frr", "route-refresh");
    const refreshes = async () =>
      ((await frr.neighbor("10.1.0.1"))["messageStats"] as { routeRefreshRecv: number }).routeRefreshRecv;
    const before = await refreshes();
    expect(await underlay.ctl<RefreshView>("refresh", "tor")).toEqual({ peer: "tor", families: ["ipv4"] });
    await waitFor(async () => (await refreshes()) === before + 1, "FRR to count our refresh");
    expect(await text("refresh", "tor", "--family", "ipv4")).toContain("asked tor for its ipv4 routes");
    await expect(text("refresh", "tor", "--family", "ipv6")).rejects.toThrow(
      /no IPv6 routes are exchanged with peer tor/,
    );
    await expect(text("refresh", "nobody")).rejects.toThrow(/no peer nobody; there are tor/);

    const established = (await underlay.peer("tor")).establishedCount;
    expect(await text("reset", "tor", "moving", "racks")).toContain("session with tor reset: moving racks");
    await waitFor(async () => (await underlay.peer("tor")).establishedCount > established, "the session to be back");
    await frr.waitEstablished("10.1.0.1");
    expect((await underlay.peer("tor")).notifications.sent).toMatchObject({
      code: 6,
      subcode: 4,
      text: 'Cease/Administrative Reset: "moving racks"',
    });
  });
});

describe("a neighbour out of a range", () => {
  it("comes over IPv4, IPv6 and a link-local address, and goes with its session", async () => {
    proves("bird", "listen-range", "md5", "link-local");
    bird = await Bird.start(
      lab.nodes.find(({ name }) => name === "bird") as Node,
      birdConfig(`
protocol bgp v4 from rack { neighbor 10.2.0.1 as 65101; source address 10.2.0.2; }
protocol bgp ll from rack { neighbor fe80::1%'eth0' as 65101; source address fe80::2; }
`),
    );
    await Promise.all([bird.waitEstablished("v4"), bird.waitEstablished("ll")]);
    await waitFor(async () => (await names()).length === 3, "both");
    expect(await names()).toEqual(["rack/10.2.0.2", "rack/fe80::2%bird", "tor"]);
    const peer = await underlay.peer("rack/10.2.0.2");
    expect(peer).toMatchObject({ dynamic: true, group: "rack", asn: 65002, md5: "password", localPort: 179 });
    await waitFor(async () => (await underlay.received("rack/10.2.0.2")).length === 1, "its route");
    expect(await text("peers", "rack/fe80::2%bird")).toContain("rack, dynamic (listen range)");
    const status = await underlay.status();
    expect(status.peers).toEqual({ configured: 1, established: 1, dynamic: 2 });
    expect(await underlay.ctl("refresh", "rack/10.2.0.2")).toEqual({
      peer: "rack/10.2.0.2",
      families: ["ipv4", "ipv6"],
    });
  });

  it("is meant by its group's name in a policy; another name there is told at once", async () => {
    const heard = async () => Object.keys((await frr.json<{ routes: object }>("show bgp ipv4 unicast")).routes).sort();
    const tell = async (group: string) => {
      underlay.configure(
        `${config().replace("address: 10.1.0.2 }", "address: 10.1.0.2, export: [from, blocks] }")}policies: { from: [{ match: { peer: ${group} }, then: accept }] }\n`,
      );
      expect(await underlay.ctl<{ impact: string }>("reload")).toMatchObject({ impact: "live" });
    };
    await tell("rack");
    await waitFor(async () => (await heard()).join() === "10.244.1.0/26,198.51.100.0/24", "FRR to hear BIRD's route");
    await tell("one");
    await waitFor(async () => (await heard()).join() === "10.244.1.0/26", "FRR to lose it");
    underlay.configure(config());
    await underlay.ctl("reload");
  });

  it("is refused where the group is full; a narrower range has room", async () => {
    await bird.configure(
      birdConfig(`
protocol bgp v4 from rack { neighbor 10.2.0.1 as 65101; source address 10.2.0.2; }
protocol bgp ll from rack { neighbor fe80::1%'eth0' as 65101; source address fe80::2; }
protocol bgp v6 from rack { neighbor 2001:db8:2::1 as 65101; source address 2001:db8:2::2; }
protocol bgp nine from rack { neighbor 10.2.0.3 as 65101; source address 10.2.0.9; }
`),
    );
    await bird.waitEstablished("nine");
    await waitFor(async () => /Received: Connection rejected/.test(await bird.protocol("v6")), "BIRD to read why");
    expect(await names()).toEqual(["one/10.2.0.9", "rack/10.2.0.2", "rack/fe80::2%bird", "tor"]);
    expect(underlay.log).toContain("the group has its 2 peers (listenLimit)");
    await bird.birdc("disable v4");
    await bird.waitEstablished("v6");
    expect(await names()).toEqual(["one/10.2.0.9", "rack/2001:db8:2::2", "rack/fe80::2%bird", "tor"]);
  });

  it("stays through a reload that does not concern it, and goes when its range does", async () => {
    const established = async (name: string) => (await underlay.peer(name)).establishedCount;
    underlay.configure(config().replace("listenLimit: 2", "listenLimit: 9").replace(', "fe80::/64%bird"', ""));
    const { changes } = await underlay.ctl<{ changes: { path: string; impact: string }[] }>("reload");
    expect(changes.map(({ path, impact }) => `${path} ${impact}`).sort()).toEqual([
      "peerGroups.rack.listen live",
      "peerGroups.rack.listenLimit live",
    ]);
    await waitFor(async () => !(await names()).includes("rack/fe80::2%bird"), "the link-local one to be gone");
    expect(await established("rack/2001:db8:2::2")).toBe(1);
    underlay.configure(config().replace("import: all", "import: none"));
    await underlay.ctl("reload");
    expect(await underlay.peer("rack/2001:db8:2::2")).toMatchObject({ import: "none", establishedCount: 1 });
    await bird.stop();
    await waitFor(async () => (await names()).join() === "tor", "all to be gone");
    expect((await underlay.status()).state).toBe("ok");
  });
});
