// RouteSync between a Loc-RIB and a fib worker that are played by hand: order of definitions, batches and removals.
import { describe, expect, it } from "vitest";
import type { LocRibView, ResolvedMember } from "../../../bgp/loc-rib/types.ts";
import { RouteSync } from "../../../routing/route-sync.ts";
import type { Fib, RouteBatch } from "../../../routing/types.ts";

const member = (last: number): ResolvedMember => ({ ifindex: 2, gateway: Uint8Array.of(192, 0, 2, last), weight: 1 });

/** A Loc-RIB of IPv4 /24s: prefix id n is 10.x.y.0/24. */
class TestRib implements LocRibView {
  readonly family = 4;
  readonly table = 7100;
  readonly sets = new Map<number, number>();
  members = new Map<number, ResolvedMember[]>();
  #dirty: number[] = [];
  #wake = () => {};
  changed = (_set: number) => {};
  released = (_set: number) => {};

  route(id: number, set: number): void {
    this.sets.set(id, set);
    if (this.#dirty.push(id) === 1) this.#wake();
  }
  subscribe(wake: () => void) {
    this.#wake = wake;
    const dirty = () => this.#dirty;
    return {
      get pending() {
        return dirty().length;
      },
      take: (out: Uint32Array) => {
        const taken = this.#dirty.splice(0, out.length);
        out.set(taken);
        return taken.length;
      },
      close: () => {},
    };
  }
  readPrefix(id: number, out: Uint8Array, offset: number): number {
    out.set([10, (id >> 8) & 255, id & 255, 0], offset);
    return 24;
  }
  nextHopSetOf = (id: number) => this.sets.get(id) ?? 0;
  nextHopSetMembers = (set: number) => this.members.get(set) ?? [];
  onNextHopSetChanged(listener: (set: number) => void): void {
    this.changed = listener;
  }
  onNextHopSetReleased(listener: (set: number) => void): void {
    this.released = listener;
  }
}

function recorder() {
  const log: string[] = [];
  const batches: RouteBatch[] = [];
  const drains: (() => void)[] = [];
  const state = { accept: true };
  const fib = {
    setNextHopSet: (id: number, members: readonly ResolvedMember[]) =>
      log.push(`set ${id}: ${members.map(({ gateway }) => gateway[3])}`),
    removeNextHopSet: (id: number) => log.push(`remove ${id}`),
    apply: (batch: RouteBatch) => {
      log.push(`apply ${batch.count > 4 ? batch.count : [...batch.nextHopSets]}`);
      batches.push(batch);
      return state.accept;
    },
    onDrain: (listener: () => void) => {
      drains.push(listener);
      return () => drains.splice(drains.indexOf(listener), 1);
    },
  } as unknown as Fib;
  return { fib, log, batches, state, drain: () => drains[0]() };
}

const turns = async (count: number) => {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
};

describe("route sync", () => {
  it("defines a set before its first route and removes it after its last", async () => {
    const rib = new TestRib();
    const { fib, log, batches } = recorder();
    rib.members.set(5, [member(1)]).set(6, [member(1), member(2)]);
    const sync = new RouteSync(rib, fib);
    rib.route(1, 5);
    rib.route(2, 6);
    rib.route(3, 0);
    await sync.settled();
    expect(log).toEqual(["set 1: 1", "set 2: 1,2", "apply 1,2,0"]);
    expect([...batches[0].addresses]).toEqual([10, 0, 1, 0, 10, 0, 2, 0, 10, 0, 3, 0]);
    expect(batches[0]).toMatchObject({ family: 4, table: 7100, count: 3, lengths: Uint8Array.of(24, 24, 24) });

    log.length = 0;
    rib.members.set(6, [member(2)]);
    rib.changed(6);
    rib.route(1, 6);
    rib.released(5);
    await sync.settled();
    expect(log).toEqual(["set 2: 2", "apply 2", "remove 1"]);
  });

  it("gives sets of several Loc-RIBs ids of their own", async () => {
    const { fib, log } = recorder();
    const ribs = [new TestRib(), new TestRib()];
    const syncs = ribs.map((rib) => new RouteSync(rib, fib));
    for (const rib of ribs) {
      rib.members.set(1, [member(1)]);
      rib.route(1, 1);
    }
    await Promise.all(syncs.map((sync) => sync.settled()));
    expect(log).toEqual(["set 1: 1", "apply 1", "set 2: 1", "apply 2"]);
  });

  it("works in bounded slices, and waits when told to", async () => {
    const rib = new TestRib();
    const { fib, log, state, drain } = recorder();
    rib.members.set(1, [member(1)]);
    const sync = new RouteSync(rib, fib);
    state.accept = false;
    for (let id = 0; id < 20_000; id++) rib.route(id, 1);
    let settled = false;
    const done = sync.settled().then(() => {
      settled = true;
    });
    await turns(5);
    expect(log).toEqual(["set 1: 1", "apply 8192"]);
    state.accept = true;
    drain();
    await turns(5);
    await done;
    expect(settled).toBe(true);
    expect(log.slice(2)).toEqual(["apply 8192", "apply 3616"]);
  });

  it("is silent after stop", async () => {
    const rib = new TestRib();
    const { fib, log } = recorder();
    const sync = new RouteSync(rib, fib);
    rib.route(1, 1);
    sync.stop();
    rib.changed(1);
    await turns(2);
    await sync.settled();
    expect(log).toEqual([]);
  });
});
