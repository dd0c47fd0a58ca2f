// The way back of an allocation that leads nowhere.

import type { Log } from "../../net/log.ts";
import { uptime } from "../../net/uptime.ts";
import type { Allocation, Allocator } from "./allocator.ts";
import { type PodRecord, podKey, type StoreOperation } from "./records.ts";
import type { Store } from "./store.ts";

export interface Books {
  readonly store: Store;
  readonly allocator: Allocator;
  readonly log: Log;
}

/** Of an attachment, now. */
export function removal(key: string): StoreOperation & { op: "remove" } {
  return { op: "remove", key, at: Math.round(uptime()), time: Date.now() };
}

/** Of an allocation that nobody has made use of. Never rejects; when the store cannot be written the addresses stay taken. */
export async function undo(books: Books, record: PodRecord, allocation: Allocation): Promise<void> {
  const operation: StoreOperation = { op: "remove", key: podKey(record), restored: allocation.restored };
  if (await isWritten(books, record, operation)) books.allocator.undo(allocation);
}

async function isWritten({ store, log }: Books, record: PodRecord, operation: StoreOperation): Promise<boolean> {
  try {
    await store.commit(operation);
    return true;
  } catch {
    const { addresses } = record;
    log.warn({ key: podKey(record), addresses }, "address stays allocated until its DEL or a restart");
    return false;
  }
}

/** Gives the addresses of a record back that is not in the store any more. */
export function release({ store, allocator }: Pick<Books, "store" | "allocator">, record: PodRecord): void {
  if (record.sequence !== undefined) {
    allocator.release(record.addresses, record.sequence);
    return;
  }
  // Of an old journal: whom an address belongs to is not told apart by a sequence.
  const others = new Set<string>();
  for (const pod of store.pods.values()) for (const address of pod.addresses) others.add(address);
  allocator.release(
    record.addresses.filter((address) => !others.has(address)),
    0,
  );
}
