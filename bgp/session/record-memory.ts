// Records of neighbours that are gone and may come back: those out of listen ranges, which exist only with their session, and
// those that a change of the configuration makes anew. So many, the ones that went last.
import type { PeerRecord } from "./peer-record.ts";

const MOST = 1024;

export class RecordMemory {
  readonly #records = new Map<string, PeerRecord>();

  keep(name: string, record: PeerRecord): void {
    this.#records.delete(name);
    this.#records.set(name, record);
    if (this.#records.size <= MOST) return;
    const [oldest] = this.#records.keys();
    this.#records.delete(oldest);
  }

  /** Undefined: there is none. */
  take(name: string): PeerRecord | undefined {
    const record = this.#records.get(name);
    this.#records.delete(name);
    return record;
  }
}
