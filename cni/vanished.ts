// Pods that went without a DEL. What RTM_DELLINK tells of is released at once (cni/attachments.ts); this finds what it
// does not tell of, and decides slowly. The rule, which never takes a living pod's address:
//
//   - Its namespace is not at the path that the runtime gave: nobody can be handed it by that path again.
//   - Its cable is gone; or no process and no thread is in the namespace, it is mounted nowhere, and nobody has it open. Then
//     nothing can send from the pod's addresses but a socket that somebody took out of it, and nobody can enter it.
//   - Every process of the host can be seen: otherwise the second is not known, and nothing is done.
//   - All of that is found at least twice, and for as long as the grace period, without a sighting to the contrary.
import type { Log } from "../net/log.ts";
import type { Holders } from "./holders.ts";
import { type PodRecord, podKey } from "./ipam/records.ts";

/** How long a pod has to be gone until its addresses are freed, unless configured: milliseconds. */
export const VANISHED_AFTER = 30_000;

export interface VanishedParts {
  readonly log: Log;
  readonly isNamespace: (path: string, id: string) => Promise<boolean>;
  readonly findHolders: (ids: ReadonlySet<string>) => Promise<Holders>;
  /** Milliseconds. */
  readonly grace: number;
}

export interface Candidate {
  readonly record: PodRecord;
  /** Its host end is there. */
  readonly cabled: boolean;
}

interface Sighting {
  readonly record: PodRecord;
  readonly since: number;
}

export class Vanished {
  readonly #parts: VanishedParts;
  readonly #seen = new Map<string, Sighting>();
  /** What was told of a pod last, so that it is told once. */
  readonly #told = new Map<string, string>();

  #searched = Number.NEGATIVE_INFINITY;

  constructor(parts: VanishedParts) {
    this.#parts = parts;
  }

  /** Those that have vanished for good. `now`: milliseconds, monotonic. Rejects when /proc cannot be read. */
  async look(candidates: readonly Candidate[], now: number): Promise<PodRecord[]> {
    const suspects: Candidate[] = [];
    for (const candidate of candidates) {
      const { netns, netnsId } = candidate.record;
      if (netnsId !== "" && !(await this.#parts.isNamespace(netns, netnsId))) suspects.push(candidate);
    }
    const keys = new Set(suspects.map(({ record }) => podKey(record)));
    for (const known of [this.#seen, this.#told]) for (const key of known.keys()) if (!keys.has(key)) known.delete(key);
    const cabled = suspects.filter((suspect) => suspect.cabled).map(({ record }) => record.netnsId);
    // All of /proc is read for it: no more often than it is needed.
    const due = cabled.length > 0 && now - this.#searched >= this.#parts.grace;
    const holders = due ? await this.#parts.findHolders(new Set(cabled)) : null;
    if (due) this.#searched = now;
    return suspects
      .filter((suspect) => (due || !suspect.cabled) && this.#isGone(suspect, holders, now))
      .map(({ record }) => record);
  }

  #isGone({ record, cabled }: Candidate, holders: Holders | null, now: number): boolean {
    const key = podKey(record);
    if (cabled) {
      const holder = holders?.of.get(record.netnsId);
      const doubt = holder ?? (holders?.complete ? null : "not every process of the host can be seen from here");
      if (doubt !== null) {
        this.#seen.delete(key);
        this.#tell(record, `the pod's namespace is not at ${record.netns} any more, and stays its own: ${doubt}`);
        return false;
      }
    }
    const sighting = this.#seen.get(key);
    if (sighting?.record !== record) {
      this.#seen.set(key, { record, since: now });
      this.#tell(
        record,
        `the pod's namespace seems to be gone; if that is so in ${this.#parts.grace / 1000} s, too, its addresses are freed`,
      );
      return false;
    }
    return now - sighting.since >= this.#parts.grace;
  }

  #tell(record: PodRecord, text: string): void {
    const key = podKey(record);
    if (this.#told.get(key) === text) return;
    this.#told.set(key, text);
    this.#parts.log.warn({ key, netns: record.netns, addresses: record.addresses }, text);
  }
}
