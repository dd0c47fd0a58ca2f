// Which empty blocks go back. A block has to be empty for some time and at two looks in a row at least, so that pods that come and go
// do not make it go and come; one of each pool and family always stays, and only one goes at a time. Pure.
import type { Family } from "../../net/address.ts";

export interface BlockLook {
  readonly prefix: string;
  readonly pool: string;
  readonly family: Family;
  /** Addresses in use, or kept: by pods, in cooldown if that counts, lent. */
  readonly used: number;
  /** Free addresses. */
  readonly free: number;
}

export interface HysteresisOptions {
  /** Milliseconds that a block has to be empty. */
  readonly emptyFor: number;
  /** Free addresses that the other blocks of the pool and family must have together. */
  readonly spare: number;
}

const SIGHTINGS = 2;

export class Hysteresis {
  readonly #options: HysteresisOptions;
  readonly #empty = new Map<string, { readonly since: number; seen: number }>();

  constructor(options: HysteresisOptions) {
    this.#options = options;
  }

  /** The block was used between two looks: it counts as not empty. */
  used(prefix: string): void {
    this.#empty.delete(prefix);
  }

  /** Called now and then; `now` in milliseconds. Returns the block that should go back, or null. */
  look(now: number, blocks: readonly BlockLook[]): string | null {
    const present = new Set(blocks.map(({ prefix }) => prefix));
    for (const prefix of this.#empty.keys()) if (!present.has(prefix)) this.#empty.delete(prefix);
    let chosen: BlockLook | null = null;
    for (const block of blocks) {
      if (block.used > 0) {
        this.#empty.delete(block.prefix);
        continue;
      }
      const state = this.#empty.get(block.prefix) ?? { since: now, seen: 0 };
      state.seen++;
      this.#empty.set(block.prefix, state);
      if (state.seen < SIGHTINGS || now - state.since < this.#options.emptyFor) continue;
      const others = blocks.filter((other) => {
        return other !== block && other.pool === block.pool && other.family === block.family;
      });
      const free = others.reduce((sum, other) => sum + other.free, 0);
      // The one that came last by the address order goes first: blocks stay contiguous.
      if (others.length > 0 && free >= this.#options.spare) chosen = block;
    }
    return chosen?.prefix ?? null;
  }
}
