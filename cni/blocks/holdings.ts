// What is this node's, in memory and on disk, with the revisions that etcd has it at. Every change is on disk before it
// is seen.

import { familyOf } from "./keys.ts";
import { EMPTY_COPY, type LocalBlock, type LocalCopy, type LocalStore } from "./local-copy.ts";
import type { Departed, LoanRecord, StoredIdentity } from "./records.ts";
import type { Identity, IdentityRecord, Loan, OwnedBlock } from "./types.ts";

export class Holdings {
  readonly #store: LocalStore;
  #copy: LocalCopy = EMPTY_COPY;
  /** Key -> when it was written last, of the keys that are ours. */
  readonly revisions = new Map<string, number>();
  /** Given back here, and perhaps not yet in etcd. */
  readonly returning = new Set<string>();
  constructor(store: LocalStore) {
    this.#store = store;
  }

  get copy(): LocalCopy {
    return this.#copy;
  }

  async load(): Promise<void> {
    this.#copy = await this.#store.load();
  }

  /** Rejects with the system's error; then nothing has changed. */
  async change(change: Partial<LocalCopy>): Promise<void> {
    const next = { ...this.#copy, ...change };
    await this.#store.save(next);
    this.#copy = next;
  }

  block(prefix: string): LocalBlock | undefined {
    return this.#copy.blocks.find((block) => block.prefix === prefix);
  }

  async putBlock(block: LocalBlock): Promise<void> {
    (await this.prepareBlock(block))();
  }

  /** On disk when this resolves; seen when the result is called. Nothing else may change meanwhile. */
  async prepareBlock(block: LocalBlock): Promise<() => void> {
    const blocks = [...this.#copy.blocks.filter(({ prefix }) => prefix !== block.prefix), block];
    const next = { ...this.#copy, blocks };
    await this.#store.save(next);
    return () => {
      this.#copy = next;
    };
  }

  async dropBlock(prefix: string): Promise<void> {
    await this.change({ blocks: this.#copy.blocks.filter((block) => block.prefix !== prefix) });
  }

  async putLoan(loan: LoanRecord): Promise<void> {
    await this.change({ loans: [...this.#copy.loans.filter(({ address }) => address !== loan.address), loan] });
  }

  async dropLoan(address: string): Promise<void> {
    await this.change({ loans: this.#copy.loans.filter((loan) => loan.address !== address) });
  }

  identity(of: {
    readonly pool: string;
    readonly namespace: string;
    readonly name: string;
  }): StoredIdentity | undefined {
    return this.#copy.identities.find((identity) => sameIdentity(identity, of));
  }

  /** With it go loans that it is made from; `lent`: its addresses of our own blocks. */
  async putIdentity(identity: StoredIdentity, lent: readonly LoanRecord[]): Promise<void> {
    const own = new Set(identity.places.map(({ address }) => address));
    await this.change({
      lent: [...this.#copy.lent.filter(({ address }) => !own.has(address)), ...lent],
      identities: [...this.#copy.identities.filter((other) => !sameIdentity(other, identity)), identity],
      loans: this.#copy.loans.filter(({ address }) => !own.has(address)),
      departed: this.#copy.departed.filter((other) => !sameIdentity(other, identity)),
    });
  }

  /** `keptUntil`: it is to be forgotten then; null: nobody has said when. */
  async dropIdentity(identity: StoredIdentity, keptUntil: string | null = null): Promise<void> {
    const { pool, namespace, name } = identity;
    const departed = this.#copy.departed.filter((other) => !sameIdentity(other, identity));
    await this.change({
      identities: this.#copy.identities.filter((other) => !sameIdentity(other, identity)),
      departed: keptUntil === null ? departed : [...departed, { pool, namespace, name, keptUntil }],
    });
  }

  departed(of: Identity): Departed | undefined {
    return this.#copy.departed.find((other) => sameIdentity(other, of));
  }

  async dropDeparted(of: Identity): Promise<void> {
    if (this.departed(of))
      await this.change({ departed: this.#copy.departed.filter((other) => !sameIdentity(other, of)) });
  }
}

function sameIdentity(
  a: { readonly pool: string; readonly namespace: string; readonly name: string },
  b: { readonly pool: string; readonly namespace: string; readonly name: string },
): boolean {
  return a.pool === b.pool && a.namespace === b.namespace && a.name === b.name;
}

export function ownedBlock({ prefix, record }: LocalBlock): OwnedBlock {
  return { prefix, pool: record.pool, family: familyOf(prefix), lend: record.lend };
}

export function loanView({ address, pool, owner, block }: Omit<LoanRecord, "node">): Loan {
  return { address, pool, family: familyOf(address), owner, block };
}

export function identityView({ pool, namespace, name, places, node }: StoredIdentity): IdentityRecord {
  return { pool, namespace, name, addresses: places.map(({ address }) => address), node };
}
