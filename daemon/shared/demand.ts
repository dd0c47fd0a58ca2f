// When a node claims one more block of a shared pool, and when one goes back. Pure. In: the blocks of one pool and
// family, how full each is, since when it is empty. Out: claim, release one, or wait so long.
//
// Between the two lies room, so that a pod more or less never has a block come and go: a block is claimed when an
// eighth of one is left, and goes back when a quarter and more is left without it, for releaseAfter. The last one
// stays.

export interface SharedBlock {
  readonly prefix: string;
  /** Usable addresses; null: more than 2^53. */
  readonly capacity: number | null;
  /** Of these, to be had at once. */
  readonly free: number | null;
  /** Milliseconds of the clock; null: addresses of it are in use, or kept for somebody. */
  readonly emptySince: number | null;
}

export interface DemandLimits {
  readonly maxBlocks: number;
  /** Milliseconds. */
  readonly releaseAfter: number;
}

export interface Demand {
  readonly claim: boolean;
  /** Prefix of a block that is not needed any more. */
  readonly release: string | null;
  /** Milliseconds until something may be due; null: nothing will be, unless pods come or go. */
  readonly wait: number | null;
}

const CLAIM_AT = 1 / 8;
const KEEP = 1 / 4;
const MANY = 2 ** 53;

export function demand(blocks: readonly SharedBlock[], { maxBlocks, releaseAfter }: DemandLimits, now: number): Demand {
  const sizeOf = ({ capacity }: SharedBlock) => capacity ?? MANY;
  const size = blocks.length === 0 ? 0 : Math.max(...blocks.map(sizeOf));
  const free = blocks.reduce((sum, block) => sum + (block.free ?? MANY), 0);
  const claim = free <= Math.max(1, Math.floor(size * CLAIM_AT)) && blocks.length < maxBlocks;
  if (claim) return { claim, release: null, wait: null };
  let wait: number | null = null;
  // The latest first: who came first keeps its place beside the others of its rack.
  for (const block of [...blocks].reverse()) {
    if (block.emptySince === null || blocks.length === 1) continue;
    if (free - (block.free ?? MANY) <= Math.max(2, Math.floor(size * KEEP))) continue;
    const left = block.emptySince + releaseAfter - now;
    if (left <= 0) return { claim, release: block.prefix, wait: null };
    wait = Math.min(wait ?? left, left);
  }
  return { claim, release: null, wait };
}
