// Which blocks the kernel has, as proofs that can be handed on. In: what it is asked for, what it answered, what a repair
// could not put back. Out: proofs, and their end. A proof ends before the kernel is asked to remove its block.
import { InstalledBlock } from "../../net/installed-block.ts";
import { prefix } from "../../net/prefix.ts";
import type { BlockChange, OwnedResult, OwnedState, RefusedBlock } from "../types.ts";

type Blocks = OwnedState["blocks"];

export class InstalledBlocks {
  readonly #proofs = new Map<string, InstalledBlock>();
  #asked = new Set<string>();
  #answered: Blocks = [];

  /** The kernel is about to be asked for these and no others. */
  asking(blocks: Blocks): void {
    this.#asked = new Set(blocks.map(keyOf));
    for (const key of [...this.#proofs.keys()]) if (!this.#asked.has(key)) this.#end(key);
  }

  /** To what asking() was called with; when it has been called again since, what is not wanted any more gets no proof. */
  answered(blocks: Blocks, refused: readonly RefusedBlock[]): OwnedResult {
    this.#answered = blocks;
    const without = new Set(refused.map(keyOf));
    for (const key of without) this.#end(key);
    const wanted = blocks.filter((block) => this.#asked.has(keyOf(block)) && !without.has(keyOf(block)));
    return { installed: wanted.map((block) => this.#proof(block)), refused };
  }

  /** After a repair, `refused` are all that are not there. */
  repaired(refused: readonly RefusedBlock[]): BlockChange[] {
    const errors = new Map(refused.map((block) => [keyOf(block), block]));
    return this.#answered.flatMap((block): BlockChange[] => {
      const key = keyOf(block);
      if (!this.#asked.has(key)) return [];
      const lost = errors.get(key);
      if (!lost && !this.#proofs.has(key)) return [{ kind: "restored", block: this.#proof(block) }];
      if (lost && this.#end(key)) return [{ kind: "lost", block: lost }];
      return [];
    });
  }

  #proof(block: Blocks[number]): InstalledBlock {
    const key = keyOf(block);
    const proof = this.#proofs.get(key) ?? new InstalledBlock(prefix(block.prefix), block.table);
    this.#proofs.set(key, proof);
    return proof;
  }

  #end(key: string): boolean {
    this.#proofs.get(key)?.revoke();
    return this.#proofs.delete(key);
  }
}

function keyOf({ prefix: text, table }: Blocks[number]): string {
  return `${text} ${table}`;
}
