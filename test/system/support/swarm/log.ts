// What every node of the swarm does, as lines that are on their way to the kernel before anything else happens: they
// survive a SIGKILL. Times are CLOCK_MONOTONIC in milliseconds, the same in all processes.
import { readFileSync, writeSync } from "node:fs";

export type Line =
  /** Announced from now on; `boot`: because it was found at the start. */
  | {
      readonly t: number;
      readonly node: string;
      readonly kind: "announce" | "withdraw";
      readonly what: string;
      readonly why?: string;
    }
  /** An address in the hands of a pod on this node. */
  | {
      readonly t: number;
      readonly node: string;
      readonly kind: "take" | "release";
      readonly what: string;
      readonly why?: string;
    }
  | { readonly t: number; readonly node: string; readonly kind: "boot" | "state" | "refused"; readonly what: string };

export const now = (): number => Number(process.hrtime.bigint() / 1000n) / 1000;

export class SwarmLog {
  readonly #fd: number;

  constructor(fd: number) {
    this.#fd = fd;
  }

  write(line: Omit<Line, "t"> & { readonly why?: string }): void {
    writeSync(this.#fd, `${JSON.stringify({ t: now(), ...line })}\n`);
  }
}

export function readLog(path: string): Line[] {
  return readFileSync(path, "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line));
}
