// What the journal's operations leave of addresses that were given back: order, times of this boot only, and undone
// allocations.
import { expect, it } from "vitest";
import { identityOf, type PodRecord, podKey, type StoreOperation } from "../../../cni/ipam/records.ts";
import { ReleasedList } from "../../../cni/ipam/released-list.ts";

const record = (n: number, more: Partial<PodRecord> = {}): PodRecord => ({
  network: "net",
  containerId: `c${n}`,
  ifname: "eth0",
  pool: "default",
  addresses: [`10.0.0.${n}`, `2001:db8::${n}`],
  netns: "",
  netnsId: "",
  hostInterface: `ul${n}`,
  mac: "",
  pod: `ns/pod-${n}`,
  sequence: n,
  ...more,
});
const remove = (pod: PodRecord, more: object = {}): StoreOperation => ({ op: "remove", key: podKey(pod), ...more });
const addresses = (list: ReleasedList) => [...list.entries].map(({ address }) => address);

it("has what was given back, oldest first, with whose it was and when", () => {
  const list = new ReleasedList();
  list.apply({ op: "boot", id: "a" });
  for (const n of [2, 1]) list.apply(remove(record(n), { at: 100 * n, time: 5000 }), record(n));
  expect(addresses(list)).toEqual(["10.0.0.2", "2001:db8::2", "10.0.0.1", "2001:db8::1"]);
  expect([...list.entries][0]).toEqual({
    address: "10.0.0.2",
    sequence: 2,
    at: 200,
    time: 5000,
    identity: "ns/pod-2@net/eth0",
    pool: "default",
    keep: "name",
  });
  list.apply({ op: "add", pod: record(7, { addresses: ["10.0.0.2"] }) });
  expect(addresses(list)).toEqual(["2001:db8::2", "10.0.0.1", "2001:db8::1"]);
  expect(list.lastSequence).toBe(7);
});

it("knows no times after a boot, nor of operations that say none", () => {
  const list = new ReleasedList();
  list.apply({ op: "boot", id: "a" });
  list.apply(remove(record(1), { at: 100, time: 5000 }), record(1));
  list.apply({ op: "boot", id: "a" });
  expect([...list.entries].map(({ at }) => at)).toEqual([100, 100]);
  list.apply({ op: "boot", id: "b" });
  list.apply(remove(record(2)), record(2));
  expect([...list.entries].map(({ at, time }) => [at, time])).toEqual([
    [null, 5000],
    [null, 5000],
    [null, null],
    [null, null],
  ]);
});

it("has after an undone allocation what it had before", () => {
  const list = new ReleasedList();
  const pod = record(1);
  list.apply({ op: "boot", id: "a" });
  list.apply(remove(pod, { at: 100, time: 5000 }), pod);
  const before = [...list.entries];
  const again = record(1, { sequence: 9, addresses: ["10.0.0.1", "2001:db8::77"] });
  list.apply({ op: "add", pod: again });
  list.apply(remove(again, { restored: before.slice(0, 1) }), again);
  expect(addresses(list).sort()).toEqual(["10.0.0.1", "2001:db8::1"]);
  expect([...list.entries].find(({ address }) => address === "10.0.0.1")).toEqual(before[0]);
  expect(list.lastSequence).toBe(9);
});

it("is again what it was after a rewrite, and reads journals that have addresses only", () => {
  const list = new ReleasedList();
  list.apply({ op: "released", addresses: ["10.0.0.3"] });
  list.apply({ op: "boot", id: "a" });
  for (const n of [2, 1]) list.apply(remove(record(n), { at: 100 * n, time: 5000 }), record(n));
  const copy = new ReleasedList();
  for (const operation of JSON.parse(JSON.stringify(list.operations())) as StoreOperation[]) copy.apply(operation);
  expect([...copy.entries]).toEqual([...list.entries]);
  expect([copy.lastSequence, copy.boot]).toEqual([2, "a"]);
});

it("knows a pod again by its name, a container without one by its id, and by what it asked for", () => {
  expect(identityOf(record(1))).toBe("ns/pod-1@net/eth0");
  expect(identityOf(record(1, { pod: null }))).toBe("c1@net/eth0");
  expect(identityOf(record(1, { identity: "db" }))).toBe("db");
});
