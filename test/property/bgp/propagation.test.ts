// Whatever peers say, in whatever order, with sessions that flap and sockets that fill up: at the end every neighbour holds
// exactly what a naive speaker would have told it, and when all is withdrawn nothing is left in memory.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Neighbor, Simulation } from "../../unit/bgp/simulation.ts";

const peers = [
  ["a", "192.0.2.1", 65001],
  ["b", "192.0.2.2", 65002],
  ["c", "192.0.2.3", 65003],
] as const;
const prefixes = ["0.0.0.0/0", "10.0.0.0/8", "10.0.0.0/9", "10.1.2.3/32", "2001:db8::/32", "2001:db8::1/128", "::/0"];

const peer = fc.integer({ min: 0, max: peers.length - 1 });
const some = fc.subarray(prefixes, { minLength: 1 });
const command = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constant("announce" as const), peer, some, hops: fc.integer({ min: 0, max: 3 }) }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("withdraw" as const), peer, some }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("flap" as const), peer }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("block" as const), peer }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("unblock" as const), peer }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("settle" as const) }) },
);

const byFamily = (list: readonly string[]) => [
  list.filter((p) => !p.includes(":")),
  list.filter((p) => p.includes(":")),
];

function unblock(simulation: Simulation, neighbor: Neighbor): void {
  neighbor.open = true;
  simulation.rib.writable(neighbor.session);
}

describe("propagation", () => {
  it("every neighbour ends with what it should have", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(command, { maxLength: 40 }), async (commands) => {
        const simulation = new Simulation({ maxPaths: 1 });
        const neighbors = peers.map(([name, at, asn]) => simulation.peer(name, at, asn));
        /** What each peer announces: prefix -> hops behind its own AS. */
        const said = peers.map(() => new Map<string, number>());
        for (const step of commands) {
          if (step.kind === "settle") {
            await simulation.settle();
            continue;
          }
          const neighbor = neighbors[step.peer];
          const [, , asn] = peers[step.peer];
          if (step.kind === "announce") {
            const asPath = [{ type: 2 as const, asns: [asn, ...Array.from({ length: step.hops }, () => 9)] }];
            for (const list of byFamily(step.some)) if (list.length > 0) neighbor.announce(list, { asPath });
            for (const text of step.some) said[step.peer].set(text, step.hops);
          } else if (step.kind === "withdraw") {
            for (const list of byFamily(step.some)) if (list.length > 0) neighbor.withdraw(list);
            for (const text of step.some) said[step.peer].delete(text);
          } else if (step.kind === "flap") {
            neighbor.down();
            neighbor.up();
            said[step.peer].clear();
          } else if (step.kind === "block") neighbor.open = false;
          else unblock(simulation, neighbor);
        }
        for (const neighbor of neighbors) unblock(simulation, neighbor);
        await simulation.settle();

        peers.forEach((_, to) => {
          const expected: string[] = [];
          for (const text of prefixes) {
            const offers = peers.flatMap((_, from) => {
              const hops = said[from].get(text);
              return hops === undefined ? [] : [{ from, hops }];
            });
            const [best] = offers.sort((x, y) => x.hops - y.hops || x.from - y.from);
            if (!best || best.from === to) continue;
            const path = [65000, peers[best.from][2], ...Array.from({ length: best.hops }, () => 9)].join(" ");
            expected.push(`${text} via ${text.includes(":") ? "2001:db8::fe" : "192.0.2.254"} path ${path}`);
          }
          expect(neighbors[to].routes).toEqual(expected.sort());
        });

        for (const neighbor of neighbors) neighbor.down();
        for (const { name } of neighbors.map(({ options }) => options)) simulation.rib.removePeer(name);
        for (let i = 0; i < 4; i++) {
          await simulation.settle();
          simulation.clock.advance(1100);
        }
        await simulation.settle();
        expect(simulation.rib.memory()).toEqual({ prefixes: 0, attributeSets: 0, outgoingSets: 0, updateGroups: 0 });
        simulation.rib.stop();
      }),
      { numRuns: 60 },
    );
  });
});
