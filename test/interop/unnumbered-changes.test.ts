// What becomes of unnumbered neighbours when things change: equal link-local addresses everywhere, a MAC and a link-local
// address that change under the session, interfaces that flap, are made anew or renamed, our own address late or changed,
// and several routers on one link.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Frr } from "./support/frr.ts";
import { Lab, type Node } from "./support/namespace.ts";
import { proves } from "./support/proofs.ts";
import { Underlay } from "./support/underlay.ts";
import { frrUnnumbered, nextHopsOf } from "./support/unnumbered.ts";
import { waitFor } from "./support/wait.ts";

const SHARED = "198.51.100.0/24";
const yaml = `
node: { name: node1, asn: 65101, routerId: 10.0.0.11 }
pools: { default: { blocks: [10.244.1.0/26] } }
peers:
  frr: { interface: eth1, asn: 65001, import: all, export: blocks, connectRetry: 1s }
  other: { interface: eth2, asn: 65002, import: all, export: blocks, connectRetry: 1s }
  third: { interface: eth3, asn: external, import: all, export: blocks, connectRetry: 1s }
`;
const towards = (asn: number, device = "eth0") => `
node: { name: as${asn}, asn: ${asn}, routerId: 10.0.0.${asn & 255} }
pools: { default: { blocks: [${SHARED}] } }
peers: { node1: { interface: ${device}, asn: external, import: all, export: blocks, connectRetry: 1s } }
`;

let lab: Lab;
let us: Node;
let nodes: { frr: Node; other: Node; bridge: Node; a: Node; b: Node };
let frr: Frr;
let underlay: Underlay;
let other: Underlay;
const routers: Underlay[] = [];

beforeAll(async () => {
  lab = new Lab("unnumc");
  us = lab.addNode("us");
  nodes = {
    frr: lab.addNode("frr"),
    other: lab.addNode("other"),
    bridge: lab.addNode("bridge"),
    a: lab.addNode("a"),
    b: lab.addNode("b"),
  };
  // The same two addresses on both links, and the other way round on the second one.
  lab.link(
    { node: us, name: "eth1", addresses: ["fe80::1/64"] },
    { node: nodes.frr, name: "swp1", addresses: ["fe80::2/64"] },
  );
  lab.link(
    { node: us, name: "eth2", addresses: ["fe80::1/64"] },
    { node: nodes.other, name: "eth0", addresses: ["fe80::2/64"] },
  );
  nodes.bridge.ip("link", "add", "br0", "type", "bridge", "mcast_snooping", "0");
  nodes.bridge.ip("link", "set", "br0", "up");
  lab.link({ node: us, name: "eth3", addresses: ["fe80::2/64"] }, { node: nodes.bridge, name: "port-us" });
  lab.link({ node: nodes.a, name: "eth0", addresses: ["fe80::1/64"] }, { node: nodes.bridge, name: "port-a" });
  lab.link({ node: nodes.b, name: "eth0", addresses: ["fe80::b/64"] }, { node: nodes.bridge, name: "port-b" });
  for (const port of ["port-us", "port-a", "port-b"]) nodes.bridge.ip("link", "set", port, "master", "br0");
  [frr, other, underlay] = await Promise.all([
    Frr.start(nodes.frr, frrUnnumbered(65001, ["swp1"], { networks: [SHARED] }), { daemons: ["zebra", "bgpd"] }),
    // One that leaves its kernel alone hears of its links all the same.
    Underlay.start(nodes.other, `${towards(65002)}routing: { install: false }\n`),
    Underlay.start(us, yaml),
  ]);
});

afterAll(async () => {
  await Promise.all([underlay, other, ...routers].map((daemon) => daemon?.stop()));
  await frr?.close();
  await lab.close();
});

const both = () => Promise.all([underlay.waitEstablished("frr", 60_000), underlay.waitEstablished("other", 60_000)]);
const hops = (...expected: string[]) =>
  waitFor(async () => (await nextHopsOf(us, SHARED)).join() === expected.join(), `next hops ${expected.join(", ")}`, {
    timeout: 30_000,
  }).catch(async (error) => {
    throw new Error(`${error.message}; there are ${await nextHopsOf(us, SHARED)}\n${underlay.log.slice(-3000)}`);
  });
/** Milliseconds until it is so. */
async function within(condition: () => Promise<boolean>, what: string): Promise<number> {
  const start = performance.now();
  await waitFor(condition, what, { timeout: 60_000, interval: 50 });
  return performance.now() - start;
}
const addressOf = async (peer: string) => (await underlay.peer(peer)).address;
const establishedAt = (peer: string, address: string) => async () => {
  const view = await underlay.peer(peer);
  return view.state === "Established" && view.address === address;
};

describe("unnumbered neighbours that change", () => {
  it("are told apart by interface when their addresses are equal, and share the load", async () => {
    proves("frr", "unnumbered", "multipath");
    await both();
    expect([await addressOf("frr"), await addressOf("other")]).toEqual(["fe80::2%eth1", "fe80::2%eth2"]);
    await hops("fe80::2 eth1", "fe80::2 eth2");
    expect((await underlay.peer("frr")).asn).toBe(65001);
    expect((await underlay.peer("other")).asn).toBe(65002);
  });

  it("follow their link down and up, without touching the other one", async () => {
    await both();
    const untouched = (await underlay.peer("other")).establishedCount;
    nodes.frr.ip("link", "set", "swp1", "down");
    await hops("fe80::2 eth2");
    try {
      await waitFor(async () => (await addressOf("frr")) === null, "the neighbour to be gone");
      const down = await underlay.peer("frr");
      expect(down.lastError).toBe("interface eth1 is down");
      expect(down.lastReset?.reason).toBe("interface eth1 went down");
    } finally {
      nodes.frr.ip("link", "set", "swp1", "up");
      // Administratively down took FRR's link-local address away.
      nodes.frr.addAddress("swp1", "fe80::2/64");
    }
    await both();
    await hops("fe80::2 eth1", "fe80::2 eth2");
    expect((await underlay.peer("other")).establishedCount).toBe(untouched);
  });

  it.each([
    ["frr", "eth1", "swp1", "fe80::22"],
    ["other", "eth2", "eth0", "fe80::33"],
  ] as const)(
    "%s: a new MAC and link-local address are followed within 15 s, the hold time being 90",
    async (name, device, there, next) => {
      await both();
      const node = nodes[name];
      const before = (await addressOf(name))?.split("%")[0] as string;
      node.ip("link", "set", there, "address", "02:00:00:00:77:01");
      node.addAddress(there, `${next}/64`);
      node.ip("address", "del", `${before}/64`, "dev", there);
      const took = await within(establishedAt(name, `${next}%${device}`), `${name} Established at ${next}`);
      expect(took).toBeLessThan(15_000);
      const { unnumbered } = await underlay.peer(name);
      expect(unnumbered?.neighbours[0]).toMatchObject({ address: next, present: true });
      await waitFor(async () => (await nextHopsOf(us, SHARED)).includes(`${next} ${device}`), "the new next hop");
      expect(await nextHopsOf(us, SHARED)).not.toContain(`${before} ${device}`);
    },
  );

  it("find us again when our own link-local address is another one, or late", async () => {
    await both();
    us.addAddress("eth2", "fe80::99/64");
    us.ip("address", "del", "fe80::1/64", "dev", "eth2");
    await waitFor(
      async () => (await other.peer("node1")).address === "fe80::99%eth0",
      "the neighbour to know the new address",
      { timeout: 30_000 },
    );
    expect(underlay.log).toContain("our address fe80::1%eth2 is gone");
    await underlay.waitEstablished("other", 60_000);
    us.ip("address", "del", "fe80::99/64", "dev", "eth2");
    await waitFor(
      async () => ((await underlay.peer("other")).lastError ?? "").includes("eth2 has no link-local address"),
      "the word about the missing address",
    );
    us.addAddress("eth2", "fe80::1/64");
    await underlay.waitEstablished("other", 60_000);
  });

  it("are found on an interface that is made anew, and on the one that has its name", async () => {
    await both();
    us.ip("link", "del", "eth2");
    await waitFor(
      async () => (await underlay.peer("other")).lastError === "interface eth2 does not exist",
      "eth2 gone",
    );
    const link = (name: string) =>
      lab.link(
        { node: us, name, addresses: ["fe80::1/64"] },
        { node: nodes.other, name: "eth0", addresses: ["fe80::2/64"] },
      );
    link("eth2");
    await underlay.waitEstablished("other", 60_000);
    const { ifindex } = (await underlay.peer("other")).unnumbered ?? {};
    expect(JSON.parse(us.ip("-j", "link", "show", "eth2"))[0].ifindex).toBe(ifindex);
    await waitFor(async () => (await nextHopsOf(us, SHARED)).includes("fe80::2 eth2"), "its next hop");
    us.ip("link", "set", "eth2", "name", "spare");
    await waitFor(async () => (await underlay.peer("other")).address === null, "the renamed interface to be left");
    us.ip("link", "set", "spare", "name", "eth2");
    await underlay.waitEstablished("other", 60_000);
  });

  it("of two routers on a link keep the one they are with, and go to the other one when it dies", async () => {
    routers.push(await Underlay.start(nodes.a, towards(65011)));
    await underlay.waitEstablished("third", 60_000);
    // Our own address on the other links: a neighbour's here.
    expect(await addressOf("third")).toBe("fe80::1%eth3");
    await waitFor(async () => (await nextHopsOf(us, SHARED)).includes("fe80::1 eth3"), "a's next hop");
    routers.push(await Underlay.start(nodes.b, towards(65012)));
    await waitFor(async () => (await underlay.peer("third")).unnumbered?.neighbours.length === 2, "both to be heard", {
      timeout: 30_000,
    });
    const { unnumbered, establishedCount, asn } = await underlay.peer("third");
    expect(unnumbered?.neighbours.map(({ address, present }) => [address, present])).toEqual([
      ["fe80::1", true],
      ["fe80::b", false],
    ]);
    expect([establishedCount, asn]).toEqual([1, 65011]);
    nodes.bridge.ip("link", "set", "port-a", "down");
    const took = await within(establishedAt("third", "fe80::b%eth3"), "the other router to take over");
    // The next word of the other router, and three seconds.
    expect(took).toBeLessThan(20_000);
    expect((await underlay.peer("third")).asn).toBe(65012);
  });
});
