// The suites: `unit` (unit, property, fuzz: no privileges), `interop` (real BGP daemons in namespaces), `system` (kernel,
// CNI callers, the rack) and `alone`, those of the system tests that need the machine for themselves. All but the first
// need root.
import { defineConfig } from "vitest/config";
import { LongestFirst } from "./test/interop/support/sequencer.ts";

/** They flood, count lost packets or judge milliseconds: one file at a time, beside nothing else. */
const alone = ["exits", "hostile-kernel", "resilience", "routing-heal", "fib-worker-hangs"].map(
  (name) => `test/system/${name}.test.ts`,
);

export default defineConfig({
  test: {
    pool: "forks",
    sequence: { sequencer: LongestFirst },
    reporters: ["default", "./test/interop/support/matrix-reporter.ts"],
    projects: [
      {
        extends: true,
        test: {
          name: "unit",
          include: ["test/{unit,property,fuzz}/**/*.test.ts"],
          testTimeout: 30_000,
          maxWorkers: 2,
        },
      },
      {
        extends: true,
        test: {
          name: "interop",
          include: ["test/interop/**/*.test.ts"],
          testTimeout: 90_000,
          hookTimeout: 90_000,
          // Each file has namespaces of its own, and waits most of the time.
          maxWorkers: 3,
          // Five foreign daemons with timers of their own; what needed it is marked in the output.
          retry: 1,
        },
      },
      {
        extends: true,
        test: {
          name: "system",
          include: ["test/system/**/*.test.ts"],
          exclude: alone,
          testTimeout: 120_000,
          hookTimeout: 120_000,
          maxWorkers: 2,
          // What needed a second attempt is marked in the output.
          retry: 1,
        },
      },
      {
        extends: true,
        test: {
          name: "alone",
          include: alone,
          testTimeout: 120_000,
          hookTimeout: 120_000,
          fileParallelism: false,
          retry: 1,
        },
      },
    ],
  },
});
