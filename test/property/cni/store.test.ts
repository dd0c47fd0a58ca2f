// The allocation journal under random histories and crashes: what was acknowledged comes back, byte by byte of damage.
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { decodeJournal, JOURNAL_HEADER } from "../../../cni/ipam/journal.ts";
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
  const store = await opened(directory);
  const snapshots: Snapshot[] = [{ size: written(store.path), ...shown(store) }];
  for (const batch of batches) {
    for (const [adding, n] of batch) {
      const known = store.pods.has(podKey(record(n)));
      if (adding === known) continue;
      await store.commit(adding ? add(n) : remove(n));
      snapshots.push({ size: written(store.path), ...shown(store) });
    }
  }
  await store.close();
  return snapshots;
}

async function opened(directory: string): Promise<Store> {
  const store = new Store(directory, silentLog);
  await store.open();
  await store.settle();
  return store;
}

async function reopen(directory: string): Promise<Store> {
  const store = await opened(directory);
  await store.close();
  return store;
}

/** Bytes of a journal without its room. */
function written(path: string): number {
  return decodeJournal(readFileSync(path)).length;
}

/** As a start would find it. */
async function stateOf(directory: string): Promise<{ pods: string; released: string }> {
  const store = new Store(directory, silentLog);
  await store.open();
  return shown(store);
}

describe("allocation store", () => {
  it("recovers what was acknowledged from a file cut at every byte", async () => {
    await fc.assert(
      fc.asyncProperty(history, async (batches) => {
        const directory = fresh();
        const snapshots = await play(directory, batches);
        const path = join(directory, "allocations.journal");
        const whole = readFileSync(path).subarray(0, written(path));
        for (let length = snapshots[0].size; length <= whole.length; length++) {
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
        const end = written(path);
        const bytes = Buffer.from(garbage);
        writeFileSync(path, Buffer.concat([readFileSync(path).subarray(0, end), bytes]));
        const store = await opened(directory);
        const { pods, released } = snapshots.at(-1)!;
        expect(shown(store)).toEqual({ pods, released });
        await store.commit(add(200));
        await store.close();
        expect((await reopen(directory)).pods.has(podKey(record(200)))).toBe(true);
      }),
      { numRuns: 30 },
    );
  });

  it("uses what is good around damage in the middle, and keeps the damaged file", async () => {
    const directory = fresh();
    await play(directory, [[[true, 1]], [[true, 2]], [[true, 3]]]);
    const path = join(directory, "allocations.journal");
    const whole = readFileSync(path).subarray(0, written(path));
    const lines = [...whole.toString("latin1").matchAll(/\n/g)].map((match) => match.index + 1);
    // Header, boot, and the line of each pod.
    expect(lines).toHaveLength(5);
    for (let at = 0; at < lines[3]; at++) {
      const damaged = Buffer.from(whole);
      damaged[at] ^= 0x41;
      const { damage, operations } = decodeJournal(damaged);
      expect(damage, `byte ${at}`).toHaveLength(1);
      expect(operations.filter(({ op }) => op === "add")).toHaveLength(at < lines[1] ? 3 : 2);
      if (at % 50 !== 0) continue;
      writeFileSync(path, damaged);
      const store = new Store(directory, silentLog);
      const found = await store.open();
      expect(found.damage).toContain(at < lines[0] ? "offset 0" : "bytes at offset");
      expect(readFileSync(path).equals(damaged)).toBe(true);
      await store.settle();
      await store.close();
      expect(readFileSync(`${path}.damaged`).equals(damaged)).toBe(true);
      expect((await reopen(directory)).pods.size).toBe(at < lines[1] ? 3 : 2);
    }
    for (const content of ["", "\0\0\0", "not a journal\n", JOURNAL_HEADER.slice(0, 5)]) {
      writeFileSync(path, content);
      expect((await new Store(directory, silentLog).open()).damage).toContain("is damaged");
    }
  });

  it("does not touch what a later version has written", async () => {
    const directory = fresh();
    await play(directory, [[[true, 1]]]);
    const path = join(directory, "allocations.journal");
    writeFileSync(path, "underlay-allocations 12\nwhatever\n");
    await expect(new Store(directory, silentLog).open()).rejects.toThrow("later version of underlayd (format 12)");
    expect(readFileSync(path, "utf8")).toContain("whatever");
  });

  it("writes a journal anew that was deleted, and beside one that took its place", async () => {
    const directory = fresh();
    const store = await opened(directory);
    await store.commit(add(1));
    rmSync(directory, { recursive: true });
    await store.watch();
    expect((await stateOf(directory)).pods).toContain("c1");
    await store.commit(add(2));
    expect((await stateOf(directory)).pods).toContain("c2");
    renameSync(store.path, `${store.path}.moved`);
    writeFileSync(store.path, JOURNAL_HEADER);
    await store.watch();
    await store.commit(add(3));
    expect((await stateOf(directory)).pods).toContain("c3");
    expect(readFileSync(`${store.path}.displaced`, "utf8")).toBe(JOURNAL_HEADER);
    await store.close();
  });

  it("follows no symbolic link", async () => {
    const directory = fresh();
    mkdirSync(directory);
    const elsewhere = join(directory, "elsewhere");
    writeFileSync(elsewhere, "precious");
    symlinkSync(elsewhere, join(directory, "allocations.journal.new"));
    const store = await opened(directory);
    await expect(store.commit(add(1))).rejects.toMatchObject({ code: 5 });
    expect(readFileSync(elsewhere, "utf8")).toBe("precious");
    rmSync(join(directory, "allocations.journal.new"));
    await store.commit(add(1));
    await store.close();
  });

  it("makes calls that wait together durable with one write", async () => {
    const directory = fresh();
    const store = await opened(directory);
    await Promise.all(Array.from({ length: 50 }, (_, n) => store.commit(add(n))));
    expect(decodeJournal(readFileSync(store.path)).lines).toBeLessThan(5);
    await store.close();
    expect((await reopen(directory)).pods.size).toBe(50);
  });

  it("stays small over a long life, with the order of releases", async () => {
    const directory = fresh();
    const store = await opened(directory);
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
