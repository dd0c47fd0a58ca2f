// etcd as far as the claim protocol uses it: a linearizable map with revisions, leases and watches, and connections to
// it that lose requests, lose answers, deliver a request twice, and take their time.
import { EtcdError } from "../../../../cni/blocks/etcd/error.ts";
import type {
  Compare,
  Etcd,
  KeyRange,
  KeyValue,
  RangeResult,
  Txn,
  TxnResult,
  Watch,
  WatchEvent,
  WatchHandlers,
} from "../../../../cni/blocks/etcd/kv.ts";
import type { ProcessClock, World } from "./time.ts";

interface Entry extends KeyValue {
  readonly lease: string | null;
}

interface Watcher {
  readonly ranges: readonly KeyRange[];
  readonly tell: (events: readonly WatchEvent[], revision: number) => void;
}

export class SimulatedEtcd {
  readonly #world: World;
  readonly keys = new Map<string, Entry>();
  readonly watchers = new Set<Watcher>();
  readonly #leases = new Map<string, { ttl: number; ends: number }>();
  #history: WatchEvent[] = [];
  compacted = 0;
  revision = 1;
  #nextLease = 1;

  constructor(world: World) {
    this.#world = world;
  }

  txn(txn: Txn): TxnResult {
    const succeeded = txn.compare.every((compare) => this.#holds(compare));
    const operations = succeeded ? txn.success : txn.failure;
    for (const operation of operations)
      if ("put" in operation && operation.put.lease && !this.#leases.has(operation.put.lease))
        throw new EtcdError("noLease", "requested lease not found");
    const revision = this.revision + 1;
    const events: WatchEvent[] = [];
    const read = operations.map((operation): KeyValue[] => {
      if ("get" in operation) return this.#in(operation.get);
      if ("put" in operation) {
        const { key, value, lease } = operation.put;
        const createRevision = this.keys.get(key)?.createRevision ?? revision;
        this.keys.set(key, { key, value, createRevision, modRevision: revision, lease: lease ?? null });
        events.push({ kind: "put", key, value, modRevision: revision });
      } else
        for (const { key } of this.#in(operation.remove)) {
          this.keys.delete(key);
          events.push({ kind: "delete", key, value: "", modRevision: revision });
        }
      return [];
    });
    const written = new Set(events.map(({ key }) => key));
    if (written.size !== events.length) throw new Error("a transaction writes a key twice: etcd refuses that");
    if (events.length > 0) this.#commit(events);
    return { succeeded, revision: this.revision, read };
  }

  range(range: KeyRange, limit: number, revision: number): RangeResult {
    if (revision > 0 && revision < this.compacted)
      throw new EtcdError("compacted", "required revision has been compacted");
    // Pages of the past are rare enough to be refused like compacted ones when something was written since.
    if (revision > 0 && revision !== this.revision) throw new EtcdError("compacted", "not kept by the simulation");
    const all = this.#in(range);
    return { kvs: all.slice(0, limit), revision: this.revision, more: all.length > limit };
  }

  grant(ttl: number): string {
    const id = String(this.#nextLease++);
    this.#leases.set(id, { ttl, ends: 0 });
    this.#arm(id);
    return id;
  }

  keep(id: string): boolean {
    if (!this.#leases.has(id)) return false;
    this.#arm(id);
    return true;
  }

  eventsSince(revision: number): readonly WatchEvent[] {
    return this.#history.filter(({ modRevision }) => modRevision >= revision);
  }

  /** Another store, with these keys. */
  wipe(keys: readonly { readonly key: string; readonly value: string }[]): void {
    this.keys.clear();
    this.#leases.clear();
    this.#history = [];
    this.compacted = 0;
    this.revision = 1;
    this.txn({ compare: [], success: keys.map((put) => ({ put })), failure: [] });
    for (const watcher of [...this.watchers]) watcher.tell([], this.revision);
  }

  compact(): void {
    this.compacted = this.revision;
    this.#history = [];
  }

  #arm(id: string): void {
    const lease = this.#leases.get(id)!;
    lease.ends = this.#world.now + lease.ttl * 1000;
    this.#world.after(lease.ttl * 1000, () => {
      if (this.#leases.get(id) !== lease || this.#world.now < lease.ends) return;
      this.#leases.delete(id);
      const events = [...this.keys.values()]
        .filter((entry) => entry.lease === id)
        .map(({ key }): WatchEvent => ({ kind: "delete", key, value: "", modRevision: this.revision + 1 }));
      for (const { key } of events) this.keys.delete(key);
      if (events.length > 0) this.#commit(events);
    });
  }

  #commit(events: readonly WatchEvent[]): void {
    this.revision++;
    this.#history.push(...events);
    for (const watcher of this.watchers) {
      const seen = events.filter(({ key }) => watcher.ranges.some((range) => within(range, key)));
      if (seen.length > 0) watcher.tell(seen, this.revision);
    }
  }

  #in(range: KeyRange): KeyValue[] {
    if (range.end === undefined) {
      const entry = this.keys.get(range.key);
      return entry ? [entry] : [];
    }
    return [...this.keys.values()].filter(({ key }) => within(range, key)).sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  #holds(compare: Compare): boolean {
    const found = this.#in(compare);
    const of = (kv: KeyValue | null) => (kv ? (compare.target === "create" ? kv.createRevision : kv.modRevision) : 0);
    return (found.length > 0 ? found : [null]).every((kv) => {
      const value = of(kv);
      if (compare.result === "equal") return value === compare.revision;
      return compare.result === "less" ? value < compare.revision : value > compare.revision;
    });
  }
}

function within({ key, end }: KeyRange, other: string): boolean {
  return end === undefined ? other === key : other >= key && other < end;
}

export interface Faults {
  /** Chances, 0 to 1. */
  loseRequest: number;
  loseAnswer: number;
  twice: number;
  /** Milliseconds at most, one way. */
  delay: number;
  cut: boolean;
}

const TIMEOUT = 3000;

/** One process's connection. */
export class SimulatedConnection implements Etcd {
  readonly #world: World;
  readonly #server: SimulatedEtcd;
  readonly #clock: ProcessClock;
  readonly #faults: Faults;
  readonly #random: () => number;
  readonly #watchers = new Set<Watcher>();
  #closed = false;

  constructor(world: World, server: SimulatedEtcd, clock: ProcessClock, faults: Faults, random: () => number) {
    this.#world = world;
    this.#server = server;
    this.#clock = clock;
    this.#faults = faults;
    this.#random = random;
  }

  txn(txn: Txn): Promise<TxnResult> {
    const writes = [...txn.success, ...txn.failure].some((operation) => !("get" in operation));
    return this.#call(() => this.#server.txn(txn), writes);
  }

  range(range: KeyRange, limit: number, revision: number): Promise<RangeResult> {
    return this.#call(() => this.#server.range(range, limit, revision), false);
  }

  grantLease(ttl: number): Promise<string> {
    return this.#call(() => this.#server.grant(ttl), false);
  }

  keepLease(id: string): Promise<boolean> {
    return this.#call(() => this.#server.keep(id), false);
  }

  watch(ranges: readonly KeyRange[], fromRevision: number, handlers: WatchHandlers): Watch {
    let next = fromRevision;
    let stopped = false;
    const deliver = (events: readonly WatchEvent[]) => {
      // In order, late, and never while it is cut off: those are told afterwards.
      this.#clock.after(this.#latency(), () => {
        if (stopped) return;
        if (this.#faults.cut) return void this.#clock.after(500, () => catchUp());
        if (goneBack()) return;
        const fresh = events.filter(({ modRevision }) => modRevision >= next);
        if (fresh.length === 0) return;
        if (fresh[0].modRevision > next && this.#server.compacted > next) {
          stopped = true;
          handlers.onLost("compacted");
          return;
        }
        catchUp();
      });
    };
    const goneBack = () => {
      if (next <= this.#server.revision + 1) return false;
      stopped = true;
      handlers.onLost("the store has gone back");
      return true;
    };
    const catchUp = () => {
      if (stopped) return;
      if (this.#faults.cut) return void this.#clock.after(500, () => catchUp());
      if (goneBack()) return;
      if (this.#server.compacted >= next && this.#server.compacted > 0) {
        stopped = true;
        handlers.onLost("compacted");
        return;
      }
      const events = this.#server.eventsSince(next).filter(({ key }) => ranges.some((range) => within(range, key)));
      if (events.length === 0) return;
      next = events[events.length - 1].modRevision + 1;
      handlers.onEvents(events, next - 1);
    };
    const watcher: Watcher = { ranges, tell: deliver };
    this.#server.watchers.add(watcher);
    this.#watchers.add(watcher);
    this.#clock.after(this.#latency(), () => {
      handlers.onEstablished();
      catchUp();
    });
    return {
      resumeFrom: (revision) => {
        next = revision;
        stopped = false;
        this.#clock.after(this.#latency(), catchUp);
      },
      stop: () => {
        stopped = true;
        this.#server.watchers.delete(watcher);
      },
    };
  }

  close(): void {
    this.#closed = true;
    for (const watcher of this.#watchers) this.#server.watchers.delete(watcher);
  }

  #latency(): number {
    return this.#random() * this.#faults.delay;
  }

  #call<T>(execute: () => T, writes: boolean): Promise<T> {
    return new Promise((resolve, reject) => {
      let settled = false;
      const settle = (what: () => void) => {
        if (settled) return;
        settled = true;
        timer.cancel();
        what();
      };
      const timer = this.#clock.after(TIMEOUT, () => {
        settle(() => reject(new EtcdError("unavailable", "no answer", writes)));
      });
      if (this.#closed) return settle(() => reject(new EtcdError("closed", "closed")));
      const { cut, loseRequest, loseAnswer, twice } = this.#faults;
      if (cut || this.#random() < loseRequest) return;
      // On the wire: it arrives even when the sender dies.
      this.#world.after(this.#latency(), () => {
        let result: () => void;
        try {
          const value = execute();
          result = () => resolve(value);
        } catch (error) {
          result = () => reject(error);
        }
        if (!this.#faults.cut && this.#random() >= loseAnswer) this.#clock.after(this.#latency(), () => settle(result));
      });
      if (writes && this.#random() < twice)
        this.#world.after(this.#random() * 20_000, () => {
          try {
            execute();
          } catch {
            // Nobody hears of it.
          }
        });
    });
  }
}
