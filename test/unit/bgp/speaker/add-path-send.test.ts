// Several paths of a prefix sent to one neighbour (RFC 7911), as a route server or a reflector does.
// biome-ignore-all lint/suspicious/noThenProperty: `then` is what a policy statement calls its decision.
import { describe, expect, it } from "vitest";
import type { AddPathOptions } from "../../../../bgp/session/types.ts";
import { type Family, formatAddress } from "../../../../net/address.ts";
import { prefix } from "../../../../net/prefix.ts";
import { type Neighbor, Simulation } from "../simulation.ts";
import { address, FakeResolver, FakeSession, LOCAL_ASN, peer } from "../support.ts";

const agreed = { addPath: { receive: [], send: [4, 6] as Family[] } };
const sends = (send: AddPathOptions["send"]) => ({ addPath: { receive: false, send, limit: 16 } });

const PREFIX = "10.1.0.0/16";

/** Three neighbours, and one that is sent several paths. */
function fabric(send: AddPathOptions["send"], options = {}, simulation = new Simulation({ maxPaths: 2 })) {
  const others = [1, 2, 3].map((n) => simulation.peer(`p${n}`, `192.0.2.${n}`, 65000 + n));
  const client = simulation.peer("client", "192.0.2.9", 65009, { ...sends(send), ...options }, agreed);
  return { simulation, others, client };
}

const announce = (neighbor: Neighbor, prefixes: string[], ...tail: number[]) =>
  neighbor.announce(prefixes, { asPath: [{ type: 2, asns: [neighbor.session.negotiated.remoteAsn, ...tail] }] });

/** `prefix path`, without identifiers. */
const paths = (neighbor: Neighbor) => neighbor.routes.map((route) => route.replace(/#\d+ via \S+ path/, "")).sort();
const ids = (neighbor: Neighbor) => [...neighbor.table.keys()].sort();

describe("a neighbour is sent", () => {
  it.each([
    ["all paths", "all", ["65000 65001", "65000 65002", "65000 65003 7"]],
    ["the paths in use", "multipath", ["65000 65001", "65000 65002"]],
    ["the best one", 1, ["65000 65001"]],
    ["the best two", 2, ["65000 65001", "65000 65002"]],
    ["the best three", 3, ["65000 65001", "65000 65002", "65000 65003 7"]],
    ["no more than there are", 9, ["65000 65001", "65000 65002", "65000 65003 7"]],
  ] as const)("%s", async (_, send, expected) => {
    const { simulation, others, client } = fabric(send);
    announce(others[2], [PREFIX, "2001:db8:1::/48"].slice(0, 1), 7);
    announce(others[2], ["2001:db8:1::/48"], 7);
    for (const other of others.slice(0, 2)) {
      announce(other, [PREFIX]);
      other.announce(["2001:db8:1::/48"], {
        nextHop: address(`2001:db8::${other.session.negotiated.remoteAddress[3]}`),
      });
    }
    await simulation.settle();
    const both = [...expected.map((path) => `${PREFIX} ${path}`), ...expected.map((path) => `2001:db8:1::/48 ${path}`)];
    expect(paths(client)).toEqual(both.sort());
    expect(new Set(client.table.keys()).size).toBe(both.length);
    expect(client.endOfRibs.sort()).toEqual([4, 6]);
  });

  it("each path under its own identifier, replaced and withdrawn by itself", async () => {
    const { simulation, others, client } = fabric("all");
    for (const other of others) announce(other, [PREFIX]);
    await simulation.settle();
    const before = ids(client);
    expect(before).toHaveLength(3);
    client.messages.length = 0;
    announce(others[1], [PREFIX], 7, 8);
    await simulation.settle();
    expect(ids(client)).toEqual(before);
    expect(client.messages).toHaveLength(1);
    expect(paths(client)).toContain(`${PREFIX} 65000 65002 7 8`);
    client.messages.length = 0;
    others[0].withdraw([PREFIX]);
    await simulation.settle();
    expect(paths(client)).toEqual([`${PREFIX} 65000 65002 7 8`, `${PREFIX} 65000 65003`]);
    expect(before).toEqual(expect.arrayContaining(ids(client)));
    // Header, lengths, identifier and /16.
    expect(client.messages).toEqual([23 + 7]);
    others[1].down();
    others[2].withdraw([PREFIX]);
    await simulation.settle();
    expect(client.routes).toEqual([]);
  });

  it("nothing back that came from it, and its own paths do not count among the best", async () => {
    const { simulation, others, client } = fabric(2);
    announce(client, [PREFIX]);
    announce(others[0], [PREFIX], 7);
    announce(others[1], [PREFIX], 7, 8);
    announce(others[2], [PREFIX], 7, 8, 9);
    await simulation.settle();
    expect(paths(client)).toEqual([`${PREFIX} 65000 65001 7`, `${PREFIX} 65000 65002 7 8`]);
  });

  it("paths that pass its policy, each by itself; another policy takes back or adds without a new session", async () => {
    const policy = {
      name: "not-65002",
      statements: [
        { match: { asPath: ["_65002_"] }, set: {}, then: "reject" as const },
        { match: {}, set: { med: 5 }, then: "accept" as const },
      ],
    };
    const { simulation, others, client } = fabric("all", { export: policy });
    for (const other of others) announce(other, [PREFIX]);
    await simulation.settle();
    expect(paths(client)).toEqual([`${PREFIX} 65000 65001`, `${PREFIX} 65000 65003`]);
    expect([...client.table.values()].map(({ med }) => med)).toEqual([5, 5]);
    simulation.rib.setPolicies({ ...client.options, export: "all" });
    await simulation.settle();
    expect(paths(client)).toHaveLength(3);
    simulation.rib.setPolicies({ ...client.options, export: "none" });
    await simulation.settle();
    expect(client.routes).toEqual([]);
    simulation.rib.setPolicies({ ...client.options, export: "all" });
    await simulation.settle();
    expect(paths(client)).toHaveLength(3);
  });

  it("our blocks alone where it says so", async () => {
    const { simulation, others, client } = fabric("all", { export: "blocks" });
    simulation.rib.announceLocal(7100, prefix(PREFIX));
    for (const other of others) announce(other, [PREFIX, "10.2.0.0/16"]);
    await simulation.settle();
    expect(paths(client).map((path) => path.trim())).toEqual([`${PREFIX} 65000`]);
    simulation.rib.withdrawLocal(7100, prefix(PREFIX));
    await simulation.settle();
    expect(client.routes).toEqual([]);
  });

  it("within our AS: paths of other ASes with their next hops, none of our AS's", async () => {
    const simulation = new Simulation();
    const inside = simulation.peer("inside", "192.0.2.7", LOCAL_ASN);
    inside.announce([PREFIX]);
    const others = [1, 2].map((n) => simulation.peer(`p${n}`, `192.0.2.${n}`, 65000 + n));
    const client = simulation.peer("client", "192.0.2.9", LOCAL_ASN, sends("all"), agreed);
    for (const other of others) announce(other, [PREFIX]);
    await simulation.settle();
    expect(client.routes.map((route) => route.replace(/#\d+/, ""))).toEqual([
      `${PREFIX} via 192.0.2.1 path 65001`,
      `${PREFIX} via 192.0.2.2 path 65002`,
    ]);
  });

  it("all that one neighbour sent with identifiers of its own", async () => {
    const simulation = new Simulation();
    const server = simulation.peer(
      "rs",
      "192.0.2.1",
      65001,
      { addPath: { receive: true, send: null, limit: 4 } },
      { addPath: { receive: [4], send: [] } },
    );
    const client = simulation.peer("client", "192.0.2.9", 65009, sends("all"), agreed);
    for (const [pathId, asn] of [
      [900, 7],
      [901, 8],
      [902, 9],
    ])
      server.announce([`${PREFIX}#${pathId}`], { asPath: [{ type: 2, asns: [65001, asn] }] });
    await simulation.settle();
    expect(paths(client)).toEqual([7, 8, 9].map((asn) => `${PREFIX} 65000 65001 ${asn}`));
    server.withdraw([`${PREFIX}#901`]);
    await simulation.settle();
    expect(paths(client)).toEqual([7, 9].map((asn) => `${PREFIX} 65000 65001 ${asn}`));
  });

  it("changes of paths that are not the best, and of next hops that can no longer be used", async () => {
    const resolver = new FakeResolver();
    const { simulation, others, client } = fabric("all", {}, new Simulation({ resolver, maxPaths: 1 }));
    announce(others[0], [PREFIX]);
    announce(others[1], [PREFIX], 7);
    await simulation.settle();
    expect(paths(client)).toHaveLength(2);
    announce(others[1], [PREFIX], 8);
    await simulation.settle();
    expect(paths(client)).toEqual([`${PREFIX} 65000 65001`, `${PREFIX} 65000 65002 8`]);
    resolver.set("192.0.2.2", "unreachable");
    await simulation.settle();
    expect(paths(client)).toEqual([`${PREFIX} 65000 65001`]);
    resolver.set("192.0.2.2", "reachable");
    await simulation.settle();
    expect(paths(client)).toHaveLength(2);
  });

  it("at the pace that it reads, folded into the present state, and everything again on request", async () => {
    const { simulation, others, client } = fabric("all");
    const many = Array.from({ length: 12_000 }, (_, i) => `20.${i >>> 8}.${i & 255}.0/24`);
    for (const other of others) for (let at = 0; at < many.length; at += 500) announce(other, many.slice(at, at + 500));
    client.open = false;
    await simulation.settle();
    const sent = client.table.size;
    expect(sent).toBeLessThanOrEqual(8192);
    for (let at = 0; at < many.length; at += 500) others[2].withdraw(many.slice(at, at + 500));
    await simulation.settle();
    expect(client.table.size).toBe(sent);
    client.open = true;
    simulation.rib.writable(client.session);
    await simulation.settle();
    expect(client.table.size).toBe(24_000);
    expect(simulation.rib.advertisedCount("client")).toBe(12_000);
    client.table.clear();
    simulation.rib.routeRefresh(client.session, 4);
    await simulation.settle();
    expect(client.table.size).toBe(24_000);
  });

  it("and what it was sent is shown path by path", async () => {
    const { simulation, others, client } = fabric("all");
    announce(others[0], [PREFIX]);
    announce(others[1], [PREFIX], 7);
    await simulation.settle();
    const shown = [...simulation.rib.advertised("client")];
    expect(shown.map(({ prefix, pathId, peer, asPath, best }) => [`${prefix}#${pathId}`, peer, asPath, best])).toEqual([
      [ids(client)[0], "p1", "65000 65001", true],
      [ids(client)[1], "p2", "65000 65002 7", false],
    ]);
    const status = { name: "client", lastError: null, lastErrorAt: null };
    const view = simulation.rib.peerView(status as Parameters<typeof simulation.rib.peerView>[0]);
    expect(view).toMatchObject({ advertised: 1, paths: { advertised: { ipv4: 2, ipv6: 0, total: 2 } } });
  });
});

describe("octets", () => {
  it("an identifier stands before each prefix, announced and withdrawn, and paths of like attributes share a message", async () => {
    const simulation = new Simulation();
    const others = [1, 2].map((n) => simulation.peer(`p${n}`, `192.0.2.${n}`, 65001, { import: "all" }));
    const client = peer("client", "192.0.2.9", 65009, sends("all"));
    simulation.rib.addPeer(client);
    const session = new FakeSession(client, null, agreed);
    simulation.rib.established(session);
    await simulation.settle();
    session.sent.length = 0;
    for (const other of others) other.announce([PREFIX]);
    await simulation.settle();
    for (const other of others) other.withdraw([PREFIX]);
    await simulation.settle();
    const sent = session.sent.map((bytes) => Buffer.from(bytes).toString("hex"));
    const marker = "ff".repeat(16);
    const attributes = "40010100" + "40020a02020000fde80000fde9" + "400304c00002fe";
    // The node's own routes are source 1, the two neighbours 2 and 3.
    expect(sent).toEqual([
      `${marker}003d02 0000 0018 ${attributes} 00000002 10 0a01 00000003 10 0a01`.replaceAll(" ", ""),
      `${marker}002502 000e 00000002 10 0a01 00000003 10 0a01 0000`.replaceAll(" ", ""),
    ]);
    expect(formatAddress(session.negotiated.localAddress)).toBe("192.0.2.254");
  });
});
