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
  allocator.release(record.addresses);
}
