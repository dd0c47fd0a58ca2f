// Single operations on routes in columns, to be posted to another thread without an object for each.
import type { RouteOperations } from "../types.ts";

export class RouteColumns {
  readonly #capacity: number;
  #columns: ReturnType<typeof columnsOf>;
  #errors: [number, string][] = [];
  count = 0;

  constructor(capacity: number) {
    this.#capacity = capacity;
    this.#columns = columnsOf(0);
  }

  get full(): boolean {
    return this.count === this.#capacity;
  }

  /** `operation` as in RouteOperations; `words` of the address in host order, IPv4 in the first. */
  add(
    operation: number,
    family: number,
    words: readonly [number, number, number, number],
    length: number,
    table: number,
    nextHop: number,
    type: number,
    ifindex: number,
  ): void {
    if (this.count === 0) this.#columns = columnsOf(this.#capacity);
    const { operations, families, addresses, lengths, tables, nextHops, types, interfaces } = this.#columns;
    const i = this.count++;
    operations[i] = operation;
    families[i] = family;
    for (let byte = 0; byte < 16; byte++) addresses[i * 16 + byte] = (words[byte >> 2] >>> (24 - (byte & 3) * 8)) & 255;
    lengths[i] = length;
    tables[i] = table;
    nextHops[i] = nextHop;
    types[i] = type;
    interfaces[i] = ifindex;
  }

  /** The last one was refused. */
  fail(error: string): void {
    this.#errors.push([this.count - 1, error]);
  }

  /** What has gathered; `at`: milliseconds since 1970. Nothing is held afterwards. */
  take(at: number): RouteOperations {
    const taken = { at, count: this.count, ...this.#columns, errors: this.#errors };
    this.count = 0;
    this.#errors = [];
    return taken;
  }
}

function columnsOf(count: number) {
  return {
    operations: new Uint8Array(count),
    families: new Uint8Array(count),
    addresses: new Uint8Array(count * 16),
    lengths: new Uint8Array(count),
    tables: new Uint32Array(count),
    nextHops: new Uint32Array(count),
    types: new Uint8Array(count),
    interfaces: new Uint32Array(count),
  };
}
