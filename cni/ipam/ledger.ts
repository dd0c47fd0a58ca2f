// What the journal's operations add up to: attachments, and the addresses given back. In memory; the store makes it last.
import { type PodRecord, podKey, type StoreOperation } from "./records.ts";
import { ReleasedList } from "./released-list.ts";

export class Ledger {
  readonly pods = new Map<string, PodRecord>();
  readonly released = new ReleasedList();

  /** Boot of the host in which it was written; null: not known. */
  get boot(): string | null {
    return this.released.boot;
  }

  /** Operations of a later version are passed over. */
  apply(operation: StoreOperation): void {
    const before = operation.op === "remove" ? this.pods.get(operation.key) : undefined;
    this.released.apply(operation, before);
    if (operation.op === "add") this.pods.set(podKey(operation.pod), operation.pod);
    if (operation.op === "remove") this.pods.delete(operation.key);
  }

  /** The shortest way here. */
  operations(): StoreOperation[] {
    const operations: StoreOperation[] = this.boot === null ? [] : [{ op: "boot", id: this.boot }];
    operations.push(...this.released.operations().filter(({ op }) => op !== "boot"));
    for (const pod of this.pods.values()) operations.push({ op: "add", pod });
    return operations;
  }
}
