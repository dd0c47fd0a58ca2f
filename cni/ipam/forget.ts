// The way back of an allocation that leads nowhere.
import type { Log } from "../../net/log.ts";
import type { Allocator } from "./allocator.ts";
import { type PodRecord, podKey } from "./records.ts";
import type { Store } from "./store.ts";

export interface Books {
  readonly store: Store;
  readonly allocator: Allocator;
  readonly log: Log;
}

/** Never rejects. When the store cannot be written the addresses stay taken. */
export async function forget({ store, allocator, log }: Books, record: PodRecord): Promise<void> {
  const key = podKey(record);
  try {
    await store.commit({ op: "remove", key });
  } catch {
    log.warn({ key, addresses: record.addresses }, "address stays allocated until its DEL or a restart");
    return;
  }
  release({ store, allocator }, record);
}

/** Gives the addresses of a record back that is not in the store any more; one that another record has too stays that one's. */
export function release({ store, allocator }: Pick<Books, "store" | "allocator">, record: PodRecord): void {
  const others = new Set<string>();
  for (const pod of store.pods.values()) for (const address of pod.addresses) others.add(address);
  allocator.release(record.addresses.filter((address) => !others.has(address)));
}
