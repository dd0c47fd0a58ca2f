// Default routes for one neighbour (defaultOriginate), as the neighbour hears them: in any case or while there is a route,
// in place of those that are there, past the export policy, through a policy of their own; and gone with the wish for them.
import { describe, expect, it } from "vitest";
import { routesTold } from "../../../../bgp/route-why.ts";
import type { SpeakerPeer } from "../../../../bgp/speaker-types.ts";
import { diffConfig } from "../../../../config/diff.ts";
import { ConfigError, parseConfig } from "../../../../config/load.ts";
import { seenThrough } from "../../../../daemon/lifecycle/drain.ts";
import { prefix } from "../../../../net/prefix.ts";
import { type Neighbor, Simulation } from "../simulation.ts";
import { LOCAL_ASN } from "../support.ts";

const V4 = "0.0.0.0/0 via 192.0.2.254 path 65000";
const V6 = "::/0 via 2001:db8::fe path 65000";

const load = (keys: string, text = "") =>
  parseConfig(
    `node: { name: n, asn: ${LOCAL_ASN}, routerId: 10.0.0.1 }\npeers:\n  p: { address: 192.0.2.9, asn: 65009, import: none, export: none, ${keys} }\n${text}`,
    "f",
  );

/** What an operator has written for the neighbour `p`. */
const keysOf = (keys: string, text = ""): Pick<SpeakerPeer, "export" | "defaultOriginate"> => {
  const [{ export: exports, defaultOriginate }] = load(keys, text).config.peers;
  return { export: exports, defaultOriginate };
};

const start = (simulation: Simulation, keys: string, more: Partial<SpeakerPeer> = {}): Neighbor =>
  simulation.peer("p", "192.0.2.9", 65009, { import: "none", ...keysOf(keys), ...more });

const change = async (simulation: Simulation, p: Neighbor, keys: Partial<SpeakerPeer>): Promise<void> => {
  simulation.rib.setPolicies({ ...p.options, ...keys });
  await simulation.settle();
};

const view = (simulation: Simulation) =>
  simulation.rib.peerView({ name: "p" } as Parameters<Simulation["rib"]["peerView"]>[0]).defaultOriginate;

describe("in any case", () => {
  it("both families, whatever export says; changed and taken back on the running session", async () => {
    const simulation = new Simulation();
    const p = start(simulation, "defaultOriginate: true");
    await simulation.settle();
    expect(p.routes).toEqual([V4, V6]);
    expect(p.endOfRibs.sort()).toEqual([4, 6]);
    expect([...p.table.values()].map(({ origin, med }) => [origin, med])).toEqual([
      [0, null],
      [0, null],
    ]);
    expect(view(simulation)).toEqual({ ipv4: true, ipv6: true });
    expect([...simulation.rib.advertised("p")].map((route) => [route.prefix, route.peer])).toEqual([
      ["0.0.0.0/0", "local"],
      ["::/0", "local"],
    ]);

    await change(simulation, p, keysOf("defaultOriginate: { families: [ipv6] }"));
    expect(p.routes).toEqual([V6]);
    expect(view(simulation)).toEqual({ ipv4: null, ipv6: true });
    await change(simulation, p, keysOf("defaultOriginate: true"));
    expect(p.routes).toEqual([V4, V6]);
    const before = p.messages.length;
    await change(simulation, p, { export: "all", defaultOriginate: p.options.defaultOriginate });
    await change(simulation, p, { export: "none", defaultOriginate: p.options.defaultOriginate });
    expect(p.messages.length).toBe(before);
    await change(simulation, p, { export: "none", defaultOriginate: null });
    expect(p.routes).toEqual([]);
    expect(view(simulation)).toBeNull();
    expect(p.session.resets).toEqual([]);
  });

  it("instead of a default route that is there, which comes back when it is wanted no more", async () => {
    const simulation = new Simulation();
    const tor = simulation.peer("tor", "192.0.2.1", 65001, { export: "none" });
    tor.announce(["0.0.0.0/0", "10.0.0.0/8"]);
    const p = start(simulation, "defaultOriginate: true", { export: "all" });
    await simulation.settle();
    const learned = ["0.0.0.0/0 via 192.0.2.254 path 65000 65001", "10.0.0.0/8 via 192.0.2.254 path 65000 65001"];
    expect(p.routes).toEqual([V4, learned[1], V6]);
    // What happens to the learned one is no news for it.
    const before = p.messages.length;
    tor.withdraw(["0.0.0.0/0"]);
    await simulation.settle();
    tor.announce(["0.0.0.0/0"]);
    await simulation.settle();
    expect(p.messages.length).toBe(before);
    await change(simulation, p, { export: "all", defaultOriginate: null });
    expect(p.routes).toEqual(learned);
  });

  it("again when it asks for a refresh, within our AS with LOCAL_PREF, and among several paths as the only one", async () => {
    const simulation = new Simulation();
    const tor = simulation.peer("tor", "192.0.2.1", 65001, { export: "none" });
    tor.announce(["0.0.0.0/0"]);
    const p = start(simulation, "defaultOriginate: true", { remoteAsn: LOCAL_ASN });
    const addPath = { receive: false, send: "all", limit: 4 } as const;
    const q = simulation.peer(
      "q",
      "192.0.2.8",
      65008,
      { export: "all", import: "none", defaultOriginate: p.options.defaultOriginate, addPath },
      { addPath: { receive: [], send: [4] } },
    );
    await simulation.settle();
    expect(p.table.get("0.0.0.0/0")).toMatchObject({ localPref: 100, asPath: [] });
    expect(q.routes).toEqual([expect.stringMatching(/^0\.0\.0\.0\/0#\d+ via 192\.0\.2\.254 path 65000$/), V6]);
    await change(simulation, q, { defaultOriginate: null });
    expect(q.routes).toEqual([expect.stringMatching(/path 65000 65001$/)]);
    const before = p.messages.length;
    simulation.rib.routeRefresh(p.session, 4);
    await simulation.settle();
    expect(p.messages.length).toBe(before + 1);
  });

  it("leaves nothing behind", async () => {
    const simulation = new Simulation();
    const p = start(simulation, "defaultOriginate: { while: all }");
    await simulation.settle();
    p.down();
    await simulation.settle();
    p.up();
    await simulation.settle();
    simulation.rib.removePeer("p");
    for (let i = 0; i < 4; i++) {
      await simulation.settle();
      simulation.clock.advance(1100);
    }
    await simulation.settle();
    expect(simulation.rib.memory()).toMatchObject({ attributeSets: 0, prefixes: 0, updateGroups: 0 });
  });
});

describe("while there is a route", () => {
  it("of others that the policy accepts, by family: it comes and goes with the last one", async () => {
    const simulation = new Simulation();
    const tor = simulation.peer("tor", "192.0.2.1", 65001, { export: "none" });
    const p = start(simulation, "defaultOriginate: { while: default-route }", { import: "all" });
    await simulation.settle();
    expect([p.routes, p.endOfRibs.sort()]).toEqual([[], [4, 6]]);
    expect(view(simulation)).toEqual({ ipv4: false, ipv6: false });
    p.announce(["0.0.0.0/0"]);
    tor.announce(["10.0.0.0/8"]);
    await simulation.settle();
    expect(p.routes).toEqual([]);
    const names = { community: String, table: String };
    const { core, peers } = simulation.rib;
    expect(routesTold(core, peers, prefix("0.0.0.0/0"), 7100, names).find(({ peer }) => peer === "p")?.why).toBe(
      "its default route is ours, and no route in use is as defaultOriginate.while says",
    );
    tor.announce(["0.0.0.0/0"], { asPath: [{ type: 2, asns: [65001] }] });
    p.withdraw(["0.0.0.0/0"]);
    await simulation.settle();
    expect(p.routes).toEqual([V4]);
    tor.down();
    await simulation.settle();
    expect(p.routes).toEqual([]);
    tor.up();
    tor.announce(["::/0"]);
    await simulation.settle();
    expect(p.routes).toEqual([V6]);
    await change(simulation, p, {
      export: "none",
      defaultOriginate: keysOf("defaultOriginate: true").defaultOriginate,
    });
    expect(p.routes).toEqual([V4, V6]);
  });

  it("out of many, looked at in slices, by what the policy says of attributes", async () => {
    const simulation = new Simulation();
    const tor = simulation.peer("tor", "192.0.2.1", 65001, { export: "none" });
    const many = Array.from({ length: 20_000 }, (_, i) => `20.${i >> 8}.${i & 255}.0/24`);
    for (let at = 0; at < many.length; at += 500) tor.announce(many.slice(at, at + 500));
    const p = start(simulation, "", {
      ...keysOf(
        "defaultOriginate: { while: up }",
        "policies:\n  up: [{ match: { community: 65001:1, not: { peer: local } }, then: accept }]\n",
      ),
    });
    for (let i = 0; i < 20; i++) await simulation.settle();
    expect(p.routes).toEqual([]);
    tor.announce([many[12_345]], { communities: [(65001 << 16) + 1] });
    await simulation.settle();
    expect(p.routes).toEqual([V4]);
    tor.announce([many[12_345]]);
    await simulation.settle();
    expect(p.routes).toEqual([]);
  });

  it("End-of-RIB waits for it when we have restarted: the neighbour keeps the one it has", async () => {
    const simulation = new Simulation();
    simulation.rib.setRestarting(true);
    const tor = simulation.peer("tor", "192.0.2.1", 65001, { export: "none" });
    const p = start(simulation, "defaultOriginate: { while: default-route, families: [ipv4] }");
    await simulation.settle();
    expect(p.endOfRibs).toEqual([6]);
    tor.announce(["0.0.0.0/0"]);
    await simulation.settle();
    simulation.rib.setRestarting(false);
    await simulation.settle();
    expect([p.routes, p.endOfRibs]).toEqual([[V4], [6, 4]]);
  });
});

describe("what is on it", () => {
  it("its own policy sets, and the peer's communities; another policy is told at once, one that rejects takes it back", async () => {
    const text = `policies:
  marked: [{ set: { med: 7, prepend: 1, community: { add: 65000:1 } }, then: accept }]
  other: [{ match: { family: ipv4, peer: local, prefix: 0.0.0.0/0 }, set: { med: 8 }, then: accept }]
`;
    const simulation = new Simulation();
    const p = start(simulation, "", {
      ...keysOf("defaultOriginate: { policy: marked }, communities: { add: [65000:2] }", text),
    });
    await simulation.settle();
    expect(p.table.get("::/0")).toMatchObject({
      med: 7,
      communities: [(65000 << 16) + 1, (65000 << 16) + 2].map((value) => value >>> 0),
      asPath: [{ asns: [65000, 65000] }],
    });
    await change(simulation, p, keysOf("defaultOriginate: { policy: other }", text));
    expect([...p.table].map(([route, { med }]) => [route, med])).toEqual([["0.0.0.0/0", 8]]);
  });

  it("a drain has it marked first (RFC 8326), then withdrawn", async () => {
    const simulation = new Simulation();
    const p = start(simulation, "defaultOriginate: true");
    await change(simulation, p, seenThrough(p.options, "shifting"));
    expect([...p.table.values()].map(({ communities }) => communities)).toEqual([[0xffff_0000], [0xffff_0000]]);
    await change(simulation, p, seenThrough(p.options, "withdrawing"));
    expect(p.routes).toEqual([]);
    await change(simulation, p, p.options);
    expect(p.routes).toEqual([V4, V6]);
  });
});

describe("in the configuration", () => {
  it("is live, in a group too, where a peer may do without", () => {
    const [before, after] = ["false", "{ while: default-route }"].map(
      (value) => load(`defaultOriginate: ${value}`).config,
    );
    expect(diffConfig(before, after).changes.map(({ path, impact }) => `${path} ${impact}`)).toEqual([
      "peers.p.defaultOriginate live",
    ]);
    const group = (value: string) =>
      parseConfig(
        `node: { name: n, asn: 65000, routerId: 10.0.0.1 }\npeerGroups:\n  g: { asn: 65001, import: none, export: none, listen: 10.0.0.0/24, defaultOriginate: { families: [ipv4] } }\npeers:\n  p: { group: g, address: 192.0.2.9, defaultOriginate: ${value} }\n`,
        "f",
      ).config;
    expect(group("{ while: blocks }").peers[0].defaultOriginate).toEqual({
      families: [4],
      while: "blocks",
      route: "all",
    });
    expect(group("false").peers[0].defaultOriginate).toBeNull();
    expect(group("true").peerGroups[0].defaultOriginate).toEqual({ families: [4], while: null, route: "all" });
  });

  it.each([
    ["{ while: up }", 'defaultOriginate.while: there is no policy "up"'],
    ["{ policy: up }", 'defaultOriginate.policy: there is no policy "up"'],
    ["{ families: [ipv6] }, families: [ipv4]", "defaultOriginate.families: the session has none of these families"],
    ["{ when: always }", "defaultOriginate.when: is not a known key"],
  ])("%s is refused", (value, says) => {
    expect(() => load(`defaultOriginate: ${value}`)).toThrow(ConfigError);
    expect(() => load(`defaultOriginate: ${value}`)).toThrow(says);
  });
});
