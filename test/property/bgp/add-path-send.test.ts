// Whatever neighbours say, with sessions that flap, sockets that fill up, refreshes and policies that change: those that are
// sent several paths hold what a naive speaker would have sent, under identifiers of their own, and at the end nothing
// is left.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Family } from "../../../net/address.ts";
import { type Neighbor, Simulation } from "../../unit/bgp/simulation.ts";

const MAX_PATHS = 2;
const clients = [
  ["all", "all", "192.0.2.11", 65011],
  ["multipath", "multipath", "192.0.2.12", 65012],
  ["two", 2, "192.0.2.13", 65013],
] as const;
/** The first sends two paths of a prefix, with identifiers. */
const sources = [
  ["a", "192.0.2.1", 65001],
  ["a", "192.0.2.1", 65001],
  ["b", "192.0.2.2", 65002],
  ["c", "192.0.2.3", 65003],
] as const;
const prefixes = ["0.0.0.0/0", "10.1.2.3/32", "2001:db8::/32"];

const source = fc.integer({ min: 0, max: sources.length - 1 });
const client = fc.integer({ min: 0, max: clients.length - 1 });
const one = fc.constantFrom(...prefixes);
const command = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant("announce" as const),
      source,
      prefix: one,
      hops: fc.integer({ min: 0, max: 2 }),
    }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("withdraw" as const), source, prefix: one }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constantFrom("flap", "block", "unblock", "refresh", "none", "some"), client }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("lose" as const), source }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("settle" as const) }) },
);

describe("paths sent", () => {
  it("are those that each neighbour should have", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(command, { maxLength: 50 }), async (commands) => {
        const simulation = new Simulation({ maxPaths: MAX_PATHS });
        const both = [4, 6] as Family[];
        const a = simulation.peer(
          "a",
          "192.0.2.1",
          65001,
          { addPath: { receive: true, send: null, limit: 4 } },
          { addPath: { receive: both, send: [] } },
        );
        const b = simulation.peer("b", "192.0.2.2", 65002);
        const c = simulation.peer("c", "192.0.2.3", 65003);
        const neighbors: Neighbor[] = [a, a, b, c];
        const told = clients.map(([name, send, at, asn]) =>
          simulation.peer(
            name,
            at,
            asn,
            { addPath: { receive: false, send, limit: 16 } },
            { addPath: { receive: [], send: both } },
          ),
        );
        /** What each source announces: prefix -> hops behind its own AS. */
        const said = sources.map(() => new Map<string, number>());
        const silent = clients.map(() => false);
        const textOf = (index: number, prefix: string) => (index < 2 ? `${prefix}#${index}` : prefix);
        const unblock = (neighbor: Neighbor) => {
          neighbor.open = true;
          simulation.rib.writable(neighbor.session);
        };
        for (const step of commands) {
          if (step.kind === "settle") await simulation.settle();
          else if (step.kind === "announce") {
            const tail = Array.from({ length: step.hops }, () => 9);
            const asPath = [{ type: 2 as const, asns: [sources[step.source][2], ...tail] }];
            // A next hop for each path.
            const nextHop = step.prefix.includes(":") ? Uint8Array.of(0x20, 1, ...new Array(13).fill(0), 1) : null;
            if (nextHop) nextHop[14] = step.source + 1;
            const ipv4 = Uint8Array.of(192, 0, 2, 101 + step.source);
            neighbors[step.source].announce([textOf(step.source, step.prefix)], { asPath, nextHop: nextHop ?? ipv4 });
            said[step.source].set(step.prefix, step.hops);
          } else if (step.kind === "withdraw") {
            neighbors[step.source].withdraw([textOf(step.source, step.prefix)]);
            said[step.source].delete(step.prefix);
          } else if (step.kind === "lose") {
            const neighbor = neighbors[step.source];
            neighbor.down();
            neighbor.up();
            for (const [index, other] of neighbors.entries()) if (other === neighbor) said[index].clear();
          } else {
            const neighbor = told[step.client];
            if (step.kind === "flap") {
              neighbor.down();
              neighbor.up();
            } else if (step.kind === "block") neighbor.open = false;
            else if (step.kind === "unblock") unblock(neighbor);
            else if (step.kind === "refresh") simulation.rib.routeRefresh(neighbor.session, 4);
            else {
              silent[step.client] = step.kind === "none";
              simulation.rib.setPolicies({ ...neighbor.options, export: step.kind === "none" ? "none" : "all" });
            }
          }
        }
        for (const neighbor of [...neighbors, ...told]) unblock(neighbor);
        await simulation.settle();

        for (const [index, [name]] of clients.entries()) {
          const expected: string[] = [];
          for (const prefix of silent[index] ? [] : prefixes) {
            const offers = sources.flatMap(([, , asn], from) => {
              const hops = said[from].get(prefix);
              return hops === undefined ? [] : [{ from, hops, asn }];
            });
            offers.sort((x, y) => x.hops - y.hops || x.from - y.from);
            const equal = offers.filter(({ hops }) => hops === offers[0].hops);
            const chosen =
              name === "all" ? offers : name === "multipath" ? equal.slice(0, MAX_PATHS) : offers.slice(0, 2);
            for (const { hops, asn } of chosen)
              expected.push(`${prefix} ${[65000, asn, ...Array.from({ length: hops }, () => 9)].join(" ")}`);
          }
          const held = told[index].routes.map((route) => route.replace(/#\d+ via \S+ path/, ""));
          expect(held.sort(), name).toEqual(expected.sort());
          const shown = [...simulation.rib.advertised(name)].map(({ prefix, pathId }) => `${prefix}#${pathId}`);
          expect(shown.sort()).toEqual([...told[index].table.keys()].sort());
        }

        for (const neighbor of [a, b, c, ...told]) neighbor.down();
        for (const { options } of [a, b, c, ...told]) simulation.rib.removePeer(options.name);
        for (let i = 0; i < 4; i++) {
          await simulation.settle();
          simulation.clock.advance(1100);
        }
        await simulation.settle();
        expect(simulation.rib.memory()).toEqual({ prefixes: 0, attributeSets: 0, outgoingSets: 0, updateGroups: 0 });
        simulation.rib.stop();
      }),
      { numRuns: 100 },
    );
  });
});
