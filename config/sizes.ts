// Sizes as people write them (`64MiB`, `1GiB`, or a plain number of bytes) -> bytes.
import { quote, Refusal, type Scalar } from "./scalar.ts";

const units: Readonly<Record<string, number>> = { B: 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 };

function format(bytes: number): string {
  return bytes % units["GiB"] === 0 ? `${bytes / units["GiB"]}GiB` : `${bytes / units["MiB"]}MiB`;
}

/** Bytes within bounds, or `false`: null. */
export function sizeOrFalse(minimum: number, maximum: number): Scalar<number | null> {
  return {
    json: {
      title: "size or `false`",
      anyOf: [
        { const: false },
        { type: "integer", minimum, maximum },
        { type: "string", pattern: "^[0-9]+(\\.[0-9]+)? ?(B|KiB|MiB|GiB)$" },
      ],
    },
    parse(value) {
      if (value === false) return null;
      const match = typeof value === "string" ? /^(\d+(?:\.\d+)?) ?(B|KiB|MiB|GiB)$/.exec(value) : null;
      const bytes = typeof value === "number" ? value : match ? Math.floor(Number(match[1]) * units[match[2]]) : null;
      if (bytes === null || !Number.isInteger(bytes))
        return new Refusal(`${quote(value)} is not a size`, "write 64MiB, 1GiB, a number of bytes, or false");
      if (bytes < minimum || bytes > maximum)
        return new Refusal(`${quote(value)} is outside of ${format(minimum)} to ${format(maximum)}`);
      return bytes;
    },
  };
}
