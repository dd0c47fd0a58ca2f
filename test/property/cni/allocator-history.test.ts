// Random histories of pods, restarts and clocks, against a model that works it out the slow way: the same addresses or
// the same refusal, the same numbers; no address to another pod before its cooldown has passed by a clock that nobody
// sets; and what is given back too late frees nothing.
import fc from "fast-check";
import { expect, it } from "vitest";
import { type Allocation, Allocator, type Eviction } from "../../../cni/ipam/allocator.ts";
import { identityOf, type PodRecord, podKey, type StoreOperation } from "../../../cni/ipam/records.ts";
import { ReleasedList } from "../../../cni/ipam/released-list.ts";
import type { PoolOptions } from "../../../cni/types.ts";
import { parseAddress } from "../../../net/address.ts";
import { AllocatorModel, type ModelPool, type Request } from "./allocator-model.ts";

const COOLDOWN = 10;
const sticky = { by: "pod-name" as const, for: 60, limit: 3 };
const pools: readonly PoolOptions[] = [
  {
    name: "a",
    blocks: ["10.0.0.0/30", "10.0.1.0/30", "2001:db8::/125"],
    exclude: ["10.0.0.1", "2001:db8::2-2001:db8::3"],
    reserve: ["10.0.1.2/31"],
    cooldown: COOLDOWN,
    sticky,
    table: 7100,
  },
  { name: "b", blocks: ["10.1.0.0/30"], exclude: [], cooldown: COOLDOWN / 2, table: 7100 },
  {
    name: "c",
    blocks: ["10.2.0.0/31", "10.2.1.0/31"],
    exclude: [],
    cooldown: COOLDOWN * 2,
    whenCooling: "reuse",
    table: 7100,
  },
];
const model: readonly ModelPool[] = [
  {
    name: "a",
    blocks: {
      4: [
        ["10.0.0.0", "10.0.0.2", "10.0.0.3"],
        ["10.0.1.0", "10.0.1.1", "10.0.1.2", "10.0.1.3"],
      ],
      6: [["2001:db8::", "2001:db8::1", "2001:db8::4", "2001:db8::5", "2001:db8::6", "2001:db8::7"]],
    },
    excluded: [],
    reserved: ["10.0.1.2", "10.0.1.3"],
    cooldown: COOLDOWN * 1000,
    sticky,
  },
  {
    name: "b",
    blocks: { 4: [["10.1.0.0", "10.1.0.1", "10.1.0.2", "10.1.0.3"]], 6: [] },
    excluded: [],
    reserved: [],
    cooldown: COOLDOWN * 500,
    sticky: null,
  },
  {
    name: "c",
    blocks: {
      4: [
        ["10.2.0.0", "10.2.0.1"],
        ["10.2.1.0", "10.2.1.1"],
      ],
      6: [],
    },
    excluded: [],
    reserved: [],
    cooldown: COOLDOWN * 2000,
    reuse: true,
    sticky: null,
  },
];
const askable = [
  "10.0.0.0",
  "10.0.0.3",
  "10.0.1.2",
  "10.0.1.3",
  "2001:db8::1",
  "2001:db8::4",
  "10.1.0.1",
  "10.2.1.0",
  "10.9.9.9",
];

const deed = fc.oneof(
  {
    weight: 10,
    arbitrary: fc.record({
      kind: fc.constant("add" as const),
      pod: fc.nat(5),
      pools: fc.constantFrom(["a"], ["a"], ["b"], ["a", "b"], ["b", "a"], ["c"], ["c"], ["c", "b"]),
      wanted: fc.option(fc.constantFrom(...askable), { freq: 3 }),
      undone: fc.nat(5).map((n) => n === 0),
    }),
  },
  { weight: 8, arbitrary: fc.record({ kind: fc.constant("remove" as const), n: fc.nat(20) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("again" as const), n: fc.nat(20) }) },
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant("wait" as const), seconds: fc.constantFrom(1, 4, 11, 25, 61) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant("wall" as const), jump: fc.constantFrom(-3600_000, 3600_000) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("restart" as const), booted: fc.boolean() }) },
);

interface Pod {
  readonly record: PodRecord;
  readonly allocation: Allocation;
  readonly id: number;
}

/** The real thing: an allocator with the books that survive it. */
class World {
  now = 1_000_000;
  wall = 1_700_000_000_000;
  evicted: Eviction[] = [];
  #boot = 0;
  #journal: StoreOperation[] = [];
  #pods = new Map<string, PodRecord>();
  released = new ReleasedList();
  allocator = this.#start();

  commit(operation: StoreOperation): void {
    this.#journal.push(operation);
    this.#apply(operation);
  }

  restart(booted: boolean): void {
    if (booted) this.#boot++;
    this.#pods = new Map();
    this.released = new ReleasedList();
    for (const operation of JSON.parse(JSON.stringify(this.#journal)) as StoreOperation[]) this.#apply(operation);
    this.allocator = this.#start();
  }

  #start(): Allocator {
    this.commit({ op: "boot", id: String(this.#boot) });
    const allocator = new Allocator(pools, {
      now: () => this.now,
      wall: () => this.wall,
      onEvicted: (eviction) => void this.evicted.push(eviction),
    });
    allocator.continueFrom(this.released.lastSequence);
    for (const record of this.#pods.values()) expect(allocator.adopt(record)).toBe(true);
    this.released.replace(allocator.restoreReleased(this.released.entries));
    // As the store does before anybody is answered.
    const adds = [...this.#pods.values()].map((pod): StoreOperation => ({ op: "add", pod }));
    this.#journal = [{ op: "boot", id: String(this.#boot) }, ...this.released.operations(), ...adds];
    return allocator;
  }

  #apply(operation: StoreOperation): void {
    this.released.apply(operation, operation.op === "remove" ? this.#pods.get(operation.key) : undefined);
    if (operation.op === "add") this.#pods.set(podKey(operation.pod), operation.pod);
    if (operation.op === "remove") this.#pods.delete(operation.key);
  }
}

it("answers as the model does, whatever happens", () => {
  fc.assert(
    fc.property(fc.array(deed, { minLength: 10, maxLength: 70 }), (deeds) => {
      const world = new World();
      const oracle = new AllocatorModel(model);
      const live: Pod[] = [];
      const gone: Pod[] = [];
      /** By address: who gave it back, and when by the monotonic clock. */
      const history = new Map<string, { identity: string; at: number }>();
      let serial = 0;
      const check = () => {
        const used = live.flatMap(({ allocation }) => allocation.addresses);
        expect(new Set(used).size).toBe(used.length);
        for (const name of ["a", "b"])
          for (const use of world.allocator.use(name)) {
            const { used: inUse, free, cooling, reserved, sticky: keptNow } = use;
            expect({ used: inUse, free, cooling, reserved, sticky: keptNow }, `${name} IPv${use.family}`).toEqual(
              oracle.counts(name, use.family),
            );
          }
        expect(world.allocator.kept().map(({ identity }) => identity)).toEqual(oracle.kept("a"));
      };
      for (const entry of deeds) {
        world.now += 1;
        world.wall += 1;
        [oracle.now, oracle.wall] = [world.now, world.wall];
        oracle.expire();
        world.allocator.blocks();
        if (entry.kind === "add") {
          const named = entry.pod !== 5;
          const base = {
            network: "net",
            ifname: "eth0",
            containerId: `c${serial++}`,
            pod: named ? `ns/${entry.pod}` : null,
          };
          const identity = identityOf(base);
          const wanted = entry.wanted === null ? [] : [entry.wanted];
          const request: Request = { pools: entry.pools, wanted, identity, named };
          const expected = oracle.add(request);
          let allocation: Allocation;
          try {
            allocation = world.allocator.allocate({
              pools: entry.pools,
              addresses: wanted.map((address) => parseAddress(address)!),
              identity,
              keep: named ? "name" : null,
            });
          } catch (error) {
            expect(expected, (error as Error).message).toEqual({ code: (error as { code?: number }).code });
            check();
            continue;
          }
          const { addresses, pool, sequence } = allocation;
          expect({ addresses }).toEqual({ addresses: (expected as { addresses?: unknown }).addresses ?? expected });
          const record: PodRecord = {
            ...base,
            pool,
            addresses,
            sequence,
            netns: "",
            netnsId: "",
            hostInterface: "",
            mac: "",
          };
          world.commit({ op: "add", pod: record });
          for (const address of addresses) {
            if (pool === "c") continue;
            const before = history.get(address);
            const cooldown = address.startsWith("10.1.") ? COOLDOWN * 500 : COOLDOWN * 1000;
            if (before && before.identity !== identity)
              expect(world.now - before.at, `${address} of ${before.identity} to ${identity}`).toBeGreaterThanOrEqual(
                cooldown,
              );
          }
          if (entry.undone) {
            world.commit({ op: "remove", key: podKey(record), restored: allocation.restored });
            world.allocator.undo(allocation);
            oracle.undo();
          } else live.push({ record, allocation, id: (expected as { id: number }).id });
        } else if (entry.kind === "remove" && live.length > 0) {
          const [pod] = live.splice(entry.n % live.length, 1);
          world.commit({ op: "remove", key: podKey(pod.record), at: world.now, time: world.wall });
          world.allocator.release(pod.record.addresses, pod.allocation.sequence);
          oracle.release(pod.id);
          for (const address of pod.record.addresses)
            history.set(address, { identity: identityOf(pod.record), at: world.now });
          gone.push(pod);
        } else if (entry.kind === "again" && gone.length > 0) {
          const { record, allocation } = gone[entry.n % gone.length];
          world.allocator.release(record.addresses, allocation.sequence);
        } else if (entry.kind === "wait") {
          world.now += entry.seconds * 1000;
          world.wall += entry.seconds * 1000;
        } else if (entry.kind === "wall") world.wall += entry.jump;
        else if (entry.kind === "restart") {
          world.restart(entry.booted);
          oracle.restart(entry.booted);
        }
        [oracle.now, oracle.wall] = [world.now, world.wall];
        oracle.expire();
        check();
      }
    }),
    { numRuns: 150 },
  );
});
