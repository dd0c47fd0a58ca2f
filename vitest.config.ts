// Three suites: `unit` (unit, property, fuzz: no privileges), `interop` (real BGP daemons in namespaces) and
// `system` (kernel, CNI callers, the rack). The last two need root; `system` runs one file at a time.
import { defineConfig } from "vitest/config";
import { LongestFirst } from "./test/interop/support/sequencer.ts";

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
          testTimeout: 120_000,
          hookTimeout: 120_000,
          // They delete, flood and count within milliseconds: one file at a time, and a second attempt, marked in the output.
          fileParallelism: false,
          retry: 1,
        },
      },
    ],
  },
});
