// Pools of the configuration -> blocks, grouped by family, in the order in which they are written. A block that is as it was
// goes on with all that it knows.
import { isDeepStrictEqual } from "node:util";
import type { Family } from "../../net/address.ts";
import { prefix } from "../../net/prefix.ts";
import type { PoolOptions } from "../types.ts";
import { Block, type BlockSpec } from "./block.ts";
import { type AddressRange, parseRange } from "./range.ts";
import { RangeSet } from "./range-set.ts";
import { Reservations } from "./sticky.ts";

export interface Pool {
  readonly name: string;
  readonly options: PoolOptions;
  readonly blocks: ReadonlyMap<Family, readonly Block[]>;
  /** Addresses given to nobody, and those given only by name or to nobody. */
  readonly ranges: Readonly<Record<Family, Pick<BlockSpec, "excluded" | "withheld">>>;
  readonly reservations: Reservations;
}

export const noRanges = new RangeSet([]);

/**
 * `former`: the pool of that name until now; `blockOf`: the block of that prefix until now. Throws RangeError for a prefix or
 * a range that is none; the configuration has been checked before.
 */
export function buildPool(
  options: PoolOptions,
  now: number,
  former?: Pool,
  blockOf: (prefix: string) => Block | undefined = () => undefined,
): Pool {
  const { exclude, reserve = [], cooldown = 0 } = options;
  const same = former && sameList(exclude, former.options.exclude) && sameList(reserve, former.options.reserve ?? []);
  const ranges = same ? former.ranges : rangesOf(options);
  const blocks = new Map<Family, Block[]>();
  for (const text of options.blocks) {
    const parsed = prefix(text);
    const spec = { prefix: parsed, ...ranges[parsed.family], cooldown: cooldown * 1000 };
    const old = blockOf(text);
    const block = old?.matches(spec) ? old : new Block(spec, now);
    blocks.set(parsed.family, [...(blocks.get(parsed.family) ?? []), block]);
  }
  const kept = former && isDeepStrictEqual(options.sticky, former.options.sticky) && hasAll(blocks, former.blocks);
  return { name: options.name, options, blocks, ranges, reservations: kept ? former.reservations : new Reservations() };
}

/** Whether nothing that is kept for a pod has to be looked at again. */
function hasAll(blocks: Pool["blocks"], former: Pool["blocks"]): boolean {
  const now = new Set([...blocks.values()].flat());
  return [...former.values()].flat().every((block) => now.has(block));
}

function rangesOf({ name, exclude, reserve = [] }: PoolOptions): Pool["ranges"] {
  const parse = (texts: readonly string[], key: string): AddressRange[] =>
    texts.map((text) => {
      const range = parseRange(text);
      if (!range) throw new RangeError(`pool ${name}: ${key} "${text}" is no address, range or prefix`);
      return range;
    });
  const excluded = parse(exclude, "exclude");
  const withheld = [...excluded, ...parse(reserve, "reserve")];
  const of = (family: Family) => {
    const bytes = family === 4 ? 4 : 16;
    const own = (ranges: readonly AddressRange[]) => new RangeSet(ranges.filter(({ first }) => first.length === bytes));
    return { excluded: own(excluded), withheld: own(withheld) };
  };
  return { 4: of(4), 6: of(6) };
}

function sameList(a: readonly string[], b: readonly string[]): boolean {
  return a === b || (a.length === b.length && a.every((entry, i) => entry === b[i]));
}
