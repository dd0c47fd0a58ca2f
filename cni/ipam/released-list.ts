// The addresses given back and not given out since, oldest first, as the journal's operations leave them. Pure: what a
// store that reads its journal and one that writes it have in common.
import { identityOf, keepOf, type PodRecord, type ReleasedAddress, type StoreOperation } from "./records.ts";

export class ReleasedList {
  /** Insertion order is release order. */
  #entries = new Map<string, ReleasedAddress>();
  #lastSequence = 0;
  #boot: string | null = null;

  get entries(): Iterable<ReleasedAddress> {
    return this.#entries.values();
  }

  get size(): number {
    return this.#entries.size;
  }

  /** The greatest sequence that an operation has named. */
  get lastSequence(): number {
    return this.#lastSequence;
  }

  /** Of the entries' `at`; null: none of them has one. */
  get boot(): string | null {
    return this.#boot;
  }

  /** `before`: the attachment that a `remove` takes away. */
  apply(operation: StoreOperation, before?: PodRecord): void {
    switch (operation.op) {
      case "add":
        this.#lastSequence = Math.max(this.#lastSequence, operation.pod.sequence ?? 0);
        for (const address of operation.pod.addresses) this.#entries.delete(address);
        break;
      case "remove":
        if (before) this.#remove(operation, before);
        break;
      case "released":
        for (const entry of operation.addresses) this.#push(typeof entry === "string" ? nameless(entry) : entry);
        break;
      case "sequence":
        this.#lastSequence = Math.max(this.#lastSequence, operation.last);
        break;
      case "boot":
        if (operation.id !== this.#boot) this.#forgetTimes();
        this.#boot = operation.id;
    }
  }

  /** In place of what there is, in this order. */
  replace(entries: Iterable<ReleasedAddress>): void {
    this.#entries = new Map();
    for (const entry of entries) this.#push(entry);
  }

  /** What leads to this list when it is applied to an empty one; of the boot only when there are entries. */
  operations(): StoreOperation[] {
    const operations: StoreOperation[] = [];
    if (this.#boot !== null && this.#entries.size > 0) operations.push({ op: "boot", id: this.#boot });
    if (this.#lastSequence > 0) operations.push({ op: "sequence", last: this.#lastSequence });
    if (this.#entries.size > 0) operations.push({ op: "released", addresses: [...this.#entries.values()] });
    return operations;
  }

  #remove({ at, time, restored }: StoreOperation & { op: "remove" }, pod: PodRecord): void {
    if (restored) {
      for (const entry of restored) this.#push(entry);
      return;
    }
    for (const address of pod.addresses)
      this.#push({
        address,
        sequence: pod.sequence ?? 0,
        at: at ?? null,
        time: time ?? null,
        identity: identityOf(pod),
        pool: pod.pool,
        keep: keepOf(pod),
      });
  }

  #push(entry: ReleasedAddress): void {
    this.#lastSequence = Math.max(this.#lastSequence, entry.sequence);
    this.#entries.delete(entry.address);
    this.#entries.set(entry.address, entry);
  }

  /** The machine has booted since: how long ago that was cannot be told by the monotonic clock. */
  #forgetTimes(): void {
    for (const [address, { since: _, ...entry }] of this.#entries) this.#entries.set(address, { ...entry, at: null });
  }
}

function nameless(address: string): ReleasedAddress {
  return { address, sequence: 0, at: null, time: null, identity: null, pool: "", keep: null };
}
