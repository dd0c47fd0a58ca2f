// What has to be looked at now and then: the journal's name, what a start could not finish, and pods that went without a DEL.
import type { Attachment } from "./attachment.ts";
import { type PodRecord, podKey } from "./ipam/records.ts";
import { type Recovered, type RecoveryParts, restoreRoutes } from "./recovery.ts";
import type { Vanished } from "./vanished.ts";

export interface UpkeepParts {
  readonly parts: () => RecoveryParts;
  readonly attached: () => Iterable<Attachment>;
  readonly isAttached: (attachment: Attachment) => boolean;
  /** Takes an attachment away, when its turn comes. */
  readonly remove: (record: PodRecord) => Promise<void>;
  readonly vanished: Vanished;
}

export class Upkeep {
  readonly #parts: UpkeepParts;
  /** What ADDs cut short have left, and could not be removed yet. */
  #strays: readonly PodRecord[] = [];
  /** Those whose routes the kernel has refused at the start. */
  #unrouted: readonly Attachment[] = [];
  #running: Promise<void> | null = null;
  /** Pods found and released so far. */
  vanished = 0;

  constructor(parts: UpkeepParts) {
    this.#parts = parts;
  }

  /** What is left to do after a start. */
  after({ strays, unrouted }: Recovered): void {
    this.#strays = strays;
    this.#unrouted = unrouted;
  }

  /** `now`: milliseconds, monotonic. Never rejects. */
  run(now: number): Promise<void> {
    this.#running ??= this.#run(now)
      .catch((error: Error) => this.#parts.parts().log.warn({ error: error.message }, "pods cannot be looked after"))
      .finally(() => {
        this.#running = null;
      });
    return this.#running;
  }

  async #run(now: number): Promise<void> {
    const { parts, isAttached } = this.#parts;
    await parts().store.watch();
    this.#strays = await this.#removeAll(this.#strays);
    this.#unrouted = await restoreRoutes(parts(), this.#unrouted.filter(isAttached));
    await this.#releaseVanished(now);
  }

  /** Returns those that stay. */
  async #removeAll(strays: readonly PodRecord[]): Promise<readonly PodRecord[]> {
    const left: PodRecord[] = [];
    for (const record of strays) await this.#parts.remove(record).catch(() => left.push(record));
    return left;
  }

  async #releaseVanished(now: number): Promise<void> {
    const { attached, vanished, remove, parts } = this.#parts;
    const candidates = [...attached()].map(({ record, ifindex }) => ({ record, cabled: ifindex !== 0 }));
    for (const record of await vanished.look(candidates, now)) {
      const { addresses, netns } = record;
      try {
        await remove(record);
        this.vanished++;
        parts().log.warn(
          { key: podKey(record), addresses, netns },
          "a pod is gone and no DEL came for it: its addresses are free",
        );
      } catch (error) {
        parts().log.warn(
          { key: podKey(record), error: (error as Error).message },
          "cannot release the addresses of a pod that is gone",
        );
      }
    }
  }
}
