// Pools of the configuration -> blocks, grouped by family, in the order in which they are written.
import type { Family } from "../../net/address.ts";
import { prefix } from "../../net/prefix.ts";
import type { PoolOptions } from "../types.ts";
import { Block } from "./block.ts";
import { mergeRanges, parseRange } from "./range.ts";

export interface Pool {
  readonly name: string;
  readonly blocks: ReadonlyMap<Family, readonly Block[]>;
}

/** Throws RangeError for a prefix or an exclusion that is none; the configuration has been checked before. */
export function buildPool(options: PoolOptions): Pool {
  const ranges = options.exclude.map((text) => {
    const range = parseRange(text);
    if (!range) throw new RangeError(`pool ${options.name}: exclude "${text}" is no address, range or prefix`);
    return range;
  });
  const blocks = new Map<Family, Block[]>();
  for (const text of options.blocks) {
    const parsed = prefix(text);
    const excluded = mergeRanges(ranges.filter((range) => range.first.length === parsed.bytes.length));
    const block = new Block(parsed, excluded);
    blocks.set(parsed.family, [...(blocks.get(parsed.family) ?? []), block]);
  }
  return { name: options.name, blocks };
}
