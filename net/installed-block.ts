// The proof that the kernel has a block: its blackhole and its rule were acknowledged and are not known to have left
// since. Only routing/fib/installed-blocks.ts makes one, on the kernel's acknowledgement (scripts/check-imports.mjs
// sees to it), and only what holds one can announce a block: what is pending or half done cannot reach an Adj-RIB-Out,
// because it has no proof.
import { formatPrefix, type Prefix } from "./prefix.ts";

export class InstalledBlock {
  readonly prefix: Prefix;
  /** The table that the block's pods send from. */
  readonly table: number;
  #stands = true;

  constructor(prefix: Prefix, table: number) {
    this.prefix = prefix;
    this.table = table;
  }

  /** False when the kernel has been asked to remove the block, or has lost it. */
  get stands(): boolean {
    return this.#stands;
  }

  revoke(): void {
    this.#stands = false;
  }

  /** Throws when it does not stand any more. */
  require(): void {
    if (!this.#stands)
      throw new Error(`block ${formatPrefix(this.prefix)} is not in the kernel: it cannot be announced`);
  }
}
