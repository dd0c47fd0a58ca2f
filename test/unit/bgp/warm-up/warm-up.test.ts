import { expect, it } from "vitest";
import { usualBestPath } from "../../../../bgp/loc-rib/best-path-options.ts";
import { Rib } from "../../../../bgp/rib.ts";
import type { PeerStatus } from "../../../../bgp/session/types.ts";
import { scratchTable } from "../../../../bgp/warm-up/scratch-table.ts";
import { WarmUp } from "../../../../bgp/warm-up/warm-up.ts";
import { Framer } from "../../../../bgp/wire/framer.ts";
import { systemClock } from "../../../../net/clock.ts";
import { silentLog } from "../../../../net/log.ts";
import { FakeSession, peer, resolveAll } from "../support.ts";

const options = {
  asn: 65000,
  routerId: 0x0a000001,
  clusterId: 1,
  tables: [{ name: "main", id: 7100 }],
  bestPath: usualBestPath,
  listenPort: null,
  listenAddresses: [],
};

it("the scratch tables are ones that a neighbour could have sent", async () => {
  const rib = new Rib(options, { clock: systemClock, log: silentLog, resolver: resolveAll });
  const source = new FakeSession(peer("in", "192.0.2.1", 65001, { export: "none" }));
  const sink = new FakeSession(peer("out", "192.0.2.2", 65002, { import: "none" }));
  for (const session of [source, sink]) {
    rib.addPeer(session.peer);
    rib.established(session);
  }
  const framer = new Framer();
  framer.push(scratchTable(0, 65001));
  while (framer.next()) rib.update(source, framer.buffer, framer.start, framer.end);
  expect(framer.buffered).toBe(0);
  const { ipv4, ipv6, total } = rib.counts();
  expect(ipv4).toBeGreaterThan(5000);
  expect(ipv6).toBeGreaterThan(1000);
  while (rib.advertisedCount("out") < total) await new Promise(setImmediate);
  const { errors } = rib.peerView({ name: "in", lastErrorAt: null } as PeerStatus);
  expect(errors).toEqual({ treatedAsWithdrawn: 0, attributesDiscarded: 0, prefixesDropped: 0 });
  rib.stop();
});

it("runs in slices, and ends when told to", async () => {
  const whole = await turnsOf(() => undefined);
  expect(whole.complete).toBe(true);
  expect(whole.turns).toBeGreaterThan(50);
  const stopped = await turnsOf((warmUp) => warmUp.stop());
  expect(stopped.complete).toBe(false);
  expect(stopped.turns).toBeLessThan(whole.turns / 5);
});

/** Turns that the event loop makes meanwhile. */
async function turnsOf(meanwhile: (warmUp: WarmUp) => void): Promise<{ turns: number; complete: boolean }> {
  const warmUp = new WarmUp(systemClock, options, peer("any", "192.0.2.1", 65001, {}));
  let turns = 0;
  let running = true;
  const count = () => {
    turns++;
    if (running) setImmediate(count);
  };
  count();
  const end = warmUp.run();
  meanwhile(warmUp);
  const complete = await end;
  running = false;
  return { turns, complete };
}
