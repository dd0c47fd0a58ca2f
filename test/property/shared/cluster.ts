// A model of what etcd and our client for it are to the daemon: blocks that are nobody's, ours or somebody else's.
// Requests wait until they are told to go on, and can be answered with an error; the operator can take everything away.
import type { BlockSource, OwnedBlock, SourceChange, SourceState } from "../../../cni/blocks/types.ts";
import { BlockSourceError } from "../../../cni/blocks/types.ts";
import type { Family } from "../../../net/address.ts";

export const POOL = "shared";
export const RANGE = "10.99.0.0/24";
/** Eight blocks of four addresses. */
export const BLOCKS: readonly string[] = Array.from({ length: 8 }, (_, n) => `10.99.0.${n * 4}/30`);

/** Outlives the daemon. */
export class Cluster {
  readonly owners = new Map<string, "us" | "another">();
  /** Told before a block is anybody's again. */
  onGiveBack: (prefix: string) => void = () => {};
  readonly #waiting: ((answer: "done" | "refused") => void)[] = [];
  #source: SourceModel | null = null;

  open(): SourceModel {
    this.#waiting.length = 0;
    this.#source = new SourceModel(this);
    return this.#source;
  }

  ask(work: (answer: "done" | "refused") => void): void {
    this.#waiting.push(work);
  }

  /** The oldest request is answered. False: there is none. */
  answer(answer: "done" | "refused"): boolean {
    const work = this.#waiting.shift();
    work?.(answer);
    return work !== undefined;
  }

  /** The operator removes this node: what it has is another's at once. */
  removeNode(): void {
    for (const [prefix, owner] of this.owners)
      if (owner === "us") {
        this.owners.set(prefix, "another");
        this.#source?.tell({ kind: "block-lost", block: blockOf(prefix), reason: "the node was removed" });
      }
  }

  /** Another node gives a block back. */
  free(n: number): void {
    const others = BLOCKS.filter((prefix) => this.owners.get(prefix) === "another");
    if (others.length > 0) this.owners.delete(others[n % others.length]);
  }
}

export class SourceModel implements BlockSource {
  readonly #cluster: Cluster;
  readonly #listeners: ((change: SourceChange) => void)[] = [];
  state: SourceState = { kind: "connected", reason: null, since: 0 };

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
  }

  async start(): Promise<void> {}
  async stop(): Promise<void> {}

  onChange(listener: (change: SourceChange) => void): () => void {
    this.#listeners.push(listener);
    return () => {};
  }

  tell(change: SourceChange): void {
    for (const listener of this.#listeners) listener(change);
  }

  connect(connected: boolean): void {
    this.state = { kind: connected ? "connected" : "degraded", reason: connected ? null : "gone", since: 0 };
    this.tell({ kind: "state", state: this.state });
  }

  blocks(): OwnedBlock[] {
    return BLOCKS.filter((prefix) => this.#cluster.owners.get(prefix) === "us").map(blockOf);
  }

  want(_pool: string, _family: Family): Promise<OwnedBlock> {
    return this.#ask(() => {
      const prefix = BLOCKS.find((candidate) => !this.#cluster.owners.has(candidate));
      if (!prefix) throw new BlockSourceError("exhausted", "no free block");
      this.#cluster.owners.set(prefix, "us");
      const block = blockOf(prefix);
      this.tell({ kind: "block-gained", block });
      return block;
    });
  }

  giveBack(prefix: string): Promise<void> {
    this.#cluster.onGiveBack(prefix);
    return this.#ask(() => {
      if (this.#cluster.owners.get(prefix) !== "us") throw new BlockSourceError("notOwned", prefix);
      if (this.blocks().length === 1) throw new BlockSourceError("last", prefix);
      this.#cluster.owners.delete(prefix);
      this.tell({ kind: "block-returned", block: blockOf(prefix) });
    });
  }

  #ask<T>(work: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#cluster.ask((answer) => {
        try {
          if (answer === "refused") throw new BlockSourceError("unavailable", "no answer");
          resolve(work());
        } catch (error) {
          reject(error);
        }
      });
    });
  }

  take = () => Promise.reject(new BlockSourceError("unavailable", ""));
  warnings = () => [];
  pools = () => [];
  loans = () => [];
  reserved = () => [];
  held = () => [];
  borrow = () => Promise.reject(new BlockSourceError("strict", ""));
  giveBackLoan = () => Promise.resolve();
  lookUp = () => Promise.resolve(null);
  hold = () => Promise.reject(new BlockSourceError("unavailable", ""));
  letGo = () => Promise.resolve();
  departed = () => [];
  expire = () => Promise.resolve();
  forget = () => Promise.resolve();
}

function blockOf(prefix: string): OwnedBlock {
  return { prefix, pool: POOL, family: 4, lend: null };
}
