// Operations on routes that are alike, counted: how many, and the lowest and highest prefix. One object for any number of
// routes, and a handful of comparisons for each.
import { type Family, formatAddress } from "../../net/address.ts";
import type { KernelOperation, KernelOperations } from "../types.ts";
import type { RouteRun } from "./route-run.ts";

/** What the operations of one summary have in common. */
export interface SummaryKey {
  readonly operation: KernelOperation["operation"];
  readonly family: Family;
  readonly table: number;
  /** 0: none, or several. */
  readonly nextHop: number;
  readonly error: string | undefined;
}

export class RouteSummary {
  readonly key: SummaryKey;
  readonly #low = new Uint32Array(4);
  readonly #high = new Uint32Array(4);
  #lowLength = 0;
  #highLength = 0;
  #shortest = 128;
  #first = 0;
  count = 0;

  constructor(key: SummaryKey) {
    this.key = key;
  }

  /** Words of the address in host order, IPv4 in the first. `now`: milliseconds since 1970. */
  add(w0: number, w1: number, w2: number, w3: number, length: number, now: number): void {
    if (length < this.#shortest) this.#shortest = length;
    if (this.count++ === 0) {
      this.#first = now;
      this.#lowLength = this.#highLength = length;
      this.#set(this.#low, w0, w1, w2, w3);
      this.#set(this.#high, w0, w1, w2, w3);
      return;
    }
    const low = compare(this.#low, w0, w1, w2, w3) || this.#lowLength - length;
    if (low > 0) {
      this.#set(this.#low, w0, w1, w2, w3);
      this.#lowLength = length;
    }
    const high = compare(this.#high, w0, w1, w2, w3) || this.#highLength - length;
    if (high < 0) {
      this.#set(this.#high, w0, w1, w2, w3);
      this.#highLength = length;
    }
  }

  /** Many at once, of which these are the lowest and the highest, and the shortest length. IPv4 only. */
  addRun({ count, low, lowLength, high, highLength, shortest }: RouteRun, now: number): void {
    this.add(low, 0, 0, 0, lowLength, now);
    this.add(high, 0, 0, 0, highLength, now);
    this.count += count - 2;
    if (shortest < this.#shortest) this.#shortest = shortest;
  }

  /** `at`: milliseconds since 1970 of the last one. */
  event(at: number): KernelOperations {
    const { operation, family, table, nextHop, error } = this.key;
    return {
      kind: "operations",
      at,
      operation,
      object: "route",
      count: this.count,
      milliseconds: Math.max(0, at - this.#first),
      ...(error === undefined ? {} : { error }),
      table,
      ...(nextHop === 0 ? {} : { nextHop }),
      lowest: `${text(this.#low, family)}/${this.#lowLength}`,
      highest: `${text(this.#high, family)}/${this.#highLength}`,
      shortest: this.#shortest,
    };
  }

  #set(into: Uint32Array, w0: number, w1: number, w2: number, w3: number): void {
    into[0] = w0;
    into[1] = w1;
    into[2] = w2;
    into[3] = w3;
  }
}

function compare(a: Uint32Array, w0: number, w1: number, w2: number, w3: number): number {
  return a[0] - w0 || a[1] - w1 || a[2] - w2 || a[3] - w3;
}

function text(words: Uint32Array, family: Family): string {
  const bytes = new Uint8Array(family === 4 ? 4 : 16);
  for (let i = 0; i < bytes.length; i++) bytes[i] = (words[i >> 2] >>> (24 - (i & 3) * 8)) & 255;
  return formatAddress(bytes);
}
