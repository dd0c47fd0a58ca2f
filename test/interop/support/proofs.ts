// How a test says what it has proven, for docs/interop.md: it counts when the test passes. Where the results of a run are
// collected is told by the reporter (matrix-reporter.ts); without one nobody collects.
import { appendFileSync } from "node:fs";
import { TestRunner } from "vitest";
import type { Daemon, Feature } from "./features.ts";

export interface Proof {
  readonly feature: Feature;
  readonly daemon: Daemon;
}

declare module "vitest" {
  interface TaskMeta {
    proofs?: Proof[];
  }
}

/** Names the file that counts of captured messages are appended to. */
export const COUNTS = "UNDERLAY_CAPTURED";

/** Called in a test, before or after its assertions. */
export function proves(daemon: Daemon | readonly Daemon[], ...proven: readonly Feature[]): void {
  const test = TestRunner.getCurrentTest();
  if (!test) throw new Error("proves() is for tests");
  const proofs = [daemon].flat().flatMap((name) => proven.map((feature) => ({ feature, daemon: name as Daemon })));
  test.meta.proofs = [...(test.meta.proofs ?? []), ...proofs];
}

/** Messages of ours that an independent decoder has read. */
export function captured(messages: number): void {
  const file = process.env[COUNTS];
  if (file && messages > 0) appendFileSync(file, `${messages}\n`);
}
