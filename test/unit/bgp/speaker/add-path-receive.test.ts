// Several paths of a prefix from one neighbour (RFC 7911): as a route server, or a ToR that passes on all it has.
import { describe, expect, it } from "vitest";
import type { PathAttributes } from "../../../../bgp/wire/path-attributes.ts";
import type { Family } from "../../../../net/address.ts";
import type { Log } from "../../../../net/log.ts";
import { type Neighbor, Simulation } from "../simulation.ts";
import { address, negotiatedRestart, unlimited } from "../support.ts";

const addPath = { receive: [4, 6] as Family[], send: [] };
const options = { addPath: { receive: true, send: null, limit: 4 } };

function routeServer(log?: Log): { simulation: Simulation; server: Neighbor } {
  const simulation = new Simulation(log ? { log } : {});
  const server = simulation.peer("rs", "192.0.2.1", 65001, options, { addPath, gracefulRestart: negotiatedRestart });
  return { simulation, server };
}

const via = (nextHop: string, ...tail: number[]): Partial<PathAttributes> => ({
  nextHop: address(nextHop),
  asPath: [{ type: 2, asns: [65001, ...tail] }],
});

const received = ({ rib }: Simulation) =>
  [...rib.received("rs")].map(({ prefix, pathId, nextHops, best, multipath }) => {
    const marks = `${best ? " best" : ""}${multipath ? " multipath" : ""}`;
    return `${prefix}#${pathId} via ${nextHops[0]}${marks}`;
  });

const gateways = ({ rib }: Simulation, prefix: string) =>
  [...rib.routes({ prefix, best: true })].flatMap(({ nextHops }) => nextHops).sort();

const counts = ({ rib }: Simulation) => {
  const status = { name: "rs", lastError: null, lastErrorAt: null } as Parameters<typeof rib.peerView>[0];
  const { received, accepted, paths, pathsIgnored, stale } = rib.peerView(status);
  return { received, accepted, paths: [paths.received.total, paths.accepted.total], pathsIgnored, stale };
};

describe.each([
  ["IPv4", "10.1.0.0/16", ["192.0.2.11", "192.0.2.12", "192.0.2.13"]],
  ["IPv6", "2001:db8:1::/48", ["2001:db8::11", "2001:db8::12", "2001:db8::13"]],
])("paths of one neighbour, %s", (_, prefix, [first, second, third]) => {
  it("are all kept and used together", () => {
    const { simulation, server } = routeServer();
    server.announce([`${prefix}#1`], via(first));
    server.announce([`${prefix}#0`], via(second));
    server.announce([`${prefix}#4294967295`], via(third));
    expect(received(simulation)).toEqual([
      `${prefix}#1 via ${first} multipath`,
      // Everything else is equal: the lowest identifier is the best path.
      `${prefix}#0 via ${second} best multipath`,
      `${prefix}#4294967295 via ${third} multipath`,
    ]);
    expect(gateways(simulation, prefix)).toEqual([first, second, third]);
    expect(counts(simulation)).toMatchObject({ received: 1, accepted: 1, paths: [3, 3] });
    expect(simulation.rib.counts().total).toBe(1);
  });

  it("are replaced and withdrawn one by one, and a free lane is used again", () => {
    const { simulation, server } = routeServer();
    server.announce([`${prefix}#1`], via(first));
    server.announce([`${prefix}#2`], via(second));
    server.announce([`${prefix}#1`], via(third));
    expect(gateways(simulation, prefix)).toEqual([second, third]);
    server.withdraw([`${prefix}#1`, `${prefix}#9`]);
    expect(gateways(simulation, prefix)).toEqual([second]);
    expect(counts(simulation)).toMatchObject({ received: 1, paths: [1, 1] });
    for (let pathId = 10; pathId < 40; pathId++) {
      server.announce([`${prefix}#${pathId}`], via(first));
      expect(gateways(simulation, prefix)).toEqual([first, second]);
      server.withdraw([`${prefix}#${pathId}`]);
    }
    server.withdraw([`${prefix}#2`]);
    expect(counts(simulation)).toMatchObject({ received: 0, accepted: 0, paths: [0, 0], pathsIgnored: 0 });
    expect(gateways(simulation, prefix)).toEqual([]);
  });
});

describe("paths of one neighbour", () => {
  it("beyond the limit are counted, reported once and ignored", () => {
    const lines: string[] = [];
    const log = { debug() {}, info() {}, error() {}, warn: (_: object, text: string) => lines.push(text) } as Log;
    const { simulation, server } = routeServer(log);
    const prefix = "10.1.0.0/16";
    for (let pathId = 1; pathId <= 7; pathId++) server.announce([`${prefix}#${pathId}`], via(`192.0.2.${pathId}`));
    expect(counts(simulation)).toMatchObject({ received: 1, paths: [4, 4], pathsIgnored: 3 });
    expect(lines).toEqual(["more paths of a prefix than addPath.limit: further ones are ignored"]);
    // One of the ignored ones goes, one of the others makes room, and a further one comes.
    server.withdraw([`${prefix}#6`, `${prefix}#2`]);
    server.announce([`${prefix}#8`], via("192.0.2.8"));
    expect(gateways(simulation, prefix)).toEqual(["192.0.2.1", "192.0.2.3", "192.0.2.4", "192.0.2.8"]);
    expect(server.session.resets).toEqual([]);
  });

  it("count as one prefix towards maxPrefixes", () => {
    const simulation = new Simulation();
    const server = simulation.peer(
      "rs",
      "192.0.2.1",
      65001,
      { ...options, maxPrefixes: { ...unlimited, total: 2 } },
      { addPath },
    );
    for (const pathId of [1, 2, 3]) server.announce([`10.1.0.0/16#${pathId}`, `10.2.0.0/16#${pathId}`]);
    expect(server.session.resets).toEqual([]);
    server.announce(["10.3.0.0/16#1"]);
    expect(server.session.resets.map(({ code, subcode }) => [code, subcode])).toEqual([[6, 1]]);
  });

  it("with attributes that make them unusable are withdrawn one by one (RFC 7606)", () => {
    const { simulation, server } = routeServer();
    server.announce(["10.1.0.0/16#1", "10.2.0.0/16#1"], via("192.0.2.11"));
    server.announce(["10.1.0.0/16#2"], via("192.0.2.12"));
    // ORIGIN with a value that does not exist.
    server.announce(["10.1.0.0/16#1", "10.3.0.0/16#5"], { ...via("192.0.2.11"), origin: 9 as 0 });
    expect(received(simulation)).toEqual(["10.1.0.0/16#2 via 192.0.2.12 best", "10.2.0.0/16#1 via 192.0.2.11 best"]);
    const status = { name: "rs", lastError: null, lastErrorAt: null };
    const view = simulation.rib.peerView(status as Parameters<typeof simulation.rib.peerView>[0]);
    expect(view.errors.treatedAsWithdrawn).toBe(2);
  });

  it("stay as stale over a graceful restart, and go when they are not announced again", async () => {
    const { simulation, server } = routeServer();
    server.announce(["10.1.0.0/16#1", "10.2.0.0/16#1"], via("192.0.2.11"));
    server.announce(["10.1.0.0/16#2", "10.2.0.0/16#2"], via("192.0.2.12"));
    server.down(true);
    await simulation.settle();
    expect(counts(simulation)).toMatchObject({ received: 2, paths: [4, 4], stale: 4 });
    server.up({ addPath, gracefulRestart: negotiatedRestart });
    server.announce(["10.1.0.0/16#2"], via("192.0.2.12"));
    // Fresh before stale.
    expect(gateways(simulation, "10.1.0.0/16")).toEqual(["192.0.2.12"]);
    expect(gateways(simulation, "10.2.0.0/16")).toEqual(["192.0.2.11", "192.0.2.12"]);
    server.endOfRib(4);
    await simulation.settle();
    expect(counts(simulation)).toMatchObject({ received: 1, paths: [1, 1], stale: 0 });
    expect(received(simulation)).toEqual(["10.1.0.0/16#2 via 192.0.2.12 best"]);
  });

  it("go in an enhanced refresh when they are not sent again (RFC 7313)", async () => {
    const { simulation, server } = routeServer();
    server.announce(["10.1.0.0/16#1", "10.2.0.0/16#1"], via("192.0.2.11"));
    server.announce(["10.1.0.0/16#2", "10.2.0.0/16#2"], via("192.0.2.12"));
    simulation.rib.refreshMarker(server.session, 4, "begin");
    server.announce(["10.1.0.0/16#2"], via("192.0.2.12"));
    expect(counts(simulation)).toMatchObject({ received: 2, paths: [4, 4] });
    simulation.rib.refreshMarker(server.session, 4, "end");
    await simulation.settle();
    expect(counts(simulation)).toMatchObject({ received: 1, accepted: 1, paths: [1, 1] });
    expect(received(simulation)).toEqual(["10.1.0.0/16#2 via 192.0.2.12 best"]);
  });

  it("that are stale make room where a restarted neighbour numbers anew", async () => {
    const { simulation, server } = routeServer();
    for (const pathId of [1, 2, 3, 4]) server.announce([`10.1.0.0/16#${pathId}`], via(`192.0.2.${pathId}`));
    server.down(true);
    server.up({ addPath, gracefulRestart: negotiatedRestart });
    for (const pathId of [11, 12, 13, 14]) server.announce([`10.1.0.0/16#${pathId}`], via(`192.0.2.${pathId}`));
    expect(counts(simulation)).toMatchObject({ paths: [4, 4], stale: 0, pathsIgnored: 0 });
    expect(gateways(simulation, "10.1.0.0/16")).toEqual(["192.0.2.11", "192.0.2.12", "192.0.2.13", "192.0.2.14"]);
  });

  it("are let go of when the neighbour comes back without ADD-PATH, and the other way round", async () => {
    const { simulation, server } = routeServer();
    server.announce(["10.1.0.0/16#1"], via("192.0.2.11"));
    server.announce(["10.1.0.0/16#2"], via("192.0.2.12"));
    server.down(true);
    server.up({ addPath: { receive: [], send: [] }, gracefulRestart: negotiatedRestart });
    await simulation.settle();
    expect(counts(simulation)).toMatchObject({ received: 0, paths: [0, 0], stale: 0 });
    server.announce(["10.1.0.0/16"], via("192.0.2.13"));
    expect(received(simulation)).toEqual(["10.1.0.0/16#null via 192.0.2.13 best"]);
    server.down(true);
    server.up({ addPath, gracefulRestart: negotiatedRestart });
    await simulation.settle();
    server.announce(["10.1.0.0/16#7"], via("192.0.2.13"));
    expect(received(simulation)).toEqual(["10.1.0.0/16#7 via 192.0.2.13 best"]);
    expect(counts(simulation)).toMatchObject({ received: 1, paths: [1, 1] });
  });

  it("pass a policy one by one, and a new policy sees all of them", async () => {
    const { simulation, server } = routeServer();
    server.announce(["10.1.0.0/16#1", "0.0.0.0/0#1"], via("192.0.2.11"));
    server.announce(["10.1.0.0/16#2", "0.0.0.0/0#2"], via("192.0.2.12"));
    simulation.rib.setPolicies({ ...server.options, import: "default-route" });
    await simulation.settle();
    expect(counts(simulation)).toMatchObject({ received: 2, accepted: 1, paths: [4, 2] });
    expect(gateways(simulation, "0.0.0.0/0")).toEqual(["192.0.2.11", "192.0.2.12"]);
    simulation.rib.setPolicies({ ...server.options, import: "all" });
    await simulation.settle();
    expect(counts(simulation)).toMatchObject({ received: 2, accepted: 2, paths: [4, 4] });
  });
});
