// Blocks that do not overlap -> the one that an address is in, without looking at each.
import type { Family } from "../../net/address.ts";
import type { Block } from "./block.ts";

export class BlockIndex {
  readonly #byText = new Map<string, Block>();
  readonly #byBytes = new Map<string, Block>();
  readonly #lengths: Readonly<Record<Family, readonly number[]>>;

  constructor(blocks: readonly Block[]) {
    const lengthsOf = (family: Family) => [
      ...new Set(blocks.filter((block) => block.family === family).map(({ prefix }) => prefix.length)),
    ];
    for (const block of blocks) {
      this.#byText.set(block.text, block);
      this.#byBytes.set(keyOf(block.prefix.bytes, block.prefix.length), block);
    }
    this.#lengths = { 4: lengthsOf(4), 6: lengthsOf(6) };
  }

  get(prefix: string): Block | undefined {
    return this.#byText.get(prefix);
  }

  find(address: Uint8Array): Block | undefined {
    for (const length of this.#lengths[address.length === 4 ? 4 : 6]) {
      const block = this.#byBytes.get(keyOf(address, length));
      if (block) return block;
    }
    return undefined;
  }
}

/** The first `length` bits, and how many they are. */
function keyOf(address: Uint8Array, length: number): string {
  let key = String.fromCharCode(address.length * 256 + length);
  for (let bit = 0; bit < length; bit += 8)
    key += String.fromCharCode(address[bit >> 3] & (0xff00 >> Math.min(8, length - bit)));
  return key;
}
