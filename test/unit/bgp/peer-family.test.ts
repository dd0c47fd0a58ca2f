// What one peer announces may feed several Loc-RIBs, each through a filter of its own.

import { describe, expect, it } from "vitest";
import type { Outlet } from "../../../bgp/lane.ts";
import { usualBestPath } from "../../../bgp/loc-rib/best-path-options.ts";
import { PeerFamily } from "../../../bgp/peer-family.ts";
import { CompiledPolicy } from "../../../bgp/policy/compile.ts";
import { ImportFilter } from "../../../bgp/policy/filter.ts";
import type { ImportPolicy } from "../../../bgp/policy/types.ts";
import { RibCore } from "../../../bgp/rib-core.ts";
import { emptyAttributes } from "../../../bgp/wire/path-attributes.ts";
import { silentLog } from "../../../net/log.ts";
import { ManualClock } from "./simulation.ts";
import { address, peer, resolveAll } from "./support.ts";

/** 0.0.0.0/0 and 10.1.0.0/16. */
const nlri = Uint8Array.of(0, 16, 10, 1);

function setUp() {
  const clock = new ManualClock();
  const core = new RibCore(
    {
      asn: 65000,
      routerId: 1,
      clusterId: 1,
      tables: [
        { name: "fabric", id: 7100 },
        { name: "storage", id: 7200 },
      ],
      bestPath: usualBestPath,
      listenPort: null,
      listenAddresses: [],
    },
    { clock, log: silentLog, resolver: resolveAll },
    () => true,
  );
  const family = new PeerFamily(4, peer("a", "192.0.2.1", 65001, {}), core, () => {});
  const outlet = (table: number, policy: ImportPolicy): Outlet => ({
    locRib: core.locRib(table, 4),
    filter: new ImportFilter(new CompiledPolicy(policy), core.prefixes[4], "a", core.store),
  });
  const purge = { step: () => family.purge(new Uint32Array(64)) };
  const settle = async () => {
    core.slices.schedule(purge);
    for (let i = 0; i < 6; i++) await new Promise(setImmediate);
  };
  const attributes = core.store.intern({ ...emptyAttributes, nextHop: address("192.0.2.1") }, 4);
  return { clock, core, family, outlet, settle, attributes };
}

describe("a family with several paths per prefix", () => {
  it("opens no lane that the Loc-RIB has no number for", () => {
    const { core, family, attributes } = setUp();
    const locRib = core.locRib(7100, 4);
    const { session } = locRib.sources[0];
    family.open(session, 16);
    // Path identifier, length, prefix.
    const path = (pathId: number) => Uint8Array.of(0, 0, 0, pathId, 16, 10, 1);
    family.announce(path(1), 0, 7, attributes);
    family.announce(path(2), 0, 7, attributes);
    while (!locRib.full) locRib.addSource({ ...locRib.sourceAt(1)!, name: "another" });
    expect(locRib.indexOf(locRib.sourceAt(65_535)!)).toBe(65_535);
    family.announce(path(3), 0, 7, attributes);
    expect(family).toMatchObject({ received: 1, receivedPaths: 2, pathsIgnored: 1 });
    locRib.removeSource(locRib.sourceAt(40_000)!);
    family.announce(path(3), 0, 7, attributes);
    expect(family).toMatchObject({ received: 1, receivedPaths: 3, pathsIgnored: 1 });
    core.stop();
  });
});

describe("a family with several Loc-RIBs", () => {
  it("feeds each through its filter, and leaves one without a trace", async () => {
    const { clock, core, family, outlet, settle, attributes } = setUp();
    const [fabric, storage] = [core.locRib(7100, 4), core.locRib(7200, 4)];
    family.announce(nlri, 0, nlri.length, attributes);
    expect([fabric.size, storage.size]).toEqual([2, 0]);

    family.setOutlets([outlet(7100, "all"), outlet(7200, "default-route")]);
    await settle();
    expect([fabric.size, storage.size]).toEqual([2, 1]);
    expect(family).toMatchObject({ received: 2, receivedPaths: 2, accepted: 2, acceptedPaths: 2 });

    family.withdraw(nlri, 0, 1);
    expect([fabric.size, storage.size]).toEqual([1, 0]);
    family.announce(nlri, 0, 1, attributes);
    expect([fabric.size, storage.size]).toEqual([2, 1]);

    family.setOutlets([outlet(7100, "default-route")]);
    await settle();
    expect([fabric.size, storage.size]).toEqual([1, 0]);
    expect(storage.sources).toEqual([]);
    expect(family).toMatchObject({ received: 2, accepted: 1 });

    family.setOutlets([outlet(7100, "all"), outlet(7200, "all")]);
    await settle();
    family.doomAll();
    await settle();
    family.close();
    expect([fabric.size, storage.size, fabric.sources.length, storage.sources.length]).toEqual([0, 0, 0, 0]);
    for (let i = 0; i < 3; i++) {
      core.touched();
      clock.advance(1100);
      await settle();
    }
    expect([core.prefixes[4].size, core.store.size]).toEqual([0, 0]);
    core.stop();
  });
});
