// The allocation journal under random histories and crashes: what was acknowledged comes back, byte by byte of damage.
import {
  appendFileSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { decodeJournal, JOURNAL_HEADER, JournalError } from "../../../cni/ipam/journal.ts";
import { type PodRecord, podKey, type StoreOperation } from "../../../cni/ipam/records.ts";
import { Store } from "../../../cni/ipam/store.ts";
import { silentLog } from "../../../net/log.ts";

let root: string;
let serial = 0;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "ul-store-"));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));
const fresh = () => join(root, String(serial++));

const record = (n: number): PodRecord => ({
  network: "net",
  containerId: `c${n}`,
  ifname: "eth0",
  pool: "default",
  addresses: [`10.0.0.${n}`, `2001:db8::${n}`],
  netns: "/run/netns/x",
  netnsId: "4:1",
  hostInterface: `ul${n}`,
  mac: "02:00:00:00:00:01",
  pod: n % 2 ? `ns/\u00e4-${n}` : null,
});
const add = (n: number): StoreOperation => ({ op: "add", pod: record(n) });
const remove = (n: number): StoreOperation => ({ op: "remove", key: podKey(record(n)) });

const history = fc.array(fc.array(fc.tuple(fc.boolean(), fc.nat(12)), { minLength: 1, maxLength: 4 }), {
  maxLength: 8,
});

interface Snapshot {
  readonly size: number;
  readonly pods: string;
  readonly released: string;
}

function shown(store: Store): { pods: string; released: string } {
  return { pods: JSON.stringify([...store.pods.entries()]), released: JSON.stringify([...store.released]) };
}

/** Plays a history in batches; returns the state after each acknowledged batch with the length of the file then. */
async function play(
  directory: string,
  batches: readonly (readonly (readonly [boolean, number])[])[],
): Promise<Snapshot[]> {
  const store = new Store(directory, silentLog);
  await store.open();
  const snapshots: Snapshot[] = [{ size: statSync(store.path).size, ...shown(store) }];
  for (const batch of batches) {
    for (const [adding, n] of batch) {
      const known = store.pods.has(podKey(record(n)));
      if (adding === known) continue;
      await store.commit(adding ? add(n) : remove(n));
      snapshots.push({ size: statSync(store.path).size, ...shown(store) });
    }
  }
  await store.close();
  return snapshots;
}

async function reopen(directory: string): Promise<Store> {
  const store = new Store(directory, silentLog);
  await store.open();
  await store.close();
  return store;
}

describe("allocation store", () => {
  it("recovers what was acknowledged from a file cut at every byte", async () => {
    await fc.assert(
      fc.asyncProperty(history, async (batches) => {
        const directory = fresh();
        const snapshots = await play(directory, batches);
        const path = join(directory, "allocations.journal");
        const whole = readFileSync(path);
        for (let length = JOURNAL_HEADER.length; length <= whole.length; length++) {
          const state = snapshots.filter((snapshot) => snapshot.size <= length).at(-1)!;
          const { operations, length: good } = decodeJournal(whole.subarray(0, length));
          expect(good).toBe(state.size);
          if (length % 97 !== 0) continue; // the file system part is slower
          writeFileSync(path, whole.subarray(0, length));
          const store = await reopen(directory);
          expect(shown(store)).toEqual({ pods: state.pods, released: state.released });
          expect(operations.length).toBeGreaterThanOrEqual(store.pods.size);
        }
      }),
      { numRuns: 15 },
    );
  });

  it("drops a torn last record of any content, and works on", async () => {
    await fc.assert(
      fc.asyncProperty(history, fc.uint8Array({ minLength: 1, maxLength: 60 }), async (batches, garbage) => {
        const directory = fresh();
        const snapshots = await play(directory, batches);
        const path = join(directory, "allocations.journal");
        appendFileSync(path, garbage);
        const store = new Store(directory, silentLog);
        await store.open();
        const { pods, released } = snapshots.at(-1)!;
        expect(shown(store)).toEqual({ pods, released });
        await store.commit(add(200));
        await store.close();
        expect((await reopen(directory)).pods.has(podKey(record(200)))).toBe(true);
      }),
      { numRuns: 30 },
    );
  });

  it("refuses damage in the middle, names the place and changes nothing", async () => {
    const directory = fresh();
    await play(directory, [[[true, 1]], [[true, 2]], [[true, 3]]]);
    const path = join(directory, "allocations.journal");
    const whole = readFileSync(path);
    const firstLine = JOURNAL_HEADER.length;
    const secondLine = whole.indexOf(10, firstLine) + 1;
    for (let at = 0; at < secondLine; at++) {
      const damaged = Buffer.from(whole);
      damaged[at] ^= 0x41;
      expect(() => decodeJournal(damaged), `byte ${at}`).toThrow(JournalError);
      if (at % 50 !== 0) continue;
      writeFileSync(path, damaged);
      const offset = at < firstLine ? 0 : firstLine;
      await expect(new Store(directory, silentLog).open()).rejects.toThrow(`${path}`);
      await expect(new Store(directory, silentLog).open()).rejects.toThrow(`offset ${offset};`);
      expect(readFileSync(path).equals(damaged)).toBe(true);
    }
    truncateSync(path, 5);
    await expect(new Store(directory, silentLog).open()).rejects.toThrow("does not begin with");
  });

  it("makes calls that wait together durable with one write", async () => {
    const directory = fresh();
    const store = new Store(directory, silentLog);
    await store.open();
    await Promise.all(Array.from({ length: 50 }, (_, n) => store.commit(add(n))));
    const lines = readFileSync(store.path, "utf8").trim().split("\n").length - 1;
    expect(lines).toBeLessThan(5);
    await store.close();
    expect((await reopen(directory)).pods.size).toBe(50);
  });

  it("stays small over a long life, with the order of releases", async () => {
    const directory = fresh();
    const store = new Store(directory, silentLog);
    await store.open();
    for (let round = 0; round < 200; round++) {
      const batch = Array.from({ length: 10 }, (_, n) => n);
      await Promise.all(batch.map((n) => store.commit(add(n))));
      await Promise.all(batch.map((n) => store.commit(remove((n * 7) % 10))));
    }
    await store.commit(add(11));
    const before = shown(store);
    await store.close();
    expect(statSync(store.path).size).toBeLessThan(128 * 1024);
    expect(existsSync(`${store.path}.new`)).toBe(false);
    expect(shown(await reopen(directory))).toEqual(before);
  });
});
