// biome-ignore-all lint/suspicious/noThenProperty: `then` is what a policy statement calls its decision.
// Tables that come and go under running sessions.
import { expect, it } from "vitest";
import type { RouteEvent, SpeakerEvent } from "../../../../bgp/events.ts";
import type { LocRibView } from "../../../../bgp/loc-rib/types.ts";
import type { ImportPolicy } from "../../../../bgp/policy/types.ts";
import { prefix } from "../../../../net/prefix.ts";
import { Simulation } from "../simulation.ts";

const MORE = { name: "more", id: 7300 };
const P = "10.1.0.0/16";
const toMore: ImportPolicy = {
  name: "to-more",
  statements: [{ match: {}, set: { table: MORE.id }, then: "accept" }],
};

/** What a consumer of the table would have in the kernel: how many prefixes with next hops. */
function consumer(locRib: LocRibView) {
  const subscription = locRib.subscribe(() => {});
  const ids = new Uint32Array(64);
  const present = new Set<number>();
  return () => {
    for (let count = subscription.take(ids); count > 0; count = subscription.take(ids))
      for (const id of ids.subarray(0, count)) {
        if (locRib.nextHopSetOf(id) !== 0) present.add(id);
        else present.delete(id);
      }
    return present.size;
  };
}

async function seconds(simulation: Simulation, count = 3): Promise<void> {
  for (let i = 0; i < count; i++) {
    simulation.clock.advance(1000);
    await simulation.settle();
  }
}

const names = (simulation: Simulation) => [...new Set(simulation.rib.locRibs().map(({ table }) => table))];

it("a table is added, used by a peer and by a policy, and goes when neither uses it any more", async () => {
  const simulation = new Simulation();
  const { rib } = simulation;
  const events: RouteEvent[] = [];
  rib.onEvent((event: SpeakerEvent) => {
    if (event.type === "route") events.push(event);
  });
  const a = simulation.peer("a", "192.0.2.1", 65001);
  a.announce([P]);
  const locRibs = rib.addTable(MORE);
  expect(locRibs.map(({ table, family }) => `${table} ${family}`)).toEqual(["7300 4", "7300 6"]);
  expect(rib.addTable(MORE)).toEqual([]);
  const installed = consumer(locRibs[0]);

  const b = simulation.peer("b", "192.0.2.2", 65002, { table: MORE.id });
  b.announce(["10.2.0.0/16"]);
  rib.announceLocal(MORE.id, prefix("10.244.1.0/26"));
  rib.setPolicies({ ...a.options, import: toMore });
  await seconds(simulation);
  expect([...rib.routes({ table: "more" })].map((route) => route.prefix).sort()).toEqual([
    P,
    "10.2.0.0/16",
    "10.244.1.0/26",
  ]);
  expect([...rib.routes({ table: "fabric" })]).toEqual([]);
  expect(installed()).toBe(2);
  expect(events.map(({ table }) => table)).toContain("more");
  expect([...b.table.keys()].sort()).toEqual([P, "10.244.1.0/26"]);

  let gone = 0;
  rib.retireTable(MORE.id, () => gone++);
  await seconds(simulation);
  expect(gone).toBe(0);
  rib.removePeer("b");
  rib.setPolicies({ ...a.options, import: "all" });
  await seconds(simulation);
  expect(gone).toBe(0); // the block is announced from it still
  rib.withdrawLocal(MORE.id, prefix("10.244.1.0/26"));
  await seconds(simulation);
  expect(gone).toBe(1);
  expect(installed()).toBe(0);
  expect(names(simulation)).toEqual([7100, 7200]);
  expect([...rib.routes({ table: "fabric" })].map((route) => route.prefix)).toEqual([P]);
  expect(() => [...rib.routes({ table: "more" })]).toThrow('no table "more"');
  expect(() => simulation.peer("c", "192.0.2.3", 65003, { table: MORE.id })).toThrow("table 7300 is not configured");
  await seconds(simulation);
  expect(gone).toBe(1);
});

it("a table that was to go and is added again stays as it is, under its new name", async () => {
  const simulation = new Simulation();
  const { rib } = simulation;
  rib.addTable(MORE);
  const b = simulation.peer("b", "192.0.2.2", 65002, { table: MORE.id });
  b.announce([P]);
  let gone = 0;
  rib.retireTable(MORE.id, () => gone++);
  expect(rib.addTable({ name: "other", id: MORE.id })).toEqual([]);
  rib.removePeer("b");
  await seconds(simulation);
  expect(gone).toBe(0);
  expect(names(simulation)).toContain(MORE.id);
  expect([...rib.routes({ table: "other" })]).toEqual([]);
});

it("a block is told to neighbours of further tables, as long as it is to be", async () => {
  const simulation = new Simulation();
  const { rib } = simulation;
  const a = simulation.peer("a", "192.0.2.1", 65001, { export: "blocks" });
  const b = simulation.peer("b", "192.0.2.2", 65002, { export: "blocks", table: 7200 });
  const block = prefix("10.244.1.0/26");
  const told = async () => {
    await seconds(simulation, 1);
    return [a, b].map(({ table }) => [...table].map(([text, { communities }]) => `${text} ${communities}`));
  };
  rib.announceLocal(7200, block, { communities: [1], tables: [7100, 7999] });
  expect(await told()).toEqual([["10.244.1.0/26 1"], ["10.244.1.0/26 1"]]);
  rib.announceLocal(7200, block, { communities: [2] });
  expect(await told()).toEqual([[], ["10.244.1.0/26 2"]]);

  // A block that moves is announced from both tables for a while.
  rib.announceLocal(7200, block, { communities: [2], tables: [7100] });
  rib.announceLocal(7100, block, { communities: [3] });
  expect(await told()).toEqual([["10.244.1.0/26 3"], ["10.244.1.0/26 2"]]);
  rib.withdrawLocal(7200, block);
  expect(await told()).toEqual([["10.244.1.0/26 3"], []]);
  rib.withdrawLocal(7100, block);
  expect(await told()).toEqual([[], []]);
});

it("coming and going leaves nothing behind", async () => {
  const simulation = new Simulation();
  const { rib } = simulation;
  for (let i = 0; i < 20; i++) {
    rib.addTable(MORE);
    const b = simulation.peer("b", "192.0.2.2", 65002, { table: MORE.id });
    b.announce([P, "10.2.0.0/16"]);
    rib.removePeer("b");
    let gone = false;
    rib.retireTable(MORE.id, () => {
      gone = true;
    });
    await seconds(simulation);
    expect(gone).toBe(true);
  }
  expect(rib.memory()).toEqual({ prefixes: 0, attributeSets: 0, outgoingSets: 0, updateGroups: 0 });
});
