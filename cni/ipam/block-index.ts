// Blocks that do not overlap -> the one that an address is in, without looking at each.
import { type Family, formatAddress } from "../../net/address.ts";
import { maskBytes } from "../../net/prefix.ts";
import type { Block } from "./block.ts";

export class BlockIndex {
  readonly #blocks = new Map<string, Block>();
  readonly #lengths: Readonly<Record<Family, readonly number[]>>;

  constructor(blocks: readonly Block[]) {
    const lengthsOf = (family: Family) => [
      ...new Set(blocks.filter((block) => block.family === family).map(({ prefix }) => prefix.length)),
    ];
    for (const block of blocks) this.#blocks.set(block.text, block);
    this.#lengths = { 4: lengthsOf(4), 6: lengthsOf(6) };
  }

  get(prefix: string): Block | undefined {
    return this.#blocks.get(prefix);
  }

  find(address: Uint8Array): Block | undefined {
    for (const length of this.#lengths[address.length === 4 ? 4 : 6]) {
      const block = this.#blocks.get(`${formatAddress(maskBytes(address, length))}/${length}`);
      if (block) return block;
    }
    return undefined;
  }
}
