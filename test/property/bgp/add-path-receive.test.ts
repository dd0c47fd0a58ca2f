// Announcements and withdrawals of (prefix, path identifier), sessions that end and come back with and without graceful
// restart, against a map; at the end nothing is left.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Family } from "../../../net/address.ts";
import { Simulation } from "../../unit/bgp/simulation.ts";
import { address, negotiatedRestart } from "../../unit/bgp/support.ts";

const LIMIT = 3;
const addPath = { receive: [4, 6] as Family[], send: [] };
const prefixes = ["0.0.0.0/0", "10.1.2.3/32", "2001:db8::/32", "::/0"];
const ids = [0, 1, 2, 3, 4_294_967_295];

const path = fc.tuple(fc.constantFrom(...prefixes), fc.constantFrom(...ids));
const command = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constant("announce" as const), path, nextHop: fc.integer({ min: 1, max: 4 }) }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("withdraw" as const), path }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("flap" as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("restart" as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("settle" as const) }) },
);

describe("paths received", () => {
  it("are those of a map from prefix and identifier", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(command, { maxLength: 60 }), async (commands) => {
        const simulation = new Simulation({ maxPaths: 8 });
        const peer = simulation.peer(
          "rs",
          "192.0.2.1",
          65001,
          { addPath: { receive: true, send: null, limit: LIMIT } },
          { addPath, gracefulRestart: negotiatedRestart },
        );
        /** Prefix -> identifier -> last octet of the next hop. */
        const model = new Map<string, Map<number, number>>();
        let ignored = 0;
        const nextHopOf = (prefix: string, last: number) =>
          prefix.includes(":") ? `2001:db8::${last}` : `192.0.2.${last}`;
        for (const step of commands) {
          if (step.kind === "announce") {
            const [prefix, id] = step.path;
            peer.announce([`${prefix}#${id}`], { nextHop: address(nextHopOf(prefix, step.nextHop)) });
            const paths = model.get(prefix) ?? new Map<number, number>();
            model.set(prefix, paths);
            if (paths.has(id) || paths.size < LIMIT) paths.set(id, step.nextHop);
            else ignored++;
          } else if (step.kind === "withdraw") {
            const [prefix, id] = step.path;
            peer.withdraw([`${prefix}#${id}`]);
            model.get(prefix)?.delete(id);
          } else if (step.kind === "flap") {
            peer.down();
            peer.up({ addPath, gracefulRestart: negotiatedRestart });
            model.clear();
          } else if (step.kind === "restart") {
            // All that was there is announced again, and some of it anew.
            peer.down(true);
            peer.up({ addPath, gracefulRestart: negotiatedRestart });
            for (const [prefix, paths] of model)
              for (const [id, nextHop] of paths)
                peer.announce([`${prefix}#${id}`], { nextHop: address(nextHopOf(prefix, nextHop)) });
            peer.endOfRib(4);
            peer.endOfRib(6);
          } else await simulation.settle();
        }

        await simulation.settle();
        const expected = [...model].flatMap(([prefix, paths]) =>
          [...paths].map(([id, nextHop]) => `${prefix}#${id} via ${nextHopOf(prefix, nextHop)}`),
        );
        const received = [...simulation.rib.received("rs")].map(
          ({ prefix, pathId, nextHops }) => `${prefix}#${pathId} via ${nextHops[0]}`,
        );
        expect(received.sort()).toEqual(expected.sort());
        for (const [prefix, paths] of model) {
          const used = [...simulation.rib.routes({ prefix, best: true })].flatMap(({ nextHops }) => nextHops);
          const nextHops = new Set([...paths.values()].map((nextHop) => nextHopOf(prefix, nextHop)));
          expect(new Set(used)).toEqual(nextHops);
        }
        const status = { name: "rs", lastError: null, lastErrorAt: null };
        const view = simulation.rib.peerView(status as Parameters<typeof simulation.rib.peerView>[0]);
        const announced = [...model.values()].filter((paths) => paths.size > 0).length;
        expect(view).toMatchObject({ received: announced, accepted: announced, pathsIgnored: ignored, stale: 0 });
        expect(view.paths.received.total).toBe(expected.length);
        expect(view.paths.accepted.total).toBe(expected.length);

        peer.down();
        simulation.rib.removePeer("rs");
        for (let i = 0; i < 4; i++) {
          await simulation.settle();
          simulation.clock.advance(1100);
        }
        await simulation.settle();
        expect(simulation.rib.memory()).toEqual({ prefixes: 0, attributeSets: 0, outgoingSets: 0, updateGroups: 0 });
        simulation.rib.stop();
      }),
      { numRuns: 150 },
    );
  });
});
