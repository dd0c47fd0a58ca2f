import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ByteStore } from "../../../net/byte-store.ts";
import { systemClock } from "../../../net/clock.ts";
import { DirtySet } from "../../../net/dirty-set.ts";
import { PagedUint32 } from "../../../net/paged-array.ts";
import { prefix } from "../../../net/prefix.ts";
import { Ipv4PrefixTable, Ipv6PrefixTable, type PrefixTable } from "../../../net/prefix-table.ts";
import { Slices } from "../../../net/slices.ts";

const never = () => false;

describe("PrefixTable", () => {
  const tables: [string, () => PrefixTable, number][] = [
    ["IPv4", () => new Ipv4PrefixTable(), 4],
    ["IPv6", () => new Ipv6PrefixTable(), 16],
  ];

  it.each(tables)("%s: an id per prefix, host bits ignored, as a map would have it", (_, create, octets) => {
    const key = fc.tuple(
      fc.uint8Array({ minLength: octets, maxLength: octets }),
      fc.integer({ min: 0, max: octets * 8 }),
    );
    fc.assert(
      fc.property(fc.array(key, { maxLength: 200 }), (keys) => {
        const table = create();
        const model = new Map<string, number>();
        const out = new Uint8Array(octets);
        for (const [bytes, length] of keys) {
          const id = table.intern(bytes, 0, length);
          if (table.read(id, out, 0) !== length) expect.fail("length differs");
          const text = `${out}/${length}`;
          if ((model.get(text) ?? id) !== id || table.find(bytes, 0, length) !== id) expect.fail("another id");
          model.set(text, id);
        }
        expect(table.size).toBe(model.size);
        expect(new Set(model.values()).size).toBe(model.size);
      }),
      { numRuns: 50 },
    );
  });

  it.each(tables)("%s: grows, frees what nobody retains, reuses ids", (_, create, octets) => {
    const table = create();
    const bytes = new Uint8Array(octets);
    const intern = (n: number) => {
      bytes[0] = n >>> 16;
      bytes[1] = n >>> 8;
      bytes[2] = n;
      return table.intern(bytes, 0, 24);
    };
    const ids = Array.from({ length: 20_000 }, (_, n) => intern(n));
    for (const id of ids) table.retain(id);
    expect(ids.map((_, n) => intern(n))).toEqual(ids);
    for (let n = 0; n < ids.length; n += 2) table.release(ids[n]);
    // Held back by somebody who has yet to look at it.
    for (let i = 0; i < 100; i++) table.sweep((id) => id === ids[0]);
    expect(table.size).toBe(10_001);
    const odd = ids.flatMap((_, n) => (n % 2 === 1 ? [n] : []));
    expect(odd.map(intern)).toEqual(odd.map((n) => ids[n]));
    const limit = table.limit;
    for (let n = 100_000; n < 109_000; n++) intern(n);
    expect(table.limit).toBe(limit);
    for (let i = 0; i < 100; i++) table.sweep(never);
  });

  it("reads no further than the octets of the prefix", () => {
    const table = new Ipv4PrefixTable();
    const { bytes } = prefix("10.1.0.0/16");
    const id = table.intern(bytes, 0, 16);
    expect(table.find(Uint8Array.of(10, 1), 0, 16)).toBe(id);
    expect(table.find(Uint8Array.of(), 0, 0)).toBe(0);
  });
});

describe("DirtySet", () => {
  it("behaves as a set, whatever is added, deleted and taken", () => {
    const id = fc.oneof(fc.integer({ min: 0, max: 100 }), fc.integer({ min: 0, max: 200_000 }));
    const command = fc.oneof(
      fc.record({ kind: fc.constant("add" as const), id }),
      fc.record({ kind: fc.constant("delete" as const), id }),
      fc.record({ kind: fc.constant("take" as const), count: fc.integer({ min: 1, max: 40 }) }),
    );
    fc.assert(
      fc.property(fc.array(command, { maxLength: 300 }), (commands) => {
        const set = new DirtySet();
        const model = new Set<number>();
        for (const step of commands) {
          let agrees = true;
          if (step.kind === "add") {
            agrees = set.add(step.id) === !model.has(step.id);
            model.add(step.id);
          } else if (step.kind === "delete") {
            agrees = set.delete(step.id) === model.delete(step.id);
          } else {
            const out = new Uint32Array(step.count);
            const taken = set.take(out);
            agrees = taken === Math.min(step.count, model.size);
            for (const id of out.subarray(0, taken)) agrees &&= model.delete(id);
          }
          if (!agrees || set.size !== model.size) expect.fail(`${step.kind} differs`);
        }
        const rest: number[] = [];
        for (let at = set.next(0); at >= 0; at = set.next(at + 1)) rest.push(at);
        expect(rest).toEqual([...model].sort((a, b) => a - b));
      }),
      { numRuns: 200 },
    );
  });

  it("counts what is in at least one of several sets", () => {
    const id = fc.integer({ min: 0, max: 5000 });
    fc.assert(
      fc.property(fc.array(fc.array(id), { maxLength: 4 }), (lists) => {
        const sets = lists.map((ids) => {
          const set = new DirtySet();
          for (const id of ids) set.add(id);
          return set;
        });
        expect(DirtySet.unionSize(sets)).toBe(new Set(lists.flat()).size);
      }),
    );
  });

  it("take goes round: what is added behind waits its turn, nothing starves", () => {
    const set = new DirtySet();
    for (let id = 0; id < 100; id++) set.add(id);
    const out = new Uint32Array(64);
    set.take(out);
    set.add(1);
    expect(set.take(out)).toBe(37);
    expect(out[0]).toBe(64);
    expect(out[36]).toBe(1);
  });
});

describe("ByteStore", () => {
  const text = (n: number, size: number) => new TextEncoder().encode(`${n}:`.padEnd(size, "x"));
  const intern = (store: ByteStore, tag: number, bytes: Uint8Array) =>
    store.find(tag, bytes, 0, bytes.length) || store.add(tag, bytes, 0, bytes.length);

  it("one id per string and tag; churn does not grow the memory", () => {
    const store = new ByteStore();
    const freed: number[] = [];
    for (let round = 0; round < 30; round++) {
      const ids = Array.from({ length: 2000 }, (_, n) => {
        const bytes = text(round * 2000 + n, 40 + (n % 300));
        const id = intern(store, 1, bytes);
        store.retain(id);
        if (intern(store, 1, bytes) !== id || Buffer.compare(store.bytes(id), bytes) !== 0)
          expect.fail("not found again");
        return id;
      });
      // One in a hundred stays, spread over all chunks.
      ids.forEach((id, n) => {
        if (n % 100 !== 0) store.release(id);
      });
      while (store.garbage > 0) store.sweep((id) => freed.push(id));
    }
    expect(store.size).toBe(600);
    expect(freed).toHaveLength(30 * 1980);
    expect(store.allocated).toBeLessThanOrEqual(3 << 20);
    for (let round = 0; round < 30; round++) {
      const bytes = text(round * 2000 + 100, 140);
      const id = store.find(1, bytes, 0, bytes.length);
      expect(store.bytes(id)).toEqual(bytes);
      expect(store.find(2, bytes, 0, bytes.length)).toBe(0);
    }
  });

  it("an id whose last user hears in the same sweep that another one is gone is freed once", () => {
    const store = new ByteStore();
    const [first, second] = [1, 2].map((value) => intern(store, 0, Uint8Array.of(value)));
    store.retain(second);
    const freed: number[] = [];
    store.sweep((id) => {
      freed.push(id);
      if (id === first) store.release(second);
    });
    expect(freed).toEqual([first, second]);
    // Freed again, it would be looked for without end.
    expect(store.garbage).toBe(0);
    expect(store.size).toBe(0);
  });

  it("a string that is wanted again before the sweep keeps its id", () => {
    const store = new ByteStore();
    const id = intern(store, 0, text(1, 10));
    store.retain(id);
    store.release(id);
    store.retain(id);
    store.sweep(() => expect.fail("still in use"));
    expect(intern(store, 0, text(1, 10))).toBe(id);
    expect(intern(store, 0, text(2, 65_000))).not.toBe(id);
  });
});

describe("PagedUint32", () => {
  it("reads 0 where nothing was written, walks what is not 0", () => {
    const column = new PagedUint32();
    for (const at of [5, 4096, 70_000]) column.set(at, at);
    expect([column.get(4), column.get(5), column.get(1e6)]).toEqual([0, 5, 0]);
    expect([column.next(0), column.next(6), column.next(4097), column.next(70_001)]).toEqual([5, 4096, 70_000, -1]);
    const seen: number[] = [];
    column.forEach((_, value) => {
      seen.push(value);
    });
    expect(seen).toEqual([5, 4096, 70_000]);
  });
});

describe("Slices", () => {
  it("tasks take turns, a turn ends with its budget, an error in one does not stop the others", async () => {
    let time = 0;
    const errors: unknown[] = [];
    const slices = new Slices({ ...systemClock, now: () => time }, (error) => errors.push(error));
    const log: string[] = [];
    const task = (name: string, steps: number) => ({
      step: () => {
        log.push(name);
        time += 3;
        if (name === "bad") throw new Error("bad");
        return --steps > 0;
      },
    });
    const a = task("a", 3);
    slices.schedule(a);
    slices.schedule(a);
    slices.schedule(task("bad", 1));
    slices.schedule(task("b", 1));
    await new Promise(setImmediate);
    expect(log).toEqual(["a", "bad"]);
    while (slices.pending > 0) await new Promise(setImmediate);
    expect(log).toEqual(["a", "bad", "b", "a", "a"]);
    expect(errors).toHaveLength(1);
    slices.schedule(a);
    slices.stop();
    await new Promise(setImmediate);
    expect(log).toHaveLength(5);
  });
});
